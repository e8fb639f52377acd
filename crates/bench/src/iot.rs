//! Iot: what windows cost with a row a reading, and without.

use crate::{
    env::{Env, PARTITIONS},
    sensors::{Step, clear, consume, simulate, steps_table, warm_up},
    servers::{Servers, folder},
    table::grouped,
    workload::Workload,
};

const WORKLOAD: Workload = Workload {
    pipeline: "iot",
    changelog: "iot_changelog",
    files: |_, _| anyhow::bail!("readings are simulated"),
    in_words: |_, _| String::new(),
};

/// Measures everything and writes the section.
///
/// # Errors
/// When a program fails.
pub(crate) async fn measure(servers: &Servers, readings: u32) -> anyhow::Result<String> {
    std::fs::create_dir_all(folder().join("logs"))?;
    warm_up(servers).await?;
    let mut steps: Vec<Step> = Vec::new();
    let runs: [(&'static str, &[&str], &str); 2] = [
        ("bench_iot", &["--no-raw-rows"], "consumer without a row a reading"),
        ("bench_iot_raw", &[], "consumer with a row a reading"),
    ];
    for (name, args, step) in runs {
        let env = Env { name, workload: &WORKLOAD, servers, partitions: PARTITIONS, programs: None };
        env.migrate().await?;
        let simulated = simulate(env, &[], readings, "simulator alone").await?;
        if steps.is_empty() {
            steps.push(simulated);
        }
        steps.push(consume(env, args, step).await?);
        steps.push(consume(env, args, "restart, nothing to read").await?);
        clear(env).await?;
    }
    Ok(format!("# Iot: {} readings of twenty devices, in order\n\n{}", grouped(readings.into()), steps_table(&steps)))
}
