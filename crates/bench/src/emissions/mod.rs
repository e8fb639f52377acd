//! Emissions: made countries, sorted and shuffled, and a small file that may be the real one.

mod made;

use std::path::Path;

use crate::{
    files,
    table::grouped,
    workload::{Change, Counts, File, Input, Wanted, Workload},
};

/// The emissions pipeline.
pub(crate) static WORKLOAD: Workload =
    Workload { pipeline: "emissions", changelog: "emissions_changelog", files: input, in_words };

/// Rows of the small made file: as many as the reduced real file has.
const SMALL: u32 = 31_076;

/// Countries that a daily correction may be of.
const SOME: u32 = 100;

fn input(folder: &Path, wanted: &Wanted) -> anyhow::Result<Input> {
    let rows = wanted.rows;
    let make = |rows: u32| -> anyhow::Result<File> {
        let path = files::made(folder.join(format!("made-{rows}.csv")), |file| made::write(file, 0..rows))?;
        Ok(File { path, facts: Some(rows) })
    };
    let small = wanted.data.clone().map_or_else(|| make(SMALL), |path| Ok(File { path, facts: None }))?;
    let path =
        files::made(folder.join(format!("made-{rows}-shuffled.csv")), |file| made::write(file, made::shuffled(rows)))?;
    let shuffled = Some(File { path, facts: Some(rows) });
    Ok(Input { small, sorted: make(rows)?, changes: changes(folder, rows)?, shuffled })
}

/// Corrections of one country, of some, and of all: each another one, so that each is new.
fn changes(folder: &Path, rows: u32) -> anyhow::Result<Vec<Change>> {
    let (mut changes, mut facts) = (Vec::new(), rows);
    let all = made::countries(rows);
    let fewer = [1, SOME].into_iter().filter(|groups| *groups < all);
    for (groups, revision) in fewer.chain([all]).zip(1..) {
        let path = folder.join(format!("made-{rows}-changed-{groups}.csv"));
        let path = files::made(path, |file| made::write_corrections(file, groups, revision))?;
        facts += groups;
        changes.push(Change { groups, file: File { path, facts: Some(facts) } });
    }
    Ok(changes)
}

fn in_words(input: &Input, counts: &Counts) -> String {
    let countries = grouped(f64::from(made::countries(counts.sorted.0)));
    let kind = if input.small.facts.is_some() { "made rows" } else { "rows of the file that was given" };
    format!(
        "input: {countries} made countries (the groups) of 123 years each, the last perhaps fewer, sorted and shuffled; \
         small: {} {kind}, {} facts",
        grouped(counts.small.0.into()),
        grouped(counts.small.1.into())
    )
}
