//! What simulated devices measure, and when that is sent: a pure function of seed, device and instant.
//!
//! So a run may begin anywhere, a producer that is started again goes on with the same world, and two producers send the same
//! messages, which a consumer counts once.

use rand_xoshiro::{
    Xoshiro256PlusPlus,
    rand_core::{RngCore as _, SeedableRng as _},
};
use stream::{Outgoing, RowOutcome};

/// How long after the first a second copy of a message comes, at most.
const DOUBLED_WITHIN_MS: f64 = 60_000.0;

/// Devices, and what they measure. They are 1, 2, ….
pub trait Devices: Send {
    /// What is measured.
    type Value: Copy + Ord + Send;

    /// How many there are.
    fn count(&self) -> i32;

    /// The number of the device of a name.
    fn number(&self, name: &str) -> Option<i32>;

    /// What a person calls a device.
    fn name(&self, device: i32) -> String;

    /// What a device measures at an instant, in milliseconds since 1970 UTC; pure.
    fn measure(&self, device: i32, instant: i64, draws: &mut Draws) -> Self::Value;

    /// Writes what was measured at an instant of the device's own clock as a message.
    fn write(&self, device: i32, at_ms: u64, value: Self::Value, message: &mut Outgoing) -> RowOutcome;

    /// The topics it sends to besides the first.
    fn further_topics(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Chance, as it is for one device and instant.
#[derive(Debug)]
pub struct Draws {
    /// Three numbers from 0 to 1, itself excluded.
    pub units: [f64; 3],
    /// What further numbers are drawn from.
    pub generator: Xoshiro256PlusPlus,
}

/// What goes wrong, and how often. Shares are from 0 to 1, times milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Faults {
    /// The share of messages that come late, by up to `late_by_ms`.
    pub late: f64,
    /// How late they come, at most.
    pub late_by_ms: i64,
    /// The share of messages that come twice.
    pub duplicate: f64,
    /// The share of messages that never come.
    pub drop: f64,
    /// The share of time in which a device is offline; it keeps its readings, and sends them afterwards, in order.
    pub offline: f64,
    /// How long it then is.
    pub offline_ms: i64,
    /// How much the clocks of some devices are ahead.
    pub skews: Vec<(i32, i64)>,
    /// From when on some devices say nothing, milliseconds since 1970 UTC.
    pub silent_from: Vec<(i32, i64)>,
}

/// Devices in time.
#[derive(Clone, Debug)]
pub struct World<D> {
    /// The same one gives the same world.
    pub seed: u64,
    /// How often each device measures, milliseconds.
    pub period_ms: i64,
    /// The devices.
    pub devices: D,
    /// What goes wrong.
    pub faults: Faults,
}

/// What a device measured at one instant, and when that is sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured<V> {
    /// When, by the device's clock, milliseconds since 1970 UTC.
    pub at_ms: i64,
    /// What.
    pub value: V,
    /// When it is sent, milliseconds since 1970 UTC; `None`: never.
    pub sent_ms: Option<i64>,
    /// When it is sent a second time.
    pub again_ms: Option<i64>,
}

impl<D: Devices> World<D> {
    /// When a device measures for the `k`-th time since 1970, by a right clock: devices take turns within a period.
    pub fn instant(&self, device: i32, k: i64) -> i64 {
        k * self.period_ms + i64::from(device - 1) * self.period_ms / i64::from(self.devices.count())
    }

    /// What a device measures then.
    pub fn measured(&self, device: i32, k: i64) -> Measured<D::Value> {
        let faults = &self.faults;
        let instant = self.instant(device, k);
        let mut generator = generator(self.seed, device, k);
        // All are drawn, so that a fault that is switched on changes nothing else.
        let units = std::array::from_fn(|_| unit(&mut generator));
        let [late, late_by, duplicate, again, drop] = std::array::from_fn(|_| unit(&mut generator));
        let value = self.devices.measure(device, instant, &mut Draws { units, generator });
        let silent = faults.silent_from.iter().any(|&(its, from)| its == device && instant >= from);
        let delayed = instant + if late < faults.late { part(late_by, faults.late_by_ms) } else { 0 };
        let sent_ms = (!silent && drop >= faults.drop).then(|| delayed.max(self.online_ms(device, instant)));
        let is_doubled = duplicate < faults.duplicate;
        #[expect(clippy::cast_possible_truncation, reason = "at most a minute")]
        let again_ms = sent_ms.filter(|_| is_doubled).map(|sent| sent + 1 + (again * DOUBLED_WITHIN_MS) as i64);
        let skew = faults.skews.iter().find(|(its, _)| *its == device).map_or(0, |(_, skew)| *skew);
        Measured { at_ms: instant + skew, value, sent_ms, again_ms }
    }

