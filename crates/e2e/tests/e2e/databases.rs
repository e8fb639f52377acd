//! PostgreSQL dies, refuses, cuts us off, or returns an error, and comes back.

use std::{
    thread,
    time::{Duration, Instant},
};

use testkit::{
    probes::{self, Probes},
    process::Program,
};

use crate::{
    datasets::Dataset,
    disturbed,
    env::{Env, LIMIT, lock},
    kafka,
    proxy::{Proxy, Weather},
    random::Random,
    report::{saw, seconds},
    servers,
};

/// A consumer that refreshes as often as it can, in batches small enough for many commits.
fn busy<D: Dataset>(env: &Env<D>) -> Program {
    env.consumer(&["--refresh-every", "10ms", "--batch-size", "10"])
}

pub(crate) fn postgres_stops_in_mid_transaction<D: Dataset>() {
    let postgres = servers::postgres();
    let env = Env::<D>::at(crate::kafka::any(), postgres.url(), 3);
    disturbed::run(&env, busy(&env), |consumer| {
        for _ in 0..3 {
            // A transaction that cannot end: the statement waits for us.
            env.while_locked(&lock(D::SEGMENTS), || {
                env.wait_for(BLOCKED, 1);
                postgres.kill().unwrap();
            });
            thread::sleep(Duration::from_secs(1));
            postgres.revive().unwrap();
        }
        consumer.wait_for_line("failed and will be retried", LIMIT).unwrap();
    });
    saw("3 immediate shutdowns in mid-transaction");
}

/// How many of our statements wait for somebody's lock.
pub(crate) const BLOCKED: &str =
    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";

/// Ends the sessions of our programs that do something now, waits until they are gone, and counts them.
fn terminate(which: &str) -> String {
    format!(
        "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = 'tributary' AND {which}"
    )
}

pub(crate) fn sessions_are_ended_at_random_moments<D: Dataset>() {
    let env = Env::<D>::new(3);
    let mut random = Random::new(5);
    disturbed::run(&env, busy(&env), |_| {
        let mut ended = 0;
        for _ in 0..10 {
            thread::sleep(Duration::from_millis(random.below(400) as u64));
            ended += env.number(&terminate("true"));
        }
        assert!(ended > 0, "nobody was there to be ended");
        saw(format!("{ended} sessions ended by pg_terminate_backend"));
    });
}

pub(crate) fn sessions_are_ended_in_mid_copy<D: Dataset>() {
    let env = Env::<D>::new(3);
    // Every fifth segment: of its COPY some have been copied then, and some have not.
    env.execute(&slow(5, 100));
    env.execute(&format!("CREATE TRIGGER slow BEFORE INSERT ON {} FOR EACH ROW EXECUTE FUNCTION slow()", D::SEGMENTS));
    disturbed::run(&env, busy(&env), |_| {
        for _ in 0..3 {
            let copying = "wait_event = 'PgSleep' AND pid IN (
                SELECT pid FROM pg_stat_progress_copy WHERE command = 'COPY FROM' AND tuples_processed > 0)";
            env.wait_for(&terminate(copying), 1);
        }
    });
    saw("3 sessions ended in mid-COPY, some of its rows copied");
}

/// Has every so-manieth row or commit of the first `most` take half a second, for a trigger that is yet to be made.
fn slow(every: u32, most: u32) -> String {
    format!(
        "CREATE SEQUENCE slow; GRANT USAGE ON SEQUENCE slow TO PUBLIC;
         CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ DECLARE n bigint := nextval('slow'); BEGIN
             IF n % {every} = 0 AND n <= {most} THEN PERFORM pg_sleep(0.5); END IF;
             RETURN NEW;
         END $$"
    )
}

