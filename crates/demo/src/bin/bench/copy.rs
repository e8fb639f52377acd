//! A bare COPY of the same rows into a copy of the changelog: the rate of PostgreSQL without our programs.
//!
//! Binary COPY through psql's `\copy` over loopback, from files in the page cache. The rows are those that the consumer
//! stored, in its order, and the table has the changelog's index.

use std::{
    fmt::Write as _,
    fs::File,
    io::{BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, ensure};
use tokio::process::Command;

use crate::{child::LIMIT, servers::Servers};

/// Rows of one transaction: the consumer's own default.
pub(crate) const BATCH: usize = 10_000;
/// What a binary COPY begins with, and how long it is: signature, flags, length of an extension.
const HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What it ends with: a field count of −1.
const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();
/// The time as PostgreSQL has it, seconds.
const CLOCK: &str = "SELECT extract(epoch FROM clock_timestamp());\n";

/// What the same rows take as a bare COPY, rows a second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CopyRates {
    /// In batches of [`BATCH`], each its own transaction.
    pub(crate) batches: f64,
    /// As one transaction.
    pub(crate) whole: f64,
}

/// Copies the changelog of a database twice; `folder` is for the files meanwhile.
///
/// # Errors
/// When psql is missing or fails, or not all rows arrive.
pub(crate) async fn measure(
    servers: &Servers,
    database: &str,
    changelog: &str,
    folder: &Path,
) -> anyhow::Result<CopyRates> {
    let psql = Psql { servers, database, changelog };
    drop(std::fs::remove_dir_all(folder));
    std::fs::create_dir_all(folder)?;
    let all = folder.join("all.copy");
    psql.run(&format!("\\copy {changelog} TO '{}' WITH (FORMAT binary)\n", all.display())).await?;
    let (from, into) = (all.clone(), folder.to_path_buf());
    let split = tokio::task::spawn_blocking(move || split(BufReader::with_capacity(1 << 20, File::open(from)?), &into));
    let (batches, rows) = split.await?.context("the changelog's copy cannot be split into batches")?;
    eprintln!("▸ COPY in {} transactions", batches.len());
    let batches = psql.copy(&batches, rows).await?;
    eprintln!("▸ COPY in one transaction");
    let whole = psql.copy(&[all], rows).await?;
    std::fs::remove_dir_all(folder)?;
    Ok(CopyRates { batches, whole })
}

/// PostgreSQL's own client, on one database.
struct Psql<'a> {
    servers: &'a Servers,
    database: &'a str,
    changelog: &'a str,
}

impl Psql<'_> {
    /// Copies files into a new table, each file a transaction; rows a second.
    async fn copy(&self, files: &[PathBuf], rows: u32) -> anyhow::Result<f64> {
        let mut script = format!(
            "DROP TABLE IF EXISTS copied;\nCREATE TABLE copied (LIKE {} INCLUDING ALL);\nCHECKPOINT;\n",
            self.changelog
        );
        script.push_str(CLOCK);
        for file in files {
            writeln!(script, "BEGIN;\n\\copy copied FROM '{}' WITH (FORMAT binary)\nCOMMIT;", file.display())?;
        }
        script.push_str(CLOCK);
        script.push_str("SELECT count(*) FROM copied;\nDROP TABLE copied;\n");
        let said = self.run(&script).await?;
        let numbers: Vec<f64> = said.lines().filter_map(|line| line.trim().parse().ok()).collect();
        let [began, ended, count] = numbers[..] else { anyhow::bail!("psql said\n{said}") };
        let rows = f64::from(rows);
        ensure!(count == rows, "{count} of {rows} rows were copied");
        Ok(rows / (ended - began))
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

/// Splits a binary COPY into files of [`BATCH`] rows each; returns the files and the number of rows.
fn split(mut all: impl Read, folder: &Path) -> anyhow::Result<(Vec<PathBuf>, u32)> {
    let mut header = [0; HEADER.len()];
    all.read_exact(&mut header)?;
    ensure!(header == *HEADER, "it does not begin as a binary COPY does");
    let (mut files, mut rows) = (Vec::new(), 0);
    loop {
        let mut batch = HEADER.to_vec();
        let taken = take_rows(&mut all, &mut batch)?;
        if taken == 0 {
            return Ok((files, rows));
        }
        batch.extend_from_slice(&TRAILER);
        let path = folder.join(format!("batch-{:05}.copy", files.len()));
        let mut file = BufWriter::new(File::create(&path)?);
        file.write_all(&batch)?;
        file.flush()?;
        files.push(path);
        rows += u32::try_from(taken)?;
        if taken < BATCH {
            return Ok((files, rows));
        }
    }
}

/// Moves at most [`BATCH`] rows; returns how many. Fewer means the end.
fn take_rows(all: &mut impl Read, batch: &mut Vec<u8>) -> anyhow::Result<usize> {
    for row in 0..BATCH {
        let mut count = [0; 2];
        all.read_exact(&mut count)?;
        if count == TRAILER {
            return Ok(row);
        }
        batch.extend_from_slice(&count);
        for _ in 0..i16::from_be_bytes(count) {
            let mut length = [0; 4];
            all.read_exact(&mut length)?;
            batch.extend_from_slice(&length);
            // −1 is NULL, which has no bytes.
            let bytes = u64::try_from(i32::from_be_bytes(length)).unwrap_or(0);
            let moved = all.by_ref().take(bytes).read_to_end(batch)?;
            ensure!(u64::try_from(moved)? == bytes, "it ends within a row");
        }
    }
    Ok(BATCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row of one bigint and one NULL.
    fn row(number: i64) -> Vec<u8> {
        let mut row = [0, 2, 0, 0, 0, 8].to_vec();
        row.extend_from_slice(&number.to_be_bytes());
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
        for rows in [1, BATCH, BATCH + 1] {
            let rows: Vec<Vec<u8>> = (0_i64..).take(rows).map(row).collect();
            let (files, count) = split(copy(&rows).as_slice(), &folder).unwrap();
            let written: Vec<Vec<u8>> = files.iter().map(|file| std::fs::read(file).unwrap()).collect();
            let expected: Vec<Vec<u8>> = rows.chunks(BATCH).map(copy).collect();
            assert_eq!(usize::try_from(count).unwrap(), rows.len());
            assert!(written == expected, "{} rows", rows.len());
        }
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(split(b"PGCOPY".as_slice(), &folder).is_err());
    }
}
