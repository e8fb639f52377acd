//! Emissions: made countries, sorted and shuffled, and a small file that may be the real one.

mod made;
mod rating;

use std::path::Path;

use crate::{
    files,
    road::Road,
    settings::Settings,
    subject::{File, Input, Subject},
    table::grouped,
};

/// The emissions pipeline.
pub(crate) static SUBJECT: Subject = Subject {
    pipeline: "emissions",
    changelog: "emissions_changelog",
    files: input,
    in_words,
    ratings: rating::ratings,
};

/// Rows of the small made file: as many as the reduced real file has.
const SMALL: u32 = 31_076;

fn input(folder: &Path, settings: &Settings) -> anyhow::Result<Input> {
    let rows = settings.rows;
    let make = |rows: u32| -> anyhow::Result<File> {
        let path = files::made(folder.join(format!("made-{rows}.csv")), |file| made::write(file, 0..rows))?;
        Ok(File { path, facts: Some(rows) })
    };
    let small = settings.data().map_or_else(|| make(SMALL), |path| Ok(File { path, facts: None }))?;
    let shuffled =
        files::made(folder.join(format!("made-{rows}-shuffled.csv")), |file| made::write(file, made::shuffled(rows)))?;
    Ok(Input { small, sorted: make(rows)?, shuffled: Some(File { path: shuffled, facts: Some(rows) }) })
}

fn in_words(input: &Input, road: &Road) -> String {
    let countries = grouped(f64::from(made::countries(road.sorted.producer.records)));
    let small = &road.typical_small().consumer;
    let kind = if input.small.facts.is_some() { "made rows" } else { "rows of the file that was given" };
    format!(
        "input: {countries} made countries (the groups) of 123 years each, the last perhaps fewer, sorted and shuffled; \
         small: {} {kind}, {} facts",
        grouped(small.records.into()),
        grouped(small.facts.into())
    )
}
