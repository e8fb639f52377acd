//! Kafka's own perf tools: the rates of its clients without our programs.

use std::{path::Path, process::Stdio};

use anyhow::{Context, ensure};
use tokio::process::Command;

use crate::{
    child::LIMIT,
    env::PARTITIONS,
    servers::{Servers, script},
};

/// Messages of the bench itself that the producer tool draws from: enough that a Kafka batch has none twice.
const SAMPLE: u32 = 10_000;
/// The producer tool's settings that make it fast, near those of our producer.
const TUNED: [&str; 3] = ["linger.ms=20", "batch.size=1000000", "compression.type=lz4"];

/// A pattern of every topic created here; Kafka's own have other names.
const TOPICS: &str = "(bench|perf)_.*";

/// How the producer tool is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setting {
    /// As Kafka ships it.
    Untuned,
    /// With [`TUNED`].
    Tuned,
}

/// What the consumer tool reached, records a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ConsumerRates {
    /// The group join included.
    pub(crate) with_join: f64,
    /// The fetching alone.
    pub(crate) fetching: f64,
}

/// Writes a sample of the values of a topic of `records` to `file`, one a line.
pub(crate) async fn sample(servers: &Servers, topic: &str, records: u32, file: &Path) -> anyhow::Result<()> {
    // The tool would wait for more messages than exist.
    let count = SAMPLE.min(records).to_string();
    let values =
        tool(servers, &["console-consumer", "--topic", topic, "--from-beginning", "--max-messages", &count]).await?;
    std::fs::write(file, values).with_context(|| format!("cannot write {}", file.display()))
}

/// Sends `records` values out of `payloads` to the tool's own topic; records a second, by the tool's own clock.
///
/// # Errors
/// When the tool fails, or prints something unexpected.
pub(crate) async fn produce(servers: &Servers, setting: Setting, records: u32, payloads: &Path) -> anyhow::Result<f64> {
    let topic = format!("perf_{setting:?}").to_lowercase();
    eprintln!("▸ kafka perf-producer, {topic}");
    make_topic(servers, &topic, PARTITIONS).await?;
    let (records, payloads) = (records.to_string(), payloads.to_string_lossy());
    let mut args = vec!["perf-producer", "--topic", &topic, "--num-records", &records, "--throughput", "-1"];
    args.extend(["--payload-file", &payloads, "--producer-props", "acks=all"]);
    args.extend(TUNED.iter().filter(|_| setting == Setting::Tuned));
    let said = tool(servers, &args).await?;
    produced(&said).with_context(|| format!("kafka's producer tool said\n{said}"))
}

/// Reads `records` messages of a topic.
///
/// # Errors
/// When the tool fails, or prints something unexpected.
pub(crate) async fn consume(servers: &Servers, topic: &str, records: u32) -> anyhow::Result<ConsumerRates> {
    eprintln!("▸ kafka perf-consumer, {topic}");
    let said = tool(servers, &["perf-consumer", "--topic", topic, "--messages", &records.to_string()]).await?;
    consumed(&said).with_context(|| format!("kafka's consumer tool said\n{said}"))
}

/// Creates a topic, unless it exists.
///
/// # Errors
/// When the tool fails.
pub(crate) async fn make_topic(servers: &Servers, topic: &str, partitions: u32) -> anyhow::Result<()> {
    let partitions = partitions.to_string();
    tool(servers, &["topics", "--create", "--if-not-exists", "--topic", topic, "--partitions", &partitions]).await?;
    Ok(())
}

/// Deletes all topics of a round, those of the tools too.
///
/// # Errors
/// When the tool fails.
pub(crate) async fn delete_topics(servers: &Servers) -> anyhow::Result<()> {
    tool(servers, &["topics", "--delete", "--if-exists", "--topic", TOPICS]).await?;
    Ok(())
}

/// The tool's summary is its last line: `1000000 records sent, 943396.2 records/sec (…)`.
fn produced(said: &str) -> Option<f64> {
    let (_, rest) = said.lines().rfind(|line| line.contains(" records sent, "))?.split_once(" records sent, ")?;
    rest.split_once(" records/sec")?.0.trim().parse().ok()
}

/// The columns are named in the line before: `nMsg.sec` is the sixth, `fetch.nMsg.sec` the tenth.
fn consumed(said: &str) -> Option<ConsumerRates> {
    let mut lines = said.lines().skip_while(|line| !line.starts_with("start.time"));
    let column = |line: &str, name: &str| line.split(", ").position(|column| column.trim() == name);
    let (names, values) = (lines.next()?, lines.next()?);
    let value = |name| values.split(", ").nth(column(names, name)?)?.trim().parse().ok();
    Some(ConsumerRates { with_join: value("nMsg.sec")?, fetching: value("fetch.nMsg.sec")? })
}

async fn tool(servers: &Servers, args: &[&str]) -> anyhow::Result<String> {
    let mut command = Command::new(script("kafka"));
    command.args(args).env("KAFKA_BROKERS", servers.brokers()).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(LIMIT, command.output()).await.context("a Kafka tool does not end")??;
    let last_words = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "scripts/kafka {} failed: {last_words}", args.join(" "));
    Ok(String::from_utf8(output.stdout)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tools_are_understood() {
        let said = "250000 records sent, 49990.0 records/sec (9.5 MB/sec), 1.0 ms avg latency\n\
                    1000000 records sent, 943396.2 records/sec (179.94 MB/sec), 13.08 ms avg latency, 5 ms 99.9th.\n";
        assert_eq!(produced(said), Some(943_396.2));
        assert_eq!(produced("usage"), None);
        let said = "start.time, end.time, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, \
                    rebalance.time.ms, fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec\n\
                    2024-01-01 10:00:00:000, 2024-01-01 10:00:01:000, 95.3674, 95.3674, 1000000, 1000000.0, \
                    500, 500, 190.7349, 2000000.0\n";
        assert_eq!(consumed(said), Some(ConsumerRates { with_join: 1e6, fetching: 2e6 }));
    }
}
