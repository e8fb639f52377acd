//! The role and the database of Superset's own metadata.

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::fixture::{Ended, Fixture, check, scalar};

/// `migrate up` by a login, with a password for Superset's role.
async fn up_as(fixture: &Fixture, login: &str, password: &str) -> Ended {
    let mut command = fixture.command(&["up"]);
    let command = command.env("DATABASE_URL", fixture.url(login)).env("SUPERSET_PASSWORD", password);
    command.env("LOG_LEVEL", "trace").output().await.unwrap().into()
}

fn superuser(fixture: &Fixture) -> String {
    fixture.options("postgres").get_username().to_owned()
}

/// What a role gets when it connects to Superset's database: the connection, or the SQLSTATE.
async fn enter(fixture: &Fixture, role: &str) -> Result<PgConnection, String> {
    let options = fixture.options(&fixture.role("superset")).username(&fixture.role(role));
    let error = match PgConnection::connect_with(&options).await {
        Ok(connection) => return Ok(connection),
        Err(error) => error,
    };
    Err(error.as_database_error().and_then(|error| error.code()).unwrap_or_default().into_owned())
}

async fn status(fixture: &Fixture) -> String {
    let status = fixture.run(&["status"]).await;
    check(&status, 0, &[]);
    let role = fixture.role("superset");
    let line = status.stdout.lines().find_map(|line| line.strip_prefix(&role));
    line.expect("status shows the role").trim().to_owned()
}

#[tokio::test]
async fn superset_has_a_role_and_a_database_nobody_else_enters() {
    let fixture = Fixture::new();
    fixture.up().await;
    assert_eq!(status(&fixture).await, "missing; `up` makes it when SUPERSET_PASSWORD is set");
    let mut verifiers = Vec::new();
    for password in ["first-s3cret", "second-s3cret"] {
        let ended = up_as(&fixture, &superuser(&fixture), password).await;
        check(&ended, 0, &["set the role's password"]);
        assert!(!ended.stderr.contains("s3cret") && !ended.stderr.contains("SCRAM"), "{}", ended.stderr);
        let mut connection = fixture.connect().await;
        let stored = "SELECT rolpassword FROM pg_authid WHERE rolname = current_database() || '_superset'";
        verifiers.push(scalar::<String>(&mut connection, stored).await);
    }
    assert!(verifiers.iter().all(|verifier| verifier.starts_with("SCRAM-SHA-256$4096:")), "{verifiers:?}");
    assert_ne!(verifiers[0], verifiers[1]);
    assert_eq!(status(&fixture).await, format!("exists; owns database {}", fixture.role("superset")));

    let mut superset = enter(&fixture, "superset").await.unwrap();
    superset.execute("CREATE TABLE dashboards (); CREATE SCHEMA other; DROP TABLE dashboards").await.unwrap();
    for role in ["owner", "writer", "reader"] {
        assert_eq!(enter(&fixture, role).await.map(drop), Err("42501".to_owned()), "{role}");
    }
    let elsewhere = fixture.options(&fixture.name).username(&fixture.role("superset"));
    let error = PgConnection::connect_with(&elsewhere).await.unwrap_err();
    assert_eq!(error.as_database_error().unwrap().code().as_deref(), Some("42501"));
    superset.close().await.unwrap();
    fixture.finish().await;
}

#[tokio::test]
async fn a_login_without_superpowers_can_make_them_too() {
    let fixture = Fixture::new();
    let admin = fixture.role("admin");
    let create = format!("CREATE ROLE {admin} LOGIN CREATEROLE CREATEDB");
    fixture.server().await.execute(AssertSqlSafe(create)).await.unwrap();
    for _ in 0..2 {
        check(&up_as(&fixture, &admin, "s3cret").await, 0, &["the schema is up to date"]);
    }
    let mut superset = enter(&fixture, "superset").await.unwrap();
    superset.execute("CREATE TABLE dashboards ()").await.unwrap();
    assert_eq!(enter(&fixture, "reader").await.map(drop), Err("42501".to_owned()));
    superset.close().await.unwrap();
    fixture.finish().await;
}

#[tokio::test]
async fn several_at_once_make_one() {
    let fixture = Fixture::new();
    let login = superuser(&fixture);
    let (a, b, c) = tokio::join!(
        up_as(&fixture, &login, "s3cret"),
        up_as(&fixture, &login, "s3cret"),
        up_as(&fixture, &login, "s3cret")
    );
    for ended in [a, b, c] {
        check(&ended, 0, &["the schema is up to date"]);
    }
    drop(enter(&fixture, "superset").await.unwrap());
    fixture.finish().await;
}

#[tokio::test]
async fn a_database_of_somebody_elses_is_left_alone() {
    let fixture = Fixture::new();
    let (login, database) = (superuser(&fixture), fixture.role("superset"));
    fixture.server().await.execute(AssertSqlSafe(format!("CREATE DATABASE {database}"))).await.unwrap();
    let named = [format!("database {database} belongs to {login}"), "another SUPERSET_DATABASE".to_owned()];
    check(&up_as(&fixture, &login, "s3cret").await, 65, &[&named[0], &named[1]]);
    assert_eq!(status(&fixture).await, format!("exists; database {database} belongs to {login}"));
    drop(enter(&fixture, "superset").await.expect("its privileges are as they were"));

    let mut command = fixture.command(&["up"]);
    let command = command.env("SUPERSET_PASSWORD", "s3cret").env("SUPERSET_DATABASE", &fixture.name);
    check(&command.output().await.unwrap().into(), 64, &["holds the pipeline's tables"]);
    fixture.finish().await;
}
