//! CSV records one after another, in bounded memory, no matter what the input contains.

use std::io::{self, ErrorKind, Read};

use csv_core::{ReadRecordResult, ReaderBuilder, Terminator};

use crate::error::ReadError;

/// The longest record, in bytes. A valid row takes a few hundred; a larger limit would let one
/// unclosed quote swallow more of the file, a smaller one gains nothing.
const MAX_RECORD: usize = 1 << 20;
/// How much is read of the input at a time: fewer calls than with less, no gain with more.
const CHUNK: usize = 128 << 10;
/// The byte order mark that spreadsheets put before UTF-8.
const BOM: &[u8] = b"\xEF\xBB\xBF";
/// How much of the input is searched for the end of its first line: longer than any header.
const HEAD: usize = 64 << 10;
/// How far is looked ahead, in bytes: the minutes of a month, and little beside what the program needs anyway.
const AHEAD: usize = 2 << 20;
/// An input that gives less than this at a time comes slowly: its rows are not waited for.
const SLOW: usize = 1024;

const UNCLOSED: &str = "a quote is opened and never closed";
const TOO_LONG: &str = "longer than 1 MiB";
const TOO_LONG_WITH_CR: &str = "longer than 1 MiB: it holds a CR; lines must end with LF or CRLF";
const CR_ALONE: &str = "it holds a CR; lines must end with LF or CRLF";

/// What the next piece of the input turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CsvRecord {
    /// A record; its fields can be read.
    Read,
    /// A line that belongs to no record, and why. The line after it is read next.
    Unreadable(&'static str),
}

/// A reader of records separated by commas, or by another byte.
///
/// Lines end with LF or CRLF; blank lines are no records; a field may be quoted and then hold
/// separators, doubled quotes and line ends. A quote that is never closed costs its own line, not the
/// rest of the file. Reading allocates nothing once the buffers have their size.
pub struct CsvRecords<R> {
    input: R,
    core: csv_core::Reader,
    delimiter: u8,
    /// What was read and is not yet used up is `buffer[start..end]`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    ended: bool,
    /// Whether the rest of the last line is still to be skipped.
    abandoned: bool,
    /// How far from `start` it is known that a quote which is open at a line's end stays open.
    open_for: usize,
    line: u64,
    next_line: u64,
    fields: Vec<u8>,
    ends: Vec<usize>,
    len: usize,
}

impl<R: Read> CsvRecords<R> {
    /// Starts reading fields separated by commas; nothing is read yet.
    pub fn new(input: R) -> Self {
        Self::with_delimiter(input, b',')
    }

    /// Starts reading fields separated by `delimiter`; nothing is read yet.
    pub fn with_delimiter(input: R, delimiter: u8) -> Self {
        Self {
            input,
            core: core(delimiter),
            delimiter,
            buffer: vec![0; CHUNK],
            start: 0,
            end: 0,
            ended: false,
            abandoned: false,
            open_for: 0,
            line: 0,
            next_line: 1,
            fields: vec![0; 1024],
            ends: vec![0; 128],
            len: 0,
        }
    }

    /// Reads the next record; `None` at the end of the input.
    ///
    /// An input that has nothing yet says so with [`ErrorKind::WouldBlock`]; the next call goes on from there.
    ///
    /// # Errors
    /// When the input cannot be read, or is a broken archive.
    pub fn read(&mut self) -> Result<Option<CsvRecord>, ReadError> {
        self.record().map_err(|error| self.unread(error))
    }

    /// What the input begins with, byte order marks and blank lines aside: its first line at least, if that is not very
    /// long.
    ///
    /// # Errors
    /// As of [`CsvRecords::read`].
    pub(crate) fn head(&mut self) -> Result<&[u8], ReadError> {
        self.find_head().map_err(|error| self.unread(error))?;
        Ok(&self.buffer[self.start..self.end])
    }

    /// Changes the separator, before anything is read.
    pub(crate) fn set_delimiter(&mut self, delimiter: u8) {
        self.core = core(delimiter);
        self.delimiter = delimiter;
    }

    /// Reads the next record as a header: its fields as texts.
    ///
    /// # Errors
    /// When it is missing or unreadable, or when the input cannot be read.
    pub fn header(&mut self) -> Result<Vec<String>, ReadError> {
        match self.read()? {
            None => Err(ReadError::Unusable("the input is empty".to_owned())),
            Some(CsvRecord::Unreadable(why)) => Err(ReadError::Unusable(format!("the header is unreadable: {why}"))),
            Some(CsvRecord::Read) => Ok((0..self.len())
                .map(|i| String::from_utf8_lossy(self.field(i).unwrap_or_default()).into_owned())
                .collect()),
        }
    }

