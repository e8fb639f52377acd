//! What is wrong with Kafka, since when, and when it has been wrong for too long. Pure: the time comes in as a value.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

/// How often a partition whose records are denied is asked for again: librdkafka tells a denial once, and a right that comes
/// back on a quiet topic gives no event at all.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// A right that Kafka denies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Right {
    /// To join the consumer group and to commit its offsets.
    ReadGroup,
    /// To fetch the topic's records.
    ReadTopic,
    /// To see the topic and its ends.
    DescribeTopic,
    /// To connect to the cluster, or whatever else it says no to.
    Cluster,
}

/// Kafka as this consumer sees it. An outage ends with any answer; a denial only with an answer to what was denied.
#[derive(Debug, Default)]
pub(crate) struct KafkaState {
    outage: Option<Trouble>,
    group: Option<Instant>,
    cluster: Option<Instant>,
    /// Since when the topic itself is denied, and when it was last asked for.
    describe: Option<Denial>,
    /// Since when records are denied, when they were last asked for, and of which partitions: of one at least.
    topic: Option<(Denial, BTreeSet<i32>)>,
}

#[derive(Debug)]
struct Trouble {
    since: Instant,
    reason: String,
}

#[derive(Clone, Copy, Debug)]
struct Denial {
    since: Instant,
    asked: Instant,
}

impl Denial {
    fn begin(now: Instant) -> Self {
        Self { since: now, asked: now }
    }

    fn is_due(&self, now: Instant) -> bool {
        now.duration_since(self.asked) >= ASK_AGAIN
    }
}

/// How long each kind of trouble may last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// An outage.
    pub(crate) outage: Duration,
    /// A denial: a right may be granted after the pod has started.
    pub(crate) denial: Duration,
}

/// Why there is no point in waiting longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TooLong {
    /// Kafka did not answer for this long; the last reason that is known.
    Outage(Duration, String),
    /// It kept saying no to this.
    Denial(Right),
}

impl KafkaState {
    /// Kafka or the topic is not there; whether that is news.
    pub(crate) fn unavailable(&mut self, now: Instant, reason: String) -> bool {
        let since = self.outage.as_ref().map(|outage| outage.since);
        self.outage = Some(Trouble { since: since.unwrap_or(now), reason });
        since.is_none()
    }

    /// It answers, whatever it says; whether that is news.
    pub(crate) fn answers(&mut self) -> bool {
        // What it lets us do, it does not deny us on the whole.
        self.cluster = None;
        self.outage.take().is_some()
    }

    /// It says no. Whether that is news.
    ///
    /// Where it is about records, it is of `partitions`, those of ours; a consumer that has none hears it of the topic itself.
    pub(crate) fn denies(&mut self, now: Instant, right: Right, partitions: &BTreeSet<i32>) -> bool {
        let since = match right {
            Right::ReadTopic if !partitions.is_empty() => {
                let is_news = self.topic.is_none();
                self.topic.get_or_insert((Denial::begin(now), BTreeSet::new())).1.extend(partitions);
                return is_news;
            }
            Right::ReadTopic | Right::DescribeTopic => {
                let is_news = self.describe.is_none();
                self.describe.get_or_insert(Denial::begin(now));
                return is_news;
            }
            Right::ReadGroup => &mut self.group,
            Right::Cluster => &mut self.cluster,
        };
        since.replace(since.unwrap_or(now)).is_none()
    }

    /// It grants a right; whether it had denied that.
    pub(crate) fn grants(&mut self, right: Right) -> bool {
        match right {
            Right::ReadGroup => self.group.take().is_some(),
            Right::DescribeTopic => self.describe.take().is_some(),
            Right::Cluster => self.cluster.take().is_some(),
            Right::ReadTopic => self.topic.take().is_some(),
        }
    }

    /// A record, or the end, of a partition came; whether that ends a denial.
    pub(crate) fn reads(&mut self, partition: i32) -> bool {
        let Some((_, partitions)) = &mut self.topic else { return false };
        partitions.remove(&partition);
        if !partitions.is_empty() {
            return false;
        }
        self.topic = None;
        true
    }

    /// Partitions that are not ours any more: nobody here will hear whether they can be read. They may have been taken because
    /// the topic is denied, so that it is to be asked for.
    pub(crate) fn forget(&mut self, gone: &BTreeSet<i32>) {
        let Some((denial, partitions)) = &mut self.topic else { return };
        partitions.retain(|partition| !gone.contains(partition));
        if partitions.is_empty() {
            self.describe.get_or_insert(*denial);
            self.topic = None;
        }
    }

    /// Partitions whose records are to be asked for again now.
    pub(crate) fn records_due(&mut self, now: Instant) -> BTreeSet<i32> {
        let Some((denial, partitions)) = self.topic.as_mut().filter(|(denial, _)| denial.is_due(now)) else {
            return BTreeSet::new();
        };
        denial.asked = now;
        partitions.clone()
    }

    /// Whether the topic itself is to be asked for again now.
    pub(crate) fn topic_due(&mut self, now: Instant) -> bool {
        let due = self.describe.as_mut().filter(|denial| denial.is_due(now));
        due.map(|denial| denial.asked = now).is_some()
    }

