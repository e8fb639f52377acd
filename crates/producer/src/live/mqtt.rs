//! An MQTT broker's messages: each is acknowledged to the broker once Kafka has it. All that is of the client library is here.
//!
//! Every connection has a client of its own, and acknowledgements go through a channel of that connection: one that comes after
//! the connection was lost reaches nobody. After a lost session its packet number may be that of another message.

use std::{sync::Arc, time::Duration};

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};
use rumqttc::{
    NetworkOptions, TlsConfiguration, Transport,
    v5::{
        AsyncClient, ConnectionError, Event, EventLoop, Incoming, MqttOptions,
        mqttbytes::{
            QoS,
            v5::{ConnAck, ConnectReturnCode, Filter, Publish, RetainForwardRule, SubscribeReasonCode},
        },
    },
};
use secrecy::ExposeSecret;
use service::{Exit, Failure, Stop, backoff::Backoff, health::Health};
use stream::{Inlet, Outgoing, sender::OUTAGE_TIMEOUT};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::{Instant, interval, sleep, sleep_until},
};

use super::{
    batch::Batch,
    http::now_ms,
    mapping::{Outcome, Published, outcome},
    queue::Queue,
    settings::MqttSettings,
};

/// How long the broker keeps our session, and what comes for it, while we are away: a long weekend and its repair.
const SESSION_EXPIRY_S: u32 = 7 * 24 * 60 * 60;
/// The longest packet, bytes: no reading is longer, and so many of them at once bound the memory.
const LONGEST_PACKET: u32 = 256 << 10;
/// How often the broker hears of us at least; it takes us for gone after one and a half times as long.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// How long the broker may take for a connection, seconds.
const CONNECT_WITHIN_S: u64 = 10;
/// Acknowledgements that wait for the connection's thread: more than a batch of Kafka's brings at once.
const ACKS_WAITING: usize = 4_096;
/// A connection that was there for so long is an outage of its own when it is lost; where two clients of one name disconnect
/// each other, it is not.
const LASTS: Duration = Duration::from_secs(10);
/// How often the probes hear of us.
const TURN_EVERY: Duration = Duration::from_secs(5);
/// How long the last acknowledgements may take at the stop.
const LAST_ACKS_WITHIN: Duration = Duration::from_secs(1);

const CONNECTED: &str = "tributary_producer_mqtt_connected";
const MESSAGES: &str = "tributary_producer_mqtt_messages_total";
const OUTCOMES: [&str; 4] = ["taken", "filtered", "retained", "rejected"];

/// Describes the metrics, and has them exist from the start.
pub(super) fn describe_metrics() {
    describe_gauge!(CONNECTED, Unit::Count, "whether the MQTT broker is connected and has subscribed us: 1 or 0");
    describe_counter!(
        MESSAGES,
        Unit::Count,
        "MQTT messages by outcome: taken; filtered; retained, dropped for having no time; rejected, sent to be kept as rejects"
    );
    gauge!(CONNECTED).set(0);
    for outcome in OUTCOMES {
        counter!(MESSAGES, "outcome" => outcome).absolute(0);
    }
}

/// The input; it runs until it is stopped, or the broker is away for too long.
pub(super) struct Mqtt {
    pub(super) settings: MqttSettings,
    pub(super) queue: Arc<Queue>,
    pub(super) inlet: Box<dyn Inlet>,
    pub(super) health: Health,
    /// The client id where the settings name none.
    pub(super) default_id: String,
    /// How many messages the broker may send before they are acknowledged.
    pub(super) receive_maximum: u16,
    /// How long the broker is waited for at the start.
    pub(super) wait: Duration,
    /// The largest key and value together that the topics take, bytes.
    pub(super) largest: usize,
    /// No message is taken any more; those that were are still acknowledged.
    pub(super) stop: Stop,
    /// Kafka will acknowledge nothing more.
    pub(super) ended: Stop,
}

/// Why a connection is over.
enum Over {
    /// A stop was requested.
    Stopped,
    /// It cannot be made, or broke; whether it had been there for a while.
    Lost { why: String, lasted: bool },
    /// Another try would fail the same way.
    Refused(String),
}

