//! The changelog's table: appending segments, and reading them.

use futures::TryStreamExt;
use sqlx::PgConnection;

use crate::{
    copy::{CopyBuffer, HEADER, TRAILER},
    core::segments::SEGMENT_COLUMNS,
    pipeline::Changelog,
    postgres::database::{PIECE, SqlResult, answered},
};

/// What is sent at a time, in bytes.
const PIECE_BYTES: usize = 1 << 18;

/// What is read of a segment besides the pipeline's columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// All.
    Whole,
    /// All but the offsets, which a load does not need.
    WithoutOffsets,
}

fn columns(changelog: &Changelog, read: Read) -> String {
    let header = SEGMENT_COLUMNS.map(|name| match (name, read) {
        ("offsets", Read::WithoutOffsets) => "NULL",
        _ => name,
    });
    header.into_iter().chain(changelog.columns.iter().map(|column| column.name)).collect::<Vec<_>>().join(", ")
}

/// Appends the segments of finished buffers.
pub(crate) async fn append(
    connection: &mut PgConnection,
    changelog: &Changelog,
    rows: &[&CopyBuffer],
) -> SqlResult<()> {
    copy_in(connection, &format!("{} ({})", changelog.table, columns(changelog, Read::Whole)), rows).await
}

/// Appends the rows of finished buffers to a table, as one COPY.
pub(crate) async fn copy_in(connection: &mut PgConnection, into: &str, rows: &[&CopyBuffer]) -> SqlResult<()> {
    let mut bodies = rows.iter().filter(|buffer| buffer.rows() > 0).map(|buffer| buffer.body()).peekable();
    if bodies.peek().is_none() {
        return Ok(());
    }
    let mut copy = connection.copy_in_raw(&format!("COPY {into} FROM STDIN (FORMAT binary)")).await?;
    copy.send(HEADER.as_slice()).await?;
    // The client copies what it sends.
    for piece in bodies.flat_map(|body| body.chunks(PIECE_BYTES)) {
        copy.send(piece).await?;
    }
    copy.send(TRAILER.as_slice()).await?;
    copy.finish().await?;
    Ok(())
}

/// Hands over the segments that meet a condition, by owner partition and id, as pieces of a binary COPY.
pub(crate) async fn read<E: From<sqlx::Error>>(
    connection: &mut PgConnection,
    changelog: &Changelog,
    read: Read,
    condition: &str,
    mut take: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let (columns, table) = (columns(changelog, read), changelog.table);
    let query = format!(
        "COPY (SELECT {columns} FROM {table} WHERE {condition} ORDER BY owner_partition, id) TO STDOUT (FORMAT binary)"
    );
    // A piece is a row: what a batch brought.
    let mut pieces = answered(PIECE, connection.copy_out_raw(&query)).await?;
    while let Some(piece) = answered(PIECE, pieces.try_next()).await? {
        take(&piece)?;
    }
    Ok(())
}
