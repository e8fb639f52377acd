//! Simulated devices, and what they measure.

use std::{f64::consts::PI, num::NonZeroU32};

use chrono::{DateTime, Timelike as _};
use clap::Args;
use simulator::{Devices, Draws, Simulation, SimulationSettings, share, unit};
use stream::{Outgoing, ReadError, RowOutcome};

use crate::{
    message::{self, Reading},
    window::Name,
};

/// Settings of the producer.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Simulator")]
pub struct SimulatorSettings {
    /// How many devices there are, of which each five are two thermometers, a hygrometer, a motion detector and a meter.
    #[arg(long, env = "DEVICES", default_value = "5", value_name = "N")]
    devices: NonZeroU32,
    /// The share of abnormal readings [default: 1 % to 3 %, by type; none of motion].
    #[arg(long, env = "ANOMALY", value_parser = share, value_name = "SHARE")]
    anomaly: Option<f64>,
    #[command(flatten)]
    simulation: SimulationSettings,
}

/// How a device measures.
#[derive(Clone, Copy, Debug)]
struct Model {
    prefix: &'static str,
    kind: &'static str,
    unit: &'static str,
    /// What it measures by and large, and how far from that it usually is.
    base: f64,
    variation: f64,
    /// What it cannot go below or beyond.
    bounds: (f64, f64),
    anomaly: f64,
}

/// The five devices.
const MODELS: [Model; 5] = [
    Model { base: 22.0, variation: 3.0, ..THERMOMETER },
    Model { base: 20.0, variation: 2.5, ..THERMOMETER },
    Model {
        prefix: "HUM",
        kind: "humidity",
        unit: "%",
        base: 50.0,
        variation: 10.0,
        bounds: (0.0, 100.0),
        anomaly: 0.03,
    },
    Model {
        prefix: "MOT",
        kind: "motion",
        unit: "boolean",
        base: 0.0,
        variation: 0.0,
        bounds: (0.0, 1.0),
        anomaly: 0.0,
    },
    Model {
        prefix: "ENR",
        kind: "energy",
        unit: "kWh",
        base: 100.0,
        variation: 20.0,
        bounds: (0.0, f64::MAX),
        anomaly: 0.01,
    },
];
const THERMOMETER: Model = Model {
    prefix: "TEMP",
    kind: "temperature",
    unit: "°C",
    base: 0.0,
    variation: 0.0,
    bounds: (f64::MIN, f64::MAX),
    anomaly: 0.02,
};
/// How often something moves.
const MOVES: f64 = 0.3;

/// Devices of an office.
pub struct SimulatedDevices {
    names: Vec<Name>,
    anomaly: Option<f64>,
}

/// What a device measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sample {
    milli: i64,
    quality: u8,
    is_anomaly: bool,
}

/// Begins to simulate.
///
/// # Errors
/// When the settings contradict each other, or would end in the future.
pub fn open(settings: &SimulatorSettings) -> Result<Simulation<SimulatedDevices>, ReadError> {
    let lacking = |_| ReadError::Unusable("there are too many --devices".to_owned());
    let count = i32::try_from(settings.devices.get()).map_err(lacking)?;
    Simulation::open(&settings.simulation, SimulatedDevices::new(count, settings.anomaly))
}

fn model(device: i32) -> Model {
    MODELS[usize::try_from((device - 1) % 5).unwrap_or(0)]
}

impl SimulatedDevices {
    fn new(count: i32, anomaly: Option<f64>) -> Self {
        let name = |device: i32| {
            let round = (device - 1) / 5;
            let number = if model(device).kind == THERMOMETER.kind { 2 * round + (device - 1) % 5 } else { round } + 1;
            Name::from(&format!("{}-{number:03}", model(device).prefix)).expect("it is short")
        };
        Self { names: (1..=count).map(name).collect(), anomaly }
    }
}

impl Devices for SimulatedDevices {
    type Value = Sample;

    fn count(&self) -> i32 {
        i32::try_from(self.names.len()).expect("their number came as such")
    }

    fn number(&self, name: &str) -> Option<i32> {
        let at = self.names.iter().position(|known| **known == *name)?;
        i32::try_from(at).ok().map(|at| at + 1)
    }

    fn name(&self, device: i32) -> String {
        usize::try_from(device - 1).ok().and_then(|at| self.names.get(at)).map_or_else(String::new, Name::to_string)
    }

