//! `make bench-e2e`: measures the three real binaries on a real Kafka and PostgreSQL, and what those servers reach alone.

mod base;
mod ceilings;
mod child;
mod copy;
mod emissions;
mod energy;
mod env;
mod figures;
mod files;
mod host;
mod iot;
mod kafka_tools;
mod machine;
mod peers;
mod proc;
mod programs;
mod rebalance;
mod refreshes;
mod replicas;
mod report;
mod results;
mod rounds;
mod scan;
mod sensors;
mod servers;
mod settings;
mod spread;
mod table;
mod usage;
mod workload;
mod writes;

use std::{path::PathBuf, process::ExitCode};

use service::{Stop, exit};

use crate::{
    settings::{PipelineArg, Settings},
    workload::Workload,
};

/// What a shell expects of a program that Ctrl-C has ended.
const INTERRUPTED: u8 = 130;

#[tokio::main]
async fn main() -> ExitCode {
    let settings = match exit::parse(Settings::read()) {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    tokio::select! {
        () = asked_to_stop() => {
            // The measurement has been dropped by now, and with it all that it had started.
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
    let Some(workload) = workload_of(settings.pipeline) else {
        let servers = servers::start().await?;
        let host: String = host::describe(&servers).await?.iter().map(|line| format!("- {line}\n")).collect();
        let measured = match settings.sensors {
            Some(sensors) => sensors::measure_many(&servers, sensors, settings.rows).await?,
            None if settings.pipeline == PipelineArg::Iot => iot::measure(&servers, settings.rows).await?,
            None => sensors::measure(&servers, settings.rows, settings.peers().is_some()).await?,
        };
        let section = format!("{measured}\n{host}");
        save(&section)?;
        println!("{section}");
        return Ok(());
    };
    let (into, wanted) = (folder.clone(), settings.wanted());
    let input = tokio::task::spawn_blocking(move || (workload.files)(&into, &wanted)).await??;
    let servers = servers::start().await?;
    if settings.rebalance {
        let section = rebalance::section(&rebalance::measure(workload, &input.sorted, &servers).await?);
        save(&section)?;
        println!("{section}");
        return Ok(());
    }
    let host = host::describe(&servers).await?;
    if let Some(base) = settings.base() {
        let section = base::section(&host, &base::measure(workload, &input, &servers, &base, settings.repeat).await?);
        save(&section)?;
        println!("{section}");
        return Ok(());
    }
    let rounds = rounds::measure(workload, &input, &servers, settings.repeat).await?;
    let mut report = report::write(&report::Measured { workload, input: &input, host: &host, rounds: &rounds });
    // Saved after each step, so that a later failure does not lose the earlier results.
    save(&report)?;
    if let Some(python) = settings.peers() {
        let contests = peers::compare(&input, &servers, &peers::Peers { python, repeat: settings.repeat }).await?;
        report.push_str(&peers::section(&contests));
        save(&report)?;
        kafka_tools::delete_topics(&servers).await?;
    }
    if let Some(most) = settings.replicas {
        let replicas = replicas::Replicas { most, repeat: settings.repeat };
        report.push_str(&replicas::section(&replicas::compare(workload, &input.sorted, &servers, replicas).await?));
        save(&report)?;
    }
    println!("{report}");
    eprintln!("written to {}", result().display());
    Ok(())
}

/// What is measured of pipelines that read files; `None` of one whose records are simulated.
fn workload_of(pipeline: PipelineArg) -> Option<&'static Workload> {
    match pipeline {
        PipelineArg::Emissions => Some(&emissions::WORKLOAD),
        PipelineArg::Energy => Some(&energy::WORKLOAD),
        PipelineArg::Sensors | PipelineArg::Iot => None,
    }
}

fn save(report: &str) -> anyhow::Result<()> {
    Ok(std::fs::write(result(), report)?)
}

fn result() -> PathBuf {
    servers::folder().join("result.md")
}

/// Waits for Ctrl-C or SIGTERM.
async fn asked_to_stop() {
    Stop::on_signals().expect("the system has both signals").stopped().await;
}
