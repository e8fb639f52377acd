//! The file of the transfer, and where its facts may go.

use std::path::{Path, PathBuf};

use formats::CsvRecords;
use testkit::{broker, repository, unpacked};

use crate::{
    failure::Failure,
    pipeline::{Pipeline, Target},
    settings::Settings,
};

/// Partitions of the topic; the producer's default.
pub(crate) const PARTITIONS: u16 = 6;

/// The file, and the topic and database that it alone goes to.
#[derive(Debug)]
pub(crate) struct Input {
    /// Where the file is.
    pub(crate) path: PathBuf,
    /// The remark on its figures, where it is the sample that the project generates.
    pub(crate) made: Option<&'static str>,
    /// Rows after the header, those included that cannot be read.
    pub(crate) rows: u64,
    /// Where its records and facts go.
    pub(crate) target: Target,
    /// Whether the embedded broker can store all of it.
    pub(crate) fits_embedded_broker: bool,
}

impl Input {
    /// Opens the file and counts its rows.
    pub(crate) fn open(pipeline: &Pipeline, settings: &Settings) -> anyhow::Result<Self> {
        let sample = repository().join(pipeline.sample);
        let path = settings.data.clone().unwrap_or_else(|| sample.clone());
        let name = path.display();
        // Canonical paths: the file, not its name, decides whether facts are made.
        let same = |a: &Path, b: &Path| a.canonicalize().ok().zip(b.canonicalize().ok()).is_some_and(|(a, b)| a == b);
        let made = same(&path, &sample).then_some(pipeline.made);
        let rows = count_rows(&path, pipeline.delimiter)
            .map_err(|error| error.context(Failure::input(format!("cannot read {name}"))))?;
        let target = if made.is_some() { pipeline.made_target } else { pipeline.real_target };
        Ok(Self { path, made, rows, target, fits_embedded_broker: fits(pipeline, rows) })
    }

    /// What the file is, in a few words.
    pub(crate) fn in_words(&self) -> String {
        let name = self.path.file_name().unwrap_or(self.path.as_os_str()).to_string_lossy();
        self.made.map_or_else(|| name.to_string(), |made| format!("{name} ({made})"))
    }
}

fn fits(pipeline: &Pipeline, rows: u64) -> bool {
    let fullest_partition = rows * pipeline.unevenness / u64::from(PARTITIONS);
    fullest_partition <= broker::KEPT_MESSAGES && fullest_partition * pipeline.most_bytes_a_record <= broker::KEPT_BYTES
}

/// Counts the rows with the producer's own reader, so that the two never differ on what a row is.
fn count_rows(path: &Path, delimiter: u8) -> anyhow::Result<u64> {
    unpacked::read(path, |file| {
        let mut rows = CsvRecords::with_delimiter(file, delimiter);
        rows.header()?;
        let mut count = 0;
        // A line that cannot be read is a row as well: the producer counts it, and does not send it.
        while rows.read()?.is_some() {
            count += 1;
        }
        Ok(count)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::{EMISSIONS, ENERGY};

    #[test]
    fn the_published_file_fits_the_embedded_broker_and_a_large_one_does_not() {
        assert!(fits(&EMISSIONS, 50_407));
        assert!(!fits(&EMISSIONS, 200_000));
        assert!(fits(&ENERGY, 20_000));
        assert!(!fits(&ENERGY, 2_075_259));
    }

    #[test]
    fn rows_are_counted_without_the_header() {
        let path = std::env::temp_dir().join(format!("rows-{}.csv", std::process::id()));
        let check = |text: &str, delimiter, expected| {
            std::fs::write(&path, text).unwrap();
            assert_eq!(count_rows(&path, delimiter).unwrap(), expected, "{text}");
        };
        check("country,year\n\"Valdris, Upper\",1990\nshort\n", b',', 2);
        check("Date;Time\r\n1/1/2008;00:00:00\r\n1/1/2008;00:01:00", b';', 2);
        check("country,year\n\"Valdris,1990\nEskmar,1990\nOrland,1990\n\nSund,1990\n", b',', 4);
        assert!(count_rows(&path.with_extension("gone"), b',').is_err());
        std::fs::remove_file(&path).unwrap();
    }
}
