//! Inputs at an address: the real binary against a server on loopback.

#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

mod server;

use std::{
    io::{Cursor, Write},
    process::{Command, Stdio},
};

use flate2::{Compression, write::GzEncoder};
use liblzma::write::XzEncoder;
use rdkafka::{mocking::MockCluster, producer::DefaultProducerContext};
use sha2::Digest;
use zip::{ZipWriter, write::SimpleFileOptions};

use crate::server::{Certificates, Server, response};

const ROWS: usize = 2_000;
/// What the summary says when every row arrived once.
const ALL: &str = "read 2000, sent 2000, filtered 0, rejected 0, ";

fn csv() -> Vec<u8> {
    let mut text = "country,year,iso_code,population,gdp,co2,co2_per_capita\n".to_owned();
    (0..ROWS).for_each(|row| text.push_str(&format!("Land {},{},XAA,1,2,3,4\n", row % 9, 1900 + row % 100)));
    text.into_bytes()
}

fn sha256(bytes: &[u8]) -> String {
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The producer's exit code and log; nothing of the environment reaches it but what is given.
fn run(url: &str, args: &[&str], env: &[(&str, &str)]) -> (Option<i32>, String) {
    let cluster: MockCluster<'static, DefaultProducerContext> = MockCluster::new(1).unwrap();
    cluster.create_topic("emissions-topic", 2, 1).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_producer"));
    command.env_clear().env("STARTUP_WAIT", "5s").envs(env.iter().copied()).args(["--input", url]).args(args);
    command.args(["--kafka-brokers", &cluster.bootstrap_servers()]).stdin(Stdio::null());
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

fn check(server: &Server, args: &[&str], (code, said): (i32, &[&str])) {
    let (ended, log) = run(&format!("http://{}/data.csv", server.address), args, &[]);
    assert_eq!(ended, Some(code), "{log}");
    said.iter().for_each(|text| assert!(log.contains(text), "no {text:?} in {log}"));
}

#[test]
fn an_address_is_sent_plain_or_packed() {
    let mut encoder = GzEncoder::new(vec![], Compression::default());
    encoder.write_all(&csv()).unwrap();
    let packed = encoder.finish().unwrap();
    let mut encoder = XzEncoder::new(vec![], 1);
    encoder.write_all(&csv()).unwrap();
    let xz = encoder.finish().unwrap();
    let mut archive = ZipWriter::new(Cursor::new(vec![]));
    archive.start_file("data.csv", SimpleFileOptions::default()).unwrap();
    archive.write_all(&csv()).unwrap();
    let zip = archive.finish().unwrap().into_inner();
    let plainly = [csv(), packed.clone(), xz, zip].map(|body| (body, &[][..]));
    for (body, headers) in plainly.into_iter().chain([(packed, &["Content-Encoding: gzip"][..])]) {
        for sum in [sha256(&body), String::new()] {
            let args = ["--sha256", &sum];
            let server = Server::start(vec![response("200 OK", headers, &body)]);
            check(&server, if sum.is_empty() { &[] } else { &args }, (0, &[ALL]));
            assert!(server.requests()[0].contains("accept-encoding: identity"), "{:?}", server.requests());
        }
    }
}

#[test]
fn redirects_are_followed_and_bounded() {
    let target = Server::start(vec![response("200 OK", &[], &csv())]);
    let location = format!("Location: http://{}/moved.csv", target.address);
    let server = Server::start(vec![response("302 Found", &[&location], b"")]);
    check(&server, &[], (0, &[ALL]));
    assert!(target.requests()[0].starts_with("get /moved.csv "), "{:?}", target.requests());

    let circle = Server::start(vec![response("302 Found", &["Location: /data.csv"], b""); 20]);
    check(&circle, &[], (65, &["it is redirected more than 10 times"]));
}

#[test]
fn a_connection_that_breaks_ends_with_69() {
    let mut encoder = GzEncoder::new(vec![], Compression::default());
    encoder.write_all(&csv()).unwrap();
    for body in [csv(), encoder.finish().unwrap()] {
        let (length, half) = (format!("Content-Length: {}", body.len()), &body[..body.len() / 2]);
        // A chunk with its length, and no last one.
        let chunk = [format!("{:x}\r\n", half.len()).as_bytes(), half, b"\r\n"].concat();
        let broken =
            [response("200 OK", &[&length], half), response("200 OK", &["Transfer-Encoding: chunked"], &chunk)];
        let checked = ["--sha256", &sha256(&body)];
        for (response, args) in broken.iter().flat_map(|response| [&[], &checked[..]].map(|args| (response, args))) {
            let server = Server::start(vec![response.clone()]);
            check(&server, args, (69, &["/data.csv broke off (Peer disconnected); send it again", "exit_code=69"]));
            assert_eq!(server.requests().len(), 1);
        }
    }
}

#[test]
fn a_body_of_unknown_length_is_sent_with_a_warning() {
    let chunked = [format!("{:x}\r\n", csv().len()).as_bytes(), &csv(), b"\r\n0\r\n\r\n"].concat();
    let server = Server::start(vec![response("200 OK", &["Transfer-Encoding: chunked"], &chunked)]);
    check(&server, &[], (0, &[ALL]));
    let server = Server::start(vec![[b"HTTP/1.0 200 OK\r\n\r\n", csv().as_slice()].concat()]);
    check(&server, &[], (0, &[ALL, "/data.csv comes without its length; only --sha256 can tell"]));
}

#[test]
fn a_server_that_is_unavailable_is_waited_for() {
    let busy = || response("503 Service Unavailable", &[], b"");
    let server = Server::start(vec![busy(), busy(), response("200 OK", &[], &csv())]);
    check(&server, &[], (0, &[ALL, "its server answers 503 Service Unavailable"]));
    assert_eq!(server.requests().len(), 3);

    let server = Server::start(vec![busy(); 20]);
    check(&server, &["--wait=1s"], (69, &["its server answers 503", "exit_code=69"]));
    let (code, log) = run("http://127.0.0.1:1/data.csv", &["--wait=1s"], &[]);
    assert_eq!(code, Some(69), "{log}");
}

#[test]
fn a_missing_or_different_input_is_not_sent() {
    let server = Server::start(vec![response("404 Not Found", &[], b"<html>")]);
    check(&server, &[], (65, &["cannot get http://localhost:", "/data.csv: its server answers 404 Not Found"]));
    let server = Server::start(vec![response("403 Forbidden", &[], b"")]);
    check(&server, &[], (64, &["refuses to give it (403 Forbidden)"]));

    let server = Server::start(vec![response("200 OK", &[], &csv())]);
    let (code, log) = run(&format!("http://{}/", server.address), &[], &[("INPUT_SHA256", &sha256(b"another"))]);
    assert_eq!(code, Some(65), "{log}");
    assert!(log.contains("is not the one expected") && !log.contains("sent: "), "{log}");
}

#[test]
fn a_password_reaches_the_server_and_no_log() {
    let server = Server::start(vec![response("200 OK", &[], &csv())]);
    let url = format!("http://me:s3cret@{}/data.csv?sig=t0ken", server.address);
    let (code, log) = run(&url, &["--log-level=trace"], &[]);
    assert_eq!(code, Some(0), "{log}");
    assert!(server.requests()[0].contains("authorization: basic "), "{:?}", server.requests());
    let leaks: Vec<&str> = log.lines().filter(|line| line.contains("s3cret") || line.contains("t0ken")).collect();
    assert_eq!(leaks, Vec::<&str>::new());
    for url in ["https://me:s3cret@/data.csv", "ftp://me:s3cret@host/data.csv"] {
        let (code, log) = run(url, &[], &[]);
        assert_eq!(code, Some(64), "{log}");
        assert!(!log.contains("s3cret"), "{log}");
    }
}

#[test]
fn tls_wants_a_trusted_certificate_of_the_right_name() {
    let certificates = Certificates::generate();
    let folder = tempfile::tempdir().unwrap();
    let check = |name: &str, authority: &str, host: &str, (code, said): (i32, &str)| {
        let server = Server::start_tls(vec![response("200 OK", &[], &csv())], &certificates);
        let path = folder.path().join(name);
        std::fs::write(&path, authority).unwrap();
        let url = format!("https://{}/data.csv", server.address.replace("localhost", host));
        let (ended, log) = run(&url, &[], &[("SSL_CERT_FILE", path.to_str().unwrap())]);
        assert_eq!(ended, Some(code), "{name}: {log}");
        assert!(log.contains(said), "{name}: {log}");
    };
    check("right.pem", &certificates.authority, "localhost", (0, ALL));
    check("name.pem", &certificates.authority, "127.0.0.1", (64, "certificate is not trusted"));
    let other = Certificates::generate().authority;
    check("other.pem", &other, "localhost", (64, "SSL_CERT_FILE names a file of certificate authorities"));
    check("none.pem", "", "localhost", (64, "no certificate authorities are found"));
}

#[test]
fn a_redirect_may_not_leave_tls() {
    let certificates = Certificates::generate();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("authority.pem");
    std::fs::write(&path, &certificates.authority).unwrap();
    let plain = Server::start(vec![response("200 OK", &[], &csv())]);
    let location = format!("Location: http://{}/", plain.address);
    let server = Server::start_tls(vec![response("302 Found", &[&location], b"")], &certificates);
    let env = [("SSL_CERT_FILE", path.to_str().unwrap())];
    let (code, log) = run(&format!("https://{}/", server.address), &[], &env);
    assert_eq!(code, Some(65), "{log}");
    assert!(log.contains("redirected to an address without TLS"), "{log}");
    assert!(plain.requests().is_empty());
}
