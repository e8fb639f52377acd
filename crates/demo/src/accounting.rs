//! The accounting of a run, as the consumer wrote it.

use sqlx::{FromRow, PgConnection};

/// Batches by their numbers: those after one, through another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batches {
    /// 0 where none was stored before.
    pub(crate) after: i64,
    pub(crate) through: i64,
}

/// The outcomes of the records of some batches.
#[derive(Debug, Default, FromRow)]
pub(crate) struct Accounting {
    pub(crate) read: i64,
    pub(crate) new: i64,
    pub(crate) unchanged: i64,
    pub(crate) corrected: i64,
    pub(crate) filtered: i64,
    pub(crate) rejected: i64,
}

impl Accounting {
    /// Reads the sums of batches.
    pub(crate) async fn of(batches: Batches, database: &mut PgConnection) -> sqlx::Result<Self> {
        sqlx::query_as(
            "SELECT coalesce(sum(read), 0)::bigint AS read, coalesce(sum(new), 0)::bigint AS new,
                    coalesce(sum(unchanged), 0)::bigint AS unchanged, coalesce(sum(corrected), 0)::bigint AS corrected,
                    coalesce(sum(filtered), 0)::bigint AS filtered, coalesce(sum(rejected), 0)::bigint AS rejected
             FROM ingest_accounting WHERE batch > $1 AND batch <= $2",
        )
        .bind(batches.after)
        .bind(batches.through)
        .fetch_one(database)
        .await
    }

    /// Whether every record that was read is accounted for once.
    pub(crate) fn adds_up(&self) -> bool {
        self.read == self.parts().iter().map(|(_, count)| count).sum::<i64>()
    }

    /// What `read` is the sum of.
    pub(crate) fn parts(&self) -> [(&'static str, i64); 5] {
        [
            ("new", self.new),
            ("unchanged", self.unchanged),
            ("corrected", self.corrected),
            ("filtered", self.filtered),
            ("rejected", self.rejected),
        ]
    }
}

/// The greatest batch stored; 0 if there is none.
pub(crate) async fn last_batch(database: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar("SELECT coalesce(max(batch), 0) FROM ingest_accounting").fetch_one(database).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounting_adds_up_when_every_record_counts_once() {
        let accounting = |read, new, filtered| Accounting { read, new, filtered, ..Accounting::default() };
        assert!(accounting(31_076, 26_814, 4_262).adds_up());
        assert!(!accounting(31_076, 26_814, 4_261).adds_up());
    }
}
