//! Rows as columns: an array a column, in PostgreSQL's binary form.
//!
//! An array is its number of dimensions, whether it holds a NULL, the type of its elements, its length and its lower bound,
//! then each element as in a COPY row. Source: PostgreSQL, `array_send` in `src/backend/utils/adt/arrayfuncs.c`.

pub use crate::copy::ColumnError;
use std::fmt::Display;

use crate::copy::{CopyRow, fixed, given, split, take_value};

/// The type of a column's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `boolean`
    Bool,
    /// `smallint`
    Int2,
    /// `integer`
    Int4,
    /// `bigint`
    Int8,
    /// `double precision`
    Float8,
    /// `date`: an `i32` of days since 2000-01-01
    Date,
    /// `timestamptz`: an `i64` of microseconds since 2000-01-01 00:00 UTC
    Timestamp,
    /// `text`
    Text,
    /// `integer[]`, in state tables only; sent as text, since `unnest` would take an array of arrays apart whole
    Int4List,
    /// `bigint[]`, likewise
    Int8List,
    /// `text[]`, likewise
    TextList,
}

impl Kind {
    /// The object identifiers of the type that is sent and of its array, as in `pg_type.dat`.
    const fn oids(self) -> (u32, u32) {
        match self {
            Self::Bool => (16, 1000),
            Self::Int2 => (21, 1005),
            Self::Int4 => (23, 1007),
            Self::Int8 => (20, 1016),
            Self::Float8 => (701, 1022),
            Self::Date => (1082, 1182),
            Self::Timestamp => (1184, 1185),
            Self::Text | Self::Int4List | Self::Int8List | Self::TextList => (25, 1009),
        }
    }

    /// The object identifier of the type of an array of such values.
    pub(crate) const fn array_oid(self) -> u32 {
        self.oids().1
    }

    /// The name of its type.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Bool => "boolean",
            Self::Int2 => "smallint",
            Self::Int4 => "integer",
            Self::Int8 => "bigint",
            Self::Float8 => "double precision",
            Self::Date => "date",
            Self::Timestamp => "timestamptz",
            Self::Text => "text",
            Self::Int4List => "integer[]",
            Self::Int8List => "bigint[]",
            Self::TextList => "text[]",
        }
    }
}

/// A column of a pipeline's facts, or of its state table.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// The type of its values.
    pub kind: Kind,
    /// What its values are for.
    pub role: Role,
}

/// What a column's values are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Together they name a group; they come first.
    Group,
    /// Together they name a fact of its group.
    Key,
    /// It always has a value.
    Value,
    /// It may be NULL.
    Nullable,
}

impl Column {
    /// One of those that name a group.
    pub const fn group(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, role: Role::Group }
    }

    /// One of those that name a fact of its group.
    pub const fn key(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, role: Role::Key }
    }

    /// One that always has a value.
    pub const fn value(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, role: Role::Value }
    }

    /// One that may be NULL.
    pub const fn nullable(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, role: Role::Nullable }
    }
}

/// The values of one column, each as a length and its bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Array {
    bytes: Vec<u8>,
    len: usize,
    has_null: bool,
}

impl Array {
    fn null(&mut self) {
        self.bytes.extend_from_slice(&(-1_i32).to_be_bytes());
        self.has_null = true;
        self.len += 1;
    }

    fn raw(&mut self, value: &[u8]) {
        let len = i32::try_from(value.len()).expect("a value is at most 1 GiB");
        self.bytes.extend_from_slice(&len.to_be_bytes());
        self.bytes.extend_from_slice(value);
        self.len += 1;
    }

    /// Values of one width are written at once: their length is a constant.
    fn fixed<const N: usize>(&mut self, value: [u8; N]) {
        const { assert!(N <= 8) };
        let mut element = [0; 12];
        #[expect(clippy::cast_possible_truncation, reason = "at most 8")]
        element[..4].copy_from_slice(&(N as u32).to_be_bytes());
        element[4..4 + N].copy_from_slice(&value);
        self.bytes.extend_from_slice(&element[..4 + N]);
        self.len += 1;
    }

    pub(crate) fn i64(&mut self, value: i64) {
        self.fixed(value.to_be_bytes());
    }

    pub(crate) fn i32(&mut self, value: i32) {
        self.fixed(value.to_be_bytes());
    }

    /// The number of values.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Its two parts as PostgreSQL has them: what describes it, then its values.
    pub(crate) fn parts(&self, kind: Kind) -> ([u8; 20], &[u8]) {
        let len = u32::try_from(self.len).expect("an array has at most 2³¹ values");
        let words = [1, u32::from(self.has_null), kind.oids().0, len, 1].map(u32::to_be_bytes);
        (words.as_flattened().try_into().expect("five words"), &self.bytes)
    }

    /// Writes it as a field of a row; NULL where it has no values.
    pub(crate) fn write_unless_empty(&self, kind: Kind, row: &mut CopyRow<'_>) {
        if self.len == 0 { row.null() } else { self.write(kind, row) }
    }