    /// Whether Kafka, or the topic, is not there.
    pub(crate) fn is_unavailable(&self) -> bool {
        self.outage.is_some()
    }

    /// The rights it denies.
    pub(crate) fn denied(&self) -> Vec<Right> {
        self.denials().map(|(right, _)| right).collect()
    }

    /// Why it is not there.
    pub(crate) fn reason(&self) -> Option<&str> {
        self.outage.as_ref().map(|outage| outage.reason.as_str())
    }

    /// Says whether waiting longer has no point.
    pub(crate) fn too_long(&self, now: Instant, limits: Limits) -> Option<TooLong> {
        let lasts = |since: Instant, limit: Duration| now.duration_since(since) > limit;
        // What is denied explains more than what does not answer.
        if let Some((right, _)) = self.denials().find(|(_, since)| lasts(*since, limits.denial)) {
            return Some(TooLong::Denial(right));
        }
        let outage = self.outage.as_ref().filter(|outage| lasts(outage.since, limits.outage))?;
        Some(TooLong::Outage(now.duration_since(outage.since), outage.reason.clone()))
    }

    fn denials(&self) -> impl Iterator<Item = (Right, Instant)> {
        let since = [
            (Right::ReadGroup, self.group),
            (Right::ReadTopic, self.topic.as_ref().map(|(denial, _)| denial.since)),
            (Right::DescribeTopic, self.describe.map(|denial| denial.since)),
            (Right::Cluster, self.cluster),
        ];
        since.into_iter().filter_map(|(right, since)| Some((right, since?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { outage: Duration::from_secs(300), denial: Duration::from_secs(60) };

    fn after(began: Instant, seconds: u64) -> Instant {
        began + Duration::from_secs(seconds)
    }

    fn of<const N: usize>(partitions: [i32; N]) -> BTreeSet<i32> {
        BTreeSet::from(partitions)
    }

    #[test]
    fn an_answer_ends_an_outage_and_no_denial() {
        let (now, mut kafka) = (Instant::now(), KafkaState::default());
        assert!(kafka.unavailable(now, "connection refused".to_owned()));
        assert!(kafka.denies(now, Right::ReadGroup, &of([])) && kafka.denies(now, Right::ReadTopic, &of([0, 1])));
        kafka.denies(now, Right::Cluster, &of([]));
        assert!(kafka.answers() && !kafka.is_unavailable());
        assert_eq!(kafka.denied(), [Right::ReadGroup, Right::ReadTopic]);
        assert!(kafka.grants(Right::ReadGroup));
        assert!(!kafka.reads(1) && kafka.reads(0), "a denial is over when all that was denied is read");
        assert_eq!(kafka.denied(), []);
    }

    #[test]
    fn what_lasts_too_long_is_named_with_its_last_reason() {
        let (now, mut kafka) = (Instant::now(), KafkaState::default());
        kafka.unavailable(now, "timed out".to_owned());
        kafka.unavailable(after(now, 100), "connection refused".to_owned());
        assert_eq!(kafka.too_long(after(now, 300), LIMITS), None);
        let outage = TooLong::Outage(Duration::from_secs(301), "connection refused".to_owned());
        assert_eq!(kafka.too_long(after(now, 301), LIMITS), Some(outage));
        kafka.denies(after(now, 200), Right::ReadTopic, &of([3]));
        kafka.denies(after(now, 250), Right::ReadTopic, &of([3]));
        assert_eq!(kafka.too_long(after(now, 261), LIMITS), Some(TooLong::Denial(Right::ReadTopic)));
    }

    #[test]
    fn records_that_are_denied_are_asked_for_again_every_five_seconds() {
        let (now, mut kafka) = (Instant::now(), KafkaState::default());
        kafka.denies(now, Right::ReadTopic, &of([0, 1]));
        assert!(kafka.records_due(after(now, 4)).is_empty());
        assert_eq!(kafka.records_due(after(now, 5)), of([0, 1]));
        assert!(kafka.records_due(after(now, 6)).is_empty());
        kafka.forget(&of([0]));
        assert_eq!(kafka.records_due(after(now, 10)), of([1]));
        assert!(!kafka.topic_due(after(now, 10)), "that is not what was denied");
    }

    #[test]
    fn a_consumer_without_partitions_asks_for_the_topic_and_forgets_no_denial() {
        let (now, mut kafka) = (Instant::now(), KafkaState::default());
        assert!(kafka.denies(now, Right::ReadTopic, &of([])));
        assert_eq!(kafka.denied(), [Right::DescribeTopic]);
        assert!(!kafka.topic_due(after(now, 4)) && kafka.topic_due(after(now, 5)) && !kafka.topic_due(after(now, 6)));
        assert!(kafka.grants(Right::DescribeTopic));

        kafka.denies(now, Right::ReadTopic, &of([0]));
        kafka.forget(&of([0]));
        assert_eq!(kafka.denied(), [Right::DescribeTopic], "the partition may have gone because of it");
        assert!(kafka.topic_due(after(now, 5)));
        assert_eq!(kafka.too_long(after(now, 61), LIMITS), Some(TooLong::Denial(Right::DescribeTopic)));
    }
}
