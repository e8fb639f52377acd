//! What the figures were measured on.

use std::{path::Path, process::Command};

use testkit::repository;

use crate::servers::Servers;

/// The binaries that are measured.
pub(crate) const BINARIES: [&str; 3] = ["migrate", "producer", "consumer"];

/// Describes the machine, the versions and the settings before the first step: a line each, for a list.
///
/// # Errors
/// When PostgreSQL does not answer.
pub(crate) async fn describe(servers: &Servers) -> anyhow::Result<Vec<String>> {
    let sizes = BINARIES.map(|name| (name, binary_mib(name)));
    let binaries: Vec<String> = sizes.iter().map(|(name, mib)| format!("{name} {mib:.1} MiB")).collect();
    let lines = vec![
        format!("date: {}", said("date", &["-u", "+%Y-%m-%d %H:%M UTC"])),
        format!("commit: {}", said("git", &["describe", "--always", "--dirty"])),
        format!("machine: {}", machine()),
        format!("load when it began: {}", load()),
        format!("binaries: {}; {}", binaries.join(", "), said("rustc", &["--version"])),
        format!("Apache Kafka {}, one broker, {} partitions a topic", kafka_version(), crate::env::PARTITIONS),
        format!("PostgreSQL: {}", servers.settings().await?.join(", ")),
    ];
    Ok(lines)
}

/// The load of the last 1, 5 and 15 minutes; other programs on the machine show in it.
pub(crate) fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(", ")
}

fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let cpu = value("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown processor".to_owned());
    let memory = value("/proc/meminfo", "MemTotal").unwrap_or_default();
    let kib: f64 = memory.trim_end_matches(" kB").parse().unwrap_or(0.0);
    format!("{cpu}, {cores} cores shared by all programs, {:.0} GiB, {}", kib / 1_048_576.0, said("uname", &["-sr"]))
}

fn value(path: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn kafka_version() -> String {
    let pom = std::fs::read_to_string(repository().join("scripts/kafka.d/pom.xml")).unwrap_or_default();
    let version = pom.split_once("<kafka.version>").and_then(|(_, rest)| rest.split_once('<'));
    version.map_or_else(|| "of an unknown version".to_owned(), |(version, _)| version.to_owned())
}

fn binary_mib(name: &str) -> f64 {
    let own = std::env::current_exe().unwrap_or_default();
    let path = own.parent().unwrap_or(Path::new(".")).join(name);
    let bytes = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    f64::from(u32::try_from(bytes / 1024).unwrap_or(u32::MAX)) / 1024.0
}

/// The first line of what a program prints; `unknown` where the program is missing.
fn said(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).current_dir(repository()).output();
    let text = output.ok().filter(|output| output.status.success()).map(|output| output.stdout);
    let text = String::from_utf8(text.unwrap_or_default()).unwrap_or_default();
    text.lines().next().unwrap_or("unknown").to_owned()
}
