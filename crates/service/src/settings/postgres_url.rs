//! A Postgres URL, read as libpq reads it: every parameter is obeyed or refused, none is ignored.
//!
//! sqlx logs and ignores parameters that it does not know, and takes no URL without a host. So the URL is taken apart
//! here, and sqlx gets all of it as parameters that it obeys.

use std::{path::Path, str::FromStr};

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sqlx::{
    ConnectOptions,
    postgres::{PgConnectOptions, PgSslMode},
};

use super::{check_pem, secret::check_secret};

/// Leaves everything to the `PG…` variables, and where they are not set to [`DEFAULTS`].
pub(super) const DEFAULT: &str = "postgres://";
const DEFAULTS: [(&str, &str); 2] = [("host", "localhost"), ("user", "postgres")];

/// The parameters that are obeyed.
const KNOWN: [&str; 11] = [
    "host",
    "port",
    "dbname",
    "user",
    "password",
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "application_name",
    "options",
];

/// The variables that stand in for them. PGOPTIONS is not among these: sqlx puts it before the URL's options itself.
const VARIABLES: [(&str, &str); 10] = [
    ("host", "PGHOST"),
    ("port", "PGPORT"),
    ("dbname", "PGDATABASE"),
    ("user", "PGUSER"),
    ("password", "PGPASSWORD"),
    ("sslmode", "PGSSLMODE"),
    ("sslrootcert", "PGSSLROOTCERT"),
    ("sslcert", "PGSSLCERT"),
    ("sslkey", "PGSSLKEY"),
    ("application_name", "PGAPPNAME"),
];

/// The parameters whose values may have line ends.
const HAVE_LINES: [&str; 3] = ["sslrootcert", "sslcert", "sslkey"];

/// What libpq obeys and we cannot, and what to do instead.
const UNSUPPORTED: &[(&[&str], &str)] = &[
    (&["hostaddr"], "give the address as host"),
    (&["connect_timeout"], "one try to connect ends after 10 s, and STARTUP_WAIT bounds them all"),
    (&["service", "servicefile"], "write what the service file says into the URL"),
    (&["passfile"], "name the file in PGPASSFILE"),
    (&["client_encoding"], "the client's encoding is always UTF8"),
    (&["fallback_application_name"], "give application_name"),
    (&["target_session_attrs", "load_balance_hosts"], "give the host of the primary"),
    (
        &["keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout"],
        "a dead connection is noticed within 15 s already",
    ),
    (&["sslpassword"], "give sslkey a key without a password"),
    (
        &["channel_binding", "require_auth", "requirepeer", "sslcrl", "sslcrldir", "ssl_min_protocol_version"],
        "remove it, and verify the server with sslmode=verify-full",
    ),
    (
        &[
            "gssdelegation",
            "gssencmode",
            "gsslib",
            "krbsrvname",
            "max_protocol_version",
            "min_protocol_version",
            "oauth_ca_file",
            "oauth_client_id",
            "oauth_client_secret",
            "oauth_issuer",
            "oauth_scope",
            "replication",
            "requiressl",
            "scram_client_key",
            "scram_server_key",
            "ssl_max_protocol_version",
            "sslcertmode",
            "sslcompression",
            "sslkeylogfile",
            "sslnegotiation",
            "sslsni",
        ],
        "remove it",
    ),
];

/// Variables of libpq's that choose another server, or ask for more safety, than we can give.
const UNSUPPORTED_VARIABLES: [(&str, &str); 9] = [
    ("PGHOSTADDR", "hostaddr"),
    ("PGSERVICE", "service"),
    ("PGTARGETSESSIONATTRS", "target_session_attrs"),
    ("PGCHANNELBINDING", "channel_binding"),
    ("PGREQUIREAUTH", "require_auth"),
    ("PGREQUIREPEER", "requirepeer"),
    ("PGSSLCRL", "sslcrl"),
    ("PGSSLCRLDIR", "sslcrldir"),
    ("PGSSLMINPROTOCOLVERSION", "ssl_min_protocol_version"),
];

/// sqlx takes `allow` for `disable`, so it is none of these.
const MODES: [&str; 5] = ["disable", "prefer", "require", "verify-ca", "verify-full"];

