//! How the program ends, and what it says then.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use rdkafka::{mocking::MockCluster, producer::DefaultProducerContext};

const HEADER: &str = "country,year,iso_code,population,gdp,co2,co2_per_capita\n";

fn cluster() -> MockCluster<'static, DefaultProducerContext> {
    let cluster = MockCluster::new(1).expect("the in-process cluster starts");
    cluster.create_topic("emissions-topic", 2, 1).expect("the topic is new");
    cluster
}

/// Runs the producer with nothing of the environment but what is given.
fn producer(args: &[&str], stdin: &[u8]) -> (Option<i32>, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_producer"))
        .args(args)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the producer starts");
    // It may end without reading all of it.
    let _ = child.stdin.take().expect("it is piped").write_all(stdin);
    let Output { status, stderr, .. } = child.wait_with_output().expect("the producer ends");
    (status.code(), String::from_utf8_lossy(&stderr).into_owned())
}

fn file(folder: &Path, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("the folder takes a file");
    path
}

#[test]
fn a_valid_file_is_sent_and_summed_up() {
    let cluster = cluster();
    let csv = format!("{HEADER}Brazil,1987,BRA,1,2,3,4\nBrazil,1899,BRA,1,2,3,4\nBrazil,1988,BRA,1,many,3,4\n");
    let brokers = format!("--kafka-brokers={}", cluster.bootstrap_servers());
    let (code, log) = producer(&["--input", "-", &brokers], csv.as_bytes());
    assert_eq!(code, Some(0), "{log}");
    for line in [
        "sent: Brazil - 1987",
        "line 4 cannot be read and is not sent: gdp is not a number",
        "1 row could not be read and was not sent",
        "read 3, sent 1, filtered 1, rejected 1, ",
    ] {
        assert!(log.contains(line), "{line}\n{log}");
    }
    let (code, log) = producer(&["--input", "-", &brokers, "--strict"], csv.as_bytes());
    assert_eq!(code, Some(65), "{log}");
    assert!(log.contains("cannot use the input `-`: line 4: gdp is not a number"), "{log}");
    let (code, log) = producer(&["--input", "-", &brokers], HEADER.as_bytes());
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("the input has a header and no rows"), "{log}");
}

/// How it ends, and what is said, when an input is sent to brokers.
fn check_ends(args: &[&str], input: &str, (code, log): (i32, &str)) {
    let (ended, said) = producer(&[&["--input", "-"], args].concat(), input.as_bytes());
    assert_eq!(ended, Some(code), "{said}");
    assert!(said.contains(log), "{log}\n{said}");
}

#[test]
fn rows_of_which_none_can_be_used_are_no_success() {
    let cluster = cluster();
    let brokers = format!("--kafka-brokers={}", cluster.bootstrap_servers());
    let check_ends = |args: &[&str], input: &str, expected: (i32, &str)| {
        check_ends(&[&[brokers.as_str()], args].concat(), input, expected);
    };
    let field_too_many = format!("{HEADER}Aland,2001,AAA,1,2,3,4,\nBland,2001,BBB,1,2,3,4,\n");
    let why = "line 2: 8 fields where the header has 7";
    let none = |rows| format!("cannot use the input `-`: none of its rows could be used (read {rows}, filtered 0)");
    check_ends(&[], &field_too_many, (65, &format!("{}: {why}", none(2))));
    check_ends(&["--strict"], &field_too_many, (65, &format!("cannot use the input `-`: {why}")));
    let cr_in_the_body = format!("{HEADER}Aland,2001,AAA,1,2,3,4\rBland,2001,BBB,1,2,3,4\r");
    let why = "line 2: 13 fields where the header has 7: it holds a CR; lines must end with LF or CRLF";
    check_ends(&[], &cr_in_the_body, (65, &format!("{}: {why}", none(1))));
    check_ends(&["--strict"], &cr_in_the_body, (65, why));
    let long = format!("{HEADER}{}", "Aland,2001,AAA,1,2,3,4\r".repeat(100_000));
    check_ends(&[], &long, (65, "line 2: longer than 1 MiB: it holds a CR; lines must end with LF or CRLF"));
    let decimal_commas = "country;year;iso_code;population;gdp;co2;co2_per_capita\nAland;2001;AAA;1;2;3,5;4,5\n";
    check_ends(&[], decimal_commas, (65, "line 2: co2 is not a number"));
    // A filtered row is valid, and an unreadable one is not.
    let valid = format!("{HEADER}Aland,1899,AAA,1,2,3,4\n");
    check_ends(&[], &valid, (0, "read 1, sent 0, filtered 1, rejected 0"));
    check_ends(&["--from-year", "3000"], &valid, (0, "read 1, sent 0, filtered 1, rejected 0"));
    check_ends(&[], &format!("{valid}Aland,2001,AAA,1,many,3,4\n"), (65, "(read 2, filtered 1): line 3: gdp"));
    check_ends(&[], HEADER, (0, "the input has a header and no rows"));
}

