//! The results and their ceilings, in as many rounds as requested.
//!
//! In each round everything runs once, so that other load on the machine affects all of it. Figures that are compared
//! were measured in the same round.

use crate::{
    ceilings::{self, Ceilings},
    results::{self, Results},
    servers::Servers,
    spread::Spread,
    workload::{Input, Workload},
};

/// One round.
#[derive(Clone, Debug)]
pub(crate) struct Round {
    pub(crate) results: Results,
    pub(crate) ceilings: Ceilings,
}

/// Measures the results `repeat` times, each time on new topics and databases, which are deleted after it.
///
/// # Errors
/// When a program or a tool fails, or the tables do not contain what was sent.
pub(crate) async fn measure(
    workload: &Workload,
    input: &Input,
    servers: &Servers,
    repeat: u32,
) -> anyhow::Result<Vec<Round>> {
    let mut rounds = Vec::new();
    for round in 1..=repeat {
        if repeat > 1 {
            eprintln!("── round {round} of {repeat}");
        }
        let results = results::measure(workload, input, servers, None).await?;
        let ceilings =
            ceilings::measure(workload, &input.sorted.path, results.sorted.producer.records, servers).await?;
        rounds.push(Round { results, ceilings });
        results::clear(servers).await?;
    }
    Ok(rounds)
}

/// The spread of a figure over all rounds.
pub(crate) fn spread(rounds: &[Round], figure: impl Fn(&Round) -> f64) -> Spread {
    Spread::of(rounds.iter().map(figure))
}
