//! A line for each test that ran: what `make faults` prints at the end, and what the docs show.

use std::{
    cell::RefCell,
    fs::File,
    io::Write as _,
    time::{Duration, Instant},
};

thread_local! {
    /// What the test that runs on this thread has seen.
    static SEEN: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Notes something that was seen, for the reader of the table.
pub(crate) fn saw(what: impl Into<String>) {
    SEEN.with_borrow_mut(|seen| seen.push(what.into()));
}

/// Notes why a test could not run here, on the terminal too; on CI it fails.
pub(crate) fn skip(pipeline: &str, test: &str, why: &str) {
    assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI=true, and {why}");
    // Written past the test harness, which captures what a passing test prints.
    std::io::stderr().write_all(format!("skipped: {pipeline}: {test}: {why}\n").as_bytes()).unwrap();
    saw(format!("skipped: {why}"));
}

/// Runs a test, and adds its line to the file that `E2E_TABLE` names: result, seconds, pipeline, test, what was seen.
pub(crate) fn tried(pipeline: &'static str, test: &'static str, run: fn()) {
    SEEN.with_borrow_mut(Vec::clear);
    // Written when it is dropped, so that a test that fails has a line as well.
    let _line = Row { pipeline, test, began: Instant::now() };
    run();
}

struct Row {
    pipeline: &'static str,
    test: &'static str,
    began: Instant,
}

impl Drop for Row {
    fn drop(&mut self) {
        let Some(path) = std::env::var_os("E2E_TABLE").filter(|path| !path.is_empty()) else { return };
        let seen = SEEN.with_borrow_mut(std::mem::take).join("; ");
        let result = match std::thread::panicking() {
            true => "FAILED",
            false if seen.starts_with("skipped: ") => "skipped",
            false => "passed",
        };
        let line = format!("{result}\t{:.1}\t{}\t{}\t{seen}\n", self.seconds(), self.pipeline, self.test);
        // One write of one line, so that the lines of tests that end at the same time do not mix.
        let file = File::options().create(true).append(true).open(&path);
        if let Err(error) = file.and_then(|mut file| file.write_all(line.as_bytes())) {
            eprintln!("{}: {error}", path.display());
        }
    }
}

impl Row {
    fn seconds(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }
}

/// A time as the table shows it.
pub(crate) fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
