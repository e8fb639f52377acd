//! The members of a consumer group: consumers of one database, never of two.

use std::{
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use rdkafka::{error::KafkaError, types::RDKafkaErrorCode};
use service::Stop;

use crate::{
    Error,
    identity::{Member, Membership},
    kafka::group::{self, GroupConsumer, REQUEST_TIMEOUT},
};

/// How often a new member checks for one of another database that joined at the same moment. All checks together take
/// longer than the time between the joins of two programs that are started together.
const POLLS: u32 = 6;
/// The time between two of those checks.
const POLL_INTERVAL: Duration = Duration::from_secs(5);
/// How long such a check may take, which a stop then has to wait for.
const POLL_TIMEOUT: Duration = Duration::from_secs(2);

impl Membership {
    /// Requests the members of the group; returns why we may not join it, if one stores elsewhere.
    ///
    /// # Errors
    /// When Kafka does not say.
    pub(crate) fn refused(&self, consumer: &GroupConsumer) -> Result<Option<Error>, KafkaError> {
        let members = self.members(consumer, REQUEST_TIMEOUT)?;
        Ok(self.other(&members).map(|member| self.shared_with(member)))
    }

    /// Checks again for a while whether one of another database joined when we did: neither has seen the other before.
    /// The one with the greater client.id stops.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(crate) fn watch(self, consumer: Arc<GroupConsumer>, stop: Stop) -> std::io::Result<MembershipCheck> {
        let (end, ended) = mpsc::channel::<()>();
        let poll = move || {
            for _ in 0..POLLS {
                if ended.recv_timeout(POLL_INTERVAL) != Err(mpsc::RecvTimeoutError::Timeout) {
                    return None;
                }
                let Ok(members) = self.members(&consumer, POLL_TIMEOUT) else { continue };
                if let Some(member) = self.rival(&members) {
                    stop.stop();
                    return Some(self.shared_with(member));
                }
            }
            None
        };
        Ok(MembershipCheck { end, thread: thread::Builder::new().name("membership".to_owned()).spawn(poll)? })
    }

    /// The group's members; none where the broker does not support the request, as an embedded one.
    fn members(&self, consumer: &GroupConsumer, patience: Duration) -> Result<Vec<Member>, KafkaError> {
        match group::members(consumer, &self.group, patience) {
            Err(KafkaError::GroupListFetch(RDKafkaErrorCode::UnsupportedFeature)) => Ok(Vec::new()),
            response => response,
        }
    }
}

/// A check for members of another database, while records are read.
pub(crate) struct MembershipCheck {
    end: mpsc::Sender<()>,
    thread: JoinHandle<Option<Error>>,
}

impl MembershipCheck {
    /// Ends it, and gives what ended the reading: a member that was found, else `ended`.
    pub(crate) fn end(self, ended: Result<(), Error>) -> Result<(), Error> {
        drop(self.end);
        match self.thread.join() {
            Ok(Some(shared)) => ended.and(Err(shared)),
            // One that has panicked has found nobody.
            Ok(None) | Err(_) => ended,
        }
    }
}
