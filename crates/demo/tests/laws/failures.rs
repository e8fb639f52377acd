//! What fails is tried again, what has changed behind a consumer's back is noticed, and readiness says so meanwhile.

use std::{
    thread,
    time::{Duration, Instant},
};

use demo::probes::{self, Probes};

use crate::{
    datasets::Dataset,
    disturbed::STOP,
    orders::{reference, sendings},
    proxy::{Proxy, Weather},
    report::{saw, seconds},
    road::{LIMIT, PUBLISHED, READ, Road},
    servers,
};

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap()
}

/// A consumer that is given partitions while PostgreSQL is away cannot read them.
pub(crate) fn unready_while_added_partitions_wait_for_postgres<D: Dataset>() {
    let road = Road::<D>::new(4);
    let lines = D::world(1);
    road.produce(&lines);
    let proxy = Proxy::to(road.postgres_address());
    let first = road.consumer(&["--publish-every", "10ms", "--listen", "127.0.0.1:0"]);
    let first = first.env("LOG_LEVEL", probes::LOG_LEVEL).env("DATABASE_URL", road.writer_url_at(proxy.address()));
    let mut first = first.start().unwrap();
    let probes = Probes::of(&mut first, LIMIT).unwrap();
    let mut second = road.follow(&[]);
    for consumer in [&mut first, &mut second] {
        consumer.wait_for_line("claimed and loaded", LIMIT).unwrap();
    }
    // Both have their part once the second has taken over from the first.
    road.wait_for("SELECT count(DISTINCT owner) FROM stream_offsets", 2);
    probes.wait_until_ok("/readyz", LIMIT).unwrap();
    proxy.set(Weather::Refused);
    second.kill().unwrap();
    first.wait_for_line("claiming partitions and loading their facts failed and will be retried", LIMIT).unwrap();
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(5) {
        let unready = probes.ask("/readyz").unwrap_err();
        assert!(unready.contains("are being claimed and loaded") && unready.contains("postgres"), "{unready}");
        probes.ask("/livez").unwrap();
        thread::sleep(Duration::from_millis(50));
    }
    proxy.set(Weather::Fair);
    probes.wait_until_ok("/readyz", LIMIT).unwrap();
    road.wait_for_or_say(READ, number(lines.len()), &first);
    first.stop(STOP).unwrap().expect_code(0).unwrap();
    road.check_changelog();
    saw(format!("unready for {} with the reason, ready again after", seconds(began.elapsed())));
}

/// Has the first two updates of a table fail for which this holds, as when a connection is lost.
fn fail_twice<D: Dataset>(road: &Road<D>, table: &str, when: &str) {
    road.execute(&format!(
        "CREATE SEQUENCE failures; GRANT USAGE ON SEQUENCE failures TO PUBLIC;
         CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             IF nextval('failures') <= 2 THEN RAISE EXCEPTION 'injected' USING ERRCODE = '57P01'; END IF;
             RETURN NEW;
         END $$;
         CREATE TRIGGER fail BEFORE UPDATE ON {table} FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION fail();"
    ));
}

pub(crate) fn a_hiccup_while_offsets_are_forgotten_is_survived<D: Dataset>() {
    let road = Road::<D>::new(2);
    let lines = sendings::<D>(81).concat();
    road.produce(&lines);
    road.consume(1);
    // As if the topic had been another, longer one.
    road.execute("UPDATE stream_offsets SET next_offset = next_offset + 100000");
    fail_twice(&road, "stream_offsets", "NEW.generation > OLD.generation");
    let consumer = road.consumer(&["--until-end", "--reset-offsets"]);
    let ended = consumer.run(LIMIT).unwrap().expect_code(0).unwrap();
    assert!(ended.said("injected (SQLSTATE 57P01)") && ended.said("will be retried"), "{ended}");
    assert_eq!(road.hash(), reference::<D>());
    let generations: Vec<(i32,)> = road.query("SELECT DISTINCT generation FROM stream_offsets");
    assert_eq!(generations, [(2,)], "forgotten once");
    saw("tried again twice, forgotten once, hash as undisturbed");
}

pub(crate) fn a_hiccup_while_groups_are_moved_is_survived<D: Dataset>() {
    let road = Road::<D>::new(2);
    road.produce(&sendings::<D>(81).concat());
    road.consume(1);
    let homes = "SELECT route, home FROM group_homes ORDER BY route";
    let (hash, before) = (road.hash(), road.query::<(String, i32)>(homes));
    // As if every group's records had come from the other partition before.
    road.execute("UPDATE group_homes SET home = 1 - home");
    road.execute(&format!("UPDATE {} SET home = 1 - home", D::CHANGELOG));
    fail_twice(&road, "group_homes", "true");
    let ended = road.consumer(&["rehome"]).run(LIMIT).unwrap().expect_code(0).unwrap();
    assert!(ended.said("injected (SQLSTATE 57P01)") && ended.said("will be retried"), "{ended}");
    assert_eq!(road.query::<(String, i32)>(homes), before, "each lives where its records come from");
    road.consume(2);
    assert_eq!(road.hash(), hash);
    saw("tried again twice, moved once");
}

/// Something is changed under a consumer that has nothing to read: it notices, and reads again from there.
fn noticed_while_idle<D: Dataset>(says: &str, change: impl FnOnce(&Road<D>)) {
    let road = Road::<D>::new(2);
    let lines = D::world(1);
    road.produce(&lines);
    let mut consumer = road.follow(&[]);
    road.wait_for(PUBLISHED, number(lines.len()));
    // What it still had to do would be refused, and it would notice by that.
    thread::sleep(Duration::from_secs(3));
    change(&road);
    let began = Instant::now();
    consumer.wait_for_line(says, Duration::from_secs(10)).unwrap();
    road.wait_for_or_say(READ, number(lines.len()), &consumer);
    let took = began.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?}");
    road.wait_for_or_say(PUBLISHED, number(lines.len()), &consumer);
    consumer.stop(STOP).unwrap().expect_code(0).unwrap();
    road.check_changelog();
    saw(format!("noticed, and read again after {}", seconds(took)));
}

