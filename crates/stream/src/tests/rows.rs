//! The changelog of columns against one of rows: the same facts, written as a row each by this test, are what the view shows, and
//! a load from either gives the same memory.

use std::collections::BTreeMap;

use proptest::{prelude::*, strategy::ValueTree as _, test_runner::TestRunner};
use sqlx::{Connection, PgConnection};

use crate::{
    Decoded, Pipeline,
    core::{
        batch::Changes,
        group_loader::GroupLoader,
        groups::Groups,
        offsets::{Position, Version},
        segments::ID_SHIFT,
    },
    pipeline::Residency,
    postgres::changelog::{self, Read},
    tests::{
        consumer::{Tables, key_rows},
        tiny::{Group, Row, Tiny},
    },
};

/// What happens: a record (group, key, value, partition, milliseconds later), or something else.
#[derive(Clone, Debug)]
enum Step {
    Record(i16, i16, i64, u16, i64),
    /// A batch ends, is stored by a try that is rolled back, and then by one that is not.
    Retry,
    /// A batch ends and is stored.
    Commit,
    /// The facts of a partition key move to another owner partition, as `consumer repartition` does it.
    Repartition(i16, u16),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let record = (0..4_i16, 0..4_i16, -1..3_i64, 0..3_u16, 0..3_i64);
    let step = prop_oneof![
        12 => record.prop_map(|(group, key, value, partition, later)| Step::Record(group, key, value, partition, later)),
        1 => Just(Step::Retry),
        1 => Just(Step::Commit),
        1 => (0..4_i16, 0..3_u16).prop_map(|(group, owner)| Step::Repartition(group, owner)),
    ];
    prop::collection::vec(step, 1..80)
}

/// A fact as a row: batch, owner partition, partition, offset, timestamp, group, key, value.
type FactRow = (i64, i32, i32, i64, i64, i16, i16, i64);

/// A consumer's memory, its batch, and the rows that the oracle writes of the same facts.
struct Both {
    groups: Groups<Tiny>,
    batch: Changes,
    number: i64,
    /// The facts that are in the batch at hand, in the order they came.
    in_batch: Vec<(u16, Position, i16, i16, i64)>,
    /// Those that are stored.
    rows: Vec<FactRow>,
    /// The last record of each key, by time and partition, be it stored or not.
    known: BTreeMap<(i16, i16), (Version, i64)>,
    owners: BTreeMap<String, i32>,
    now: i64,
    offsets: [i64; 3],
}

impl Both {
    fn new() -> Self {
        Self {
            groups: Groups::default(),
            batch: Changes::new(&Tiny::CHANGELOG),
            number: 0,
            in_batch: Vec::new(),
            rows: Vec::new(),
            known: BTreeMap::new(),
            owners: BTreeMap::new(),
            now: 1_000,
            offsets: [0; 3],
        }
    }

    async fn step(&mut self, connection: &mut PgConnection, step: &Step) {
        match *step {
            Step::Record(group, key, value, partition, later) => {
                self.now += later;
                let offset = &mut self.offsets[usize::from(partition)];
                *offset += 1;
                let at = Position { version: Version::new(self.now, partition), offset: *offset };
                let message = format!("{group} {key} {value}");
                let Decoded::Record(record) = Tiny::default().read(None, message.as_bytes()) else {
                    panic!("{message}")
                };
                let partition_key = Tiny::partition_key(&Group(group));
                let owner = *self.owners.entry(partition_key).or_insert(partition.into());
                let known = self.known.entry((group, key)).or_insert((at.version, value));
                if known.0 <= at.version {
                    *known = (at.version, value);
                }
                let before = self.batch.facts();
                self.groups.apply(&Tiny::default(), &record, at, &mut self.batch);
                if self.batch.facts() > before {
                    self.in_batch.push((u16::try_from(owner).unwrap(), at, group, key, value));
                }
            }
            Step::Commit => self.store(connection, 1).await,
            Step::Retry => self.store(connection, 2).await,
            Step::Repartition(group, owner) => self.repartition(connection, group, owner).await,
        }
    }

    /// Stores the batch; of several tries only the last is not rolled back.
    async fn store(&mut self, connection: &mut PgConnection, tries: u32) {
        self.number += 1;
        let mut batch = std::mem::replace(&mut self.batch, Changes::new(&Tiny::CHANGELOG));
        batch.number(self.number, 0);
        for left in (0..tries).rev() {
            let mut tx = connection.begin().await.unwrap();
            changelog::append(&mut tx, &Tiny::CHANGELOG, &[batch.rows()]).await.unwrap();
            if left > 0 {
                tx.rollback().await.unwrap();
            } else {
                tx.commit().await.unwrap();
            }
        }
        let number = self.number;
        let row = |(owner, at, group, key, value): (u16, Position, i16, i16, i64)| {
            let (partition, timestamp_ms) = (at.version.partition(), at.version.timestamp_ms());
            (number, owner.into(), partition.into(), at.offset, timestamp_ms, group, key, value)
        };
        self.rows.extend(self.in_batch.drain(..).map(row));
    }

