//! The only code that handles a failure of PostgreSQL at run time: it retries with back-off until PostgreSQL has been
//! unavailable for too long.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ::metrics::counter;
use service::{
    backoff::Backoff,
    postgres::{is_transient, plain},
    telemetry::millis,
};

use crate::{
    Error, Pipeline, metrics,
    postgres::{database::SqlResult, statements::Server},
};

/// How a database is worked on. All clones share the list of what is being retried.
#[derive(Clone, Debug)]
pub(crate) struct Postgres<D> {
    server: D,
    /// How long PostgreSQL may be unavailable.
    limit: Duration,
    outages: Outages,
}

impl<D> Postgres<D> {
    /// Works on the database of `server`, which may be unavailable for `limit` at a time.
    pub(crate) fn new(server: D, limit: Duration) -> Self {
        Self { server, limit, outages: Outages::default() }
    }

    /// What is being retried now.
    pub(crate) fn outages(&self) -> &Outages {
        &self.outages
    }

    /// Does `work` on a session, opened where there is none, until it succeeds or another try cannot help.
    ///
    /// `work` may run again after a COMMIT whose outcome is not known, and has to find that out itself.
    ///
    /// # Errors
    /// [`Error::PostgresUnavailable`] after the time it may be unavailable, [`Error::Postgres`] when it refuses; an
    /// [`Error`] that `work` gives as it is; whatever else `work` gives as [`Error::Refresh`].
    pub(crate) async fn retrying<P: Pipeline, T>(
        &self,
        Work { doing, limit }: Work,
        session: &mut Option<D::Session>,
        mut work: impl AsyncFnMut(&mut D::Session) -> anyhow::Result<T>,
    ) -> Result<T, Error>
    where
        D: Server<P>,
    {
        let mut backoff = Backoff::new(self.limit);
        let mut outage = None;
        loop {
            let done = match self.open(session).await {
                Ok(session) => self.server.within(limit, work(session)).await,
                Err(error) => Err(error.into()),
            };
            let source = match done {
                Ok(done) => return Ok(done),
                Err(error) => transient(doing, error)?,
            };
            *session = None;
            let Some(wait) = backoff.wait() else {
                return Err(Error::PostgresUnavailable { doing, waited: backoff.elapsed(), source });
            };
            let why = plain(&source);
            counter!(metrics::RETRIES, "feed" => P::NAME).increment(1);
            tracing::warn!(error = why, retry_in_ms = millis(wait), "{doing} failed and will be retried");
            outage
                .get_or_insert_with(|| self.outages.begin())
                .says(format!("postgres is unavailable ({doing}): {why}"));
            self.server.pause(wait).await;
        }
    }

    async fn open<'s, P: Pipeline>(&self, session: &'s mut Option<D::Session>) -> SqlResult<&'s mut D::Session>
    where
        D: Server<P>,
    {
        match session {
            Some(session) => Ok(session),
            None => Ok(session.insert(self.server.connect().await?)),
        }
    }
}

/// What is done, and how long one try may take.
///
/// A running server notices what takes too long; one that is stopped or hangs reports nothing, though its connections
/// stay open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    /// In words, for messages.
    pub(crate) doing: &'static str,
    pub(crate) limit: Duration,
}

/// The failure that another try may mend, or the error that ends the consumer.
fn transient(doing: &'static str, error: anyhow::Error) -> Result<sqlx::Error, Error> {
    match error.downcast::<sqlx::Error>() {
        Ok(source) if is_transient(&source) => Ok(source),
        Ok(source) => Err(Error::Postgres { doing, source }),
        Err(other) => Err(other.downcast::<Error>().unwrap_or_else(Error::Refresh)),
    }
}

/// What is being retried now, each with its reason: readiness is computed from this.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outages(Arc<Mutex<Reasons>>);

#[derive(Debug, Default)]
struct Reasons {
    next: u64,
    reasons: BTreeMap<u64, String>,
}

impl Outages {
    /// The reasons, without repetition.
    pub(crate) fn reasons(&self) -> Vec<String> {
        let mut reasons: Vec<String> = self.lock().reasons.values().cloned().collect();
        reasons.sort_unstable();
        reasons.dedup();
        reasons
    }

    fn begin(&self) -> OngoingRetry {
        let mut reasons = self.lock();
        reasons.next += 1;
        OngoingRetry { id: reasons.next, of: self.clone() }
    }

    fn lock(&self) -> MutexGuard<'_, Reasons> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Something that is being retried; over when dropped, whatever became of it.
struct OngoingRetry {
    id: u64,
    of: Outages,
}

impl OngoingRetry {
    fn says(&self, reason: String) {
        self.of.lock().reasons.insert(self.id, reason);
    }
}

impl Drop for OngoingRetry {
    fn drop(&mut self) {
        self.of.lock().reasons.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        core::offsets::Feed,
        postgres::{database::Database, session::PgServer},
        tests::tiny::Tiny,
    };

    /// A database at an address without a server.
    fn nowhere(limit: Duration) -> Postgres<PgServer<Tiny>> {
        let options = "postgres://nobody@127.0.0.1:1/none".parse().unwrap();
        let (database, pipeline) = (Database::new(options), Arc::new(Tiny::default()));
        let feed = Feed { name: "tiny", topic: "t".to_owned(), cluster_id: None };
        Postgres::new(PgServer { database, pipeline, feed: Arc::new(feed) }, limit)
    }

    #[tokio::test]
    async fn what_is_retried_is_reported_until_it_is_over() {
        let postgres = nowhere(Duration::from_millis(400));
        let mut session = None;
        let task = Work { doing: "saving a batch", limit: Duration::from_secs(1) };
        let work = postgres.retrying(task, &mut session, async |_| Ok(()));
        let read = async {
            tokio::time::sleep(Duration::from_millis(60)).await;
            postgres.outages().reasons()
        };
        let (ended, reasons) = tokio::join!(work, read);
        assert!(reasons[0].starts_with("postgres is unavailable (saving a batch): "), "{reasons:?}");
        assert!(matches!(ended, Err(Error::PostgresUnavailable { .. })), "{ended:?}");
        assert_eq!(postgres.outages().reasons(), Vec::<String>::new());
    }

    #[test]
    fn only_what_another_try_may_mend_is_tried_again() {
        let check = |error: anyhow::Error| match transient("testing", error) {
            Ok(_) => "again".to_owned(),
            Err(error) => format!("{error}"),
        };
        assert_eq!(check(sqlx::Error::PoolTimedOut.into()), "again");
        assert_eq!(check(sqlx::Error::RowNotFound.into()), "postgres refuses: testing");
        assert_eq!(check(Error::NotSoleOwner.into()), Error::NotSoleOwner.to_string());
        assert_eq!(check(anyhow::anyhow!("no clusters")), "the results cannot be refreshed: no clusters");
    }
}
