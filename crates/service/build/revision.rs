//! Passes the git revision that a program is built from to the compiler; `build.rs` of each program includes this file.
//!
//! It is not a part of `service`: a new commit shall compile the three programs again, and not all below them.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Names the revision where there is no git, as in a container; it is taken as it is.
const GIVEN: &str = "REVISION";

/// So many digits as image tags have; fewer may one day be ambiguous.
const DIGITS: &str = "--short=12";

/// How the manifest of a crate that no program depends on describes it.
const DEVELOPMENT: &str = "description = \"Development only";

/// Sets `TRIBUTARY_REVISION` for the program: the revision given, or git's, or `unknown`.
pub(crate) fn emit() {
    println!("cargo:rerun-if-env-changed={GIVEN}");
    let given = env::var(GIVEN).ok().filter(|given| !given.is_empty());
    let found = given.or_else(|| {
        let found = workspace().and_then(|root| from_git(&root))?;
        found.watched.iter().for_each(|path| println!("cargo:rerun-if-changed={}", path.display()));
        Some(found.revision)
    });
    println!("cargo:rustc-env=TRIBUTARY_REVISION={}", found.unwrap_or_else(|| "unknown".to_owned()));
}

/// What git says of a workspace.
pub(crate) struct Found {
    /// The commit, and `-dirty` when what the programs are made of differs from it.
    pub(crate) revision: String,
    /// The files and folders that decide it.
    pub(crate) watched: Vec<PathBuf>,
}

/// Reads it from git; `None` where there is no repository, or no git.
pub(crate) fn from_git(root: &Path) -> Option<Found> {
    // A copy without its own repository may lie within somebody else's.
    let is_ours = git(root, &["rev-parse", "--show-prefix"])?.is_empty();
    let revision = git(root, &["rev-parse", DIGITS, "HEAD"]).filter(|_| is_ours)?;
    let sources = sources(root);
    let watched = git_files(root).into_iter().chain(sources.iter().map(|source| root.join(source)));
    // Cargo would take a file that does not exist for one that changes all the time.
    let watched = watched.filter(|path| path.exists()).collect();
    let status = ["status", "--porcelain", "--"].map(str::to_owned).into_iter().chain(sources);
    let is_clean = git(root, &status.collect::<Vec<_>>())?.is_empty();
    let revision = if is_clean { revision } else { format!("{revision}-dirty") };
    Some(Found { revision, watched })
}

fn workspace() -> Option<PathBuf> {
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR")?);
    manifest.ancestors().find(|folder| folder.join("Cargo.lock").is_file()).map(Path::to_owned)
}

/// What the programs are made of, below the workspace. Tests, tools and documents make no other program.
fn sources(root: &Path) -> Vec<String> {
    let crates = ["crates", "crates/pipelines"].into_iter().flat_map(|folder| {
        let entries = fs::read_dir(root.join(folder)).into_iter().flatten().flatten();
        let is_in_a_program = |entry: &fs::DirEntry| {
            let manifest = fs::read_to_string(entry.path().join("Cargo.toml"));
            manifest.is_ok_and(|manifest| !manifest.contains(DEVELOPMENT))
        };
        let names = entries.filter(is_in_a_program).filter_map(|entry| entry.file_name().into_string().ok());
        names.map(move |name| format!("{folder}/{name}")).collect::<Vec<_>>()
    });
    let parts = crates.flat_map(|folder| ["src", "Cargo.toml"].map(|part| format!("{folder}/{part}")));
    let shared = ["Cargo.toml", "Cargo.lock", "postgres/migrations"].map(str::to_owned);
    parts.filter(|part| root.join(part).exists()).chain(shared).collect()
}

/// What git changes when another commit is taken, or made.
fn git_files(root: &Path) -> Vec<PathBuf> {
    let branch = git(root, &["symbolic-ref", "--quiet", "HEAD"]);
    let names = ["HEAD", "logs/HEAD", "packed-refs"].map(str::to_owned).into_iter().chain(branch);
    let path = |name: String| git(root, &["rev-parse", "--git-path", &name]);
    names.filter_map(path).map(|path| root.join(path)).collect()
}

/// What git says, without the line's end; `None` when there is no git, or it refuses.
fn git(root: &Path, arguments: &[impl AsRef<std::ffi::OsStr>]) -> Option<String> {
    // Reading must not block a commit in progress.
    let output = Command::new("git").arg("--no-optional-locks").arg("-C").arg(root).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
    Some(text.trim_end().to_owned())
}
