//! Rights granted and denied on a real broker, over its listener for administrators.
//!
//! The client library for Rust does not offer these two requests, and Kafka's own tool takes two seconds each.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

/// What a user may do, by its number in the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Read = 3,
    Write = 4,
    Create = 5,
    Describe = 8,
    DescribeConfigs = 10,
}

/// On what it may be done.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Resource<'a> {
    Topic(&'a str),
    Group(&'a str),
    Cluster,
}

/// Whether a rule grants or denies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Permission {
    Deny = 2,
    Allow = 3,
}

/// One rule for one user.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule<'a> {
    pub(crate) user: &'a str,
    pub(crate) permission: Permission,
    pub(crate) operation: Operation,
    pub(crate) resource: Resource<'a>,
}

/// How long the broker takes, at worst seen, to obey a rule that its controller has accepted, and more.
const OBEYED: Duration = Duration::from_millis(200);
const CREATE_ACLS: i16 = 30;
const DELETE_ACLS: i16 = 31;

impl Rule<'_> {
    /// Adds the rule, and waits until the broker obeys it.
    pub(crate) fn add(&self, broker: &str) {
        self.request(broker, CREATE_ACLS);
    }

    /// Removes the rule, and waits until the broker obeys.
    pub(crate) fn remove(&self, broker: &str) {
        self.request(broker, DELETE_ACLS);
    }

    /// Both requests hold the same fields in the same order, as a rule or as a filter for one.
    fn request(&self, broker: &str, key: i16) {
        let (kind, name) = match self.resource {
            Resource::Topic(name) => (2, name),
            Resource::Group(name) => (3, name),
            Resource::Cluster => (4, "kafka-cluster"),
        };
        let mut request = Vec::new();
        for number in [key, 1] {
            request.extend(number.to_be_bytes());
        }
        request.extend(7_i32.to_be_bytes());
        string(&mut request, "rights");
        request.extend(1_i32.to_be_bytes());
        request.push(kind);
        string(&mut request, name);
        // A literal name, not a prefix.
        request.push(3);
        string(&mut request, &format!("User:{}", self.user));
        string(&mut request, "*");
        request.extend([self.operation as u8, self.permission as u8]);

        let mut stream = TcpStream::connect(broker).unwrap();
        stream.write_all(&u32::try_from(request.len()).unwrap().to_be_bytes()).unwrap();
        stream.write_all(&request).unwrap();
        // Size, correlation, throttle time, the number of results, the first one's error.
        let mut response = [0; 18];
        stream.read_exact(&mut response).unwrap();
        assert_eq!(response[12..], [0, 0, 0, 1, 0, 0], "{self:?} is refused");
        std::thread::sleep(OBEYED);
    }
}

fn string(request: &mut Vec<u8>, text: &str) {
    request.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
    request.extend(text.as_bytes());
}
