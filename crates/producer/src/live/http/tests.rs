use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::sleep,
};

use super::*;
use crate::live::queue::{Bounds, Next};

/// Takes elements with a `v`; a `v` of 0 is not wanted.
struct Any;

impl Inlet for Any {
    fn element(&self, json: &[u8], arrival_ms: i64, message: &mut Outgoing) -> Result<Taken, String> {
        let element: Value = serde_json::from_slice(json).map_err(|_| "not JSON".to_owned())?;
        let v = element.get("v").and_then(Value::as_i64).ok_or("v is missing")?;
        (message.key, message.value) = (v.to_string().into_bytes(), json.to_vec());
        message.timestamp_ms = Some(arrival_ms);
        Ok(if v == 0 { Taken::Filtered } else { Taken::Undated })
    }
}

/// A server, and what it has taken.
struct Server {
    address: SocketAddr,
    queue: Arc<Queue>,
    stop: Stop,
    served: JoinHandle<std::io::Result<()>>,
}

impl Server {
    async fn start(token: Option<&str>, accept_partial: bool) -> Self {
        let queue = Arc::new(Queue::new(Bounds { messages: 4, bytes: 1 << 20 }));
        let listen = "127.0.0.1:0".parse().unwrap();
        let settings = HttpSettings { listen, token: token.map(SecretString::from), accept_partial };
        let intake = Intake::new(Arc::clone(&queue), Box::new(Any), &settings, 1_000);
        let listener = TcpListener::bind(listen).await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), Stop::default());
        let stopped = stop.clone();
        let served = tokio::spawn(async move {
            axum::serve(listener, routes(intake)).with_graceful_shutdown(async move { stopped.stopped().await }).await
        });
        Self { address, queue, stop, served }
    }

    /// The keys of what was taken, in order; Kafka has them.
    async fn sent(&self) -> Vec<String> {
        let mut sent = vec![];
        while let Some((keys, ())) = self.give(sent.len()).await.map(|keys| (keys, ())) {
            sent.extend(keys);
            self.queue.acknowledged(sent.len() as u64);
        }
        sent
    }

    /// Gives the next batch to be sent, the messages before it being so many.
    async fn give(&self, before: usize) -> Option<Vec<String>> {
        for _ in 0..20 {
            if let Ok(Next::Batch(batch, since)) = self.queue.next(Duration::ZERO) {
                let mut message = Outgoing::default();
                let keys = (0..batch.len()).map(|at| {
                    batch.copy(at, &mut message).unwrap();
                    String::from_utf8(message.key.clone()).unwrap()
                });
                let keys: Vec<String> = keys.collect();
                self.queue.given(batch, since, (before + keys.len()) as u64);
                return Some(keys);
            }
            sleep(Duration::from_millis(10)).await;
        }
        None
    }

    async fn post_with(&self, headers: &str, body: &str) -> (u16, String) {
        let length = body.len();
        self.raw(&format!(
            "POST /readings HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        ))
        .await
    }

    async fn post(&self, body: &str) -> (u16, String) {
        self.post_with("", body).await
    }

    /// The status, and the headers and the body.
    async fn raw(&self, request: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).await.unwrap();
        let status = response.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.unwrap_or_default(), response)
    }

    /// The response, while Kafka takes all that comes.
    async fn check(&self, body: &str, expected: (u16, &str), sent: &[&str]) {
        let ((status, response), taken) = tokio::join!(self.post(body), self.sent());
        assert_eq!(status, expected.0, "{body}: {response}");
        assert!(response.ends_with(&format!("{}\n", expected.1)), "{body}: {response}");
        assert_eq!(taken, sent, "{body}");
    }
}

