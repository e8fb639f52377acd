use super::*;
use crate::pipeline::Changelog;

const LAST: LastRecord = LastRecord { offset: 9, timestamp_ms: 100, crc32: 7 };

fn feed() -> Feed {
    let changelog = Changelog { table: "changelog", columns: &[], key: &[] };
    Feed { pipeline: "test", topic: "topic".to_owned(), changelog }
}

fn stored(next_offset: Option<i64>, last: Option<LastRecord>) -> Stored {
    Stored {
        partition: 2,
        epoch: 5,
        next_offset,
        published_through: None,
        cluster_id: Some("a".to_owned()),
        last,
        max_timestamp_ms: 100,
        catching_up: false,
        last_id: 0,
        refreshed_id: 0,
    }
}

fn arrived(offset: i64, crc32: u32) -> Arrived {
    Arrived { offset, timestamp_ms: 100, crc32 }
}

#[test]
fn where_reading_begins() {
    let check = |stored: Stored, kafka, cluster: &str| match start(&feed(), &stored, kafka, Some(cluster)) {
        Ok(start) => format!("at {}{}", start.offset, if start.checked { ", compared" } else { "" }),
        Err(error) => error.to_string().split(';').next().unwrap_or_default().to_owned(),
    };
    assert_eq!(check(stored(None, None), (3, 8), "a"), "at 3");
    assert_eq!(check(stored(Some(10), Some(LAST)), (0, 20), "a"), "at 9, compared");
    assert_eq!(check(stored(Some(10), Some(LAST)), (10, 10), "a"), "at 10");
    assert_eq!(check(stored(Some(10), None), (0, 10), "a"), "at 10");
    assert_eq!(
        check(stored(Some(10), Some(LAST)), (12, 20), "a"),
        "topic topic, partition 2: offsets 10 to 11 were removed by retention before they were read (2 records)"
    );
    assert_eq!(
        check(stored(Some(10), Some(LAST)), (0, 9), "a"),
        "topic topic, partition 2 is not the topic the stored offsets belong to: the next offset to read is 10, \
         and the topic ends at 9"
    );
    assert_eq!(
        check(stored(Some(10), Some(LAST)), (0, 20), "b"),
        "topic topic, partition 2 is not the topic the stored offsets belong to: they belong to the Kafka cluster \
         a, and this is b"
    );
}

fn resumed() -> Progress {
    Progress::new(&stored(Some(10), Some(LAST)), Start { offset: 9, checked: true, stable: 16 }).unwrap()
}

fn verdicts(mut progress: Progress, messages: &[Arrived]) -> Vec<String> {
    let verdict = |message: &Arrived| match progress.arrive(*message) {
        Verdict::Fold(at) => format!("fold {}", at.offset),
        other => format!("{other:?}"),
    };
    messages.iter().map(verdict).collect()
}

#[test]
fn the_record_read_last_is_compared_and_not_folded_again() {
    assert_eq!(verdicts(resumed(), &[arrived(9, 7), arrived(10, 1), arrived(12, 1)]), ["Skip", "fold 10", "fold 12"]);
    assert_eq!(
        verdicts(resumed(), &[arrived(9, 8)]),
        [r#"Changed("the record at offset 9 is not the one that was read there")"#]
    );
}

#[test]
fn a_record_that_is_gone_is_sought_once_more() {
    assert_eq!(verdicts(resumed(), &[arrived(11, 1), arrived(11, 1)]), ["Seek(9)", "fold 11"]);
    assert_eq!(verdicts(resumed(), &[arrived(11, 1), arrived(9, 7), arrived(10, 2)]), ["Seek(9)", "Skip", "fold 10"]);
}

#[test]
fn a_span_covers_what_was_read_and_the_next_begins_there() {
    let mut partitions = Partitions::default();
    partitions.insert(2, resumed());
    let read = |partitions: &mut Partitions, offset| {
        let progress = partitions.get_mut(2).unwrap();
        if matches!(progress.arrive(arrived(offset, 7)), Verdict::Fold(_)) {
            progress.count(Outcome::New);
        }
    };
    (9..12).for_each(|offset| read(&mut partitions, offset));
    let spans = |partitions: &mut Partitions| {
        let spans = partitions.seal();
        spans.iter().map(|s| (s.held, s.from, s.to, s.counts.read())).collect::<Vec<_>>()
    };
    assert_eq!(spans(&mut partitions), [(Some(10), 10, 12, 2)]);
    assert_eq!(spans(&mut partitions), []);
    read(&mut partitions, 14);
    assert_eq!(spans(&mut partitions), [(Some(12), 12, 15, 1)]);
    partitions.get_mut(2).unwrap().reach_end(16, Instant::now());
    assert_eq!(spans(&mut partitions), [(Some(15), 15, 16, 0)]);
    assert!(partitions.at_end());
}

#[test]
fn the_end_is_not_reached_while_records_are_behind_an_open_transaction() {
    let (began, ends) = (Instant::now(), BTreeMap::from([(2, 20)]));
    let mut partitions = Partitions::default();
    partitions.insert(2, resumed());
    let progress = |partitions: &mut Partitions| partitions.get_mut(2).unwrap().clone();
    let reach = |partitions: &mut Partitions, now| partitions.get_mut(2).unwrap().reach_end(20, now);
    reach(&mut partitions, began);
    assert_eq!((progress(&mut partitions).position(), partitions.reached(&ends)), (9, false));
    assert!(partitions.at_end(), "what can be read has been");
    assert_eq!(partitions.held_up(began), None, "it may be over in a moment");
    let later = began + ASK_AGAIN;
    let (partition, held_up) = partitions.held_up(later).unwrap();
    assert_eq!((partition, held_up.since, held_up.end, held_up.is_known), (2, began, 20, false));
    assert!(!partitions.get_mut(2).unwrap().learn(19));
    assert!(partitions.held_up(later + ASK_AGAIN).unwrap().1.is_known);
    // All can be read now; but what came since the end was reached has not been, until the end comes again.
    assert!(partitions.get_mut(2).unwrap().learn(23) && !partitions.reached(&ends));
    partitions.get_mut(2).unwrap().arrive(arrived(9, 7));
    partitions.get_mut(2).unwrap().arrive(arrived(17, 1));
    assert_eq!((partitions.held_up(later + 2 * ASK_AGAIN), partitions.reached(&ends)), (None, false));
    reach(&mut partitions, later);
    assert!(partitions.reached(&ends) && partitions.held_up(later + 2 * ASK_AGAIN).is_none());
    assert_eq!(progress(&mut partitions).position(), 20, "no further than the run is to go");
}

#[test]
fn time_never_goes_back_within_a_partition() {
    let mut progress = resumed();
    let stamp = |progress: &mut Progress, offset, timestamp_ms| match progress.arrive(Arrived {
        offset,
        timestamp_ms,
        crc32: 7,
    }) {
        Verdict::Fold(at) => at.stamp.timestamp_ms(),
        other => panic!("{other:?}"),
    };
    progress.arrive(arrived(9, 7));
    assert_eq!([stamp(&mut progress, 10, 500), stamp(&mut progress, 11, 400), stamp(&mut progress, 12, -1)], [500; 3]);
}
