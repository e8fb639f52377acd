//! The file that is taken down the road, and where its facts may go.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use anyhow::Context;
use demo::{broker, repository, sample};
use flate2::read::MultiGzDecoder;

use crate::{road::Stuck, settings::Settings};

/// Partitions of the topic; the producer's default.
pub(crate) const PARTITIONS: u16 = 6;

/// No record of the seven fields takes more on the wire; long names are what is left for.
const MOST_BYTES_A_RECORD: u64 = 200;

/// Keys are spread by a hash, so one partition gets more than its share; twice as much is more than was ever seen.
const UNEVENNESS: u64 = 2;

/// The file, and the topic and database that it alone goes to.
#[derive(Debug)]
pub(crate) struct Input {
    /// Where the file is.
    pub(crate) path: PathBuf,
    /// Whether it is the sample that the project makes itself; made facts never reach a real table.
    pub(crate) made: bool,
    /// Lines after the header.
    pub(crate) rows: u64,
    /// The Kafka topic.
    pub(crate) topic: &'static str,
    /// The database's name, unless the person who calls names one for real data.
    pub(crate) database: &'static str,
}

impl Input {
    /// Opens the file and counts its rows.
    pub(crate) fn open(settings: &Settings) -> anyhow::Result<Self> {
        let sample = repository().join(sample::PATH);
        let path = settings.data.clone().unwrap_or_else(|| sample.clone());
        let name = path.display();
        // Whatever road led to it: a made fact is known by its file.
        let same = |a: &Path, b: &Path| a.canonicalize().ok().zip(b.canonicalize().ok()).is_some_and(|(a, b)| a == b);
        let made = same(&path, &sample);
        let rows = count_rows(&path).map_err(|error| error.context(Stuck::input(format!("cannot read {name}"))))?;
        let (topic, database) = match made {
            true => ("emissions-sample-topic", "co2_emissions_sample"),
            false => ("emissions-topic", "co2_emissions"),
        };
        Ok(Self { path, made, rows, topic, database })
    }

    /// Whether the embedded broker keeps all of it.
    pub(crate) fn fits_embedded_broker(&self) -> bool {
        fits(self.rows)
    }
}

fn fits(rows: u64) -> bool {
    let fullest_partition = rows * UNEVENNESS / u64::from(PARTITIONS);
    fullest_partition <= broker::KEPT_MESSAGES && fullest_partition * MOST_BYTES_A_RECORD <= broker::KEPT_BYTES
}

fn count_rows(path: &Path) -> anyhow::Result<u64> {
    let mut file = BufReader::new(File::open(path)?);
    // As the producer does: by content, not by name.
    let packed = file.fill_buf()?.starts_with(&[0x1f, 0x8b]);
    let reader: Box<dyn Read> = if packed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    let mut rows = csv::ReaderBuilder::new().flexible(true).from_reader(reader);
    let mut row = csv::ByteRecord::new();
    let mut count = 0;
    while rows.read_byte_record(&mut row).context("it is no CSV")? {
        count += 1;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_file_fits_the_embedded_broker_and_a_large_one_does_not() {
        assert!(fits(50_407));
        assert!(!fits(200_000));
    }

    #[test]
    fn rows_are_counted_without_the_header_packed_or_not() {
        use std::io::Write;
        let folder = std::env::temp_dir();
        let plain = folder.join(format!("rows-{}.csv", std::process::id()));
        std::fs::write(&plain, "country,year\n\"Valdris, Upper\",1990\nshort\n").unwrap();
        let packed = plain.with_extension("csv.gz");
        let mut gz = flate2::write::GzEncoder::new(File::create(&packed).unwrap(), flate2::Compression::fast());
        gz.write_all(&std::fs::read(&plain).unwrap()).unwrap();
        gz.finish().unwrap();
        assert_eq!([count_rows(&plain).unwrap(), count_rows(&packed).unwrap()], [2, 2]);
        [plain, packed].iter().for_each(|path| std::fs::remove_file(path).unwrap());
    }
}
