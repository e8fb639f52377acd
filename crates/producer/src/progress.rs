//! Shows how far the sending is: a bar on a terminal, a line a second in logs.

use std::{
    io::{IsTerminal, Read, stderr},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressBarIter, ProgressStyle};
use metrics::{Unit, counter, describe_counter};
use service::health::Health;
use stream::sender::{Sent, Watch};

/// So many rows that cannot be read are named each; a file of rubbish does not flood the log.
const NAMED_REJECTS: u64 = 20;
/// After so long without a line it is said that the sending still goes on.
const SILENCE: Duration = Duration::from_secs(5);

/// Records by `state`: sent, acknowledged or failed.
const RECORDS: &str = "tributary_producer_records_total";
/// What was sent is acknowledged within this, or Kafka is not there.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(10);

/// Describes the metrics, once scrapes are served.
pub(crate) fn describe_metrics() {
    describe_counter!(RECORDS, Unit::Count, "records by what became of them: sent, acknowledged, failed");
}

/// Shows the progress of one run.
pub(crate) struct Progress {
    health: Health,
    /// When a record was last acknowledged, or none was waited for.
    acknowledged_at: Instant,
    /// Hidden where there is no terminal.
    bar: ProgressBar,
    so_far: Sent,
    last_line: Instant,
}

impl Progress {
    /// A bar where standard error is a terminal.
    pub(crate) fn start(health: Health) -> Self {
        let bar = if stderr().is_terminal() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        let style =
            ProgressStyle::with_template("{spinner} {wide_bar} {percent}% {msg}").expect("the template is valid");
        bar.set_style(style);
        let now = Instant::now();
        Self { health, acknowledged_at: now, bar, so_far: Sent::default(), last_line: now }
    }

    /// Says how long the input is, before its first byte is read.
    pub(crate) fn expect_bytes(&self, bytes: u64) {
        self.bar.set_position(0);
        self.bar.set_length(bytes);
    }

    /// The same input, its bytes counted.
    pub(crate) fn counted<R: Read>(&self, input: R) -> ProgressBarIter<R> {
        self.bar.wrap_read(input)
    }

    /// Says that settings and topics are good.
    pub(crate) fn started(&self) {
        self.health.started();
        self.health.set_unready(vec![]);
    }

    /// Tells the probes and the metrics.
    fn tell(&mut self, so_far: &Sent) {
        let taken = so_far.acknowledged + so_far.failed;
        if taken > self.so_far.acknowledged + self.so_far.failed || taken == so_far.sent {
            self.acknowledged_at = Instant::now();
        }
        let silent = self.acknowledged_at.elapsed() > ACKNOWLEDGED_WITHIN;
        let why = silent.then(|| format!("kafka has acknowledged nothing for {} s", ACKNOWLEDGED_WITHIN.as_secs()));
        self.health.set_unready(why.into_iter().collect());
        self.health.turn();
        for (state, count) in [("sent", so_far.sent), ("acknowledged", so_far.acknowledged), ("failed", so_far.failed)]
        {
            counter!(RECORDS, "state" => state).absolute(count);
        }
    }

    /// Removes the bar.
    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }

    fn line(&mut self, text: &str) {
        self.last_line = Instant::now();
        let Sent { read, acknowledged, rejected, .. } = self.so_far;
        let (bytes_read, bytes_in_all) = (self.bar.position(), self.bar.length());
        let records_per_s = records_per_s(&self.so_far);
        tracing::info!(read, acknowledged, rejected, records_per_s, bytes_read, bytes_in_all, "{text}");
    }
}

impl Watch for Progress {
    fn rejected(&mut self, line: u64, reason: &str) {
        self.so_far.rejected += 1;
        let rejected = self.so_far.rejected;
        self.bar.suspend(|| match rejected {
            0..=NAMED_REJECTS => tracing::warn!(line, "line {line} cannot be read and is not sent: {reason}"),
            _ => tracing::debug!(line, "line {line} cannot be read and is not sent: {reason}"),
        });
        if rejected == NAMED_REJECTS {
            tracing::warn!("further rows that cannot be read are only counted; --log-level debug names them");
        }
    }

    fn sample(&mut self, label: &str) {
        if self.bar.is_hidden() {
            self.line(&format!("sent: {label}"));
        } else {
            self.bar.set_message(format!("{label}, {} records/s", grouped(records_per_s(&self.so_far))));
        }
    }

    fn progress(&mut self, so_far: &Sent) {
        self.tell(so_far);
        self.so_far = *so_far;
        if self.bar.is_hidden() && self.last_line.elapsed() > SILENCE {
            self.line("sending");
        }
        self.bar.tick();
    }
}

/// Acknowledged records a second, to the nearest whole one.
pub(crate) fn records_per_s(sent: &Sent) -> u64 {
    let micros = Duration::try_from_secs_f64(sent.seconds).unwrap_or_default().as_micros().max(1);
    u64::try_from(u128::from(sent.acknowledged) * 1_000_000 / micros).unwrap_or(u64::MAX)
}

/// A number with its thousands set off: `512,000`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_off() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (31_076, "31,076"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn records_a_second() {
        let check = |acknowledged, seconds, expected| {
            assert_eq!(records_per_s(&Sent { acknowledged, seconds, ..Sent::default() }), expected);
        };
        check(0, 0.0, 0);
        check(1_000, 2.0, 500);
        check(31_076, 0.06, 517_933);
    }
}