    fn measure(&self, device: i32, instant: i64, draws: &mut Draws) -> Sample {
        let model = model(device);
        let [anomaly, spread, extreme] = draws.units;
        let is_anomaly = anomaly < self.anomaly.unwrap_or(model.anomaly);
        let (worst, span) = if is_anomaly { (70.0, 21.0) } else { (90.0, 11.0) };
        let quality = worst + span * unit(&mut draws.generator);
        let mut value = model.base + 0.1 * model.base * swing(instant) + model.variation * (2.0 * spread - 1.0);
        if model.unit == "boolean" {
            value = f64::from(u8::from(spread < MOVES));
        } else if is_anomaly {
            // Three to five times as far as usual, in either direction.
            let sign = if extreme < 0.5 { -1.0 } else { 1.0 };
            value += sign * model.variation * (3.0 + 4.0 * (extreme % 0.5));
        }
        let hundredths = (value.clamp(model.bounds.0, model.bounds.1) * 100.0).round();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small, and not below 0")]
        Sample { milli: hundredths as i64 * 10, quality: quality as u8, is_anomaly }
    }

    fn write(&self, device: i32, at_ms: u64, sample: Sample, message: &mut Outgoing) -> RowOutcome {
        let model = model(device);
        let reading = Reading {
            at_ms: i64::try_from(at_ms).ok(),
            device: usize::try_from(device - 1).map_or_else(|_| Name::new(), |at| self.names[at]),
            kind: Name::from(model.kind).expect("it is short"),
            milli: sample.milli,
            unit: model.unit.into(),
            quality: Some(sample.quality),
            is_anomaly: sample.is_anomaly,
        };
        message::encode(&reading, message);
        RowOutcome::Send
    }
}

/// From −1 at midnight to 1 at noon, UTC.
fn swing(instant: i64) -> f64 {
    let time = DateTime::from_timestamp_millis(instant).unwrap_or_default();
    let hour = f64::from(time.num_seconds_from_midnight()) / 3_600.0;
    ((hour - 6.0) * PI / 12.0).sin()
}

#[cfg(test)]
mod tests {
    use clap::{Command, FromArgMatches as _};
    use sha2::{Digest as _, Sha256};
    use simulator::generator;
    use stream::Source as _;

    use super::*;

    /// Readings of a device.
    fn samples(device: i32, count: i64) -> Vec<Sample> {
        let devices = SimulatedDevices::new(5, None);
        let sample = |k: i64| {
            let mut generator = generator(42, device, k);
            let units = std::array::from_fn(|_| unit(&mut generator));
            devices.measure(device, k * 1_000, &mut Draws { units, generator })
        };
        (0..count).map(sample).collect()
    }

    #[test]
    fn devices_have_names_by_type() {
        let devices = SimulatedDevices::new(10, None);
        let names: Vec<&str> = devices.names.iter().map(Name::as_str).collect();
        let (first, second) = names.split_at(5);
        assert_eq!(first, ["TEMP-001", "TEMP-002", "HUM-001", "MOT-001", "ENR-001"]);
        assert_eq!(second, ["TEMP-003", "TEMP-004", "HUM-002", "MOT-002", "ENR-002"]);
        assert_eq!((devices.number("HUM-002"), devices.number("HUM-003")), (Some(8), None));
    }

    #[test]
    fn values_are_within_what_is_usual_unless_abnormal() {
        for (device, share) in [(1, 0.02), (2, 0.02), (3, 0.03), (4, 0.0), (5, 0.01)] {
            let (model, samples) = (model(device), samples(device, 100_000));
            let abnormal = samples.iter().filter(|sample| sample.is_anomaly).count() as f64 / 100_000.0;
            assert!((abnormal - share).abs() < 0.003, "{}: {abnormal}", model.kind);
            for sample in samples {
                let off = (sample.milli as f64 / 1_000.0 - model.base).abs();
                let usual = model.variation + 0.1 * model.base;
                assert!(sample.is_anomaly || model.variation == 0.0 || off < usual + 0.01, "{sample:?}");
                assert!(if sample.is_anomaly { 70..=90 } else { 90..=100 }.contains(&sample.quality));
            }
        }
        let moved = samples(4, 100_000).iter().filter(|sample| sample.milli == 1_000).count();
        assert!((29_000..31_000).contains(&moved), "{moved}");
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        let command = SimulatorSettings::augment_args(Command::new("test"));
        let args = [
            "test",
            "--speed=max",
            "--start=2026-01-01T00:00:00Z",
            "--duration=10m",
            "--late=2%",
            "--skew=HUM-001=+1h",
        ];
        let settings = SimulatorSettings::from_arg_matches(&command.get_matches_from(args)).unwrap();
        let (mut simulation, mut message) = (open(&settings).unwrap(), Outgoing::default());
        let mut digest = Sha256::new();
        while simulation.next(&mut message).unwrap().is_some() {
            digest.update(&message.value);
        }
        let hex: String = digest.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "c509a3ad3657ec96");
    }
}
