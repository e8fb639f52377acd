//! A session of PostgreSQL: each statement in SQL.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use sqlx::{FromRow, PgConnection, Row, ValueRef, postgres::PgRow};

use crate::{
    Error,
    copy::CopyBuffer,
    core::{
        batch::{KeyOwner, OffsetRange, REJECT_COLUMNS},
        cold::{COLD_COLUMNS, ColdHead, ColdName, ColdRows, own_columns},
        keys::KeyRow,
        offsets::{Feed, Forget, Gap, LastRecord, PartitionRow, Version},
        refresh::PartitionProgress,
        segments::MAX_FACTS,
        windows::{KeyTimes, NEVER},
    },
    pipeline::{Coverage, Pipeline},
    postgres::{
        changelog::{self, Read},
        database::{Database, PIECE, SqlResult, answered, sql},
        state::{self, RefreshReport},
        statements::{Server, Statements},
    },
};

/// A pipeline's database.
#[derive(Debug)]
pub(crate) struct PgServer<P> {
    pub(crate) database: Database,
    pub(crate) pipeline: Arc<P>,
    pub(crate) feed: Arc<Feed>,
}

impl<P> Clone for PgServer<P> {
    fn clone(&self) -> Self {
        Self { database: self.database.clone(), pipeline: Arc::clone(&self.pipeline), feed: Arc::clone(&self.feed) }
    }
}

impl<P: Pipeline> Server<P> for PgServer<P> {
    type Session = PgSession<P>;

    async fn connect(&self) -> SqlResult<PgSession<P>> {
        let connection = self.database.connect().await?;
        Ok(PgSession { connection, pipeline: Arc::clone(&self.pipeline), feed: Arc::clone(&self.feed) })
    }

    async fn within<T>(&self, limit: Duration, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        answered(limit, work).await
    }

    async fn pause(&self, wait: Duration) {
        tokio::time::sleep(wait).await;
    }
}

/// A session on it.
#[derive(Debug)]
pub(crate) struct PgSession<P> {
    connection: PgConnection,
    pipeline: Arc<P>,
    feed: Arc<Feed>,
}

/// The columns of [`PartitionRow`], in no particular order.
const STORED_COLUMNS: &str = "partition, epoch, next_offset, refreshed_through, cluster_id, \
     last_offset, last_timestamp_ms, last_crc32, max_timestamp_ms, catching_up, last_id, refreshed_id, redo_from";

impl<'r> FromRow<'r, PgRow> for PartitionRow {
    fn from_row(row: &'r PgRow) -> Result<Self, sqlx::Error> {
        let last = match (row.try_get("last_offset")?, row.try_get("last_timestamp_ms")?, row.try_get("last_crc32")?) {
            (Some(offset), Some(timestamp_ms), Some(crc32)) => {
                let crc32: i64 = crc32;
                let crc32 = u32::try_from(crc32).map_err(|error| sqlx::Error::Decode(error.into()))?;
                Some(LastRecord { offset, timestamp_ms, crc32 })
            }
            _ => None,
        };
        Ok(Self {
            partition: row.try_get("partition")?,
            epoch: row.try_get("epoch")?,
            next_offset: row.try_get("next_offset")?,
            refreshed_through: row.try_get("refreshed_through")?,
            cluster_id: row.try_get("cluster_id")?,
            last,
            max_timestamp_ms: row.try_get("max_timestamp_ms")?,
            catching_up: row.try_get("catching_up")?,
            last_id: row.try_get("last_id")?,
            refreshed_id: row.try_get("refreshed_id")?,
            redo_from: row.try_get("redo_from")?,
        })
    }
}

impl<P: Pipeline> PgSession<P> {
    async fn simple(&mut self, statement: &'static str) -> SqlResult<()> {
        answered(PIECE, sqlx::raw_sql(statement).execute(&mut self.connection)).await.map(drop)
    }

