//! One of the binaries, run to its end, and what that cost as Linux counts it.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use testkit::process::{Ended, Program};

use crate::proc::Stat;

/// How often the running program is polled: the precision of its time and of its peak.
const POLL_INTERVAL: Duration = Duration::from_millis(2);
/// The longest that any one program may run; the largest input allowed takes a tenth of it.
pub(crate) const LIMIT: Duration = Duration::from_secs(1800);
/// What the consumer logs once it is a member, has loaded, and reads.
pub(crate) const READY: &str = "ready since_start_ms=";

/// What a program's run cost, and its log.
#[derive(Clone, Debug)]
pub(crate) struct Cost {
    /// From start to end.
    pub(crate) took: Duration,
    /// From start to the line that says it is ready, where there is one.
    pub(crate) ready: Option<Duration>,
    /// The most memory it had resident, MiB.
    pub(crate) peak_mib: f64,
    /// The most in each third of its time, MiB.
    pub(crate) thirds_mib: [f64; 3],
    /// Processor seconds in the program, and in the kernel for it.
    pub(crate) cpu_s: (f64, f64),
    log: Vec<String>,
}

impl Cost {
    /// One of which nothing but the time is known.
    #[cfg(test)]
    pub(crate) fn of(took: Duration) -> Self {
        Self { took, ready: None, peak_mib: 0.0, thirds_mib: [0.0; 3], cpu_s: (0.0, 0.0), log: Vec::new() }
    }

    /// The number behind `key=` in the first line that contains `text`.
    pub(crate) fn field(&self, text: &str, key: &str) -> Option<f64> {
        field(&self.log, text, key)
    }

    /// The numbers before a word in all lines that contain a text.
    pub(crate) fn numbers_before(&self, text: &str, word: &str) -> impl Iterator<Item = f64> {
        numbers_before(&self.log, text, word)
    }
}

/// The number behind `key=` in the first line that contains `text`.
pub(crate) fn field(log: &[String], text: &str, key: &str) -> Option<f64> {
    let line = log.iter().find(|line| line.contains(text))?;
    let value = line.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='))?;
    value.parse().ok()
}

/// The numbers before a word in all lines that contain a text.
pub(crate) fn numbers_before(log: &[String], text: &str, word: &str) -> impl Iterator<Item = f64> {
    log.iter().filter(move |line| line.contains(text)).filter_map(move |line| {
        let words: Vec<&str> = line.split(' ').collect();
        words.windows(2).find(|pair| pair[1] == word)?[0].parse().ok()
    })
}

/// Runs a program to its end, which must be a success; its output goes to `log`.
///
/// # Errors
/// When it cannot be started, fails, or takes longer than [`LIMIT`]; and where there is no `/proc`.
pub(crate) async fn run(program: Program, log: &Path) -> anyhow::Result<Cost> {
    let before = Stat::of("self")?.ended_children_s;
    let began = Instant::now();
    let mut running = program.start()?;
    let (mut ready, mut peak_kib, mut resident_kib) = (None, 0.0_f64, Vec::new());
    let ended = loop {
        // A program that has ended has no peak any more; the last one read counts.
        peak_kib = peak_kib.max(running.memory_kib("VmHWM").unwrap_or(0.0));
        resident_kib.extend(running.memory_kib("VmRSS"));
        if ready.is_none() && running.stderr().iter().any(|line| line.contains(READY)) {
            ready = Some(began.elapsed());
        }
        match running.poll()? {
            Some(ended) => break ended,
            None => tokio::time::sleep(POLL_INTERVAL).await,
        }
        ensure!(began.elapsed() < LIMIT, "a program did not end within {LIMIT:?}; see {}", log.display());
    };
    keep_log(log, &ended)?;
    let ended = ended.expect_code(0)?;
    let after = Stat::of("self")?.ended_children_s;
    Ok(Cost {
        took: ended.took,
        ready,
        peak_mib: peak_kib / 1024.0,
        thirds_mib: thirds(&resident_kib).map(|kib| kib / 1024.0),
        cpu_s: (after.0 - before.0, after.1 - before.1),
        log: ended.stderr,
    })
}

/// The greatest of each third.
pub(crate) fn thirds(samples: &[f64]) -> [f64; 3] {
    let at = |n: usize| samples.len() * n / 3;
    std::array::from_fn(|n| samples[at(n)..at(n + 1)].iter().copied().fold(0.0, f64::max))
}

/// Saves the output of a program that has ended.
pub(crate) fn keep_log(path: &Path, ended: &Ended) -> anyhow::Result<()> {
    let text: String = ended.stderr.iter().chain(&ended.stdout).flat_map(|line| [line, "\n"]).collect();
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_of_a_line_is_found() {
        let log = [
            "INFO assigned",
            "INFO claimed and loaded partitions=6 facts=0 load_ms=11",
            "INFO 3 clusters for 164 countries model_ms=19",
        ]
        .map(str::to_owned);
        let cost = Cost { log: log.into(), ..Cost::of(Duration::ZERO) };
        assert_eq!(cost.field("claimed and loaded", "load_ms"), Some(11.0));
        assert_eq!(cost.field("claimed and loaded", "took_ms"), None);
        assert_eq!(cost.field("joined the group", "joined_in_ms"), None);
        assert_eq!(cost.numbers_before("clusters for", "countries").collect::<Vec<_>>(), [164.0]);
    }
}
