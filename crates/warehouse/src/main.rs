#![doc = include_str!("../README.md")]

mod report;
mod settings;

use std::process::ExitCode;

use clap::Parser;
use service::{Exit, Failure, Stop, exit, telemetry};

use crate::settings::{Settings, Task};

fn main() -> ExitCode {
    match exit::parse(Settings::try_parse()) {
        Ok(settings) => exit::run(work(settings)),
        Err(code) => code,
    }
}

async fn work(settings: Settings) -> anyhow::Result<()> {
    telemetry::start(&settings.log);
    let stop = Stop::on_signals()?;
    let task = async {
        match &settings.task {
            Task::Report(options) => report::run(&settings, options).await,
        }
    };
    // A dropped connection rolls back the open transaction, so nothing is left half done.
    let deadline = tokio::time::timeout(settings.deadline, task);
    tokio::select! {
        ended = deadline => ended.map_err(|_| {
            let seconds = settings.deadline.as_secs();
            Failure::new(Exit::Unavailable, format!("not done within {seconds} s: nothing was stored; see --deadline"))
        })?,
        () = stop.stopped() => Err(Failure::new(Exit::Unavailable, "stopped before the end; run it again").into()),
    }
}
