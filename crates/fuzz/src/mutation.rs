//! Inputs made of stored ones by a few small changes, and now and then of nothing but chance.

use std::{fmt, ops::Range};

use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
};

use crate::corpus::Corpus;

/// The longest input, in bytes: a million cases have to be cheap.
const MAX_LEN: usize = 4 << 10;
/// The most changes of one input: with many, all that is left of it is noise, which is refused at its first byte.
const MAX_CHANGES: usize = 4;

/// What readers have stumbled over, in JSON, CSV, numbers, dates, durations, addresses and command lines.
const WORDS: [&str; 56] = [
    "NaN",
    "Infinity",
    "-Infinity",
    "nan",
    "inf",
    "null",
    "true",
    "-0",
    "0.0",
    "1e400",
    "-1",
    "1e15",
    "1e-400",
    "0.0005",
    "2000000",
    "9999",
    "99999",
    "00",
    "65536",
    "2147483648",
    "18446744073709551616",
    "1.",
    ".5",
    "+1",
    "\\u0000",
    "\\ud800",
    "\\",
    "\"",
    "\"\"",
    "\"NaN\"",
    "\u{feff}",
    "\u{85}",
    "ô",
    "\0",
    "\r",
    "\n",
    "\r\n",
    "\n\n",
    ",",
    ";",
    ":",
    "{",
    "[[",
    "}",
    "]",
    "?",
    "29/2/2007",
    "24:00:00",
    "OWID_",
    "%",
    "%00",
    "%ff",
    "@",
    "--",
    "=",
    "5s",
];

/// An input; prints as text, with escapes for what is not text.
#[derive(Clone, PartialEq, Eq)]
pub struct Input(pub Vec<u8>);

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

/// Inputs made of a corpus: most by changes of an entry, some wholly random. They shrink to the first entry, unchanged.
pub fn inputs(corpus: &Corpus) -> impl Strategy<Value = Input> + use<> {
    let corpus = corpus.clone();
    let changed = (any::<Index>(), vec(change(), 0..=MAX_CHANGES)).prop_map(move |(entry, changes)| {
        let entries = corpus.entries();
        let mut bytes = entry.get(entries).clone();
        for change in changes {
            change.apply(&mut bytes, entries);
        }
        Input(bytes)
    });
    prop_oneof![15 => changed, 1 => vec(any::<u8>(), 0..200).prop_map(Input)]
}

/// Some bytes of an input are replaced by others.
#[derive(Clone, Debug)]
struct Change {
    at: Index,
    len: usize,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    /// One bit is another.
    Flip(u8),
    /// One byte is another.
    Byte(u8),
    /// A number, or a name, is replaced by a word.
    Word(&'static str),
    /// A word comes in between.
    Insert(&'static str),
    Delete,
    /// The bytes come so many times more.
    Repeat(usize),
    /// The bytes are replaced by some of another entry.
    Splice(Index, Index),
    Truncate,
}

fn change() -> impl Strategy<Value = Change> {
    let kind = prop_oneof![
        2 => (0..8_u8).prop_map(Kind::Flip),
        1 => any::<u8>().prop_map(Kind::Byte),
        12 => select(&WORDS[..]).prop_map(Kind::Word),
        3 => select(&WORDS[..]).prop_map(Kind::Insert),
        2 => Just(Kind::Delete),
        1 => (1..20_usize).prop_map(Kind::Repeat),
        3 => any::<(Index, Index)>().prop_map(|(entry, from)| Kind::Splice(entry, from)),
        1 => Just(Kind::Truncate),
    ];
    (any::<Index>(), 1..40_usize, kind).prop_map(|(at, len, kind)| Change { at, len, kind })
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>, entries: &[Vec<u8>]) {
        let at = self.at.index(bytes.len() + 1);
        let some = at..bytes.len().min(at + self.len);
        let one = at..bytes.len().min(at + 1);
        match self.kind {
            Kind::Flip(bit) => bytes[one].iter_mut().for_each(|byte| *byte ^= 1 << bit),
            Kind::Byte(new) => bytes[one].fill(new),
            Kind::Word(word) => replace(bytes, word_at(bytes, at), word.as_bytes()),
            Kind::Insert(word) => replace(bytes, at..at, word.as_bytes()),
            Kind::Delete => replace(bytes, some, b""),
            Kind::Repeat(times) => replace(bytes, at..at, &bytes[some].repeat(times)),
            Kind::Splice(entry, from) => {
                let other = entry.get(entries);
                let from = from.index(other.len() + 1);
                replace(bytes, some, &other[from..other.len().min(from + self.len)]);
            }
            Kind::Truncate => bytes.truncate(at),
        }
        bytes.truncate(MAX_LEN);
    }
}

fn replace(bytes: &mut Vec<u8>, range: Range<usize>, new: &[u8]) {
    bytes.splice(range, new.iter().copied());
}

/// Where the number or name is that the byte belongs to, or else the next one; empty behind the last.
fn word_at(bytes: &[u8], at: usize) -> Range<usize> {
    let inside = |byte: &&u8| byte.is_ascii_alphanumeric() || b"+-._".contains(byte);
    let at = at + bytes[at..].iter().take_while(|byte| !inside(byte)).count();
    let before = bytes[..at].iter().rev().take_while(inside).count();
    let after = bytes[at..].iter().take_while(inside).count();
    at - before..at + after
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_replaced_whole() {
        let check = |text: &str, at: usize, expected: &str| assert_eq!(&text[word_at(text.as_bytes(), at)], expected);
        check("a:-1.5e3,b", 4, "-1.5e3");
        check("a:-1.5e3,b", 7, "-1.5e3");
        check("a:-1.5e3,b", 8, "b");
        check("a::b::", 2, "b");
        check("a::b::", 5, "");
        check("", 0, "");
    }

    proptest! {
        #[test]
        fn no_change_goes_out_of_bounds(
            first in vec(any::<u8>(), 0..50),
            other in vec(any::<u8>(), 0..50),
            changes in vec(change(), 0..20),
        ) {
            let mut bytes = first;
            for change in changes {
                change.apply(&mut bytes, std::slice::from_ref(&other));
            }
            prop_assert!(bytes.len() <= MAX_LEN);
        }
    }
}
