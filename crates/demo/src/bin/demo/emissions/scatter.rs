//! A scatter plot on two log axes, as SVG; pure.

use std::fmt::Write as _;

use crate::words::escape;

/// A point, with its text on hover.
pub(crate) struct Point {
    /// Along the x axis; above 0.
    pub(crate) x: f64,
    /// Along the y axis; above 0.
    pub(crate) y: f64,
    /// Which colour it has.
    pub(crate) group: usize,
    /// The name next to the point, where it has one.
    pub(crate) name: Option<String>,
    /// The text on hover.
    pub(crate) title: String,
}

/// Colours that people with any kind of colour vision can distinguish (Okabe and Ito), light enough ones left out.
const COLOURS: [&str; 7] = ["#0072b2", "#e69f00", "#c1272d", "#009e73", "#cc79a7", "#56b4e9", "#5b4a9a"];

/// The plot's size and margins, in SVG units.
const WIDTH: f64 = 920.0;
const HEIGHT: f64 = 540.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 120.0;
const TOP: f64 = 16.0;
const BOTTOM: f64 = 56.0;

/// A log axis: its range of values, and where they are in the picture.
struct Axis {
    /// Powers of ten, the first and the last shown.
    decades: (i32, i32),
    /// The coordinates of the first and the last of them.
    ends: (f64, f64),
}

impl Axis {
    fn over(values: impl Iterator<Item = f64>, ends: (f64, f64)) -> Self {
        let (low, high) = values.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)));
        let decade_below = |value: f64| (-320..=320).rev().find(|&decade| power(decade) <= value).unwrap_or(-320);
        let first = decade_below(low);
        let last = decade_below(high) + 1;
        Self { decades: (first, last.max(first + 1)), ends }
    }

    fn at(&self, value: f64) -> f64 {
        let (first, last) = (f64::from(self.decades.0), f64::from(self.decades.1));
        self.ends.0 + (value.log10() - first) / (last - first) * (self.ends.1 - self.ends.0)
    }

    fn ticks(&self) -> impl Iterator<Item = (i32, f64)> {
        (self.decades.0..=self.decades.1).map(|decade| (decade, self.at(power(decade))))
    }
}

fn power(decade: i32) -> f64 {
    10_f64.powi(decade)
}

/// The colour of a group.
pub(crate) fn colour(group: usize) -> &'static str {
    COLOURS[group % COLOURS.len()]
}

/// Draws the points; smaller groups are on top of larger ones, so that none is hidden.
pub(crate) fn draw(points: &[Point], (x_title, y_title): (&str, &str)) -> String {
    let x = Axis::over(points.iter().map(|point| point.x), (LEFT, WIDTH - RIGHT));
    let y = Axis::over(points.iter().map(|point| point.y), (HEIGHT - BOTTOM, TOP));
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">\n", escape(y_title));
    if points.is_empty() {
        return svg + "</svg>\n";
    }
    grid(&mut svg, &x, &y);
    let (middle_x, middle_y) = ((LEFT + WIDTH - RIGHT) / 2.0, (TOP + HEIGHT - BOTTOM) / 2.0);
    let titles = format!(
        "<text class=\"axis\" x=\"{middle_x}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n\
         <text class=\"axis\" transform=\"translate(18 {middle_y}) rotate(-90)\" text-anchor=\"middle\">{}</text>\n",
        HEIGHT - 12.0,
        escape(x_title),
        escape(y_title),
    );
    svg.push_str(&titles);
    let size = |group: usize| points.iter().filter(|point| point.group == group).count();
    let mut order: Vec<(f64, f64, &Point)> = points.iter().map(|point| (x.at(point.x), y.at(point.y), point)).collect();
    order.sort_by_key(|(_, _, point)| std::cmp::Reverse(size(point.group)));
    for &(x, y, point) in &order {
        dot(&mut svg, (x, y), point);
    }
    // The smallest groups are named first: they are what people want to identify.
    order.reverse();
    names(&mut svg, &order);
    svg + "</svg>\n"
}

