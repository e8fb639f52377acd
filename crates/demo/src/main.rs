//! `make demo`: takes a file through the three real binaries, and shows the result.

mod accounting;
mod failure;
mod input;
mod outcome;
mod pipeline;
mod printout;
mod servers;
mod settings;
mod transfer;

use std::process::ExitCode;

use clap::Parser as _;
use service::Stop;

use crate::{failure::Failure, settings::Settings};

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
        done = show(&settings) => match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error:#}");
                ExitCode::from(Failure::code_of(&error))
            }
        },
    }
}

async fn show(settings: &Settings) -> anyhow::Result<()> {
    let pipeline = settings.pipeline.pipeline();
    let input = input::Input::open(pipeline, settings)?;
    let servers = servers::start(settings, &input).await?;
    printout::opening(&input, &servers);
    let transfer = transfer::send_and_store(pipeline, &input, &servers).await?;
    let outcome = outcome::read(pipeline, &servers, &transfer).await?;
    transfer::check_accounting(&transfer, &outcome.accounting)?;
    printout::result(pipeline, &input, &transfer, &outcome);
    printout::closing(pipeline, settings, &servers);
    servers.end(settings.keep)
}

/// Waits for Ctrl-C or SIGTERM.
async fn asked_to_stop() {
    Stop::on_signals().expect("the system has both signals").stopped().await;
}
