//! What comes next, seen without being taken.

use std::io::{self, Read};

use super::CsvRecords;

/// How far is looked ahead, in bytes: the minutes of a month, and little beside what the program needs anyway.
pub const AHEAD: usize = 2 << 20;
/// An input that gives less than this at a time comes slowly: its rows are not waited for.
const SLOW: usize = 1024;

/// The bytes that a reader of records will read next.
pub struct Ahead<'a, R> {
    rows: &'a mut CsvRecords<R>,
    /// So many of them were seen.
    seen: usize,
    slow: bool,
}

impl<'a, R> Ahead<'a, R> {
    pub(super) fn of(rows: &'a mut CsvRecords<R>) -> Self {
        Self { rows, seen: 0, slow: false }
    }
}

impl<R: Read> Read for Ahead<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rows = &mut *self.rows;
        let there = rows.end - rows.start;
        if self.seen == there && there < AHEAD && !rows.ended && !self.slow {
            rows.fill()?;
            // Where the buffer is full, more may have been there.
            self.slow = rows.end - rows.start - there < SLOW && rows.end < rows.buffer.len();
        }
        let mut unseen = &rows.buffer[rows.start + self.seen..rows.end];
        let len = unseen.read(buffer)?;
        self.seen += len;
        Ok(len)
    }
}
