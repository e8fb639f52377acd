use super::*;

fn read(url: &str) -> Result<PgConnectOptions, String> {
    parse(url, |_| None)
}

/// User, address and database of a URL, where these variables are set.
fn meant(url: &str, variables: &[(&str, &str)]) -> String {
    let set = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    let options = parse(url, set).unwrap_or_else(|error| panic!("{url}: {error}"));
    let [user, database] = [options.get_username(), options.get_database().unwrap_or("-")];
    format!("{user} {} {database}", super::super::address(&options))
}

#[track_caller]
fn refused(url: &str, expected: &str) {
    let error = read(url).expect_err(url);
    assert!(error.contains(expected) && !error.contains("s3cret"), "{url}: {error}");
}

#[test]
fn an_address_and_parameters_say_the_same() {
    for (url, expected) in [
        ("postgres://me@db:5433/co2", "me db:5433 co2"),
        ("postgresql://?user=me&host=db&port=5433&dbname=co2", "me db:5433 co2"),
        ("postgres://me@db?dbname=co2&port=5433", "me db:5433 co2"),
        ("postgres://me@/co2?host=/var/run/postgresql", "me /var/run/postgresql:5432 co2"),
        ("postgres://me@%2Fvar%2Frun/co2", "me /var/run:5432 co2"),
        ("postgres://me:12%2F%3F%23@[::1]:5433/c%20o", "me [::1]:5433 c o"),
        ("postgres://me@db/?dbname=a%26b%3Dc+d", "me db:5432 a&b=c+d"),
        ("postgres://m%65@db/x?", "me db:5432 x"),
        ("POSTGRES://me:a@b@db/", "me db:5432 -"),
    ] {
        assert_eq!(meant(url, &[]), expected, "{url}");
    }
}

#[test]
fn no_parameter_is_ignored() {
    for name in KNOWN.into_iter().filter(|name| !name.starts_with("ssl")) {
        assert!(read(&format!("postgres://?{name}=1")).is_ok(), "{name}");
        refused(&format!("postgres://?{name}=1&{name}=1"), &format!("gives {name} twice"));
        refused(&format!("postgres://?{name}="), &format!("{name} is empty"));
        refused(&format!("postgres://?{}=1", name.to_uppercase()), "unknown parameter");
    }
    for (names, instead) in UNSUPPORTED {
        names.iter().for_each(|name| refused(&format!("postgres://db?{name}=1"), instead));
    }
    for (variable, _) in UNSUPPORTED_VARIABLES {
        let error = parse("postgres://db", |name| (name == variable).then(|| "1".to_owned())).unwrap_err();
        assert!(error.starts_with(&format!("{variable} is not supported: ")), "{error}");
    }
    refused("postgres://db/?ssl_mode=verify-full", "unknown parameter `ssl_mode`; known are host, port, dbname");
    refused("postgres://db?ssl-mode=require", "`ssl-mode`");
    refused("postgres://db?statement-cache-capacity=1", "`statement-cache-capacity`");
    refused("postgres://db?options[a]=b", "`options[a]`");
    refused("postgres://db?sslmode", "sslmode is empty");
    refused("postgres://db?sslmode=perhaps", "must be one of disable, prefer, require, verify-ca, verify-full");
    refused("postgres://db?sslmode=allow", "must be one of");
}

#[test]
fn a_part_that_is_given_twice_is_refused() {
    refused("postgres://me@db/co2?dbname=other", "gives dbname twice");
    refused("postgres://me@db/co2?dbname=co2", "gives dbname twice");
    refused("postgres://me@db?host=/tmp", "gives host twice");
    refused("postgres://me:s3cret@db?password=s3cret", "gives password twice");
    refused("postgres://me@a,b/co2", "several hosts");
}

