//! Where Kafka is, and how it is spoken to.

use std::path::PathBuf;

use clap::{
    ArgMatches, Args, Command, FromArgMatches, ValueEnum,
    builder::{NonEmptyStringValueParser, TypedValueParser},
    error::{Error, ErrorKind},
};
use secrecy::{ExposeSecret, SecretString};

use super::{check_pem, secret::SecretParser};

/// Where Kafka is, and how it is spoken to.
///
/// Its parts always go together: that was checked when it was parsed.
#[derive(Clone, Debug)]
pub struct KafkaSettings {
    /// Kafka's bootstrap servers, `host:port`, separated by commas.
    pub brokers: String,
    /// How the connection is encrypted, if it is.
    pub tls: Option<Tls>,
    /// As whom we log in, if we do.
    pub login: Option<Login>,
}

/// An encrypted connection; the broker's certificate and host name are always verified.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// Whom to trust, a PEM file; the system's store without one.
    pub ca: Option<PathBuf>,
    /// The certificate we show.
    pub identity: Option<Identity>,
}

/// A client's certificate.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate, a PEM file.
    pub certificate: PathBuf,
    /// Its key, a PEM file without a password.
    pub key: PathBuf,
}

/// A login with SASL.
#[derive(Clone, Debug)]
pub struct Login {
    /// How the password is proved.
    pub mechanism: Mechanism,
    /// The user.
    pub username: String,
    /// The password; never printed.
    pub password: SecretString,
}

/// How a password is proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mechanism {
    /// By a salted hash, SHA-512.
    #[value(name = "SCRAM-SHA-512")]
    ScramSha512,
    /// By a salted hash, SHA-256.
    #[value(name = "SCRAM-SHA-256")]
    ScramSha256,
    /// By sending it.
    #[value(name = "PLAIN")]
    Plain,
}

impl Mechanism {
    /// Its name in the protocol.
    pub fn name(self) -> &'static str {
        match self {
            Self::ScramSha512 => "SCRAM-SHA-512",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::Plain => "PLAIN",
        }
    }
}

/// How brokers are spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Protocol {
    Plaintext,
    Ssl,
    SaslPlaintext,
    SaslSsl,
}

/// What the command line says, whether it goes together or not.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Kafka")]
struct Options {
    /// Kafka's bootstrap servers, `host:port`, separated by commas [env: KAFKA_BROKER is read as well].
    #[arg(long, global = true, env = "KAFKA_BROKERS", default_value_t = brokers_fallback(), value_name = "HOST:PORT,…",
          value_parser = NonEmptyStringValueParser::new())]
    kafka_brokers: String,
    /// How brokers are spoken to: encrypted with ssl and sasl_ssl, with a login with sasl_plaintext and sasl_ssl.
    #[arg(
        long,
        global = true,
        env = "KAFKA_SECURITY_PROTOCOL",
        default_value = "plaintext",
        ignore_case = true,
        value_name = "PROTOCOL"
    )]
    kafka_security_protocol: Protocol,
    /// Whom to trust, a PEM file [default: the system's store].
    #[arg(long, global = true, env = "KAFKA_SSL_CA_LOCATION", value_name = "FILE")]
    kafka_ssl_ca_location: Option<PathBuf>,
    /// The certificate to show, a PEM file, where brokers want one.
    #[arg(long, global = true, env = "KAFKA_SSL_CERTIFICATE_LOCATION", value_name = "FILE")]
    kafka_ssl_certificate_location: Option<PathBuf>,
    /// The certificate's key, a PEM file without a password.
    #[arg(long, global = true, env = "KAFKA_SSL_KEY_LOCATION", value_name = "FILE")]
    kafka_ssl_key_location: Option<PathBuf>,
    /// How the password is proved.
    #[arg(
        long,
        global = true,
        env = "KAFKA_SASL_MECHANISM",
        default_value = "SCRAM-SHA-512",
        ignore_case = true,
        value_name = "MECHANISM"
    )]
    kafka_sasl_mechanism: Mechanism,
    /// The user to log in as.
    #[arg(long, global = true, env = "KAFKA_SASL_USERNAME", value_name = "NAME",
          value_parser = SecretParser.map(|name| name.expose_secret().to_owned()))]
    kafka_sasl_username: Option<String>,
    /// The user's password.
    // It may begin with a hyphen; taken for an option, it would be quoted as one that nobody knows.
    #[arg(
        long,
        global = true,
        env = "KAFKA_SASL_PASSWORD",
        hide_env_values = true,
        allow_hyphen_values = true,
        value_parser = SecretParser,
        value_name = "PASSWORD"
    )]
    kafka_sasl_password: Option<SecretString>,
}

/// The variable's other name, or the address Kafka has by default.
fn brokers_fallback() -> String {
    std::env::var("KAFKA_BROKER").ok().filter(|value| !value.is_empty()).unwrap_or_else(|| "localhost:9092".to_owned())
}

impl KafkaSettings {
    /// Brokers that are spoken to without encryption and without a login.
    pub fn plaintext(brokers: impl Into<String>) -> Self {
        Self { brokers: brokers.into(), tls: None, login: None }
    }
}

impl TryFrom<Options> for KafkaSettings {
    type Error = String;

    fn try_from(options: Options) -> Result<Self, String> {
        let tls = options.tls()?;
        let login = options.login()?;
        Ok(Self { brokers: options.kafka_brokers, tls, login })
    }
}

