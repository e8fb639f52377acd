//! The tables of connections in `kubernetes/README.md`.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};

use super::{Connection, End};

/// Reads the table between the markers of that name. A connection to the name service is one row, and stands for UDP and TCP.
///
/// # Errors
/// When there is no such table, or a row is not of its form.
pub fn read(document: &str, name: &str) -> Result<BTreeSet<Connection>> {
    let (begin, end) = (format!("<!-- {name} -->"), format!("<!-- /{name} -->"));
    let (_, rest) = document.split_once(&begin).with_context(|| format!("there is no table of {name}"))?;
    let (table, _) = rest.split_once(&end).with_context(|| format!("the table of {name} does not end"))?;
    let rows = table.lines().map(str::trim).filter(|line| line.starts_with('|')).skip(2);
    let mut connections = BTreeSet::new();
    for row in rows {
        let cells: Vec<String> =
            row.trim_matches('|').split('|').map(|cell| cell.replace('`', "").trim().to_owned()).collect();
        let [from, to, port, why] = cells.as_slice() else { anyhow::bail!("not four cells: {row}") };
        ensure!(!why.is_empty(), "no reason: {row}");
        let port = port.parse().with_context(|| format!("no port: {row}"))?;
        let connection = Connection { from: End::named(from), to: End::named(to), port, udp: false };
        let twice = !connections.insert(connection.clone());
        ensure!(!twice, "twice in the table: {row}");
        if connection.to == End::Dns {
            connections.insert(Connection { udp: true, ..connection });
        }
    }
    Ok(connections)
}
