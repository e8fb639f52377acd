//! `consumer compact`: drops the facts that later ones have superseded.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::Duration,
};

use sqlx::{Connection, PgConnection};

use crate::{
    columns::{ColumnError, Role},
    copy::{CopyBuffer, CopyReader},
    core::{
        offsets::Version,
        segments::{ID_SHIFT, SegmentReader},
    },
    pipeline::Pipeline,
    postgres::{
        changelog::{self, Read},
        database::sql,
        maintenance::lock,
    },
};

/// Facts that are rewritten at a time.
const FACTS: i64 = 1 << 17;

/// Drops facts that a later fact of the same key has superseded, and that were stored longer ago than `keep`.
///
/// What is known stays as it is; only the history of corrections is deleted. An owner partition is a transaction. A consumer
/// may go on meanwhile; another `compact` or a `reset` takes turns with it. Returns how many facts were dropped.
///
/// # Errors
/// When PostgreSQL does not answer or refuses, or holds what this program does not write; then nothing was dropped of the
/// owner partition at hand.
pub async fn compact<P: Pipeline>(connection: &mut PgConnection, keep: Duration) -> Result<u64, sqlx::Error> {
    let owners: Vec<i32> = sqlx::query_scalar(sql(format!(
        "SELECT DISTINCT owner_partition FROM {} ORDER BY owner_partition",
        P::CHANGELOG.table
    )))
    .fetch_all(&mut *connection)
    .await?;
    let mut all = 0;
    for owner in owners {
        let dropped = compact_owner::<P>(connection, owner, keep).await?;
        tracing::info!(owner_partition = owner, facts = dropped, "compacted");
        all += dropped;
    }
    Ok(all)
}

async fn compact_owner<P: Pipeline>(
    connection: &mut PgConnection,
    owner: i32,
    keep: Duration,
) -> Result<u64, sqlx::Error> {
    // All statements see one state: that of after the lock, which takes no snapshot.
    let mut tx = connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ").await?;
    sqlx::raw_sql("SET LOCAL statement_timeout = '1h'; SET LOCAL lock_timeout = '1h'").execute(&mut *tx).await?;
    lock(&mut tx, &P::CHANGELOG).await?;
    let recent: Option<i64> = sqlx::query_scalar(
        "SELECT min(batch) FROM ingest_accounting WHERE committed_at >= now() - make_interval(secs => $1)",
    )
    .bind(keep.as_secs_f64())
    .fetch_one(&mut *tx)
    .await?;
    let keys: Vec<String> = sqlx::query_scalar("SELECT key FROM key_partitions WHERE partition = $1")
        .bind(owner)
        .fetch_all(&mut *tx)
        .await?;
    let before = recent.map_or(i64::MAX, |batch| batch << ID_SHIFT);
    let mut superseded = Superseded::<P>::new(keys, before);
    let mut reader = CopyReader::default();
    let condition = format!("owner_partition = {owner}");
    changelog::read(&mut tx, &P::CHANGELOG, Read::WithoutOffsets, &condition, |piece| {
        each_segment::<P>(&mut reader, piece, |segment| superseded.take(segment))
    })
    .await?;
    let Superseded { dropped, segments, .. } = superseded;
    let dropped: BTreeSet<i64> = dropped.into_iter().collect();
    let affected = segments.into_iter().filter(|(id, facts)| dropped.range(id..&(id + facts)).next().is_some());
    let mut affected = affected.peekable();
    while affected.peek().is_some() {
        let (mut ids, mut facts) = (Vec::new(), 0);
        while let Some((id, count)) = affected.next_if(|(_, count)| facts == 0 || facts + count <= FACTS) {
            ids.push(id);
            facts += count;
        }
        rewrite::<P>(&mut tx, owner, &ids, &dropped).await?;
    }
    tx.commit().await?;
    Ok(dropped.len() as u64)
}

