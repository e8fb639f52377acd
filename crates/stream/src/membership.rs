//! Whose consumers a consumer group holds: those of one database, never of two.

use std::{
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use rdkafka::{error::KafkaError, types::RDKafkaErrorCode};
use service::Stop;

use crate::{
    Error,
    kafka::group::{self, ASK, GroupConsumer},
};

/// How every client.id of ours begins.
const OURS: &str = "tributary/";
/// How long a new member looks for one of another database that joined at the same moment: longer than two programs that are
/// started together are apart.
const LOOKS: u32 = 6;
/// The time between two of those looks.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long such a look may take, which a stop then has to wait for.
const LOOK: Duration = Duration::from_secs(2);

/// Which pipeline of which database a consumer stores for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pipeline: String,
    uuid: String,
}

impl Identity {
    /// The identity that `migrate` has drawn for a pipeline's database, a uuid.
    pub fn new(pipeline: &str, uuid: &str) -> Self {
        Self { pipeline: pipeline.to_owned(), uuid: uuid.to_owned() }
    }

    /// The consumer group, unless another is given: `tributary-emissions-0a1b2c3d4e5f`.
    pub fn group(&self) -> String {
        let digits: String = self.uuid.chars().filter(|digit| *digit != '-').take(12).collect();
        format!("tributary-{}-{digits}", self.pipeline)
    }

    /// What Kafka is told of each client.
    pub fn client_id(&self) -> String {
        format!("{OURS}{}/{}", self.pipeline, self.uuid)
    }
}

/// A live member of a consumer group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// What it calls itself.
    pub client_id: String,
    /// Where it connects from.
    pub host: String,
}

/// Our place in a consumer group.
#[derive(Clone, Debug)]
pub(crate) struct Membership {
    pub(crate) group: String,
    pub(crate) client_id: String,
}

impl Membership {
    /// Asks who is in the group; gives why we may not be in it too, if one stores elsewhere.
    ///
    /// # Errors
    /// When Kafka does not say.
    pub(crate) fn refused(&self, consumer: &GroupConsumer) -> Result<Option<Error>, KafkaError> {
        let members = self.members(consumer, ASK)?;
        Ok(self.other(&members).map(|member| self.shared_with(member)))
    }

    /// Looks again for a while whether one of another database joined when we did: neither has seen the other before. The one
    /// with the greater client.id stops.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(crate) fn watch(self, consumer: Arc<GroupConsumer>, stop: Stop) -> std::io::Result<Watch> {
        let (end, ended) = mpsc::channel::<()>();
        let look = move || {
            for _ in 0..LOOKS {
                if ended.recv_timeout(LOOK_EVERY) != Err(mpsc::RecvTimeoutError::Timeout) {
                    return None;
                }
                let Ok(members) = self.members(&consumer, LOOK) else { continue };
                if let Some(member) = self.rival(&members) {
                    stop.stop();
                    return Some(self.shared_with(member));
                }
            }
            None
        };
        Ok(Watch { end, thread: thread::Builder::new().name("membership".to_owned()).spawn(look)? })
    }

    /// The group's members; none where the broker cannot be asked, as an embedded one.
    fn members(&self, consumer: &GroupConsumer, patience: Duration) -> Result<Vec<Member>, KafkaError> {
        match group::members(consumer, &self.group, patience) {
            Err(KafkaError::GroupListFetch(RDKafkaErrorCode::UnsupportedFeature)) => Ok(Vec::new()),
            answer => answer,
        }
    }

    /// A member that stores elsewhere than we do.
    fn other<'a>(&self, members: &'a [Member]) -> Option<&'a Member> {
        members.iter().filter(|member| member.client_id != self.client_id).min()
    }

    /// A member of another database that we have to give way to.
    fn rival<'a>(&self, members: &'a [Member]) -> Option<&'a Member> {
        let gives_way_to = |other: &&Member| other.client_id.starts_with(OURS) && other.client_id < self.client_id;
        members.iter().filter(gives_way_to).min()
    }

    fn shared_with(&self, member: &Member) -> Error {
        let whose = match member.client_id.strip_prefix(OURS).and_then(|rest| rest.split_once('/')) {
            Some((pipeline, _)) => format!("a consumer of another database, pipeline {pipeline}"),
            None => "another program".to_owned(),
        };
        let host = member.host.trim_start_matches('/').to_owned();
        Error::GroupShared { group: self.group.clone(), whose, client_id: member.client_id.clone(), host }
    }
}

/// A look-out for members of another database, while records are read.
pub(crate) struct Watch {
    end: mpsc::Sender<()>,
    thread: JoinHandle<Option<Error>>,
}

impl Watch {
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

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "5b0c1a52-9d4e-4c1f-8a2b-0123456789ab";

    fn ours() -> Membership {
        let identity = Identity::new("emissions", UUID);
        Membership { group: identity.group(), client_id: identity.client_id() }
    }

    fn member(client_id: &str) -> Member {
        Member { client_id: client_id.to_owned(), host: "/10.0.0.3".to_owned() }
    }

    #[test]
    fn a_database_has_a_group_and_a_client_id_of_its_own() {
        let identity = Identity::new("emissions", UUID);
        assert_eq!(identity.group(), "tributary-emissions-5b0c1a529d4e");
        assert_eq!(identity.client_id(), format!("tributary/emissions/{UUID}"));
        for other in [Identity::new("energy", UUID), Identity::new("emissions", "6b0c1a52-9d4e-4c1f-8a2b-0123456789ab")]
        {
            assert_ne!((other.group(), other.client_id()), (identity.group(), identity.client_id()));
        }
    }

    #[test]
    fn replicas_of_one_database_share_a_group_and_all_others_are_named() {
        let check = |client_ids: &[&str], expected: Option<&str>| {
            let members: Vec<Member> = client_ids.iter().copied().map(member).collect();
            let refused = ours().other(&members).map(|member| ours().shared_with(member).to_string());
            let named = refused.as_deref().and_then(|text| text.split_once(" in use by ")?.1.split(':').next());
            assert_eq!(named, expected);
        };
        let own = ours().client_id;
        check(&[], None);
        check(&[&own, &own], None);
        let other = "tributary/energy/00000000-0000-4000-8000-000000000000";
        check(
            &[&own, other],
            Some(&format!("a consumer of another database, pipeline energy (client.id {other}, at 10.0.0.3)")),
        );
        check(&["rdkafka"], Some("another program (client.id rdkafka, at 10.0.0.3)"));
        check(&["tributary/"], Some("another program (client.id tributary/, at 10.0.0.3)"));
    }

    #[test]
    fn of_two_that_joined_at_once_exactly_one_gives_way() {
        let (a, b) = (ours(), Membership { client_id: Identity::new("energy", UUID).client_id(), ..ours() });
        let members = [member(&a.client_id), member(&b.client_id), member("rdkafka")];
        let gives_way = |one: &Membership| one.rival(&members).is_some();
        assert_eq!([gives_way(&a), gives_way(&b)], [false, true]);
    }
}
