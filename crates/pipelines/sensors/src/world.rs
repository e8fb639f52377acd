//! What simulated sensors measure: a pure function of seed, sensor and instant.
//!
//! So a run may begin anywhere, a producer that is started again goes on with the same world, and two producers send the same
//! messages, which a consumer counts once.

use std::f64::consts::TAU;

use chrono::{DateTime, Datelike as _, Timelike as _};
use rand_distr::{Distribution as _, StandardNormal};
use rand_xoshiro::{
    Xoshiro256PlusPlus,
    rand_core::{RngCore as _, SeedableRng as _},
};

/// The daily swing: by so many degrees it is colder at 6 h, and warmer at 18 h.
const SWING: f64 = 6.0;
/// How far readings of an hour are apart, degrees (standard deviation).
const SPREAD: f64 = 2.0;
/// The share of abnormal readings of a sensor, unless one is given: between these two.
const ANOMALIES: (f64, f64) = (0.001, 0.01);
/// How long after the first a second copy of a message comes, at most.
const DOUBLED_WITHIN_MS: f64 = 60_000.0;

/// What goes wrong, and how often. Shares are from 0 to 1, times milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Faults {
    /// The share of abnormal readings; `None` is 0.1 % to 1 %, by sensor.
    pub anomaly: Option<f64>,
    /// The share of messages that come late, by up to `late_by_ms`.
    pub late: f64,
    /// How late they come, at most.
    pub late_by_ms: i64,
    /// The share of messages that come twice.
    pub duplicate: f64,
    /// The share of messages that never come.
    pub drop: f64,
    /// The share of time in which a sensor is offline; it keeps its readings, and sends them afterwards, in order.
    pub offline: f64,
    /// How long it then is.
    pub offline_ms: i64,
    /// How much the clocks of some sensors are ahead.
    pub skews: Vec<(i32, i64)>,
    /// From when on some sensors say nothing, milliseconds since 1970 UTC.
    pub silent_from: Vec<(i32, i64)>,
}

/// What sensors measure.
#[derive(Clone, Debug)]
pub struct World {
    /// The same one gives the same world.
    pub seed: u64,
    /// How often each sensor measures, milliseconds.
    pub period_ms: i64,
    /// The number of sensors: they are 1, 2, ….
    pub sensors: i32,
    /// What goes wrong.
    pub faults: Faults,
    /// The share of abnormal readings of each sensor.
    anomalies: Vec<f64>,
}

/// What a sensor measured at one instant, and when that is sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// When, by the sensor's clock, milliseconds since 1970 UTC.
    pub at_ms: i64,
    /// The temperature, thousandths of a degree Celsius; `None`: the sensor is disconnected.
    pub milli: Option<i32>,
    /// When it is sent, milliseconds since 1970 UTC; `None`: never.
    pub sent_ms: Option<i64>,
    /// When it is sent a second time.
    pub again_ms: Option<i64>,
}

impl World {
    /// A world of so many sensors, each of which measures once in a period, in milliseconds.
    pub fn new(seed: u64, period_ms: i64, sensors: i32, faults: Faults) -> Self {
        let mut world = Self { seed, period_ms, sensors, faults, anomalies: vec![] };
        world.anomalies = (1..=sensors).map(|sensor| world.anomalies_of(sensor)).collect();
        world
    }

    /// When a sensor measures for the `k`-th time since 1970, by a right clock: sensors take turns within a period.
    pub fn instant(&self, sensor: i32, k: i64) -> i64 {
        k * self.period_ms + i64::from(sensor - 1) * self.period_ms / i64::from(self.sensors)
    }

