use super::*;

const LAST: LastRecord = LastRecord { offset: 9, timestamp_ms: 100, crc32: 7 };

fn feed() -> Feed {
    Feed { name: "test", topic: "topic".to_owned(), cluster_id: None }
}

fn stored(next_offset: Option<i64>, last: Option<LastRecord>) -> PartitionRow {
    PartitionRow {
        partition: 2,
        epoch: 5,
        next_offset,
        cluster_id: Some("a".to_owned()),
        last,
        max_timestamp_ms: 100,
        ..PartitionRow::default()
    }
}

fn arrived(offset: i64, crc32: u32) -> Arrived {
    Arrived { offset, timestamp_ms: 100, crc32 }
}

#[test]
fn where_reading_begins() {
    let feed = |cluster: &str| Feed { cluster_id: Some(cluster.to_owned()), ..feed() };
    let check = |stored: PartitionRow, kafka, cluster: &str| match start(&feed(cluster), &stored, kafka) {
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

fn resumed() -> Cursor {
    Cursor::new(&stored(Some(10), Some(LAST)), Start { offset: 9, checked: true, stable: 16 }, 1).unwrap()
}

fn verdicts(mut cursor: Cursor, messages: &[Arrived]) -> Vec<String> {
    let verdict = |message: &Arrived| match cursor.accept(*message) {
        Verdict::Apply(at) => format!("apply {}", at.offset),
        other => format!("{other:?}"),
    };
    messages.iter().map(verdict).collect()
}

#[test]
fn the_record_read_last_is_compared_and_not_applied_again() {
    assert_eq!(verdicts(resumed(), &[arrived(9, 7), arrived(10, 1), arrived(12, 1)]), ["Skip", "apply 10", "apply 12"]);
    assert_eq!(
        verdicts(resumed(), &[arrived(9, 8)]),
        [r#"OtherRecord("the record at offset 9 is not the one that was read there")"#]
    );
}

#[test]
fn a_record_that_is_gone_is_fetched_once_more() {
    assert_eq!(verdicts(resumed(), &[arrived(11, 1), arrived(11, 1)]), ["FetchFrom(9)", "apply 11"]);
    assert_eq!(
        verdicts(resumed(), &[arrived(11, 1), arrived(9, 7), arrived(10, 2)]),
        ["FetchFrom(9)", "Skip", "apply 10"]
    );
}

#[test]
fn a_range_covers_what_was_read_and_the_next_begins_there() {
    let mut cursors = Cursors::default();
    cursors.insert(2, resumed());
    let read = |cursors: &mut Cursors, offset| {
        let cursor = cursors.get_mut(2).unwrap();
        if matches!(cursor.accept(arrived(offset, 7)), Verdict::Apply(_)) {
            cursor.count(Outcome::New);
        }
    };
    (9..12).for_each(|offset| read(&mut cursors, offset));
    let ranges = |cursors: &mut Cursors| {
        let ranges = cursors.take_ranges();
        ranges.iter().map(|r| (r.expected, r.start, r.end, r.counts.read())).collect::<Vec<_>>()
    };
    assert_eq!(ranges(&mut cursors), [(Some(10), 10, 12, 2)]);
    assert_eq!(ranges(&mut cursors), []);
    read(&mut cursors, 14);
    assert_eq!(ranges(&mut cursors), [(Some(12), 12, 15, 1)]);
    cursors.get_mut(2).unwrap().reach_end(16, Instant::now());
    assert_eq!(ranges(&mut cursors), [(Some(15), 15, 16, 0)]);
    assert!(cursors.at_end());
}

#[test]
fn the_end_is_not_reached_while_records_are_behind_an_open_transaction() {
    let (began, ends) = (Instant::now(), BTreeMap::from([(2, 20)]));
    let mut cursors = Cursors::default();
    cursors.insert(2, resumed());
    let cursor = |cursors: &mut Cursors| cursors.get_mut(2).unwrap().clone();
    let reach = |cursors: &mut Cursors, now| cursors.get_mut(2).unwrap().reach_end(20, now);
    reach(&mut cursors, began);
    assert_eq!((cursor(&mut cursors).fetch_again(1), cursors.reached(&ends)), (9, false));
    assert!(cursors.at_end(), "what can be read has been");
    assert_eq!(cursors.stall(began), None, "it may be over in a moment");
    let later = began + RETRY_INTERVAL;
    assert_eq!(cursors.stall(later), Some(2));
    let stall = cursor(&mut cursors).stall().unwrap();
    assert_eq!((stall.since, stall.end), (began, 20));
    assert!(!cursors.get_mut(2).unwrap().learn(19));
    assert_eq!(cursors.stall(later + RETRY_INTERVAL), Some(2));
    // All can be read now; but what came since the end was reached has not been, until the end comes again.
    assert!(cursors.get_mut(2).unwrap().learn(23) && !cursors.reached(&ends));
    cursors.get_mut(2).unwrap().accept(arrived(9, 7));
    cursors.get_mut(2).unwrap().accept(arrived(17, 1));
    assert_eq!((cursors.stall(later + 2 * RETRY_INTERVAL), cursors.reached(&ends)), (None, false));
    reach(&mut cursors, later);
    assert!(cursors.reached(&ends) && cursors.stall(later + 2 * RETRY_INTERVAL).is_none());
    assert_eq!(cursor(&mut cursors).fetch_again(1), 20, "no further than the run is to go");
}

#[test]
fn the_end_never_takes_back_where_reading_began() {
    let start = Start { offset: 32, checked: false, stable: 32 };
    let mut cursors = Cursors::default();
    cursors.insert(2, Cursor::new(&stored(None, None), start, 1).unwrap());
    // The run is to read to 23, and Kafka has removed all of that.
    cursors.get_mut(2).unwrap().reach_end(23, Instant::now());
    let ranges = cursors.take_ranges();
    assert_eq!(ranges.iter().map(|r| (r.start, r.end)).collect::<Vec<_>>(), [(32, 32)]);
}

#[test]
fn time_never_goes_back_within_a_partition() {
    let mut cursor = resumed();
    let version =
        |cursor: &mut Cursor, offset, timestamp_ms| match cursor.accept(Arrived { offset, timestamp_ms, crc32: 7 }) {
            Verdict::Apply(at) => at.version.timestamp_ms(),
            other => panic!("{other:?}"),
        };
    cursor.accept(arrived(9, 7));
    assert_eq!([version(&mut cursor, 10, 500), version(&mut cursor, 11, 400), version(&mut cursor, 12, -1)], [500; 3]);
}