/// What [`PgConnectOptions`] puts before the path of a certificate when it shows it.
const FILE: &str = "file: ";
const NOT_A_URL: &str = "not a Postgres URL (postgres://user:password@host:port/database)";

/// What a URL says, by parameter; a part of its address is a parameter too.
#[derive(Default)]
struct Parameters(Vec<(&'static str, String)>);

/// Reads a URL; `variable` looks up a variable of the environment.
///
/// # Errors
/// Names what is wrong, and quotes nothing that may be a password.
pub(super) fn parse(text: &str, variable: impl Fn(&str) -> Option<String>) -> Result<PgConnectOptions, String> {
    let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
    if let Some((name, parameter)) = UNSUPPORTED_VARIABLES.iter().find(|(name, _)| variable(name).is_some()) {
        return Err(unsupported(name, parameter).unwrap_or_default());
    }
    check_secret("DATABASE_URL", text)?;
    let mut parameters = Parameters::of_url(text)?;
    // A variable may contain the certificate or the key, with its line ends.
    for (name, stand_in) in VARIABLES.iter().filter(|(name, _)| !HAVE_LINES.contains(name)) {
        parameters.get(name).map_or(Ok(()), |value| check_secret(&format!("{name} of DATABASE_URL"), value))?;
        variable(stand_in).map_or(Ok(()), |value| check_secret(stand_in, &value))?;
    }
    parameters.fill(VARIABLES.iter().filter_map(|&(name, stand_in)| Some((name, variable(stand_in)?))));
    if text == DEFAULT {
        parameters.fill(DEFAULTS.map(|(name, value)| (name, value.to_owned())));
    }
    parameters.check()?;
    // The parser's own message may quote the URL, password and all.
    let options = PgConnectOptions::from_str(&parameters.to_url()).map_err(|_| NOT_A_URL)?;
    with_tls(options)
}

impl Parameters {
    fn of_url(text: &str) -> Result<Self, String> {
        let rest = after_scheme(text)?;
        let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut parameters = Self::default();
        parameters.add_address(address)?;
        parameters.add_query(query)?;
        Ok(parameters)
    }

    fn add_address(&mut self, address: &str) -> Result<(), String> {
        let (authority, database) = address.split_once('/').unwrap_or((address, ""));
        let (login, address) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let (host, port) = match address.strip_prefix('[') {
            Some(bracketed) => {
                let (host, behind) = bracketed.split_once(']').ok_or(NOT_A_URL)?;
                (host, if behind.is_empty() { "" } else { behind.strip_prefix(':').ok_or(NOT_A_URL)? })
            }
            None => address.split_once(':').unwrap_or((address, "")),
        };
        let database = database.trim_start_matches('/');
        let parts = [("user", user), ("password", password), ("host", host), ("port", port), ("dbname", database)];
        for (name, value) in parts.into_iter().filter(|(_, value)| !value.is_empty()) {
            self.0.push((name, decoded(value)?));
        }
        Ok(())
    }

    fn add_query(&mut self, query: &str) -> Result<(), String> {
        // Behind a `&` of a password that is not escaped, its rest would pass for a parameter's name.
        let may_be_password = query.contains("password=");
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let Some(name) = KNOWN.into_iter().find(|known| *known == name) else {
                return Err(unsupported(name, name).unwrap_or_else(|| unknown(name, may_be_password)));
            };
            if self.get(name).is_some() {
                return Err(format!("the URL gives {name} twice; give it once, in the address or as a parameter"));
            }
            if value.is_empty() {
                return Err(format!("the URL's parameter {name} is empty; give it a value, or leave it out"));
            }
            self.0.push((name, decoded(value)?));
        }
        Ok(())
    }

    /// Adds what is missing.
    fn fill(&mut self, given: impl IntoIterator<Item = (&'static str, String)>) {
        for (name, value) in given {
            if self.get(name).is_none() {
                self.0.push((name, value));
            }
        }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    fn check(&self) -> Result<(), String> {
        let part = |name| self.get(name).unwrap_or_default();
        if self.get("port").is_some_and(|port| !port.parse().is_ok_and(|port: u16| port > 0)) {
            return Err("the port of the URL, or PGPORT, is not a number from 1 to 65535".to_owned());
        }
        if self.get("sslmode").is_some_and(|mode| !MODES.contains(&mode)) {
            return Err(format!("sslmode of the URL, or PGSSLMODE, must be one of {}", MODES.join(", ")));
        }
        let of_name = |c: char| c.is_alphanumeric() || "-._:%".contains(c);
        match part("host") {
            host if host.contains(',') => Err("the URL, or PGHOST, gives several hosts; give one".to_owned()),
            host if host.starts_with('/') || host.chars().all(of_name) => Ok(()),
            _ => Err(NOT_A_URL.to_owned()),
        }
    }

    /// A URL of parameters alone, as sqlx reads it.
    fn to_url(&self) -> String {
        let escaped = |value| utf8_percent_encode(value, NON_ALPHANUMERIC).to_string();
        let pairs: Vec<String> = self.0.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
        format!("postgres:?{}", pairs.join("&"))
    }
}

/// Refuses what would be taken for a URL in which the password is something else, and so is shown or sent.
fn after_scheme(text: &str) -> Result<&str, &'static str> {
    let (scheme, rest) = text.split_once("://").ok_or(NOT_A_URL)?;
    if !["postgres", "postgresql"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return Err(NOT_A_URL);
    }
    // An unescaped `/`, `?` or `#` of a password ends the part in which it is searched for, and leaves its `@` behind.
    if rest.contains('#') || rest.split_once(['/', '?']).is_some_and(|(_, behind)| behind.contains('@')) {
        return Err(
            "not a Postgres URL: `/`, `?` and `#` of a password are written %2F, %3F and %23, `@` behind the host %40",
        );
    }
    Ok(rest)
}

fn decoded(text: &str) -> Result<String, String> {
    let text = percent_decode_str(text).decode_utf8().map_err(|_| "not a Postgres URL: %XX give no UTF-8")?;
    Ok(text.into_owned())
}

/// Why a parameter of libpq's, or a variable of that meaning, is refused.
fn unsupported(given: &str, parameter: &str) -> Option<String> {
    let (_, instead) = UNSUPPORTED.iter().find(|(names, _)| names.contains(&parameter))?;
    Some(format!("{given} is not supported: {instead}"))
}

fn unknown(name: &str, may_be_password: bool) -> String {
    let plain = name.len() <= 40 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.[]".contains(&byte));
    let known = KNOWN.join(", ");
    match plain && !may_be_password {
        true => format!("the URL has an unknown parameter `{name}`; known are {known}"),
        false => {
            format!("the URL has an unknown parameter (not shown; `&` of a value is written %26); known are {known}")
        }
    }
}

/// Reads the options of TLS as libpq does, and checks that their files exist.
fn with_tls(options: PgConnectOptions) -> Result<PgConnectOptions, String> {
    let [ca, certificate, key] = ["sslrootcert", "sslcert", "sslkey"].map(|name| (name, certificate(&options, name)));
    for (name, given) in [&ca, &certificate, &key] {
        // What is not a file is the PEM itself, which a variable may hold.
        if let Some(file) = given.as_deref().and_then(|given| given.strip_prefix(FILE)) {
            check_pem(name, Path::new(file))?;
        }
    }
    if certificate.1.is_some() != key.1.is_some() {
        return Err("sslcert and sslkey go together only".to_owned());
    }
    // As libpq does: a setting that says whom to trust makes the client verify it.
    Ok(match (options.get_ssl_mode(), ca.1) {
        (PgSslMode::Require, Some(_)) => options.ssl_mode(PgSslMode::VerifyCa),
        _ => options,
    })
}

/// A certificate or key that the URL or a `PG…` variable gives; the options return it only as part of a URL.
fn certificate(options: &PgConnectOptions, name: &str) -> Option<String> {
    // A host or user that needs escapes does not survive the conversion to a URL, and is not needed here.
    let url = options.clone().host("h").username("u").to_url_lossy();
    let (_, shown) = url.query_pairs().find(|(key, _)| key == name)?;
    Some(shown.into_owned())
}

#[cfg(test)]
mod tests;