    /// What a sensor measures then.
    pub fn measured(&self, sensor: i32, k: i64) -> Measured {
        let faults = &self.faults;
        let instant = self.instant(sensor, k);
        let mut random = self.random(sensor, k);
        // All are drawn, so that a fault that is switched on changes nothing else.
        let [anomaly, kind, extreme, late, late_by, duplicate, again, drop] =
            std::array::from_fn(|_| unit(&mut random));
        let noise: f64 = StandardNormal.sample(&mut random);
        let anomalies = usize::try_from(sensor - 1).map_or(0.0, |at| self.anomalies[at]);
        let celsius = match anomaly < anomalies {
            false => Some(mean(instant) + SPREAD * noise),
            true if kind < 0.5 => None,
            true if kind < 0.75 => Some(-20.0 + 10.0 * extreme),
            true => Some(50.0 + 10.0 * extreme),
        };
        let silent = faults.silent_from.iter().any(|&(its, from)| its == sensor && instant >= from);
        let delayed = instant + if late < faults.late { part(late_by, faults.late_by_ms) } else { 0 };
        let sent_ms = (!silent && drop >= faults.drop).then(|| delayed.max(self.online_ms(sensor, instant)));
        let is_doubled = duplicate < faults.duplicate;
        #[expect(clippy::cast_possible_truncation, reason = "at most a minute")]
        let again_ms = sent_ms.filter(|_| is_doubled).map(|sent| sent + 1 + (again * DOUBLED_WITHIN_MS) as i64);
        let skew = faults.skews.iter().find(|(its, _)| *its == sensor).map_or(0, |(_, skew)| *skew);
        Measured { at_ms: instant + skew, milli: celsius.map(hundredths), sent_ms, again_ms }
    }

    /// When a sensor is online next, from an instant on.
    fn online_ms(&self, sensor: i32, instant: i64) -> i64 {
        let Faults { offline, offline_ms, .. } = self.faults;
        if offline <= 0.0 {
            return instant;
        }
        let mut block = instant.div_euclid(offline_ms);
        // Not the generator of an instant: the blocks' numbers are others' instants.
        while unit(&mut self.random(-sensor, block)) < offline {
            block += 1;
        }
        instant.max(block * offline_ms)
    }

    /// The share of abnormal readings that a sensor has.
    fn anomalies_of(&self, sensor: i32) -> f64 {
        let (least, most) = ANOMALIES;
        self.faults.anomaly.unwrap_or_else(|| least + (most - least) * unit(&mut self.random(sensor, i64::MIN)))
    }

    fn random(&self, sensor: i32, k: i64) -> Xoshiro256PlusPlus {
        let mixed = mix(mix(self.seed ^ u64::from(sensor.cast_unsigned())) ^ k.cast_unsigned());
        Xoshiro256PlusPlus::seed_from_u64(mixed)
    }
}

/// The mean temperature at an instant, degrees Celsius: by season, and a smooth day.
fn mean(instant: i64) -> f64 {
    let time = DateTime::from_timestamp_millis(instant).unwrap_or_default();
    let base = match time.month() {
        3..=5 => 15.0,
        6..=8 => 25.0,
        9..=11 => 20.0,
        _ => 12.0,
    };
    let day = f64::from(time.num_seconds_from_midnight()) / 86_400.0;
    base - SWING * (TAU * (day - 0.25)).cos()
}

/// Thousandths of a degree, as sensors send them: whole hundredths.
fn hundredths(celsius: f64) -> i32 {
    #[expect(clippy::cast_possible_truncation, reason = "a temperature")]
    let hundredths = (celsius * 100.0).round() as i32;
    hundredths * 10
}

/// A number from 0 to 1, itself excluded.
fn unit(random: &mut Xoshiro256PlusPlus) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "53 bits")]
    let number = (random.next_u64() >> 11) as f64;
    number / 9_007_199_254_740_992.0
}

/// A part of a time.
fn part(share: f64, ms: i64) -> i64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "below the time itself")]
    let part = (share * ms as f64) as i64;
    part
}

/// Spreads the bits of a number (the finaliser of SplitMix64, by Vigna, public domain).
fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}

