//! Runs one of the built binaries, and keeps what it said.

use std::{
    ffi::OsStr,
    fmt,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};

/// How often a waiting caller polls; a program's time is known this exactly at worst.
const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// All that a program inherits of its caller's environment: where things are, and nothing that is a setting.
const INHERITED: [&str; 7] = ["PATH", "HOME", "TMPDIR", "TZ", "LD_LIBRARY_PATH", "LLVM_PROFILE_FILE", "RUST_BACKTRACE"];

/// A program, its arguments and its environment, which begins empty but for paths; not running yet.
#[derive(Debug)]
pub struct Program {
    name: String,
    command: Command,
    secrets: Vec<String>,
}

impl Program {
    /// A binary of this workspace, from the folder this program itself was built into.
    ///
    /// # Errors
    /// When it is not built.
    pub fn new(name: &str) -> anyhow::Result<Self> {
        Ok(Self::at(name, &built(name)?))
    }

    /// Any other program, under a name for messages.
    pub fn at(name: &str, path: &Path) -> Self {
        let mut command = Command::new(path);
        let inherited = INHERITED.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        command.env_clear().envs(inherited);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { name: name.to_owned(), command, secrets: Vec::new() }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// Adds a word that the program must never say: it is an error if a line of its contains it.
    #[must_use]
    pub fn secret(mut self, secret: &str) -> Self {
        self.secrets.push(secret.to_owned());
        self
    }

    /// Has another program run it, such as `unshare`, with the arguments that come before the binary's name.
    #[must_use]
    pub fn under(self, runner: &str, args: &[&str]) -> Self {
        let mut command = Command::new(runner);
        command.args(args).arg(self.command.get_program()).args(self.command.get_args());
        command.env_clear().envs(self.command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { name: format!("{runner} {}", self.name), command, ..self }
    }

    /// Gives the program a file as its stdin.
    #[must_use]
    pub fn stdin(mut self, file: std::fs::File) -> Self {
        self.command.stdin(file);
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// When the system cannot start it.
    pub fn start(mut self) -> anyhow::Result<Running> {
        let started = Instant::now();
        let mut child = self.command.spawn().with_context(|| format!("{} cannot be started", self.name))?;
        let stdout = Lines::read(child.stdout.take().context("stdout is piped")?);
        let stderr = Lines::read(child.stderr.take().context("stderr is piped")?);
        Ok(Running { name: self.name, secrets: self.secrets, child, started, stdout, stderr })
    }

    /// Starts it, and waits for its end.
    ///
    /// # Errors
    /// When it cannot be started, or runs longer than `limit`; it is killed then.
    pub fn run(self, limit: Duration) -> anyhow::Result<Ended> {
        self.start()?.wait(limit)
    }
}

/// A program that runs; killed when dropped.
#[derive(Debug)]
pub struct Running {
    name: String,
    secrets: Vec<String>,
    child: Child,
    started: Instant,
    stdout: Lines,
    stderr: Lines,
}

impl Running {
    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its own memory, KiB, by a line of Linux's `/proc/PID/status`: `VmRSS` is what it has now, `VmHWM` the most it
    /// had; unlike `maxrss` that holds nothing of the process that started it. `None` once it has ended.
    pub fn memory_kib(&self, line: &str) -> Option<f64> {
        memory_kib(&std::fs::read_to_string(format!("/proc/{}/status", self.id())).ok()?, line)
    }

    /// What it has said on stderr so far, line by line.
    pub fn stderr(&self) -> Vec<String> {
        self.stderr.so_far()
    }

    /// Its end, if it has ended; never waits.
    ///
    /// # Errors
    /// When the system cannot say, or the program has said a secret.
    pub fn poll(&mut self) -> anyhow::Result<Option<Ended>> {
        let Some(status) = self.child.try_wait()? else { return Ok(None) };
        let took = self.started.elapsed();
        let (stdout, stderr) = (self.stdout.finish(), self.stderr.finish());
        let mut lines = stdout.iter().chain(&stderr);
        let leaked = lines.any(|line| self.secrets.iter().any(|secret| line.contains(secret)));
        ensure!(!leaked, "{} said its own secret", self.name);
        Ok(Some(Ended { name: self.name.clone(), status, took, stdout, stderr }))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it runs longer than `limit`; it is killed then, and the error ends with its last lines.
    pub fn wait(mut self, limit: Duration) -> anyhow::Result<Ended> {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if let Some(ended) = self.poll()? {
                return Ok(ended);
            }
            thread::sleep(POLL_INTERVAL);
        }
        bail!("{} did not end within {limit:?}; it said\n{}", self.name, last(&self.stderr(), 20))
    }

    /// Waits until a line on stderr contains `text`, and returns that line.
    ///
    /// # Errors
    /// When no such line comes within `limit`, or the program ends before.
    pub fn wait_for_line(&mut self, text: &str, limit: Duration) -> anyhow::Result<String> {
        let deadline = Instant::now() + limit;
        loop {
            // Checked before the lines are read, so that a last line is not missed.
            let ended = self.child.try_wait()?;
            let lines = if ended.is_some() { self.stderr.finish() } else { self.stderr() };
            if let Some(line) = lines.iter().find(|line| line.contains(text)) {
                return Ok(line.clone());
            }
            ensure!(ended.is_none(), "{} ended without `{text}`; it said\n{}", self.name, last(&lines, 20));
            ensure!(Instant::now() < deadline, "no `{text}` within {limit:?}; it said\n{}", last(&lines, 20));
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Asks it to stop (SIGTERM), and waits for its end.
    ///
    /// # Errors
    /// When it has not ended within `limit`; it is killed then.
    pub fn stop(self, limit: Duration) -> anyhow::Result<Ended> {
        self.signal("TERM")?;
        self.wait(limit)
    }

    /// Kills it (SIGKILL), as a crash of the machine would.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill(mut self) -> anyhow::Result<Ended> {
        self.child.kill()?;
        self.wait(Duration::from_secs(10))
    }

    /// Sends a signal by its name: `TERM`, `INT`, `STOP`, `CONT`. One that has ended gets none.
    ///
    /// # Errors
    /// When the shell that sends it cannot be run.
    pub fn signal(&self, name: &str) -> anyhow::Result<()> {
        let script = "kill -s \"$1\" \"$2\" 2>/dev/null || true";
        let status = Command::new("sh").args(["-c", script, "sh", name, &self.id().to_string()]).status()?;
        ensure!(status.success(), "the shell could not send SIG{name}");
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already, which is as good.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// How a program ended, and what it said.
#[derive(Debug)]
pub struct Ended {
    name: String,
    status: ExitStatus,
    /// From start to end.
    pub took: Duration,
    /// Its stdout, line by line.
    pub stdout: Vec<String>,
    /// Its stderr, line by line.
    pub stderr: Vec<String>,
}

impl Ended {
    /// The exit code; `None` when a signal ended it.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Itself, if the program exited with `code`.
    ///
    /// # Errors
    /// When it ended otherwise; the error ends with the program's last lines.
    pub fn expect_code(self, code: i32) -> anyhow::Result<Self> {
        ensure!(self.code() == Some(code), "expected exit code {code}: {self}");
        Ok(self)
    }

    /// Itself, if the program exited with `code` and the first error it logged contains all of `words`.
    ///
    /// # Errors
    /// When it ended otherwise, or began with another error; the error ends with the program's last lines.
    pub fn expect_failure(self, code: i32, words: &[&str]) -> anyhow::Result<Self> {
        let ended = self.expect_code(code)?;
        let error = ended.first_error().unwrap_or_default();
        ensure!(words.iter().all(|word| error.contains(word)), "expected {words:?} in the first error: {ended}");
        Ok(ended)
    }

    /// The first line of level ERROR on stderr, where each line begins with its time and its level.
    pub fn first_error(&self) -> Option<&str> {
        self.stderr.iter().map(String::as_str).find(|line| line.split_whitespace().nth(1) == Some("ERROR"))
    }

    /// Whether a line on stderr contains `text`.
    pub fn said(&self, text: &str) -> bool {
        self.stderr.iter().any(|line| line.contains(text))
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ended with {} and said\n{}", self.name, self.status, last(&self.stderr, 20))
    }
}

fn memory_kib(status: &str, line: &str) -> Option<f64> {
    let value = status.lines().find_map(|said| said.strip_prefix(line)?.strip_prefix(':'))?;
    value.trim().strip_suffix(" kB")?.parse().ok()
}

/// The last `count` lines as one text.
fn last(lines: &[String], count: usize) -> String {
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// Lines that a thread reads off a pipe until it is closed.
#[derive(Debug)]
struct Lines {
    lines: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
}

impl Lines {
    fn read(pipe: impl Read + Send + 'static) -> Self {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&lines);
        let reader = thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                shared.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        Self { lines, reader: Some(reader) }
    }

    fn so_far(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All lines; waits for the pipe's end, so call it when the program has ended.
    fn finish(&mut self) -> Vec<String> {
        if let Some(reader) = self.reader.take() {
            // The reader cannot panic; if it did, what it has read so far is what there is.
            drop(reader.join());
        }
        self.so_far()
    }
}

/// The path of a built binary: in the folder that `PROGRAMS` names; else next to this program, or one folder up from a
/// test's `deps/`.
fn built(name: &str) -> anyhow::Result<PathBuf> {
    if let Some(folder) = std::env::var_os("PROGRAMS").filter(|folder| !folder.is_empty()) {
        let path = PathBuf::from(folder).join(name);
        ensure!(path.is_file(), "there is no {}: run cargo build --release --bins, or unset PROGRAMS", path.display());
        return Ok(path);
    }
    let own = std::env::current_exe().context("this program's own path is unknown")?;
    let mut folders = own.ancestors().skip(1).take(2);
    let path = folders.find_map(|folder| Some(folder.join(name)).filter(|path| path.is_file()));
    path.with_context(|| format!("{name} is not built next to {}: run cargo build --bins", own.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn shell(script: &str) -> Running {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdout(Stdio::piped()).stderr(Stdio::piped());
        Program { name: "sh".to_owned(), command, secrets: vec!["xyzzy".to_owned()] }.start().unwrap()
    }

    #[test]
    fn what_it_said_and_how_it_ended_are_kept() {
        let ended = shell("echo out; echo one >&2; printf two >&2; exit 7").wait(LIMIT).unwrap();
        assert_eq!(
            (ended.code(), ended.stdout.join("|"), ended.stderr.join("|")),
            (Some(7), "out".into(), "one|two".into())
        );
        let error = ended.expect_code(0).unwrap_err().to_string();
        assert_eq!(error, "expected exit code 0: sh ended with exit status: 7 and said\none\ntwo");
    }

    #[test]
    fn only_the_first_error_counts() {
        let script = "echo 'T  WARN ERROR of old'; echo 'T ERROR no file x'; echo 'T ERROR lost'";
        let ended = || shell(&format!("{{ {script}; }} >&2; exit 65")).wait(LIMIT).unwrap();
        ended().expect_failure(65, &["no file", "x"]).unwrap();
        for (code, word) in [(64, "no file"), (65, "of old"), (65, "lost")] {
            assert!(ended().expect_failure(code, &[word]).is_err(), "{code} {word}");
        }
    }

    #[test]
    fn a_line_is_waited_for() {
        let mut running = shell("echo started >&2; sleep 60");
        assert_eq!(running.wait_for_line("start", LIMIT).unwrap(), "started");
        assert!(running.wait_for_line("ready", Duration::from_millis(20)).is_err());
        assert!(shell("echo started >&2").wait_for_line("ready", LIMIT).is_err());
    }

    #[test]
    fn stop_asks_and_kill_does_not() {
        let polite = "trap 'exit 3' TERM; echo ready >&2; while :; do sleep 0.01; done";
        let mut running = shell(polite);
        running.wait_for_line("ready", LIMIT).unwrap();
        assert_eq!(running.stop(LIMIT).unwrap().code(), Some(3));
        assert_eq!(shell("exec sleep 60").kill().unwrap().code(), None);
    }

    #[test]
    fn a_secret_that_was_said_is_an_error() {
        let error = shell("echo my word is xyzzy >&2").wait(LIMIT).unwrap_err().to_string();
        assert_eq!(error, "sh said its own secret");
    }

    #[test]
    fn another_program_may_run_it() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo $WORD"]).env("WORD", "plugh");
        let program = Program { name: "sh".to_owned(), command, secrets: Vec::new() };
        assert_eq!(program.under("env", &["-u", "HOME"]).run(LIMIT).unwrap().stdout, ["plugh"]);
    }

    #[test]
    fn proc_is_read() {
        let status = "Name:\tx\nVmPeak:\t  9000 kB\nVmHWM:\t    1234 kB\nVmRSS:\t 1000 kB\n";
        assert_eq!(memory_kib(status, "VmHWM"), Some(1234.0));
        assert_eq!(memory_kib(status, "VmRSS"), Some(1000.0));
        assert_eq!(memory_kib("Name:\tx\nState:\tZ (zombie)\n", "VmHWM"), None);
    }

    #[test]
    fn too_long_is_an_error() {
        let error = shell("exec sleep 60").wait(Duration::from_millis(20)).unwrap_err().to_string();
        assert!(error.starts_with("sh did not end within 20ms"), "{error}");
    }
}