    /// Does a statement about the topic's partitions and an id each.
    async fn set_ids(&mut self, statement: &'static str, ids: &BTreeMap<i32, i64>) -> SqlResult<()> {
        sqlx::query(statement)
            .bind(self.feed.name)
            .bind(&self.feed.topic)
            .bind(ids.keys().copied().collect::<Vec<i32>>())
            .bind(ids.values().copied().collect::<Vec<i64>>())
            .execute(&mut self.connection)
            .await
            .map(drop)
    }
}

impl<'r> FromRow<'r, PgRow> for KeyRow {
    fn from_row(row: &'r PgRow) -> Result<Self, sqlx::Error> {
        let time = |name| Ok::<_, sqlx::Error>(row.try_get::<Option<i64>, _>(name)?.unwrap_or(NEVER));
        let partition: Option<i32> = row.try_get("newest_partition")?;
        let newest = row.try_get::<Option<i64>, _>("newest_ms")?.zip(partition.and_then(|at| u16::try_from(at).ok()));
        Ok(Self {
            key: row.try_get("key")?,
            owner: row.try_get("partition")?,
            times: KeyTimes {
                clock_ms: time("clock_ms")?,
                final_through_ms: time("final_through_ms")?,
                horizon_ms: time("horizon_ms")?,
                newest: newest.map(|(timestamp_ms, partition)| Version::new(timestamp_ms, partition)),
            },
        })
    }
}

/// The pipeline's cold store.
fn cold_of<P: Pipeline>() -> &'static str {
    P::TABLES.cold.expect("its groups leave memory")
}

/// The columns of its rows.
fn cold_columns<P: Pipeline>() -> String {
    let own = own_columns(P::CHANGELOG.columns).iter().map(|column| column.name);
    COLD_COLUMNS.into_iter().chain(own).collect::<Vec<_>>().join(", ")
}

fn unzip(keys: &[KeyOwner]) -> (Vec<&str>, Vec<i32>) {
    keys.iter().map(|(key, owner)| (key.as_str(), *owner)).unzip()
}

impl<P: Pipeline> Statements<P> for PgSession<P> {
    async fn begin(&mut self) -> SqlResult<()> {
        self.simple("BEGIN").await
    }

    async fn begin_snapshot(&mut self) -> SqlResult<()> {
        // Many facts take longer than a statement may otherwise; the socket notices a server that is gone.
        self.simple("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; SET LOCAL statement_timeout = '1h'").await
    }

    async fn commit(&mut self) -> SqlResult<()> {
        self.simple("COMMIT").await
    }

    async fn rollback(&mut self) -> SqlResult<()> {
        self.simple("ROLLBACK").await
    }

    async fn is_spread(&mut self) -> SqlResult<bool> {
        let spread = sqlx::query_scalar("SELECT spread FROM feeds WHERE feed = $1")
            .bind(self.feed.name)
            .fetch_optional(&mut self.connection);
        Ok(spread.await?.unwrap_or(false))
    }

    async fn set_spread(&mut self, spread: bool) -> SqlResult<()> {
        sqlx::query("UPDATE feeds SET spread = $2 WHERE feed = $1 AND spread <> $2")
            .bind(self.feed.name)
            .bind(spread)
            .execute(&mut self.connection)
            .await
            .map(drop)
    }

    async fn other_topic(&mut self) -> SqlResult<Option<String>> {
        sqlx::query_scalar(
            "SELECT topic FROM stream_offsets WHERE feed = $1 AND topic <> $2 AND next_offset IS NOT NULL LIMIT 1",
        )
        .bind(self.feed.name)
        .bind(&self.feed.topic)
        .fetch_optional(&mut self.connection)
        .await
    }

    async fn add_partitions(&mut self, partitions: &[i32]) -> SqlResult<()> {
        sqlx::query(
            "INSERT INTO stream_offsets (feed, topic, partition)
             SELECT $1, $2, partition FROM unnest($3::integer[]) AS partition ORDER BY partition
             ON CONFLICT DO NOTHING",
        )
        .bind(self.feed.name)
        .bind(&self.feed.topic)
        .bind(partitions)
        .execute(&mut self.connection)
        .await
        .map(drop)
    }

