//! Which programs run: ours, and the peers with their settings and what they promise.

use std::path::Path;

use testkit::process::Program;

/// A program with its settings; every one is a line of [`ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Contender {
    /// The name in the report.
    pub(crate) name: &'static str,
    /// The name in file names.
    pub(crate) slug: &'static str,
    /// What it stores, and how often each record counts when it is killed and started again.
    pub(crate) guarantee: &'static str,
    /// How it is started.
    pub(crate) start: Start,
    /// The file in `peers/` with the tables that it does not make itself.
    pub(crate) tables: Option<&'static str>,
    /// What is compared with ours.
    pub(crate) stores: Stores,
}

/// How a program is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// Our consumer with its defaults and `--until-end`.
    Ours,
    /// A program in `peers/` for the peers' Python, and its arguments; [`STATE`] stands for the folder of its state.
    Python(&'static str, &'static [&'static str]),
    /// A script in `peers/`, which reads all it needs from its environment.
    Script(&'static str),
}

/// What a program's database has after a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stores {
    /// The averages of every country.
    Averages,
    /// No averages; the query counts the countries' years.
    Rows(&'static str),
}

/// Stands for a folder in arguments.
const STATE: &str = "{state}";

/// As [`Stores::Rows`]: without the groups of countries, which are no countries, and each year once.
const YEARS: &str = r"SELECT count(*) FROM (SELECT DISTINCT iso_code, year FROM facts
    WHERE iso_code <> '' AND iso_code NOT LIKE 'OWID\_%') AS years";

/// In the order of a round; ours is first, and what the others are compared with.
pub(crate) const ALL: [Contender; 7] = [
    Contender {
        name: "our consumer",
        slug: "consumer",
        guarantee: "exactly once: facts with history, averages, clusters",
        start: Start::Ours,
        tables: None,
        stores: Stores::Averages,
    },
    Contender {
        name: "plain loop, saving every batch",
        slug: "loop",
        guarantee: "at least once: averages",
        start: Start::Python("loop.py", &[]),
        tables: None,
        stores: Stores::Averages,
    },
    Contender {
        name: "plain loop, saving every 5 s",
        slug: "loop-seldom",
        guarantee: "at least once: averages",
        start: Start::Python("loop.py", &["--save-every", "5"]),
        tables: None,
        stores: Stores::Averages,
    },
    Contender {
        name: "Bytewax",
        slug: "dataflow",
        guarantee: "starts over: averages",
        start: Start::Python("dataflow.py", &[]),
        tables: None,
        stores: Stores::Averages,
    },
    Contender {
        name: "Bytewax with snapshots",
        slug: "dataflow-recovery",
        guarantee: "state exactly once, upserts: averages",
        start: Start::Python("dataflow.py", &["--recovery", STATE]),
        tables: None,
        stores: Stores::Averages,
    },
    Contender {
        name: "Flink SQL",
        slug: "flink",
        guarantee: "state exactly once, upserts: averages",
        start: Start::Script("flink/run"),
        tables: Some("flink/tables.sql"),
        stores: Stores::Averages,
    },
    Contender {
        name: "faucet-stream",
        slug: "faucet",
        guarantee: "exactly once: rows",
        start: Start::Script("faucet/run"),
        tables: Some("faucet/tables.sql"),
        stores: Stores::Rows(YEARS),
    },
];

impl Contender {
    /// The program, with all but the addresses of the servers and the topic.
    ///
    /// # Errors
    /// When ours is not built.
    pub(crate) fn program(&self, python: &Path, state: &Path) -> anyhow::Result<Program> {
        let peer = |file: &str| testkit::repository().join("peers").join(file);
        Ok(match self.start {
            Start::Ours => Program::new("consumer")?.args(["--pipeline", "emissions", "--until-end"]),
            Start::Python(file, args) => {
                let args = args.iter().map(|arg| if *arg == STATE { state.into() } else { (*arg).into() });
                Program::at(self.slug, python).args([peer(file)]).args(args.collect::<Vec<std::ffi::OsString>>())
            }
            Start::Script(file) => {
                let java = std::env::var_os("JAVA_HOME").unwrap_or_default();
                Program::at(self.slug, &peer(file)).env("STATE", state).env("JAVA_HOME", java)
            }
        })
    }
}
