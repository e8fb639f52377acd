//! Consumer groups: the replicas of one database share one, two databases never do.

use crate::{
    datasets::Dataset,
    env::{Env, LIMIT, READ},
    kafka,
    orders::sendings,
    report::saw,
};

/// Two databases on one topic that holds everything, and how many records that is.
fn two<D: Dataset>(test: &str) -> Option<(Env<D>, Env<D>, i64)> {
    let first = Env::<D>::on(kafka::real::<D>(test)?, 2);
    let second = first.with_another_database();
    let sendings = sendings::<D>(61);
    sendings.iter().for_each(|lines| drop(first.produce(lines)));
    Some((first, second, sendings.iter().map(|lines| i64::try_from(lines.len()).unwrap()).sum()))
}

pub(crate) fn two_databases_on_one_topic_each_get_every_record<D: Dataset>() {
    let Some((first, second, records)) = two::<D>("two databases on one topic each get every record") else { return };
    let envs = [&first, &second];
    let mut running = envs.map(|env| env.consumer_in(None, &[]).start().unwrap());
    for consumer in &mut running {
        consumer.wait_for_line("claimed and loaded", LIMIT).unwrap();
    }
    // While both run: alone, either would be assigned every partition.
    first.produce(&sendings::<D>(62).concat());
    let records = records + i64::try_from(sendings::<D>(62).concat().len()).unwrap();
    envs.into_iter().for_each(|env| env.wait_for(READ, records));
    running.into_iter().for_each(|running| drop(running.stop(LIMIT).unwrap().expect_code(0).unwrap()));
    envs.into_iter().for_each(Env::check_accounting);
    saw(format!("{records} records in each of two databases"));
}

pub(crate) fn a_group_of_another_database_is_refused_while_that_one_lives<D: Dataset>() {
    let Some((first, second, records)) = two::<D>("a group of another database is refused") else { return };
    let group = first.topic.as_str();
    let lives = first.consumer_in(Some(group), &[]).start().unwrap();
    first.wait_for(READ, records);
    let refused = second.consumer_in(Some(group), &["--until-end"]).run(LIMIT).unwrap();
    let words = ["consumer group", group, "consumer of another database", "leave out --group-id"];
    refused.expect_failure(64, &words).unwrap();
    lives.stop(LIMIT).unwrap().expect_code(0).unwrap();
    // The offsets that the first has left in Kafka count for nothing.
    second.consumer_in(Some(group), &["--until-end"]).run(LIMIT).unwrap().expect_code(0).unwrap();
    [&first, &second].into_iter().for_each(Env::check_accounting);
    saw("64 while the other lives, every record after".to_owned());
}

pub(crate) fn of_two_databases_that_join_a_group_at_once_one_is_refused<D: Dataset>() {
    let Some((first, second, records)) = two::<D>("two databases join a group at once") else { return };
    let envs = [&first, &second];
    let mut running = envs.map(|env| env.consumer_in(Some(&first.topic), &[]).start().unwrap());
    let begun = std::time::Instant::now();
    let (loser, ended) = loop {
        let ended = (0..2).find_map(|one| Some((one, running[one].poll().unwrap()?)));
        if let Some(ended) = ended {
            break ended;
        }
        assert!(begun.elapsed() < LIMIT, "both go on");
        std::thread::sleep(std::time::Duration::from_millis(50));
    };
    ended.expect_failure(64, &["consumer of another database"]).unwrap();
    envs[1 - loser].wait_for(READ, records);
    let [first, second] = running;
    let winner = if loser == 0 { second } else { first };
    winner.stop(LIMIT).unwrap().expect_code(0).unwrap();
    envs[1 - loser].check_accounting();
    saw(format!("one was refused after {:.0} s", begun.elapsed().as_secs_f64()));
}
