//! Looks up a topic's partitions and settings in Kafka, and makes it.

use std::{collections::BTreeMap, time::Duration};

use rdkafka::{
    ClientConfig, ClientContext,
    admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication},
    client::Client,
    config::{FromClientConfigAndContext, RDKafkaLogLevel},
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::KafkaError,
    metadata::MetadataBroker,
    types::RDKafkaErrorCode,
};
use service::settings::KafkaSettings;

use crate::{
    client::{self, Connections},
    kafka_errors::code_of,
};

/// How long one request to Kafka may take; to wait longer, it is repeated.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Settings of a topic; each is `None` where Kafka does not report it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicSettings {
    /// The largest batch it takes, in bytes.
    pub max_message_bytes: Option<usize>,
    /// How old records are removed: `delete`, `compact`, or both.
    pub cleanup_policy: Option<String>,
    /// How long records are kept, in milliseconds; minus one is for ever.
    pub retention_ms: Option<i64>,
    /// How much of a partition is kept, in bytes; minus one is all.
    pub retention_bytes: Option<i64>,
}

/// What a topic is to be, should it have to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    /// The number of its partitions.
    pub partitions: i32,
    /// Whether it keeps all records, whatever their age; else it does as the brokers have it.
    pub keeps_all: bool,
}

impl TopicSettings {
    /// Whether Kafka removes a record once a later one has the same key, so that history is lost.
    pub fn is_compacted(&self) -> bool {
        self.cleanup_policy.iter().flat_map(|policy| policy.split(',')).any(|policy| policy.trim() == "compact")
    }
}

/// The clients that send the requests.
pub(crate) struct Kafka {
    settings: KafkaSettings,
    /// A consumer, because only a consumer can look up a topic without making it.
    reader: BaseConsumer<Listener>,
    admin: AdminClient<Listener>,
    listener: Listener,
}

impl Kafka {
    pub(crate) fn connect(settings: &KafkaSettings) -> Result<Self, KafkaError> {
        let listener = Listener::default();
        let mut config = config(settings);
        let admin = AdminClient::from_config_and_context(&config, listener.clone())?;
        // Its ends are those of the topic, not of what can be read while a transaction is open.
        config.set("allow.auto.create.topics", "false").set("isolation.level", "read_uncommitted");
        let reader = BaseConsumer::from_config_and_context(&config, listener.clone())?;
        Ok(Self { settings: settings.clone(), reader, admin, listener })
    }

    /// Why connections fail.
    pub(crate) fn connections(&self) -> &Connections {
        &self.listener.0
    }

    /// The number of the topic's partitions, once each of them has a leader; `None` while it is missing.
    pub(crate) fn partitions(&self, topic: &str, limit: Duration) -> Result<Option<i32>, KafkaError> {
        let found = partitions_of(self.reader.client(), topic, limit);
        if found.is_err() {
            client::drain_events(&self.reader);
        }
        found
    }

    /// The offset after the last record of each partition, of open transactions included.
    pub(crate) fn ends(
        &self,
        topic: &str,
        partitions: impl IntoIterator<Item = i32>,
    ) -> Result<BTreeMap<i32, i64>, KafkaError> {
        let end = |partition| {
            self.reader.fetch_watermarks(topic, partition, REQUEST_TIMEOUT).map(|(_, end)| (partition, end))
        };
        partitions.into_iter().map(end).collect()
    }

    /// The first offset that Kafka has of each partition.
    pub(crate) fn first_offsets(&self, topic: &str, partitions: i32) -> Result<BTreeMap<i32, i64>, KafkaError> {
        let first = |partition| {
            self.reader.fetch_watermarks(topic, partition, REQUEST_TIMEOUT).map(|(first, _)| (partition, first))
        };
        (0..partitions).map(first).collect()
    }

