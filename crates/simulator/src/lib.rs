#![doc = include_str!("../README.md")]

mod settings;
mod simulation;
mod world;

pub use settings::{SimulationSettings, share};
pub use simulation::Simulation;
pub use world::{Devices, Draws, Faults, Measured, World, generator, unit};