    async fn lock_partitions(&mut self, partitions: &[i32]) -> SqlResult<Vec<PartitionRow>> {
        sqlx::query_as(sql(format!(
            "SELECT {STORED_COLUMNS} FROM stream_offsets WHERE feed = $1 AND topic = $2 AND partition = ANY ($3)
             ORDER BY partition FOR UPDATE"
        )))
        .bind(self.feed.name)
        .bind(&self.feed.topic)
        .bind(partitions)
        .fetch_all(&mut self.connection)
        .await
    }

    async fn forget_offsets(&mut self, partitions: &BTreeMap<i32, Forget>) -> SqlResult<()> {
        let gaps = partitions.iter().filter(|(_, why)| **why == Forget::Gap).map(|(partition, _)| *partition);
        sqlx::query(
            "UPDATE stream_offsets SET resume_from = CASE WHEN partition = ANY ($4) THEN next_offset ELSE 0 END,
                    next_offset = NULL, refreshed_through = NULL, last_offset = NULL,
                    last_timestamp_ms = NULL, last_crc32 = NULL, cluster_id = NULL,
                    generation = generation + 1, catching_up = true
             WHERE feed = $1 AND topic = $2 AND partition = ANY ($3) AND next_offset IS NOT NULL",
        )
        .bind(self.feed.name)
        .bind(&self.feed.topic)
        .bind(partitions.keys().copied().collect::<Vec<i32>>())
        .bind(gaps.collect::<Vec<i32>>())
        .execute(&mut self.connection)
        .await
        .map(drop)
    }

    async fn raise_epochs(&mut self, partitions: &[i32], owner: &str) -> SqlResult<Vec<PartitionRow>> {
        let mut stored: Vec<PartitionRow> = sqlx::query_as(sql(format!(
            "UPDATE stream_offsets SET epoch = epoch + 1, owner = $4, claimed_at = now()
             WHERE feed = $1 AND topic = $2 AND partition = ANY ($3)
             RETURNING {STORED_COLUMNS}"
        )))
        .bind(self.feed.name)
        .bind(&self.feed.topic)
        .bind(partitions)
        .bind(owner)
        .fetch_all(&mut self.connection)
        .await?;
        stored.sort_unstable_by_key(|stored| stored.partition);
        Ok(stored)
    }

    async fn partitions(&mut self) -> SqlResult<Vec<PartitionRow>> {
        sqlx::query_as(sql(format!(
            "SELECT {STORED_COLUMNS} FROM stream_offsets WHERE feed = $1 AND topic = $2 ORDER BY partition"
        )))
        .bind(self.feed.name)
        .bind(&self.feed.topic)
        .fetch_all(&mut self.connection)
        .await
    }

