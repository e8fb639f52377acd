//! A topic: how many partitions it has, and making it when it is missing.
//!
//! All of this blocks; call it on a thread that may.

use std::time::Duration;

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
use service::{Stop, backoff::Backoff, settings::KafkaSettings};

use crate::client::{self, Connections};

/// How long one question to Kafka may take; waiting longer is done by asking again.
const ANSWER: Duration = Duration::from_secs(5);
/// The last question is given this long, however little of the waiting is left.
const LEAST: Duration = Duration::from_millis(100);

/// A topic that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// The number of its partitions.
    pub partitions: i32,
    /// The largest batch it takes, in bytes, where Kafka tells.
    pub max_message_bytes: Option<usize>,
    /// Whether it was made just now.
    pub created: bool,
}

/// Why there is no topic to work with.
#[derive(Debug, thiserror::Error)]
pub enum TopicError {
    /// Kafka did not answer, or the topic did not come up, before the deadline.
    #[error("kafka at {brokers} is unavailable after {waited_s} s: {last}")]
    Unavailable {
        /// The bootstrap servers.
        brokers: String,
        /// How long it was waited for, in seconds.
        waited_s: u64,
        /// What the last try said.
        last: String,
    },
    /// Kafka refuses us, or we do not trust it, and so it was until the deadline.
    #[error("kafka at {brokers} refuses us, or is not trusted: {reason}")]
    Unwelcome {
        /// The bootstrap servers.
        brokers: String,
        /// What the client library says.
        reason: String,
    },
    /// Kafka refuses, and would refuse again.
    #[error("kafka refuses topic `{topic}`: {reason}")]
    Refused {
        /// The topic.
        topic: String,
        /// What Kafka said.
        reason: String,
    },
    /// Stopping was asked for in the meantime.
    #[error("stopped while waiting for kafka")]
    Stopped,
}

/// How a topic is looked for.
#[derive(Clone, Debug)]
pub struct Lookup {
    /// Where Kafka is.
    pub kafka: KafkaSettings,
    /// The topic's name.
    pub topic: String,
    /// How long to wait for Kafka.
    pub wait: Duration,
}

impl Lookup {
    /// Asks for the topic, and makes it with `partitions` when it is missing. Waits for Kafka.
    ///
    /// # Errors
    /// When Kafka is away, refuses, or stopping was asked for.
    pub fn ensure(&self, partitions: i32, stop: &Stop) -> Result<Topic, TopicError> {
        let kafka = Kafka::connect(&self.kafka).map_err(|error| self.refused(&error))?;
        let mut created = false;
        let found = self.wait(&kafka, stop, |limit| match kafka.partitions(&self.topic, limit)? {
            None if !created => {
                created = kafka.create(&self.topic, partitions)?;
                kafka.partitions(&self.topic, limit)
            }
            found => Ok(found),
        })?;
        Ok(Topic { partitions: found, max_message_bytes: kafka.max_message_bytes(&self.topic), created })
    }

    /// Asks for the topic and waits until it is there, without ever making it.
    ///
    /// # Errors
    /// When Kafka is away, the topic stays missing, or stopping was asked for.
    pub fn find(&self, stop: &Stop) -> Result<Topic, TopicError> {
        let kafka = Kafka::connect(&self.kafka).map_err(|error| self.refused(&error))?;
        let partitions = self.wait(&kafka, stop, |limit| kafka.partitions(&self.topic, limit))?;
        Ok(Topic { partitions, max_message_bytes: kafka.max_message_bytes(&self.topic), created: false })
    }

    /// Tries until there is an answer, Kafka refuses, or the deadline has passed.
    fn wait(
        &self,
        kafka: &Kafka,
        stop: &Stop,
        mut ask: impl FnMut(Duration) -> Result<Option<i32>, KafkaError>,
    ) -> Result<i32, TopicError> {
        let mut backoff = Backoff::new(self.wait);
        loop {
            let left = self.wait.saturating_sub(backoff.elapsed());
            let last = match ask(left.clamp(LEAST, ANSWER)) {
                Ok(Some(partitions)) => return Ok(partitions),
                Ok(None) => format!("topic `{}` is missing", self.topic),
                Err(error) if is_final(&error) => return Err(self.refused(&error)),
                Err(error) => kafka.listener.0.last().unwrap_or_else(|| error.to_string()),
            };
            if stop.is_stopping() {
                return Err(TopicError::Stopped);
            }
            let Some(wait) = backoff.wait() else {
                let (brokers, waited_s) = (self.kafka.brokers.clone(), backoff.elapsed().as_secs());
                return Err(match kafka.listener.0.refusal() {
                    Some(reason) => TopicError::Unwelcome { brokers, reason },
                    None => TopicError::Unavailable { brokers, waited_s, last },
                });
            };
            tracing::debug!(brokers = self.kafka.brokers, topic = self.topic, "waiting for kafka: {last}");
            std::thread::sleep(wait);
        }
    }

    fn refused(&self, error: &KafkaError) -> TopicError {
        TopicError::Refused { topic: self.topic.clone(), reason: error.to_string() }
    }
}

