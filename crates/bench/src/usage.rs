//! What a program made PostgreSQL do: bytes that it wrote, and its processor time.

use sqlx::{Connection, PgConnection};

use crate::{
    proc::{Stat, server_cpu_s},
    servers::Servers,
};

const QUERY: &str = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::float8,
    pg_database_size(current_database())::float8, pg_backend_pid()";

/// Of PostgreSQL, so far or during a run; nothing where it did not take part.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Usage {
    /// Bytes of its write-ahead log.
    pub(crate) log: f64,
    /// Bytes of one database.
    pub(crate) disk: f64,
    /// Processor seconds of all its processes.
    pub(crate) cpu_s: f64,
}

impl Usage {
    /// All so far, and of the disk that of one database.
    ///
    /// # Errors
    /// When PostgreSQL does not answer.
    pub(crate) async fn so_far(servers: &Servers, database: &str) -> anyhow::Result<Self> {
        let mut connection = PgConnection::connect(&servers.database(database)).await?;
        let (log, disk, session): (f64, f64, i32) = sqlx::query_as(QUERY).fetch_one(&mut connection).await?;
        let cpu_s = server_cpu_s(Stat::of(&session.to_string())?.parent)?;
        connection.close().await?;
        Ok(Self { log, disk, cpu_s })
    }

    /// What came after `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        Self { log: self.log - before.log, disk: self.disk - before.disk, cpu_s: self.cpu_s - before.cpu_s }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_there_before_is_not_counted() {
        let before = Usage { log: 100.0, disk: 20.0, cpu_s: 3.0 };
        let after = Usage { log: 150.0, disk: 20.0, cpu_s: 3.5 };
        assert_eq!(after.since(before), Usage { log: 50.0, disk: 0.0, cpu_s: 0.5 });
    }
}