    async fn advance(&mut self, ranges: &[OffsetRange]) -> SqlResult<u64> {
        let last = |value: fn(&LastRecord) -> i64| {
            ranges.iter().map(|range| range.last.as_ref().map(value)).collect::<Vec<Option<i64>>>()
        };
        let moved = sqlx::query(
            "UPDATE stream_offsets o
             SET next_offset = s.next, last_offset = s.last_offset, last_timestamp_ms = s.last_timestamp_ms,
                 last_crc32 = s.last_crc32, max_timestamp_ms = s.max_timestamp_ms,
                 cluster_id = coalesce($3, cluster_id), committed_at = now()
             FROM unnest($4::integer[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[],
                         $11::bigint[])
                  AS s (partition, epoch, expected, next, last_offset, last_timestamp_ms, last_crc32, max_timestamp_ms)
             WHERE o.feed = $1 AND o.topic = $2 AND o.partition = s.partition
               AND o.epoch = s.epoch AND o.next_offset IS NOT DISTINCT FROM s.expected",
        )
        .bind(self.feed.name)
        .bind(&self.feed.topic)
        .bind(&self.feed.cluster_id)
        .bind(ranges.iter().map(|range| range.partition).collect::<Vec<i32>>())
        .bind(ranges.iter().map(|range| range.epoch).collect::<Vec<i64>>())
        .bind(ranges.iter().map(|range| range.expected).collect::<Vec<Option<i64>>>())
        .bind(ranges.iter().map(|range| range.end).collect::<Vec<i64>>())
        .bind(last(|last| last.offset))
        .bind(last(|last| last.timestamp_ms))
        .bind(last(|last| last.crc32.into()))
        .bind(ranges.iter().map(|range| range.max_timestamp_ms).collect::<Vec<i64>>())
        .execute(&mut self.connection)
        .await?;
        Ok(moved.rows_affected())
    }

    async fn raise_last_ids(&mut self, ids: &BTreeMap<i32, i64>) -> SqlResult<()> {
        self.set_ids(
            "UPDATE stream_offsets o SET last_id = greatest(o.last_id, s.id)
             FROM unnest($3::integer[], $4::bigint[]) AS s (partition, id)
             WHERE o.feed = $1 AND o.topic = $2 AND o.partition = s.partition",
            ids,
        )
        .await
    }

    async fn raise_refreshed_ids(&mut self, ids: &BTreeMap<i32, i64>) -> SqlResult<()> {
        self.set_ids(
            "UPDATE stream_offsets o SET refreshed_id = s.id
             FROM unnest($3::integer[], $4::bigint[]) AS s (partition, id)
             WHERE o.feed = $1 AND o.topic = $2 AND o.partition = s.partition AND o.refreshed_id = o.last_id",
            ids,
        )
        .await
    }

    async fn mark_refreshed(&mut self, to: &[PartitionProgress]) -> SqlResult<()> {
        sqlx::query(
            "UPDATE stream_offsets o
             SET refreshed_through = s.through, refreshed_id = o.last_id, catching_up = o.catching_up AND s.catching_up
             FROM unnest($3::integer[], $4::bigint[], $5::boolean[]) AS s (partition, through, catching_up)
             WHERE o.feed = $1 AND o.topic = $2 AND o.partition = s.partition
               AND (o.refreshed_through IS DISTINCT FROM s.through OR o.refreshed_id <> o.last_id
                    OR o.catching_up AND NOT s.catching_up)",
        )
        .bind(self.feed.name)
        .bind(&self.feed.topic)
        .bind(to.iter().map(|to| to.partition).collect::<Vec<i32>>())
        .bind(to.iter().map(|to| to.next_offset).collect::<Vec<Option<i64>>>())
        .bind(to.iter().map(|to| to.catching_up).collect::<Vec<bool>>())
        .execute(&mut self.connection)
        .await
        .map(drop)
    }

    async fn note_gaps(&mut self, first: &[OffsetRange]) -> SqlResult<()> {
        sqlx::query(
            "INSERT INTO stream_gaps (feed, topic, partition, generation, from_offset, to_offset)
             SELECT $1, $2, o.partition, o.generation, o.resume_from, s.start
             FROM stream_offsets o JOIN unnest($3::integer[], $4::bigint[]) AS s (partition, start) USING (partition)
             WHERE o.feed = $1 AND o.topic = $2 AND o.resume_from < s.start
             ON CONFLICT DO NOTHING",
        )
        .bind(self.feed.name)
        .bind(&self.feed.topic)
        .bind(first.iter().map(|range| range.partition).collect::<Vec<i32>>())
        .bind(first.iter().map(|range| range.start).collect::<Vec<i64>>())
        .execute(&mut self.connection)
        .await
        .map(drop)
    }

    async fn gaps(&mut self) -> SqlResult<Vec<Gap>> {
        let gaps: Vec<(i32, i64, i64)> = sqlx::query_as(
            "SELECT partition, from_offset, to_offset FROM stream_gaps WHERE feed = $1 AND topic = $2
             ORDER BY partition, generation, from_offset",
        )
        .bind(self.feed.name)
        .bind(&self.feed.topic)
        .fetch_all(&mut self.connection)
        .await?;
        let gap = |(partition, from_offset, to_offset)| Gap { partition, from_offset, to_offset };
        Ok(gaps.into_iter().map(gap).collect())
    }

    async fn note_coverage(&mut self, coverage: &Coverage) -> SqlResult<()> {
        sqlx::query(
            "INSERT INTO stream_completeness AS kept (feed, topic, complete, missing) VALUES ($1, $2, $3, $4)
             ON CONFLICT (feed, topic) DO UPDATE
             SET complete = EXCLUDED.complete, missing = EXCLUDED.missing, changed_at = EXCLUDED.changed_at
             WHERE (kept.complete, kept.missing) IS DISTINCT FROM (EXCLUDED.complete, EXCLUDED.missing)",
        )
        .bind(self.feed.name)
        .bind(&self.feed.topic)
        .bind(coverage.complete)
        .bind(&coverage.missing)
        .execute(&mut self.connection)
        .await
        .map(drop)
    }

    async fn register_keys(&mut self, keys: &[KeyOwner]) -> SqlResult<u64> {
        let (names, owners) = unzip(keys);
        let registered = sqlx::query(
            "INSERT INTO key_partitions (topic, key, partition)
             SELECT $1, key, partition FROM unnest($2::text[], $3::integer[]) AS new (key, partition) ORDER BY key
             ON CONFLICT DO NOTHING",
        )
        .bind(&self.feed.topic)
        .bind(names)
        .bind(owners)
        .execute(&mut self.connection)
        .await?;
        Ok(registered.rows_affected())
    }

    async fn owners(&mut self, keys: &[&str]) -> SqlResult<Vec<KeyOwner>> {
        sqlx::query_as("SELECT key, partition FROM key_partitions WHERE topic = $1 AND key = ANY ($2) ORDER BY key")
            .bind(&self.feed.topic)
            .bind(keys)
            .fetch_all(&mut self.connection)
            .await
    }

    async fn move_keys(&mut self, keys: &[KeyOwner]) -> SqlResult<u64> {
        let (names, owners) = unzip(keys);
        let moved = sqlx::query(
            "UPDATE key_partitions k SET partition = new.partition FROM unnest($2::text[], $3::integer[]) AS new (key, partition)
             WHERE k.topic = $1 AND k.key = new.key AND k.partition <> new.partition",
        )
        .bind(&self.feed.topic)
        .bind(names)
        .bind(owners)
        .execute(&mut self.connection)
        .await?;
        Ok(moved.rows_affected())
    }

    async fn keys(&mut self, owners: &[i32]) -> SqlResult<Vec<KeyRow>> {
        let keys = sqlx::query_as(
            "SELECT key, partition, clock_ms, final_through_ms, horizon_ms, newest_ms, newest_partition
             FROM key_partitions WHERE topic = $1 AND partition = ANY ($2)",
        )
        .bind(&self.feed.topic)
        .bind(owners)
        .fetch_all(&mut self.connection);
        answered(PIECE, keys).await
    }

    async fn store_times(&mut self, times: &[(String, KeyTimes)]) -> SqlResult<()> {
        let of = |time: fn(&KeyTimes) -> i64| {
            times.iter().map(|(_, times)| Some(time(times)).filter(|time| *time != NEVER)).collect::<Vec<Option<i64>>>()
        };
        sqlx::query(
            "UPDATE key_partitions k
             SET clock_ms = s.clock_ms, final_through_ms = s.final_ms, horizon_ms = s.horizon_ms,
                 newest_ms = s.newest_ms, newest_partition = s.newest_partition
             FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::integer[])
                  AS s (key, clock_ms, final_ms, horizon_ms, newest_ms, newest_partition)
             WHERE k.topic = $1 AND k.key = s.key",
        )
        .bind(&self.feed.topic)
        .bind(times.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>())
        .bind(of(|times| times.clock_ms))
        .bind(of(|times| times.final_through_ms))
        .bind(of(|times| times.horizon_ms))
        .bind(times.iter().map(|(_, times)| times.newest.map(Version::timestamp_ms)).collect::<Vec<_>>())
        .bind(times.iter().map(|(_, times)| Some(i32::from(times.newest?.partition()))).collect::<Vec<_>>())
        .execute(&mut self.connection)
        .await
        .map(drop)
    }

