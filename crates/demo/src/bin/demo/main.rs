//! `make demo`: takes a file through the three real binaries, and shows the result.

mod accounting;
mod emissions;
mod energy;
mod failure;
mod input;
mod outcome;
mod pipeline;
mod printout;
mod report;
mod servers;
mod settings;
mod transfer;
mod words;

use std::process::ExitCode;

use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    emissions::Emissions,
    energy::Energy,
    failure::Failure,
    pipeline::Pipeline,
    settings::{PipelineArg, Settings},
};

/// What a shell expects of a program that Ctrl-C has ended.
const INTERRUPTED: u8 = 130;

#[tokio::main]
async fn main() -> ExitCode {
    let settings = Settings::parse();
    tokio::select! {
        () = asked_to_stop() => {
            // The transfer has been dropped by now, and with it all that it had started.
            eprintln!("\nstopped; nothing that it started is left running");
            ExitCode::from(INTERRUPTED)
        }
        done = show_chosen(&settings) => match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error:#}");
                ExitCode::from(Failure::code_of(&error))
            }
        },
    }
}

async fn show_chosen(settings: &Settings) -> anyhow::Result<()> {
    match settings.pipeline {
        PipelineArg::Emissions => show::<Emissions>(settings).await,
        PipelineArg::Energy => show::<Energy>(settings).await,
    }
}

async fn show<P: Pipeline>(settings: &Settings) -> anyhow::Result<()> {
    let input = input::Input::open::<P>(settings)?;
    let servers = servers::start(settings, &input).await?;
    printout::opening(&input, &servers);
    let transfer = transfer::send_and_store::<P>(&input, &servers).await?;
    let outcome = outcome::read::<P>(&servers, &transfer).await?;
    transfer::check_accounting(&transfer, &outcome.accounting)?;
    printout::result::<P>(&input, &transfer, &outcome);
    let report = report::write::<P>(&input, &transfer, &outcome)?;
    printout::closing(&report, settings, &servers);
    servers.end(settings.keep)
}

/// Waits for Ctrl-C or SIGTERM.
async fn asked_to_stop() {
    let mut terminate = signal(SignalKind::terminate()).expect("the system has SIGTERM");
    let mut interrupt = signal(SignalKind::interrupt()).expect("the system has SIGINT");
    tokio::select! {
        _ = terminate.recv() => (),
        _ = interrupt.recv() => (),
    }
}
