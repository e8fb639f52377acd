#![doc = include_str!("../README.md")]

pub mod consumers;
pub mod databases;
pub mod feeds;
pub mod pipeline_arg;
pub mod producers;

use clap::Args;
use emissions::{pipeline::Emissions, source::CsvSource};
use energy::{pipeline::Energy, source::MeterSource};
use sqlx::{migrate, migrate::Migrator};
use stream::{Pipeline, ReadError, Source};

use crate::{
    consumers::Consumer,
    databases::Database,
    producers::{Input, Producer},
};

/// Every pipeline; a new one is one line.
fn all() -> Vec<Known> {
    vec![
        known(Emissions, CsvSource::open, migrate!("../../../postgres/migrations/emissions")),
        known(Energy, MeterSource::open, migrate!("../../../postgres/migrations/energy")),
    ]
}

/// A pipeline, as each program knows it.
struct Known {
    consumer: Consumer,
    producer: Producer,
    database: Database,
}

/// A pipeline that is built from its options, reads its rows from an input with the options of that, and has these migrations.
fn known<P, O, S, I>(build: fn(O) -> P, open: fn(Input, &I) -> Result<S, ReadError>, migrations: Migrator) -> Known
where
    P: Pipeline,
    O: Args + 'static,
    S: Source + 'static,
    I: Args + 'static,
{
    Known {
        consumer: consumers::of(build),
        producer: producers::of::<P, S, I>(open),
        database: databases::of::<P>(migrations),
    }
}
