//! What the bench has to know of a pipeline; servers, programs and ceilings are the same for all.

use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::{emissions, energy, rating::Rating, road::Road, rounds::Round, settings::Settings};

/// The pipelines that can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Choice {
    /// Countries and years.
    Emissions,
    /// A household's minutes.
    Energy,
}

impl Choice {
    /// What is known of it.
    pub(crate) fn subject(self) -> &'static Subject {
        match self {
            Self::Emissions => &emissions::SUBJECT,
            Self::Energy => &energy::SUBJECT,
        }
    }
}

/// A pipeline, as it is measured.
#[derive(Debug)]
pub(crate) struct Subject {
    /// Its name, as given to `--pipeline`.
    pub(crate) pipeline: &'static str,
    /// The table that its facts are appended to.
    pub(crate) changelog: &'static str,
    /// Makes the files that are not there yet, in a folder.
    pub(crate) files: fn(&Path, &Settings) -> anyhow::Result<Input>,
    /// What was sent, in words.
    pub(crate) in_words: fn(&Input, &Road) -> String,
    /// All targets that this input can tell of.
    pub(crate) ratings: fn(&Round) -> Vec<Rating>,
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