    /// A reader of the records that come next, which takes none of them, and sees no more than 2 MiB.
    ///
    /// Its last record may be cut off.
    pub fn ahead(&mut self) -> CsvRecords<Ahead<'_, R>> {
        let (delimiter, next_line) = (self.delimiter, self.next_line);
        let mut ahead = CsvRecords::with_delimiter(Ahead { rows: self, seen: 0, slow: false }, delimiter);
        ahead.next_line = next_line;
        ahead
    }

    /// The line the last record began at, counted from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// The number of fields of the last record.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the last record has no fields.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A field of the last record, without its quotes.
    pub fn field(&self, index: usize) -> Option<&[u8]> {
        let end = *self.ends[..self.len].get(index)?;
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        Some(&self.fields[start..end])
    }

    /// Checks that the last record has as many fields as the header.
    ///
    /// # Errors
    /// The reason, when it has not.
    pub fn expect_len(&self, width: usize) -> Result<(), String> {
        if self.len == width { Ok(()) } else { Err(self.wrong_len(width)) }
    }

    #[cold]
    fn wrong_len(&self, width: usize) -> String {
        let why = format!("{} fields where the header has {width}", self.len);
        let fields = &self.fields[..self.len.checked_sub(1).map_or(0, |last| self.ends[last])];
        if holds_cr_alone(fields) { format!("{why}: {CR_ALONE}") } else { why }
    }

    fn unread(&self, error: io::Error) -> ReadError {
        match error.kind() {
            ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::UnexpectedEof => {
                ReadError::Unusable(format!("line {}: the input is damaged: {error}", self.next_line))
            }
            _ => ReadError::Read { line: self.next_line, source: error },
        }
    }

    fn find_head(&mut self) -> io::Result<()> {
        self.skip_boms()?;
        if !self.skip_blank_lines()? {
            return Ok(());
        }
        loop {
            let head = &self.buffer[self.start..self.end];
            // Behind a CR it is known only by the next byte whether it ends the line alone.
            let ended = head.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
            if self.ended || head.len() >= HEAD || ended.is_some_and(|at| at + 1 < head.len() || head[at] == b'\n') {
                return Ok(());
            }
            self.fill()?;
        }
    }

    fn record(&mut self) -> io::Result<Option<CsvRecord>> {
        self.len = 0;
        if self.next_line == 1 && self.line == 0 {
            self.skip_boms()?;
        }
        if self.abandoned {
            self.skip_line()?;
            self.abandoned = false;
        }
        if !self.skip_blank_lines()? {
            return Ok(None);
        }
        self.line = self.next_line;
        let (mut fed, mut written, mut len) = (0, 0, 0);
        let alone = self.line_that_stands_alone();
        loop {
            let line_before = self.core.line();
            let unread = &self.buffer[self.start + fed..alone.map_or(self.end, |line| self.start + line)];
            if unread.is_empty() {
                // The core would take this for the end, and the quote for closed.
                return Ok(self.abandon_open(usize::MAX, UNCLOSED));
            }
            let (result, n_in, n_out, n_ends) =
                self.core.read_record(unread, &mut self.fields[written..], &mut self.ends[len..]);
            self.next_line += self.core.line() - line_before;
            (fed, written, len) = (fed + n_in, written + n_out, len + n_ends);
            match result {
                // Not only where more is read: whether that is needed depends on how the input comes.
                _ if fed > MAX_RECORD => return Ok(self.abandon_too_long()),
                ReadRecordResult::Record | ReadRecordResult::End => {
                    self.advance(fed);
                    self.finish(len);
                    return Ok(Some(CsvRecord::Read));
                }
                ReadRecordResult::OutputFull => self.fields.resize(self.fields.len() * 2, 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::InputEmpty if alone.is_some() => return Ok(self.abandon(UNCLOSED)),
                ReadRecordResult::InputEmpty if self.ended => return Ok(self.abandon_open(usize::MAX, UNCLOSED)),
                ReadRecordResult::InputEmpty => self.fill().inspect_err(|_| self.begin_again())?,
            }
        }
    }

    /// Has the record that broke off be read from its beginning the next time: there may be more of it then.
    #[cold]
    fn begin_again(&mut self) {
        self.core.reset();
        leave_boms_alone(&mut self.core);
        self.next_line = self.line;
    }

    /// The length of the next line, where a record that does not end with it is known to have no end.
    ///
    /// A record was read from an earlier line on and did not end up to there. No matter at which line it began, it was
    /// inside quotes at every line's end, as is this one if it does not end: what follows is the same. To read all of
    /// it again for each line would make a file of such lines cost its square.
    fn line_that_stands_alone(&self) -> Option<usize> {
        let known = &self.buffer[self.start..self.end.min(self.start.saturating_add(self.open_for))];
        known.iter().position(|&byte| byte == b'\n').map(|newline| newline + 1)
    }

    /// Goes on by so many bytes.
    fn advance(&mut self, bytes: usize) {
        self.start += bytes;
        self.open_for = self.open_for.saturating_sub(bytes);
    }

    /// Abandons one line, knowing that so many bytes from its beginning on contain no end of its record.
    fn abandon_open(&mut self, bytes: usize, why: &'static str) -> Option<CsvRecord> {
        self.open_for = bytes;
        self.abandon(why)
    }

    #[cold]
    fn abandon_too_long(&mut self) -> Option<CsvRecord> {
        let cr = holds_cr_alone(&self.buffer[self.start..self.start + MAX_RECORD]);
        self.abandon_open(MAX_RECORD, if cr { TOO_LONG_WITH_CR } else { TOO_LONG })
    }

    /// Takes the CR of a CRLF off the last field.
    fn finish(&mut self, len: usize) {
        self.len = len;
        if self.field(len.wrapping_sub(1)).is_some_and(|last| last.ends_with(b"\r")) {
            self.ends[len - 1] -= 1;
        }
    }

    /// Abandons one line. The rest of it is skipped when the next record is read: the first line of a file that is not
    /// CSV may have no end, and nobody reads a record after an unreadable header.
    fn abandon(&mut self, why: &'static str) -> Option<CsvRecord> {
        self.core.reset();
        leave_boms_alone(&mut self.core);
        self.next_line = self.line + 1;
        self.abandoned = true;
        Some(CsvRecord::Unreadable(why))
    }

    /// Goes to the line after one that was abandoned.
    fn skip_line(&mut self) -> io::Result<()> {
        loop {
            match self.buffer[self.start..self.end].iter().position(|&byte| byte == b'\n') {
                Some(newline) => {
                    self.advance(newline + 1);
                    return Ok(());
                }
                None => {
                    self.advance(self.end - self.start);
                    if self.ended {
                        return Ok(());
                    }
                    self.fill()?;
                }
            }
        }
    }

    /// Whether anything but blank lines is left.
    fn skip_blank_lines(&mut self) -> io::Result<bool> {
        loop {
            match &self.buffer[self.start..self.end] {
                [b'\n', ..] => {
                    self.advance(1);
                    self.next_line += 1;
                }
                [b'\r', b'\n', ..] => {
                    self.advance(2);
                    self.next_line += 1;
                }
                [] if self.ended => return Ok(false),
                [] | [b'\r'] if !self.ended => self.fill()?,
                _ => return Ok(true),
            }
        }
    }

    /// Skips byte order marks, of which a file has several that was saved again and again.
    fn skip_boms(&mut self) -> io::Result<()> {
        loop {
            let head = &self.buffer[self.start..self.end];
            if head.starts_with(BOM) {
                self.start += BOM.len();
            } else if BOM.starts_with(head) && !self.ended {
                self.fill()?;
            } else {
                return Ok(());
            }
        }
    }

    /// Reads more; a last line without an end is given one.
    fn fill(&mut self) -> io::Result<()> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        let read = loop {
            match self.input.read(&mut self.buffer[self.end..]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        if read == 0 {
            self.ended = true;
            if self.end > 0 && self.buffer[self.end - 1] != b'\n' {
                self.buffer[self.end] = b'\n';
                self.end += 1;
            }
        }
        self.end += read;
        Ok(())
    }
}

/// Whether a CR exists that no LF follows: the end of a line, as it was meant.
fn holds_cr_alone(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|pair| pair[0] == b'\r' && pair[1] != b'\n')
}

