//! The list of pipelines.

use std::io::Read;

use clap::Args;
use emissions::{pipeline::Emissions, source::CsvSource};
use energy::{pipeline::Energy, source::MeterSource};
use iot::{file::ReadingsFile as IotFile, inlet::Readings as IotReadings, pipeline::Iot};
use sensors::{events::Events, file::ReadingsFile, inlet::Readings, pipeline::Sensors, simulator};
use sqlx::{migrate, migrate::Migrator};
use stream::{Inlet, Pipeline, ReadError, Source};

/// The file, or standard input, unpacked.
pub type Input = Box<dyn Read + Send>;

/// What is made of every pipeline; a new one is one line.
pub(crate) fn all<T: OfPipeline>() -> Vec<T> {
    vec![
        T::of_pipeline(Emissions, CsvSource::open, migrate!("../../../postgres/migrations/emissions")),
        T::of_pipeline(Energy, MeterSource::open, migrate!("../../../postgres/migrations/energy")),
        T::of_pipeline(Sensors, ReadingsFile::open, migrate!("../../../postgres/migrations/sensors"))
            .with_feed(Events::unless_left_out)
            .with_simulator(simulator::open)
            .with_inlet(Readings::new),
        T::of_pipeline(Iot, IotFile::open, migrate!("../../../postgres/migrations/iot"))
            .with_simulator(iot::simulator::open)
            .with_inlet(IotReadings::new),
    ]
}

/// What one of the programs knows of a pipeline.
pub(crate) trait OfPipeline: Sized {
    /// Of a pipeline whose first feed `build` makes of its options, whose rows `open` reads from an input, and that has these migrations.
    fn of_pipeline<P, O, S, I>(
        build: fn(O) -> P,
        open: fn(Input, &I) -> Result<S, ReadError>,
        migrations: Migrator,
    ) -> Self
    where
        P: Pipeline,
        O: Args + 'static,
        S: Source + 'static,
        I: Args + 'static;

    /// A further feed, in the same database, which `build` makes of the same options, or not.
    fn with_feed<P: Pipeline, O: Args + 'static>(self, build: fn(O) -> Option<P>) -> Self;

    /// A source that needs no input, with the same options as the file.
    fn with_simulator<S: Source + 'static, I: Args + 'static>(self, open: fn(&I) -> Result<S, ReadError>) -> Self;

    /// What it takes of live inputs, with the same options as the file.
    fn with_inlet<L: Inlet + 'static, I: Args + 'static>(self, _open: fn(&I) -> L) -> Self {
        self
    }
}
