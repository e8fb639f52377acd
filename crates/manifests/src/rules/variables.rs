//! A program's variables and options: it knows each of them, and each reference is filled in.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context, Result};

use super::unless;
use crate::{
    rendering::Rendering,
    repository,
    workload::{Container, Workload},
};

/// What a program's libraries read, and its own text does not name: where Python and Superset may write, and how
/// PostgreSQL's client library trusts a server.
const LIBRARIES: [&str; 4] = ["HOME", "SUPERSET_HOME", "PGSSLMODE", "PGSSLROOTCERT"];

/// What the programs say of themselves: the recorded `--help` of ours, the source of the dashboards' scripts.
#[derive(Debug)]
pub struct Knowledge {
    programs: Vec<(&'static str, String)>,
}

impl Knowledge {
    /// Reads the recorded help and the scripts.
    ///
    /// # Errors
    /// When one of them does not exist.
    pub fn new() -> Result<Self> {
        let superset = files(&repository().join("superset"), "py")?;
        // Whatever is recorded of a program: its options differ from pipeline to pipeline.
        let recorded = |program| files(&repository().join("crates").join(program).join("tests/cmd"), "trycmd");
        let mut programs = vec![("superset", superset.clone()), ("superset-init", superset)];
        for program in ["producer", "consumer", "migrate", "warehouse"] {
            programs.push((program, recorded(program)?));
        }
        Ok(Self { programs })
    }

    /// Misspelt variables and options, and `$(NAME)` that would stay as it is.
    pub fn breaches(&self, rendering: &Rendering) -> Vec<String> {
        let mut breaches = Vec::new();
        for workload in rendering.workloads() {
            let help =
                self.programs.iter().find(|(program, _)| *program == workload.program()).map(|(_, help)| words(help));
            for container in workload.containers() {
                breaches.extend(unexpanded(&workload, container));
                breaches.extend(help.iter().flat_map(|help| unknown(rendering, &workload, container, help)));
            }
        }
        breaches
    }
}

/// The text of all files of a folder whose names end so, without tests and tools in it.
fn files(folder: &Path, ending: &str) -> Result<String> {
    let mut all = String::new();
    for entry in fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() && !path.ends_with("tests") && !path.ends_with("tools") {
            all.push_str(&files(&path, ending)?);
        } else if path.extension().is_some_and(|extension| extension == ending) {
            all.push_str(&fs::read_to_string(&path)?);
        }
    }
    Ok(all)
}

/// Names of variables and of options.
fn words(text: &str) -> BTreeSet<&str> {
    text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_' || letter == '-')).collect()
}

fn unknown(
    rendering: &Rendering,
    workload: &Workload<'_>,
    container: Container<'_>,
    help: &BTreeSet<&str>,
) -> Vec<String> {
    let own = container.variables(rendering);
    let is_part = |name: &str| own.iter().any(|(_, value)| value.contains(&format!("$({name})")));
    let shared = container.shared_variables(rendering);
    let names = own.iter().map(|(name, _)| name).chain(shared.keys());
    let names = names.filter(|name| !help.contains(**name) && !LIBRARIES.contains(name) && !is_part(name));
    let names = names.map(|name| format!("{workload}: {name} is a variable that its program does not read"));
    let options = container.list("/args").iter().filter_map(|word| word.as_str()?.split('=').next());
    let options = options.filter(|word| word.starts_with("--") && !help.contains(word));
    names.chain(options.map(|word| format!("{workload}: {word} is no option of its program"))).collect()
}

/// Kubernetes fills in `$(NAME)` from variables that come before, and leaves it as it is otherwise.
fn unexpanded(workload: &Workload<'_>, container: Container<'_>) -> Vec<String> {
    let mut known: Vec<&str> = Vec::new();
    let mut breaches = Vec::new();
    for entry in container.list("/env") {
        let (name, value) = (entry["name"].as_str().unwrap_or_default(), entry["value"].as_str().unwrap_or_default());
        breaches.extend(
            unfilled(value, &known).map(|what| format!("{workload}: {name} has $({what}), which is not set before it")),
        );
        breaches.extend(unless(!known.contains(&name), || format!("{workload}: {name} is set twice")));
        known.push(name);
    }
    for word in container.words() {
        breaches.extend(
            unfilled(word, &known).map(|what| format!("{workload}: {word} has $({what}), which is no variable")),
        );
    }
    breaches
}

fn unfilled<'a>(text: &'a str, known: &'a [&str]) -> impl Iterator<Item = &'a str> {
    let references = text.split("$(").skip(1).filter_map(|rest| rest.split_once(')')).map(|(name, _)| name);
    references.filter(move |name| !known.contains(name))
}
