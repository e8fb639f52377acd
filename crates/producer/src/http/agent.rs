//! The HTTP client, and what its errors mean.

use std::{io, sync::Arc, time::Duration};

use service::{Exit, Failure};
use ureq::{
    Agent, Error,
    http::Uri,
    tls::{Certificate, RootCerts, TlsConfig},
};

use crate::tls;

/// One attempt to connect takes no longer: a host that swallows packets would block it for minutes.
const CONNECT: Duration = Duration::from_secs(10);
/// A server that says nothing for this long has gone; one that reads its disk first may take some seconds.
const SILENCE: Duration = Duration::from_secs(30);
/// As browsers: more is a circle.
const REDIRECTS: u32 = 10;

/// A client for one address. HTTPS_PROXY and NO_PROXY count.
///
/// # Errors
/// Exit 64 when there is no certificate authority to trust.
pub(super) fn new(uri: &Uri) -> Result<Agent, Failure> {
    let secure = uri.scheme_str() == Some("https");
    let mut config = Agent::config_builder()
        .http_status_as_error(false)
        .https_only(secure)
        .max_redirects(REDIRECTS)
        .user_agent(concat!("tributary-producer/", env!("CARGO_PKG_VERSION")))
        // What is published is what is checked and sent: no compression in transit.
        .accept_encoding("identity")
        .timeout_connect(Some(CONNECT))
        .timeout_resolve(Some(CONNECT))
        .timeout_per_read(Some(SILENCE))
        .timeout_per_write(Some(SILENCE));
    if secure {
        config = config.tls_config(tls()?);
    }
    Ok(config.build().into())
}

fn tls() -> Result<TlsConfig, Failure> {
    let authorities = tls::authorities().map_err(|why| Failure::new(Exit::Usage, why))?;
    let certificates: Vec<Certificate<'static>> =
        authorities.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
    Ok(TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(certificates)))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build())
}

/// What to do about an error, or about a response that is not the input.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// It may be over soon, or after the time that the server names.
    Again(String, Option<Duration>),
    /// It will stay.
    Never(Exit, String),
}

/// Classifies an error of the client. What it says never quotes an address, which may hold a password.
pub(super) fn classify(error: Error) -> Remedy {
    match error {
        Error::Io(error) => match tls_error(&error) {
            Some(error) => classify_tls(error),
            None => Remedy::Again(error.to_string(), None),
        },
        Error::Rustls(error) => classify_tls(&error),
        Error::TooManyRedirects | Error::RedirectFailed => {
            Remedy::Never(Exit::Input, format!("it is redirected more than {REDIRECTS} times, or to nowhere"))
        }
        Error::RequireHttpsOnly(_) => {
            Remedy::Never(Exit::Input, "it is redirected to an address without TLS".to_owned())
        }
        Error::BadUri(_) | Error::Http(_) => {
            Remedy::Never(Exit::Usage, "it is not a valid address, or it is redirected to an invalid one".to_owned())
        }
        Error::InvalidProxyUrl => Remedy::Never(Exit::Usage, "the proxy's address is invalid".to_owned()),
        Error::HostNotFound => Remedy::Again("its host is not found".to_owned(), None),
        Error::Timeout(what) => Remedy::Again(format!("no response in time ({what})"), None),
        other => Remedy::Again(other.to_string(), None),
    }
}

fn classify_tls(error: &rustls::Error) -> Remedy {
    match error {
        rustls::Error::InvalidCertificate(why) => {
            let help = "SSL_CERT_FILE names a file of certificate authorities to trust";
            Remedy::Never(Exit::Usage, format!("its server's certificate is not trusted ({why:?}); {help}"))
        }
        other => Remedy::Again(other.to_string(), None),
    }
}

/// The error of TLS that came as one of the connection.
fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}
