//! What the end-to-end tests need of a pipeline: a small made world, and a second opinion on what its records say.

pub(crate) mod emissions;
pub(crate) mod energy;
pub(crate) mod iot;
pub(crate) mod sensors;

use std::{collections::BTreeMap, fmt::Debug, sync::OnceLock};

use crate::env::Env;

/// A pipeline's data for the end-to-end tests. A test is generic over this, so it checks the same of every pipeline.
pub(crate) trait Dataset: Sized + 'static {
    /// The pipeline's name, as given to `--pipeline`.
    const PIPELINE: &'static str;
    /// The variables of producer and consumer.
    const SETTINGS: &'static [(&'static str, &'static str)] = &[];
    /// Options of a consumer that keeps all groups in memory.
    const IN_MEMORY: &'static [&'static str] = &[];
    /// The table that its facts are stored in.
    const SEGMENTS: &'static str;
    /// The view of what is known now.
    const FACTS: &'static str;
    /// The table of the groups' rows, which a refresh writes first.
    const GROUPS: &'static str;
    /// Everything else that a refresh may write.
    const DERIVED: &'static [&'static str];
    /// How many tables `consumer hash` covers.
    const HASHED: usize;
    /// The query for the name of each refreshed row, and when it last changed, microseconds since 1970; by name.
    const CHANGED_AT: &'static str;

    /// A row of the input.
    type Line: Clone + Debug + Send + Sync;
    /// What a fact is known under.
    type Key: Clone + Debug + Ord;
    /// What is known under it.
    type Known: Clone + Debug + PartialEq;

    /// The cell for the hash that every variant must lead to.
    fn reference() -> &'static OnceLock<String>;

    /// The world as first sent.
    fn world(seed: u64) -> Vec<Self::Line>;

    /// What a later file corrects, retracts and adds.
    fn corrections(first: &[Self::Line], seed: u64) -> Vec<Self::Line>;

    /// Whether the second of two rows replaces the first.
    fn same_key(one: &Self::Line, other: &Self::Line) -> bool;

    /// A correction of one fact, and the names, as in [`Self::CHANGED_AT`], of the rows that it may change.
    fn correction(first: &[Self::Line]) -> (Self::Line, &'static [&'static str]);

    /// The rows as the file that the producer reads.
    fn file(lines: &[Self::Line]) -> String;

    /// A row of the file that makes a message of more than so many bytes, compressed or not.
    fn large_row(bytes: usize) -> String;

    /// What separates the file's fields.
    const DELIMITER: char;

    /// A row's message key, as our producer gives it.
    fn message_key(line: &Self::Line) -> String;

    /// A row's message value, as any client may write it.
    fn message_value(line: &Self::Line) -> String;

    /// What a message value says, by the simplest program that can read it.
    fn said(value: &[u8]) -> Said<Self>;

    /// Whether this retracts what was known, and is not a fact.
    fn is_retraction(_known: &Self::Known) -> bool {
        false
    }

    /// The changelog, in the topic's order.
    fn changelog(env: &Env<Self>) -> Vec<Change<Self>>;

    /// The facts that are known now.
    fn facts(env: &Env<Self>) -> Facts<Self>;

    /// Asserts that the refreshed rows are those of the facts, counted again.
    fn check_rows(env: &Env<Self>, facts: &Facts<Self>);

    /// What has to be rejected or harmless.
    fn poison() -> Poison<Self>;
}

/// What a record says.
pub(crate) enum Said<D: Dataset> {
    /// A key of the pipeline, and what is known under it.
    Fact(D::Key, D::Known),
    /// Of something that the pipeline leaves out.
    Filtered,
    /// Nothing that can be used.
    Rejected,
}

/// All facts, by key.
pub(crate) type Facts<D> = BTreeMap<<D as Dataset>::Key, <D as Dataset>::Known>;

/// A changelog row: partition, offset, and the fact.
pub(crate) type Change<D> = (i32, i64, <D as Dataset>::Key, <D as Dataset>::Known);

/// What is to become of a poisonous value: a part of the reason for which it is rejected, or no reject.
pub(crate) type Expected = Option<&'static str>;

/// Values that no client of ours would send.
pub(crate) struct Poison<D: Dataset> {
    /// The values, in the order in which they are sent.
    pub(crate) values: Vec<(Vec<u8>, Expected)>,
    /// The facts that are left of those that only look like poison.
    pub(crate) left: Facts<D>,
}
