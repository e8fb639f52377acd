//! What each error of Kafka, or of its client library, means for us.
//!
//! [`decide`] is the one table from an error to a decision; [`Denial`] is the sentence for a missing right.

use std::fmt;

use rdkafka::{error::KafkaError, types::RDKafkaErrorCode as Code};
use service::settings::{KafkaSettings, Login};

/// What an error calls for.
///
/// It says nothing of how long to try: the caller knows whether it is starting, and how long Kafka may be unavailable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It may pass: try again within the time allowed, then end with 69.
    Retry,
    /// The user lacks a right on this kind of resource: 64, at the start only after the start-up wait.
    Denied(Resource),
    /// Login, certificate or mechanism were not accepted, by the broker or by us: 64 after the start-up wait.
    Refused,
    /// The topic, or a partition of it, is missing: wait for it, then end with 69.
    TopicMissing,
    /// Kafka does not have the offset that was requested: compare with the first and the last it has.
    OffsetOutOfRange,
    /// A record or a batch is larger than Kafka takes: 65.
    TooLarge,
    /// Kafka refuses a record for what it holds, its timestamp included: the same record is refused again.
    RecordRefused,
    /// This client can do nothing more, a new one can: 69.
    ClientDead,
    /// A setting of ours, of the topic or of the brokers does not allow it: 64, and waiting does not help.
    Settings,
    /// No failure: the library uses an error code to report an event.
    Event,
    /// A mistake of ours: 70.
    Bug,
}

/// What a right is a right to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// A topic.
    Topic,
    /// A consumer group.
    Group,
    /// The cluster as a whole.
    Cluster,
    /// A transactional id.
    TransactionalId,
}

/// Decides what an error calls for.
pub(crate) fn decide(error: &KafkaError) -> Decision {
    match error {
        KafkaError::MessageConsumptionFatal(code) => match decide_code(*code) {
            denied @ (Decision::Denied(_) | Decision::Settings) => denied,
            _ => Decision::ClientDead,
        },
        KafkaError::ClientConfig(..) | KafkaError::ClientCreation(_) | KafkaError::Nul(_) => Decision::Settings,
        KafkaError::Subscription(_) => Decision::Settings,
        KafkaError::Canceled => Decision::ClientDead,
        KafkaError::NoMessageReceived | KafkaError::PartitionEOF(_) => Decision::Event,
        // Both name no code; they fail when a partition was revoked, or a response was late.
        KafkaError::PauseResume(_) | KafkaError::Seek(_) => Decision::Retry,
        KafkaError::AdminOpCreation(_) => Decision::Bug,
        _ => code_of(error).map_or(Decision::Retry, decide_code),
    }
}

/// Decides what an error code calls for; a code that is not in the table, as of a later Kafka, may pass.
pub(crate) fn decide_code(code: Code) -> Decision {
    let listed = TABLE.iter().find(|(_, codes)| codes.contains(&code));
    listed.map_or(Decision::Retry, |(decision, _)| *decision)
}

/// The code of an error, that of an administrative request included, which the library's own function leaves out.
pub(crate) fn code_of(error: &KafkaError) -> Option<Code> {
    match error {
        KafkaError::AdminOp(code) => Some(*code),
        _ => error.rdkafka_error_code(),
    }
}

