//! The list of pipelines.

use std::io::Read;

use clap::Args;
use emissions::{pipeline::Emissions, source::CsvSource};
use energy::{pipeline::Energy, source::MeterSource};
use sqlx::{migrate, migrate::Migrator};
use stream::{Pipeline, ReadError, Source};

/// The file, or standard input, unpacked.
pub type Input = Box<dyn Read + Send>;

/// Visits every pipeline; a new one is one line.
pub(crate) fn visit(visitor: &mut impl Visitor) {
    visitor.pipeline(Emissions, CsvSource::open, migrate!("../../../postgres/migrations/emissions"));
    visitor.pipeline(Energy, MeterSource::open, migrate!("../../../postgres/migrations/energy"));
}

/// What is made of each pipeline.
pub(crate) trait Visitor {
    /// A pipeline that `build` makes of its options, whose rows `open` reads from an input, and that has these migrations.
    fn pipeline<P, O, S, I>(
        &mut self,
        build: fn(O) -> P,
        open: fn(Input, &I) -> Result<S, ReadError>,
        migrations: Migrator,
    ) where
        P: Pipeline,
        O: Args + 'static,
        S: Source + 'static,
        I: Args + 'static;
}
