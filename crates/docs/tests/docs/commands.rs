//! Every block of commands runs, or says what it needs.

use std::{
    fs,
    process::{Command, Stdio},
};

use docs::{Block, documents};
use testkit::{broker::EmbeddedBroker, postgres::Postgres, repository};

/// What a block may need that a test does not have.
const NEEDS: [&str; 4] = ["cluster", "network", "minutes", "hours"];
/// Programs by which a line is known as a command.
const PROGRAMS: [&str; 11] = [
    "cargo",
    "consumer",
    "curl",
    "kubectl",
    "make",
    "migrate",
    "minikube",
    "producer",
    "psql",
    "scripts/",
    "warehouse",
];
/// What runs first: the other documents query the tables that it fills.
const FIRST: &str = "docs/OPERATIONS.md";

/// `make demo` with the binaries that the tests run; other targets are marked with what they need.
const PRELUDE: &str = r#"
set -euo pipefail
make() {
  [ "$1" = demo ] || { echo "make $1 takes minutes: mark the block" >&2; return 64; }
  shift
  (for setting in "$@"; do export "$setting"; done; demo ${PIPELINE:+--pipeline "$PIPELINE"} ${DATA:+--data "$DATA"})
}
"#;

#[test]
fn every_block_of_commands_says_so() {
    let makefile = fs::read_to_string(repository().join("Makefile")).unwrap();
    let mut wrong = Vec::new();
    for document in documents() {
        for block in document.blocks() {
            let at = format!("{}:{}", document.path.display(), block.line);
            let mut words = block.info.split(' ');
            let language = words.next().unwrap_or_default();
            if language.is_empty() && block.text.lines().any(is_command) {
                wrong.push(format!("{at}: commands without a language"));
            }
            if let Some(other) = words.find(|word| language == "sh" && !NEEDS.contains(word)) {
                wrong.push(format!("{at}: `{other}` is none of {NEEDS:?}"));
            }
            let targets = block.text.split("make ").skip(1).filter(|_| language == "sh");
            for target in targets
                .filter_map(|rest| rest.split(|c: char| !c.is_ascii_lowercase() && !matches!(c, '-' | '2')).next())
            {
                if !target.is_empty() && !makefile.contains(&format!("\n{target}:")) {
                    wrong.push(format!("{at}: make has no target {target}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn is_command(line: &str) -> bool {
    PROGRAMS
        .iter()
        .any(|program| line.starts_with(program) && (program.ends_with('/') || line[program.len()..].starts_with(' ')))
}

#[test]
fn every_block_that_can_run_runs() {
    let folder = repository().join("target/test/docs");
    let postgres = Postgres::start_with(&folder, &[("PGFAST", "1")]).unwrap();
    let broker = EmbeddedBroker::start().unwrap();
    let server = postgres.url().split('@').next_back().unwrap().split('/').next().unwrap().to_owned();
    let superuser = postgres.url().rsplit_once('/').unwrap().0;
    let here = |text: &str| {
        text.replace("postgres://postgres:secret@localhost:5432", superuser)
            .replace("@localhost:5432", &format!("@{server}"))
            .replace("localhost:9092", broker.bootstrap())
    };
    let mut documents = documents();
    documents.sort_by_key(|document| document.path != std::path::Path::new(FIRST));
    let mut ran = 0;
    for document in documents {
        for block in document.blocks() {
            let Some(script) = script(&block) else { continue };
            let at = format!("{}:{}", document.path.display(), block.line);
            assert!(!script.contains("target/test/"), "{at} works in the folder of the servers that run this test");
            let output = run(&here(&script), superuser);
            assert!(output.status.success(), "{at} failed:\n{}", String::from_utf8_lossy(&output.stderr));
            ran += 1;
        }
    }
    assert!(ran > 5, "only {ran} blocks were found");
}

/// The commands of a block that runs here.
fn script(block: &Block) -> Option<String> {
    let mut words = block.info.split(' ');
    match (words.next(), words.next()) {
        (Some("sh"), None) => Some(block.text.clone()),
        // A database of the Python version is not at hand.
        (Some("sql"), Some("legacy")) => None,
        (Some("sql"), database) => {
            let database = database.unwrap_or("co2_emissions");
            Some(format!("psql -v ON_ERROR_STOP=1 \"$SERVER/{database}\" <<'SQL'\n{}SQL\n", block.text))
        }
        _ => None,
    }
}

/// Runs commands in the repository's top folder, the built binaries first on the path.
fn run(script: &str, server: &str) -> std::process::Output {
    let own = std::env::current_exe().unwrap();
    let binaries = own.parent().unwrap().parent().unwrap();
    let path = format!("{}:{}", binaries.display(), std::env::var("PATH").unwrap_or_default());
    let mut bash = Command::new("bash");
    bash.args(["-c", &format!("{PRELUDE}{script}")]).current_dir(repository()).env("PATH", path).env("SERVER", server);
    for name in ["DATABASE_URL", "KAFKA_BROKERS", "KAFKA_BROKER", "PIPELINE", "DATA"] {
        bash.env_remove(name);
    }
    bash.stdin(Stdio::null()).output().unwrap()
}
