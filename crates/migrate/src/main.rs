#![doc = include_str!("../README.md")]

mod connect;
mod legacy_tables;
mod lock;
mod migrations;
mod privileges;
mod roles;
mod server;
mod settings;
mod sql_errors;
mod statements;
mod status;
mod superset;
mod up;

use std::process::ExitCode;

use clap::Parser;
use service::{Exit, Failure, Stop, exit, telemetry};

use crate::settings::{Command, Settings};

fn main() -> ExitCode {
    match exit::parse(Settings::try_parse()) {
        Ok(settings) => exit::run(work(settings)),
        Err(code) => code,
    }
}

async fn work(settings: Settings) -> anyhow::Result<()> {
    telemetry::start(&settings.logs);
    let stop = Stop::on_signals()?;
    let command = async {
        match settings.command {
            Command::Up { move_legacy_tables } => up::run(&settings, move_legacy_tables.into()).await,
            Command::Status => status::run(&settings).await,
        }
    };
    // A dropped connection rolls back the open transaction, so nothing is left half done.
    tokio::select! {
        ended = command => ended,
        () = stop.stopped() => Err(Failure::new(Exit::Unavailable, "stopped before the end; run it again").into()),
    }
}
