//! The load profile: mean power by weekday and hour, as SVG; pure.

use std::fmt::Write as _;

use super::tables::Cell;
use crate::words::escape;

/// The picture's size, in SVG units: a cell, and the margins left of and above the cells.
const CELL: (f64, f64) = (34.0, 30.0);
const LEFT: f64 = 92.0;
const TOP: f64 = 22.0;
/// Where the mean power of the darkest and of the lightest cell is on the scale of colours.
const LIGHT: [f64; 3] = [241.0, 246.0, 250.0];
const DARK: [f64; 3] = [0.0, 76.0, 132.0];
/// From this share of the scale on, text on a cell is white.
const DARK_FROM: f64 = 0.55;

/// Draws a row for each weekday, and a cell for each hour, darker for more power.
pub(crate) fn draw(cells: &[Cell]) -> String {
    let (width, height) = (LEFT + 24.0 * CELL.0, TOP + 7.0 * CELL.1);
    let mut svg =
        format!("<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"mean power by weekday and hour\">\n");
    let known = cells.iter().filter_map(|cell| cell.average_kw);
    let (low, high) = known.fold((f64::MAX, f64::MIN), |(low, high), kw| (low.min(kw), high.max(kw)));
    for hour in 0..24 {
        let x = LEFT + CELL.0 * (f64::from(hour) + 0.5);
        writeln!(svg, "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{hour}</text>", TOP - 8.0)
            .expect("a String takes all text");
    }
    for one in cells {
        if one.hour == 0 {
            let y = TOP + CELL.1 * (f64::from(one.weekday) - 0.5) + 4.0;
            let name = escape(&one.weekday_name);
            writeln!(svg, "<text x=\"{:.1}\" y=\"{y:.1}\" text-anchor=\"end\">{name}</text>", LEFT - 10.0)
                .expect("a String takes all text");
        }
        cell(&mut svg, one, (low, high));
    }
    svg + "</svg>\n"
}

fn cell(svg: &mut String, cell: &Cell, (low, high): (f64, f64)) {
    let (x, y) = (LEFT + CELL.0 * f64::from(cell.hour), TOP + CELL.1 * (f64::from(cell.weekday) - 1.0));
    let (width, height) = (CELL.0 - 1.0, CELL.1 - 1.0);
    let name = escape(&cell.weekday_name);
    let Some(kw) = cell.average_kw else {
        writeln!(
            svg,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width}\" height=\"{height}\" fill=\"none\" stroke=\"#dfe5ea\">\
             <title>{name}, {} h: no minute</title></rect>",
            cell.hour
        )
        .expect("a String takes all text");
        return;
    };
    let share = if high > low { (kw - low) / (high - low) } else { 0.5 };
    let class = if share >= DARK_FROM { "light" } else { "dark" };
    writeln!(
        svg,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width}\" height=\"{height}\" fill=\"{}\">\
         <title>{name}, {} h: {kw:.3} kW</title></rect>\
         <text class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{kw:.1}</text>",
        colour(share),
        cell.hour,
        x + width / 2.0,
        y + height / 2.0 + 4.0,
    )
    .expect("a String takes all text");
}

/// The colour at this share, 0 to 1, of the scale from light to dark.
fn colour(share: f64) -> String {
    let mut parts = LIGHT.iter().zip(DARK).map(|(light, dark)| light + share * (dark - light));
    let mut next = || parts.next().unwrap_or_default();
    format!("rgb({:.0},{:.0},{:.0})", next(), next(), next())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(weekday: i32, hour: i32, average_kw: Option<f64>) -> Cell {
        Cell { weekday, weekday_name: format!("day {weekday}"), hour, average_kw }
    }

    #[test]
    fn more_power_is_darker_and_none_is_empty() {
        let svg = draw(&[cell(1, 0, Some(0.4)), cell(1, 1, Some(1.9)), cell(2, 0, None)]);
        let fill = |title: &str| {
            let end = svg.find(title).unwrap();
            svg[..end].rsplit("fill=\"").next().unwrap().split('"').next().unwrap().to_owned()
        };
        assert_eq!(fill("day 1, 0 h: 0.400 kW"), "rgb(241,246,250)");
        assert_eq!(fill("day 1, 1 h: 1.900 kW"), "rgb(0,76,132)");
        assert_eq!(fill("day 2, 0 h: no minute"), "none");
        assert_eq!(svg.matches(">day 1</text>").count(), 1);
    }
}
