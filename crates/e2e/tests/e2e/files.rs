//! Files as people have them: in another dress, broken, or no files at all.

use std::{
    io::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use flate2::{Compression, write::GzEncoder};
use testkit::process::Running;

use crate::{
    datasets::Dataset,
    disturbed::check_the_end,
    env::{Env, LIMIT},
    orders::{SEED, sendings},
    report::saw,
};

/// The file's columns from last to first, among others.
fn reordered(file: &str, delimiter: char) -> String {
    let line = |line: &str| {
        let mut fields: Vec<&str> = line.split(delimiter).rev().collect();
        // An unknown one, with a line end in it; and as many as the original file has besides ours.
        fields.insert(2, "\"un\nknown\"");
        let more = (1..=72).map(|number| format!("{delimiter}more{number}"));
        fields.join(&delimiter.to_string()) + &more.collect::<String>()
    };
    file.lines().map(|text| line(text.trim_end_matches('\r')) + "\n").collect()
}

/// Every field in quotes.
fn quoted(file: &str, delimiter: char) -> String {
    let line = |line: &str| line.split(delimiter).map(|field| format!("\"{field}\"")).collect::<Vec<_>>();
    let separator = delimiter.to_string();
    file.lines().map(|text| line(text.trim_end_matches('\r')).join(&separator) + "\r\n").collect()
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Files that say the same.
fn dresses<D: Dataset>(file: &str) -> [(&'static str, Vec<u8>); 7] {
    let unix = file.replace("\r\n", "\n");
    [
        ("LF", unix.clone().into_bytes()),
        ("CRLF and blank lines", unix.replace('\n', "\r\n\r\n").into_bytes()),
        ("a byte order mark", format!("\u{feff}{file}").into_bytes()),
        ("no end of line at the end", unix.trim_end().as_bytes().to_vec()),
        ("other columns in another order", reordered(file, D::DELIMITER).into_bytes()),
        ("everything quoted", quoted(file, D::DELIMITER).into_bytes()),
        ("gzip in two members", {
            let half = file.len() / 2;
            [gzipped(&file.as_bytes()[..half]), gzipped(&file.as_bytes()[half..])].concat()
        }),
    ]
}

pub(crate) fn a_file_in_another_dress_says_the_same<D: Dataset>() {
    let all = sendings::<D>(94).concat();
    let plain = Env::<D>::new(2);
    plain.produce(&all);
    let said = |env: &Env<D>| {
        let record = |held: crate::kafka::Held| (held.partition, held.offset, held.key, held.value);
        env.held().into_iter().map(record).collect::<Vec<_>>()
    };
    let expected = said(&plain);
    for (dress, bytes) in dresses::<D>(&D::file(&all)) {
        let env = Env::<D>::new(2);
        env.producer_of(&bytes, "csv", &[]).run(LIMIT).unwrap().expect_code(0).unwrap();
        assert_eq!(said(&env), expected, "{dress}");
        saw(dress);
    }
    check_the_end(&plain);
}

pub(crate) fn a_file_that_breaks_off_is_65_and_the_whole_one_mends_it<D: Dataset>() {
    let env = Env::<D>::new(2);
    let file = D::file(&sendings::<D>(95).concat());
    let compressed = gzipped(file.as_bytes());
    let ended = env.producer_of(&compressed[..compressed.len() / 2], "csv.gz", &[]).run(LIMIT).unwrap();
    ended.expect_failure(65, &["the input is damaged"]).unwrap();
    saw(format!("exit 65 after {} records: the input is damaged", env.held().len()));
    env.consume(1);
    env.check_changelog();
    env.producer_of(&compressed, "csv.gz", &[]).run(LIMIT).unwrap().expect_code(0).unwrap();
    check_the_end(&env);
}

pub(crate) fn what_is_no_such_file_is_65_and_named<D: Dataset>() {
    let env = Env::<D>::new(1);
    let file = D::file(&D::world(SEED));
    let header = file.lines().next().unwrap();
    let (first, rest) = header.split_once(D::DELIMITER).unwrap();
    let doubled = format!("{header}{}{first}\n", D::DELIMITER);
    let utf_16: Vec<u8> = [0xFF, 0xFE].into_iter().chain(file.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    for (bytes, why) in [
        (Vec::new(), "the input is empty"),
        (rest.as_bytes().to_vec(), "missing from the header"),
        (doubled.into_bytes(), "in the header twice"),
        (utf_16, "UTF-16"),
        (vec![0; 100_000], "it begins with zero bytes"),
        (vec![b'x'; 2_000_000], "longer than 1 MiB"),
    ] {
        env.producer_of(&bytes, "csv", &[]).run(LIMIT).unwrap().expect_failure(65, &[why]).unwrap();
    }
    for (path, why) in [("/", "is a directory"), ("/not/there.csv", "No such file")] {
        env.producer_from(Path::new(path)).run(LIMIT).unwrap().expect_failure(65, &[why, path]).unwrap();
    }
    assert!(env.held().is_empty());
    saw("8 of them end with 65, a sentence and nothing sent; a header alone with 0");
    env.producer_of(header.as_bytes(), "csv", &[]).run(LIMIT).unwrap().expect_code(0).unwrap();
    env.consume(1);
    env.check_changelog();
}

/// Runs it to its end, and returns the most memory it was seen to use.
fn watched(mut running: Running) -> (testkit::process::Ended, f64) {
    let deadline = Instant::now() + LIMIT;
    let mut peak: f64 = 0.0;
    loop {
        peak = peak.max(running.memory_kib("VmHWM").unwrap_or(0.0) / 1024.0);
        if let Some(ended) = running.poll().unwrap() {
            return (ended, peak);
        }
        assert!(Instant::now() < deadline, "it has not ended");
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub(crate) fn a_line_of_100_mb_costs_itself_alone_and_no_memory<D: Dataset>() {
    let env = Env::<D>::new(2);
    let lines = sendings::<D>(96).concat();
    let mut bytes = D::file(&lines[..100]).into_bytes();
    bytes.extend(D::large_row(100_000_000).into_bytes());
    let rest = D::file(&lines[100..]);
    bytes.extend(rest.split_once('\n').unwrap().1.as_bytes());
    let (ended, peak) = watched(env.producer_of(&bytes, "csv", &[]).start().unwrap());
    assert!(peak > 0.0, "its memory was never read");
    let ended = ended.expect_code(0).unwrap();
    assert!(ended.said("line 102 cannot be read and is not sent"), "{ended}");
    assert!(peak < 64.0, "{peak:.0} MiB for a line that is thrown away");
    saw(format!("line 102 named, {peak:.0} MiB of memory at most"));
    check_the_end(&env);
}

/// `/dev/zero` has no end, and no line.
pub(crate) fn a_device_without_end_ends<D: Dataset>() {
    let env = Env::<D>::new(1);
    let (ended, peak) = watched(env.producer_from(Path::new("/dev/zero")).start().unwrap());
    ended.expect_failure(65, &["/dev/zero", "it begins with zero bytes"]).unwrap();
    assert!(peak < 64.0, "{peak:.0} MiB of nothing");
    saw(format!("exit 65: zero bytes, {peak:.0} MiB of memory at most"));
}

/// Latin-1 where UTF-8 is expected: what cannot be read is named, and nothing of it is guessed.
pub(crate) fn latin_1_costs_its_own_rows<D: Dataset>() {
    let env = Env::<D>::new(2);
    let lines = sendings::<D>(97).concat();
    // As of old: most rows are plain, and every hundredth begins with an é.
    let mut accented = D::large_row(4).into_bytes();
    accented[0] = 0xE9;
    let (mut bytes, mut bad) = (Vec::new(), Vec::new());
    for (number, row) in (1..).zip(D::file(&lines).split_inclusive('\n')) {
        bytes.extend(row.as_bytes());
        if number % 100 == 0 {
            bytes.extend(&accented);
            bad.push(number + 1 + bad.len());
        }
    }
    let ended = env.producer_of(&bytes, "csv", &[]).run(LIMIT).unwrap().expect_code(0).unwrap();
    let is_named = |line: &usize| {
        let named = format!("line {line} cannot be read and is not sent");
        ended.stderr.iter().any(|said| said.contains(&named) && said.contains("is not UTF-8"))
    };
    let named: Vec<usize> = bad.iter().copied().filter(is_named).collect();
    check_the_end(&env);
    let rejected = env.number("SELECT count(*) FROM rejects WHERE convert_from(value, 'UTF8') LIKE '%\u{FFFD}%'");
    if rejected == 0 {
        assert_eq!(named, bad, "{ended}");
        saw(format!("lines {named:?} named: not UTF-8"));
    } else {
        // A pipeline whose producer sends a row as it is, for the consumer to keep.
        assert_eq!((rejected, named.len()), (i64::try_from(bad.len()).unwrap(), 0), "{ended}");
        saw(format!("all {rejected} such rows sent as they are, and among the rejects"));
    }
}