pub(crate) fn sessions_are_ended_at_commit<D: Dataset>() {
    let env = Env::<D>::new(3);
    env.execute(&slow(1, 30));
    // Within COMMIT.
    env.execute(
        "CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON ingest_accounting
         DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slow()",
    );
    disturbed::run(&env, busy(&env), |_| {
        for _ in 0..3 {
            env.wait_for(&terminate("query = 'COMMIT' AND wait_event = 'PgSleep'"), 1);
        }
    });
    saw("3 sessions ended within COMMIT");
}

pub(crate) fn the_response_to_commit_is_lost<D: Dataset>() {
    let env = Env::<D>::new(3);
    let proxy = Proxy::to(env.postgres_address());
    let consumer = busy(&env).env("DATABASE_URL", env.writer_url_at(proxy.address()));
    disturbed::run(&env, consumer, |_| {
        proxy.lose_commits(5);
        let deadline = Instant::now() + LIMIT;
        while proxy.commits_to_lose() > 0 {
            assert!(Instant::now() < deadline, "no commit passed by");
            thread::sleep(Duration::from_millis(20));
        }
    });
    saw("5 commits that Postgres had done and whose response the consumer never got");
}

/// Postgres refuses connections for a time; the consumer is unready and alive.
fn refused<D: Dataset>(outage: Duration) {
    let env = Env::<D>::new(3);
    let proxy = Proxy::to(env.postgres_address());
    let consumer = busy(&env).args(["--listen", "127.0.0.1:0"]).env("LOG_LEVEL", probes::LOG_LEVEL);
    let consumer = consumer.env("DATABASE_URL", env.writer_url_at(proxy.address()));
    disturbed::run(&env, consumer, |consumer| {
        let probes = Probes::of(consumer, LIMIT).unwrap();
        probes.wait_until_ok("/readyz", LIMIT).unwrap();
        proxy.set(Weather::Refused);
        let began = Instant::now();
        let unready = probes.wait_until_not_ok("/readyz", &[], LIMIT).unwrap();
        assert!(unready.contains("postgres is unavailable"), "{unready}");
        while began.elapsed() < outage {
            probes.get("/livez").unwrap();
            assert!(probes.get("/readyz").is_err());
            thread::sleep(Duration::from_millis(250));
        }
        proxy.set(Weather::Fair);
        let back = Instant::now();
        probes.wait_until_ok("/readyz", LIMIT).unwrap();
        saw(format!("unready and alive for {}, ready {} after", seconds(outage), seconds(back.elapsed())));
    });
}

pub(crate) fn postgres_refuses_for_some_seconds<D: Dataset>() {
    refused::<D>(Duration::from_secs(4));
}

pub(crate) fn postgres_refuses_for_a_minute<D: Dataset>() {
    refused::<D>(Duration::from_secs(60));
}

/// Has statements fail: every third write of a batch and of a refresh, until it has been enough, with one of these
/// codes in turn.
fn failing(tables: &[&str], codes: &[&str]) -> String {
    let codes = codes.iter().map(|code| format!("'{code}'")).collect::<Vec<_>>().join(", ");
    let mut sql = format!(
        "CREATE SEQUENCE failures; GRANT USAGE ON SEQUENCE failures TO PUBLIC;
         CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
         DECLARE n bigint := nextval('failures'); codes text[] := ARRAY[{codes}];
         BEGIN
             IF n % 3 = 0 AND n <= 24 THEN
                 RAISE EXCEPTION 'injected' USING ERRCODE = codes[1 + (n / 3) % cardinality(codes)];
             END IF;
             RETURN NULL;
         END $$;"
    );
    for table in tables {
        sql += &format!("CREATE TRIGGER fail BEFORE INSERT ON {table} FOR EACH STATEMENT EXECUTE FUNCTION fail();");
    }
    sql
}

fn fails_and_is_tried_again<D: Dataset>(codes: &[&str]) {
    let env = Env::<D>::new(3);
    env.execute(&failing(&["ingest_accounting", D::GROUPS], codes));
    disturbed::run(&env, busy(&env), |consumer| {
        for code in codes {
            consumer.wait_for_line(&format!("injected (SQLSTATE {code})"), LIMIT).unwrap();
        }
        env.wait_for("SELECT last_value FROM failures", 24);
    });
    saw(format!("8 statements failed and were named with {}", codes.join(" and ")));
}

