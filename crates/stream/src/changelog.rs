//! One Postgres transaction a batch: changelog, rejects, accounting and offsets.

use std::collections::BTreeMap;

use sqlx::{Connection, PgConnection};

use crate::{
    batch::{Batch, CHANGELOG_COLUMNS, Changes, REJECT_COLUMNS, Span, whole},
    claims,
    copy::{CopyBuffer, HEADER, TRAILER},
    offsets::{Feed, Stored},
};

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Commit {
    /// It is stored, by this try or by an earlier one whose outcome was not known.
    Stored,
    /// It is not stored, and must not be: see [`Standing`].
    Refused(Standing),
    /// It is not stored: a route's home is owned by another consumer.
    Homeless {
        /// The route.
        route: String,
        /// The partition it lives in.
        home: i32,
        /// The partition its record came from.
        partition: i32,
    },
}

/// How what a consumer holds compares with what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The stored offsets are the ones held: go on.
    Ours,
    /// The stored offsets are already those the batch moves to.
    Done,
    /// Another consumer has claimed a partition since.
    Fenced {
        /// The partition.
        partition: i32,
        /// The epoch stored now.
        epoch: i64,
    },
    /// The epoch is not newer than ours and the offset is not ours: the database has lost commits.
    Lost {
        /// The partition.
        partition: i32,
        /// The offset stored now.
        stored: Option<i64>,
    },
}

/// Compares what a batch holds with what is stored; both in any order. Pure.
pub fn standing(spans: &[Span], stored: &[Stored]) -> Standing {
    let mut done = 0;
    for span in spans {
        let Some(row) = stored.iter().find(|row| row.partition == span.partition) else {
            return Standing::Lost { partition: span.partition, stored: None };
        };
        if row.epoch > span.epoch {
            return Standing::Fenced { partition: span.partition, epoch: row.epoch };
        }
        if row.epoch < span.epoch {
            return Standing::Lost { partition: span.partition, stored: row.next_offset };
        }
        match row.next_offset {
            next if next == span.held => {}
            Some(next) if next == span.to => done += 1,
            stored => return Standing::Lost { partition: span.partition, stored },
        }
    }
    match done {
        0 => Standing::Ours,
        all if all == spans.len() => Standing::Done,
        // One transaction moves all of them; some moved and some not is no state of ours.
        _ => Standing::Lost { partition: spans[0].partition, stored: spans[0].held },
    }
}

/// Stores batches that follow one another in one transaction, or says why they must not be stored. Doing it again after
/// an error is safe.
///
/// # Errors
/// When Postgres does not answer or refuses; then the outcome may be unknown, and the next call finds out.
pub async fn commit(
    connection: &mut PgConnection,
    (feed, cluster_id): (&Feed, Option<&str>),
    batches: &mut [Batch],
) -> Result<Commit, sqlx::Error> {
    give_numbers(connection, batches).await?;
    let mut tx = connection.begin().await?;
    let commit = store(&mut tx, (feed, cluster_id), batches).await?;
    match commit {
        Commit::Stored => tx.commit().await?,
        // One that is only dropped keeps its locks until the connection is used again.
        Commit::Refused(_) | Commit::Homeless { .. } => tx.rollback().await?,
    }
    Ok(commit)
}

async fn give_numbers(connection: &mut PgConnection, batches: &mut [Batch]) -> Result<(), sqlx::Error> {
    let new: Vec<&mut Batch> = batches.iter_mut().filter(|batch| batch.number.is_none()).collect();
    if new.is_empty() {
        return Ok(());
    }
    let mut numbers = take_numbers(connection, new.len()).await?;
    numbers.sort_unstable();
    for (batch, number) in new.into_iter().zip(numbers) {
        batch.give_number(number);
    }
    Ok(())
}

async fn take_numbers(connection: &mut PgConnection, count: usize) -> Result<Vec<i64>, sqlx::Error> {
    sqlx::query_scalar("SELECT nextval('ingest_batch_numbers') FROM generate_series(1, $1)")
        .bind(i64::try_from(count).expect("batches fit in memory"))
        .fetch_all(connection)
        .await
}