/// The bytes that a reader of records will read next.
pub struct Ahead<'a, R> {
    rows: &'a mut CsvRecords<R>,
    /// So many of them were seen.
    seen: usize,
    slow: bool,
}

impl<R: Read> Read for Ahead<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rows = &mut *self.rows;
        let there = rows.end - rows.start;
        if self.seen == there && there < AHEAD && !rows.ended && !self.slow {
            let filled = rows.fill();
            // Where the buffer is full, more may have been there.
            self.slow = rows.end - rows.start - there < SLOW && rows.end < rows.buffer.len();
            match filled {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                filled => filled?,
            }
        }
        let mut unseen = &rows.buffer[rows.start + self.seen..rows.end];
        let len = unseen.read(buffer)?;
        self.seen += len;
        Ok(len)
    }
}

fn core(delimiter: u8) -> csv_core::Reader {
    let mut core = ReaderBuilder::new().delimiter(delimiter).terminator(Terminator::Any(b'\n')).build();
    leave_boms_alone(&mut core);
    core
}

/// Gives a new core a blank line, which is no record.
///
/// What it is given first it would search for a byte order mark, also behind ours and behind an abandoned line, but only
/// where the mark comes as a whole.
fn leave_boms_alone(core: &mut csv_core::Reader) {
    core.read_record(b"\n", &mut [0], &mut [0]);
}

#[cfg(test)]
mod tests;
