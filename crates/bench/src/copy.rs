//! A bare COPY of the same segments into a copy of the changelog's table: the rate of PostgreSQL without our programs.
//!
//! Binary COPY through psql's `\copy` over loopback, from files in the page cache. The rows are those that the consumer
//! stored, in its order, and the table has the same index.

use std::{
    fmt::Write as _,
    fs::File,
    io::{BufReader, Read},
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, ensure};
use tokio::process::Command;

use crate::{child::LIMIT, servers::Servers};

/// A segment's id is its batch's number times 2 to this power, plus a place in the batch.
const ID_SHIFT: u32 = 20;
/// What a binary COPY begins with, and how long it is: signature, flags, length of an extension.
const HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What it ends with: a field count of −1.
const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();
/// The time as PostgreSQL has it, seconds.
const CLOCK: &str = "SELECT extract(epoch FROM clock_timestamp());\n";

/// What the same rows take as a bare COPY, facts a second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CopyRates {
    /// In the consumer's own batches, each its own transaction.
    pub(crate) batches: f64,
    /// As one transaction.
    pub(crate) whole: f64,
}

/// Copies the segments of a database twice; `folder` is for the files meanwhile.
///
/// # Errors
/// When psql is missing or fails, or not all rows arrive.
pub(crate) async fn measure(
    servers: &Servers,
    database: &str,
    segments: &str,
    folder: &Path,
) -> anyhow::Result<CopyRates> {
    let psql = Psql { servers, database, segments };
    drop(std::fs::remove_dir_all(folder));
    std::fs::create_dir_all(folder)?;
    let all = folder.join("all.copy");
    psql.run(&format!("\\copy {segments} TO '{}' WITH (FORMAT binary)\n", all.display())).await?;
    let (from, into) = (all.clone(), folder.to_path_buf());
    let split = tokio::task::spawn_blocking(move || split(BufReader::with_capacity(1 << 20, File::open(from)?), &into));
    let batches = split.await?.context("the changelog's copy cannot be split into batches")?;
    eprintln!("▸ COPY in {} transactions", batches.len());
    let batches = psql.copy(&batches).await?;
    eprintln!("▸ COPY in one transaction");
    let whole = psql.copy(&[all]).await?;
    std::fs::remove_dir_all(folder)?;
    Ok(CopyRates { batches, whole })
}

/// PostgreSQL's own client, on one database.
struct Psql<'a> {
    servers: &'a Servers,
    database: &'a str,
    segments: &'a str,
}

impl Psql<'_> {
    /// Copies files into a new table, each file a transaction; facts a second.
    async fn copy(&self, files: &[PathBuf]) -> anyhow::Result<f64> {
        let mut script = format!(
            "DROP TABLE IF EXISTS copied;\nCREATE TABLE copied (LIKE {} INCLUDING ALL);\nCHECKPOINT;\n",
            self.segments
        );
        script.push_str(CLOCK);
        for file in files {
            writeln!(script, "BEGIN;\n\\copy copied FROM '{}' WITH (FORMAT binary)\nCOMMIT;", file.display())?;
        }
        script.push_str(CLOCK);
        for table in [self.segments, "copied"] {
            writeln!(script, "SELECT sum(facts) FROM {table};")?;
        }
        script.push_str("DROP TABLE copied;\n");
        let said = self.run(&script).await?;
        let numbers: Vec<f64> = said.lines().filter_map(|line| line.trim().parse().ok()).collect();
        let [began, ended, facts, copied] = numbers[..] else { anyhow::bail!("psql said\n{said}") };
        ensure!(copied == facts, "{copied} of {facts} facts were copied");
        Ok(facts / (ended - began))
    }

    /// Runs a script, and returns its output.
    async fn run(&self, script: &str) -> anyhow::Result<String> {
        let (password, url) = (self.servers.password(), self.servers.database(self.database));
        let url = url.replacen(&format!(":{password}@"), "@", 1);
        let mut command = Command::new("psql");
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", &url, "-f", "-"]);
        command.env("PGPASSWORD", password).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().context("psql cannot be run")?;
        let mut input = child.stdin.take().context("stdin is piped")?;
        let feed = async move { tokio::io::AsyncWriteExt::write_all(&mut input, script.as_bytes()).await };
        let work = async { tokio::join!(feed, child.wait_with_output()) };
        let (fed, output) = tokio::time::timeout(LIMIT, work).await.context("psql does not end")?;
        let output = output?;
        ensure!(output.status.success(), "psql failed: {}", String::from_utf8_lossy(&output.stderr));
        fed?;
        Ok(String::from_utf8(output.stdout)?)
    }
}

/// Splits a binary COPY of segments into files, each a batch.
fn split(mut all: impl Read, folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut header = [0; HEADER.len()];
    all.read_exact(&mut header)?;
    ensure!(header == *HEADER, "it does not begin as a binary COPY does");
    let (mut files, mut batch) = (Vec::new(), HEADER.to_vec());
    let mut next = take_row(&mut all)?;
    while let Some((number, row)) = next {
        batch.extend_from_slice(&row);
        next = take_row(&mut all)?;
        if next.as_ref().is_none_or(|(other, _)| *other != number) {
            batch.extend_from_slice(&TRAILER);
            let path = folder.join(format!("batch-{:05}.copy", files.len()));
            std::fs::write(&path, std::mem::replace(&mut batch, HEADER.to_vec()))?;
            files.push(path);
        }
    }
    Ok(files)
}

/// The next row and the number of its batch; `None` at the end.
fn take_row(all: &mut impl Read) -> anyhow::Result<Option<(i64, Vec<u8>)>> {
    let mut count = [0; 2];
    all.read_exact(&mut count)?;
    if count == TRAILER {
        return Ok(None);
    }
    let mut row = count.to_vec();
    for _ in 0..i16::from_be_bytes(count) {
        let mut length = [0; 4];
        all.read_exact(&mut length)?;
        row.extend_from_slice(&length);
        // −1 is NULL, which has no bytes.
        let bytes = u64::try_from(i32::from_be_bytes(length)).unwrap_or(0);
        let moved = all.by_ref().take(bytes).read_to_end(&mut row)?;
        ensure!(u64::try_from(moved)? == bytes, "it ends within a row");
    }
    let id = row.get(6..14).context("a row has no id")?.try_into()?;
    Ok(Some((i64::from_be_bytes(id) >> ID_SHIFT, row)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row of an id and one NULL.
    fn row(batch: i64, place: i64) -> Vec<u8> {
        let mut row = [0, 2, 0, 0, 0, 8].to_vec();
        row.extend_from_slice(&((batch << ID_SHIFT) + place).to_be_bytes());
        row.extend_from_slice(&[0xff; 4]);
        row
    }

    fn copy(rows: &[Vec<u8>]) -> Vec<u8> {
        [HEADER.as_slice(), &rows.concat(), &TRAILER].concat()
    }

    #[test]
    fn a_copy_is_split_into_copies() {
        let folder = std::env::temp_dir().join(format!("bench-split-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let batches = [vec![row(1, 0), row(1, 7)], vec![row(3, 0)], vec![row(2, 0), row(2, 1)]];
        let files = split(copy(&batches.concat()).as_slice(), &folder).unwrap();
        let written: Vec<Vec<u8>> = files.iter().map(|file| std::fs::read(file).unwrap()).collect();
        assert_eq!(written, batches.map(|rows| copy(&rows)));
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(split(b"PGCOPY".as_slice(), &folder).is_err());
    }
}
