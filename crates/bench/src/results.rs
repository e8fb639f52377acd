//! The results: the real binaries on each input, one after another, and what each run cost.

use std::path::Path;

use anyhow::ensure;

use crate::{
    env::{Env, PARTITIONS, Run, Transfer},
    kafka_tools,
    servers::{Servers, folder},
    workload::{Counts, Input, Workload},
    writes::Writes,
};

/// The large input in order: its topic and database; the ceilings are measured on them too.
pub(crate) const SORTED: &str = "bench_sorted";
/// The small input is sent three times, each to its own topic and database: one run of half a second shows little.
const SMALL: [&str; 3] = ["bench_small_1", "bench_small_2", "bench_small_3"];
const SHUFFLED: &str = "bench_shuffled";

/// All runs, in their order.
#[derive(Clone, Debug)]
pub(crate) struct Results {
    pub(crate) small: Vec<Transfer>,
    pub(crate) sorted: Transfer,
    /// The same file a second time: every record is read, and brings nothing new.
    pub(crate) again: Transfer,
    /// The rows that storing it again wrote, by table.
    pub(crate) writes: Writes,
    /// The consumer once more, with nothing to read: it claims, loads and ends.
    pub(crate) restart: Run,
    /// Corrections of so many groups each, stored by a consumer that had refreshed everything before.
    pub(crate) changes: Vec<(u32, Transfer)>,
    pub(crate) shuffled: Option<Transfer>,
}

impl Results {
    /// What was sent and stored.
    pub(crate) fn counts(&self) -> Counts {
        let of = |run: &Run| (run.records, run.facts);
        Counts { sorted: of(&self.sorted.consumer), small: of(&self.typical_small().consumer) }
    }

    /// The small transfer whose consumer took neither the least time nor the most.
    pub(crate) fn typical_small(&self) -> &Transfer {
        let mut transfers: Vec<&Transfer> = self.small.iter().collect();
        transfers.sort_by_key(|transfer| transfer.consumer.cost.took);
        transfers[transfers.len() / 2]
    }
}

/// Sends and stores everything, with the programs of a folder or with those next to this one.
///
/// # Errors
/// When a program fails, or the tables do not contain what was sent.
pub(crate) async fn measure(
    workload: &Workload,
    input: &Input,
    servers: &Servers,
    programs: Option<&Path>,
) -> anyhow::Result<Results> {
    std::fs::create_dir_all(folder().join("logs"))?;
    let env = |name| Env { name, workload, servers, partitions: PARTITIONS, programs };
    let mut small = Vec::new();
    for name in SMALL {
        env(name).migrate().await?;
        small.push(env(name).transfer(&input.small, "first").await?);
    }
    let sorted_env = env(SORTED);
    sorted_env.migrate().await?;
    let sorted = sorted_env.transfer(&input.sorted, "first").await?;
    let before = Writes::so_far(sorted_env).await?;
    let again = sorted_env.transfer(&input.sorted, "again").await?;
    let writes = Writes::so_far(sorted_env).await?.since(&before);
    let restart = sorted_env.consume("restart").await?;
    let (records, facts) = (sorted.consumer.records, sorted.consumer.facts);
    ensure!(again.consumer.facts == facts, "the same file again grew the changelog to {}", again.consumer.facts);
    ensure!(again.consumer.records == records && restart.records == 0, "records were read twice or not at all");
    let mut changes = Vec::new();
    for change in &input.changes {
        let transfer = sorted_env.transfer(&change.file, &format!("{}-changed", change.groups)).await?;
        changes.push((change.groups, transfer));
    }
    let mut shuffled = None;
    if let Some(file) = &input.shuffled {
        env(SHUFFLED).migrate().await?;
        shuffled = Some(env(SHUFFLED).transfer(file, "first").await?);
    }
    Ok(Results { small, sorted, again, writes, restart, changes, shuffled })
}

/// Deletes the databases and all topics, so that another round finds none.
///
/// # Errors
/// When PostgreSQL or Kafka does not answer.
pub(crate) async fn clear(servers: &Servers) -> anyhow::Result<()> {
    for name in SMALL.into_iter().chain([SORTED, SHUFFLED]) {
        servers.drop_database(name).await?;
    }
    kafka_tools::delete_topics(servers).await
}
