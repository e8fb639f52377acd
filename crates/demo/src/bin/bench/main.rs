//! `make bench-road`: measures the three real binaries on a real Kafka and PostgreSQL, beside what those alone can do.

mod ceilings;
mod child;
mod copy;
mod emissions;
mod energy;
mod files;
mod host;
mod kafka_tools;
mod rating;
mod report;
mod road;
mod servers;
mod settings;
mod subject;
mod table;

use std::process::ExitCode;

use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::settings::Settings;

/// What a shell expects of a program that Ctrl-C has ended.
const INTERRUPTED: u8 = 130;

/// Every failure is told apart by its sentence; none of them is the input's fault.
const FAILED: u8 = 70;

#[tokio::main]
async fn main() -> ExitCode {
    let settings = Settings::parse();
    tokio::select! {
        () = told_to_stop() => {
            // The road has been dropped by now, and with it all that it had started.
            eprintln!("\nstopped; nothing is left running");
            ExitCode::from(INTERRUPTED)
        }
        done = measure(&settings) => match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error:#}");
                ExitCode::from(FAILED)
            }
        },
    }
}

async fn measure(settings: &Settings) -> anyhow::Result<()> {
    let folder = servers::folder();
    std::fs::create_dir_all(&folder)?;
    let subject = settings.pipeline.subject();
    let (into, chosen) = (folder.clone(), settings.clone());
    let input = tokio::task::spawn_blocking(move || (subject.files)(&into, &chosen)).await??;
    let servers = servers::start().await?;
    let host = host::describe(&servers).await?;
    let road = road::travel(subject, &input, &servers).await?;
    let ceilings = ceilings::measure(subject, road.sorted.producer.records, &servers).await?;
    let report =
        report::write(&report::Measured { subject, input: &input, host: &host, road: &road, ceilings: &ceilings });
    let path = folder.join("result.md");
    std::fs::write(&path, &report)?;
    println!("{report}");
    eprintln!("written to {}", path.display());
    Ok(())
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
