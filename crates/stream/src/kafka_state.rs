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
    describe: Option<Instant>,
    cluster: Option<Instant>,
    /// Since when records are denied, of which partitions, and when they were last asked for again.
    topic: Option<TopicDenial>,
}

#[derive(Debug)]
struct Trouble {
    since: Instant,
    reason: String,
}

#[derive(Debug)]
struct TopicDenial {
    since: Instant,
    partitions: BTreeSet<i32>,
    asked: Instant,
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

    /// It says no; of partitions where it is about their records. Whether that is news.
    pub(crate) fn denies(&mut self, now: Instant, right: Right, partitions: impl IntoIterator<Item = i32>) -> bool {
        let since = match right {
            Right::ReadGroup => &mut self.group,
            Right::DescribeTopic => &mut self.describe,
            Right::Cluster => &mut self.cluster,
            Right::ReadTopic => {
                let is_news = self.topic.is_none();
                let begin = || TopicDenial { since: now, partitions: BTreeSet::new(), asked: now };
                self.topic.get_or_insert_with(begin).partitions.extend(partitions);
                return is_news;
            }
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
        let Some(denial) = &mut self.topic else { return false };
        denial.partitions.remove(&partition);
        if !denial.partitions.is_empty() {
            return false;
        }
        self.topic = None;
        true
    }

    /// Partitions that are not ours any more: nobody here will hear whether they can be read.
    pub(crate) fn forget(&mut self, partitions: &BTreeSet<i32>) {
        if let Some(denial) = &mut self.topic {
            denial.partitions.retain(|partition| !partitions.contains(partition));
        }
        self.topic = self.topic.take().filter(|denial| !denial.partitions.is_empty());
    }

    /// Partitions that are to be asked for again now.
    pub(crate) fn due_again(&mut self, now: Instant) -> BTreeSet<i32> {
        match &mut self.topic {
            Some(denial) if now.duration_since(denial.asked) >= ASK_AGAIN => {
                denial.asked = now;
                denial.partitions.clone()
            }
            _ => BTreeSet::new(),
        }
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
        let topic = self.topic.as_ref().map(|denial| denial.since);
        let since = [
            (Right::ReadGroup, self.group),
            (Right::ReadTopic, topic),
            (Right::DescribeTopic, self.describe),
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

    #[test]
    fn an_answer_ends_an_outage_and_no_denial() {
        let (now, mut kafka) = (Instant::now(), KafkaState::default());
        assert!(kafka.unavailable(now, "connection refused".to_owned()));
        assert!(kafka.denies(now, Right::ReadGroup, []) && kafka.denies(now, Right::ReadTopic, [0, 1]));
        kafka.denies(now, Right::Cluster, []);
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
        kafka.denies(after(now, 200), Right::ReadTopic, [3]);
        kafka.denies(after(now, 250), Right::ReadTopic, [3]);
        assert_eq!(kafka.too_long(after(now, 261), LIMITS), Some(TooLong::Denial(Right::ReadTopic)));
    }

    #[test]
    fn what_is_denied_is_asked_for_again_every_five_seconds_while_it_is_ours() {
        let (now, mut kafka) = (Instant::now(), KafkaState::default());
        kafka.denies(now, Right::ReadTopic, [0, 1]);
        assert!(kafka.due_again(after(now, 4)).is_empty());
        assert_eq!(kafka.due_again(after(now, 5)), BTreeSet::from([0, 1]));
        assert!(kafka.due_again(after(now, 6)).is_empty());
        kafka.forget(&BTreeSet::from([0]));
        assert_eq!(kafka.due_again(after(now, 10)), BTreeSet::from([1]));
        kafka.forget(&BTreeSet::from([1]));
        assert_eq!(kafka.denied(), []);
    }
}