/// No faults but those of sensors themselves.
impl Default for Faults {
    fn default() -> Self {
        Self {
            anomaly: None,
            late: 0.0,
            late_by_ms: 30 * 60_000,
            duplicate: 0.0,
            drop: 0.0,
            offline: 0.0,
            offline_ms: 10 * 60_000,
            skews: vec![],
            silent_from: vec![],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world(faults: Faults) -> World {
        World::new(42, 1_000, 20, faults)
    }

    /// 2026-01-01 00:00 UTC, in seconds.
    const BEGIN: i64 = 1_767_225_600;
    /// Readings that shares are counted of.
    const MANY: i64 = 200_000;

    fn all(world: &World) -> impl Iterator<Item = Measured> {
        (BEGIN..BEGIN + MANY).map(|k| world.measured(7, k))
    }

    /// That a share is within five standard deviations of what it is to be.
    fn check(count: usize, share: f64) {
        let many = MANY as f64;
        let (mean, deviation) = (share * many, (share * (1.0 - share) * many).sqrt());
        assert!((count as f64 - mean).abs() < 5.0 * deviation.max(1.0), "{count} of {MANY}, and {share} was asked");
    }

    #[test]
    fn faults_come_as_often_as_is_asked() {
        let faults = Faults { anomaly: Some(0.01), late: 0.02, duplicate: 0.005, drop: 0.03, ..Faults::default() };
        let measured: Vec<Measured> = all(&world(faults)).collect();
        let count = |is: &dyn Fn(&Measured) -> bool| measured.iter().filter(|measured| is(measured)).count();
        check(count(&|one| one.milli.is_none_or(|milli| !crate::range::USUAL.has(milli))), 0.01);
        check(count(&|one| one.milli.is_none()), 0.005);
        check(count(&|one| one.sent_ms.is_none()), 0.03);
        check(count(&|one| one.sent_ms.is_some_and(|sent| sent > one.at_ms)), 0.02 * 0.97);
        check(count(&|one| one.again_ms.is_some()), 0.005 * 0.97);
    }

    #[test]
    fn a_sensor_without_a_share_has_one_of_its_own() {
        let world = world(Faults::default());
        let shares: Vec<f64> = world.anomalies.clone();
        assert!(shares.iter().all(|share| (0.001..0.01).contains(share)));
        check(all(&world).filter(|one| one.milli.is_none()).count(), shares[6] / 2.0);
    }

    #[test]
    fn what_was_kept_offline_comes_in_order() {
        let world = world(Faults { offline: 0.1, ..Faults::default() });
        let measured: Vec<Measured> = all(&world).collect();
        let sent: Vec<i64> = measured.iter().filter_map(|one| one.sent_ms).collect();
        assert!(sent.is_sorted());
        let offline = measured.iter().filter(|one| one.sent_ms > Some(one.at_ms)).count();
        // Blocks are few, so that their share is only roughly the one asked.
        assert!((5_000..40_000).contains(&offline), "{offline}");
    }

    #[test]
    fn one_fault_changes_nothing_else() {
        let faults = Faults { late: 0.5, duplicate: 0.5, offline: 0.1, ..Faults::default() };
        for (plain, other) in all(&world(Faults::default())).zip(all(&world(faults))) {
            assert_eq!((plain.at_ms, plain.milli), (other.at_ms, other.milli));
        }
    }

    #[test]
    fn clocks_and_ends_are_those_of_one_sensor() {
        let faults =
            Faults { skews: vec![(7, 3_000_000)], silent_from: vec![(8, (BEGIN + 10) * 1_000)], ..Faults::default() };
        let (plain, other) = (world(Faults::default()), world(faults));
        assert_eq!(other.measured(6, BEGIN), plain.measured(6, BEGIN));
        let (right, ahead) = (plain.measured(7, BEGIN), other.measured(7, BEGIN));
        assert_eq!((ahead.at_ms, ahead.sent_ms), (right.at_ms + 3_000_000, right.sent_ms));
        assert!(other.measured(8, BEGIN + 9).sent_ms.is_some() && other.measured(8, BEGIN + 10).sent_ms.is_none());
    }

    #[test]
    fn a_day_is_smooth_and_a_year_has_seasons() {
        let at = |text: &str| mean(crate::instant::parse(text).unwrap());
        assert!((at("2026-01-15T06:00:00Z") - 6.0).abs() < 1e-9);
        assert!((at("2026-01-15T18:00:00Z") - 18.0).abs() < 1e-9);
        assert!((at("2026-07-15T12:00:00Z") - 25.0).abs() < 1e-9);
        assert!((at("2026-01-15T17:59:59Z") - at("2026-01-15T18:00:00Z")).abs() < 1e-3);
    }
}
