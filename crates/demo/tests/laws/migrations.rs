//! The schema: made by several at once and by one that dies, and let alone by whoever does not know it.

use std::{thread, time::Duration};

use crate::{
    datasets::Dataset,
    disturbed::check_the_end,
    kafka,
    orders::sendings,
    random::Random,
    report::saw,
    road::{LIMIT, Road},
};

/// Carries everything, and asserts that it arrives as if nothing had happened.
fn carry<D: Dataset>(road: &Road<D>) {
    road.brokers.create_topic(&road.topic, 2, &[]);
    sendings::<D>(94).iter().for_each(|lines| drop(road.produce(lines)));
    check_the_end(road);
}

pub(crate) fn several_migrates_at_once_make_one_schema<D: Dataset>() {
    let road = Road::<D>::bare(kafka::any());
    let running = [(); 4].map(|()| road.migrator().start().unwrap());
    let ended = running.map(|running| running.wait(LIMIT).unwrap().expect_code(0).unwrap());
    let applied =
        ended.iter().flat_map(|ended| &ended.stderr).filter(|line| line.contains("applied a migration")).count();
    let recorded = road.rows("migrations_stream") + road.rows(&format!("migrations_{}", D::PIPELINE));
    assert_eq!(i64::try_from(applied).unwrap(), recorded, "each migration once");
    saw(format!("4 at once applied each of {applied} migrations once"));
    carry(&road);
}

pub(crate) fn a_migrate_is_killed_and_run_again<D: Dataset>() {
    let road = Road::<D>::bare(kafka::any());
    let (mut random, mut midway) = (Random::new(5), 0);
    for _ in 0..10 {
        let mut running = road.migrator().start().unwrap();
        thread::sleep(Duration::from_millis(random.below(120) as u64));
        midway += usize::from(running.poll().unwrap().is_none());
        running.kill().unwrap();
    }
    assert!(midway > 0, "each had ended before it was killed");
    road.migrate();
    saw(format!("{midway} of 10 killed before they had ended"));
    carry(&road);
}

pub(crate) fn a_schema_that_is_not_known_is_let_alone<D: Dataset>() {
    let road = Road::<D>::bare(kafka::any());
    road.migrate();
    let table = format!("migrations_{}", D::PIPELINE);
    let edit = format!("UPDATE {table} SET checksum = sha384(checksum) WHERE version = 1");
    let newer = format!("INSERT INTO {table} VALUES (9001, 'from the future', now(), true, '', 0)");
    for (change, word) in [(newer, "newer"), (edit, "edited")] {
        road.execute(&format!("CREATE TABLE kept AS SELECT * FROM {table}; {change}"));
        for program in [road.migrator(), road.consumer(&["--until-end"])] {
            program.run(LIMIT).unwrap().expect_failure(65, &[word]).unwrap();
        }
        road.execute(&format!("TRUNCATE {table}; INSERT INTO {table} SELECT * FROM kept; DROP TABLE kept"));
        saw(format!("{word}: migrate and consumer end with 65"));
    }
    carry(&road);
}