async fn store(
    tx: &mut PgConnection,
    (feed, cluster_id): (&Feed, Option<&str>),
    batches: &[Batch],
) -> Result<Commit, sqlx::Error> {
    let spans = whole(batches);
    let homes: Vec<(i32, i64)> = batches.iter().flat_map(|batch| batch.homes.iter().copied()).collect();
    let claimed = spans.iter().map(|span| span.partition).chain(homes.iter().map(|home| home.0));
    let stored = claims::lock(&mut *tx, feed, &claimed.collect::<Vec<i32>>()).await?;
    match standing(&spans, &stored) {
        Standing::Ours => {}
        Standing::Done => return Ok(Commit::Stored),
        refused => return Ok(Commit::Refused(refused)),
    }
    if let Some(fenced) = claimed_since(&homes, &stored) {
        return Ok(Commit::Refused(fenced));
    }
    if let Some(homeless) = settle(&mut *tx, feed, batches).await? {
        return Ok(homeless);
    }
    copy(&mut *tx, &changelog_table(feed), batches.iter().map(Batch::rows)).await?;
    copy(&mut *tx, &format!("rejects ({REJECT_COLUMNS})"), batches.iter().map(Batch::rejects)).await?;
    account(&mut *tx, feed, batches).await?;
    note_ids(&mut *tx, feed, batches.iter().flat_map(Batch::last_ids)).await?;
    note_gaps(&mut *tx, feed, &spans).await?;
    let moved = advance(&mut *tx, (feed, cluster_id), &spans).await?;
    if moved != spans.len() as u64 {
        // Cannot happen under the row locks; the compare-and-swap is the law, the locks a courtesy.
        return Ok(Commit::Refused(Standing::Lost { partition: spans[0].partition, stored: None }));
    }
    Ok(Commit::Stored)
}

/// Finds a home that was claimed anew since rows were folded for it: its owner does not know of them. Pure.
fn claimed_since(homes: &[(i32, i64)], stored: &[Stored]) -> Option<Standing> {
    homes.iter().find_map(|&(partition, held)| {
        let epoch = stored.iter().find(|row| row.partition == partition).map_or(0, |row| row.epoch);
        (epoch != held).then_some(Standing::Fenced { partition, epoch })
    })
}

/// Gives new routes a home, or tells which one lives elsewhere.
async fn settle(tx: &mut PgConnection, feed: &Feed, batches: &[Batch]) -> Result<Option<Commit>, sqlx::Error> {
    let routes = batches.iter().flat_map(|batch| batch.routes());
    let (names, homes): (Vec<&str>, Vec<i32>) = routes.map(|(route, home)| (route.as_str(), *home)).unzip();
    if names.is_empty() {
        return Ok(None);
    }
    let settled = sqlx::query(
        "INSERT INTO group_homes (topic, route, home)
         SELECT $1, route, home FROM unnest($2::text[], $3::integer[]) AS new (route, home) ORDER BY route
         ON CONFLICT DO NOTHING",
    )
    .bind(&feed.topic)
    .bind(&names)
    .bind(&homes)
    .execute(&mut *tx)
    .await?;
    if settled.rows_affected() == names.len() as u64 {
        return Ok(None);
    }
    let elsewhere: Option<(String, i32, i32)> = sqlx::query_as(
        "SELECT route, g.home, new.home FROM unnest($2::text[], $3::integer[]) AS new (route, home)
         JOIN group_homes g USING (route) WHERE g.topic = $1 AND g.home <> new.home ORDER BY route LIMIT 1",
    )
    .bind(&feed.topic)
    .bind(&names)
    .bind(&homes)
    .fetch_optional(&mut *tx)
    .await?;
    Ok(elsewhere.map(|(route, home, partition)| Commit::Homeless { route, home, partition }))
}

/// Gives routes another home, and appends their groups' facts there; tells how many were moved, which is none where a try
/// before had moved all of them.
pub(crate) async fn rehome(
    tx: &mut PgConnection,
    feed: &Feed,
    (routes, changes): (&[(String, i32)], &mut Changes),
) -> Result<u64, sqlx::Error> {
    let (names, homes): (Vec<&str>, Vec<i32>) = routes.iter().map(|(route, home)| (route.as_str(), *home)).unzip();
    let moved = sqlx::query(
        "UPDATE group_homes g SET home = new.home FROM unnest($2::text[], $3::integer[]) AS new (route, home)
         WHERE g.topic = $1 AND g.route = new.route AND g.home <> new.home",
    )
    .bind(&feed.topic)
    .bind(names)
    .bind(homes)
    .execute(&mut *tx)
    .await?
    .rows_affected();
    if moved == 0 {
        return Ok(0);
    }
    // More rows than a batch may have get the ids of as many batches as they need.
    let numbers = take_numbers(&mut *tx, 1 + changes.further_batches()).await?;
    let number = numbers.into_iter().min().expect("one was asked for at least");
    copy(&mut *tx, &changelog_table(feed), [changes.numbered(number)].into_iter()).await?;
    // What is told already is told under the new ids as well.
    let ids: Vec<(i32, i64)> = changes.last_ids(number).collect();
    sqlx::query(
        "UPDATE stream_offsets SET refreshed_id = $4
         WHERE pipeline = $1 AND topic = $2 AND partition = ANY ($3) AND refreshed_id = last_id",
    )
    .bind(feed.pipeline)
    .bind(&feed.topic)
    .bind(ids.iter().map(|(partition, _)| *partition).collect::<Vec<i32>>())
    .bind(ids.iter().map(|(_, id)| *id).max())
    .execute(&mut *tx)
    .await?;
    note_ids(tx, feed, ids.into_iter()).await?;
    Ok(moved)
}

