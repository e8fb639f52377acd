//! One `migrate` at a time, without ever blocking inside the database.

use std::time::Duration;

use service::{Exit, Failure, backoff::Backoff};
use sqlx::PgConnection;
use tokio::time::sleep;

use crate::judge::Judge;

/// The advisory lock's number, in every database: the first eight letters of the project's name.
const KEY: i64 = i64::from_be_bytes(*b"tributar");

/// Takes the connected database's lock for as long as the connection lives.
///
/// It is polled: a session that blocks in `pg_advisory_lock` keeps its snapshot, for which a concurrent index build
/// of the holder would wait for ever.
///
/// # Errors
/// Exit 69 when somebody else still holds it after `wait`.
pub(crate) async fn hold(connection: &mut PgConnection, wait: Duration) -> anyhow::Result<()> {
    let mut backoff = Backoff::new(wait);
    let mut told = false;
    loop {
        let held: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)")
            .bind(KEY)
            .fetch_one(&mut *connection)
            .await
            .or_judge(|| "cannot take the migration lock".to_owned())?;
        if held {
            return Ok(());
        }
        if !told {
            tracing::info!("another migrate is at work; waiting until it is done");
            told = true;
        }
        let Some(pause) = backoff.wait() else {
            let message = format!("another migrate is still at work after {wait:.0?}; run this again later");
            return Err(Failure::new(Exit::Unavailable, message).into());
        };
        sleep(pause).await;
    }
}