#[tokio::test]
async fn an_object_an_array_and_lines_are_taken() {
    for (body, accepted, sent) in [
        (r#"{"v":1}"#, r#"{"accepted":1}"#, ["1"].as_slice()),
        (r#"[{"v":1},{"v":2}]"#, r#"{"accepted":2}"#, &["1", "2"]),
        ("{\"v\":1}\n{\"v\":2}\n", r#"{"accepted":2}"#, &["1", "2"]),
        (r#"[{"v":1},{"v":0}]"#, r#"{"accepted":2,"filtered":1}"#, &["1"]),
        ("[]", r#"{"accepted":0}"#, &[]),
    ] {
        Server::start(None, false).await.check(body, (200, accepted), sent).await;
    }
}

#[tokio::test]
async fn the_response_waits_for_kafka() {
    let server = Server::start(None, false).await;
    let address = server.address;
    let posting = tokio::spawn({
        let queue = Arc::clone(&server.queue);
        async move {
            let server = Server { address, queue, stop: Stop::default(), served: tokio::spawn(async { Ok(()) }) };
            server.post(r#"[{"v":1},{"v":2}]"#).await.0
        }
    });
    assert_eq!(server.give(0).await, Some(vec!["1".to_owned(), "2".to_owned()]));
    server.queue.acknowledged(1);
    sleep(Duration::from_millis(50)).await;
    assert!(!posting.is_finished());
    server.queue.acknowledged(2);
    assert_eq!(posting.await.unwrap(), 200);
}

#[tokio::test]
async fn one_element_that_is_wrong_refuses_all() {
    let server = Server::start(None, false).await;
    let said = |index, reason| {
        json!({ "error": "nothing of this request was taken: an element cannot be used", "index": index, "reason": reason }).to_string()
    };
    server.check(r#"[{"v":1},{"w":2},{"v":3}]"#, (400, &said(1, "v is missing")), &[]).await;
    server
        .check(r#"[{"v":1},{"v""#, (400, &said(1, "not JSON: EOF while parsing an object at line 1 column 13")), &[])
        .await;
    server.check("", (400, &said(0, "the body is empty")), &[]).await;
    let long = format!("{{\"v\":1,\"w\":\"{}\"}}", "x".repeat(1_000));
    server
        .check(&long, (400, &said(0, "it makes a message longer than the 1000 bytes that the topic takes")), &[])
        .await;
}

#[tokio::test]
async fn what_can_be_used_is_taken_where_that_is_wanted() {
    let server = Server::start(None, true).await;
    let said = r#"{"accepted":2,"errors":[{"index":1,"reason":"v is missing"}],"rejected":1}"#;
    server.check(r#"[{"v":1},{"w":2},{"v":3}]"#, (200, said), &["1", "3"]).await;
    assert_eq!(server.post("[{").await.0, 400, "what is not JSON is refused all the same");
}

#[tokio::test]
async fn the_token_is_required() {
    let server = Server::start(Some("s3cret"), false).await;
    for wrong in
        ["", "Authorization: Bearer s3cre\r\n", "Authorization: Basic s3cret\r\n", "Authorization: Bearer s3cret2\r\n"]
    {
        let (status, response) = server.post_with(wrong, "[]").await;
        assert!(status == 401 && response.contains("www-authenticate: Bearer"), "{wrong}: {response}");
    }
    let right = server.post_with("Authorization: Bearer s3cret\r\n", "[]");
    assert_eq!(tokio::join!(right, server.sent()).0.0, 200);
}

#[tokio::test]
async fn what_is_too_long_or_packed_is_refused() {
    let server = Server::start(None, false).await;
    let head = "POST /readings HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";
    assert_eq!(server.raw(&format!("{head}Content-Length: 1048577\r\n\r\n")).await.0, 413);
    let chunk = format!("{:x}\r\n{}\r\n", 700_000, " ".repeat(700_000));
    assert_eq!(server.raw(&format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunk}{chunk}0\r\n\r\n")).await.0, 413);
    assert_eq!(server.post_with("Content-Encoding: gzip\r\n", "x").await.0, 415);
    assert_eq!(server.raw("GET /readings HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.0, 405);
}

#[tokio::test]
async fn a_full_queue_and_a_stop_are_said() {
    let server = Server::start(None, false).await;
    let filling = server.post(r#"[{"v":1},{"v":2},{"v":3}]"#);
    let more = async {
        server.give(0).await;
        let refused = server.post(r#"[{"v":4},{"v":5}]"#).await;
        server.queue.acknowledged(3);
        refused
    };
    let (filled, (status, response)) = tokio::join!(filling, more);
    assert_eq!((filled.0, status), (200, 429), "{response}");
    assert!(response.contains("retry-after: 1"), "{response}");
    server.queue.close();
    let (status, response) = server.post(r#"{"v":1}"#).await;
    assert!(status == 503 && response.contains("readings that have a time count once"), "{response}");
}

#[tokio::test]
async fn what_is_given_up_is_no_success_and_the_server_ends() {
    let server = Server::start(None, false).await;
    let giving_up = async {
        server.give(0).await;
        server.stop.stop();
        server.queue.abandon();
    };
    let ((status, _), ()) = tokio::join!(server.post(r#"{"v":1}"#), giving_up);
    assert_eq!(status, 503);
    timeout(Duration::from_secs(5), server.served).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_client_that_stops_in_mid_body_sends_nothing() {
    let server = Server::start(None, false).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"POST /readings HTTP/1.1\r\nHost: x\r\nContent-Length: 16\r\n\r\n{\"v\":1}\n").await.unwrap();
    sleep(Duration::from_millis(100)).await;
    drop(stream);
    assert_eq!(server.give(0).await, None);
    server.check(r#"{"v":2}"#, (200, r#"{"accepted":1}"#), &["2"]).await;
}
