//! The producer's settings: its own, and those of the chosen pipeline.

use std::{ffi::OsString, net::SocketAddr, num::NonZeroU32, time::Duration};

use clap::{
    ArgMatches, CommandFactory, FromArgMatches, Parser,
    builder::{OsStringValueParser, PossibleValuesParser, TypedValueParser},
};
use registry::{pipeline_arg, producers};
use service::{
    settings::{KafkaSettings, duration, switch},
    telemetry::LogSettings,
};

use crate::{
    checksum::Sha256,
    live::{Kind, LiveSettings},
    location::Location,
};

/// Carries a file, or what is simulated, into its Kafka topic, then ends.
///
/// Exit codes: 0 done; 64 usage; 65 the input is at fault, do not retry; 69 Kafka, or the server of
/// an address, is unavailable, retry; 70 a bug.
#[derive(Clone, Debug, Parser)]
#[command(name = "producer", version = service::version!())]
pub(crate) struct Settings {
    /// The pipeline the input belongs to.
    ///
    /// Each has its own options: `--pipeline NAME --help` shows them.
    #[arg(long, env = pipeline_arg::VARIABLE, default_value = pipeline_arg::DEFAULT, value_parser = PossibleValuesParser::new(producers::names()), value_name = "NAME")]
    pub(crate) pipeline: String,
    /// Where rows come from: a file, which --input names; a simulator, which makes them; requests over HTTP; or an MQTT broker.
    #[arg(id = "source", long, env = "SOURCE", value_name = "SOURCE")]
    pub(crate) source: Option<String>,
    /// What to send, plain or packed with gzip, xz, zip, zstd or bzip2: a file, `-` for standard input, or an http:// or https:// address.
    ///
    /// An address is sent as it comes. A download that breaks off ends with 69, and the next run sends it from its
    /// beginning. HTTPS_PROXY and NO_PROXY count; SSL_CERT_FILE names the certificate authorities to trust instead of the
    /// system's.
    #[arg(long, short, env = "INPUT", hide_env_values = true, value_parser = OsStringValueParser::new().try_map(Location::parse), value_name = "FILE|URL")]
    pub(crate) input: Option<Location>,
    /// The SHA-256 of the input as it was published; with another one nothing is sent, and the exit code is 65.
    ///
    /// Standard input and addresses can be read only once: a temporary file in TMPDIR keeps them until they are
    /// complete.
    #[arg(long, env = "INPUT_SHA256", value_name = "HEX")]
    pub(crate) sha256: Option<Sha256>,
    /// Go on with the file as it grows, until stopped: a plain CSV file, which other programs append to.
    ///
    /// It is looked at five times a second. A last line that is half written waits until it is whole. A file that is truncated,
    /// or replaced by another one of its name, is read from its beginning, header included.
    #[arg(long, env = "FOLLOW", value_parser = switch)]
    pub(crate) follow: bool,
    /// With --follow, pass over the rows that the file has already.
    #[arg(long, env = "FROM_END", value_parser = switch)]
    pub(crate) from_end: bool,
    /// The topic to send to [default: the pipeline's own].
    #[arg(long, env = "TOPIC", value_name = "NAME")]
    pub(crate) topic: Option<String>,
    /// The number of partitions, should the topic have to be made.
    #[arg(long, env = "PARTITIONS", default_value_t = 6, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=10_000))]
    pub(crate) partitions: i32,
    /// Records sent a second, for a live demonstration [default: as many as Kafka takes].
    #[arg(long, env = "RATE", value_name = "N")]
    pub(crate) rate: Option<NonZeroU32>,
    /// End with 65 at the first row that cannot be read, instead of reporting it and going on.
    ///
    /// With energy, an invalid date or value ends it too; without this option such a row is sent, and the consumer
    /// keeps it in the table rejects. An input that has rows, but no usable one, always ends with 65.
    #[arg(long, env = "STRICT", value_parser = switch)]
    pub(crate) strict: bool,
    /// How long to wait at the start for Kafka, and for the server of an address.
    #[arg(long, env = "STARTUP_WAIT", default_value = "60s", value_name = "DURATION", value_parser = duration)]
    pub(crate) wait: Duration,
    /// Where /startupz, /readyz, /livez and /metrics are served, `address:port` [default: nowhere].
    #[arg(long, env = "LISTEN", value_name = "ADDRESS")]
    pub(crate) listen: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) kafka: KafkaSettings,
    #[command(flatten)]
    pub(crate) log: LogSettings,
    #[command(flatten)]
    pub(crate) live: LiveSettings,
}

/// All settings of one run of the producer.
pub(crate) struct Job {
    pub(crate) settings: Settings,
    pub(crate) pipeline: producers::Producer,
    /// Holds the pipeline's own options.
    pub(crate) options: ArgMatches,
}

impl Job {
    /// What is sent, in words.
    pub(crate) fn named(&self) -> String {
        match (&self.settings.input, self.live()) {
            (_, Some(Kind::Http)) => "the HTTP input".to_owned(),
            (_, Some(Kind::Mqtt)) => "the MQTT input".to_owned(),
            (Some(input), None) if !self.simulates() => format!("the input `{input}`"),
            _ => "the simulator".to_owned(),
        }
    }

    /// Which live input they come from, if from one.
    pub(crate) fn live(&self) -> Option<Kind> {
        Kind::of(self.settings.source.as_deref())
    }

    /// Whether rows are made.
    pub(crate) fn simulates(&self) -> bool {
        self.settings.source.as_deref() == Some(producers::SIMULATOR)
    }

    /// Parses the command line; which options there are depends on the pipeline.
    pub(crate) fn from_args(args: Vec<OsString>) -> Result<Self, clap::Error> {
        let (pipeline, options) = pipeline_arg::parse(&Settings::command(), producers::all(), args)?;
        Ok(Self { settings: Settings::from_arg_matches(&options)?, pipeline, options })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(args: &str) -> String {
        match Job::from_args(args.split(' ').map(OsString::from).collect()) {
            Ok(_) => "parsed".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_pipeline_brings_its_own_options() {
        let job =
            Job::from_args(["producer", "--from-year=1950", "--input", "x.csv"].map(OsString::from).to_vec()).unwrap();
        assert_eq!(job.options.get_one::<u16>("from_year"), Some(&1950));
    }

    #[test]
    fn an_unknown_pipeline_error_lists_the_pipelines() {
        let error = error("producer --from-moon 1 --pipeline emission");
        assert!(error.contains("'emission'") && error.contains("[possible values: emissions"), "{error}");
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        for wrong in ["--rate 0", "--partitions 0", "--wait soon", "--from-year 0", "--pipeline"] {
            assert!(error(&format!("producer --input x {wrong}")).starts_with("error: "), "{wrong}");
        }
    }
}
