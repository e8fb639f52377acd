//! A bar for each quarter, in parts, as SVG; pure.

use std::fmt::Write as _;

use crate::words::{escape, grouped};

/// A bar.
pub(crate) struct Bar {
    /// The text below it.
    pub(crate) name: String,
    /// The text below that, once for all neighbours with the same text.
    pub(crate) family: String,
    /// The text below both.
    pub(crate) note: String,
    /// Whether the note is one that a person should see.
    pub(crate) stressed: bool,
    /// The heights of its parts, from below, and the text of each on hover.
    pub(crate) parts: Vec<(f64, String)>,
}

/// Colours of the parts that people with any kind of colour vision can distinguish (Okabe and Ito); the rest is grey.
const COLOURS: [&str; 4] = ["#0072b2", "#56b4e9", "#e69f00", "#c4ccd3"];

/// The picture's size and margins, in SVG units.
const WIDTH: f64 = 920.0;
const HEIGHT: f64 = 380.0;
const LEFT: f64 = 64.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 72.0;
/// The part of its column that a bar takes.
const THICKNESS: f64 = 0.72;

/// The colour of a part.
pub(crate) fn colour(part: usize) -> &'static str {
    COLOURS[part % COLOURS.len()]
}

/// Draws the bars.
pub(crate) fn draw(bars: &[Bar], y_title: &str) -> String {
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">\n", escape(y_title));
    if bars.is_empty() {
        return svg + "</svg>\n";
    }
    let height = |bar: &Bar| bar.parts.iter().map(|(height, _)| height).sum::<f64>();
    let most = bars.iter().map(height).fold(0.0, f64::max);
    let step = step(most);
    let steps = (most / step).ceil().max(1.0);
    let scale = (HEIGHT - TOP - BOTTOM) / (steps * step);
    grid(&mut svg, step, (steps, scale));
    let (middle, title) = ((TOP + HEIGHT - BOTTOM) / 2.0, escape(y_title));
    writeln!(
        svg,
        "<text class=\"axis\" transform=\"translate(14 {middle}) rotate(-90)\" text-anchor=\"middle\">{title}</text>"
    )
    .expect("a String takes all text");
    let width = (WIDTH - LEFT) / bars.iter().fold(0.0, |count, _| count + 1.0);
    let (mut left, mut family) = (LEFT, "");
    for one in bars {
        bar(&mut svg, one, (left + width * (1.0 - THICKNESS) / 2.0, width * THICKNESS), scale);
        if one.family != family {
            family = &one.family;
            label(&mut svg, "name", (left + width / 2.0, 54.0), family);
        }
        left += width;
    }
    svg + "</svg>\n"
}

/// The distance between two lines of the grid: 1, 2 or 5 times a power of ten, so that there are five to ten or so.
fn step(most: f64) -> f64 {
    let wanted = (most / 8.0).max(1e-3);
    let power = 10_f64.powf(wanted.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= wanted).unwrap_or(10.0);
    factor * power
}

fn grid(svg: &mut String, step: f64, (steps, scale): (f64, f64)) {
    let mut line = 0.0;
    while line <= steps {
        let y = HEIGHT - BOTTOM - line * step * scale;
        writeln!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 8.0,
            y + 4.0,
            tick(line * step),
        )
        .expect("a String takes all text");
        line += 1.0;
    }
}

/// A value of the grid, without superfluous digits, thousands apart.
fn tick(value: f64) -> String {
    let text = format!("{value:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    text.parse::<i64>().map_or_else(|_| text.to_owned(), grouped)
}

fn bar(svg: &mut String, bar: &Bar, (x, width): (f64, f64), scale: f64) {
    let mut below = HEIGHT - BOTTOM;
    for (part, (height, title)) in bar.parts.iter().enumerate() {
        let (height, fill) = (height * scale, colour(part));
        below -= height;
        writeln!(
            svg,
            "<rect x=\"{x:.1}\" y=\"{below:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{fill}\">\
             <title>{}</title></rect>",
            escape(title)
        )
        .expect("a String takes all text");
    }
    label(svg, "", (x + width / 2.0, 18.0), &bar.name);
    label(svg, if bar.stressed { "stressed" } else { "" }, (x + width / 2.0, 35.0), &bar.note);
}

/// Writes so far below the bars.
fn label(svg: &mut String, class: &str, (middle, below): (f64, f64), text: &str) {
    let (y, text) = (HEIGHT - BOTTOM + below, escape(text));
    writeln!(svg, "<text class=\"{class}\" x=\"{middle:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{text}</text>")
        .expect("a String takes all text");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grid_has_round_steps() {
        let check =
            |most: f64, expected: f64| assert!((step(most) / expected - 1.0).abs() < 1e-9, "{most}: {}", step(most));
        check(8.0, 1.0);
        check(3_400.0, 500.0);
        check(1_700.0, 500.0);
        check(0.9, 0.2);
    }

    #[test]
    fn values_of_the_grid_are_short() {
        assert_eq!([0.0, 0.2, 500.0, 3_500.0].map(tick), ["0", "0.2", "500", "3,500"]);
    }

    #[test]
    fn parts_stand_on_each_other() {
        let part = |height: f64| (height, format!("<{height}>"));
        let bar = |parts: Vec<_>| Bar {
            name: "Q1".to_owned(),
            family: "2008".to_owned(),
            note: "99 %".to_owned(),
            stressed: true,
            parts,
        };
        let svg = draw(&[bar(vec![part(3.0), part(5.0)]), bar(vec![part(1.0)])], "kWh");
        let heights: Vec<&str> = svg.split(" height=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        let whole = HEIGHT - TOP - BOTTOM;
        let expected = [3.0, 5.0, 1.0].map(|height| format!("{:.1}", height / 8.0 * whole));
        assert_eq!(heights, expected);
        assert!(svg.contains("&lt;3&gt;") && svg.contains("class=\"stressed\""));
        assert_eq!([svg.matches(">Q1<").count(), svg.matches(">2008<").count()], [2, 1]);
        assert!(!draw(&[], "kWh").contains("<rect"));
    }
}