    /// Makes the topic; returns whether it was made here, since another client may have been quicker.
    pub(crate) fn create(&self, topic: &str, new: TopicSpec) -> Result<bool, KafkaError> {
        use RDKafkaErrorCode::{NotController, TopicAlreadyExists, UnsupportedFeature, UnsupportedVersion};
        let options = self.options()?;
        let response = match self.create_with(topic, new, &options) {
            // Brokers of before KRaft do not pass the request on to their controller.
            Err(NotController) => {
                self.create_with(topic, new, &AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT)))
            }
            response => response,
        };
        match response {
            Ok(()) => Ok(true),
            Err(TopicAlreadyExists) => Ok(false),
            Err(UnsupportedFeature | UnsupportedVersion) => self.create_by_use(topic),
            Err(code) => Err(KafkaError::AdminOp(code)),
        }
    }

    fn create_with(&self, topic: &str, new: TopicSpec, options: &AdminOptions) -> Result<(), RDKafkaErrorCode> {
        let replicas = TopicReplication::Fixed(-1);
        // Minus one: as many replicas as the brokers make by default.
        // Brokers may compact by default, and history would be lost.
        let mut wanted = NewTopic::new(topic, new.partitions, replicas).set("cleanup.policy", "delete");
        if new.keeps_all {
            wanted = wanted.set("retention.ms", "-1").set("retention.bytes", "-1");
        }
        let made = block_on(self.admin.create_topics([&wanted], options));
        match made.map_err(|error| code_of(&error).unwrap_or(RDKafkaErrorCode::Fail))?.into_iter().next() {
            Some(Err((_, code))) => Err(code),
            None | Some(Ok(_)) => Ok(()),
        }
    }

    /// Makes the topic by a metadata request for it: all that an embedded broker offers.
    fn create_by_use(&self, topic: &str) -> Result<bool, KafkaError> {
        let mut config = config(&self.settings);
        config.set("allow.auto.create.topics", "true");
        let consumer = BaseConsumer::from_config_and_context(&config, self.listener.clone())?;
        Ok(partitions_of(consumer.client(), topic, REQUEST_TIMEOUT)?.is_some())
    }

    /// The topic's settings, where we may read them.
    pub(crate) fn settings(&self, topic: &str) -> TopicSettings {
        self.fetch_settings(topic).unwrap_or_else(|error| {
            tracing::debug!(topic, %error, "the topic's settings are not known");
            TopicSettings::default()
        })
    }

    fn fetch_settings(&self, topic: &str) -> Result<TopicSettings, KafkaError> {
        let resources = [ResourceSpecifier::Topic(topic)];
        let response = block_on(self.admin.describe_configs(&resources, &self.options()?))?;
        let Some(response) = response.into_iter().next() else { return Ok(TopicSettings::default()) };
        let found = response.map_err(KafkaError::AdminOp)?;
        let value = |name| found.get(name).and_then(|entry| entry.value.clone());
        let number = |name| value(name).and_then(|value| value.parse().ok());
        Ok(TopicSettings {
            max_message_bytes: number("max.message.bytes").and_then(|bytes: i64| usize::try_from(bytes).ok()),
            cleanup_policy: value("cleanup.policy"),
            retention_ms: number("retention.ms"),
            retention_bytes: number("retention.bytes"),
        })
    }

    /// Sends requests to a broker that exists. An embedded broker names a controller that does
    /// not exist, and a request to that one would only time out.
    fn options(&self) -> Result<AdminOptions, KafkaError> {
        let metadata = self.reader.client().fetch_metadata(None, REQUEST_TIMEOUT)?;
        let broker = metadata.brokers().first().map(MetadataBroker::id);
        Ok(AdminOptions::new()
            .request_timeout(Some(REQUEST_TIMEOUT))
            .operation_timeout(Some(REQUEST_TIMEOUT))
            .broker_id(broker))
    }
}

fn config(settings: &KafkaSettings) -> ClientConfig {
    let mut config = client::config(settings);
    config.set_log_level(RDKafkaLogLevel::Warning);
    config
}

/// Waits for a response on this thread; the admin client has another thread that fetches it.
fn block_on<T>(response: impl Future<Output = Result<T, KafkaError>>) -> Result<T, KafkaError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.map_err(|_| KafkaError::AdminOpCreation("no runtime".to_owned()))?.block_on(response)
}

fn partitions_of<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    limit: Duration,
) -> Result<Option<i32>, KafkaError> {
    let metadata = client.fetch_metadata(Some(topic), limit)?;
    let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else { return Ok(None) };
    match found.error().map(RDKafkaErrorCode::from) {
        Some(RDKafkaErrorCode::UnknownTopicOrPartition) => return Ok(None),
        Some(code) => return Err(KafkaError::MetadataFetch(code)),
        None => {}
    }
    let led = found.partitions().iter().all(|partition| partition.leader() >= 0);
    Ok((led && !found.partitions().is_empty())
        .then(|| i32::try_from(found.partitions().len()).expect("Kafka numbers partitions in 32 bits")))
}

/// Keeps why the last connection failed, for the sentence that ends the waiting, instead of logging each.
#[derive(Clone, Debug, Default)]
struct Listener(Connections);

impl ClientContext for Listener {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, text: &str) {
        tracing::trace!(facility, "{text}");
        // Nothing takes in the errors of an administrative client.
        self.0.on_log(facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::trace!(%error, "{reason}");
        self.0.on_error(&error, reason);
    }
}

impl ConsumerContext for Listener {}
