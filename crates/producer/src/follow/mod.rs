//! A file that grows: read on from its end, and from its beginning when another file has its name.

mod lines;

use std::{
    io::{self, ErrorKind},
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use registry::producers::Input;
use service::{Exit, Failure, ResultExt, Stop};
use stream::{Outgoing, ReadError, RowOutcome, Source};

use self::lines::{LOOK_EVERY, Lines, Signals};

/// Begins to read an input as a source.
pub(crate) type Open = Arc<dyn Fn(Input) -> anyhow::Result<Box<dyn Source>> + Send + Sync>;

/// A source over a file that grows, without end.
pub(crate) struct Following {
    path: PathBuf,
    open: Open,
    stop: Stop,
    signals: Signals,
    source: Box<dyn Source>,
    /// Whether the source has given all of its file, and another one comes.
    is_over: bool,
}

impl Following {
    /// Begins with a file that is there; waits for its header.
    ///
    /// # Errors
    /// When it cannot be opened, or is not what the pipeline reads.
    pub(crate) fn new(path: PathBuf, from_end: bool, open: Open, stop: &Stop) -> anyhow::Result<Self> {
        let signals = Signals::default();
        let lines = Lines::open(path.clone(), from_end, signals.clone(), stop.clone());
        let source = open(Box::new(lines.or_exit(Exit::Input, || format!("cannot open {}", path.display()))?));
        if stop.is_stopping() {
            return Err(Failure::new(Exit::Unavailable, "stopped while waiting for the header").into());
        }
        signals.opened.store(true, Ordering::Relaxed);
        Ok(Self { path, open, stop: stop.clone(), signals, source: source?, is_over: false })
    }

    /// Whether the file that has the name now could be begun with: it is there, and has a header.
    fn begin_again(&mut self) -> Result<bool, ReadError> {
        let failed = |source| ReadError::Read { line: 1, source };
        let signals = Signals::default();
        let mut lines = match Lines::open(self.path.clone(), false, signals.clone(), self.stop.clone()) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            opened => opened.map_err(failed)?,
        };
        if !lines.has_line().map_err(failed)? {
            return Ok(false);
        }
        self.source = (self.open)(Box::new(lines)).map_err(|error| match error.downcast::<ReadError>() {
            Ok(error) => error,
            Err(error) => failed(io::Error::other(format!("{error:#}"))),
        })?;
        signals.opened.store(true, Ordering::Relaxed);
        (self.signals, self.is_over) = (signals, false);
        Ok(true)
    }
}

impl Source for Following {
    fn next(&mut self, message: &mut Outgoing) -> Result<Option<RowOutcome>, ReadError> {
        const NOTHING_YET: Option<RowOutcome> = Some(RowOutcome::Wait(LOOK_EVERY));
        if self.is_over && !self.begin_again()? {
            return Ok(NOTHING_YET);
        }
        match self.source.next(message) {
            Ok(None) if self.signals.again.load(Ordering::Relaxed) => {
                self.is_over = true;
                Ok(Some(RowOutcome::Wait(Duration::ZERO)))
            }
            Err(ReadError::Read { source, .. }) if source.kind() == ErrorKind::WouldBlock => Ok(NOTHING_YET),
            read => read,
        }
    }

    fn unusable(&self) -> Option<&str> {
        self.source.unusable()
    }

    fn is_without_fact(&self) -> bool {
        self.source.is_without_fact()
    }

    fn further_topics(&self) -> Vec<String> {
        self.source.further_topics()
    }

    fn is_of_the_past(&self) -> bool {
        self.source.is_of_the_past()
    }

    fn is_endless(&self) -> bool {
        true
    }

    fn line(&self) -> u64 {
        self.source.line()
    }

    fn label(&self) -> String {
        self.source.label()
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write, path::Path};

    use super::*;

    /// A line a row, behind a header.
    struct Rows(io::Lines<io::BufReader<Input>>, String);