/// Every code that the library (2.12) knows, each once; the first lines are its own codes, the others are Kafka's.
#[rustfmt::skip]
const TABLE: &[(Decision, &[Code])] = &[
    (Decision::Retry, &[
        Code::BadMessage, Code::BadCompression, Code::BrokerDestroy, Code::Fail, Code::BrokerTransportFailure,
        Code::CriticalSystemResource, Code::Resolve, Code::MessageTimedOut, Code::AllBrokersDown,
        Code::OperationTimedOut, Code::QueueFull, Code::ISRInsufficient, Code::WaitingForCoordinator, Code::InProgress,
        Code::PreviousInProgress, Code::State, Code::Outdated, Code::TimedOutQueue, Code::WaitCache, Code::Interrupted,
        Code::Partial, Code::Underflow, Code::Retry, Code::PollExceeded, Code::UnknownBroker, Code::AssignmentLost,
        Code::DestroyBroker,
        Code::Unknown, Code::InvalidMessage, Code::LeaderNotAvailable, Code::NotLeaderForPartition,
        Code::RequestTimedOut, Code::BrokerNotAvailable, Code::ReplicaNotAvailable, Code::StaleControllerEpoch,
        Code::NetworkException, Code::CoordinatorLoadInProgress, Code::CoordinatorNotAvailable, Code::NotCoordinator,
        Code::NotEnoughReplicas, Code::NotEnoughReplicasAfterAppend, Code::IllegalGeneration, Code::UnknownMemberId,
        Code::RebalanceInProgress, Code::NotController, Code::ConcurrentTransactions,
        Code::TransactionCoordinatorFenced, Code::OperationNotAttempted, Code::KafkaStorageError, Code::LogDirNotFound,
        Code::ReassignmentInProgress, Code::GroupIdNotFound, Code::FetchSessionIdNotFound,
        Code::InvalidFetchSessionEpoch, Code::ListenerNotFound, Code::FencedLeaderEpoch, Code::UnknownLeaderEpoch,
        Code::StaleBrokerEpoch, Code::OffsetNotAvailable, Code::MemberIdRequired, Code::PreferredLeaderNotAvailable,
        Code::EligibleLeadersNotAvailable, Code::UnstableOffsetCommit, Code::ThrottlingQuotaExceeded,
        Code::InconsistentVoterSet, Code::PrincipalDeserializationFailure, Code::FencedMemberEpoch,
        Code::UnreleasedInstanceId, Code::StaleMemberEpoch, Code::UnknownSubscriptionId, Code::TelemetryTooLarge,
        Code::RebootstrapRequired,
        // Another client was quicker to make it: the next request finds it.
        Code::TopicAlreadyExists,
        // A cluster that starts has fewer brokers for a while; who makes topics ends with 64 when it stays so.
        Code::InvalidReplicationFactor,
    ]),
    (Decision::Denied(Resource::Topic), &[Code::TopicAuthorizationFailed]),
    (Decision::Denied(Resource::Group), &[Code::GroupAuthorizationFailed]),
    (Decision::Denied(Resource::Cluster), &[Code::ClusterAuthorizationFailed]),
    (Decision::Denied(Resource::TransactionalId), &[Code::TransactionalIdAuthorizationFailed]),
    (Decision::Refused, &[
        Code::Authentication, Code::SSL,
        Code::UnsupportedSASLMechanism, Code::IllegalSASLState, Code::SaslAuthenticationFailed,
        Code::DelegationTokenAuthDisabled, Code::DelegationTokenNotFound, Code::DelegationTokenOwnerMismatch,
        Code::DelegationTokenRequestNotAllowed, Code::DelegationTokenAuthorizationFailed,
        Code::DelegationTokenExpired, Code::InvalidPrincipalType, Code::UnacceptableCredential,
    ]),
    (Decision::TopicMissing, &[
        Code::UnknownPartition, Code::UnknownTopic,
        Code::UnknownTopicOrPartition, Code::UnknownTopicId,
    ]),
    (Decision::OffsetOutOfRange, &[
        Code::AutoOffsetReset, Code::LogTruncation,
        Code::OffsetOutOfRange,
    ]),
    (Decision::TooLarge, &[Code::MessageSizeTooLarge, Code::MessageBatchTooLarge]),
    (Decision::RecordRefused, &[
        Code::InvalidDifferentRecord,
        Code::InvalidTimestamp, Code::InvalidRecord,
    ]),
    (Decision::ClientDead, &[
        Code::PurgeQueue, Code::PurgeInflight, Code::Fatal, Code::Inconsistent, Code::GaplessGuarantee, Code::Fenced,
        Code::OutOfOrderSequenceNumber, Code::DuplicateSequenceNumber, Code::InvalidProducerEpoch,
        Code::InvalidProducerIdMapping, Code::UnknownProducerId, Code::FencedInstanceId, Code::ProducerFenced,
    ]),
    (Decision::Settings, &[
        Code::FileSystem, Code::InvalidArgument, Code::UnknownProtocol, Code::NotImplemented, Code::UnsupportedFeature,
        Code::InvalidTopic, Code::InconsistentGroupProtocol, Code::InvalidGroupId, Code::InvalidSessionTimeout,
        Code::UnsupportedVersion, Code::InvalidPartitions, Code::InvalidReplicaAssignment, Code::InvalidConfig,
        Code::UnsupportedForMessageFormat, Code::PolicyViolation, Code::InvalidTransactionTimeout,
        Code::SecurityDisabled, Code::UnsupportedCompressionType, Code::GroupMaxSizeReached,
        Code::UnsupportedAssignor,
    ]),
    (Decision::Event, &[
        Code::PartitionEOF, Code::NodeUpdate, Code::AssignPartitions, Code::RevokePartitions, Code::NoOffset,
        Code::Noop,
        Code::NoError,
    ]),
    // Requests that are wrong, responses to requests that are never made, and marks that are not codes.
    (Decision::Bug, &[
        Code::Begin, Code::UnknownGroup, Code::ExistingSubscription, Code::Conflict, Code::KeySerialization,
        Code::ValueSerialization, Code::KeyDeserialization, Code::ValueDeserialization, Code::ReadOnly, Code::NoEnt,
        Code::InvalidType, Code::NotConfigured, Code::Application, Code::End,
        Code::InvalidMessageSize, Code::OffsetMetadataTooLarge, Code::InvalidRequiredAcks,
        Code::InvalidCommitOffsetSize, Code::InvalidRequest, Code::InvalidTransactionalState, Code::NonEmptyGroup,
        Code::TopicDeletionDisabled, Code::ElectionNotNeeded, Code::NoReassignmentInProgress,
        Code::GroupSubscribedToTopic, Code::ResourceNotFound, Code::DuplicateResource, Code::InvalidUpdateVersion,
        Code::FeatureUpdateFailed, Code::EndAll,
    ]),
];

