//! Printing a topic's records as they lie in Kafka.

use std::{
    io::{self, Write},
    num::NonZeroU64,
    ops::ControlFlow,
};

use formats::instant;
use service::{Exit, Failure, Stop};
use stream::{
    monitor::{Monitor, MonitorError, Monitored},
    topic::TopicError,
};

use crate::settings::Job;

/// Prints the records of the pipeline's first topic, until so many are printed, or a stop is requested.
pub(crate) async fn run(job: Job, max_messages: Option<NonZeroU64>, from_end: bool) -> anyhow::Result<()> {
    let stop = Stop::on_signals()?;
    let topic = job.topics().into_iter().next().unwrap_or_default();
    let monitor = Monitor { kafka: job.settings.kafka, topic, from_end, wait: job.settings.consume.wait };
    tokio::task::spawn_blocking(move || print(&monitor, max_messages, &stop)).await?
}

fn print(monitor: &Monitor, max_messages: Option<NonZeroU64>, stop: &Stop) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let (mut printed, mut written) = (0, Ok(()));
    let ended = monitor.run(stop, |record| {
        written = line(&record, &mut out).and_then(|()| out.flush());
        printed += 1;
        let is_last = max_messages.is_some_and(|most| printed >= most.get());
        if written.is_err() || is_last { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    ended.map_err(|error| {
        let exit = match &error {
            MonitorError::Denied(_) | MonitorError::Topic(TopicError::AuthRefused { .. } | TopicError::Denied(_)) => {
                Exit::Usage
            }
            _ => Exit::Unavailable,
        };
        anyhow::Error::new(error).context(Failure::new(exit, format!("cannot read topic `{}`", monitor.topic)))
    })?;
    match written {
        // Whoever read it has enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// Writes a record: partition, offset, Kafka timestamp, key and value, separated by tabs.
fn line(record: &Monitored<'_>, out: &mut impl Write) -> io::Result<()> {
    let at = record.timestamp_ms.map_or_else(|| "-".to_owned(), instant::text);
    write!(out, "{}\t{}\t{at}\t", record.partition, record.offset)?;
    text(record.key, out)?;
    out.write_all(b"\t")?;
    text(record.value, out)?;
    out.write_all(b"\n")
}

/// Writes bytes as text, in one line: what is no UTF-8 is replaced, control characters are escaped.
fn text(bytes: Option<&[u8]>, out: &mut impl Write) -> io::Result<()> {
    let Some(bytes) = bytes else { return out.write_all(b"-") };
    for c in String::from_utf8_lossy(bytes).chars() {
        if c.is_control() { write!(out, "{}", c.escape_default())? } else { write!(out, "{c}")? }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_a_line() {
        let record = Monitored {
            partition: 3,
            offset: 7,
            timestamp_ms: Some(1_767_225_600_123),
            key: Some(b"TEMP-001"),
            value: Some(b"{\"a\":\n\"\xff\"}\t"),
        };
        let print = |record| {
            let mut out = vec![];
            line(record, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(print(&record), "3\t7\t2026-01-01T00:00:00.123Z\tTEMP-001\t{\"a\":\\n\"\u{fffd}\"}\\t\n");
        let bare = Monitored { timestamp_ms: None, key: None, value: None, ..record };
        assert_eq!(print(&bare), "3\t7\t-\t-\t-\n");
    }
}
