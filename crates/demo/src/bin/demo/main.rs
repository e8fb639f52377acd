//! `make demo`: takes a file through the three real binaries, and shows what they made of it.

mod input;
mod printout;
mod report;
mod road;
mod scatter;
mod servers;
mod settings;
mod tables;
mod words;

use std::process::ExitCode;

use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::{road::Stuck, settings::Settings};

/// What a shell expects of a program that Ctrl-C has ended.
const INTERRUPTED: u8 = 130;

#[tokio::main]
async fn main() -> ExitCode {
    let settings = Settings::parse();
    tokio::select! {
        () = told_to_stop() => {
            // The road has been dropped by now, and with it all that it had started.
            eprintln!("\nstopped; nothing is left running");
            ExitCode::from(INTERRUPTED)
        }
        done = show(&settings) => match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error:#}");
                ExitCode::from(Stuck::code_of(&error))
            }
        },
    }
}

async fn show(settings: &Settings) -> anyhow::Result<()> {
    let input = input::Input::open(settings)?;
    let servers = servers::start(settings, &input).await?;
    printout::opening(&input, &servers);
    let road = road::travel(&input, &servers).await?;
    let tables = tables::read(&servers, &road).await?;
    road::check_balance(&road, &tables)?;
    printout::result(&input, &road, &tables);
    let report = report::write(&input, &road, &tables)?;
    printout::closing(&report, settings, &servers);
    servers.end(settings.keep)
}

/// Waits for Ctrl-C or SIGTERM.
async fn told_to_stop() {
    let mut terminate = signal(SignalKind::terminate()).expect("the system has SIGTERM");
    let mut interrupt = signal(SignalKind::interrupt()).expect("the system has SIGINT");
    tokio::select! {
        _ = terminate.recv() => (),
        _ = interrupt.recv() => (),
    }
}
