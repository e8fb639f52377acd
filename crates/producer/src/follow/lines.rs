//! The whole lines of a file that grows.

use std::{
    fs::{File, Metadata},
    io::{self, ErrorKind, Read, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use service::Stop;

/// How often a file is looked at: what is written to it waits that long, and a file on a network volume answers so many
/// requests. Notifications of the kernel's do not reach such volumes.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How much is read at a time.
const CHUNK: usize = 64 << 10;
/// The longest line that is waited for, bytes; the reader of records refuses longer ones.
const LONGEST_LINE: usize = 2 << 20;

/// What the reader and who made it tell each other.
#[derive(Clone, Default)]
pub(super) struct Signals {
    /// Whether the reader says [`ErrorKind::WouldBlock`] at the end, instead of waiting: once the header was read.
    pub(super) opened: Arc<AtomicBool>,
    /// Whether the file was replaced or truncated, so that what is there now has to be read from its beginning.
    pub(super) again: Arc<AtomicBool>,
}

/// Reads a file's whole lines; a half written last line waits until it is whole.
///
/// It ends when the file was replaced or truncated, which [`Signals::again`] then says.
pub(super) struct Lines {
    path: PathBuf,
    file: File,
    /// Bytes read of the file.
    read: u64,
    /// What was read and not passed on: `buffer[passed..whole]` are whole lines.
    buffer: Vec<u8>,
    passed: usize,
    whole: usize,
    /// Whether only the header is wanted of what is there already.
    from_end: bool,
    over: bool,
    signals: Signals,
    stop: Stop,
}

/// How a file is, compared with the one that is open.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    Same,
    /// Shorter than what was read of it.
    Truncated,
    /// Another file has its name.
    Replaced,
}

fn look(open: &Metadata, read: u64, named: io::Result<Metadata>) -> Look {
    match named {
        Ok(named) if (named.dev(), named.ino()) != (open.dev(), open.ino()) => Look::Replaced,
        _ if open.len() < read => Look::Truncated,
        // Of a file that was moved away there may still come more, until another one has its name.
        _ => Look::Same,
    }
}

impl Lines {
    /// Opens a file.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(super) fn open(path: PathBuf, from_end: bool, signals: Signals, stop: Stop) -> io::Result<Self> {
        let file = File::open(&path)?;
        let (buffer, passed, whole) = (Vec::new(), 0, 0);
        Ok(Self { path, file, read: 0, buffer, passed, whole, from_end, over: false, signals, stop })
    }

    /// Whether it has a whole line by now, read or not.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn has_line(&mut self) -> io::Result<bool> {
        while self.passed == self.whole && !self.over && self.fill()? > 0 {}
        Ok(self.whole > self.passed)
    }

    /// Reads on; gives the number of bytes.
    fn fill(&mut self) -> io::Result<usize> {
        self.buffer.drain(..self.passed);
        self.whole -= self.passed;
        self.passed = 0;
        let begin = self.buffer.len();
        self.buffer.resize(begin + CHUNK, 0);
        let read = self.file.read(&mut self.buffer[begin..]);
        self.buffer.truncate(begin + *read.as_ref().unwrap_or(&0));
        let read = read?;
        self.read += read as u64;
        if let Some(end) = self.buffer[begin..].iter().rposition(|byte| *byte == b'\n') {
            self.whole = begin + end + 1;
            if std::mem::take(&mut self.from_end) {
                self.skip_to_end()?;
            }
        } else if self.buffer.len() > LONGEST_LINE {
            self.whole = self.buffer.len();
        }
        Ok(read)
    }

    /// Keeps the first line, and goes to the beginning of the last line that is not whole.
    fn skip_to_end(&mut self) -> io::Result<()> {
        let header = self.buffer.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let mut at = self.file.metadata()?.len();
        let mut chunk = vec![0; CHUNK];
        let begin = loop {
            let from = at.saturating_sub(CHUNK as u64).max(header as u64);
            let len = usize::try_from(at.saturating_sub(from)).unwrap_or(CHUNK);
            self.file.seek(SeekFrom::Start(from))?;
            self.file.read_exact(&mut chunk[..len])?;
            match chunk[..len].iter().rposition(|byte| *byte == b'\n') {
                Some(end) => break from + end as u64 + 1,
                None if from <= header as u64 => break header as u64,
                None => at = from,
            }
        };
        self.file.seek(SeekFrom::Start(begin))?;
        self.buffer.truncate(header);
        (self.whole, self.read) = (header, begin);
        Ok(())
    }

    /// What to do at the end of what there is.
    fn at_end(&mut self) -> io::Result<()> {
        match look(&self.file.metadata()?, self.read, std::fs::metadata(&self.path)) {
            Look::Same if self.signals.opened.load(Ordering::Relaxed) => return Err(ErrorKind::WouldBlock.into()),
            Look::Same if self.stop.is_stopping() => self.over = true,
            Look::Same => std::thread::sleep(LOOK_EVERY),
            Look::Truncated => {
                tracing::info!(file = %self.path.display(), "the file was truncated; it is read from its beginning");
                self.begin_again(0);
            }
            Look::Replaced => {
                tracing::info!(file = %self.path.display(), "another file has its name; that one is read from its beginning");
                // What was written before it was moved away.
                while self.fill()? > 0 && self.buffer.len() <= LONGEST_LINE {}
                self.begin_again(self.buffer.len());
            }
        }
        Ok(())
    }

    /// Passes on so much of what is left, and ends.
    fn begin_again(&mut self, rest: usize) {
        (self.whole, self.over) = (rest, true);
        self.signals.again.store(true, Ordering::Relaxed);
    }
}

impl Read for Lines {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.passed < self.whole {
                let mut lines = &self.buffer[self.passed..self.whole];
                let len = lines.read(out)?;
                self.passed += len;
                return Ok(len);
            }
            if self.over {
                return Ok(0);
            }
            if self.fill()? == 0 {
                self.at_end()?;
            }
        }
    }
}
