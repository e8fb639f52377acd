//! The report: one self-contained HTML file.

use std::{fmt::Write as _, path::PathBuf};

use anyhow::Context;

use crate::{
    input::Input,
    outcome::Outcome,
    pipeline::Pipeline,
    printout::counts,
    servers::folder,
    transfer::Transfer,
    words::{escape, seconds},
};

/// Writes the report, and returns its path.
pub(crate) fn write<P: Pipeline>(
    input: &Input,
    transfer: &Transfer,
    outcome: &Outcome<P::Tables>,
) -> anyhow::Result<PathBuf> {
    let path = folder().join("report.html");
    let html = html::<P>(input, transfer, outcome);
    std::fs::write(&path, html).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

fn html<P: Pipeline>(input: &Input, transfer: &Transfer, outcome: &Outcome<P::Tables>) -> String {
    let made = input.made.map(|made| format!("<p class=\"made\">This is {made}.</p>\n")).unwrap_or_default();
    let source = if input.made.is_some() { "The sample is made by the project's own generator." } else { P::SOURCE };
    let title = P::TITLE;
    [
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n".to_owned(),
        format!("<meta name=\"viewport\" content=\"width=device-width\">\n<title>Tributary: {title}</title>\n"),
        format!("<style>\n{}</style>\n", include_str!("report.css")),
        format!("<h1>{title}</h1>\n<p class=\"soft\">{}</p>\n{made}", escape(&input.in_words())),
        P::report(&outcome.tables),
        accounting::<P>(input, transfer, outcome),
        P::remarks(&outcome.tables),
        format!("<footer>Made by Tributary's demonstration. {source}</footer>\n</html>\n"),
    ]
    .concat()
}

fn accounting<P: Pipeline>(input: &Input, transfer: &Transfer, outcome: &Outcome<P::Tables>) -> String {
    let mut html = "<h2>The transfer and its accounting</h2>\n<table class=\"transfer\">\n".to_owned();
    for (name, count) in counts::<P>(input, transfer, outcome) {
        writeln!(html, "<tr><td class=\"n\">{count}<td>{}", escape(&name)).expect("a String takes all text");
    }
    html.push_str("</table>\n<h2>Time</h2>\n<table class=\"transfer\">\n");
    for step in &transfer.steps {
        writeln!(html, "<tr><td class=\"n\">{}<td>{}", seconds(step.took), step.name).expect("a String takes all text");
    }
    html + "</table>\n"
}
