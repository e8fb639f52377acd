//! A small made household: some minutes of some days, and what a later file says of them instead.

use std::fmt::Write as _;

use crate::random::Random;

/// The fields as the file names them.
pub(crate) const FIELDS: [&str; 7] = [
    "Global_active_power",
    "Global_reactive_power",
    "Voltage",
    "Global_intensity",
    "Sub_metering_1",
    "Sub_metering_2",
    "Sub_metering_3",
];

/// Days of three quarters: year's end, a leap day, quarter's ends, and the nights on which clocks were changed.
const DAYS: [(u32, u32, u32); 10] = [
    (2007, 12, 30),
    (2007, 12, 31),
    (2008, 1, 1),
    (2008, 1, 2),
    (2008, 2, 28),
    (2008, 2, 29),
    (2008, 3, 30),
    (2008, 3, 31),
    (2008, 4, 1),
    (2008, 4, 10),
];

/// A quarter that hangs on a single minute, which a later file retracts.
const LONE: ((u32, u32, u32), u32) = ((2008, 7, 5), 720);

/// A row of the input.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    /// Year, month and day as the row has them, whether or not the calendar does.
    pub(crate) date: (u32, u32, u32),
    /// The minute of the day.
    pub(crate) minute: u32,
    /// The seven fields in thousandths; `None` is missing.
    pub(crate) figures: [Option<u32>; 7],
}

impl Line {
    /// The date as the message has it, whether or not the calendar does.
    pub(crate) fn day(&self) -> String {
        let (year, month, day) = self.date;
        format!("{year:04}-{month:02}-{day:02}")
    }

    /// The message value, its fields in another order than our producer's.
    pub(crate) fn json(&self) -> String {
        let number = |figure: Option<u32>| figure.map_or_else(|| "null".to_owned(), short);
        let fields = FIELDS.iter().zip(self.figures).rev();
        let fields: String = fields.map(|(name, figure)| format!(r#""{name}":{},"#, number(figure))).collect();
        format!(r#"{{{fields}"Datetime":"{} {}"}}"#, self.day(), self.clock())
    }

    fn is_no_day(&self) -> bool {
        self.date.2 > 31
    }

    /// Day, month and year, without leading zeros.
    fn file_date(&self) -> String {
        let (year, month, day) = self.date;
        format!("{day}/{month}/{year}")
    }

    fn clock(&self) -> String {
        format!("{:02}:{:02}:00", self.minute / 60, self.minute % 60)
    }
}

/// Thousandths as the shortest decimal.
fn short(thousandths: u32) -> String {
    let long = format!("{}.{:03}", thousandths / 1000, thousandths % 1000);
    long.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The rows as the file that the producer reads; as in the real one, the last field of a missing row is empty.
pub(crate) fn file(lines: &[Line]) -> String {
    let mut file = format!("Date;Time;{}\r\n", FIELDS.join(";"));
    for line in lines {
        write!(file, "{};{}", line.file_date(), line.clock()).expect("a String takes all text");
        for (column, figure) in line.figures.into_iter().enumerate() {
            let text = match figure {
                Some(value) => format!("{}.{:03}", value / 1000, value % 1000),
                None => if column == 6 { "" } else { "?" }.to_owned(),
            };
            write!(file, ";{text}").expect("a String takes all text");
        }
        file.push_str("\r\n");
    }
    file
}

/// The household as first sent: 40 minutes a day, one alone, and one of a day that no calendar has.
pub(crate) fn world(seed: u64) -> Vec<Line> {
    let mut random = Random::new(seed);
    let minutes = (0..39).map(|n| 37 * n).chain([1_439]);
    let times = DAYS.into_iter().flat_map(|date| minutes.clone().map(move |minute| (date, minute)));
    let mut lines: Vec<Line> =
        times.map(|(date, minute)| Line { date, minute, figures: figures(&mut random) }).collect();
    // In every world the same minutes are missing, so that their correction always is one.
    lines.iter_mut().skip(5).step_by(20).for_each(|line| line.figures = [None; 7]);
    lines.iter_mut().skip(8).step_by(50).for_each(|line| line.figures[2] = None);
    lines.push(Line { date: LONE.0, minute: LONE.1, figures: figures(&mut random) });
    lines.push(Line { date: (2008, 1, 32), minute: 65, figures: figures(&mut random) });
    lines
}

/// What a later file says: other figures, `?` for known minutes, figures for missing ones, one minute more, and another
/// day that no calendar has.
pub(crate) fn corrections(lines: &[Line], seed: u64) -> Vec<Line> {
    let mut random = Random::new(seed);
    let is_lone = |line: &&Line| line.date == LONE.0;
    let known = |line: &&Line| line.figures[0].is_some() && !line.is_no_day() && !is_lone(line);
    let corrected = lines.iter().filter(known).skip(3).step_by(9);
    let mut later: Vec<Line> = corrected.map(|line| Line { figures: figures(&mut random), ..line.clone() }).collect();
    let retracted = lines.iter().filter(known).skip(4).step_by(9).chain(lines.iter().filter(is_lone));
    later.extend(retracted.map(|line| Line { figures: [None; 7], ..line.clone() }));
    let found = lines.iter().filter(|line| line.figures[0].is_none()).step_by(2);
    later.extend(found.map(|line| Line { figures: figures(&mut random), ..line.clone() }));
    later.push(Line { date: (2008, 2, 29), minute: 1, figures: figures(&mut random) });
    later.push(Line { date: (2008, 1, 33), minute: 66, figures: figures(&mut random) });
    later
}

/// Figures such as a meter has; energies are whole watt-hours.
fn figures(random: &mut Random) -> [Option<u32>; 7] {
    let mut between = |low: u32, high: u32| low + random.small(high - low);
    let figures = [between(76, 11_123), between(0, 1_391), between(223_200, 254_150), between(200, 48_400)];
    let [power, reactive, voltage, intensity] = figures.map(Some);
    let energies = [89, 81, 32].map(|most| Some(1_000 * between(0, most)));
    let [kitchen, laundry, heater] = energies;
    [power, reactive, voltage, intensity, kitchen, laundry, heater]
}
