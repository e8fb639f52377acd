//! Services that are unavailable, and locks that others have.

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use sqlx::{Connection, Executor};

use crate::fixture::{Ended, Fixture, check};

#[tokio::test]
async fn postgres_that_stays_down_is_unavailable() {
    let fixture = Fixture::new();
    // A port that is free again is one where no server listens.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let began = Instant::now();
    let url = format!("postgres://admin:s3cret@127.0.0.1:{port}");
    let ended: Ended = fixture.command(&["up", "--wait", "1s"]).env("DATABASE_URL", url).output().await.unwrap().into();
    check(&ended, 69, &["waiting for postgres at 127.0.0.1", "does not answer after 1s"]);
    assert!(!ended.stderr.contains("s3cret"));
    assert!(began.elapsed() >= Duration::from_secs(1), "it ended after {:?}", began.elapsed());
}

#[tokio::test]
async fn a_refused_login_is_not_waited_for() {
    let fixture = Fixture::new();
    let began = Instant::now();
    let url = fixture.url("nobody_of_this_name");
    let ended = fixture.command(&["up"]).env("DATABASE_URL", url).output().await.unwrap();
    check(
        &ended.into(),
        64,
        &[
            "cannot log in; check DATABASE_URL: role \"nobody_of_this_name\" does not exist (SQLSTATE 28000) exit_code=64",
        ],
    );
    assert!(began.elapsed() < Duration::from_secs(30));
}

#[tokio::test]
async fn another_migrate_is_waited_for_and_no_longer_than_set() {
    let fixture = Fixture::new();
    let mut holder = fixture.create_database().await;
    holder.execute("SELECT pg_advisory_lock(x'7472696275746172'::bigint)").await.unwrap();
    check(&fixture.run(&["up", "--wait", "300ms"]).await, 69, &["another migrate is still at work after 300ms"]);

    let child = fixture.start(&["up", "--wait", "60s"]);
    tokio::time::sleep(Duration::from_millis(500)).await;
    holder.close().await.unwrap();
    let ended = Ended::from(child.wait_with_output().await.unwrap());
    check(&ended, 0, &["waiting until it is done", "the schema is up to date"]);
    fixture.finish().await;
}
