//! What Kafka and PostgreSQL reach without our programs, measured in the same run.

use std::path::Path;

use crate::{
    copy::{self, CopyRates},
    kafka_tools::{self, ConsumerRates, Setting},
    results::SORTED,
    scan::{self, ScanRates},
    servers::{Servers, folder},
    workload::Workload,
};

/// Records or rows a second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ceilings {
    /// The sorted file, read and discarded.
    pub(crate) scan: ScanRates,
    /// Kafka's producer tool as it ships.
    pub(crate) producer: f64,
    /// The same, tuned.
    pub(crate) producer_tuned: f64,
    /// Kafka's consumer tool on the topic that our consumer read.
    pub(crate) consumer: ConsumerRates,
    /// COPY of the rows that our consumer stored.
    pub(crate) copy: CopyRates,
}

/// Measures them all, one after another.
///
/// # Errors
/// When a tool fails.
pub(crate) async fn measure(
    workload: &Workload,
    file: &Path,
    records: u32,
    servers: &Servers,
) -> anyhow::Result<Ceilings> {
    let path = file.to_path_buf();
    let scan = tokio::task::spawn_blocking(move || scan::measure(&path)).await??;
    let payloads = folder().join("payloads.json");
    kafka_tools::sample(servers, SORTED, records, &payloads).await?;
    let producer = kafka_tools::produce(servers, Setting::Untuned, records, &payloads).await?;
    let producer_tuned = kafka_tools::produce(servers, Setting::Tuned, records, &payloads).await?;
    let consumer = kafka_tools::consume(servers, SORTED, records).await?;
    let copy =
        copy::measure(servers, SORTED, &format!("{}_segments", workload.pipeline), &folder().join("copy")).await?;
    Ok(Ceilings { scan, producer, producer_tuned, consumer, copy })
}
