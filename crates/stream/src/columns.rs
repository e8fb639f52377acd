//! Facts as columns: an array a column, in PostgreSQL's binary form.
//!
//! An array is its number of dimensions, whether it holds a NULL, the type of its elements, its length and its lower bound,
//! then each element as in a COPY row. Source: PostgreSQL, `array_send` in `src/backend/utils/adt/arrayfuncs.c`.

pub use crate::copy::ColumnError;
use crate::copy::{CopyFields, CopyRow, fixed, given, split, take_value};

/// The type of a column's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
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
    /// `text`
    Text,
}

impl Kind {
    /// Its object identifier, as in `pg_type.dat`.
    const fn oid(self) -> u32 {
        match self {
            Self::Int2 => 21,
            Self::Int4 => 23,
            Self::Int8 => 20,
            Self::Float8 => 701,
            Self::Date => 1082,
            Self::Text => 25,
        }
    }
}

/// A column of a pipeline's facts.
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
    /// Together they name a fact: the group's first, then the natural key's.
    Key,
    /// It always has a value.
    Value,
    /// It may be NULL.
    Nullable,
}

impl Column {
    /// One of those that name a fact.
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

    /// The number of values.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Writes it as a field of a row.
    pub(crate) fn write(&self, kind: Kind, row: &mut CopyRow<'_>) {
        let len = u32::try_from(self.len).expect("an array has at most 2³¹ values");
        let header = [1, u32::from(self.has_null), kind.oid(), len, 1].map(u32::to_be_bytes);
        row.raw_in_two(header.as_flattened(), &self.bytes);
    }
}

/// Writes one fact, value by value, in the order of its columns.
#[derive(Debug)]
pub struct FactWriter<'a> {
    columns: std::slice::IterMut<'a, Array>,
    size: &'a mut usize,
}

impl<'a> FactWriter<'a> {
    /// Appends to `columns`, and adds what it writes to `size`, in bytes.
    pub(crate) fn new(columns: &'a mut [Array], size: &'a mut usize) -> Self {
        Self { columns: columns.iter_mut(), size }
    }

    fn next(&mut self, bytes: usize) -> &mut Array {
        *self.size += 4 + bytes;
        self.columns.next().expect("a fact has as many values as its changelog has columns")
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

    /// Writes a `bigint`.
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
}

/// What is left of an array that is being read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ArrayReader<'a> {
    name: &'static str,
    /// `None` where the whole array is NULL, as in rows that are older than their column.
    rest: Option<&'a [u8]>,
}

impl<'a> ArrayReader<'a> {
    /// The next field of a row: an array of that many values, or NULL.
    pub(crate) fn new(
        row: &mut CopyFields<'a>,
        name: &'static str,
        kind: Kind,
        len: usize,
    ) -> Result<Self, ColumnError> {
        let Some(array) = row.raw(name)? else { return Ok(Self { name, rest: None }) };
        let wrong = || ColumnError::new(name, format!("is not an array of {len} values of type {kind:?}"));
        let (header, rest) = split::<20>(array).ok_or_else(wrong)?;
        let word = |n: usize| u32::from_be_bytes([header[n], header[n + 1], header[n + 2], header[n + 3]]);
        let fits = word(0) == 1 && word(8) == kind.oid() && usize::try_from(word(12)) == Ok(len);
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
}

/// Reads facts, value by value, in the order of their columns.
#[derive(Clone, Debug)]
pub struct FactReader<'a> {
    columns: Vec<ArrayReader<'a>>,
    /// The column that is read next.
    next: usize,
}

impl<'a> FactReader<'a> {
    /// Of the fields of a row that follow: arrays of so many values.
    pub(crate) fn new(row: &mut CopyFields<'a>, columns: &'static [Column], len: usize) -> Result<Self, ColumnError> {
        let columns = columns.iter().map(|column| {
            let array = ArrayReader::new(row, column.name, column.kind, len)?;
            if array.is_null() && column.role != Role::Nullable {
                return Err(ColumnError::new(column.name, "is null"));
            }
            Ok(array)
        });
        let columns: Vec<ArrayReader<'a>> = columns.collect::<Result<_, _>>()?;
        let next = columns.len();
        Ok(Self { columns, next })
    }

    /// Goes to the next fact, whatever of this one was read.
    pub(crate) fn next_fact(&mut self) -> Result<(), ColumnError> {
        while self.next < self.columns.len() {
            self.raw()?;
        }
        self.next = 0;
        Ok(())
    }

    /// Reads the next value as it is stored; `None` is NULL.
    pub(crate) fn raw(&mut self) -> Result<Option<&'a [u8]>, ColumnError> {
        let column = self.columns.get_mut(self.next);
        let column = column.expect("a fact has as many values as its changelog has columns");
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

    /// Reads a `bigint`.
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