#[test]
fn the_url_comes_before_variables_and_these_before_what_is_usual() {
    let set = [("PGHOST", "pg"), ("PGPORT", "1"), ("PGUSER", "who"), ("PGDATABASE", "what")];
    assert_eq!(meant("postgres://me@db:2/co2", &set), "me db:2 co2");
    assert_eq!(meant("postgres://db", &set), "who db:1 what");
    assert_eq!(meant("postgres://?dbname=co2", &set), "who pg:1 co2");
    assert_eq!(meant(DEFAULT, &set), "who pg:1 what");
    assert_eq!(meant(DEFAULT, &[]), "postgres localhost:5432 -");
    assert_eq!(meant(DEFAULT, &[("PGHOST", ""), ("PGDATABASE", "")]), "postgres localhost:5432 -");
    for (name, value) in [("PGPORT", "five"), ("PGSSLMODE", "s3cret"), ("PGHOST", "a,b")] {
        let error = parse(DEFAULT, |given| (given == name).then(|| value.to_owned())).unwrap_err();
        assert!(error.contains(name) && !error.contains("s3cret"), "{error}");
    }
}

#[test]
fn what_would_be_another_url_than_meant_is_refused() {
    for text in [
        "me:s3cret@db:5432",
        "postgres:me:s3cret@db",
        "mysql://me:s3cret@db",
        "postgres://me:12/s3cret@db/co2",
        "postgres://me:12?s3cret@db",
        "postgres://me:@s3cret#@db",
        "postgres://me@[::1/s3cret",
        "postgres://me:%ff@db",
        "postgres://d b",
        "--s3cret",
        "",
    ] {
        refused(text, "not a Postgres URL");
    }
    // What follows an `&` of a password that is not escaped is a part of it.
    refused("postgres://db?password=a&s3cret&b", "unknown parameter (not shown");
    refused("postgres://db?password=a&s3cret=b", "unknown parameter (not shown");
    refused("postgres://db:s3cret", "is not a number");
}

#[test]
fn a_control_character_is_refused_by_its_variables_name() {
    for url in ["postgres://me:s3cret\n@db", "postgres://me:s3cret@db\n", "\u{feff}postgres://me@db", "\n"] {
        refused(url, "DATABASE_URL holds a control character");
    }
    refused("postgres://me:s3cret%0A@db", "password of DATABASE_URL holds a control character");
    refused("postgres://me@db?password=%E2%80%A8", "password of DATABASE_URL holds");
    refused("postgres://me%00@db", "user of DATABASE_URL holds");
    refused("postgres://me@db/co2%0D", "dbname of DATABASE_URL holds");
    for (name, stand_in) in VARIABLES.iter().filter(|(name, _)| !HAVE_LINES.contains(name)) {
        let set = |given: &str| (given == *stand_in).then(|| "s3cret\n".to_owned());
        let error = parse("postgres://me@db", set).expect_err(name);
        assert!(error.starts_with(&format!("{stand_in} holds a control character")), "{error}");
    }
}

#[test]
fn a_file_that_does_not_exist_is_named_at_once() {
    let check = |query: &str, expected: &str| refused(&format!("postgres://w:s3cret@[::1]:5432/?{query}"), expected);
    check("sslmode=verify-full&sslrootcert=/not%20there", "sslrootcert `/not there` cannot be read: No such file");
    check("sslrootcert=Cargo.toml", "sslrootcert `Cargo.toml` is not a PEM file");
    check("sslkey=-----BEGIN PRIVATE KEY-----s3cret", "sslkey holds what a PEM file would");
}

#[test]
fn naming_an_authority_makes_the_client_verify_it() {
    let pem = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(pem.path(), "-----BEGIN CERTIFICATE-----").unwrap();
    let mode = |query: &str| {
        let url = format!("postgres://w@db/{query}").replace("FILE", &pem.path().display().to_string());
        read(&url).unwrap().get_ssl_mode()
    };
    assert!(matches!(mode("?sslmode=require&sslrootcert=FILE"), PgSslMode::VerifyCa));
    assert!(matches!(mode("?sslmode=require"), PgSslMode::Require));
    assert!(matches!(mode("?sslmode=verify-full&sslrootcert=FILE"), PgSslMode::VerifyFull));
    assert!(matches!(mode(""), PgSslMode::Prefer));
}