/// Writes segments again, without the dropped facts.
async fn rewrite<P: Pipeline>(
    tx: &mut PgConnection,
    owner: i32,
    ids: &[i64],
    dropped: &BTreeSet<i64>,
) -> Result<(), sqlx::Error> {
    let list = ids.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
    let condition = format!("owner_partition = {owner} AND id IN ({list})");
    let (mut reader, mut rows, mut kept) = (CopyReader::default(), CopyBuffer::default(), Vec::new());
    changelog::read(tx, &P::CHANGELOG, Read::Whole, &condition, |piece| {
        each_segment::<P>(&mut reader, piece, |segment| {
            let id = segment.id;
            if segment.rewrite(P::CHANGELOG.columns, |id| !dropped.contains(&id), &mut rows)? {
                kept.push(id);
            }
            Ok(())
        })
    })
    .await?;
    rows.finish(|row| kept[row]);
    let delete = format!("DELETE FROM {} WHERE owner_partition = $1 AND id = ANY ($2)", P::CHANGELOG.table);
    sqlx::query(sql(delete)).bind(owner).bind(ids).execute(&mut *tx).await?;
    changelog::append(tx, &P::CHANGELOG, &[&rows]).await
}

fn each_segment<P: Pipeline>(
    reader: &mut CopyReader,
    piece: &[u8],
    mut take: impl FnMut(SegmentReader<'_>) -> Result<(), ColumnError>,
) -> Result<(), sqlx::Error> {
    reader.push(piece);
    while let Some(mut row) = reader.next_row() {
        take(SegmentReader::new(&mut row, P::CHANGELOG.columns)?)?;
    }
    Ok(())
}

/// The fact that is known of each key, which is the bytes of its columns: its version and id.
type Known = HashMap<Vec<u8>, (Version, i64)>;

/// Finds the facts of an owner partition that may be dropped.
struct Superseded<P: Pipeline> {
    /// The partition keys of the owner partition.
    keys: HashSet<String>,
    /// The first id that is too young to be dropped.
    before: i64,
    /// The facts of each group, which is the bytes of its columns; `None` of one that was given another owner, who has all of it.
    known: HashMap<Vec<u8>, Option<Known>>,
    /// Those that may be dropped.
    dropped: Vec<i64>,
    /// The id and the number of facts of each segment, in order.
    segments: Vec<(i64, i64)>,
    groups: std::marker::PhantomData<fn() -> P>,
}

impl<P: Pipeline> Superseded<P> {
    fn new(keys: Vec<String>, before: i64) -> Self {
        Self {
            keys: keys.into_iter().collect(),
            before,
            known: HashMap::new(),
            dropped: Vec::new(),
            segments: Vec::new(),
            groups: std::marker::PhantomData,
        }
    }

    fn take(&mut self, mut segment: SegmentReader<'_>) -> Result<(), ColumnError> {
        self.segments.push((segment.id, segment.last_id() - segment.id + 1));
        let columns = P::CHANGELOG.columns.iter();
        let of_group = columns.take_while(|column| column.role == Role::Group).count();
        let (mut group, mut key) = (Vec::new(), Vec::new());
        while let Some(stored) = segment.next_fact()? {
            group.clear();
            for value in segment.values.peek(of_group) {
                append(value?, &mut group);
            }
            if !self.known.contains_key(&group) {
                let decoded = P::decode_group(&mut segment.values.clone())?;
                let is_ours = self.keys.contains(&P::partition_key(&decoded));
                self.known.insert(group.clone(), is_ours.then(Known::new));
            }
            let Some(Some(facts)) = self.known.get_mut(&group) else {
                self.drop(stored.id);
                continue;
            };
            key.clear();
            for column in P::CHANGELOG.columns {
                let value = segment.values.raw()?;
                if column.role == Role::Key {
                    append(value, &mut key);
                }
            }
            let (version, id) = (stored.at.version, stored.id);
            let Some(known) = facts.get_mut(&key) else {
                facts.insert(key.clone(), (version, id));
                continue;
            };
            let superseded = if version < known.0 { id } else { std::mem::replace(known, (version, id)).1 };
            self.drop(superseded);
        }
        Ok(())
    }

    fn drop(&mut self, id: i64) {
        if id < self.before {
            self.dropped.push(id);
        }
    }
}

/// Appends a value so that two lists of values are the same only where their bytes are.
fn append(value: Option<&[u8]>, to: &mut Vec<u8>) {
    let value = value.unwrap_or_default();
    to.extend_from_slice(&u32::try_from(value.len()).unwrap_or(u32::MAX).to_be_bytes());
    to.extend_from_slice(value);
}