    /// Writes it as a field of a row.
    pub(crate) fn write(&self, kind: Kind, row: &mut CopyRow<'_>) {
        let (header, values) = self.parts(kind);
        row.raw_in_two(&header, values);
    }
}

/// Writes one row, value by value, in the order of its columns.
#[derive(Debug)]
pub struct RowWriter<'a> {
    columns: std::slice::IterMut<'a, Array>,
    size: &'a mut usize,
}

impl<'a> RowWriter<'a> {
    /// Appends to `columns`, and adds what it writes to `size`, in bytes.
    pub(crate) fn new(columns: &'a mut [Array], size: &'a mut usize) -> Self {
        Self { columns: columns.iter_mut(), size }
    }

    fn next(&mut self, bytes: usize) -> &mut Array {
        *self.size += 4 + bytes;
        self.columns.next().expect("a row has as many values as columns are named")
    }

    fn null(&mut self) {
        self.next(0).null();
    }

    /// Writes a value as it is stored; `None` is NULL.
    pub(crate) fn raw(&mut self, value: Option<&[u8]>) {
        match value {
            Some(value) => self.next(value.len()).raw(value),
            None => self.null(),
        }
    }

    /// Writes a `text`; it must hold no NUL character.
    pub fn text(&mut self, value: &str) {
        self.next(value.len()).raw(value.as_bytes());
    }

    /// Writes a `smallint`.
    pub fn i16(&mut self, value: i16) {
        self.next(2).fixed(value.to_be_bytes());
    }

    /// Writes a `smallint`; `None` is NULL.
    pub fn i16_or_null(&mut self, value: Option<i16>) {
        match value {
            Some(value) => self.i16(value),
            None => self.null(),
        }
    }

    /// Writes a `boolean`.
    pub fn bool(&mut self, value: bool) {
        self.next(1).fixed([u8::from(value)]);
    }

    /// Writes an `integer`, or a `date`.
    pub fn i32(&mut self, value: i32) {
        self.next(4).fixed(value.to_be_bytes());
    }

    /// Writes an `integer`; `None` is NULL.
    pub fn i32_or_null(&mut self, value: Option<i32>) {
        match value {
            Some(value) => self.i32(value),
            None => self.null(),
        }
    }

    /// Writes a `bigint`, or a `timestamptz`.
    pub fn i64(&mut self, value: i64) {
        self.next(8).fixed(value.to_be_bytes());
    }

    /// Writes a `double precision`; `None` is NULL.
    pub fn f64_or_null(&mut self, value: Option<f64>) {
        match value {
            Some(value) => self.next(8).fixed(value.to_be_bytes()),
            None => self.null(),
        }
    }

    /// Writes an `integer[]` or a `bigint[]`.
    pub fn list(&mut self, values: impl Iterator<Item: Display>) {
        let values: Vec<String> = values.map(|value| value.to_string()).collect();
        self.text(&format!("{{{}}}", values.join(",")));
    }

    /// Writes a `text[]`; its texts must hold no NUL character.
    pub fn text_list<'t>(&mut self, values: impl Iterator<Item = &'t str>) {
        let quoted = values.map(|value| format!("\"{}\"", value.replace('\\', r"\\").replace('"', r#"\""#)));
        self.list(quoted);
    }
}

/// What is left of an array that is being read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ArrayReader<'a> {
    name: &'static str,
    /// `None` where the whole array is NULL, as in rows that are older than their column.
    rest: Option<&'a [u8]>,
}

impl<'a> ArrayReader<'a> {
    /// An array of that many values, or NULL.
    pub(crate) fn new(
        array: Option<&'a [u8]>,
        name: &'static str,
        kind: Kind,
        len: usize,
    ) -> Result<Self, ColumnError> {
        let Some(array) = array else { return Ok(Self { name, rest: None }) };
        let wrong = || ColumnError::new(name, format!("is not an array of {len} values of type {kind:?}"));
        let (header, rest) = split::<20>(array).ok_or_else(wrong)?;
        let word = |n: usize| u32::from_be_bytes([header[n], header[n + 1], header[n + 2], header[n + 3]]);
        let fits = word(0) == 1 && word(8) == kind.oids().0 && usize::try_from(word(12)) == Ok(len);
        if fits { Ok(Self { name, rest: Some(rest) }) } else { Err(wrong()) }
    }

    /// Whether the whole array is NULL.
    pub(crate) fn is_null(&self) -> bool {
        self.rest.is_none()
    }

    /// Reads the next value; `None` is NULL.
    pub(crate) fn next(&mut self) -> Result<Option<&'a [u8]>, ColumnError> {
        let Some(rest) = &mut self.rest else { return Ok(None) };
        take_value(rest).ok_or_else(|| ColumnError::new(self.name, "ends within a value"))
    }

    pub(crate) fn i64(&mut self) -> Result<i64, ColumnError> {
        fixed(self.name, given(self.name, self.next()?)?).map(i64::from_be_bytes)
    }

    pub(crate) fn i32(&mut self) -> Result<i32, ColumnError> {
        fixed(self.name, given(self.name, self.next()?)?).map(i32::from_be_bytes)
    }

    /// How many values an array says it has; 0 where it is NULL.
    pub(crate) fn len_of(array: Option<&[u8]>) -> usize {
        let len = array.and_then(|array| array.get(12..16)?.try_into().ok()).map(u32::from_be_bytes);
        len.and_then(|len| usize::try_from(len).ok()).unwrap_or(0)
    }
}