    impl Source for Rows {
        fn next(&mut self, _: &mut Outgoing) -> Result<Option<RowOutcome>, ReadError> {
            match self.0.next().transpose() {
                Ok(Some(line)) => {
                    self.1 = line;
                    Ok(Some(RowOutcome::Send))
                }
                Ok(None) => Ok(None),
                Err(source) => Err(ReadError::Read { line: 0, source }),
            }
        }

        fn line(&self) -> u64 {
            0
        }

        fn label(&self) -> String {
            self.1.clone()
        }
    }

    fn follow(path: &Path, from_end: bool) -> Following {
        let open: Open = Arc::new(|input| {
            let mut lines = io::BufRead::lines(io::BufReader::with_capacity(16, input));
            anyhow::ensure!(lines.next().transpose()?.is_some_and(|header| header == "header"), "no header");
            Ok(Box::new(Rows(lines, String::new())))
        });
        Following::new(path.to_owned(), from_end, open, &Stop::default()).expect("it has a header")
    }

    fn append(path: &Path, text: &str) {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(path).expect("the folder takes a file");
        file.write_all(text.as_bytes()).expect("the disk has room");
    }

    /// The rows that come until nothing does, twice in a row.
    fn rows(following: &mut Following) -> Vec<String> {
        let (mut rows, mut idle) = (vec![], 0);
        while idle < 3 {
            match following.next(&mut Outgoing::default()).expect("it can be read") {
                Some(RowOutcome::Send) => rows.push(following.label()),
                Some(RowOutcome::Wait(_)) => idle += 1,
                other => panic!("{other:?}"),
            }
        }
        rows
    }

    #[test]
    fn what_is_appended_comes_once_its_line_is_whole() {
        let folder = tempfile::tempdir().expect("there is a folder");
        let path = folder.path().join("grows.csv");
        append(&path, "header\na\nb");
        let mut following = follow(&path, false);
        assert_eq!(rows(&mut following), ["a"]);
        append(&path, "c");
        assert_eq!(rows(&mut following), [""; 0]);
        append(&path, "\nd\n");
        assert_eq!(rows(&mut following), ["bc", "d"]);
        assert!(following.is_endless());
    }

    #[test]
    fn a_file_that_was_replaced_is_read_to_its_end_first() {
        let folder = tempfile::tempdir().expect("there is a folder");
        let (path, old) = (folder.path().join("grows.csv"), folder.path().join("grows.csv.1"));
        append(&path, "header\na\n");
        let mut following = follow(&path, false);
        assert_eq!(rows(&mut following), ["a"]);
        fs::rename(&path, &old).expect("it is there");
        append(&old, "b\nc");
        assert_eq!(rows(&mut following), ["b"]);
        append(&path, "");
        assert_eq!(rows(&mut following), ["c"], "nobody ends that line any more");
        append(&path, "header\nd\n");
        assert_eq!(rows(&mut following), ["d"]);
    }

    #[test]
    fn a_file_that_was_truncated_begins_again() {
        let folder = tempfile::tempdir().expect("there is a folder");
        let path = folder.path().join("grows.csv");
        append(&path, "header\na\nhalf a li");
        let mut following = follow(&path, false);
        assert_eq!(rows(&mut following), ["a"]);
        fs::write(&path, "header\nb\n").expect("it is there");
        assert_eq!(rows(&mut following), ["b"]);
    }

    #[test]
    fn from_the_end_only_what_is_new_comes() {
        let folder = tempfile::tempdir().expect("there is a folder");
        for there in ["", "a\n", &"a line\n".repeat(30_000), "a\nhalf"] {
            let path = folder.path().join(format!("{}.csv", there.len()));
            append(&path, &format!("header\n{there}"));
            let mut following = follow(&path, true);
            assert_eq!(rows(&mut following), [""; 0]);
            append(&path, " a line\nb\n");
            let first = if there.ends_with("half") { "half a line" } else { " a line" };
            assert_eq!(rows(&mut following), [first, "b"], "{} bytes", there.len());
        }
    }
}
