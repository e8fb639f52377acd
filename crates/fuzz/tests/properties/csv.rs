//! The CSV reader: whatever the bytes, and however they come, it ends, in step with the lines.

use std::io::Read;

use formats::{CsvRecord, CsvRecords};
use fuzz::{
    mutation::{Input, inputs},
    pieces::{Pieces, sizes},
};
use proptest::prelude::*;

use crate::{corpus, is_a_reason};

/// What the reader allows a record, in bytes.
const LIMIT: usize = 1 << 20;

/// What one call of the reader came to.
#[derive(Clone, Debug, PartialEq)]
enum Seen {
    Record(u64, Vec<Vec<u8>>),
    Unreadable(u64, &'static str),
    /// The reader has abandoned the input.
    Error(String),
}

fn read_all(input: impl Read) -> Vec<Seen> {
    let mut records = CsvRecords::new(input);
    let mut all = vec![];
    loop {
        let seen = match records.read() {
            Ok(None) => return all,
            Ok(Some(CsvRecord::Unreadable(why))) => Seen::Unreadable(records.line(), why),
            Ok(Some(CsvRecord::Read)) => {
                let fields = (0..records.len()).map(|i| records.field(i).expect("it is one of its fields").to_vec());
                Seen::Record(records.line(), fields.collect())
            }
            Err(error) => Seen::Error(error.to_string()),
        };
        let ended = matches!(seen, Seen::Error(_));
        all.push(seen);
        if ended {
            return all;
        }
    }
}

/// Every call returns a later line than the one before, no line is beyond the last, and no record beyond the limit.
fn in_step(all: &[Seen], bytes: &[u8]) -> Result<(), TestCaseError> {
    let lines = bytes.iter().filter(|&&byte| byte == b'\n').count() as u64 + 1;
    let mut before = 0;
    for seen in all {
        let line = match seen {
            Seen::Record(line, fields) => {
                prop_assert!(!fields.is_empty() && fields.iter().map(Vec::len).sum::<usize>() <= LIMIT);
                *line
            }
            Seen::Unreadable(line, why) => is_a_reason(why).map(|()| *line)?,
            Seen::Error(why) => return is_a_reason(why),
        };
        prop_assert!(before < line && line <= lines, "line {} after {} of {}", line, before, lines);
        before = line;
    }
    Ok(())
}

/// What bytes without quotes contain: every line that is not blank is a record.
fn lines_of(bytes: &[u8]) -> Vec<Seen> {
    let mut bytes = bytes;
    while let Some(rest) = bytes.strip_prefix("\u{feff}".as_bytes()) {
        bytes = rest;
    }
    let lines = (1..).zip(bytes.split(|&byte| byte == b'\n'));
    let ended = lines.map(|(number, line)| (number, line.strip_suffix(b"\r").unwrap_or(line)));
    let fields = |line: &[u8]| line.split(|&byte| byte == b',').map(<[u8]>::to_vec).collect();
    ended.filter(|(_, line)| !line.is_empty()).map(|(number, line)| Seen::Record(number, fields(line))).collect()
}

proptest! {
    #![proptest_config(fuzz::config())]

    #[test]
    fn however_the_bytes_come_they_are_the_same_records(
        Input(bytes) in inputs(&corpus("emissions-files").and(&corpus("energy-files"))),
        sizes in sizes(60),
    ) {
        let whole = read_all(&bytes[..]);
        in_step(&whole, &bytes)?;
        prop_assert_eq!(&whole, &read_all(Pieces::new(&bytes, &sizes)));
        if !bytes.contains(&b'"') {
            prop_assert_eq!(whole, lines_of(&bytes));
        }
    }

    #[test]
    fn a_valid_line_behind_bad_ones_is_read(
        Input(mut bytes) in inputs(&corpus("emissions-files").and(&corpus("energy-files"))),
    ) {
        bytes.extend_from_slice(b"\nNorland,1987,NRL");
        let last = Seen::Record(
            bytes.iter().filter(|&&byte| byte == b'\n').count() as u64 + 1,
            vec![b"Norland".to_vec(), b"1987".to_vec(), b"NRL".to_vec()],
        );
        prop_assert_eq!(read_all(&bytes[..]).pop(), Some(last));
    }
}

proptest! {
    #![proptest_config(fuzz::config_for_dear_cases(1_000))]

    /// Where a record is as long as is allowed, or the file ends first.
    #[test]
    fn near_the_limit_too(
        Input(before) in inputs(&corpus("emissions-files")),
        Input(behind) in inputs(&corpus("emissions-files")),
        quoted in any::<bool>(),
        length in LIMIT - 3_000..LIMIT + 3_000,
        sizes in sizes(300 << 10),
    ) {
        // Byte by byte, the calls alone would take the time.
        let sizes: Vec<usize> = sizes.iter().map(|size| size + 1_000).collect();
        let x = "x".repeat(95);
        let piece = if quoted { format!("\"{x},\n\",") } else { format!("{x},,,,,") };
        let bytes = [&before, &b"\n"[..], piece.repeat(length / 100).as_bytes(), b"\n", &behind].concat();
        let whole = read_all(&bytes[..]);
        in_step(&whole, &bytes)?;
        prop_assert!(whole == read_all(Pieces::new(&bytes, &sizes)), "length {}", length);
    }
}

#[test]
fn the_corpus_itself() {
    for bytes in corpus("emissions-files").and(&corpus("energy-files")).iter() {
        let whole = read_all(bytes);
        in_step(&whole, bytes).unwrap();
        for size in 1..9 {
            assert_eq!(whole, read_all(Pieces::new(bytes, &[size])), "{}", bytes.escape_ascii());
        }
    }
}