#[test]
fn rows_that_are_sent_only_to_be_rejected_are_no_success() {
    let header = "Date;Time;Global_active_power;Global_reactive_power;Voltage;Global_intensity;Sub_metering_1;\
                  Sub_metering_2;Sub_metering_3\n";
    let cluster = cluster();
    cluster.create_topic("raw_energy", 2, 1).expect("the topic is new");
    let brokers = format!("--kafka-brokers={}", cluster.bootstrap_servers());
    let energy = |args: &[&str], rows: &str, expected: (i32, &str)| {
        check_ends(&[&["--pipeline=energy", &brokers], args].concat(), &format!("{header}{rows}"), expected);
    };
    let (valid, bad) = ("16/12/2006;17:24:00;1;0;0;0;0;0;0\n", "16/12/06;17:24:00;1;0;0;0;0;0;0\n");
    let why = "Date `16/12/06` is no day as d/m/yyyy or yyyy-mm-dd";
    energy(&[], bad, (65, &format!("none of its rows could be used (read 1, filtered 0): line 2: {why}")));
    energy(
        &[],
        &format!("{valid}{bad}"),
        (0, &format!("1 of the rows sent will be rejected by the consumer: line 3: {why}")),
    );
    energy(&["--strict"], &format!("{valid}{bad}"), (65, &format!("cannot use the input `-`: line 3: {why}")));
    let value = "16/12/2006;17:25:00;1,5;0;0;0;0;0;0\n";
    let why = "Global_active_power is not a number of at most three decimals";
    energy(&["--strict"], &format!("{valid}{value}"), (65, why));
    energy(&[], value, (65, why));
    // A minute without power is valid and has no fact: together with unusable rows only, it is no success either.
    let missing = "16/12/2006;17:26:00;?;?;?;?;?;?;\n";
    energy(&[], missing, (0, "read 1, sent 1"));
    energy(&[], &format!("{missing}{value}"), (65, "none of its rows could be used (read 2, filtered 1)"));
    energy(&[], "16/12/2006;17:25:00;1;0;0;0;0;0;0;\n", (65, "10 fields where the header has 9"));
    energy(&[], "16/12/2006;17:25;1;0;0;0;0;0;0\n", (65, "Time `17:25` is no whole minute as HH:MM:SS"));
}

#[test]
fn an_input_at_fault_ends_with_65_and_is_named() {
    let folder = tempfile::tempdir().expect("there is a folder for temporary files");
    let check = |path: &Path, expected: &str| {
        let path = path.to_str().expect("the folder's name is plain");
        let (code, log) = producer(&["--input", path, "--kafka-brokers=127.0.0.1:1"], b"");
        assert_eq!(code, Some(65), "{path}: {log}");
        assert!(log.contains(path) && log.contains(expected), "{path}: {log}");
    };
    check(&folder.path().join("missing.csv"), "No such file");
    check(folder.path(), "is a directory");
    check(&file(folder.path(), "empty.csv", ""), "the input is empty");
    check(&file(folder.path(), "missing-gdp.csv", HEADER.replace("gdp,", "")), "column `gdp` is missing");
    check(&file(folder.path(), "damaged.csv.gz", b"\x1F\x8B\x08\x00rubbish"), "the input is damaged");
    check(&file(folder.path(), "damaged.csv.xz", b"\xFD7zXZ\x00rubbish"), "the input is damaged");
    check(&file(folder.path(), "damaged.zip", b"PK\x03\x04rubbish"), "cannot use the zip archive");
}

#[test]
fn a_file_of_another_pipeline_is_recognised() {
    let meter = "Date;Time;Global_active_power;Global_reactive_power;Voltage;Global_intensity;Sub_metering_1;\
                 Sub_metering_2;Sub_metering_3\r\n1/1/2008;00:00:00;1;?;?;?;?;?;?\r\n";
    let check = |pipeline: &str, input: &str, expected: &str| {
        let args = ["--pipeline", pipeline, "--input", "-", "--kafka-brokers=127.0.0.1:1"];
        let (code, log) = producer(&args, input.as_bytes());
        assert_eq!(code, Some(65), "{log}");
        assert!(log.contains(expected), "{log}");
        log
    };
    check("emissions", meter, "cannot use the input `-`: it has the columns that --pipeline energy reads; ");
    check("energy", HEADER, "it has the columns that --pipeline emissions reads");
    let neither = check("energy", "a;b;c\n1;2;3\n", "its first line names none of the columns");
    assert!(!neither.contains("--pipeline"), "{neither}");
}

#[test]
fn kafka_that_stays_unavailable_ends_with_69() {
    let args = ["--input", "-", "--kafka-brokers=127.0.0.1:1", "--wait=200ms"];
    let (code, log) = producer(&args, HEADER.as_bytes());
    assert_eq!(code, Some(69), "{log}");
    assert!(log.contains("kafka at 127.0.0.1:1 is unavailable"), "{log}");
}

#[test]
fn mistakes_in_the_command_line_end_with_64() {
    for args in [["--nonsense", "x"], ["--pipeline", "moon"], ["--rate", "0"]] {
        let (code, log) = producer(&args, b"");
        assert_eq!(code, Some(64), "{args:?}: {log}");
    }
    assert_eq!(producer(&["--version"], b"").0, Some(0));
}
