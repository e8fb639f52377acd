//! The report: one HTML file that needs no other.

use std::{fmt::Write as _, path::PathBuf};

use anyhow::Context;

use crate::{
    input::Input,
    outcome::Outcome,
    pipeline::Pipeline,
    printout::counts,
    road::Road,
    servers::folder,
    words::{escape, seconds},
};

/// Writes the report, and gives its path.
pub(crate) fn write<P: Pipeline>(input: &Input, road: &Road, outcome: &Outcome<P::Tables>) -> anyhow::Result<PathBuf> {
    let path = folder().join("report.html");
    let html = html::<P>(input, road, outcome);
    std::fs::write(&path, html).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

fn html<P: Pipeline>(input: &Input, road: &Road, outcome: &Outcome<P::Tables>) -> String {
    let made = input.made.map(|made| format!("<p class=\"made\">This is {made}.</p>\n")).unwrap_or_default();
    let source = if input.made.is_some() { "The sample is made by the project's own generator." } else { P::SOURCE };
    let title = P::TITLE;
    [
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n".to_owned(),
        format!("<meta name=\"viewport\" content=\"width=device-width\">\n<title>Tributary: {title}</title>\n"),
        format!("<style>\n{}</style>\n", include_str!("report.css")),
        format!("<h1>{title}</h1>\n<p class=\"soft\">{}</p>\n{made}", escape(&input.in_words())),
        P::report(&outcome.tables),
        accounting::<P>(input, road, outcome),
        P::remarks(&outcome.tables),
        format!("<footer>Made by Tributary's demonstration. {source}</footer>\n</html>\n"),
    ]
    .concat()
}

fn accounting<P: Pipeline>(input: &Input, road: &Road, outcome: &Outcome<P::Tables>) -> String {
    let mut html = "<h2>The road, and books that balance</h2>\n<table class=\"road\">\n".to_owned();
    for (name, count) in counts::<P>(input, road, outcome) {
        writeln!(html, "<tr><td class=\"n\">{count}<td>{}", escape(&name)).expect("a String takes all text");
    }
    html.push_str("</table>\n<h2>Time</h2>\n<table class=\"road\">\n");
    for step in &road.steps {
        writeln!(html, "<tr><td class=\"n\">{}<td>{}", seconds(step.took), step.name).expect("a String takes all text");
    }
    html + "</table>\n"
}
