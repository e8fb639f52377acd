//! Tables and numbers for people, at a terminal and in Markdown.

use testkit::numbers::thousands;

/// A Markdown table; the first column is words, the others are figures, aligned right.
pub(crate) fn table<const N: usize>(header: [&str; N], rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].as_str()).chain([header[column]]);
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = line(&header.map(str::to_owned), &widths);
    let rules: [String; N] = std::array::from_fn(|column| match column {
        0 => "-".repeat(widths[column]),
        _ => format!("{}:", "-".repeat(widths[column].max(1) - 1)),
    });
    text.push_str(&line(&rules, &widths));
    text.extend(rows.iter().map(|row| line(row, &widths)));
    text
}

fn line<const N: usize>(cells: &[String; N], widths: &[usize; N]) -> String {
    let padded = cells.iter().zip(widths).enumerate().map(|(column, (cell, &width))| match column {
        0 => format!(" {cell:<width$} |"),
        _ => format!(" {cell:>width$} |"),
    });
    format!("|{}\n", padded.collect::<String>())
}

/// A whole number with its thousands apart: `31,076`.
pub(crate) fn grouped(number: f64) -> String {
    thousands(&format!("{number:.0}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_lines_up() {
        let rows = [["producer".to_owned(), "7".to_owned()], ["é".to_owned(), "1,234".to_owned()]];
        assert_eq!(
            table(["run", "rows"], &rows),
            "| run      |  rows |\n| -------- | ----: |\n| producer |     7 |\n| é        | 1,234 |\n"
        );
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0.4, 999.0, 31_076.0, 1_234_567.8].map(grouped), ["0", "999", "31,076", "1,234,568"]);
    }
}
