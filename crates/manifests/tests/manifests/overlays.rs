//! Every overlay and every claimed combination of components, against every rule and its connections.

use std::{collections::BTreeSet, fs, process::Command, thread};

use manifests::{repository, rules::variables::Knowledge, tree::Tree};

use crate::{breaches::of, combinations};

/// Renderings that go on side by side; each takes kustomize a fifth of a second.
const SIDE_BY_SIDE: usize = 4;

#[test]
fn the_overlays_keep_every_rule() {
    let Some(tree) = crate::tree("the_overlays_keep_every_rule") else { return };
    let knowledge = Knowledge::new().unwrap();
    for overlay in combinations::OVERLAYS {
        assert_eq!(of(&tree.render(overlay).unwrap(), &knowledge), Vec::<String>::new(), "{overlay}");
    }
}

#[test]
fn every_combination_of_components_keeps_every_rule() {
    let Some(tree) = crate::tree("every_combination_of_components_keeps_every_rule") else { return };
    let knowledge = Knowledge::new().unwrap();
    let all = combinations::all();
    let try_part =
        |part: &[Vec<&str>]| part.iter().flat_map(|parts| tried(&tree, &knowledge, parts)).collect::<Vec<_>>();
    let breaches: Vec<String> = thread::scope(|scope| {
        let parts = all.chunks(all.len().div_ceil(SIDE_BY_SIDE));
        let threads: Vec<_> = parts.map(|part| scope.spawn(move || try_part(part))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(breaches.is_empty(), "{} breaches:\n{}", breaches.len(), breaches.join("\n"));
}

fn tried(tree: &Tree, knowledge: &Knowledge, components: &[&str]) -> Vec<String> {
    let name = format!("claimed-{}", components.join("-").replace('/', "-"));
    let breaches = match tree.render_with(&name, components) {
        Ok(rendering) => of(&rendering, knowledge),
        Err(error) => vec![format!("{error:#}")],
    };
    breaches.into_iter().map(|breach| format!("{components:?}: {breach}")).collect()
}

/// The overlays that `make up` writes: they are text in a script until somebody has called that.
#[test]
fn the_overlays_of_make_up_keep_every_rule_and_have_what_was_asked_for() {
    let Some(tree) = crate::tree("the_overlays_of_make_up_keep_every_rule_and_have_what_was_asked_for") else { return };
    const ADDRESS: &str = "https://example.com/co2.csv?year=2024&columns=all";
    let knowledge = Knowledge::new().unwrap();
    let asked = [
        (ADDRESS, "", "", ""),
        (ADDRESS, "power.zip", "", ""),
        ("sample", "power.zip", "", ""),
        ("co2.csv", "power.zip", "", ""),
        ("co2.csv", "", "simulator", ""),
        ("sample", "", "", "simulator"),
        ("sample", "power.zip", "simulator", "simulator"),
    ];
    for (data, energy, sensors, iot) in asked {
        let rendering = tree.render_overlay("made-by-make-up", &written(data, energy, sensors, iot)).unwrap();
        assert_eq!(of(&rendering, &knowledge), Vec::<String>::new(), "{data} {energy} {sensors} {iot}");
        let address = rendering.find("ConfigMap", "emissions-input").map(|map| map.text("/data/INPUT"));
        assert_eq!(address, (data == ADDRESS).then_some(ADDRESS), "{data} {energy}");
        let topic = rendering.find("ConfigMap", "emissions-producer").unwrap().text("/data/TOPIC");
        assert_eq!(topic == "emissions-sample", data == "sample", "{data} {energy}");
        let second = rendering.find("Deployment", "energy-consumer").is_some();
        assert_eq!(second, !energy.is_empty(), "{data} {energy}");
        let third = rendering.find("CronJob", "sensors-report").is_some();
        assert_eq!(third, !sensors.is_empty(), "{data} {energy} {sensors}");
        let fourth = rendering.find("Deployment", "iot-producer").is_some();
        assert_eq!(fourth, !iot.is_empty(), "{data} {iot}");
    }
}

/// What the script's own function writes.
fn written(data: &str, energy: &str, sensors: &str, iot: &str) -> String {
    let script = fs::read_to_string(repository().join("scripts/up")).unwrap();
    let (_, rest) = script.split_once("write_overlay() {").expect("scripts/up writes an overlay");
    let (body, _) = rest.split_once("\n}\n").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let call = format!("set -eu\nwrite_overlay() {{{body}\n}}\nwrite_overlay");
    let overlay = folder.path().to_str().unwrap();
    let variables = [("overlay", overlay), ("data", data), ("energy", energy), ("sensors", sensors), ("iot", iot)];
    let status = Command::new("bash").arg("-c").arg(call).envs(variables).status().unwrap();
    assert!(status.success(), "{data} {energy}");
    fs::read_to_string(folder.path().join("kustomization.yaml")).unwrap()
}

/// All pipelines run in one namespace: another one adds objects, and changes none of the first's.
#[test]
fn another_pipeline_changes_nothing_of_the_first() {
    let Some(tree) = crate::tree("another_pipeline_changes_nothing_of_the_first") else { return };
    let alone = tree.render(".").unwrap();
    for pipeline in ["energy", "sensors", "iot"] {
        let both = tree.render_with("both", &[pipeline]).unwrap();
        for object in &alone.objects {
            let after = both.find(object.kind(), object.name()).unwrap_or_else(|| panic!("{object} is gone"));
            let expected = object.to_string() == "ConfigMap/superset-init";
            assert!(expected || after.0 == object.0, "{object} has changed");
        }
        let added = both.objects.iter().filter(|object| alone.find(object.kind(), object.name()).is_none());
        let names: Vec<String> = added.map(ToString::to_string).collect();
        let own = |name: &String| name.contains(&format!("/{pipeline}-"));
        assert!(names.len() > 5 && names.iter().all(own), "{names:?}");
        assert_eq!(both.find("ConfigMap", "superset-init").unwrap().0["data"].as_object().unwrap().len(), 2);
    }
}

/// Every folder with a kustomization is in some combination, so that none is forgotten.
#[test]
fn every_component_is_claimed() {
    let claimed: BTreeSet<String> = combinations::all().into_iter().flatten().map(str::to_owned).collect();
    let components = repository().join("kubernetes/components");
    let mut found = BTreeSet::new();
    let mut folders = vec![components.clone()];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.ends_with("kustomization.yaml") {
                found.insert(folder.strip_prefix(&components).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    assert_eq!(found, claimed);
}
