//! Reading the input alone, from the page cache: the rate of a producer that only had to find lines or fields.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
    process::Command,
    time::Instant,
};

use anyhow::{Context, ensure};

/// Rows a second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScanRates {
    /// `wc -l`, its start included.
    pub(crate) lines: f64,
    /// The csv crate, fields found and not read.
    pub(crate) fields: f64,
}

/// Reads the file both ways.
///
/// # Errors
/// When it cannot be read, or `wc` is missing.
pub(crate) fn measure(path: &Path) -> anyhow::Result<ScanRates> {
    eprintln!("▸ wc -l and the csv crate");
    let began = Instant::now();
    let counted = Command::new("wc").arg("-l").arg(path).output().context("wc cannot be run")?;
    let lines_s = began.elapsed().as_secs_f64();
    ensure!(counted.status.success(), "wc failed on {}", path.display());
    let began = Instant::now();
    let rows = fields(path).with_context(|| format!("cannot read {}", path.display()))?;
    let fields_s = began.elapsed().as_secs_f64();
    let rows = f64::from(rows);
    Ok(ScanRates { lines: rows / lines_s, fields: rows / fields_s })
}

/// Rows below the header.
fn fields(path: &Path) -> anyhow::Result<u32> {
    let mut header = String::new();
    BufReader::new(File::open(path)?).read_line(&mut header)?;
    let delimiter = if header.contains(';') { b';' } else { b',' };
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_path(path)?;
    let (mut record, mut rows) = (csv::ByteRecord::new(), 0);
    while reader.read_byte_record(&mut record)? {
        rows += 1;
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_counted_with_any_delimiter() {
        let path = std::env::temp_dir().join(format!("bench-scan-{}.csv", std::process::id()));
        for text in ["a,b\n1,2\n3,4\n", "a;b\r\n1,0;2\r\n3;4\r\n"] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(fields(&path).unwrap(), 2, "{text:?}");
        }
        std::fs::remove_file(&path).unwrap();
    }
}
