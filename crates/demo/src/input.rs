//! What the transfer sends, and where its facts may go.

use std::path::{Path, PathBuf};

use formats::CsvRecords;
use testkit::{broker, repository, unpacked};

use crate::{
    failure::Failure,
    pipeline::{Pipeline, Sample, Target},
    settings::Settings,
};

/// Partitions of the topic; the producer's default.
pub(crate) const PARTITIONS: u16 = 6;

/// What is sent, and the topics and the database that it alone goes to.
#[derive(Debug)]
pub(crate) struct Input {
    /// Where the records come from.
    pub(crate) origin: Origin,
    /// The remark on its figures, where they are made.
    pub(crate) made: Option<&'static str>,
    /// Where its records and facts go.
    pub(crate) target: Target,
    /// Whether the embedded broker can store all of it.
    pub(crate) fits_embedded_broker: bool,
}

/// Where records come from.
#[derive(Debug)]
pub(crate) enum Origin {
    /// A file, and its rows after the header, those included that cannot be read.
    File(PathBuf, u64),
    /// The producer, with these options, and the consumer with these variables.
    Simulated(&'static [&'static str], &'static [(&'static str, &'static str)]),
}

impl Input {
    /// Opens the file and counts its rows.
    pub(crate) fn open(pipeline: &Pipeline, settings: &Settings) -> anyhow::Result<Self> {
        let sample = match pipeline.sample {
            Sample::File(sample) => repository().join(sample),
            Sample::Simulated(options, shared) if settings.data.is_none() => {
                return Ok(Self::simulated(pipeline, options, shared));
            }
            Sample::Simulated(..) => PathBuf::new(),
        };
        let path = settings.data.clone().unwrap_or_else(|| sample.clone());
        let name = path.display();
        // Canonical paths: the file, not its name, decides whether facts are made.
        let same = |a: &Path, b: &Path| a.canonicalize().ok().zip(b.canonicalize().ok()).is_some_and(|(a, b)| a == b);
        let made = same(&path, &sample).then_some(pipeline.made);
        let rows = count_rows(&path, pipeline.delimiter)
            .map_err(|error| error.context(Failure::input(format!("cannot read {name}"))))?;
        let target = if made.is_some() { pipeline.made_target } else { pipeline.real_target };
        Ok(Self { origin: Origin::File(path, rows), made, target, fits_embedded_broker: fits(pipeline, rows) })
    }

    fn simulated(
        pipeline: &Pipeline,
        options: &'static [&'static str],
        shared: &'static [(&'static str, &'static str)],
    ) -> Self {
        let origin = Origin::Simulated(options, shared);
        Self { origin, made: Some(pipeline.made), target: pipeline.made_target, fits_embedded_broker: true }
    }

    /// Its rows, where it is a file.
    pub(crate) fn rows(&self) -> Option<u64> {
        match self.origin {
            Origin::File(_, rows) => Some(rows),
            Origin::Simulated(..) => None,
        }
    }

    /// The topics that its records go to.
    pub(crate) fn topics(&self) -> impl Iterator<Item = &'static str> + use<> {
        std::iter::once(self.target.topic).chain(self.target.further.map(|(topic, _)| topic))
    }

    /// What it is, in a few words.
    pub(crate) fn in_words(&self) -> String {
        let name = match &self.origin {
            Origin::File(path, _) => path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned(),
            Origin::Simulated(options, _) => format!("producer --source simulator {}", options.join(" ")),
        };
        self.made.map_or_else(|| name.clone(), |made| format!("{name} ({made})"))
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
