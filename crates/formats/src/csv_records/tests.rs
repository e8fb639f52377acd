use super::*;

/// Hands out a byte at a time, as a slow pipe may.
struct Trickle<'a>(&'a [u8]);

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.0.len().min(1).min(buffer.len());
        buffer[..n].copy_from_slice(&self.0[..n]);
        self.0 = &self.0[n..];
        Ok(n)
    }
}

/// Gives so many bytes at a time, and nothing yet before each of them.
struct Waiting<'a>(&'a [u8], usize, bool);

impl Read for Waiting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.2 = !self.2;
        if self.2 {
            return Err(ErrorKind::WouldBlock.into());
        }
        let n = self.0.len().min(self.1).min(buffer.len());
        buffer[..n].copy_from_slice(&self.0[..n]);
        self.0 = &self.0[n..];
        Ok(n)
    }
}

#[test]
fn an_input_that_has_nothing_yet_is_gone_on_with() {
    let input = b"a,b\n1,\"x\ny\"\n\n\"z,\n2,3\r\n4,5";
    let expected = lines(&input[..]);
    for at_a_time in 1..input.len() {
        let (mut records, mut found) = (CsvRecords::new(Waiting(input, at_a_time, false)), vec![]);
        loop {
            match records.read() {
                Ok(None) => break,
                Ok(Some(CsvRecord::Unreadable(why))) => found.push(format!("{}: ! {why}", records.line())),
                Ok(Some(CsvRecord::Read)) => {
                    let fields = (0..records.len()).map(|at| String::from_utf8_lossy(records.field(at).unwrap()));
                    found.push(format!("{}: {}", records.line(), fields.collect::<Vec<_>>().join("|")));
                }
                Err(ReadError::Read { source, .. }) if source.kind() == ErrorKind::WouldBlock => {}
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(found, expected, "{at_a_time} at a time");
    }
}

fn lines(input: impl Read) -> Vec<String> {
    let mut records = CsvRecords::new(input);
    let mut lines = vec![];
    while let Some(record) = records.read().unwrap() {
        let what = match record {
            CsvRecord::Read => (0..records.len())
                .map(|i| String::from_utf8_lossy(records.field(i).unwrap()).into_owned())
                .collect::<Vec<_>>()
                .join("|"),
            CsvRecord::Unreadable(why) => format!("! {why}"),
        };
        lines.push(format!("{}: {what}", records.line()));
    }
    lines
}

fn check(input: &[u8], expected: &[&str]) {
    assert_eq!(lines(input), expected, "{}", String::from_utf8_lossy(input));
    assert_eq!(lines(Trickle(input)), expected, "a byte at a time: {}", String::from_utf8_lossy(input));
}

#[test]
fn records_and_the_lines_they_begin_at() {
    check(b"", &[]);
    check(b"\n\r\n\n", &[]);
    check(b"a,b\n1,2\n", &["1: a|b", "2: 1|2"]);
    check(b"a,b\r\n1,2\r\n\r\n3,4", &["1: a|b", "2: 1|2", "4: 3|4"]);
    check(b"\xEF\xBB\xBFa,b\n", &["1: a|b"]);
    check(b"\xEF\xBB\xBF\xEF\xBB\xBFa\n\xEF\xBB\xBFb", &["1: a", "2: \u{feff}b"]);
    check(b"\xEF\xBB\xBF\xEF\xBBa", &["1: \u{fffd}a"]);
    check(b"\n\na\n", &["3: a"]);
    check(b"a\r\n\"b\"\r\nc\r", &["1: a", "2: b", "3: c"]);
    check(b",\n,,", &["1: |", "2: ||"]);
    check(b"\"a,1\n2\",\"say \"\"x\"\"\"\nb\n", &["1: a,1\n2|say \"x\"", "3: b"]);
}

#[test]
fn an_unclosed_quote_costs_its_own_line() {
    check(b"a\nb,\"c\nd\ne\n", &["1: a", "2: ! a quote is opened and never closed", "3: d", "4: e"]);
    check(b"\"", &["1: ! a quote is opened and never closed"]);
    check(b"a,\"\n\xEF\xBB\xBFb\n", &["1: ! a quote is opened and never closed", "2: \u{feff}b"]);
}

#[test]
fn a_line_without_end_is_skipped_in_bounded_memory() {
    let endless = io::repeat(b'x').take(100 << 20);
    let mut records = CsvRecords::new(b"a\n".chain(endless).chain(&b"\nb\n"[..]));
    let mut seen = vec![];
    while let Some(record) = records.read().unwrap() {
        seen.push((records.line(), record));
    }
    assert_eq!(seen, [(1, CsvRecord::Read), (2, CsvRecord::Unreadable("longer than 1 MiB")), (3, CsvRecord::Read)]);
    assert!(records.buffer.len() <= 4 * MAX_RECORD && records.fields.len() <= 4 * MAX_RECORD);
}

#[test]
fn how_the_input_comes_does_not_decide_what_is_too_long() {
    for (len, expected) in [(MAX_RECORD - 1, "1: x"), (MAX_RECORD, "1: ! longer than 1 MiB")] {
        let input = [&b"x".repeat(len)[..], b"\nb\n"].concat();
        for lines in [lines(&input[..]), lines(Trickle(&input))] {
            assert!(lines[0].starts_with(expected) && lines[1] == "2: b", "{len}");
        }
    }
}

#[test]
fn an_unclosed_quote_costs_its_own_line_in_a_long_file_too() {
    let rest = b"b,c\n".repeat(MAX_RECORD);
    let mut records = CsvRecords::new(b"\"a,b\n".chain(&rest[..]));
    assert_eq!(records.read().unwrap(), Some(CsvRecord::Unreadable("longer than 1 MiB")));
    let mut read = 0;
    while records.read().unwrap() == Some(CsvRecord::Read) {
        read += 1;
    }
    assert_eq!((read, records.line()), (MAX_RECORD, MAX_RECORD as u64 + 1));
}

#[test]
fn lines_that_all_leave_a_quote_open_cost_no_more_than_others() {
    let lines = 200_000;
    let input = [&b"a\"b,\"c\n".repeat(lines)[..], b"d\n"].concat();
    let mut records = CsvRecords::new(&input[..]);
    for line in 1..=lines as u64 {
        assert!(matches!(records.read().unwrap(), Some(CsvRecord::Unreadable(_))));
        assert_eq!(records.line(), line);
    }
    assert_eq!((records.read().unwrap(), records.field(0)), (Some(CsvRecord::Read), Some(&b"d"[..])));
}
