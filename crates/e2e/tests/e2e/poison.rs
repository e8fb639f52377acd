//! Whatever a client may send is stored, or kept with its reason, byte for byte; the good rows next to it are unharmed.

use crate::{
    datasets::{Dataset, Expected, Facts, Poison, Said},
    env::Env,
    kafka::{self, Outgoing},
    oracle,
    report::saw,
};

/// What no pipeline takes.
fn values() -> Vec<(Option<Vec<u8>>, Expected)> {
    let bytes: [(&[u8], &'static str); 4] =
        [(b"", "not JSON"), (b"not json", "not JSON"), (b"null", "not JSON"), (b"[1,2]", "not JSON")];
    let mut values: Vec<_> = bytes.into_iter().map(|(value, why)| (Some(value.to_vec()), Some(why))).collect();
    values.push((Some((0..=255).collect()), Some("not UTF-8")));
    values.push((Some((0..128).collect()), Some("not JSON")));
    values.push((Some(vec![b'x'; 900_000]), Some("not JSON")));
    values.push((None, Some("the value is null")));
    values
}

/// Good and bad records in turns, and what is to become of the bad ones, by offset.
fn records<D: Dataset>(good: &[D::Line], poison: &Poison<D>) -> (Vec<Outgoing>, Vec<(i64, Expected)>) {
    let of_dataset = poison.values.iter().map(|(value, expected)| (Some(value.clone()), *expected));
    let poison = values().into_iter().chain(of_dataset);
    let keys = [None, Some(b"XZZ".to_vec()), Some(vec![]), Some((0..=255).collect::<Vec<u8>>())];
    let (mut sent, mut expected) = (Vec::new(), Vec::new());
    for (n, (value, reason)) in poison.enumerate() {
        let neighbour = &good[n * 3 % good.len()];
        for (key, value) in [
            (Some(D::message_key(neighbour).into_bytes()), Some(D::message_value(neighbour).into_bytes())),
            (keys[n % keys.len()].clone(), value),
        ] {
            sent.push(Outgoing { partition: Some(0), key, value, timestamp_ms: 1_700_000_000_000 });
        }
        expected.push((i64::try_from(sent.len()).unwrap() - 1, reason));
    }
    (sent, expected)
}

pub(crate) fn poison_is_kept_with_its_reason_and_harms_nobody<D: Dataset>() {
    let env = Env::<D>::new(1);
    let (poison, mut good) = (D::poison(), D::world(3));
    // A world may have rows that cannot be used; here nothing but the poison is to be rejected.
    good.retain(|line| !matches!(D::said(D::message_value(line).as_bytes()), Said::Rejected));
    let (sent, expected) = records(&good, &poison);
    env.send(&sent);
    env.consume(1);
    check_the_facts(&env, &expected, &poison.left);
    type Row = (i64, String, Option<Vec<u8>>, Option<Vec<u8>>, i64);
    let rejects: Vec<Row> =
        env.query(r#"SELECT "offset", reason, key, value, timestamp_ms FROM rejects ORDER BY "offset""#);
    let wanted: Vec<_> = expected.iter().filter_map(|(offset, reason)| Some((*offset, (*reason)?))).collect();
    assert_eq!(rejects.iter().map(|row| row.0).collect::<Vec<_>>(), wanted.iter().map(|row| row.0).collect::<Vec<_>>());
    for ((offset, reason, key, value, timestamp_ms), (_, part)) in rejects.into_iter().zip(wanted) {
        let original = &sent[usize::try_from(offset).unwrap()];
        assert!(reason.contains(part) && reason.len() < 300, "{reason} should say: {part}");
        assert_eq!((&key, &value), (&original.key, &original.value), "{reason}");
        assert_eq!(timestamp_ms, original.timestamp_ms);
    }
    // Nothing of it jams the pipeline: what follows is carried, and a restart reads on.
    env.produce(&good);
    env.consume(1);
    check_the_facts(&env, &expected, &poison.left);
    assert_eq!(env.facts().len(), oracle::facts_in::<D>(&good) + poison.left.len());
    D::check_rows(&env, &env.facts());
    let clean = without_the_rejected::<D>(&sent, &expected);
    clean.produce(&good);
    clean.consume(1);
    assert_eq!(env.hash(), clean.hash());
    let rejected = expected.iter().filter(|(_, reason)| reason.is_some()).count();
    saw(format!("{rejected} rejected with reason and bytes; facts, accounting and hash as without them"));
}

/// An environment with the same records except those that are to be rejected.
fn without_the_rejected<D: Dataset>(sent: &[Outgoing], expected: &[(i64, Expected)]) -> Env<D> {
    let rejected = |offset| expected.iter().any(|(other, reason)| *other == offset && reason.is_some());
    let kept = (0..).zip(sent).filter(|(offset, _)| !rejected(*offset)).map(|(_, record)| record.clone());
    let env = Env::<D>::new(1);
    env.send(&kept.collect::<Vec<_>>());
    env
}

/// Asserts that the accounting adds up, and that the facts are those of the good rows and what is left of the poison.
fn check_the_facts<D: Dataset>(env: &Env<D>, poisoned: &[(i64, Expected)], left: &Facts<D>) {
    let mut held = env.held();
    env.check_counts(&held);
    held.retain(|record| poisoned.iter().all(|(offset, _)| *offset != record.offset));
    let mut expected = oracle::facts::<D>(&held);
    expected.extend(left.clone());
    assert_eq!(env.facts(), expected);
}

/// Two megabytes, where a topic takes them.
pub(crate) fn a_large_value_is_kept_too<D: Dataset>() {
    let Some(brokers) = kafka::real::<D>("a large value is kept too") else { return };
    let env = Env::<D>::without_topic(brokers);
    env.brokers.create_topic(&env.topic, 1, &[("max.message.bytes", "4000000")]);
    let good = D::world(3);
    env.produce(&good);
    let large = vec![b'x'; 2_000_000];
    let record = Outgoing { value: Some(large.clone()), timestamp_ms: 1_700_000_000_000, ..Outgoing::default() };
    kafka::send(kafka::client(env.brokers.bootstrap()).set("message.max.bytes", "4000000"), &env.topic, &[record]);
    env.produce(&good);
    env.consume(1);
    let kept: Vec<(Vec<u8>,)> = env.query("SELECT value FROM rejects WHERE length(value) > 1000000");
    assert_eq!(kept, [(large,)]);
    env.check_changelog();
    saw("2 MB kept byte for byte, changelog right");
}
