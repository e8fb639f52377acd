//! What holds of the files themselves, not of one rendering.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use manifests::{object::Object, repository, rules::secrets};

/// Every key of the example is given to somebody; `breaches` finds the keys that it lacks.
#[test]
fn every_key_of_the_secrets_is_used() {
    let Some(tree) = crate::tree("every_key_of_the_secrets_is_used") else { return };
    let rendering = tree.render_with("keys", &["sensors", "http-input/sensors"]).unwrap();
    let used: BTreeSet<String> = rendering.workloads().iter().flat_map(secrets::secret_keys).collect();
    assert_eq!(used, secrets::example_keys());
}

#[test]
fn what_is_made_is_ignored_by_git() {
    for made in [
        "kubernetes/secrets/made-by-make-secrets.env",
        "kubernetes/made-by-make-images/kustomization.yaml",
        "kubernetes/made-by-make-up/kustomization.yaml",
        "kubernetes/components/external-kafka/any/made-by-you.env",
        "kubernetes/components/external-kafka/any/made-by-you-secret.env",
        "kubernetes/components/external-postgres/any/made-by-you.env",
        "kubernetes/components/external-postgres/any/made-by-you-secret.env",
        "kubernetes/components/mqtt-input/sensors/made-by-you.env",
        "kubernetes/components/mqtt-input/iot/made-by-you-secret.env",
    ] {
        let status = Command::new("git").args(["check-ignore", "--quiet", made]).current_dir(repository()).status();
        assert!(status.unwrap().success(), "{made} would be committed");
    }
}

/// Secrets are made from ignored files; one that is written out is a password in git.
#[test]
fn no_secret_is_committed() {
    let mut folders = vec![repository().join("kubernetes")];
    let mut read = 0;
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "yaml") {
                objects(&path).iter().for_each(|object| assert_ne!(object.kind(), "Secret", "{}", path.display()));
                read += 1;
            }
        }
    }
    assert!(read > 30, "only {read} files were read");
}

fn objects(path: &Path) -> Vec<Object> {
    let text = fs::read_to_string(path).unwrap();
    let values: Vec<serde_json::Value> =
        serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    values.into_iter().map(Object).collect()
}
