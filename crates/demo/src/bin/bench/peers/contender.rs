//! Which programs run: ours, and the peers with their settings.

use std::{ffi::OsString, path::Path};

/// One program with its settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contender {
    /// The consumer with its defaults and `--until-end`.
    Ours,
    /// The plain loop: saves every batch.
    Loop,
    /// The same, saving at most every 5 seconds and at the end, as our refresh does.
    LoopSeldom,
    /// Bytewax without snapshots.
    Dataflow,
    /// Bytewax with them.
    DataflowRecovery,
}

impl Contender {
    /// In the order of a round; ours are what the others are compared with.
    pub(crate) const ALL: [Self; 5] =
        [Self::Ours, Self::Loop, Self::LoopSeldom, Self::Dataflow, Self::DataflowRecovery];

    /// The name in the report.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => "our consumer",
            Self::Loop => "plain loop, saving every batch",
            Self::LoopSeldom => "plain loop, saving every 5 s",
            Self::Dataflow => "Bytewax",
            Self::DataflowRecovery => "Bytewax with snapshots",
        }
    }

    /// The name in file names.
    pub(crate) fn slug(self) -> &'static str {
        match self {
            Self::Ours => "consumer",
            Self::Loop => "loop",
            Self::LoopSeldom => "loop-seldom",
            Self::Dataflow => "dataflow",
            Self::DataflowRecovery => "dataflow-recovery",
        }
    }

    /// The program in `peers/`, where it is a peer.
    pub(crate) fn script(self) -> Option<&'static str> {
        match self {
            Self::Ours => None,
            Self::Loop | Self::LoopSeldom => Some("loop.py"),
            Self::Dataflow | Self::DataflowRecovery => Some("dataflow.py"),
        }
    }

    /// A peer's arguments: a group that has read nothing yet, and the folder of snapshots.
    pub(crate) fn args(self, group: &str, snapshots: &Path) -> Vec<OsString> {
        match self {
            Self::Ours | Self::Dataflow => Vec::new(),
            Self::Loop => vec!["--group".into(), group.into()],
            Self::LoopSeldom => vec!["--group".into(), group.into(), "--save-every".into(), "5".into()],
            Self::DataflowRecovery => vec!["--recovery".into(), snapshots.into()],
        }
    }
}
