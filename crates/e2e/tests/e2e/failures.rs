//! What fails is tried again, what has changed behind a consumer's back is noticed, and readiness says so meanwhile.

use std::{
    thread,
    time::{Duration, Instant},
};

use testkit::probes::{self, Probes};

use crate::{
    datasets::Dataset,
    disturbed::STOP,
    env::{Env, LIMIT, READ, REFRESHED},
    orders::{reference, sendings},
    proxy::{Proxy, Weather},
    report::{saw, seconds},
    servers,
};

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap()
}

/// A consumer that is given partitions while PostgreSQL is unavailable cannot read them.
pub(crate) fn unready_while_added_partitions_wait_for_postgres<D: Dataset>() {
    let env = Env::<D>::new(4);
    let lines = D::world(1);
    env.produce(&lines);
    let proxy = Proxy::to(env.postgres_address());
    let first = env.consumer(&["--refresh-every", "10ms", "--listen", "127.0.0.1:0"]);
    let first = first.env("LOG_LEVEL", probes::LOG_LEVEL).env("DATABASE_URL", env.writer_url_at(proxy.address()));
    let mut first = first.start().unwrap();
    let probes = Probes::of(&mut first, LIMIT).unwrap();
    let mut second = env.follow(&[]);
    for consumer in [&mut first, &mut second] {
        consumer.wait_for_line("claimed and loaded", LIMIT).unwrap();
    }
    // Both have their part once the second has taken over from the first.
    env.wait_for("SELECT count(DISTINCT owner) FROM stream_offsets", 2);
    probes.wait_until_ok("/readyz", LIMIT).unwrap();
    proxy.set(Weather::Refused);
    second.kill().unwrap();
    first.wait_for_line("claiming partitions and loading their facts failed and will be retried", LIMIT).unwrap();
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(5) {
        let unready = probes.get("/readyz").unwrap_err();
        assert!(unready.contains("are being claimed and loaded") && unready.contains("postgres"), "{unready}");
        probes.get("/livez").unwrap();
        thread::sleep(Duration::from_millis(50));
    }
    proxy.set(Weather::Fair);
    probes.wait_until_ok("/readyz", LIMIT).unwrap();
    env.wait_for_or_say(READ, number(lines.len()), &first);
    first.stop(STOP).unwrap().expect_code(0).unwrap();
    env.check_changelog();
    saw(format!("unready for {} with the reason, ready again after", seconds(began.elapsed())));
}