fn grid(svg: &mut String, x: &Axis, y: &Axis) {
    let mut add = |line: String| svg.push_str(&line);
    for (decade, at) in x.ticks() {
        add(format!("<line class=\"grid\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{:.1}\"/>\n", y.ends.0));
        let below = y.ends.0 + 18.0;
        add(format!("<text x=\"{at:.1}\" y=\"{below:.1}\" text-anchor=\"middle\">{}</text>\n", tick(decade)));
    }
    for (decade, at) in y.ticks() {
        add(format!("<line class=\"grid\" y1=\"{at:.1}\" y2=\"{at:.1}\" x1=\"{LEFT}\" x2=\"{:.1}\"/>\n", x.ends.1));
        add(format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n",
            LEFT - 8.0,
            at + 4.0,
            tick(decade)
        ));
    }
}

/// A power of ten as people write it.
fn tick(decade: i32) -> String {
    match decade {
        -3..=0 => format!("{}", power(decade)),
        1..=3 => format!("{:.0}", power(decade)),
        _ => format!("10<tspan dy=\"-5\" font-size=\"9\">{decade}</tspan>"),
    }
}

fn dot(svg: &mut String, (x, y): (f64, f64), point: &Point) {
    let fill = colour(point.group);
    let title = escape(&point.title);
    writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\" fill=\"{fill}\"><title>{title}</title></circle>")
        .expect("a String takes all text");
}

/// Writes names next to their points, right or left, where they cover no other name; the rest are found by hovering.
fn names(svg: &mut String, points: &[(f64, f64, &Point)]) {
    let mut taken: Vec<(f64, f64, f64)> = Vec::new();
    for (x, y, point) in points {
        let Some(name) = &point.name else { continue };
        // The average letter of a 12-unit typeface is less than 7 wide.
        let width = 7.0 * name.chars().fold(0.0, |count, _| count + 1.0);
        let sides = [(x + 8.0, x + 8.0 + width, "start"), (x - 8.0 - width, x - 8.0, "end")];
        let free = |(from, to, _): &(f64, f64, &str)| {
            let clear = |other: &(f64, f64, f64)| (y - other.2).abs() > 12.0 || *to < other.0 || *from > other.1;
            *from > LEFT && *to < WIDTH && taken.iter().all(clear)
        };
        let Some(&(from, to, anchor)) = sides.iter().find(|side| free(side)) else { continue };
        taken.push((from, to, *y));
        let at = if anchor == "start" { from } else { to };
        writeln!(
            svg,
            "<text class=\"name\" x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>",
            y + 4.0,
            escape(name)
        )
        .expect("a String takes all text");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(x: f64, y: f64, group: usize) -> Point {
        Point { x, y, group, name: None, title: format!("{x} & {y}") }
    }

    #[test]
    fn an_axis_spans_whole_decades() {
        let check =
            |values: &[f64], decades| assert_eq!(Axis::over(values.iter().copied(), (0.0, 1.0)).decades, decades);
        check(&[0.03, 450.0], (-2, 3));
        check(&[1.0], (0, 1));
        check(&[1000.0, 1000.0], (3, 4));
        let axis = Axis::over([1.0, 99.0].into_iter(), (100.0, 300.0));
        assert_eq!([axis.at(1.0), axis.at(10.0), axis.at(100.0)], [100.0, 200.0, 300.0]);
    }

    #[test]
    fn smaller_groups_lie_on_top() {
        let svg = draw(&[point(5.0, 5.0, 1), point(1.0, 2.0, 0), point(2.0, 3.0, 0)], ("x", "y"));
        let at = |text: &str| svg.find(text).unwrap();
        assert!(at("1 &amp; 2") < at("5 &amp; 5"));
        assert_eq!(svg.matches("<circle").count(), 3);
    }

    #[test]
    fn names_do_not_cover_each_other() {
        let named = |x, name: &str| Point { name: Some(name.to_owned()), ..point(x, 5.0, 0) };
        let svg = draw(&[named(1.0, "Left"), named(50.0, "One"), named(51.0, "Two"), named(52.0, "Three")], ("x", "y"));
        // One of the three neighbours is written to the right and one to the left; the third has no space.
        assert_eq!(svg.matches("class=\"name\"").count(), 3);
        assert_eq!(svg.matches("text-anchor=\"start\"").count(), 2);
    }

    #[test]
    fn nothing_to_draw_is_an_empty_picture() {
        assert!(!draw(&[], ("x", "y")).contains("<circle"));
    }
}
