//! Two at once, one after another, and one that was killed.

use std::time::Duration;

use sqlx::Executor;
use tokio::time::sleep;

use crate::fixture::{Ended, Fixture, check, scalar};

#[tokio::test]
async fn two_at_once_make_one_schema() {
    let fixture = Fixture::new();
    let started: Vec<_> = (0..4).map(|_| fixture.start(&["up"])).collect();
    let mut applied = 0;
    for child in started {
        let ended = Ended::from(child.wait_with_output().await.unwrap());
        check(&ended, 0, &["the schema is up to date"]);
        applied += ended.stderr.matches("applied a migration").count();
    }
    let mut connection = fixture.connect().await;
    let recorded: i64 = scalar(
        &mut connection,
        "SELECT (SELECT count(*) FROM migrations_stream) + (SELECT count(*) FROM migrations_emissions)",
    )
    .await;
    assert_eq!(i64::try_from(applied).unwrap(), recorded);
    fixture.finish().await;
}

#[tokio::test]
async fn a_second_run_changes_nothing() {
    let fixture = Fixture::new();
    fixture.up().await;
    let again = fixture.up().await;
    assert!(!again.stderr.contains("applied a migration") && !again.stderr.contains("created"), "{}", again.stderr);
    fixture.finish().await;
}

#[tokio::test]
async fn one_that_was_killed_is_taken_up_by_the_next() {
    let fixture = Fixture::new();
    let mut other = fixture.create_database().await;
    // Someone else's uncommitted table of the same name blocks the migration that creates it, but not those before.
    other.execute("BEGIN; CREATE TABLE cluster_runs ()").await.unwrap();
    let mut child = fixture.start(&["up"]);
    let mut watcher = fixture.connect().await;
    let waiting = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() \
                   AND application_name = 'tributary migrate' AND wait_event_type = 'Lock')";
    while !scalar::<bool>(&mut watcher, waiting).await {
        assert_eq!(child.try_wait().unwrap(), None, "it ended before it could be killed");
        sleep(Duration::from_millis(20)).await;
    }
    child.kill().await.unwrap();
    assert_eq!(scalar::<i64>(&mut watcher, "SELECT count(*) FROM migrations_stream").await, 1);
    other.execute("ROLLBACK").await.unwrap();

    let ended = fixture.up().await;
    // All of the pipeline's; those of `stream` were applied before the kill.
    let rest = registry::databases::find("emissions").unwrap().folders[1].migrations().count();
    assert_eq!(ended.stderr.matches("applied a migration").count(), rest, "{}", ended.stderr);
    assert_eq!(scalar::<i64>(&mut watcher, "SELECT count(*) FROM cluster_runs").await, 0);
    fixture.finish().await;
}

#[tokio::test]
async fn a_signal_ends_it_with_nothing_half_done() {
    let fixture = Fixture::new();
    let mut other = fixture.create_database().await;
    other.execute("BEGIN; CREATE TABLE stream_offsets ()").await.unwrap();
    let child = fixture.start(&["up"]);
    let mut watcher = fixture.connect().await;
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                   AND application_name = 'tributary migrate' AND wait_event_type = 'Lock'";
    while scalar::<i64>(&mut watcher, waiting).await == 0 {
        sleep(Duration::from_millis(20)).await;
    }
    let pid = child.id().expect("it is running").to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    check(&Ended::from(child.wait_with_output().await.unwrap()), 69, &["SIGTERM", "run it again"]);
    other.execute("ROLLBACK").await.unwrap();
    fixture.up().await;
    fixture.finish().await;
}
