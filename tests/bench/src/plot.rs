//! Curves over the number of clients, as an SVG that needs nothing else.

use std::fmt::Write;

/// One line of a panel.
#[derive(Clone, Debug)]
pub(crate) struct Curve {
    pub(crate) name: String,
    /// One value for each of the plot's places.
    pub(crate) values: Vec<f64>,
}

/// One set of axes.
#[derive(Clone, Debug)]
pub(crate) struct Panel {
    pub(crate) title: &'static str,
    pub(crate) curves: Vec<Curve>,
}

/// Panels side by side over the same places.
#[derive(Clone, Debug)]
pub(crate) struct Plot {
    pub(crate) places: Vec<usize>,
    pub(crate) panels: Vec<Panel>,
}

const WIDTH: f64 = 520.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 96.0;
const TOP: f64 = 96.0;
const BOTTOM: f64 = 64.0;
/// Names at the ends of curves keep so far from each other.
const NAMES_APART: f64 = 16.0;
const TICKS: f64 = 5.0;

/// By name, so that a curve has the same colour in every panel; grey for what is only there
/// to compare with.
fn colour(name: &str) -> &'static str {
    match name {
        "direct" => "#8a919c",
        "splice" => "#3d6fb4",
        _ => "#c8553d",
    }
}

impl Plot {
    /// `about` says in small letters what it was measured on.
    pub(crate) fn svg(&self, title: &str, about: &str) -> String {
        let width = WIDTH * self.panels.len() as f64;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {HEIGHT}\" \
             width=\"{width}\" height=\"{HEIGHT}\" \
             font-family=\"system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif\" font-size=\"12\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
             <text x=\"24\" y=\"32\" font-size=\"17\" font-weight=\"600\" fill=\"#1f2328\">{}</text>\n\
             <text x=\"24\" y=\"51\" font-size=\"11\" fill=\"#6a717c\">{}</text>\n",
            escape(title),
            escape(about)
        );
        for (index, panel) in self.panels.iter().enumerate() {
            self.draw(panel, WIDTH * index as f64, &mut svg);
        }
        svg.push_str("</svg>\n");
        svg
    }

    fn draw(&self, panel: &Panel, offset: f64, svg: &mut String) {
        let (left, right) = (offset + LEFT, offset + WIDTH - RIGHT);
        let bottom = HEIGHT - BOTTOM;
        let highest = panel.curves.iter().flat_map(|curve| curve.values.iter().copied());
        let (step, top) = scale(highest.fold(0.0, f64::max));
        let y = |value: f64| bottom - (bottom - TOP) * value / top;
        let last = self.places.len().saturating_sub(1).max(1) as f64;
        let x = |place: usize| left + (right - left) * place as f64 / last;

        let title = escape(panel.title);
        let _ = writeln!(
            svg,
            "<text x=\"{left}\" y=\"{}\" font-weight=\"600\" fill=\"#1f2328\">{title}</text>",
            TOP - 16.0
        );
        let mut tick = 0.0;
        while tick <= top + step / 2.0 {
            let at = y(tick);
            let line = if tick == 0.0 { "#6a717c" } else { "#e6e8eb" };
            let _ = writeln!(
                svg,
                "<line x1=\"{left}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"{line}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#6a717c\">{}</text>",
                left - 8.0,
                at + 4.0,
                number(tick)
            );
            tick += step;
        }
        for (place, count) in self.places.iter().enumerate() {
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#6a717c\">{count}</text>",
                x(place),
                bottom + 20.0
            );
        }
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#6a717c\">clients</text>",
            f64::midpoint(left, right),
            bottom + 42.0
        );
        self.draw_curves(panel, (x, y), right, svg);
    }

    fn draw_curves(
        &self,
        panel: &Panel,
        (x, y): (impl Fn(usize) -> f64, impl Fn(f64) -> f64),
        right: f64,
        svg: &mut String,
    ) {
        let mut names: Vec<(f64, &Curve)> = Vec::new();
        for curve in &panel.curves {
            let colour = colour(&curve.name);
            let points: Vec<String> = curve
                .values
                .iter()
                .enumerate()
                .map(|(place, value)| format!("{:.1},{:.1}", x(place), y(*value)))
                .collect();
            let _ = writeln!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2.2\" \
                 stroke-linejoin=\"round\" stroke-linecap=\"round\"/>",
                points.join(" ")
            );
            for point in &points {
                if let Some((cx, cy)) = point.split_once(',') {
                    let _ = writeln!(
                        svg,
                        "<circle cx=\"{cx}\" cy=\"{cy}\" r=\"3.4\" fill=\"#ffffff\" \
                         stroke=\"{colour}\" stroke-width=\"2\"/>"
                    );
                }
            }
            names.extend(curve.values.last().map(|value| (y(*value), curve)));
        }
        // From the top down, each name moves out of the one above it.
        names.sort_by(|one, other| one.0.total_cmp(&other.0));
        let mut free = f64::MIN;
        for (at, curve) in names {
            let at = at.max(free);
            free = at + NAMES_APART;
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" font-weight=\"600\" fill=\"{}\">{}</text>",
                right + 10.0,
                at + 4.0,
                colour(&curve.name),
                escape(&curve.name)
            );
        }
    }

    /// The same numbers as a table.
    pub(crate) fn table(&self) -> String {
        let mut text = String::new();
        for panel in &self.panels {
            let counts: Vec<String> = self.places.iter().map(usize::to_string).collect();
            let _ = writeln!(text, "| {}, clients | {} |", panel.title, counts.join(" | "));
            let _ = writeln!(text, "| --- |{}", " ---: |".repeat(counts.len()));
            for curve in &panel.curves {
                let values: Vec<String> = curve.values.iter().map(|one| number(*one)).collect();
                let _ = writeln!(text, "| {} | {} |", curve.name, values.join(" | "));
            }
            text.push('\n');
        }
        text
    }
}

/// A round step, and the multiple of it that holds the highest value.
fn scale(highest: f64) -> (f64, f64) {
    let rough = (highest / TICKS).max(f64::MIN_POSITIVE);
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].map(|round| round * power);
    let step = step.into_iter().find(|step| *step >= rough).unwrap_or(10.0 * power);
    (step, step * (highest / step).ceil().max(1.0))
}

/// With a thin space between thousands, and a decimal where there are none.
fn number(value: f64) -> String {
    if value < 100.0 && value.fract() != 0.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_are_round_and_hold_the_highest() {
        assert_eq!(scale(47.0), (10.0, 50.0));
        assert_eq!(scale(50.0), (10.0, 50.0));
        assert_eq!(scale(51_000.0), (20_000.0, 60_000.0));
        assert!(scale(0.0).1 > 0.0);
    }

    #[test]
    fn numbers_are_short() {
        let shown = [0.0, 2.5, 25.0, 999.6, 12_345.0].map(number);
        assert_eq!(shown, ["0", "2.5", "25", "1\u{202f}000", "12\u{202f}345"]);
    }
}
