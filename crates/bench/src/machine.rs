//! What all processors of the machine did, as Linux counts it.

use anyhow::Context;

/// Time of all processors together, in ticks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Ticks {
    all: f64,
    idle: f64,
    /// Idle, while something waited for the disk.
    waiting: f64,
}

impl Ticks {
    /// Since the machine was started.
    ///
    /// # Errors
    /// When `/proc` is missing.
    pub(crate) fn now() -> anyhow::Result<Self> {
        let stat = std::fs::read_to_string("/proc/stat").context("the bench needs Linux's /proc")?;
        Self::read(&stat).context("/proc/stat is not as proc(5) has it")
    }

    /// The first line: user, nice, system, idle, iowait, irq, softirq, steal; guests are in user already.
    fn read(stat: &str) -> Option<Self> {
        let fields = stat.lines().next()?.strip_prefix("cpu ")?.split_ascii_whitespace().take(8);
        let ticks: Vec<f64> = fields.map(str::parse).collect::<Result<_, _>>().ok()?;
        Some(Self { all: ticks.iter().sum(), idle: *ticks.get(3)?, waiting: *ticks.get(4)? })
    }

    /// What came after `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        Self { all: self.all - before.all, idle: self.idle - before.idle, waiting: self.waiting - before.waiting }
    }

    /// The share in which something ran.
    pub(crate) fn busy_percent(&self) -> f64 {
        100.0 * (self.all - self.idle - self.waiting) / self.all
    }

    /// The share in which nothing ran because of waiting for the disk.
    pub(crate) fn waiting_percent(&self) -> f64 {
        100.0 * self.waiting / self.all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_proc_is_read() {
        let before = Ticks::read("cpu  100 0 100 700 100 0 0 0 5 0\ncpu0 1\n").unwrap();
        let after = Ticks::read("cpu  150 0 110 730 110 0 0 0 5 0\n").unwrap().since(before);
        assert_eq!((after.busy_percent(), after.waiting_percent()), (60.0, 10.0));
        assert_eq!(Ticks::read("intr 1 2 3"), None);
    }
}