/// Has the first two updates of a table fail for which this holds, as when a connection is lost.
fn fail_twice<D: Dataset>(env: &Env<D>, table: &str, when: &str) {
    env.execute(&format!(
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
    let env = Env::<D>::new(2);
    let lines = sendings::<D>(81).concat();
    env.produce(&lines);
    env.consume(1);
    // As if the topic had been another, longer one.
    env.execute("UPDATE stream_offsets SET next_offset = next_offset + 100000");
    fail_twice(&env, "stream_offsets", "NEW.generation > OLD.generation");
    let consumer = env.consumer(&["--until-end", "--reset-offsets"]);
    let ended = consumer.run(LIMIT).unwrap().expect_code(0).unwrap();
    assert!(ended.said("injected (SQLSTATE 57P01)") && ended.said("will be retried"), "{ended}");
    assert_eq!(env.hash(), reference::<D>());
    let generations: Vec<(i32,)> = env.query("SELECT DISTINCT generation FROM stream_offsets");
    assert_eq!(generations, [(2,)], "forgotten once");
    saw("tried again twice, forgotten once, hash as undisturbed");
}

pub(crate) fn a_hiccup_while_groups_are_moved_is_survived<D: Dataset>() {
    let env = Env::<D>::new(2);
    env.produce(&sendings::<D>(81).concat());
    env.consume(1);
    let partitions = "SELECT key, partition FROM key_partitions ORDER BY key";
    let (hash, before) = (env.hash(), env.query::<(String, i32)>(partitions));
    // As if every group's records had come from the other partition before.
    env.execute("UPDATE key_partitions SET partition = 1 - partition");
    env.execute(&format!("UPDATE {} SET owner_partition = 1 - owner_partition", D::SEGMENTS));
    env.execute(
        "UPDATE stream_offsets o SET last_id = other.last_id, refreshed_id = other.refreshed_id, redo_from = other.redo_from
         FROM stream_offsets other WHERE other.feed = o.feed AND other.partition = 1 - o.partition",
    );
    fail_twice(&env, "key_partitions", "true");
    let ended = env.consumer(&["repartition"]).run(LIMIT).unwrap().expect_code(0).unwrap();
    assert!(ended.said("injected (SQLSTATE 57P01)") && ended.said("will be retried"), "{ended}");
    assert_eq!(env.query::<(String, i32)>(partitions), before, "each belongs to the partition its records come from");
    env.consume(2);
    assert_eq!(env.hash(), hash);
    saw("tried again twice, moved once");
}

/// Something is changed under a consumer that has nothing to read: it notices, and reads again from there.
fn noticed_while_idle<D: Dataset>(says: &str, change: impl FnOnce(&Env<D>)) {
    let env = Env::<D>::new(2);
    let lines = D::world(1);
    env.produce(&lines);
    let mut consumer = env.follow(&[]);
    env.wait_for(REFRESHED, number(lines.len()));
    // What it still had to do would be refused, and it would notice by that.
    thread::sleep(Duration::from_secs(3));
    change(&env);
    let began = Instant::now();
    consumer.wait_for_line(says, Duration::from_secs(10)).unwrap();
    env.wait_for_or_say(READ, number(lines.len()), &consumer);
    let took = began.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?}");
    env.wait_for_or_say(REFRESHED, number(lines.len()), &consumer);
    consumer.stop(STOP).unwrap().expect_code(0).unwrap();
    env.check_changelog();
    saw(format!("noticed, and read again after {}", seconds(took)));
}

pub(crate) fn a_reset_is_noticed_though_no_record_comes<D: Dataset>() {
    noticed_while_idle::<D>("fenced", |env| {
        env.consumer(&["reset", "--yes"]).run(LIMIT).unwrap().expect_code(0).unwrap();
    });
}

pub(crate) fn an_older_copy_of_the_database_is_noticed_though_no_record_comes<D: Dataset>() {
    noticed_while_idle::<D>("the database has lost commits", |env| {
        let tables = [D::SEGMENTS, D::GROUPS, "ingest_accounting", "rejects", "key_partitions"];
        let deletes: String = tables.iter().map(|table| format!("DELETE FROM {table}; ")).collect();
        // At once, as a restored database appears: a query in between would see a state that never was.
        env.execute(&format!(
            "BEGIN; {deletes} UPDATE stream_offsets SET next_offset = NULL, refreshed_through = NULL, last_offset = NULL, \
             last_timestamp_ms = NULL, last_crc32 = NULL, max_timestamp_ms = 0, last_id = 0, refreshed_id = 0; COMMIT;"
        ));
    });
}

/// Kafka becomes unavailable twice: once for a moment, and once for longer than it may.
pub(crate) fn unready_while_kafka_is_unavailable_and_ended_with_the_reason<D: Dataset>() {
    let env = Env::<D>::on(crate::embedded(), 2);
    let lines = D::world(1);
    env.produce(&lines);
    let consumer = env.consumer(&["--listen", "127.0.0.1:0", "--outage-timeout", "40s"]);
    let mut consumer = consumer.env("LOG_LEVEL", probes::LOG_LEVEL).start().unwrap();
    let probes = Probes::of(&mut consumer, LIMIT).unwrap();
    probes.wait_until_ok("/readyz", LIMIT).unwrap();
    env.wait_for_or_say(READ, number(lines.len()), &consumer);
    env.brokers.embedded().pause().unwrap();
    probes.wait_until_not_ok("/readyz", &["kafka is unavailable: "], LIMIT).unwrap();
    env.brokers.embedded().resume().unwrap();
    probes.wait_until_ok("/readyz", LIMIT).unwrap();
    env.brokers.embedded().pause().unwrap();
    let ended = consumer.wait(LIMIT).unwrap();
    ended.expect_failure(69, &["has been unavailable for", "the last reason: ", "failed: Connection refused"]).unwrap();
    saw("unready with the reason, ready again; unavailable for longer: 69 with the reason");
}

/// A server that hangs keeps its connections, and sends nothing: an idle consumer has to notice it too.
pub(crate) fn a_postgres_that_hangs_is_noticed<D: Dataset>() {
    let env = Env::<D>::new(2);
    let lines = D::world(1);
    env.produce(&lines);
    let proxy = Proxy::to(env.postgres_address());
    let consumer = env.consumer(&["--refresh-every", "10ms", "--listen", "127.0.0.1:0"]);
    let consumer = consumer.env("LOG_LEVEL", probes::LOG_LEVEL).env("DATABASE_URL", env.writer_url_at(proxy.address()));
    let mut consumer = consumer.start().unwrap();
    let probes = Probes::of(&mut consumer, LIMIT).unwrap();
    env.wait_for_or_say(REFRESHED, number(lines.len()), &consumer);
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
    env.check_changelog();
    saw(format!("unready {} after it, ready again", seconds(noticed)));
}

/// The limit of threads is reached when a consumer has to load.
pub(crate) fn a_thread_that_cannot_start_is_69<D: Dataset>() {
    let env = Env::<D>::new(2);
    let lines = D::world(1);
    env.produce(&lines);
    let full = servers::folder("no-threads");
    let consumer = env.consumer(&["--refresh-every", "10ms"]);
    let consumer = consumer.env("LD_PRELOAD", servers::library("threads")).env("NO_THREADS", &full).start().unwrap();
    env.wait_for_or_say(REFRESHED, number(lines.len()), &consumer);
    std::fs::write(&full, "").unwrap();
    env.consumer(&["reset", "--yes"]).run(LIMIT).unwrap().expect_code(0).unwrap();
    let ended = consumer.wait(LIMIT).unwrap();
    // Either the thread that claims and loads again, or the one that requests the partitions' ends from Kafka.
    let named = ["loader", "topic-query"].map(|thread| format!("the thread {thread} cannot be started"));
    let said = ended.first_error().unwrap_or_default();
    assert!(named.iter().any(|name| said.contains(name)), "{said}");
    ended.expect_failure(69, &["check the limit of processes"]).unwrap();
    std::fs::remove_file(full).unwrap();
    env.consume(1);
    env.check_changelog();
    saw("exit 69, and the next run reads all");
}
