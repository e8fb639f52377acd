//! Which database a consumer stores for, and how it names itself in a consumer group.

use crate::Error;

/// How every client.id of ours begins.
const OURS: &str = "tributary/";

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

    /// The `client.id` that each client sends to Kafka.
    pub fn client_id(&self) -> String {
        format!("{OURS}{}/{}", self.pipeline, self.uuid)
    }
}

/// A live member of a consumer group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Member {
    /// What it calls itself.
    pub client_id: String,
    /// Where it connects from.
    pub host: String,
}

/// Our membership in a consumer group.
#[derive(Clone, Debug)]
pub(crate) struct Membership {
    pub(crate) group: String,
    pub(crate) client_id: String,
}

impl Membership {
    /// A member that stores elsewhere than we do.
    pub(crate) fn other<'a>(&self, members: &'a [Member]) -> Option<&'a Member> {
        members.iter().filter(|member| member.client_id != self.client_id).min()
    }

    /// A member of another database for which we have to stop.
    pub(crate) fn rival<'a>(&self, members: &'a [Member]) -> Option<&'a Member> {
        let comes_first = |other: &&Member| other.client_id.starts_with(OURS) && other.client_id < self.client_id;
        members.iter().filter(comes_first).min()
    }

    pub(crate) fn shared_with(&self, member: &Member) -> Error {
        let whose = match member.client_id.strip_prefix(OURS).and_then(|rest| rest.split_once('/')) {
            Some((pipeline, _)) => format!("a consumer of another database, pipeline {pipeline}"),
            None => "another program".to_owned(),
        };
        let host = member.host.trim_start_matches('/').to_owned();
        Error::GroupShared { group: self.group.clone(), whose, client_id: member.client_id.clone(), host }
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
    fn each_database_has_another_group_and_client_id() {
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
    fn of_two_that_joined_at_once_exactly_one_stops() {
        let (a, b) = (ours(), Membership { client_id: Identity::new("energy", UUID).client_id(), ..ours() });
        let members = [member(&a.client_id), member(&b.client_id), member("rdkafka")];
        let stops = |one: &Membership| one.rival(&members).is_some();
        assert_eq!([stops(&a), stops(&b)], [false, true]);
    }
}
