//! `mqtt://host:1883`.

use std::{fmt, str::FromStr};

/// Where an MQTT broker is. Never holds a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MqttUrl {
    /// Its name or address, an IPv6 one without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: bool,
}

impl FromStr for MqttUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (scheme, rest) = text.split_once("://").ok_or("not an address such as mqtt://host:1883")?;
        let tls = match scheme {
            "mqtt" => false,
            "mqtts" => true,
            _ => return Err("neither an mqtt:// nor an mqtts:// address"),
        };
        if rest.contains('@') {
            return Err("it holds a login; --mqtt-username and MQTT_PASSWORD take that");
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, port)) => (host, Some(port.strip_prefix(':').ok_or("its port is not a number")?)),
            None => rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port))),
        };
        if host.is_empty() || host.contains(['/', '?', '#']) {
            return Err("not an address such as mqtt://host:1883");
        }
        let usual = if tls { 8883 } else { 1883 };
        let port = port.map_or(Ok(usual), str::parse).map_err(|_| "its port is not a number")?;
        Ok(Self { host: host.to_owned(), port, tls })
    }
}

impl fmt::Display for MqttUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        write!(f, "mqtt{}://{open}{}{close}:{}", if self.tls { "s" } else { "" }, self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_scheme_a_host_and_perhaps_a_port() {
        let check = |text: &str, expected: Result<&str, &str>| {
            let url = text.parse::<MqttUrl>().map(|url| url.to_string());
            match (&url, expected) {
                (Ok(url), Ok(expected)) => assert_eq!(url, expected),
                (Err(error), Err(expected)) => assert!(error.contains(expected), "{text}: {error}"),
                other => panic!("{text}: {other:?}"),
            }
        };
        check("mqtt://broker", Ok("mqtt://broker:1883"));
        check("mqtts://broker/", Ok("mqtts://broker:8883"));
        check("mqtt://127.0.0.1:18830", Ok("mqtt://127.0.0.1:18830"));
        check("mqtts://[::1]:8884", Ok("mqtts://[::1]:8884"));
        check("mqtt://me:s3cret@broker", Err("MQTT_PASSWORD"));
        check("broker:1883", Err("such as mqtt://"));
        check("tcp://broker", Err("neither"));
        check("mqtt://broker:port", Err("port"));
        check("mqtt:///topic", Err("such as"));
    }
}