/// A right that a user lacks; shown as a sentence that names it and says how it is granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    user: String,
    operation: &'static str,
    grant: &'static str,
    resource: Resource,
    name: String,
}

impl Denial {
    /// The denial of an operation, as `kafka-acls.sh` names it, to the user of these settings. The cluster has no name.
    pub fn new(kafka: &KafkaSettings, operation: &'static str, resource: Resource, name: impl Into<String>) -> Self {
        Self { user: user(kafka), operation, grant: operation, resource, name: name.into() }
    }

    /// The same, where another operation is to be granted: `Read` and `Write` bring `Describe` with them.
    #[must_use]
    pub fn mended_by(self, grant: &'static str) -> Self {
        Self { grant, ..self }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user, operation, grant, resource, name } = self;
        let (kind, option) = match resource {
            Resource::Topic => (format!("topic `{name}`"), format!("--topic {name}")),
            Resource::Group => (format!("group `{name}`"), format!("--group {name}")),
            Resource::Cluster => ("the cluster".to_owned(), "--cluster".to_owned()),
            Resource::TransactionalId => (format!("transactional id `{name}`"), format!("--transactional-id {name}")),
        };
        write!(
            f,
            "kafka denies user `{user}` {operation} on {kind}; \
             grant `kafka-acls.sh --add --allow-principal User:{user} --operation {grant} {option}`"
        )
    }
}

/// The user that brokers know us by: that of the login, the subject of our certificate, or nobody.
fn user(kafka: &KafkaSettings) -> String {
    let identity = kafka.tls.as_ref().and_then(|tls| tls.identity.as_ref());
    match (&kafka.login, identity) {
        (Some(Login { username, .. }), _) => username.clone(),
        // Brokers may map the subject to another name, so that the file is all we know for certain.
        (None, Some(identity)) => format!("SUBJECT OF {}", identity.certificate.display()),
        (None, None) => "ANONYMOUS".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::types::RDKafkaRespErr;

    use super::*;

    /// All codes the library knows, by their numbers.
    fn known() -> impl Iterator<Item = Code> {
        (-200..=1_000).filter_map(|number| RDKafkaRespErr::try_from(number).ok()).map(Code::from)
    }

    #[test]
    fn every_code_the_library_knows_is_decided_once() {
        let times = |code: Code| TABLE.iter().flat_map(|(_, codes)| *codes).filter(|listed| **listed == code).count();
        let wrong: Vec<_> = known().map(|code| (code, times(code))).filter(|(_, times)| *times != 1).collect();
        assert_eq!(wrong, [], "codes, and how often each is listed");
        assert_eq!(TABLE.iter().map(|(_, codes)| codes.len()).sum::<usize>(), known().count(), "no other is listed");
    }

    #[test]
    fn only_a_denied_right_is_a_denial_and_each_names_its_resource() {
        let denied: Vec<_> = known()
            .filter_map(|code| match decide_code(code) {
                Decision::Denied(resource) => Some((code, resource)),
                _ => None,
            })
            .collect();
        let expected = [
            (Code::TopicAuthorizationFailed, Resource::Topic),
            (Code::GroupAuthorizationFailed, Resource::Group),
            (Code::ClusterAuthorizationFailed, Resource::Cluster),
            (Code::TransactionalIdAuthorizationFailed, Resource::TransactionalId),
        ];
        assert_eq!(denied, expected);
    }

    #[test]
    fn an_error_is_decided_by_its_code_wherever_it_comes_from() {
        let code = Code::TopicAuthorizationFailed;
        let errors = [
            KafkaError::AdminOp(code),
            KafkaError::Global(code),
            KafkaError::MessageConsumption(code),
            KafkaError::MessageConsumptionFatal(code),
            KafkaError::MessageProduction(code),
            KafkaError::MetadataFetch(code),
            KafkaError::OffsetFetch(code),
        ];
        for error in errors {
            assert_eq!(decide(&error), Decision::Denied(Resource::Topic), "{error:?}");
        }
        let fenced = KafkaError::MessageConsumptionFatal(Code::UnknownMemberId);
        assert_eq!((decide(&fenced), decide(&KafkaError::PartitionEOF(0))), (Decision::ClientDead, Decision::Event));
    }

    #[test]
    fn a_denial_names_user_operation_and_resource_and_how_to_grant_it() {
        let kafka = KafkaSettings::plaintext("k:9092");
        let sentence = Denial::new(&kafka, "Write", Resource::Topic, "co2").to_string();
        assert_eq!(
            sentence,
            "kafka denies user `ANONYMOUS` Write on topic `co2`; \
             grant `kafka-acls.sh --add --allow-principal User:ANONYMOUS --operation Write --topic co2`"
        );
        let sentence = Denial::new(&kafka, "Describe", Resource::Topic, "co2").mended_by("Read").to_string();
        assert!(sentence.contains("Describe on topic `co2`; ") && sentence.contains("--operation Read "), "{sentence}");
        let sentence = Denial::new(&kafka, "IdempotentWrite", Resource::Cluster, "").to_string();
        assert!(
            sentence.contains("IdempotentWrite on the cluster; ") && sentence.ends_with("IdempotentWrite --cluster`")
        );
    }
}
