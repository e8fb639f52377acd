//! What the bench has to know about a pipeline; servers, programs and ceilings are the same for all.

use std::path::{Path, PathBuf};

/// A pipeline, as it is measured.
#[derive(Debug)]
pub(crate) struct Workload {
    /// Its name, as given to `--pipeline`.
    pub(crate) pipeline: &'static str,
    /// The view that has its facts, a row each.
    pub(crate) changelog: &'static str,
    /// Makes the files that are still missing, in a folder.
    pub(crate) files: fn(&Path, &Wanted) -> anyhow::Result<Input>,
    /// What was sent, in words.
    pub(crate) in_words: fn(&Input, &Counts) -> String,
}

/// The input that is measured.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// Rows of the large generated files.
    pub(crate) rows: u32,
    /// A real file: of emissions the small one, of energy the large one.
    pub(crate) data: Option<PathBuf>,
}

/// Records that were sent, and facts that are stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    /// Of the large input: records, facts.
    pub(crate) sorted: (u32, u32),
    /// Of the small input: records, facts.
    pub(crate) small: (u32, u32),
}

/// The files that are sent.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    /// The small file.
    pub(crate) small: File,
    /// The large one, in its natural order.
    pub(crate) sorted: File,
    /// Corrections of rows of the sorted one, to be sent after it in this order.
    pub(crate) changes: Vec<Change>,
    /// The same rows in another order, where that is measured.
    pub(crate) shuffled: Option<File>,
}

/// One corrected row for each of so many groups.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) groups: u32,
    /// Its facts are those that the changelog has after it.
    pub(crate) file: File,
}

/// A file, plain.
#[derive(Clone, Debug)]
pub(crate) struct File {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// The facts it has to leave, where the bench made it and so knows.
    pub(crate) facts: Option<u32>,
}
