//! Simulated sensors, and what they measure.

use std::{f64::consts::TAU, num::NonZeroU32};

use chrono::{DateTime, Datelike as _, Timelike as _};
use clap::Args;
use rand_distr::{Distribution as _, StandardNormal};
use simulator::{Devices, Draws, Simulation, SimulationSettings, generator, share, unit};
use stream::{Outgoing, ReadError, RowOutcome};

use crate::{routing::Routing, settings::SharedSettings};

/// The daily swing: by so many degrees it is colder at 6 h, and warmer at 18 h.
const SWING: f64 = 6.0;
/// How far readings of an hour are apart, degrees (standard deviation).
const SPREAD: f64 = 2.0;
/// The share of abnormal readings of a sensor, unless one is given: between these two.
const ANOMALIES: (f64, f64) = (0.001, 0.01);

/// Settings of the producer.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Simulator")]
pub struct SimulatorSettings {
    #[command(flatten)]
    pub(crate) shared: SharedSettings,
    /// How many sensors there are: 1, 2, ….
    #[arg(long, env = "SENSORS", default_value = "20", value_name = "N", help_heading = "Simulator")]
    sensors: NonZeroU32,
    /// The share of readings that are none: the sensor is disconnected, or the temperature extreme [default: 0.1 % to 1 %, by sensor].
    #[arg(long, env = "ANOMALY", value_parser = share, value_name = "SHARE", help_heading = "Simulator")]
    anomaly: Option<f64>,
    #[command(flatten)]
    simulation: SimulationSettings,
}

/// Sensors that measure temperatures.
pub struct SimulatedSensors {
    routing: Routing,
    /// The share of abnormal readings of each sensor.
    anomalies: Vec<f64>,
}

impl SimulatedSensors {
    /// So many sensors of a world.
    fn new(seed: u64, sensors: i32, anomaly: Option<f64>, routing: Routing) -> Self {
        let (least, most) = ANOMALIES;
        let own = |sensor| least + (most - least) * unit(&mut generator(seed, sensor, i64::MIN));
        Self { routing, anomalies: (1..=sensors).map(|sensor| anomaly.unwrap_or_else(|| own(sensor))).collect() }
    }
}

/// Begins to simulate.
///
/// # Errors
/// When the settings contradict each other, or would end in the future.
pub fn open(settings: &SimulatorSettings) -> Result<Simulation<SimulatedSensors>, ReadError> {
    let lacking = |_| ReadError::Unusable("there are too many --sensors".to_owned());
    let sensors = i32::try_from(settings.sensors.get()).map_err(lacking)?;
    let routing = Routing::of(&settings.shared);
    let devices = SimulatedSensors::new(settings.simulation.seed, sensors, settings.anomaly, routing);
    Simulation::open(&settings.simulation, devices)
}

impl Devices for SimulatedSensors {
    /// Thousandths of a degree Celsius; `None`: the sensor is disconnected.
    type Value = Option<i32>;

    fn count(&self) -> i32 {
        i32::try_from(self.anomalies.len()).expect("their number came as such")
    }

    fn number(&self, name: &str) -> Option<i32> {
        name.parse().ok().filter(|number| (1..=self.count()).contains(number))
    }

    fn name(&self, device: i32) -> String {
        format!("sensor {device}")
    }

    fn measure(&self, device: i32, instant: i64, draws: &mut Draws) -> Option<i32> {
        let [anomaly, kind, extreme] = draws.units;
        let noise: f64 = StandardNormal.sample(&mut draws.generator);
        let anomalies = usize::try_from(device - 1).map_or(0.0, |at| self.anomalies[at]);
        let celsius = match anomaly < anomalies {
            false => Some(mean(instant) + SPREAD * noise),
            true if kind < 0.5 => None,
            true if kind < 0.75 => Some(-20.0 + 10.0 * extreme),
            true => Some(50.0 + 10.0 * extreme),
        };
        celsius.map(hundredths)
    }

    fn write(&self, device: i32, at_ms: u64, milli: Option<i32>, message: &mut Outgoing) -> RowOutcome {
        self.routing.write(device, Some(at_ms), milli, message)
    }

    fn further_topics(&self) -> Vec<String> {
        self.routing.further_topics()
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

#[cfg(test)]
mod tests {
    use clap::{Command, FromArgMatches as _};
    use formats::instant;
    use sha2::{Digest as _, Sha256};
    use stream::Source as _;

    use super::*;
    use crate::range::USUAL;

    /// Readings that shares are counted of.
    const MANY: i64 = 200_000;

    fn settings(args: &str) -> SimulatorSettings {
        let command = SimulatorSettings::augment_args(Command::new("test"));
        let args = std::iter::once("test").chain(args.split(' '));
        SimulatorSettings::from_arg_matches(&command.get_matches_from(args)).unwrap()
    }

    /// How many readings of sensor 7 are so.
    fn count(args: &str, is: impl Fn(Option<i32>) -> bool) -> (f64, f64) {
        let settings = settings(args);
        let sensors = SimulatedSensors::new(42, 20, settings.anomaly, Routing::of(&settings.shared));
        let measured = |k: i64| {
            let mut generator = generator(42, 7, k);
            let units = std::array::from_fn(|_| unit(&mut generator));
            sensors.measure(7, k * 1_000, &mut Draws { units, generator })
        };
        let count = (0..MANY).filter(|k| is(measured(*k))).count();
        (count as f64, sensors.anomalies[6])
    }

    /// That a count is within five standard deviations of what its share is to give.
    fn check(count: f64, share: f64) {
        let many = MANY as f64;
        let (mean, deviation) = (share * many, (share * (1.0 - share) * many).sqrt());
        assert!((count - mean).abs() < 5.0 * deviation.max(1.0), "{count} of {MANY}, and {share} was asked");
    }

    #[test]
    fn abnormal_readings_come_as_often_as_is_asked() {
        let of_any = count("--anomaly=1%", |milli| milli.is_none_or(|milli| !USUAL.has(milli)));
        check(of_any.0, 0.01);
        check(count("--anomaly=1%", |milli| milli.is_none()).0, 0.005);
        let (of_its_own, share) = count("--sensors=20", |milli| milli.is_none());
        assert!((0.001..0.01).contains(&share));
        check(of_its_own, share / 2.0);
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        let args =
            "--speed=max --late=2% --duplicate=1% --offline=5% --drop=1% --start=2026-01-01T00:00:00Z --duration=10m";
        let (mut simulation, mut message) = (open(&settings(args)).unwrap(), Outgoing::default());
        let mut digest = Sha256::new();
        let mut topics = [0, 0];
        while simulation.next(&mut message).unwrap().is_some() {
            digest.update(&message.value);
            topics[message.topic] += 1;
        }
        let hex: String = digest.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "809dc495878f3d34");
        assert!(topics[0] > 10_000 && topics[1] > 0, "{topics:?}");
    }

    #[test]
    fn a_day_is_smooth_and_a_year_has_seasons() {
        let at = |text: &str| mean(instant::parse(text).unwrap());
        assert!((at("2026-01-15T06:00:00Z") - 6.0).abs() < 1e-9);
        assert!((at("2026-01-15T18:00:00Z") - 18.0).abs() < 1e-9);
        assert!((at("2026-07-15T12:00:00Z") - 25.0).abs() < 1e-9);
        assert!((at("2026-01-15T17:59:59Z") - at("2026-01-15T18:00:00Z")).abs() < 1e-3);
    }
}