impl Mqtt {
    /// Connects, and again whenever the connection is lost.
    pub(super) async fn run(self) {
        let mut backoff = Backoff::new(self.wait);
        loop {
            self.health.turn();
            let over = self.connection().await;
            gauge!(CONNECTED).set(0);
            let broker = &self.settings.url;
            let why = match over {
                Over::Stopped => return,
                Over::Refused(why) => {
                    return self.queue.fail(Failure::new(
                        Exit::Usage,
                        format!("the MQTT broker {broker} refuses us: {why}; check the --mqtt-… settings"),
                    ));
                }
                Over::Lost { why, lasted } => {
                    if lasted {
                        backoff = Backoff::new(OUTAGE_TIMEOUT);
                    }
                    why
                }
            };
            self.health.set_unready(vec![format!("the MQTT broker {broker} is not connected: {why}")]);
            let Some(wait) = backoff.wait() else {
                return self.queue.fail(Failure::new(
                    Exit::Unavailable,
                    format!("the MQTT broker {broker} is unavailable: {why}; check --mqtt-url, or try again later"),
                ));
            };
            tracing::warn!(wait_ms = wait.as_millis(), "the MQTT broker {broker} is not connected: {why}");
            tokio::select! {
                () = sleep(wait) => {}
                () = self.stop.stopped() => return,
            }
        }
    }

    /// One connection, with what belongs to it alone.
    async fn connection(&self) -> Over {
        let options = match self.options() {
            Ok(options) => options,
            Err(why) => return Over::Refused(why),
        };
        let (client, mut events) = AsyncClient::new(options, ACKS_WAITING);
        let (acks, to_send) = unbounded_channel();
        let acking = tokio::spawn(acknowledge(client.clone(), to_send));
        let over = self.exchange(&client, &mut events, acks).await;
        // What is not sent by now belongs to no later connection.
        acking.abort();
        over
    }

    async fn exchange(&self, client: &AsyncClient, events: &mut EventLoop, acks: UnboundedSender<Publish>) -> Over {
        let (mut acks, mut since, mut until) = (Some(acks), None, None);
        let mut turns = interval(TURN_EVERY);
        let mut message = Outgoing::default();
        loop {
            let event = {
                // To its end: abandoned in the middle, it may lose an acknowledgement.
                let polling = events.poll();
                tokio::pin!(polling);
                loop {
                    tokio::select! {
                        event = &mut polling => break event,
                        _ = turns.tick() => self.health.turn(),
                        () = self.ended.stopped(), if acks.is_some() => {
                            // Those that Kafka has are in the channel by now; when they are sent, the client disconnects.
                            acks = None;
                            until = Some(Instant::now() + LAST_ACKS_WITHIN);
                        }
                        () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => return Over::Stopped,
                    }
                }
            };
            match event {
                Ok(Event::Incoming(Incoming::ConnAck(granted))) => {
                    self.say_what_is_granted(&granted);
                    if let Err(error) = client.subscribe_many(self.filters()).await {
                        return Over::Lost { why: error.to_string(), lasted: false };
                    }
                }
                Ok(Event::Incoming(Incoming::SubAck(subscribed))) => {
                    if let Some(why) = self.refused(&subscribed.return_codes) {
                        return Over::Refused(why);
                    }
                    since = Some(Instant::now());
                    gauge!(CONNECTED).set(1);
                    self.health.set_unready(Vec::new());
                }
                Ok(Event::Incoming(Incoming::Publish(published))) => {
                    // At the stop the broker keeps it, for the next start.
                    if let Some(acks) = acks.as_ref().filter(|_| !self.stop.is_stopping()) {
                        self.take(&published, acks, &mut message).await;
                    }
                }
                Ok(_) => {}
                Err(_) if until.is_some() => return Over::Stopped,
                Err(error) => return lost(&error, since.is_some_and(|since: Instant| since.elapsed() > LASTS)),
            }
        }
    }

    /// Puts a message into the queue, and waits while that is full: nothing more is read from the broker then.
    async fn take(&self, published: &Publish, acks: &UnboundedSender<Publish>, message: &mut Outgoing) {
        let what = Published {
            topic: &published.topic,
            payload: &published.payload,
            retained: published.retain,
            arrival_ms: now_ms(),
        };
        let outcome = outcome(&self.settings.fields, self.inlet.as_ref(), what, message);
        if let Outcome::Rejected(reason) = &outcome {
            tracing::debug!(topic = %String::from_utf8_lossy(&published.topic), "a message cannot be used: {reason}");
        }
        let (index, mut is_sent) = match outcome {
            Outcome::Taken => (0, true),
            Outcome::Filtered => (1, false),
            Outcome::Retained => (2, false),
            Outcome::Rejected(_) => (3, true),
        };
        counter!(MESSAGES, "outcome" => OUTCOMES[index]).increment(1);
        if is_sent && message.key.len() + message.value.len() > self.largest {
            tracing::warn!(
                bytes = published.payload.len(),
                "a message is longer than the kafka topic takes, and is dropped"
            );
            is_sent = false;
        }
        let mut batch = Batch::default();
        if is_sent {
            batch.add(message);
        }
        let (acks, to_ack) = (acks.clone(), Publish { qos: published.qos, pkid: published.pkid, ..Publish::default() });
        // Nobody receives it where the connection was lost: the broker sends the message again.
        let done = Box::new(move || _ = acks.send(to_ack));
        self.queue.push_when_room(batch.with_done(done)).await;
    }

