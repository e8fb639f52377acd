#![doc = include_str!("../README.md")]

mod follow;
mod maintain;
mod monitor;
mod schema;
mod settings;

use std::process::ExitCode;

use service::{exit, telemetry};

use crate::settings::{Job, Task};

fn main() -> ExitCode {
    match exit::parse(Job::from_args(std::env::args_os().collect())) {
        Ok(job) => exit::run(work(job)),
        Err(code) => code,
    }
}

async fn work(job: Job) -> anyhow::Result<()> {
    telemetry::start(&job.settings.log);
    match job.settings.task {
        None => follow::run(job).await,
        Some(Task::Monitor { max_messages, from_end }) => monitor::run(job, max_messages, from_end).await,
        Some(Task::Repartition) => follow::repartition(job).await,
        Some(Task::Hash) => maintain::hash(&job).await,
        Some(Task::Reset { yes }) => maintain::reset(&job, yes.into()).await,
        Some(Task::Compact { keep }) => maintain::compact(&job, keep).await,
    }
}
