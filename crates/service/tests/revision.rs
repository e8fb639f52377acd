//! Which revision the programs say they are, in repositories made for it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails at that line")]

use std::{fs, path::Path, process::Command};

#[path = "../build/revision.rs"]
#[allow(dead_code, reason = "a build script prints what it finds; nothing here would read it")]
mod revision;

fn git(root: &Path, arguments: &[&str]) {
    let who = ["-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false"];
    let done = Command::new("git").arg("-C").arg(root).args(who).args(arguments).output().unwrap();
    assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
}

fn write(root: &Path, path: &str, text: &str) {
    fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
    fs::write(root.join(path), text).unwrap();
}

/// A workspace of one crate, committed.
fn repository() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for path in ["Cargo.toml", "Cargo.lock", "crates/consumer/Cargo.toml", "crates/consumer/src/main.rs"] {
        write(folder.path(), path, "");
    }
    git(folder.path(), &["init", "--quiet"]);
    git(folder.path(), &["add", "."]);
    git(folder.path(), &["commit", "--quiet", "--message", "first"]);
    folder
}

fn said(root: &Path) -> Option<String> {
    revision::from_git(root).map(|found| found.revision)
}

#[test]
fn what_no_program_is_made_of_makes_nothing_dirty() {
    let folder = repository();
    let clean = said(folder.path()).unwrap();
    assert!(clean.len() == 12 && clean.bytes().all(|byte| byte.is_ascii_hexdigit()), "{clean}");
    for path in ["README.md", "crates/consumer/tests/help.rs", "crates/testkit/src/lib.rs", "kubernetes/x.yaml"] {
        write(folder.path(), path, "new");
        assert_eq!(said(folder.path()).as_deref(), Some(clean.as_str()), "{path}");
    }
    write(folder.path(), "crates/consumer/src/new.rs", "new");
    assert_eq!(said(folder.path()), Some(format!("{clean}-dirty")));
    git(folder.path(), &["add", "crates/consumer/src"]);
    git(folder.path(), &["commit", "--quiet", "--message", "second"]);
    let next = said(folder.path()).unwrap();
    assert!(next.len() == 12 && next != clean, "{next} after {clean}");
}

#[test]
fn every_change_touches_something_watched() {
    let folder = repository();
    let watched = revision::from_git(folder.path()).unwrap().watched;
    // What cargo compares: the latest change of a path and of all below it.
    let times = || watched.iter().map(|path| latest(path)).collect::<Vec<_>>();
    assert!(watched.iter().all(|path| path.exists()), "{watched:?}");
    let changes: [&dyn Fn(); 3] = [
        &|| write(folder.path(), "crates/consumer/src/main.rs", "fn main() {}"),
        &|| git(folder.path(), &["commit", "--quiet", "--all", "--message", "second"]),
        &|| git(folder.path(), &["checkout", "--quiet", "-b", "branch"]),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let before = times();
        std::thread::sleep(std::time::Duration::from_millis(20));
        change();
        assert_ne!(times(), before, "change {number}: {watched:?}");
    }
}

fn latest(path: &Path) -> std::time::SystemTime {
    let own = fs::metadata(path).unwrap().modified().unwrap();
    let below = path.is_dir().then(|| fs::read_dir(path).unwrap().map(|entry| latest(&entry.unwrap().path())));
    below.into_iter().flatten().fold(own, Ord::max)
}

#[test]
fn a_copy_within_somebody_elses_repository_is_nobodys() {
    let folder = repository();
    write(folder.path(), "vendor/tributary/Cargo.toml", "");
    assert_eq!(said(&folder.path().join("vendor/tributary")), None);
    assert_eq!(said(&tempfile::tempdir().unwrap().path().join("nothing")), None);
}
