//! Which temperatures are readings, and which are events: one rule for all sources, and for the consumer.

use std::{fmt, str::FromStr};

use formats::milli;

/// Temperatures between two bounds, which are themselves outside. Thousandths of a degree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// A reading is above.
    pub above: i32,
    /// A reading is below.
    pub below: i32,
}

/// That of the sensors that are simulated.
pub const USUAL: Range = Range { above: -10_000, below: 50_000 };

/// Temperatures are below a thousand degrees, as `numeric(5,2)` wants them: so many thousandths at most.
const LIMIT: i32 = 999_994;

/// A temperature in thousandths of a degree, rounded half away from zero; `None` where it is not below a thousand degrees.
pub(crate) fn of_number(celsius: f64) -> Option<i32> {
    milli::of_number(celsius, LIMIT.into()).and_then(|milli| i32::try_from(milli).ok())
}

/// Reads the temperature that a text begins with, and its length in bytes, as [`milli::read`] does.
pub(crate) fn read(text: &[u8]) -> Option<(i32, usize)> {
    let (milli, len) = milli::read(text)?;
    Some((i32::try_from(milli).ok().filter(|milli| milli.abs() <= LIMIT)?, len))
}

/// How bad an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Something is broken.
    Error,
    /// Something is odd.
    Warning,
}

impl Level {
    /// Its name, as in messages and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Warning => "WARNING",
        }
    }

    /// The level of that name.
    pub fn of_name(name: &str) -> Option<Self> {
        [Self::Error, Self::Warning].into_iter().find(|level| level.name() == name)
    }
}

/// What a measured value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Routed {
    /// A reading, in thousandths of a degree.
    Reading(i32),
    /// An event, and what it says.
    Event(Level, String),
}

impl Range {
    /// Whether a temperature is a reading.
    pub fn has(self, milli: i32) -> bool {
        self.above < milli && milli < self.below
    }

    /// What a measured value is; `None` is that of a sensor that is disconnected.
    pub fn route(self, milli: Option<i32>) -> Routed {
        match milli {
            None => Routed::Event(Level::Error, "sensor disconnected".to_owned()),
            Some(milli) if self.has(milli) => Routed::Reading(milli),
            Some(milli) => Routed::Event(Level::Warning, format!("extreme temperature {}", milli::text(milli.into()))),
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", milli::text(self.above.into()), milli::text(self.below.into()))
    }
}

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let whole = |bound: &str| read(bound.as_bytes()).filter(|(_, len)| *len == bound.len()).map(|(milli, _)| milli);
        let bounds = text.split_once("..").and_then(|(above, below)| Some((whole(above)?, whole(below)?)));
        match bounds {
            Some((above, below)) if above < below => Ok(Self { above, below }),
            _ => Err("not two temperatures such as -10..50, the lower one first".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_are_extreme() {
        let routed = |milli| USUAL.route(milli);
        assert_eq!(routed(None), Routed::Event(Level::Error, "sensor disconnected".to_owned()));
        assert_eq!(routed(Some(-10_000)), Routed::Event(Level::Warning, "extreme temperature -10".to_owned()));
        assert_eq!(routed(Some(50_000)), Routed::Event(Level::Warning, "extreme temperature 50".to_owned()));
        assert_eq!(routed(Some(-9_999)), Routed::Reading(-9_999));
        assert_eq!(routed(Some(49_999)), Routed::Reading(49_999));
    }

    #[test]
    fn a_range_is_read() {
        assert_eq!("-10..50".parse(), Ok(USUAL));
        assert_eq!(USUAL.to_string(), "-10..50");
        assert!(["50..-10", "1..1", "1", "a..b", "..", "-10...50"].iter().all(|text| text.parse::<Range>().is_err()));
    }
}
