//! Every relative link leads somewhere.

use std::collections::BTreeMap;

use docs::{Document, documents};
use testkit::repository;

#[test]
fn every_link_resolves() {
    let documents = documents();
    let anchors: BTreeMap<_, _> =
        documents.iter().map(|document| (repository().join(&document.path), headings(document))).collect();
    let mut broken = Vec::new();
    for document in &documents {
        for (line, target) in links(document) {
            let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let here = repository().join(&document.path);
            let path = if file.is_empty() { here.clone() } else { here.parent().unwrap().join(file) };
            let known = path.canonicalize().ok().map(|path| anchors.get(&path).cloned());
            let resolves = match (&known, anchor) {
                (None, _) => false,
                (Some(_), "") => true,
                (Some(headings), anchor) => {
                    headings.as_ref().is_some_and(|found| found.iter().any(|one| one == anchor))
                }
            };
            if !resolves {
                broken.push(format!("{}:{line}: {target}", document.path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
}

/// The targets of a document's links, those of other hosts left out, each with its line.
fn links(document: &Document) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    for (number, line) in document.prose() {
        for (at, _) in line.match_indices("](") {
            let target = line[at + 2..].split(')').next().unwrap_or_default();
            let target = target.split(' ').next().unwrap_or_default();
            if !target.contains("://") && !target.starts_with("mailto:") {
                links.push((number, target.to_owned()));
            }
        }
    }
    links
}

/// The anchors of a document's headings, as forges make them.
fn headings(document: &Document) -> Vec<String> {
    let titles = document.prose().filter_map(|(_, line)| line.strip_prefix('#'));
    titles.map(|line| anchor(line.trim_start_matches('#').trim())).collect()
}

fn anchor(title: &str) -> String {
    let kept = title
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .collect::<String>();
    kept.replace(' ', "-")
}

#[test]
fn an_anchor_is_what_forges_make() {
    assert_eq!(anchor("The sample: `sample_made.csv`"), "the-sample-sample_madecsv");
    assert_eq!(anchor("What a forge expects, now"), "what-a-forge-expects-now");
}