    fn options(&self) -> Result<MqttOptions, String> {
        let MqttSettings { url, username, password, client_id, .. } = &self.settings;
        let id = client_id.as_ref().unwrap_or(&self.default_id);
        let mut options = MqttOptions::new(id, &url.host, url.port);
        options
            .set_keep_alive(KEEP_ALIVE)
            .set_connection_timeout(CONNECT_WITHIN_S)
            .set_clean_start(false)
            .set_session_expiry_interval(Some(SESSION_EXPIRY_S))
            .set_receive_maximum(Some(self.receive_maximum))
            .set_max_packet_size(Some(LONGEST_PACKET))
            .set_manual_acks(true)
            // We publish nothing; the library keeps a place for each that could be under way.
            .set_outgoing_inflight_upper_limit(1);
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        options.set_network_options(network);
        if let Some(username) = username {
            let password = password.as_ref().map_or("", |password| password.expose_secret());
            options.set_credentials(username, password);
        }
        if url.tls {
            options.set_transport(Transport::Tls(TlsConfiguration::Rustls(Arc::new(crate::tls::client()?))));
        }
        Ok(options)
    }

    fn filters(&self) -> Vec<Filter> {
        let filter = |topic: &String| Filter {
            retain_forward_rule: RetainForwardRule::OnNewSubscribe,
            ..Filter::new(topic, QoS::AtLeastOnce)
        };
        self.settings.topics.iter().map(filter).collect()
    }

    /// Says what the broker grants, where that is less than we ask for. The subscription is made each time: a session that is
    /// there keeps it as it is, and one that was lost needs it.
    fn say_what_is_granted(&self, granted: &ConnAck) {
        let broker = &self.settings.url;
        let properties = granted.properties.as_ref();
        let expiry_s = properties.and_then(|properties| properties.session_expiry_interval).unwrap_or(SESSION_EXPIRY_S);
        if expiry_s < SESSION_EXPIRY_S {
            tracing::warn!(
                expiry_s,
                "the MQTT broker keeps our session, and what comes meanwhile, for {expiry_s} s only"
            );
        }
        let session = if granted.session_present { "had a" } else { "has no" };
        let receive_maximum = self.receive_maximum;
        tracing::info!(
            receive_maximum,
            expiry_s,
            "connected to the MQTT broker {broker}, which {session} session of ours"
        );
    }

    /// Why the broker does not subscribe us, if so.
    fn refused(&self, codes: &[SubscribeReasonCode]) -> Option<String> {
        for (topic, code) in self.settings.topics.iter().zip(codes) {
            match code {
                SubscribeReasonCode::Success(QoS::AtMostOnce) => {
                    tracing::warn!("the MQTT broker grants QoS 0 for {topic}: what it sends while we are away is lost");
                }
                SubscribeReasonCode::Success(_) => {}
                refused => return Some(format!("no subscription to {topic}: {refused:?}")),
            }
        }
        None
    }
}

/// Sends acknowledgements in the order in which Kafka's came, then disconnects; the broker keeps the session.
async fn acknowledge(client: AsyncClient, mut acks: UnboundedReceiver<Publish>) {
    while let Some(published) = acks.recv().await {
        if client.ack(&published).await.is_err() {
            return;
        }
    }
    // The connection may be gone already.
    drop(client.disconnect().await);
}

/// What a failed connection means.
fn lost(error: &ConnectionError, lasted: bool) -> Over {
    match error {
        ConnectionError::ConnectionRefused(
            code @ (ConnectReturnCode::BadUserNamePassword
            | ConnectReturnCode::NotAuthorized
            | ConnectReturnCode::Banned
            | ConnectReturnCode::BadAuthenticationMethod
            | ConnectReturnCode::ClientIdentifierNotValid
            | ConnectReturnCode::UnsupportedProtocolVersion
            | ConnectReturnCode::RefusedProtocolVersion),
        ) => Over::Refused(format!("{code:?}")),
        error => Over::Lost { why: error.to_string(), lasted },
    }
}

#[cfg(test)]
mod tests;
