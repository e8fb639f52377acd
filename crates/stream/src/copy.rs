//! PostgreSQL's binary COPY format, written and read.
//!
//! A row is a count of fields, then each field as a length and its bytes in network order; −1 is
//! NULL. Source: PostgreSQL documentation, COPY, "Binary Format".

use std::borrow::Cow;

/// What a COPY stream begins with: the signature, no flags, no header extension.
pub(crate) const HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What it ends with: a field count of −1.
pub(crate) const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();

/// A stored column that does not hold what this program writes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column {column} {why}")]
pub struct ColumnError {
    column: &'static str,
    why: Cow<'static, str>,
}

impl ColumnError {
    pub(crate) fn new(column: &'static str, why: impl Into<Cow<'static, str>>) -> Self {
        Self { column, why: why.into() }
    }
}

impl From<ColumnError> for sqlx::Error {
    fn from(error: ColumnError) -> Self {
        Self::Decode(error.into())
    }
}

/// Rows that are sent to PostgreSQL, already in COPY's format.
#[derive(Clone, Debug)]
pub(crate) struct CopyBuffer {
    bytes: Vec<u8>,
    /// Where each row's first field is, which is written once the batch has a number.
    number_at: Vec<usize>,
    finished: bool,
}

impl Default for CopyBuffer {
    fn default() -> Self {
        Self { bytes: HEADER.to_vec(), number_at: Vec::new(), finished: false }
    }
}

impl CopyBuffer {
    /// Begins a row of `fields` fields, all of which the caller then writes. Before them goes a
    /// `bigint` that is filled in later by [`CopyBuffer::finish`].
    pub(crate) fn row(&mut self, fields: usize) -> CopyRow<'_> {
        let count = i16::try_from(fields + 1).expect("a table has at most 1,600 columns");
        self.bytes.extend_from_slice(&count.to_be_bytes());
        let mut row = CopyRow { bytes: &mut self.bytes };
        row.i64(0);
        self.number_at.push(row.bytes.len() - 8);
        CopyRow { bytes: &mut self.bytes }
    }

    /// The number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.number_at.len()
    }

    /// The size so far, in bytes.
    pub(crate) fn len_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Writes every row's first field: `number(row)`, rows counted from 0. Doing it again is fine.
    pub(crate) fn finish(&mut self, number: impl Fn(usize) -> i64) {
        for (row, &at) in self.number_at.iter().enumerate() {
            self.bytes[at..at + 8].copy_from_slice(&number(row).to_be_bytes());
        }
        if !std::mem::replace(&mut self.finished, true) {
            self.bytes.extend_from_slice(&TRAILER);
        }
    }

    /// What is sent to Postgres.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The rows alone: between [`HEADER`] and [`TRAILER`] those of several buffers are one stream. Needs a finished buffer.
    pub(crate) fn body(&self) -> &[u8] {
        &self.bytes[HEADER.len()..self.bytes.len() - TRAILER.len()]
    }
}

/// One row being written.
#[derive(Debug)]
pub(crate) struct CopyRow<'a> {
    bytes: &'a mut Vec<u8>,
}

impl CopyRow<'_> {
    /// Writes NULL.
    pub(crate) fn null(&mut self) {
        self.bytes.extend_from_slice(&(-1_i32).to_be_bytes());
    }

    /// Writes a `bytea` or `text`.
    pub(crate) fn raw(&mut self, value: &[u8]) {
        self.raw_in_two(value, &[]);
    }

    /// Writes a value of any type as the server has it, in two pieces.
    pub(crate) fn raw_in_two(&mut self, first: &[u8], second: &[u8]) {
        let len = i32::try_from(first.len() + second.len()).expect("a field is at most 1 GiB");
        self.bytes.extend_from_slice(&len.to_be_bytes());
        self.bytes.extend_from_slice(first);
        self.bytes.extend_from_slice(second);
    }

    /// Writes a `text`; it must hold no NUL character.
    pub(crate) fn text(&mut self, value: &str) {
        self.raw(value.as_bytes());
    }

    /// Writes an `integer`.
    pub(crate) fn i32(&mut self, value: i32) {
        self.raw(&value.to_be_bytes());
    }

    /// Writes a `bigint`.
    pub(crate) fn i64(&mut self, value: i64) {
        self.raw(&value.to_be_bytes());
    }
}

/// One row being read, field by field, each by its column's name.
#[derive(Debug)]
pub(crate) struct CopyFields<'a> {
    rest: &'a [u8],
}

