//! The options of live inputs.

use std::net::SocketAddr;

use clap::{Args, builder::NonEmptyStringValueParser};
use secrecy::SecretString;
use service::settings::{SecretParser, switch};

use super::{mapping::Field, mqtt_url::MqttUrl, queue::Bounds};

/// What a message takes of the bound of bytes, beside its own: a short reading, and what is kept of it.
const BYTES_A_MESSAGE: usize = 320;

/// Options of all live inputs.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Live inputs")]
pub(crate) struct LiveSettings {
    /// The most readings held that Kafka has not acknowledged; beyond, the response is 429, and an MQTT broker waits.
    #[arg(long, env = "MAX_UNACKNOWLEDGED", default_value = "100000", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(super) max_unacknowledged: u32,
    #[command(flatten)]
    pub(super) http: HttpSettings,
    #[command(flatten)]
    pub(super) mqtt: MqttSettings,
}

impl LiveSettings {
    pub(super) fn bounds(&self) -> Bounds {
        let messages = usize::try_from(self.max_unacknowledged).unwrap_or(usize::MAX);
        Bounds { messages, bytes: messages.saturating_mul(BYTES_A_MESSAGE).max(1 << 20) }
    }
}

/// Options of `--source http`.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "HTTP input")]
pub(crate) struct HttpSettings {
    /// Where POST /readings is served, `address:port`; never that of --listen.
    #[arg(
        id = "http_listen",
        long = "http-listen",
        env = "HTTP_LISTEN",
        default_value = "0.0.0.0:8090",
        value_name = "ADDRESS"
    )]
    pub(super) listen: SocketAddr,
    /// The token that a client has to send, as `Authorization: Bearer TOKEN` [default: anybody may send].
    #[arg(id = "http_token", long = "http-token", env = "HTTP_TOKEN", hide_env_values = true, allow_hyphen_values = true,
          value_parser = SecretParser, value_name = "TOKEN")]
    pub(super) token: Option<SecretString>,
    /// Take what can be used of a request, and answer 200 with the number and the first reasons of what cannot.
    ///
    /// Without it, one element that cannot be used makes the response 400, and nothing is taken. Some clients repeat such a
    /// request for ever.
    #[arg(long, env = "ACCEPT_PARTIAL", value_parser = switch)]
    pub(super) accept_partial: bool,
}

/// Options of `--source mqtt`.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "MQTT input")]
pub(crate) struct MqttSettings {
    /// The broker, which must know MQTT 5: `mqtt://host:1883`, or `mqtts://host:8883` with TLS. SSL_CERT_FILE names the
    /// authorities to trust.
    #[arg(
        id = "mqtt_url",
        long = "mqtt-url",
        env = "MQTT_URL",
        default_value = "mqtt://localhost:1883",
        value_name = "URL"
    )]
    pub(super) url: MqttUrl,
    /// The user to log in as.
    #[arg(id = "mqtt_username", long = "mqtt-username", env = "MQTT_USERNAME", value_name = "NAME",
          value_parser = NonEmptyStringValueParser::new())]
    pub(super) username: Option<String>,
    /// The user's password.
    #[arg(id = "mqtt_password", long = "mqtt-password", env = "MQTT_PASSWORD", hide_env_values = true, allow_hyphen_values = true,
          value_parser = SecretParser, value_name = "PASSWORD", requires = "mqtt_username")]
    pub(super) password: Option<SecretString>,
    /// A topic filter to subscribe to, such as `home/+/temperature`; may be repeated.
    #[arg(id = "mqtt_topic", long = "mqtt-topic", env = "MQTT_TOPIC", value_delimiter = ',', value_name = "FILTER",
          value_parser = NonEmptyStringValueParser::new(), required_if_eq("source", "mqtt"))]
    pub(super) topics: Vec<String>,
    /// The name under which the broker keeps our session; two producers of one name disconnect each other [default:
    /// tributary-PIPELINE].
    #[arg(id = "mqtt_client_id", long = "mqtt-client-id", env = "MQTT_CLIENT_ID", value_name = "NAME",
          value_parser = NonEmptyStringValueParser::new())]
    pub(super) client_id: Option<String>,
    /// A field of a reading, and where it comes from; may be repeated [default: the payload is the reading].
    ///
    /// `sensor_id=topic:2` is the second level of the topic (`topic-text:2` where it is no number), `temperature=json:/value` a part of the payload, by its JSON
    /// pointer, `temperature=json:` the whole payload, and `unit=text:°C` a text.
    #[arg(long = "field", env = "FIELDS", value_delimiter = ',', value_name = "NAME=SOURCE")]
    pub(super) fields: Vec<Field>,
}
