//! How much memory the process uses, and how much it may.

use std::fs;

use crate::Error;

/// Resident memory of this process, MiB; `None` where the system does not report it.
pub(crate) fn resident_mib() -> Option<u64> {
    kib_line(&fs::read_to_string("/proc/self/status").ok()?, "VmRSS:").map(|kib| kib / 1024)
}

/// Three quarters of the container's limit, or of the machine's memory, MiB.
pub(crate) fn default_limit_mib() -> Option<u64> {
    let machine = kib_line(&fs::read_to_string("/proc/meminfo").ok()?, "MemTotal:")? / 1024;
    let files = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let limits = files.iter().filter_map(|file| fs::read_to_string(file).ok()?.trim().parse::<u64>().ok());
    let container = limits.map(|bytes| bytes >> 20).min();
    Some(container.unwrap_or(machine).min(machine) / 4 * 3)
}

/// Ends the process with a message, before the kernel ends it without one.
///
/// # Errors
/// When more memory is in use than allowed.
pub(crate) fn check(limit_mib: Option<u64>) -> Result<(), Error> {
    match (resident_mib(), limit_mib) {
        (Some(used_mib), Some(limit_mib)) if used_mib > limit_mib => Err(Error::Memory { used_mib, limit_mib }),
        _ => Ok(()),
    }
}

fn kib_line(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_much_memory_is_an_error_that_says_so() {
        let error = check(Some(0)).unwrap_err();
        assert!(error.to_string().contains("--max-facts-memory allows 0"), "{error}");
        assert!(check(Some(u64::MAX)).is_ok());
        assert!(check(None).is_ok());
    }

    #[test]
    fn reads_a_line_in_kib() {
        assert_eq!(kib_line("VmPeak:\t  9 kB\nVmRSS:\t  2048 kB\n", "VmRSS:"), Some(2048));
        assert_eq!(kib_line("", "VmRSS:"), None);
    }
}