pub(crate) fn serialization_failures_and_deadlocks_are_tried_again<D: Dataset>() {
    fails_and_is_tried_again::<D>(&["40001", "40P01"]);
}

pub(crate) fn a_full_disk_is_waited_for<D: Dataset>() {
    fails_and_is_tried_again::<D>(&["53100"]);
}

/// A lock of somebody else's transaction is named when it has lasted.
fn locked<D: Dataset>(table: &str) {
    let env = Env::<D>::new(3);
    disturbed::run(&env, busy(&env), |consumer| {
        let line = env.while_locked(&lock(table), || consumer.wait_for_line("lock timeout", LIMIT).unwrap());
        assert!(line.contains("will be retried"), "{line}");
        saw(format!("named: {}", line.split_once("error=").map_or(&*line, |(_, error)| error)));
    });
}

pub(crate) fn a_lock_that_blocks_a_batch_is_named<D: Dataset>() {
    locked::<D>(D::SEGMENTS);
}

pub(crate) fn a_lock_that_blocks_a_refresh_is_named<D: Dataset>() {
    locked::<D>(D::GROUPS);
}

/// A tablespace on its own small file system; gone when dropped.
struct Small(std::path::PathBuf);

impl Small {
    /// `None` where no file system can be mounted.
    fn mount() -> Option<Self> {
        // Not in target/: the server runs as another user, who may have no access to it.
        let folder = std::env::temp_dir().join(servers::folder("tributary-small").file_name()?);
        std::fs::create_dir_all(&folder).ok()?;
        let small = Self(folder);
        let options = ["-t", "tmpfs", "-o", "size=4m,mode=0777", "tmpfs"];
        let mounted = std::process::Command::new("mount").args(options).arg(&small.0).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(small)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Lazily: the server may still have a file open.
        drop(std::process::Command::new("umount").arg("--lazy").arg(&self.0).output());
        drop(std::fs::remove_dir(&self.0));
    }
}

pub(crate) fn a_tablespace_fills_up_and_is_emptied<D: Dataset>() {
    let Some(small) = Small::mount() else {
        return crate::report::skip(D::PIPELINE, "a tablespace fills up", "no file system can be mounted: not root");
    };
    let env = Env::<D>::on(kafka::best(), 3);
    let inside = small.0.join("data");
    std::fs::create_dir(&inside).unwrap();
    env.own_by_server(&inside);
    let name = format!("small_{}", env.topic);
    env.execute(&format!("CREATE TABLESPACE {name} LOCATION '{}'", inside.display()));
    env.execute(&format!("ALTER TABLE {} SET TABLESPACE {name}", D::SEGMENTS));
    disturbed::run(&env, busy(&env), |consumer| {
        fill(&env, &name);
        let line = consumer.wait_for_line("No space left on device (SQLSTATE 53100)", LIMIT).unwrap();
        assert!(line.contains("will be retried"), "{line}");
        env.execute("DROP TABLE filler");
        saw("53100 named while the disk is full, and gone on when it is not");
    });
    env.execute(&format!("ALTER TABLE {} SET TABLESPACE pg_default", D::SEGMENTS));
    env.execute(&format!("DROP TABLESPACE {name}"));
}

/// Fills a tablespace to its last page.
fn fill<D: Dataset>(env: &Env<D>, tablespace: &str) {
    env.execute(&format!("CREATE UNLOGGED TABLE filler (bytes text) TABLESPACE {tablespace}"));
    env.execute("ALTER TABLE filler ALTER bytes SET STORAGE PLAIN");
    let one = "INSERT INTO filler SELECT repeat('x', 7000) FROM generate_series(1, ";
    for rows in [64, 8, 1] {
        while env.try_execute(&format!("{one}{rows})")).is_ok() {}
    }
}