/// Reads rows, value by value, in the order of their columns.
#[derive(Clone, Debug)]
pub struct RowReader<'a> {
    columns: Vec<ArrayReader<'a>>,
    /// The column that is read next.
    next: usize,
}

impl<'a> RowReader<'a> {
    /// Of arrays of so many values, which `next` gives one after another.
    pub(crate) fn new(
        columns: &'static [Column],
        len: usize,
        mut next: impl FnMut(&'static str) -> Result<Option<&'a [u8]>, ColumnError>,
    ) -> Result<Self, ColumnError> {
        let columns = columns.iter().map(|column| {
            let array = ArrayReader::new(next(column.name)?, column.name, column.kind, len)?;
            if array.is_null() && column.role != Role::Nullable {
                return Err(ColumnError::new(column.name, "is null"));
            }
            Ok(array)
        });
        let columns: Vec<ArrayReader<'a>> = columns.collect::<Result<_, _>>()?;
        let next = columns.len();
        Ok(Self { columns, next })
    }

    /// The values of the first columns, as they are stored, without going on.
    pub(crate) fn peek(&self, columns: usize) -> impl Iterator<Item = Result<Option<&'a [u8]>, ColumnError>> {
        self.columns[..columns].iter().copied().map(|mut column| column.next())
    }

    /// Goes to the next row, whatever of this one was read.
    pub(crate) fn next_row(&mut self) -> Result<(), ColumnError> {
        while self.next < self.columns.len() {
            self.raw()?;
        }
        self.next = 0;
        Ok(())
    }

    /// Reads the next value as it is stored; `None` is NULL.
    pub(crate) fn raw(&mut self) -> Result<Option<&'a [u8]>, ColumnError> {
        let column = self.columns.get_mut(self.next);
        let column = column.expect("a row has as many values as columns are named");
        self.next += 1;
        column.next()
    }

    /// The name of the column read last.
    fn name(&self) -> &'static str {
        self.columns[self.next - 1].name
    }

    fn fixed<const N: usize>(&mut self) -> Result<Option<[u8; N]>, ColumnError> {
        let value = self.raw()?;
        value.map(|value| fixed(self.name(), value)).transpose()
    }

    /// Reads a `smallint`.
    ///
    /// # Errors
    /// When it is NULL or of another width.
    pub fn i16(&mut self) -> Result<i16, ColumnError> {
        let value = self.fixed()?;
        given(self.name(), value).map(i16::from_be_bytes)
    }

    /// Reads a `smallint`; `None` is NULL.
    ///
    /// # Errors
    /// When it is of another width.
    pub fn i16_or_null(&mut self) -> Result<Option<i16>, ColumnError> {
        Ok(self.fixed()?.map(i16::from_be_bytes))
    }

    /// Reads a `boolean`.
    ///
    /// # Errors
    /// When it is NULL or of another width.
    pub fn bool(&mut self) -> Result<bool, ColumnError> {
        let value = self.fixed()?;
        given(self.name(), value).map(|[byte]| byte != 0)
    }

    /// Reads an `integer`, or a `date`.
    ///
    /// # Errors
    /// When it is NULL or of another width.
    pub fn i32(&mut self) -> Result<i32, ColumnError> {
        let value = self.fixed()?;
        given(self.name(), value).map(i32::from_be_bytes)
    }

    /// Reads an `integer`; `None` is NULL.
    ///
    /// # Errors
    /// When it is of another width.
    pub fn i32_or_null(&mut self) -> Result<Option<i32>, ColumnError> {
        Ok(self.fixed()?.map(i32::from_be_bytes))
    }

    /// Reads a `bigint`, or a `timestamptz`.
    ///
    /// # Errors
    /// When it is NULL or of another width.
    pub fn i64(&mut self) -> Result<i64, ColumnError> {
        let value = self.fixed()?;
        given(self.name(), value).map(i64::from_be_bytes)
    }

    /// Reads a `double precision`; `None` is NULL.
    ///
    /// # Errors
    /// When it is of another width.
    pub fn f64_or_null(&mut self) -> Result<Option<f64>, ColumnError> {
        Ok(self.fixed()?.map(f64::from_be_bytes))
    }

    /// Reads a `text`.
    ///
    /// # Errors
    /// When it is NULL or not UTF-8.
    pub fn text(&mut self) -> Result<&'a str, ColumnError> {
        let value = self.raw()?;
        std::str::from_utf8(given(self.name(), value)?).map_err(|error| self.impossible(error))
    }

    /// An error for the value last read.
    pub fn impossible(&self, why: impl ToString) -> ColumnError {
        ColumnError::new(self.name(), format!("holds an impossible value: {}", why.to_string()))
    }
}
