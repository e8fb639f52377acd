//! PostgreSQL that takes encrypted connections only.

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use testkit::{TestDatabase, postgres::Postgres, process::Program};
use tokio::runtime::Runtime;

use crate::{LIMIT, WAIT, certificates::Authority, check, folder};

const WRITER_PASSWORD: &str = "a-writers-password";

/// A test's own server; `localhost` is what its certificate says.
struct Server {
    postgres: Postgres,
    runtime: Runtime,
}

impl Server {
    fn start(authority: &Authority) -> Self {
        let postgres = Postgres::start(&folder("postgres-server")).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let server = Self { postgres, runtime };
        let pair = authority.sign("localhost");
        for (name, text) in [("server.crt", pair.certificate), ("server.key", pair.key), ("root.crt", authority.pem())]
        {
            server.put("", name, &text);
        }
        server.query("", "ALTER SYSTEM SET ssl = on").unwrap();
        server.query("", "ALTER SYSTEM SET ssl_ca_file = 'root.crt'").unwrap();
        server.admit("", "scram-sha-256");
        server
    }

    /// The superuser's URL at a host, without a database.
    fn url(&self, host: &str, query: &str) -> String {
        let url = self.postgres.url().trim_end_matches("/postgres").replace("127.0.0.1", host);
        format!("{url}?{query}")
    }

    /// The URL of the consumer's role at a host.
    fn writer_url(&self, host: &str, query: &str) -> String {
        let url = self.url(host, query);
        let (_, address) = url.split_once('@').unwrap();
        format!("postgres://tributary_writer:{WRITER_PASSWORD}@{address}")
    }

    /// The superuser's password.
    fn password(&self) -> &str {
        self.postgres.url().split([':', '@']).nth(2).unwrap()
    }

    /// Admits connections with TLS and this authentication method, and no others.
    fn admit(&self, query: &str, how: &str) {
        self.put(query, "pg_hba.conf", &format!("hostssl all all 127.0.0.1/32 {how}\nhostssl all all ::1/128 {how}"));
        let loaded = "SELECT pg_conf_load_time()::text";
        let before = self.query(query, loaded).unwrap();
        self.query(query, "SELECT pg_reload_conf()::text").unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.query(query, loaded).is_ok_and(|now| now == before) {
            assert!(Instant::now() < deadline, "the server does not read its settings again");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Writes a file of the server, as the server's own user, who alone may read it.
    fn put(&self, query: &str, name: &str, text: &str) {
        let lines = format!("SELECT line FROM unnest(string_to_array('{text}', E'\\n')) AS line");
        self.query(query, &format!("COPY ({lines}) TO PROGRAM 'umask 077 && cat >{name}'")).unwrap();
    }

    /// Runs a statement as the superuser; the first value of the first row, if there is one.
    fn query(&self, query: &str, sql: &str) -> Result<Option<String>, sqlx::Error> {
        self.runtime.block_on(async {
            let mut connection = PgConnection::connect(&self.url("127.0.0.1", query)).await?;
            sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_optional(&mut connection).await
        })
    }
}

fn migrate(url: &str) -> Program {
    let program = Program::new("migrate").unwrap().args(["--pipeline", "emissions", "--wait", WAIT, "up"]);
    program.env("DATABASE_URL", url).env("WRITER_PASSWORD", WRITER_PASSWORD)
}

fn consumer(url: &str, args: &[&str]) -> Program {
    Program::new("consumer").unwrap().args(args).env("DATABASE_URL", url)
}

/// That the consumer's role gets in, and reads.
fn check_hash(url: &str) {
    let ended = consumer(url, &["hash"]).run(LIMIT).unwrap().expect_code(0).unwrap();
    assert_eq!(ended.stdout.len(), 4, "{url}: {ended}");
}

#[test]
fn certificates_are_verified_on_both_sides() {
    let files = folder("postgres");
    let (authority, stranger) = (Authority::new(&files, "known"), Authority::new(&files, "stranger"));
    let server = Server::start(&authority);
    let secrets = [server.password(), WRITER_PASSWORD];
    let full = format!("sslmode=verify-full&sslrootcert={}", authority.file());
    let by_authority = full.replace("verify-full", "verify-ca");
    // The server lets nobody in without TLS, so who gets in has it.
    check(migrate(&server.url("localhost", &full)), 0, "set the role's password", &secrets);
    check_hash(&server.writer_url("localhost", &full));
    // The certificate is not for this name; only verify-full minds.
    for query in ["", "sslmode=require", &by_authority] {
        check_hash(&server.writer_url("127.0.0.1", query));
    }
    let unknown = format!("sslmode=verify-full&sslrootcert={}", stranger.file());
    let refused = [
        ("localhost", "sslmode=disable", "no encryption"),
        ("localhost", unknown.as_str(), "UnknownIssuer"),
        ("localhost", &unknown.replace("verify-full", "require"), "UnknownIssuer"),
        ("localhost", "sslmode=verify-full", "UnknownIssuer"),
        ("127.0.0.1", full.as_str(), "not valid for name \"127.0.0.1\""),
    ];
    for (host, query, why) in refused {
        check(migrate(&server.url(host, query)), 64, why, &secrets);
        let following = consumer(&server.writer_url(host, query), &["--until-end", "--wait", WAIT]);
        check(following, 64, why, &secrets);
    }

    server.admit("sslmode=require", "scram-sha-256 clientcert=verify-ca");
    let known = |(certificate, key)| format!("{full}&sslcert={certificate}&sslkey={key}");
    check_hash(&server.writer_url("localhost", &known(authority.sign_files("writer"))));
    for (query, why) in [
        (full.clone(), "connection requires a valid client certificate"),
        (known(stranger.sign_files("stranger")), "received fatal alert"),
    ] {
        let following = consumer(&server.writer_url("localhost", &query), &["--until-end", "--wait", WAIT]);
        check(following, 64, why, &secrets);
    }
}

#[test]
fn a_server_without_tls_is_used_unless_tls_is_asked_for() {
    let url = TestDatabase::named_only().unwrap().server_url().to_owned();
    let status = |query: &str| {
        let program = Program::new("migrate").unwrap().args(["--pipeline", "emissions", "--wait", WAIT, "status"]);
        program.env("DATABASE_URL", format!("{url}?{query}"))
    };
    status("sslmode=prefer").run(LIMIT).unwrap().expect_code(0).unwrap();
    check(status("sslmode=require"), 64, "server does not support TLS", &[]);
}