    /// When a device is online next, from an instant on.
    fn online_ms(&self, device: i32, instant: i64) -> i64 {
        let Faults { offline, offline_ms, .. } = self.faults;
        if offline <= 0.0 {
            return instant;
        }
        let mut block = instant.div_euclid(offline_ms);
        // Not the generator of an instant: the blocks' numbers are others' instants.
        while unit(&mut generator(self.seed, -device, block)) < offline {
            block += 1;
        }
        instant.max(block * offline_ms)
    }
}

/// What numbers are drawn from for a device and a number of its own, such as that of an instant.
pub fn generator(seed: u64, device: i32, number: i64) -> Xoshiro256PlusPlus {
    let mixed = mix(mix(seed ^ u64::from(device.cast_unsigned())) ^ number.cast_unsigned());
    Xoshiro256PlusPlus::seed_from_u64(mixed)
}

/// A number from 0 to 1, itself excluded.
pub fn unit(generator: &mut Xoshiro256PlusPlus) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "53 bits")]
    let number = (generator.next_u64() >> 11) as f64;
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

/// None.
impl Default for Faults {
    fn default() -> Self {
        Self {
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
pub(crate) mod tests {
    use super::*;

    /// Twenty devices, each of which measures its own chance.
    #[derive(Clone, Debug)]
    pub(crate) struct Twenty;

    impl Devices for Twenty {
        type Value = u64;

        fn count(&self) -> i32 {
            20
        }

        fn number(&self, name: &str) -> Option<i32> {
            name.parse().ok().filter(|number| (1..=20).contains(number))
        }

        fn name(&self, device: i32) -> String {
            device.to_string()
        }

        fn measure(&self, _device: i32, _instant: i64, draws: &mut Draws) -> u64 {
            draws.units[0].to_bits() ^ draws.generator.next_u64()
        }

        fn write(&self, device: i32, at_ms: u64, value: u64, message: &mut Outgoing) -> RowOutcome {
            message.key = device.to_string().into_bytes();
            message.value = format!("{at_ms} {value}").into_bytes();
            RowOutcome::Send
        }
    }

    fn world(faults: Faults) -> World<Twenty> {
        World { seed: 42, period_ms: 1_000, devices: Twenty, faults }
    }

    /// 2026-01-01 00:00 UTC, in seconds.
    const BEGIN: i64 = 1_767_225_600;
    /// Readings that shares are counted of.
    const MANY: i64 = 200_000;

    fn all(world: &World<Twenty>) -> impl Iterator<Item = Measured<u64>> {
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
        let faults = Faults { late: 0.02, duplicate: 0.005, drop: 0.03, ..Faults::default() };
        let measured: Vec<Measured<u64>> = all(&world(faults)).collect();
        let count = |is: &dyn Fn(&Measured<u64>) -> bool| measured.iter().filter(|measured| is(measured)).count();
        check(count(&|one| one.sent_ms.is_none()), 0.03);
        check(count(&|one| one.sent_ms.is_some_and(|sent| sent > one.at_ms)), 0.02 * 0.97);
        check(count(&|one| one.again_ms.is_some()), 0.005 * 0.97);
    }

    #[test]
    fn what_was_kept_offline_comes_in_order() {
        let world = world(Faults { offline: 0.1, ..Faults::default() });
        let measured: Vec<Measured<u64>> = all(&world).collect();
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
            assert_eq!((plain.at_ms, plain.value), (other.at_ms, other.value));
        }
    }

    #[test]
    fn clocks_and_ends_are_those_of_one_device() {
        let faults =
            Faults { skews: vec![(7, 3_000_000)], silent_from: vec![(8, (BEGIN + 10) * 1_000)], ..Faults::default() };
        let (plain, other) = (world(Faults::default()), world(faults));
        assert_eq!(other.measured(6, BEGIN), plain.measured(6, BEGIN));
        let (right, ahead) = (plain.measured(7, BEGIN), other.measured(7, BEGIN));
        assert_eq!((ahead.at_ms, ahead.sent_ms), (right.at_ms + 3_000_000, right.sent_ms));
        assert!(other.measured(8, BEGIN + 9).sent_ms.is_some() && other.measured(8, BEGIN + 10).sent_ms.is_none());
    }
}