/// Whether asking again cannot help.
fn is_final(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{
        ClusterAuthorizationFailed, InvalidArgument, InvalidConfig, InvalidPartitions, InvalidReplicationFactor,
        InvalidTopic, PolicyViolation, TopicAuthorizationFailed,
    };
    matches!(error, KafkaError::ClientCreation(_) | KafkaError::ClientConfig(..) | KafkaError::Nul(_))
        || matches!(
            code(error),
            Some(
                ClusterAuthorizationFailed
                    | InvalidArgument
                    | InvalidConfig
                    | InvalidPartitions
                    | InvalidReplicationFactor
                    | InvalidTopic
                    | PolicyViolation
                    | TopicAuthorizationFailed
            )
        )
}

fn code(error: &KafkaError) -> Option<RDKafkaErrorCode> {
    match error {
        KafkaError::AdminOp(code) => Some(*code),
        _ => error.rdkafka_error_code(),
    }
}

/// The clients that ask.
struct Kafka {
    settings: KafkaSettings,
    /// A consumer, because only a consumer can ask for a topic without making it.
    reader: BaseConsumer<Listener>,
    admin: AdminClient<Listener>,
    listener: Listener,
}

impl Kafka {
    fn connect(settings: &KafkaSettings) -> Result<Self, KafkaError> {
        let listener = Listener::default();
        let mut config = config(settings);
        let admin = AdminClient::from_config_and_context(&config, listener.clone())?;
        config.set("allow.auto.create.topics", "false");
        let reader = BaseConsumer::from_config_and_context(&config, listener.clone())?;
        Ok(Self { settings: settings.clone(), reader, admin, listener })
    }

    /// The number of the topic's partitions, once each of them has a leader; `None` while it is missing.
    fn partitions(&self, topic: &str, limit: Duration) -> Result<Option<i32>, KafkaError> {
        let found = partitions_of(self.reader.client(), topic, limit);
        if found.is_err() {
            client::listen(&self.reader);
        }
        found
    }

    /// Whether the topic was made here; another client may have been quicker.
    fn create(&self, topic: &str, partitions: i32) -> Result<bool, KafkaError> {
        use RDKafkaErrorCode::{NotController, TopicAlreadyExists, UnsupportedFeature, UnsupportedVersion};
        let options = self.options()?;
        let answer = match self.create_with(topic, partitions, &options) {
            // Brokers of before KRaft do not pass the request on to their controller.
            Err(NotController) => {
                self.create_with(topic, partitions, &AdminOptions::new().request_timeout(Some(ANSWER)))
            }
            answer => answer,
        };
        match answer {
            Ok(()) => Ok(true),
            Err(TopicAlreadyExists) => Ok(false),
            Err(UnsupportedFeature | UnsupportedVersion) => self.create_by_use(topic),
            Err(code) => Err(KafkaError::AdminOp(code)),
        }
    }

    fn create_with(&self, topic: &str, partitions: i32, options: &AdminOptions) -> Result<(), RDKafkaErrorCode> {
        // Minus one: as many replicas as the brokers make by default.
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(-1));
        let made = block_on(self.admin.create_topics([&new], options));
        match made.map_err(|error| code(&error).unwrap_or(RDKafkaErrorCode::Fail))?.into_iter().next() {
            Some(Err((_, code))) => Err(code),
            None | Some(Ok(_)) => Ok(()),
        }
    }

    /// Makes the topic by asking for it: all that an embedded broker offers.
    fn create_by_use(&self, topic: &str) -> Result<bool, KafkaError> {
        let mut config = config(&self.settings);
        config.set("allow.auto.create.topics", "true");
        let asking = BaseConsumer::from_config_and_context(&config, self.listener.clone())?;
        Ok(partitions_of(asking.client(), topic, ANSWER)?.is_some())
    }

    /// The topic's `max.message.bytes`, where Kafka tells.
    fn max_message_bytes(&self, topic: &str) -> Option<usize> {
        let asked = [ResourceSpecifier::Topic(topic)];
        let answer = block_on(self.admin.describe_configs(&asked, &self.options().ok()?)).ok()?;
        let resource = answer.into_iter().next()?.ok()?;
        resource.get("max.message.bytes")?.value.as_deref()?.parse().ok()
    }

    /// Sends a request to a broker that is there. An embedded broker names a controller that is
    /// not, and a request sent that way would wait in vain.
    fn options(&self) -> Result<AdminOptions, KafkaError> {
        let metadata = self.reader.client().fetch_metadata(None, ANSWER)?;
        let broker = metadata.brokers().first().map(MetadataBroker::id);
        Ok(AdminOptions::new().request_timeout(Some(ANSWER)).operation_timeout(Some(ANSWER)).broker_id(broker))
    }
}

fn config(settings: &KafkaSettings) -> ClientConfig {
    let mut config = client::config(settings);
    config.set_log_level(RDKafkaLogLevel::Warning);
    config
}

/// Waits for an answer on this thread; the admin client has a thread of its own that fetches it.
fn block_on<T>(answer: impl Future<Output = Result<T, KafkaError>>) -> Result<T, KafkaError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.map_err(|_| KafkaError::AdminOpCreation("no runtime".to_owned()))?.block_on(answer)
}

fn partitions_of<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    limit: Duration,
) -> Result<Option<i32>, KafkaError> {
    let metadata = client.fetch_metadata(Some(topic), limit)?;
    let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else { return Ok(None) };
    match found.error().map(RDKafkaErrorCode::from) {
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::LeaderNotAvailable) => return Ok(None),
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
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::trace!(%error, "{reason}");
        self.0.hear(&error, reason);
    }
}

impl ConsumerContext for Listener {}
