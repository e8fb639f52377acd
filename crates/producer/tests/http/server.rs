//! A server on loopback that sends given responses, one to a connection, and keeps the requests.

use std::{
    io::{Read, Write},
    net::TcpListener,
    sync::{Arc, Mutex},
    thread,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};

/// The response to one request: bytes as they are, after which the server closes the connection.
pub(crate) type Response = Vec<u8>;

/// The server.
pub(crate) struct Server {
    /// `host:port`.
    pub(crate) address: String,
    requests: Arc<Mutex<Vec<String>>>,
}

/// A server's certificate, and that of the authority which signed it.
pub(crate) struct Certificates {
    /// The authority's, in PEM.
    pub(crate) authority: String,
    server: Arc<ServerConfig>,
}

impl Certificates {
    /// For `localhost`.
    pub(crate) fn generate() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &authority).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        Self { authority: authority.pem(), server: Arc::new(server) }
    }
}

impl Server {
    /// Sends the responses in this order, and nothing after the last.
    pub(crate) fn start(responses: Vec<Response>) -> Self {
        Self::serve(responses, None)
    }

    /// The same over TLS; a connection that ends within its handshake counts as a response.
    pub(crate) fn start_tls(responses: Vec<Response>, certificates: &Certificates) -> Self {
        Self::serve(responses, Some(Arc::clone(&certificates.server)))
    }

    fn serve(responses: Vec<Response>, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("localhost:{}", listener.local_addr().unwrap().port());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let received = Arc::clone(&requests);
        thread::spawn(move || {
            for response in responses {
                let (stream, _) = listener.accept().unwrap();
                match &tls {
                    None => talk(stream, &response, &received),
                    Some(tls) => {
                        let connection = ServerConnection::new(Arc::clone(tls)).unwrap();
                        talk(StreamOwned::new(connection, stream), &response, &received);
                    }
                }
            }
        });
        Self { address, requests }
    }

    /// The requests so far, in lower case.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn talk(mut stream: impl Read + Write, response: &[u8], received: &Mutex<Vec<String>>) {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => request.push(byte[0]),
            // The other side has gone, which a test may be about.
            _ => return,
        }
    }
    received.lock().unwrap().push(String::from_utf8(request).unwrap().to_lowercase());
    // So may be a client that does not want all of it.
    let _ = stream.write_all(response).and_then(|()| stream.flush());
}

/// A response with these headers; it gets a `Content-Length` unless they say how it ends.
pub(crate) fn response(status: &str, headers: &[&str], body: &[u8]) -> Response {
    let mut head = format!("HTTP/1.1 {status}\r\nConnection: close\r\n");
    let ends = ["Content-Length", "Transfer-Encoding"];
    if !headers.iter().any(|header| ends.iter().any(|end| header.starts_with(end))) {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    headers.iter().for_each(|header| head.push_str(&format!("{header}\r\n")));
    [head.as_bytes(), b"\r\n", body].concat()
}
