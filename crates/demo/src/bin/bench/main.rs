//! `make bench-road`: measures the three real binaries on a real Kafka and PostgreSQL, beside what those alone can do.

mod ceilings;
mod child;
mod copy;
mod emissions;
mod energy;
mod files;
mod host;
mod kafka_tools;
mod machine;
mod peers;
mod place;
mod programs;
mod publications;
mod rating;
mod rebalance;
mod replicas;
mod report;
mod road;
mod rounds;
mod scan;
mod servers;
mod settings;
mod spread;
mod subject;
mod table;
mod writes;

use std::{path::PathBuf, process::ExitCode};

use service::exit;
use tokio::signal::unix::{SignalKind, signal};

use crate::settings::Settings;

/// What a shell expects of a program that Ctrl-C has ended.
const INTERRUPTED: u8 = 130;

#[tokio::main]
async fn main() -> ExitCode {
    let settings = match exit::parse(Settings::read()) {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    tokio::select! {
        () = told_to_stop() => {
            // The road has been dropped by now, and with it all that it had started.
            eprintln!("\nstopped; nothing is left running");
            ExitCode::from(INTERRUPTED)
        }
        done = measure(&settings) => exit::finish(done),
    }
}

async fn measure(settings: &Settings) -> anyhow::Result<()> {
    settings.check()?;
    if settings.check {
        return Ok(());
    }
    let folder = servers::folder();
    std::fs::create_dir_all(&folder)?;
    let subject = settings.pipeline.subject();
    let (into, chosen) = (folder.clone(), settings.clone());
    let input = tokio::task::spawn_blocking(move || (subject.files)(&into, &chosen)).await??;
    let servers = servers::start().await?;
    if settings.rebalance {
        let section = rebalance::section(&rebalance::measure(subject, (&input.sorted, &servers)).await?);
        keep(&section)?;
        println!("{section}");
        return Ok(());
    }
    let host = host::describe(&servers).await?;
    let rounds = rounds::travel(subject, &input, (&servers, settings.repeat)).await?;
    let mut report = report::write(&report::Measured { subject, input: &input, host: &host, rounds: &rounds });
    // Kept at each step, so that a failure in what follows does not cost what is known.
    keep(&report)?;
    if let Some(python) = settings.peers() {
        let contests = peers::compare(&input, &servers, &peers::Peers { python, repeat: settings.repeat }).await?;
        report.push_str(&peers::section(&contests, settings.rows));
        keep(&report)?;
        kafka_tools::delete_topics(&servers).await?;
    }
    if let Some(most) = settings.replicas {
        let replicas = replicas::Replicas { most, repeat: settings.repeat };
        report.push_str(&replicas::section(&replicas::compare(subject, (&input.sorted, &servers), replicas).await?));
        keep(&report)?;
    }
    println!("{report}");
    eprintln!("written to {}", result().display());
    Ok(())
}

fn keep(report: &str) -> anyhow::Result<()> {
    Ok(std::fs::write(result(), report)?)
}

fn result() -> PathBuf {
    servers::folder().join("result.md")
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
