//! The road and its ceilings, as often as was asked for.
//!
//! In each round everything runs once, so that what else happens on the machine meets all of it, and what stands beside
//! each other was measured beside each other.

use crate::{
    ceilings::{self, Ceilings},
    kafka_tools,
    road::{self, Road},
    servers::Servers,
    spread::Spread,
    subject::{Input, Subject},
};

/// One round.
#[derive(Clone, Debug)]
pub(crate) struct Round {
    pub(crate) road: Road,
    pub(crate) ceilings: Ceilings,
}

/// Travels the road `repeat` times, each time on new topics and databases, which are gone after it.
///
/// # Errors
/// When a program or a tool fails, or the tables do not hold what was sent.
pub(crate) async fn travel(
    subject: &Subject,
    input: &Input,
    (servers, repeat): (&Servers, u32),
) -> anyhow::Result<Vec<Round>> {
    let mut rounds = Vec::new();
    for round in 1..=repeat {
        if repeat > 1 {
            eprintln!("── round {round} of {repeat}");
        }
        let road = road::travel(subject, input, servers).await?;
        let ceilings = ceilings::measure(subject, (&input.sorted.path, road.sorted.producer.records), servers).await?;
        rounds.push(Round { road, ceilings });
        road::clear(servers).await?;
        kafka_tools::delete_topics(servers).await?;
    }
    Ok(rounds)
}

/// A figure of all rounds.
pub(crate) fn spread(rounds: &[Round], figure: impl Fn(&Round) -> f64) -> Spread {
    Spread::of(rounds.iter().map(figure))
}