fn changelog_table(feed: &Feed) -> String {
    format!("{} ({CHANGELOG_COLUMNS}, {})", feed.changelog.table, feed.changelog.columns.join(", "))
}

/// Sends the rows of finished buffers as one COPY.
async fn copy<'b>(
    tx: &mut PgConnection,
    table: &str,
    buffers: impl Iterator<Item = &'b CopyBuffer>,
) -> Result<(), sqlx::Error> {
    let mut bodies = buffers.filter(|buffer| buffer.rows() > 0).map(CopyBuffer::body).peekable();
    if bodies.peek().is_none() {
        return Ok(());
    }
    let mut into = tx.copy_in_raw(&format!("COPY {table} FROM STDIN (FORMAT binary)")).await?;
    into.send(HEADER.as_slice()).await?;
    for body in bodies {
        into.send(body).await?;
    }
    into.send(TRAILER.as_slice()).await?;
    into.finish().await?;
    Ok(())
}

async fn account(tx: &mut PgConnection, feed: &Feed, batches: &[Batch]) -> Result<(), sqlx::Error> {
    let spans: Vec<(i64, &Span)> = batches
        .iter()
        .flat_map(|batch| batch.spans.iter().map(|span| (batch.number.unwrap_or_default(), span)))
        .filter(|(_, span)| span.counts.read() > 0)
        .collect();
    let column = |value: fn(&Span) -> i64| spans.iter().map(|(_, span)| value(span)).collect::<Vec<i64>>();
    sqlx::query(
        "INSERT INTO ingest_accounting
            (pipeline, topic, batch, partition, from_offset, to_offset, read, new, unchanged, corrected, filtered, rejected)
         SELECT $1, $2, * FROM unnest
            ($3::bigint[], $4::integer[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[],
             $10::bigint[], $11::bigint[], $12::bigint[])",
    )
    .bind(feed.pipeline)
    .bind(&feed.topic)
    .bind(spans.iter().map(|(number, _)| *number).collect::<Vec<i64>>())
    .bind(spans.iter().map(|(_, span)| span.partition).collect::<Vec<i32>>())
    .bind(column(|span| span.from))
    .bind(column(|span| span.to))
    .bind(column(|span| span.counts.read()))
    .bind(column(|span| span.counts.new))
    .bind(column(|span| span.counts.unchanged))
    .bind(column(|span| span.counts.corrected))
    .bind(column(|span| span.counts.filtered))
    .bind(column(|span| span.counts.rejected))
    .execute(tx)
    .await?;
    Ok(())
}

/// Notes what is missing before the first batch of a partition: reading should have begun where it left off, or at 0.
async fn note_gaps(tx: &mut PgConnection, feed: &Feed, spans: &[Span]) -> Result<(), sqlx::Error> {
    let first = || spans.iter().filter(|span| span.held.is_none() && span.from > 0);
    if first().next().is_none() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO stream_gaps (pipeline, topic, partition, generation, from_offset, to_offset)
         SELECT $1, $2, o.partition, o.generation, o.resume_from, s.start
         FROM stream_offsets o JOIN unnest($3::integer[], $4::bigint[]) AS s (partition, start) USING (partition)
         WHERE o.pipeline = $1 AND o.topic = $2 AND o.resume_from < s.start
         ON CONFLICT DO NOTHING",
    )
    .bind(feed.pipeline)
    .bind(&feed.topic)
    .bind(first().map(|span| span.partition).collect::<Vec<i32>>())
    .bind(first().map(|span| span.from).collect::<Vec<i64>>())
    .execute(tx)
    .await?;
    Ok(())
}

