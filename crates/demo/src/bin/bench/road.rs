//! The road: the real binaries on each input, one after another, and what each run cost.

use anyhow::ensure;

use crate::{
    child::Cost,
    place::{Place, Run, Trip},
    servers::{Servers, folder},
    subject::{Input, Subject},
    writes::Writes,
};

/// The large input in order: its topic and database; the ceilings are measured on them too.
pub(crate) const SORTED: &str = "bench_sorted";
/// The small input is sent three times, each to a topic and a database of its own: one run of half a second tells little.
const SMALL: [&str; 3] = ["bench_small_1", "bench_small_2", "bench_small_3"];
const SHUFFLED: &str = "bench_shuffled";
/// The producer's own default.
pub(crate) const PARTITIONS: u32 = 6;

/// All runs, in their order.
#[derive(Clone, Debug)]
pub(crate) struct Road {
    pub(crate) small: Vec<Trip>,
    /// What making the schema for the sorted file cost.
    pub(crate) migrate: Cost,
    pub(crate) sorted: Trip,
    /// The same file a second time: every record is read, and tells nothing new.
    pub(crate) again: Trip,
    /// The rows that storing it again wrote, by table.
    pub(crate) writes: Writes,
    /// The consumer once more, with nothing to read: it claims, loads and ends.
    pub(crate) restart: Run,
    /// Corrections of so many groups each, stored by a consumer that had published everything before.
    pub(crate) changes: Vec<(u32, Trip)>,
    pub(crate) shuffled: Option<Trip>,
}

impl Road {
    /// The small trip whose consumer took neither the least time nor the most.
    pub(crate) fn typical_small(&self) -> &Trip {
        let mut trips: Vec<&Trip> = self.small.iter().collect();
        trips.sort_by_key(|trip| trip.consumer.cost.took);
        trips[trips.len() / 2]
    }
}

/// Sends and stores everything.
///
/// # Errors
/// When a program fails, or the tables do not hold what was sent.
pub(crate) async fn travel(subject: &Subject, input: &Input, servers: &Servers) -> anyhow::Result<Road> {
    std::fs::create_dir_all(folder().join("logs"))?;
    let place = |name| Place { name, subject, servers, partitions: PARTITIONS };
    let mut small = Vec::new();
    for name in SMALL {
        place(name).migrate().await?;
        small.push(place(name).trip(&input.small, "first").await?);
    }
    let sorted_place = place(SORTED);
    let migrate = sorted_place.migrate().await?;
    let sorted = sorted_place.trip(&input.sorted, "first").await?;
    let before = Writes::so_far(sorted_place).await?;
    let again = sorted_place.trip(&input.sorted, "again").await?;
    let writes = Writes::so_far(sorted_place).await?.since(&before);
    let restart = sorted_place.consume("restart").await?;
    let (records, facts) = (sorted.consumer.records, sorted.consumer.facts);
    ensure!(again.consumer.facts == facts, "the same file again grew the changelog to {}", again.consumer.facts);
    ensure!(again.consumer.records == records && restart.records == 0, "records were read twice or not at all");
    let mut changes = Vec::new();
    for change in &input.changes {
        let trip = sorted_place.trip(&change.file, &format!("{}-changed", change.groups)).await?;
        changes.push((change.groups, trip));
    }
    let mut shuffled = None;
    if let Some(file) = &input.shuffled {
        place(SHUFFLED).migrate().await?;
        shuffled = Some(place(SHUFFLED).trip(file, "first").await?);
    }
    Ok(Road { small, migrate, sorted, again, writes, restart, changes, shuffled })
}

/// Drops the databases, so that another round finds none; its topics go with those of the tools.
///
/// # Errors
/// When PostgreSQL does not answer.
pub(crate) async fn clear(servers: &Servers) -> anyhow::Result<()> {
    for name in SMALL.into_iter().chain([SORTED, SHUFFLED]) {
        servers.drop_database(name).await?;
    }
    Ok(())
}
