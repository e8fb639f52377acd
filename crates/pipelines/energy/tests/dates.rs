//! How dates are written, and what becomes of a file that has day and month swapped.

use std::{
    io::{self, Read},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use energy::source::{MeterSettings, MeterSource};
use stream::{Outgoing, RowOutcome, Source};

const HEADER: &str = "Date;Time;Global_active_power;Global_reactive_power;Voltage;Global_intensity;Sub_metering_1;Sub_metering_2;Sub_metering_3\n";
const ADVICE: &str = "has day and month swapped; write all dates as d/m/yyyy or yyyy-mm-dd";

fn row(date: &str) -> String {
    format!("{date};17:24:00;1;0;240;4;0;0;0\n")
}

fn file(dates: &[&str]) -> String {
    HEADER.to_owned() + &dates.iter().map(|date| row(date)).collect::<String>()
}

/// The keys of what is sent, `!` and the reason where the consumer will reject it, and last why the reading ended early.
fn sent(input: impl Read + Send) -> Vec<String> {
    let mut source = match MeterSource::open(input, &MeterSettings {}) {
        Ok(source) => source,
        Err(error) => return vec![error.to_string()],
    };
    let (mut message, mut sent) = (Outgoing::default(), vec![]);
    loop {
        match source.next(&mut message) {
            Ok(None) => return sent,
            Ok(Some(row)) => {
                assert_eq!(row, RowOutcome::Send);
                let key = String::from_utf8_lossy(&message.key).into_owned();
                sent.push(source.unusable().map_or(key, |reason| format!("! {reason}")));
            }
            Err(error) => {
                sent.push(error.to_string());
                return sent;
            }
        }
    }
}

fn check(dates: &[&str], expected: &[&str]) {
    assert_eq!(sent(file(dates).as_bytes()), expected, "{dates:?}");
}

fn swapped(line: usize, date: &str) -> String {
    format!("line {line}: Date `{date}` {ADVICE}")
}

/// The minutes of the first days of a year, as the United States write dates.
fn american(days: usize) -> String {
    let day = |day: usize| row(&format!("1/{day}/2007")).repeat(1440);
    HEADER.to_owned() + &(1..=days).map(day).collect::<String>()
}

#[test]
fn a_date_may_have_other_separators_and_the_year_in_front() {
    let same = ["16/12/2006", "16-12-2006", "16.12.2006", "2006-12-16", "2006/12/16", " 2006.12.16 "];
    check(&same, &["2006-12-16"; 6]);
    check(&["1.2.2007", "2007-2-1", "01-02-2007"], &["2007-02-01"; 3]);
}

#[test]
fn a_date_of_no_such_form_is_sent_to_be_rejected() {
    for date in
        ["16/12/06", "16 12 2006", "16/12-2006", "16_12_2006", "20061216", "16 Dec 2006", "1/2/12007", "+1/2/2007"]
    {
        let expected = format!("! Date `{date}` is no day as d/m/yyyy or yyyy-mm-dd");
        check(&["1/2/2007", date], &["2007-02-01", &expected]);
    }
}

#[test]
fn a_file_with_day_and_month_swapped_is_refused_before_anything_is_sent() {
    check(&["12/16/2006", "12/1/2006"], &[&swapped(2, "12/16/2006")]);
    check(&["1/2/2007", "12-31-2006"], &[&swapped(3, "12-31-2006")]);
    check(&["1/2/2007", "2.13.2007", "16/12/2006"], &[&swapped(3, "2.13.2007")]);
    // Twelve days of minutes could be either.
    assert_eq!(sent(american(13).as_bytes()), [swapped(2 + 12 * 1440, "1/13/2007")]);
    assert_eq!(sent(american(12).as_bytes()).len(), 12 * 1440);
}

#[test]
fn what_is_not_known_beforehand_ends_the_sending_as_soon_as_it_is_seen() {
    let long = file(&["1/2/2007"; 70_000]) + &row("1/13/2007") + &row("1/14/2007");
    let sent = sent(long.as_bytes());
    assert_eq!((sent.len(), sent.last()), (70_001, Some(&swapped(70_002, "1/13/2007"))));
}

#[test]
fn a_slip_in_a_file_that_has_shown_its_order_costs_itself_alone() {
    let slip = format!("! Date `1/13/2007` {ADVICE}");
    check(&["16/12/2006", "1/13/2007", "1/13/2007", "2/1/2007"], &["2006-12-16", &slip, &slip, "2007-01-02"]);
    // A second one is the order of what follows.
    check(&["16/12/2006", "1/13/2007", "1/14/2007"], &["2006-12-16", &slip, &swapped(4, "1/14/2007")]);
    // The year in front says nothing of the other form.
    check(&["2006-12-16", "1/13/2007"], &["2006-12-16", &swapped(3, "1/13/2007")]);
}

#[test]
fn an_invalid_date_is_not_taken_for_a_swapped_one() {
    for date in ["13/13/2007", "0/13/2007", "2/30/2007", "1/32/2007", "31/2/2007", "2006-16-12"] {
        let expected = format!("! Date `{date}` is no day as d/m/yyyy or yyyy-mm-dd");
        check(&["1/2/2007", date], &["2007-02-01", &expected]);
    }
}

/// Gives a line a read.
struct Slow {
    text: String,
    at: usize,
    reads: Arc<AtomicUsize>,
}

impl Read for Slow {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = &self.text.as_bytes()[self.at..];
        let len = rest.iter().position(|&byte| byte == b'\n').map_or(rest.len(), |end| end + 1);
        buffer[..len].copy_from_slice(&rest[..len]);
        self.at += len;
        self.reads.fetch_add(1, Ordering::Relaxed);
        Ok(len)
    }
}

#[test]
fn rows_that_come_slowly_are_not_waited_for() {
    let reads = Arc::new(AtomicUsize::new(0));
    let input = Slow { text: file(&["1/2/2007"; 100]), at: 0, reads: Arc::clone(&reads) };
    let mut source = MeterSource::open(input, &MeterSettings {}).unwrap();
    source.next(&mut Outgoing::default()).unwrap();
    assert_eq!((source.line(), reads.load(Ordering::Relaxed)), (2, 2));
}

#[test]
fn an_input_that_breaks_during_the_read_ahead_is_not_taken_for_a_short_one() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::InvalidData.into())
        }
    }
    let text = file(&["1/2/2007"; 100]);
    assert_eq!(sent(text.as_bytes().chain(Broken)), ["line 102: the input is damaged: invalid data"]);
}