impl Options {
    fn tls(&self) -> Result<Option<Tls>, String> {
        let files = [
            ("--kafka-ssl-ca-location", &self.kafka_ssl_ca_location),
            ("--kafka-ssl-certificate-location", &self.kafka_ssl_certificate_location),
            ("--kafka-ssl-key-location", &self.kafka_ssl_key_location),
        ];
        let encrypted = matches!(self.kafka_security_protocol, Protocol::Ssl | Protocol::SaslSsl);
        for (name, file) in files {
            match file {
                Some(_) if !encrypted => {
                    return Err(format!("{name} goes with --kafka-security-protocol ssl or sasl_ssl only"));
                }
                Some(file) => check_pem(name, file)?,
                None => {}
            }
        }
        let identity = match (&self.kafka_ssl_certificate_location, &self.kafka_ssl_key_location) {
            (Some(certificate), Some(key)) => Some(Identity { certificate: certificate.clone(), key: key.clone() }),
            (None, None) => None,
            _ => {
                return Err("--kafka-ssl-certificate-location and --kafka-ssl-key-location go together only".to_owned());
            }
        };
        Ok(encrypted.then(|| Tls { ca: self.kafka_ssl_ca_location.clone(), identity }))
    }

    fn login(&self) -> Result<Option<Login>, String> {
        let wanted = matches!(self.kafka_security_protocol, Protocol::SaslPlaintext | Protocol::SaslSsl);
        match (wanted, &self.kafka_sasl_username, &self.kafka_sasl_password) {
            (true, Some(username), Some(password)) => {
                let (mechanism, username, password) = (self.kafka_sasl_mechanism, username.clone(), password.clone());
                Ok(Some(Login { mechanism, username, password }))
            }
            (true, ..) => Err("--kafka-security-protocol sasl_plaintext and sasl_ssl want --kafka-sasl-username and \
                               --kafka-sasl-password (KAFKA_SASL_PASSWORD)"
                .to_owned()),
            (false, None, None) => Ok(None),
            (false, ..) => Err("--kafka-sasl-username and --kafka-sasl-password go with --kafka-security-protocol \
                                sasl_plaintext or sasl_ssl only"
                .to_owned()),
        }
    }
}

// By hand, so that what does not go together is a usage error like any other.
impl FromArgMatches for KafkaSettings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let options = Options::from_arg_matches(matches)?;
        options.try_into().map_err(|why: String| Error::raw(ErrorKind::ArgumentConflict, format!("{why}\n")))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for KafkaSettings {
    fn augment_args(command: Command) -> Command {
        Options::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Options::augment_args_for_update(command)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        kafka: KafkaSettings,
    }

    fn parse(args: &str) -> Result<KafkaSettings, String> {
        let args = ["program"].into_iter().chain(args.split_whitespace());
        Program::try_parse_from(args).map(|program| program.kafka).map_err(|error| error.to_string())
    }

    #[test]
    fn without_a_word_nothing_is_encrypted() {
        let settings = parse("--kafka-brokers k:9092").unwrap();
        assert!(settings.tls.is_none() && settings.login.is_none(), "{settings:?}");
    }

    #[test]
    fn what_goes_together_is_taken() {
        let pem = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(pem.path(), "-----BEGIN CERTIFICATE-----").unwrap();
        let pem = pem.path().display();
        let settings = parse(&format!(
            "--kafka-security-protocol SASL_SSL --kafka-ssl-ca-location {pem} --kafka-ssl-certificate-location {pem} \
             --kafka-ssl-key-location {pem} --kafka-sasl-mechanism scram-sha-256 --kafka-sasl-username me \
             --kafka-sasl-password s3cret"
        ))
        .unwrap();
        assert!(!format!("{settings:?}").contains("s3cret"), "{settings:?}");
        assert!(settings.tls.unwrap().identity.is_some());
        assert_eq!(settings.login.unwrap().mechanism, Mechanism::ScramSha256);
        assert!(parse("--kafka-security-protocol ssl").unwrap().tls.unwrap().ca.is_none());
    }

    #[test]
    fn what_does_not_go_together_is_named() {
        let check = |args: &str, expected: &str| {
            let error = parse(args).unwrap_err();
            assert!(error.contains(expected) && !error.contains("s3cret"), "{args}: {error}");
        };
        check("--kafka-sasl-password s3cret", "go with --kafka-security-protocol sasl_plaintext or sasl_ssl only");
        check("--kafka-security-protocol sasl_ssl --kafka-sasl-username me", "want --kafka-sasl-username and");
        check("--kafka-ssl-ca-location Cargo.toml", "goes with --kafka-security-protocol ssl or sasl_ssl only");
        check("--kafka-security-protocol ssl --kafka-ssl-ca-location Cargo.toml", "`Cargo.toml` is not a PEM file");
        check(
            "--kafka-security-protocol ssl --kafka-ssl-key-location not-there",
            "`not-there` cannot be read: No such",
        );
        check("--kafka-sasl-password --s3cret", "go with --kafka-security-protocol sasl_plaintext or sasl_ssl only");
        check("--kafka-security-protocol ssl --kafka-ssl-ca-location /dev/zero", "`/dev/zero` is not a PEM file");
        check(
            "--kafka-security-protocol ssl --kafka-ssl-key-location=-----BEGIN_s3cret",
            "--kafka-ssl-key-location holds what a PEM file would, and wants the file's name",
        );
        check("--kafka-sasl-password=s3cret\u{7f} --kafka-sasl-username me", "KAFKA_SASL_PASSWORD holds a control");
        check("--kafka-sasl-username s3cret\0", "KAFKA_SASL_USERNAME holds a control character");
        check("--kafka-security-protocol tls", "[possible values: plaintext, ssl, sasl_plaintext, sasl_ssl]");
    }
}
