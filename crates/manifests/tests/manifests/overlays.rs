//! Every overlay and every claimed combination of components, against every law and its roads.

use std::{collections::BTreeSet, fs, thread};

use manifests::{laws::variables::Knowledge, repository, tree::Tree};

use crate::{breaches::of, combinations};

/// Renderings that go on side by side; each takes kustomize a fifth of a second.
const SIDE_BY_SIDE: usize = 4;

#[test]
fn the_overlays_keep_every_law() {
    let Some(tree) = crate::tree("the_overlays_keep_every_law") else { return };
    let knowledge = Knowledge::new().unwrap();
    for overlay in combinations::OVERLAYS {
        assert_eq!(of(&tree.render(overlay).unwrap(), &knowledge), Vec::<String>::new(), "{overlay}");
    }
}

#[test]
fn every_combination_of_components_keeps_every_law() {
    let Some(tree) = crate::tree("every_combination_of_components_keeps_every_law") else { return };
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

/// The overlay that `make up DATA=https://…` writes: it is text in a script until somebody has called that.
#[test]
fn the_overlay_of_make_up_keeps_every_law_and_has_the_address() {
    let Some(tree) = crate::tree("the_overlay_of_make_up_keeps_every_law_and_has_the_address") else { return };
    const ADDRESS: &str = "https://example.com/co2.csv?year=2024&columns=all";
    let script = fs::read_to_string(repository().join("scripts/up")).unwrap();
    let texts = script.split("<<END\n").skip(1).filter_map(|rest| rest.split_once("\nEND\n"));
    let written = texts.map(|(text, _)| text).find(|text| text.contains("components/https-input"));
    let overlay = written.expect("scripts/up writes an overlay").replace("$data", ADDRESS).replace("\\`", "`");
    assert!(!overlay.contains('$'), "a variable that this test does not know: {overlay}");
    let rendering = tree.render_overlay("made-by-make-up", &overlay).unwrap();
    assert_eq!(of(&rendering, &Knowledge::new().unwrap()), Vec::<String>::new());
    assert_eq!(rendering.find("ConfigMap", "emissions-input").unwrap().text("/data/INPUT"), ADDRESS);
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
