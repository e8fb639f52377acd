//! A batch is stored whole, once, and by the partition's owner only.

use crate::{
    core::{
        check::{KeyMoved, Refusal},
        jobs::JobOutcome,
    },
    postgres::commit,
    tests::consumer::{Consumer, SHARD, Tables, message, stored},
};

fn row(owner: i32, partition: i32, offset: i64, fact: &str) -> (i32, i32, i64, String) {
    (owner, partition, offset, fact.to_owned())
}

#[tokio::test]
async fn a_batch_is_stored_once_however_often_it_is_committed() {
    let tables = Tables::create().await;
    let mut consumer = Consumer::start(&tables, &[0]).await;
    let mut batch = consumer.batch(0, 0, &["0 1 5", "0 1 5", "1 1 6", "0 1 7", "aggregate", "poison"]);
    for _ in 0..3 {
        assert_eq!(consumer.commit(&mut batch).await, Ok(()));
    }
    assert_eq!(tables.changelog().await, [row(0, 0, 0, "0 1 5"), row(0, 0, 2, "1 1 6"), row(0, 0, 3, "0 1 7")]);
    let counts: Vec<(i64, i64, i64, i64, i64, i64)> =
        tables.query("SELECT read, new, unchanged, corrected, filtered, rejected FROM ingest_accounting").await;
    assert_eq!(counts, [(6, 2, 1, 1, 1, 1)]);
    assert_eq!(tables.accounting().await, [(0, 6, 6)]);
}

#[tokio::test]
async fn an_older_claim_can_neither_commit_nor_refresh() {
    let tables = Tables::create().await;
    let mut old = Consumer::start(&tables, &[0, 1]).await;
    old.carry(0, 0, &["0 1 5"]).await.unwrap();
    let mut unsent = old.batch(1, 0, &["2 1 5"]);
    let mut new = Consumer::start(&tables, &[1]).await;
    let fenced = Refusal::Fenced { partition: 1, epoch: 2 };
    assert_eq!(old.commit(&mut unsent).await, Err(fenced.clone()));
    assert_eq!(new.carry(1, 0, &["2 1 6"]).await, Ok(()));
    assert_eq!(old.refresh().await, Err(fenced), "idle, and none of its facts is lost");
    assert_eq!(tables.groups().await, []);
    assert_eq!(new.refresh().await, Ok(()));
    assert_eq!(tables.groups().await, [("g2".to_owned(), "1=6".to_owned())]);
    assert_eq!(tables.changelog().await, [row(0, 0, 0, "0 1 5"), row(1, 1, 0, "2 1 6")]);
}

#[tokio::test]
async fn a_refresh_waits_for_no_other_and_is_refused_once_another_has_claimed() {
    let tables = Tables::create().await;
    let mut old = Consumer::start(&tables, &[0]).await;
    old.carry(0, 0, &["0 1 5"]).await.unwrap();
    let mut holder = tables.connect().await;
    let lock = "SELECT pg_advisory_lock(hashtextextended('refresh tiny', 0))";
    sqlx::raw_sql(lock).execute(&mut holder).await.unwrap();
    let mut refresh = old.next_refresh();
    assert_eq!(old.refresh_parts(&mut refresh).await, [(SHARD, JobOutcome::Void)]);
    let mut new = Consumer::start(&tables, &[0]).await;
    sqlx::raw_sql("SELECT pg_advisory_unlock_all()").execute(&mut holder).await.unwrap();
    let fenced = Refusal::Fenced { partition: 0, epoch: 2 };
    assert_eq!(old.refresh_parts(&mut refresh).await, [(SHARD, JobOutcome::Refused(fenced))]);
    assert_eq!(new.refresh().await, Ok(()));
    assert_eq!(tables.groups().await, [("g0".to_owned(), "1=5".to_owned())]);
}

