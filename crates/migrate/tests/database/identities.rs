//! The identity of a database: drawn once, kept, and never shared with a copy.

use sqlx::{AssertSqlSafe, Executor};

use crate::fixture::{Fixture, check, scalar};

const IDENTITY: &str = "SELECT identity::text FROM feeds";

#[tokio::test]
async fn it_is_drawn_once_and_kept() {
    let fixture = Fixture::new();
    check(&fixture.up().await, 0, &["gave the database an identity"]);
    let first: String = scalar(&mut fixture.connect().await, IDENTITY).await;
    let again = fixture.up().await;
    assert!(!again.stderr.contains("identity"), "{}", again.stderr);
    assert_eq!(scalar::<String>(&mut fixture.connect().await, IDENTITY).await, first);
    // The consumer has to read it.
    assert_eq!(scalar::<String>(&mut fixture.connect_as("writer").await, IDENTITY).await, first);
    fixture.finish().await;
}

#[tokio::test]
async fn a_copy_gets_its_own_and_the_original_keeps_its() {
    let (original, copy) = (Fixture::new(), Fixture::new());
    original.up().await;
    let first: String = scalar(&mut original.connect().await, IDENTITY).await;
    let make = format!("CREATE DATABASE {} TEMPLATE {}", copy.name, original.name);
    copy.server().await.execute(AssertSqlSafe(make)).await.unwrap();
    let url = copy.url(copy.options("postgres").get_username());
    // The copy's tables belong to the original's owner.
    let migrate = async |arguments: &[&str]| {
        original.command(arguments).env("DATABASE_URL", &url).output().await.expect("the binary starts").into()
    };
    let status: crate::fixture::Ended = migrate(&["status"]).await;
    assert!(status.stdout.contains("a copy of another database; run `up`"), "{}", status.stdout);
    check(&migrate(&["up"]).await, 0, &["gave the database an identity"]);
    assert_ne!(scalar::<String>(&mut copy.connect().await, IDENTITY).await, first);
    original.up().await;
    assert_eq!(scalar::<String>(&mut original.connect().await, IDENTITY).await, first);
    copy.finish().await;
    original.finish().await;
}

#[tokio::test]
async fn a_dump_that_another_server_restores_is_a_copy_too() {
    let fixture = Fixture::new();
    fixture.up().await;
    let mut connection = fixture.connect().await;
    let first: String = scalar(&mut connection, IDENTITY).await;
    // What a restored row looks like: the other server's number, and by chance the same oid.
    connection.execute("UPDATE feeds SET system_identifier = system_identifier + 1").await.unwrap();
    fixture.up().await;
    assert_ne!(scalar::<String>(&mut connection, IDENTITY).await, first);
    fixture.finish().await;
}

#[tokio::test]
async fn it_is_kept_where_the_servers_number_may_not_be_read() {
    let fixture = Fixture::new();
    fixture.up().await;
    let mut connection = fixture.connect().await;
    let first: String = scalar(&mut connection, IDENTITY).await;
    connection.execute("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC").await.unwrap();
    fixture.up().await;
    assert_eq!(scalar::<String>(&mut connection, IDENTITY).await, first);
    fixture.finish().await;
}