    async fn repartition(&mut self, connection: &mut PgConnection, group: i16, owner: u16) {
        self.store(connection, 1).await;
        let partition_key = Tiny::partition_key(&Group(group));
        if self.owners.get(&partition_key).is_none_or(|now| *now == i32::from(owner)) {
            return;
        }
        for ((group, key), (version, value)) in &self.known {
            if Tiny::partition_key(&Group(*group)) == partition_key {
                self.in_batch.push((owner, Position { version: *version, offset: -1 }, *group, *key, *value));
            }
        }
        for group in [group & !1, group | 1] {
            self.groups.change_owner(&Group(group), owner, &mut self.batch);
        }
        self.owners.insert(partition_key, owner.into());
        self.store(connection, 1).await;
    }
}

/// The fact that is known of each key: the one of the greatest time and partition, of those the last.
fn latest(rows: &[FactRow]) -> BTreeMap<(i16, i16), FactRow> {
    let mut latest: BTreeMap<(i16, i16), FactRow> = BTreeMap::new();
    for row in rows {
        let known = latest.entry((row.5, row.6)).or_insert(*row);
        if (known.4, known.2) <= (row.4, row.2) {
            *known = *row;
        }
    }
    latest
}

/// What a group's facts are, in words, as the pipeline computes it.
fn groups_of(rows: &[FactRow]) -> Vec<Row> {
    let mut groups: BTreeMap<i16, Vec<String>> = BTreeMap::new();
    for ((group, key), row) in latest(rows) {
        let facts = groups.entry(group).or_default();
        if row.7 >= 0 {
            facts.push(format!("{key}={}", row.7));
        }
    }
    groups.into_iter().map(|(group, facts)| (format!("g{group}"), facts.join(" "))).collect()
}

async fn load(connection: &mut PgConnection, owners: &BTreeMap<String, i32>) -> Groups<Tiny> {
    let mut loader = GroupLoader::new(Residency::Memory, &[vec![0, 1, 2]], &[], &key_rows(owners.clone())).unwrap();
    changelog::read::<sqlx::Error>(connection, &Tiny::CHANGELOG, Read::WithoutOffsets, "true", |piece| {
        Ok(loader.push(piece)?)
    })
    .await
    .unwrap();
    loader.finish().remove(0)
}

#[tokio::test]
async fn the_view_shows_the_rows_and_a_load_gives_the_memory() {
    let tables = Tables::create().await;
    let mut connection = tables.connect().await;
    let mut runner = TestRunner::deterministic();
    for _ in 0..60 {
        let steps = steps().new_tree(&mut runner).unwrap().current();
        sqlx::raw_sql("TRUNCATE tiny_segments").execute(&mut connection).await.unwrap();
        let mut both = Both::new();
        for step in &steps {
            both.step(&mut connection, step).await;
        }
        both.store(&mut connection, 1).await;
        let select = r#"SELECT id, owner_partition, partition, "offset", timestamp_ms, grp, key, value FROM tiny_changelog ORDER BY id"#;
        let shown: Vec<FactRow> = sqlx::query_as(select).fetch_all(&mut connection).await.unwrap();
        assert!(shown.windows(2).all(|pair| pair[0].0 < pair[1].0), "an id twice: {steps:?}");
        // Facts that a batch brought from one partition to one owner partition are in the order they came.
        let mut shown: Vec<FactRow> = shown
            .into_iter()
            .map(|(id, owner, partition, offset, time, group, key, value)| {
                (id >> ID_SHIFT, owner, partition, offset, time, group, key, value)
            })
            .collect();
        let mut rows = both.rows.clone();
        for facts in [&mut shown, &mut rows] {
            facts.sort_by_key(|fact| (fact.0, fact.1, fact.2));
        }
        assert_eq!(shown, rows, "{steps:?}");
        let loaded = load(&mut connection, &both.owners).await;
        assert_eq!(loaded.rows(&Tiny::default()), groups_of(&both.rows), "{steps:?}");
        assert_eq!(both.groups.rows(&Tiny::default()), groups_of(&both.rows), "{steps:?}");
        assert_eq!((loaded.facts(), loaded.len()), (both.groups.facts(), both.groups.len()), "{steps:?}");
    }
}