#[tokio::test]
async fn what_is_refused_of_one_shard_leaves_that_of_another() {
    let tables = Tables::create().await;
    let mut here = Consumer::start(&tables, &[0]).await;
    let mut there = Consumer::start(&tables, &[1]).await;
    // One consumer has both, as two shards; the second one's partition is claimed by another.
    let mut batch = here.batch(0, 0, &["0 1 5"]);
    batch.parts.extend(there.batch(1, 0, &["2 1 6"]).parts);
    batch.parts[1].shard = 2;
    let mut refresh = here.next_refresh();
    let other = there.next_refresh();
    refresh.add(2, other.rows, other.parts[0].to.clone(), None);
    let mut new = Consumer::start(&tables, &[1]).await;
    let fenced = Refusal::Fenced { partition: 1, epoch: 2 };
    let committed = commit::commit(&mut here.session, std::slice::from_mut(&mut batch)).await.unwrap();
    assert_eq!(committed, [(SHARD, stored(vec![(0, 1)])), (2, JobOutcome::Refused(fenced.clone()))]);
    let to = refresh.parts[0].to.clone();
    assert_eq!(
        here.refresh_parts(&mut refresh).await,
        [(SHARD, JobOutcome::Stored(to)), (2, JobOutcome::Refused(fenced))]
    );
    assert_eq!(tables.groups().await, [("g0".to_owned(), "1=5".to_owned())]);
    assert_eq!(new.carry(1, 0, &["2 1 6"]).await, Ok(()));
    assert_eq!(tables.changelog().await, [row(0, 0, 0, "0 1 5"), row(1, 1, 0, "2 1 6")]);
}

#[tokio::test]
async fn two_shards_that_bring_the_same_new_key_do_not_both_get_it() {
    let tables = Tables::create().await;
    let mut here = Consumer::start(&tables, &[0]).await;
    let mut there = Consumer::start(&tables, &[1]).await;
    let mut batch = here.batch(0, 0, &["0 1 5"]);
    // Groups 0 and 1 share a partition key.
    batch.parts.extend(there.batch(1, 0, &["4 1 1", "1 1 6"]).parts);
    batch.parts[1].shard = 2;
    let moved = Refusal::KeyMoved(KeyMoved { key: "r0".to_owned(), owner: 0, partition: 1 });
    for _ in 0..2 {
        let committed = commit::commit(&mut here.session, std::slice::from_mut(&mut batch)).await.unwrap();
        assert_eq!(committed, [(SHARD, stored(vec![(0, 1)])), (2, JobOutcome::Refused(moved.clone()))]);
    }
    assert_eq!(tables.changelog().await, [row(0, 0, 0, "0 1 5")]);
    let keys: Vec<(String, i32)> = tables.query("SELECT key, partition FROM key_partitions").await;
    assert_eq!(keys, [("r0".to_owned(), 0)], "what was refused registers no key");
}

#[tokio::test]
async fn a_row_is_not_stored_for_an_owner_that_another_has_claimed() {
    let tables = Tables::create().await;
    let mut old = Consumer::start(&tables, &[0, 1]).await;
    old.carry(0, 0, &["0 1 5"]).await.unwrap();
    // A record of group 0 comes from partition 1, and partition 0 goes to another before it is stored.
    let mut late = old.batch(1, 0, &["0 1 6"]);
    let mut new = Consumer::start(&tables, &[0]).await;
    assert_eq!(old.commit(&mut late).await, Err(Refusal::Fenced { partition: 0, epoch: 2 }));
    new.refresh().await.unwrap();
    assert_eq!(tables.changelog().await, [row(0, 0, 0, "0 1 5")]);
}

#[tokio::test]
async fn a_refresh_that_is_owed_is_made_by_the_next_owner() {
    let tables = Tables::create().await;
    let mut old = Consumer::start(&tables, &[0, 1]).await;
    old.carry(0, 0, &["0 1 5", "2 1 4"]).await.unwrap();
    assert_eq!(old.refresh().await, Ok(()));
    // A record of group 0, which belongs to partition 0, comes from partition 1; before the next refresh, partition 0
    // moves.
    old.carry(1, 0, &["0 1 6"]).await.unwrap();
    let mut new = Consumer::start(&tables, &[0]).await;
    assert_eq!(new.next_refresh().rows, [("g0".to_owned(), "1=6".to_owned())], "exactly what is owed");
    let mut new = Consumer::start(&tables, &[0]).await;
    assert_eq!(new.refresh().await, Ok(()));
    assert_eq!(tables.groups().await, [("g0".to_owned(), "1=6".to_owned()), ("g2".to_owned(), "1=4".to_owned())]);
    let mut newest = Consumer::start(&tables, &[0]).await;
    assert_eq!(newest.next_refresh().rows, [], "nothing is owed any more");
}

