//! Whom to trust: the system's authorities, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::CertificateDer};

/// The authorities; a company may have its own.
///
/// # Errors
/// A sentence that says that there are none, and what to do.
pub(crate) fn authorities() -> Result<Vec<CertificateDer<'static>>, String> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let why: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        let message =
            format!("no certificate authorities are found; name a file of them in SSL_CERT_FILE {}", why.join("; "));
        return Err(message.trim_end().to_owned());
    }
    Ok(found.certs)
}

/// A client that trusts them.
///
/// # Errors
/// As [`authorities`].
pub(crate) fn client() -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(authorities()?);
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
