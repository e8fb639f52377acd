//! Countries and clusters as HTML.

use std::fmt::Write as _;

use super::{
    scatter::{Point, colour, draw},
    tables::{Member, Tables},
    words::{billions, label, run_in_words},
};
use crate::words::{escape, figure, grouped};

/// Names written into the plot, per cluster: more would cover each other.
const NAMED_POINTS: usize = 3;

/// The plot and the clusters.
pub(crate) fn result(tables: &Tables) -> String {
    scatter(tables) + &clusters(tables)
}

fn scatter(tables: &Tables) -> String {
    let points: Vec<Point> = tables.members.iter().filter_map(|member| point(member, tables)).collect();
    let hidden = tables.members.len() - points.len();
    let plot = draw(&points, ("mean gdp, international-$ of 2011 a year", "mean CO₂, million tonnes a year"));
    let hidden = match hidden {
        0 => String::new(),
        hidden => format!(
            "<p class=\"soft\">{} countries with a mean of 0 or less cannot be drawn on log axes.</p>\n",
            grouped(hidden)
        ),
    };
    let keys: String = tables
        .clusters
        .iter()
        .map(|cluster| {
            let (key, name) = (key(cluster.cluster), label(cluster.cluster, tables.clusters.len()));
            format!("<li>{key}{name} ({})</li>", grouped(cluster.num_countries))
        })
        .collect();
    format!("<h2>CO₂ and economy</h2>\n<ul class=\"legend\">{keys}</ul>\n{plot}{hidden}")
}

/// A country as a point; `None` where a log axis cannot show it.
fn point(member: &Member, tables: &Tables) -> Option<Point> {
    let (x, y) = (member.gdp.filter(|gdp| *gdp > 0.0)?, member.co2_mt.filter(|co2| *co2 > 0.0)?);
    let best_known = tables.best_known(member.cluster);
    let named = best_known.iter().take(NAMED_POINTS).any(|name| *name == member.country);
    let title = format!(
        "{}: cluster {}, {} Mt CO₂ a year, gdp {} bn int-$ a year",
        member.country,
        member.cluster,
        figure(member.co2_mt),
        billions(member.gdp),
    );
    let group = usize::try_from(member.cluster).ok()?;
    Some(Point { x, y, group, name: named.then(|| member.country.clone()), title })
}

/// The dot that stands for a cluster's colour.
fn key(cluster: i32) -> String {
    let colour = usize::try_from(cluster).map_or("#888", colour);
    format!("<span class=\"key\" style=\"background:{colour}\"></span>")
}

fn clusters(tables: &Tables) -> String {
    let Some(run) = &tables.run else { return "<h2>Clusters</h2>\n<p>No model has run.</p>\n".to_owned() };
    let mut html = format!(
        "<h2>Clusters</h2>\n<p class=\"soft\">{}</p>\n<table>\n<tr><th>cluster<th class=\"n\">countries\
         <th class=\"n\">CO₂, Mt a year<th class=\"n\">t per person<th class=\"n\">gdp, bn int-$\
         <th class=\"n\">silhouette<th>best known\n",
        escape(&run_in_words(run)),
    );
    for cluster in &tables.clusters {
        writeln!(
            html,
            "<tr><td class=\"label\">{}{}<td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{}<td>{}",
            key(cluster.cluster),
            label(cluster.cluster, tables.clusters.len()),
            grouped(cluster.num_countries),
            figure(cluster.co2_mt),
            figure(cluster.co2_per_capita_t),
            billions(cluster.gdp),
            figure(cluster.silhouette),
            escape(&tables.best_known(cluster.cluster).join(", ")),
        )
        .expect("a String takes all text");
    }
    html + "</table>\n<p class=\"soft\">Means over a cluster's countries, each of them a mean over its years.</p>\n"
}

/// Who is in no cluster.
pub(crate) fn left_out(tables: &Tables) -> String {
    let mut html = format!("<h2>Not clustered: {}</h2>\n<table class=\"transfer\">\n", grouped(tables.not_clustered()));
    for left_out in &tables.left_out {
        let (reason, names) = (escape(&left_out.reason), escape(&left_out.countries.join(", ")));
        writeln!(
            html,
            "<tr><td class=\"n\">{}<td>{reason}<br><span class=\"soft\">{names}</span>",
            left_out.countries.len()
        )
        .expect("a String takes all text");
    }
    html + "</table>\n"
}