impl<'a> CopyFields<'a> {
    /// Reads the next field; `None` is NULL.
    ///
    /// # Errors
    /// When the row ends before it.
    pub(crate) fn raw(&mut self, column: &'static str) -> Result<Option<&'a [u8]>, ColumnError> {
        take_value(&mut self.rest).ok_or_else(|| ColumnError::new(column, "is missing"))
    }

    fn fixed<const N: usize>(&mut self, column: &'static str) -> Result<[u8; N], ColumnError> {
        fixed(column, given(column, self.raw(column)?)?)
    }

    /// Reads an `integer`.
    ///
    /// # Errors
    /// When it is NULL or of another width.
    pub(crate) fn i32(&mut self, column: &'static str) -> Result<i32, ColumnError> {
        self.fixed(column).map(i32::from_be_bytes)
    }

    /// Reads a `bigint`.
    ///
    /// # Errors
    /// When it is NULL or of another width.
    pub(crate) fn i64(&mut self, column: &'static str) -> Result<i64, ColumnError> {
        self.fixed(column).map(i64::from_be_bytes)
    }
}

/// Splits a binary COPY stream into rows, no matter in which pieces it arrives.
#[derive(Debug, Default)]
pub(crate) struct CopyReader {
    bytes: Vec<u8>,
    at: usize,
    begun: bool,
}

impl CopyReader {
    /// Adds a piece of the stream.
    pub(crate) fn push(&mut self, piece: &[u8]) {
        self.bytes.drain(..self.at);
        self.at = 0;
        self.bytes.extend_from_slice(piece);
        if !self.begun && self.bytes.len() >= HEADER.len() {
            self.begun = true;
            self.at = HEADER.len();
        }
    }

    /// Hands out the next row that has arrived whole; `None` until more is pushed, or at the end.
    pub(crate) fn next_row(&mut self) -> Option<CopyFields<'_>> {
        if !self.begun {
            return None;
        }
        let row = &self.bytes[self.at..];
        let (count, mut rest) = split::<2>(row)?;
        // A negative count is the trailer.
        for _ in 0..u16::try_from(i16::from_be_bytes(count)).ok()? {
            let (len, after) = split::<4>(rest)?;
            let len = usize::try_from(i32::from_be_bytes(len)).unwrap_or(0);
            rest = after.get(len..)?;
        }
        let from = self.at + 2;
        let to = self.bytes.len() - rest.len();
        self.at = to;
        Some(CopyFields { rest: &self.bytes[from..to] })
    }
}

/// Takes a value off the front: its length, then its bytes. The inner `None` is NULL, the outer one an end within the value.
pub(crate) fn take_value<'a>(rest: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let (len, after) = split::<4>(rest)?;
    *rest = after;
    let Ok(len) = usize::try_from(i32::from_be_bytes(len)) else { return Some(None) };
    let (value, after) = rest.split_at_checked(len)?;
    *rest = after;
    Some(Some(value))
}

/// A value that is not NULL.
pub(crate) fn given<T>(column: &'static str, value: Option<T>) -> Result<T, ColumnError> {
    value.ok_or_else(|| ColumnError::new(column, "is null"))
}

/// A value of that width.
pub(crate) fn fixed<const N: usize>(column: &'static str, value: &[u8]) -> Result<[u8; N], ColumnError> {
    value.try_into().map_err(|_| ColumnError::new(column, format!("is {} bytes wide, not {N}", value.len())))
}

pub(crate) fn split<const N: usize>(bytes: &[u8]) -> Option<([u8; N], &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<N>()?;
    Some((*head, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> CopyBuffer {
        let mut buffer = CopyBuffer::default();
        for n in 0..3 {
            let mut row = buffer.row(3);
            row.i32(n);
            row.text("Åland");
            row.null();
        }
        buffer.finish(|_| 7);
        buffer
    }

    fn read(reader: &mut CopyReader) -> Vec<(i64, i32, Vec<u8>, bool)> {
        let mut rows = Vec::new();
        while let Some(mut row) = reader.next_row() {
            let (id, n) = (row.i64("id").unwrap(), row.i32("n").unwrap());
            let name = row.raw("name").unwrap().unwrap().to_vec();
            rows.push((id, n, name, row.raw("none").unwrap().is_none()));
        }
        rows
    }

    #[test]
    fn what_is_written_is_read_in_any_pieces() {
        let buffer = sample();
        for size in [1, 2, 3, 7, 1000] {
            let mut reader = CopyReader::default();
            let mut rows = Vec::new();
            for piece in buffer.bytes().chunks(size) {
                reader.push(piece);
                rows.extend(read(&mut reader));
            }
            let row = |n| (7, n, "Åland".as_bytes().to_vec(), true);
            assert_eq!(rows, [row(0), row(1), row(2)], "pieces of {size} bytes");
        }
    }

    #[test]
    fn a_field_of_another_type_is_an_error() {
        let buffer = sample();
        let mut reader = CopyReader::default();
        reader.push(buffer.bytes());
        let error = reader.next_row().unwrap().i32("id").unwrap_err();
        assert_eq!(error.to_string(), "column id is 8 bytes wide, not 4");
    }
}