    async fn cold_heads(&mut self, owners: &[(i32, i64)], size_ms: Option<i64>) -> SqlResult<Vec<ColdHead>> {
        let cold = cold_of::<P>();
        let heads = sqlx::query_as(sql(format!(
            "WITH owned AS (SELECT k.key, k.final_through_ms, o.redo_from
                            FROM key_partitions k
                            JOIN unnest($2::integer[], $3::bigint[]) AS o (partition, redo_from) USING (partition)
                            WHERE k.topic = $1)
             SELECT o.key, c.slot, c.through FROM {cold} c JOIN owned o ON c.partition_key = o.key
             WHERE c.through > $4 AND c.through > o.redo_from
             UNION
             SELECT o.key, c.slot, c.through FROM owned o
             JOIN {cold} c ON c.partition_key = o.key AND c.slot > coalesce(o.final_through_ms - $5, -9223372036854775808)"
        )))
        .bind(&self.feed.topic)
        .bind(owners.iter().map(|(owner, _)| *owner).collect::<Vec<_>>())
        .bind(owners.iter().map(|(_, redo_from)| *redo_from).collect::<Vec<_>>())
        .bind(owners.iter().map(|(_, redo_from)| *redo_from).min())
        .bind(size_ms)
        .fetch_all(&mut self.connection);
        let heads: Vec<(String, i64, i64)> = answered(PIECE, heads).await?;
        Ok(heads.into_iter().map(|(key, slot, through)| ColdHead { key, slot, through }).collect())
    }

    async fn cold_rows(&mut self, groups: &[ColdName]) -> SqlResult<Vec<u8>> {
        let (cold, columns) = (cold_of::<P>(), cold_columns::<P>());
        let rows = sqlx::query(sql(format!(
            "SELECT {columns} FROM {cold} JOIN unnest($1::text[], $2::bigint[]) AS named (partition_key, slot)
             USING (partition_key, slot)"
        )))
        .bind(groups.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>())
        .bind(groups.iter().map(|(_, slot)| *slot).collect::<Vec<_>>())
        .fetch_all(&mut self.connection);
        let (mut buffer, mut through) = (CopyBuffer::default(), Vec::new());
        for row in answered(PIECE, rows).await? {
            through.push(row.try_get(0)?);
            let mut copied = buffer.row(row.len() - 1);
            for field in 1..row.len() {
                let value = row.try_get_raw(field)?;
                if value.is_null() {
                    copied.null();
                } else {
                    copied.raw(value.as_bytes().map_err(sqlx::Error::Decode)?);
                }
            }
        }
        buffer.finish(|row| through[row]);
        Ok(buffer.bytes().to_vec())
    }

    async fn has_cold_rows(&mut self, groups: &[(ColdName, i64)]) -> SqlResult<bool> {
        sqlx::query_scalar(sql(format!(
            "SELECT EXISTS (SELECT FROM {} c JOIN unnest($1::text[], $2::bigint[], $3::bigint[]) AS named (partition_key, slot, id)
                            USING (partition_key, slot) WHERE c.through < named.id)",
            cold_of::<P>()
        )))
        .bind(groups.iter().map(|((key, _), _)| key.as_str()).collect::<Vec<_>>())
        .bind(groups.iter().map(|((_, slot), _)| *slot).collect::<Vec<_>>())
        .bind(groups.iter().map(|(_, id)| *id).collect::<Vec<_>>())
        .fetch_one(&mut self.connection)
        .await
    }

    async fn write_cold_rows(&mut self, rows: &ColdRows) -> SqlResult<()> {
        let cold = cold_of::<P>();
        sqlx::query(sql(format!(
            "DELETE FROM {cold} WHERE (partition_key, slot) IN (SELECT * FROM unnest($1::text[], $2::bigint[]))"
        )))
        .bind(rows.names().map(|(key, _)| key.as_str()).collect::<Vec<_>>())
        .bind(rows.names().map(|(_, slot)| *slot).collect::<Vec<_>>())
        .execute(&mut self.connection)
        .await?;
        changelog::copy_in(&mut self.connection, &format!("{cold} ({})", cold_columns::<P>()), &[rows.rows()]).await
    }

    async fn remove_cold_rows(&mut self, keys: &[&str], size_ms: i64) -> SqlResult<()> {
        sqlx::query(sql(format!(
            "DELETE FROM {} c USING key_partitions k
             WHERE k.topic = $1 AND k.key = ANY ($2) AND c.partition_key = k.key AND c.slot <= k.horizon_ms - $3",
            cold_of::<P>()
        )))
        .bind(&self.feed.topic)
        .bind(keys)
        .bind(size_ms)
        .execute(&mut self.connection)
        .await
        .map(drop)
    }

    async fn set_redo_from(&mut self, ids: &BTreeMap<i32, i64>) -> SqlResult<()> {
        self.set_ids(
            "UPDATE stream_offsets o SET redo_from = s.id
             FROM unnest($3::integer[], $4::bigint[]) AS s (partition, id)
             WHERE o.feed = $1 AND o.topic = $2 AND o.partition = s.partition AND o.redo_from <> s.id",
            ids,
        )
        .await
    }

    async fn remove_history(&mut self, owners: &[i32], history_ms: i64) -> SqlResult<()> {
        let segments = P::CHANGELOG.table;
        sqlx::query(sql(format!(
            "DELETE FROM {segments} s USING stream_offsets o
             CROSS JOIN LATERAL (SELECT owner_partition, id, facts, first_timestamp_ms FROM {segments}
                                 WHERE owner_partition = o.partition AND id <= o.redo_from ORDER BY id LIMIT 1000) AS oldest
             WHERE o.feed = $1 AND o.topic = $2 AND o.partition = ANY ($3)
               AND oldest.id + oldest.facts <= o.redo_from + 1 AND oldest.first_timestamp_ms < o.max_timestamp_ms - $4
               AND s.owner_partition = oldest.owner_partition AND s.id = oldest.id"
        )))
        .bind(self.feed.name)
        .bind(&self.feed.topic)
        .bind(owners)
        .bind(history_ms)
        .execute(&mut self.connection)
        .await
        .map(drop)
    }

    async fn fix_settings(&mut self, settings: &[(&'static str, String)]) -> SqlResult<Vec<(String, String)>> {
        let names: Vec<&str> = settings.iter().map(|(name, _)| *name).collect();
        let values: Vec<&str> = settings.iter().map(|(_, value)| value.as_str()).collect();
        sqlx::query(
            "INSERT INTO feed_settings (feed, name, value) SELECT $1, * FROM unnest($2::text[], $3::text[])
             ON CONFLICT DO NOTHING",
        )
        .bind(self.feed.name)
        .bind(&names)
        .bind(&values)
        .execute(&mut self.connection)
        .await?;
        sqlx::query_as(
            "SELECT name, f.value FROM feed_settings f JOIN unnest($2::text[], $3::text[]) AS given (name, value) USING (name)
             WHERE feed = $1 AND f.value <> given.value ORDER BY name",
        )
        .bind(self.feed.name)
        .bind(&names)
        .bind(&values)
        .fetch_all(&mut self.connection)
        .await
    }

    async fn note_settings(&mut self, settings: &[(&'static str, String)]) -> SqlResult<()> {
        sqlx::query(
            "INSERT INTO feed_settings AS stored (feed, name, value) SELECT $1, * FROM unnest($2::text[], $3::text[])
             ON CONFLICT (feed, name) DO UPDATE SET value = excluded.value WHERE stored.value <> excluded.value",
        )
        .bind(self.feed.name)
        .bind(settings.iter().map(|(name, _)| *name).collect::<Vec<_>>())
        .bind(settings.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>())
        .execute(&mut self.connection)
        .await
        .map(drop)
    }

    async fn draw_numbers(&mut self, count: usize) -> SqlResult<Vec<i64>> {
        sqlx::query_scalar("SELECT nextval('ingest_batch_numbers') FROM generate_series(1, $1)")
            .bind(i64::try_from(count).expect("batches fit in memory"))
            .fetch_all(&mut self.connection)
            .await
    }

    async fn append_facts(&mut self, rows: &[&CopyBuffer]) -> SqlResult<()> {
        changelog::append(&mut self.connection, &P::CHANGELOG, rows).await
    }

    async fn append_rejects(&mut self, rows: &[&CopyBuffer]) -> SqlResult<()> {
        changelog::copy_in(&mut self.connection, &format!("rejects ({REJECT_COLUMNS})"), rows).await
    }

    async fn account(&mut self, ranges: &[(i64, &OffsetRange)]) -> SqlResult<()> {
        let column =
            |value: fn(&OffsetRange) -> i64| ranges.iter().map(|(_, range)| value(range)).collect::<Vec<i64>>();
        sqlx::query(
            "INSERT INTO ingest_accounting
                (feed, topic, batch, partition, from_offset, to_offset, read, new, unchanged, corrected, filtered, rejected)
             SELECT $1, $2, * FROM unnest
                ($3::bigint[], $4::integer[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[],
                 $10::bigint[], $11::bigint[], $12::bigint[])",
        )
        .bind(self.feed.name)
        .bind(&self.feed.topic)
        .bind(ranges.iter().map(|(number, _)| *number).collect::<Vec<i64>>())
        .bind(ranges.iter().map(|(_, range)| range.partition).collect::<Vec<i32>>())
        .bind(column(|range| range.start))
        .bind(column(|range| range.end))
        .bind(column(|range| range.counts.read()))
        .bind(column(|range| range.counts.new))
        .bind(column(|range| range.counts.unchanged))
        .bind(column(|range| range.counts.corrected))
        .bind(column(|range| range.counts.filtered))
        .bind(column(|range| range.counts.rejected))
        .execute(&mut self.connection)
        .await
        .map(drop)
    }

    async fn facts(
        &mut self,
        owners: &[(i32, i64)],
        take: &mut impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> anyhow::Result<()> {
        if owners.is_empty() {
            return Ok(());
        }
        let of_owner = |(owner, redo_from): &(i32, i64)| match redo_from {
            0 => format!("owner_partition = {owner}"),
            // The index finds the first: no segment has more facts.
            _ => format!(
                "(owner_partition = {owner} AND id > {} AND id + facts > {})",
                redo_from - i64::try_from(MAX_FACTS).unwrap_or(i64::MAX),
                redo_from + 1
            ),
        };
        let condition = owners.iter().map(of_owner).collect::<Vec<_>>().join(" OR ");
        changelog::read(&mut self.connection, &P::CHANGELOG, Read::WithoutOffsets, &condition, |piece| Ok(take(piece)?))
            .await
    }

    async fn try_lock_refreshes(&mut self) -> SqlResult<bool> {
        sqlx::query_scalar("SELECT pg_try_advisory_xact_lock(hashtextextended('refresh ' || $1, 0))")
            .bind(self.feed.name)
            .fetch_one(&mut self.connection)
            .await
    }

    async fn prepare_refresh(&mut self, rows: &[P::Row]) -> anyhow::Result<()> {
        self.pipeline.prepare_refresh(&mut self.connection, rows).await
    }

    async fn upsert(&mut self, rows: &[P::Row]) -> SqlResult<u64> {
        state::upsert::<P>(&mut self.connection, rows).await
    }

    async fn refresh_global(&mut self, rows_written: u64, coverage: &Coverage) -> anyhow::Result<RefreshReport> {
        state::refresh_global(self.pipeline.as_ref(), &mut self.connection, rows_written, coverage).await
    }
}