#[tokio::test]
async fn lost_commits_are_noticed() {
    let tables = Tables::create().await;
    let mut consumer = Consumer::start(&tables, &[0]).await;
    consumer.carry(0, 0, &["0 1 5", "0 2 5"]).await.unwrap();
    // As after the database was restored from an older copy.
    sqlx::raw_sql("UPDATE stream_offsets SET next_offset = 1").execute(&mut tables.connect().await).await.unwrap();
    let lost = Refusal::Lost { partition: 0, stored: Some(1) };
    assert_eq!(consumer.carry(0, 2, &["0 3 5"]).await, Err(lost.clone()));
    assert_eq!(consumer.refresh().await, Err(lost));
}

#[tokio::test]
async fn a_partition_key_that_belongs_elsewhere_is_named_and_nothing_is_stored() {
    let tables = Tables::create().await;
    let mut here = Consumer::start(&tables, &[0]).await;
    let mut there = Consumer::start(&tables, &[1]).await;
    here.carry(0, 0, &["0 1 5"]).await.unwrap();
    // Groups 0 and 1 share a partition key.
    let moved = Err(Refusal::KeyMoved(KeyMoved { key: "r0".to_owned(), owner: 0, partition: 1 }));
    assert_eq!(there.carry(1, 0, &["4 1 1", "1 1 6"]).await, moved);
    assert_eq!(tables.changelog().await, [row(0, 0, 0, "0 1 5")]);
    // A consumer that owns both partitions can store it.
    let mut both = Consumer::start(&tables, &[0, 1]).await;
    assert_eq!(both.carry(1, 0, &["4 1 1", "1 1 6", "0 1 7"]).await, Ok(()));
    let stored = tables.changelog().await;
    assert_eq!(stored[1..], [row(1, 1, 0, "4 1 1"), row(0, 1, 1, "1 1 6"), row(0, 1, 2, "0 1 7")]);
}

#[tokio::test]
async fn a_reject_is_kept_byte_for_byte() {
    let tables = Tables::create().await;
    let mut consumer = Consumer::start(&tables, &[0]).await;
    let all: Vec<u8> = (0..=255).collect();
    let values = [Some(&all[..]), None, Some(&[][..]), Some(b"a\0b"), Some("0 nul\0 1".as_bytes())];
    for (offset, value) in (0..).zip(values) {
        consumer.take(&message(0, offset, value));
    }
    let mut batch = consumer.take_batch();
    assert_eq!(consumer.commit(&mut batch).await, Ok(()));
    type Row = (String, i32, i64, i64, String, Option<Vec<u8>>, Option<Vec<u8>>);
    let kept: Vec<Row> = tables
        .query(r#"SELECT topic, partition, "offset", timestamp_ms, reason, key, value FROM rejects ORDER BY "offset""#)
        .await;
    let reasons = ["not UTF-8", "the value is null", "not three numbers: ", "not three numbers: a\u{fffd}b"];
    let reasons = reasons.into_iter().chain(["not three numbers: 0 nul\u{fffd} 1"]);
    let sent = (0..).zip(values).zip(reasons).map(|((offset, value), reason)| {
        let sent = message(0, offset, value);
        let (key, value) = (sent.key.map(<[u8]>::to_vec), sent.value.map(<[u8]>::to_vec));
        ("t".to_owned(), 0, offset, 1_000 + offset, reason.to_owned(), key, value)
    });
    assert_eq!(kept, sent.collect::<Vec<Row>>());
}

#[tokio::test]
async fn the_next_owner_finds_all_that_was_stored_and_nothing_else() {
    let tables = Tables::create().await;
    let mut first = Consumer::start(&tables, &[0, 1]).await;
    first.carry(0, 0, &["0 3 5", "0 1 5", "2 1 4"]).await.unwrap();
    first.carry(1, 10, &["0 1 6", "6 1 1"]).await.unwrap();
    first.carry(0, 3, &["0 3 8"]).await.unwrap();
    first.batch(0, 4, &["0 9 9"]);
    let mut second = Consumer::start(&tables, &[0]).await;
    let rows: Vec<(String, String)> = second.next_refresh().rows;
    let expected = [("g0", "1=6 3=8"), ("g2", "1=4")].map(|(group, facts)| (group.to_owned(), facts.to_owned()));
    assert_eq!(rows, expected);
}