pub(crate) fn a_reset_is_noticed_though_no_record_comes<D: Dataset>() {
    noticed_while_idle::<D>("fenced", |road| {
        road.consumer(&["reset", "--yes"]).run(LIMIT).unwrap().expect_code(0).unwrap();
    });
}

pub(crate) fn an_older_copy_of_the_database_is_noticed_though_no_record_comes<D: Dataset>() {
    noticed_while_idle::<D>("the database has lost commits", |road| {
        let tables = [D::CHANGELOG, D::GROUPS, "ingest_accounting", "rejects", "group_homes"];
        let deletes: String = tables.iter().map(|table| format!("DELETE FROM {table}; ")).collect();
        // At once, as a restored database appears: a look in between would see a state that never was.
        road.execute(&format!(
            "BEGIN; {deletes} UPDATE stream_offsets SET next_offset = NULL, published_through = NULL, last_offset = NULL, \
             last_timestamp_ms = NULL, last_crc32 = NULL, max_timestamp_ms = 0, last_id = 0, refreshed_id = 0; COMMIT;"
        ));
    });
}

/// Kafka goes away twice: once for a moment, and once for longer than it may.
pub(crate) fn unready_while_kafka_is_away_and_ended_with_the_reason<D: Dataset>() {
    let road = Road::<D>::on(crate::embedded(), 2);
    let lines = D::world(1);
    road.produce(&lines);
    let consumer = road.consumer(&["--listen", "127.0.0.1:0", "--away", "20s"]);
    let mut consumer = consumer.env("LOG_LEVEL", probes::LOG_LEVEL).start().unwrap();
    let probes = Probes::of(&mut consumer, LIMIT).unwrap();
    probes.wait_until_ok("/readyz", LIMIT).unwrap();
    road.wait_for_or_say(READ, number(lines.len()), &consumer);
    road.brokers.embedded().pause().unwrap();
    probes.wait_until_not_ok("/readyz", &["kafka is unavailable: "], LIMIT).unwrap();
    road.brokers.embedded().resume().unwrap();
    probes.wait_until_ok("/readyz", LIMIT).unwrap();
    road.brokers.embedded().pause().unwrap();
    let ended = consumer.wait(LIMIT).unwrap();
    ended.expect_failure(69, &["has been away for", "the last reason: ", "failed: Connection refused"]).unwrap();
    saw("unready with the reason, ready again; away for longer: 69 with the reason");
}

/// A server that hangs keeps its connections, and answers nothing: that nothing is to be done is no reason not to notice.
pub(crate) fn a_postgres_that_hangs_is_noticed<D: Dataset>() {
    let road = Road::<D>::new(2);
    let lines = D::world(1);
    road.produce(&lines);
    let proxy = Proxy::to(road.postgres_address());
    let consumer = road.consumer(&["--publish-every", "10ms", "--listen", "127.0.0.1:0"]);
    let consumer =
        consumer.env("LOG_LEVEL", probes::LOG_LEVEL).env("DATABASE_URL", road.writer_url_at(proxy.address()));
    let mut consumer = consumer.start().unwrap();
    let probes = Probes::of(&mut consumer, LIMIT).unwrap();
    road.wait_for_or_say(PUBLISHED, number(lines.len()), &consumer);
    probes.wait_until_ok("/readyz", LIMIT).unwrap();
    // A refresh that is under way may take longer.
    thread::sleep(Duration::from_secs(2));
    let began = Instant::now();
    proxy.set(Weather::Silent);
    probes.wait_until_not_ok("/readyz", &["postgres is unavailable", "no answer for 15 s"], LIMIT).unwrap();
    let noticed = began.elapsed();
    proxy.set(Weather::Fair);
    probes.wait_until_ok("/readyz", LIMIT).unwrap();
    consumer.stop(STOP).unwrap().expect_code(0).unwrap();
    road.check_changelog();
    saw(format!("unready {} after it, ready again", seconds(noticed)));
}

/// The limit of threads is reached when a consumer has to load.
pub(crate) fn a_thread_that_cannot_start_is_69<D: Dataset>() {
    let road = Road::<D>::new(2);
    let lines = D::world(1);
    road.produce(&lines);
    let full = servers::folder("no-threads");
    let consumer = road.consumer(&["--publish-every", "10ms"]);
    let consumer = consumer.env("LD_PRELOAD", servers::library("threads")).env("NO_THREADS", &full).start().unwrap();
    road.wait_for_or_say(PUBLISHED, number(lines.len()), &consumer);
    std::fs::write(&full, "").unwrap();
    road.consumer(&["reset", "--yes"]).run(LIMIT).unwrap().expect_code(0).unwrap();
    let ended = consumer.wait(LIMIT).unwrap();
    // Either the one that claims and loads again, or the one that asks Kafka how far behind the partitions are meanwhile.
    let named = ["loader", "look"].map(|thread| format!("the thread {thread} cannot be started"));
    let said = ended.first_error().unwrap_or_default();
    assert!(named.iter().any(|name| said.contains(name)), "{said}");
    ended.expect_failure(69, &["check the limit of processes"]).unwrap();
    std::fs::remove_file(full).unwrap();
    road.consume(1);
    road.check_changelog();
    saw("exit 69, and the next run reads all");
}
