//! One `migrate` at a time, without ever blocking inside the database.

use std::time::Duration;

use service::{Exit, Failure, backoff::Backoff};
use sqlx::PgConnection;
use tokio::time::sleep;

use crate::sql_errors::OrFailure;

/// The advisory lock's number, in every database: the first eight letters of the project's name.
const KEY: i64 = i64::from_be_bytes(*b"tributar");

/// Takes the connected database's lock for as long as the connection exists.
///
/// It is polled: a session that blocks in `pg_advisory_lock` keeps its snapshot, for which a concurrent index build
/// of the holder would wait for ever.
///
/// # Errors
/// Exit 69 when another session still has it after `wait`.
pub(crate) async fn take(connection: &mut PgConnection, wait: Duration) -> anyhow::Result<()> {
    let mut backoff = Backoff::new(wait);
    let mut logged = false;
    loop {
        let taken: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)")
            .bind(KEY)
            .fetch_one(&mut *connection)
            .await
            .or_failure(|| "cannot take the migration lock".to_owned())?;
        if taken {
            return Ok(());
        }
        if !logged {
            tracing::info!("another migrate is at work; waiting until it is done");
            logged = true;
        }
        let Some(pause) = backoff.wait() else {
            let message = format!("another migrate is still at work after {wait:.0?}; run this again later");
            return Err(Failure::new(Exit::Unavailable, message).into());
        };
        sleep(pause).await;
    }
}
