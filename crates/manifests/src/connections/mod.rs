//! Who talks to whom, from three sides: what the pods need, what the policies allow, what the table says.

pub mod allowed;
pub mod derived;
pub mod table;

use std::fmt;

/// One connection: from one end to a port of another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Connection {
    /// Who calls.
    pub from: End,
    /// Who is called.
    pub to: End,
    /// The port of the pod that is called.
    pub port: u16,
    /// Whether it is a connection of UDP.
    pub udp: bool,
}

/// One end of a connection.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// Our pods, by their program's name, after that of the pipeline they belong to.
    Program(String),
    /// The cluster's name service.
    Dns,
    /// The node's agent, which sends the probes; no policy can forbid that.
    Kubelet,
    /// Pods of another namespace.
    Namespace(String),
    /// Whatever lies outside of the cluster.
    Outside,
    /// Whoever it is, in the cluster or out of it.
    Anyone,
}

impl Connection {
    /// The connection without the name of a pipeline at its ends: the table has what every pipeline needs once.
    pub fn of(self, pipeline: &str) -> Self {
        Self { from: self.from.of(pipeline), to: self.to.of(pipeline), ..self }
    }
}

impl End {
    fn of(self, pipeline: &str) -> Self {
        match self {
            Self::Program(name) => {
                Self::Program(name.strip_prefix(&format!("{pipeline}-")).unwrap_or(&name).to_owned())
            }
            other => other,
        }
    }

    /// An end by the name that the table uses.
    pub fn named(name: &str) -> Self {
        match name.strip_prefix("namespace ") {
            Some(namespace) => Self::Namespace(namespace.to_owned()),
            None if name == "dns" => Self::Dns,
            None if name == "kubelet" => Self::Kubelet,
            None if name == "outside" => Self::Outside,
            None if name == "anyone" => Self::Anyone,
            None => Self::Program(name.to_owned()),
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program(name) => write!(out, "{name}"),
            Self::Dns => write!(out, "dns"),
            Self::Kubelet => write!(out, "kubelet"),
            Self::Namespace(name) => write!(out, "namespace {name}"),
            Self::Outside => write!(out, "outside"),
            Self::Anyone => write!(out, "anyone"),
        }
    }
}

impl fmt::Display for Connection {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} → {} {}{}", self.from, self.to, self.port, if self.udp { "/udp" } else { "" })
    }
}
