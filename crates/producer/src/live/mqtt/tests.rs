//! Against a broker that the test plays, packet by packet.

use stream::Taken;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};

use super::*;
use crate::live::queue::{Bounds, Next};

const LIMIT: Duration = Duration::from_secs(20);
/// Long enough for an acknowledgement that must not come.
const SILENCE: Duration = Duration::from_millis(300);

/// Takes every payload as a message without a time.
struct Any;

impl Inlet for Any {
    fn element(&self, json: &[u8], _: i64, message: &mut Outgoing) -> Result<Taken, String> {
        (message.key, message.value) = (b"k".to_vec(), json.to_vec());
        Ok(Taken::Undated)
    }
}

/// The input under test, and the broker's end of its connections.
struct World {
    listener: TcpListener,
    queue: Arc<Queue>,
    stop: Stop,
    ended: Stop,
    running: JoinHandle<()>,
    given: u64,
}

impl World {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let queue = Arc::new(Queue::new(Bounds { messages: 100, bytes: 1 << 20 }));
        let (stop, ended) = (Stop::default(), Stop::default());
        let settings = MqttSettings {
            url: format!("mqtt://{}", listener.local_addr().unwrap()).parse().unwrap(),
            username: None,
            password: None,
            topics: vec!["a/#".to_owned()],
            client_id: None,
            fields: vec![],
        };
        let mqtt = Mqtt {
            settings,
            queue: Arc::clone(&queue),
            inlet: Box::new(Any),
            health: Health::new(LIMIT),
            default_id: "tests".to_owned(),
            receive_maximum: 100,
            wait: LIMIT,
            largest: 1_000,
            stop: stop.clone(),
            ended: ended.clone(),
        };
        let running = tokio::spawn(mqtt.run());
        Self { listener, queue, stop, ended, running, given: 0 }
    }

    /// A connection that is accepted, with a session or without one, and subscribed.
    async fn connected(&self, session_present: u8) -> Connection {
        let (stream, _) = timeout(LIMIT, self.listener.accept()).await.unwrap().unwrap();
        let mut connection = Connection(stream);
        let (kind, connect) = connection.packet().await;
        assert_eq!((kind, &connect[..6]), (0x10, b"\0\x04MQTT".as_slice()));
        // Version 5; no clean start.
        assert_eq!((connect[6], connect[7] & 0b10), (5, 0));
        connection.send(&[0x20, 3, session_present, 0, 0]).await;
        let (kind, subscribe) = connection.packet().await;
        assert_eq!(kind, 0x82);
        connection.send(&[0x90, 4, subscribe[0], subscribe[1], 0, 1]).await;
        connection
    }

    /// Gives the message that was taken next to be sent; it has this number then.
    async fn give(&mut self) -> (Vec<u8>, u64) {
        let begun = Instant::now();
        loop {
            if let Ok(Next::Batch(batch, since)) = self.queue.next(Duration::ZERO) {
                let mut message = Outgoing::default();
                self.given += batch.len() as u64;
                batch.copy(0, &mut message);
                self.queue.given(batch, since, self.given);
                return (message.value, self.given);
            }
            assert!(begun.elapsed() < LIMIT, "no message is taken");
            sleep(Duration::from_millis(5)).await;
        }
    }
}

struct Connection(TcpStream);

impl Connection {
    async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// Publishes with QoS 1, retained or not.
    async fn publish(&mut self, id: u8, payload: &[u8], retained: bool) {
        let length = u8::try_from(2 + 3 + 2 + 1 + payload.len()).unwrap();
        let head = [0x32 | u8::from(retained), length, 0, 3, b'a', b'/', b'b', 0, id, 0];
        self.send(&[&head, payload].concat()).await;
    }

    /// The next packet: its first byte, and what follows its length.
    async fn packet(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 2];
        timeout(LIMIT, self.0.read_exact(&mut head)).await.unwrap().unwrap();
        assert!(head[1] < 128, "a short packet");
        let mut rest = vec![0; usize::from(head[1])];
        self.0.read_exact(&mut rest).await.unwrap();
        (head[0], rest)
    }

    /// The number of the message that is acknowledged next.
    async fn acknowledged(&mut self) -> u8 {
        let (kind, rest) = self.packet().await;
        assert_eq!(kind, 0x40);
        rest[1]
    }

    async fn says_nothing(&mut self) {
        assert!(timeout(SILENCE, self.0.read_u8()).await.is_err());
    }
}

#[tokio::test]
async fn a_message_is_acknowledged_once_kafka_has_it() {
    let mut world = World::start().await;
    let mut broker = world.connected(0).await;
    for id in [1, 2] {
        broker.publish(id, b"1", false).await;
        world.give().await;
    }
    broker.says_nothing().await;
    world.queue.acknowledged(2);
    assert_eq!((broker.acknowledged().await, broker.acknowledged().await), (1, 2));
}

#[tokio::test]
async fn an_acknowledgement_of_a_lost_session_confirms_no_new_message() {
    let mut world = World::start().await;
    let mut broker = world.connected(0).await;
    broker.publish(1, b"old", false).await;
    let (old, first) = world.give().await;
    drop(broker);
    let mut broker = world.connected(0).await;
    broker.publish(1, b"new", false).await;
    let (new, second) = world.give().await;
    assert_eq!((old.as_slice(), new.as_slice()), (b"old".as_slice(), b"new".as_slice()));
    world.queue.acknowledged(first);
    broker.says_nothing().await;
    world.queue.acknowledged(second);
    assert_eq!(broker.acknowledged().await, 1);
}

#[tokio::test]
async fn what_is_not_sent_is_acknowledged_in_turn() {
    let mut world = World::start().await;
    let mut broker = world.connected(1).await;
    broker.publish(1, b"1", false).await;
    broker.publish(2, b"unavailable", false).await;
    broker.publish(3, b"kept", true).await;
    let (_, first) = world.give().await;
    world.give().await;
    world.give().await;
    broker.says_nothing().await;
    world.queue.acknowledged(first);
    for id in [1, 2, 3] {
        assert_eq!(broker.acknowledged().await, id);
    }
}

#[tokio::test]
async fn the_last_acknowledgements_go_out_at_the_stop() {
    let mut world = World::start().await;
    let mut broker = world.connected(0).await;
    broker.publish(1, b"1", false).await;
    let (_, first) = world.give().await;
    world.stop.stop();
    world.queue.close();
    broker.publish(2, b"2", false).await;
    sleep(SILENCE).await;
    world.queue.acknowledged(first);
    world.queue.abandon();
    world.ended.stop();
    assert_eq!(broker.acknowledged().await, 1);
    assert_eq!(broker.packet().await.0, 0xE0, "it disconnects, and the second message stays with the broker");
    drop(broker);
    timeout(LIMIT, world.running).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_broker_that_refuses_the_login_ends_it() {
    let world = World::start().await;
    let (stream, _) = world.listener.accept().await.unwrap();
    let mut connection = Connection(stream);
    connection.packet().await;
    connection.send(&[0x20, 3, 0, 0x86, 0]).await;
    timeout(LIMIT, world.running).await.unwrap().unwrap();
    let failure = world.queue.next(Duration::ZERO).err().unwrap();
    assert!(failure.exit() == Exit::Usage && failure.to_string().contains("BadUserNamePassword"), "{failure}");
}
