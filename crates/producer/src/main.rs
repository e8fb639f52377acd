#![doc = include_str!("../README.md")]

mod checksum;
mod decompress;
mod follow;
mod http;
mod input;
mod live;
mod location;
mod members;
mod progress;
mod raw;
mod send;
mod settings;
mod spool;
mod tls;
mod usable;

use std::process::ExitCode;

use service::exit;

use crate::settings::Job;

fn main() -> ExitCode {
    match exit::parse(Job::from_args(std::env::args_os().collect())) {
        Ok(job) => exit::run(send::run(job)),
        Err(code) => code,
    }
}