/// Notes the greatest id of the facts stored for each owner partition, whose rows are locked.
async fn note_ids(
    tx: &mut PgConnection,
    feed: &Feed,
    ids: impl Iterator<Item = (i32, i64)>,
) -> Result<(), sqlx::Error> {
    // Batches follow one another, and so do their ids.
    let greatest: BTreeMap<i32, i64> = ids.collect();
    if greatest.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "UPDATE stream_offsets o SET last_id = greatest(o.last_id, s.id)
         FROM unnest($3::integer[], $4::bigint[]) AS s (partition, id)
         WHERE o.pipeline = $1 AND o.topic = $2 AND o.partition = s.partition",
    )
    .bind(feed.pipeline)
    .bind(&feed.topic)
    .bind(greatest.keys().copied().collect::<Vec<i32>>())
    .bind(greatest.values().copied().collect::<Vec<i64>>())
    .execute(tx)
    .await?;
    Ok(())
}

/// Moves the offsets, where they are still the ones held; tells how many moved.
async fn advance(
    tx: &mut PgConnection,
    (feed, cluster_id): (&Feed, Option<&str>),
    spans: &[Span],
) -> Result<u64, sqlx::Error> {
    let last = |value: fn(&crate::offsets::LastRecord) -> i64| {
        spans.iter().map(|span| span.last.as_ref().map(value)).collect::<Vec<Option<i64>>>()
    };
    let moved = sqlx::query(
        "UPDATE stream_offsets o
         SET next_offset = s.next, last_offset = s.last_offset, last_timestamp_ms = s.last_timestamp_ms,
             last_crc32 = s.last_crc32, max_timestamp_ms = s.max_timestamp_ms,
             cluster_id = coalesce($3, cluster_id), committed_at = now()
         FROM unnest($4::integer[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[],
                     $11::bigint[])
              AS s (partition, epoch, held, next, last_offset, last_timestamp_ms, last_crc32, max_timestamp_ms)
         WHERE o.pipeline = $1 AND o.topic = $2 AND o.partition = s.partition
           AND o.epoch = s.epoch AND o.next_offset IS NOT DISTINCT FROM s.held",
    )
    .bind(feed.pipeline)
    .bind(&feed.topic)
    .bind(cluster_id)
    .bind(spans.iter().map(|span| span.partition).collect::<Vec<i32>>())
    .bind(spans.iter().map(|span| span.epoch).collect::<Vec<i64>>())
    .bind(spans.iter().map(|span| span.held).collect::<Vec<Option<i64>>>())
    .bind(spans.iter().map(|span| span.to).collect::<Vec<i64>>())
    .bind(last(|last| last.offset))
    .bind(last(|last| last.timestamp_ms))
    .bind(last(|last| last.crc32.into()))
    .bind(spans.iter().map(|span| span.max_timestamp_ms).collect::<Vec<i64>>())
    .execute(tx)
    .await?;
    Ok(moved.rows_affected())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Counts;

    fn span(partition: i32, held: Option<i64>, to: i64) -> Span {
        let counts = Counts::default();
        Span { partition, epoch: 3, held, from: held.unwrap_or(0), to, last: None, max_timestamp_ms: 0, counts }
    }

    fn row(partition: i32, epoch: i64, next_offset: Option<i64>) -> Stored {
        Stored {
            partition,
            epoch,
            next_offset,
            published_through: None,
            cluster_id: None,
            last: None,
            max_timestamp_ms: 0,
            catching_up: false,
            last_id: 0,
            refreshed_id: 0,
        }
    }

    #[test]
    fn a_commit_goes_on_only_from_what_it_holds() {
        let spans = [span(0, None, 10), span(1, Some(5), 7)];
        let check = |stored: [Stored; 2], expected| assert_eq!(standing(&spans, &stored), expected, "{stored:?}");
        check([row(0, 3, None), row(1, 3, Some(5))], Standing::Ours);
        check([row(0, 3, Some(10)), row(1, 3, Some(7))], Standing::Done);
        check([row(0, 3, None), row(1, 4, Some(5))], Standing::Fenced { partition: 1, epoch: 4 });
        check([row(0, 3, None), row(9, 3, Some(5))], Standing::Lost { partition: 1, stored: None });
        check([row(0, 3, None), row(1, 2, Some(5))], Standing::Lost { partition: 1, stored: Some(5) });
        check([row(0, 3, None), row(1, 3, Some(2))], Standing::Lost { partition: 1, stored: Some(2) });
        check([row(0, 3, None), row(1, 3, None)], Standing::Lost { partition: 1, stored: None });
        check([row(0, 3, Some(10)), row(1, 3, Some(5))], Standing::Lost { partition: 0, stored: None });
    }
}
