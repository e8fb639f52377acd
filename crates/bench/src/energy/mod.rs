//! Energy: the real file, or made minutes in its shape; in their order, which is that of time.

mod made;

use std::path::{Path, PathBuf};

use anyhow::Context;
use service::{Exit, ResultExt as _};
use testkit::unpacked;

use crate::{
    files,
    table::grouped,
    workload::{Counts, File, Input, Wanted, Workload},
};

/// The energy pipeline.
pub(crate) static WORKLOAD: Workload =
    Workload { pipeline: "energy", changelog: "energy_changelog", files: input, in_words };

/// Rows of the small made file: some three weeks.
const SMALL: u32 = 31_076;

fn input(folder: &Path, wanted: &Wanted) -> anyhow::Result<Input> {
    let make = |rows: u32| -> anyhow::Result<File> {
        let path = files::made(folder.join(format!("made-meter-{rows}.csv")), |file| made::write(file, rows))?;
        // A minute without figures is stored too: it would retract an earlier one.
        Ok(File { path, facts: Some(rows) })
    };
    let sorted = match &wanted.data {
        Some(data) => File { path: plain(data, folder)?, facts: None },
        None => make(wanted.rows)?,
    };
    Ok(Input { small: make(SMALL)?, sorted, changes: Vec::new(), shuffled: None })
}

/// The file unpacked into the folder, since the producer is measured without the unpacking.
fn plain(data: &Path, folder: &Path) -> anyhow::Result<PathBuf> {
    let path = folder.join("given.txt");
    eprintln!("unpacking {}", data.display());
    let mut file = std::fs::File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    unpacked::read(data, |from| Ok(std::io::copy(from, &mut file)?))
        .or_exit(Exit::Input, || format!("cannot unpack DATA={}", data.display()))?;
    Ok(path)
}

fn in_words(input: &Input, counts: &Counts) -> String {
    let kind = if input.sorted.facts.is_some() { "made rows" } else { "rows of the file that was given, unpacked" };
    format!(
        "input: {} {kind}, {} facts, by time (the groups are days); small: {} made rows, {} facts",
        grouped(counts.sorted.0.into()),
        grouped(counts.sorted.1.into()),
        grouped(counts.small.0.into()),
        grouped(counts.small.1.into())
    )
}
