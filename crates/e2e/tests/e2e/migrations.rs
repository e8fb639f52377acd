//! The schema: made by several at once and by one that dies, and left alone by a program that does not know it.

use std::{thread, time::Duration};

use crate::{
    datasets::Dataset,
    disturbed::check_the_end,
    env::{Env, LIMIT},
    kafka,
    orders::sendings,
    random::Random,
    report::saw,
};

/// Sends and reads everything, and asserts that it arrives as if nothing had happened.
fn carry<D: Dataset>(env: &Env<D>) {
    env.brokers.create_topic(&env.topic, 2, &[]);
    sendings::<D>(94).iter().for_each(|lines| drop(env.produce(lines)));
    check_the_end(env);
}

pub(crate) fn several_migrates_at_once_make_one_schema<D: Dataset>() {
    let env = Env::<D>::bare(kafka::any());
    let running = [(); 4].map(|()| env.migrator().start().unwrap());
    let ended = running.map(|running| running.wait(LIMIT).unwrap().expect_code(0).unwrap());
    let applied =
        ended.iter().flat_map(|ended| &ended.stderr).filter(|line| line.contains("applied a migration")).count();
    let recorded = env.rows("migrations_stream") + env.rows(&format!("migrations_{}", D::PIPELINE));
    assert_eq!(i64::try_from(applied).unwrap(), recorded, "each migration once");
    saw(format!("4 at once applied each of {applied} migrations once"));
    carry(&env);
}

pub(crate) fn a_migrate_is_killed_and_run_again<D: Dataset>() {
    let env = Env::<D>::bare(kafka::any());
    let (mut random, mut midway) = (Random::new(5), 0);
    for _ in 0..10 {
        let mut running = env.migrator().start().unwrap();
        thread::sleep(Duration::from_millis(random.below(120) as u64));
        midway += usize::from(running.poll().unwrap().is_none());
        running.kill().unwrap();
    }
    assert!(midway > 0, "each had ended before it was killed");
    env.migrate();
    saw(format!("{midway} of 10 killed before they had ended"));
    carry(&env);
}

pub(crate) fn a_schema_that_is_not_known_is_let_alone<D: Dataset>() {
    let env = Env::<D>::bare(kafka::any());
    env.migrate();
    let table = format!("migrations_{}", D::PIPELINE);
    let edit = format!("UPDATE {table} SET checksum = sha384(checksum) WHERE version = 1");
    let newer = format!("INSERT INTO {table} VALUES (9001, 'from the future', now(), true, '', 0)");
    for (change, word) in [(newer, "newer"), (edit, "edited")] {
        env.execute(&format!("CREATE TABLE kept AS SELECT * FROM {table}; {change}"));
        for program in [env.migrator(), env.consumer(&["--until-end"])] {
            program.run(LIMIT).unwrap().expect_failure(65, &[word]).unwrap();
        }
        env.execute(&format!("TRUNCATE {table}; INSERT INTO {table} SELECT * FROM kept; DROP TABLE kept"));
        saw(format!("{word}: migrate and consumer end with 65"));
    }
    carry(&env);
}
