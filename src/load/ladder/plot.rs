//! Line plots as inline SVG. Pure: numbers in, text out; colours and fonts are the page's (classes `s0`, `s1`, …).

use std::fmt::Write as _;

use crate::load::numbers::grouped;

/// The picture in its own units; the page scales it.
const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 32.0;
const TOP: f64 = 24.0;
const BOTTOM: f64 = 44.0;
/// About so many steps on a linear axis.
const STEPS: f64 = 6.0;
/// Lines with more points than this have no dots.
const DOTS_MAX: usize = 80;
/// A narrower band has no label.
const LABEL_WIDTH: f64 = 54.0;

/// The scale of the vertical axis.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Scale {
    Linear,
    /// For what spans decades; values below the axis lie on it.
    Log,
}

/// A line.
pub(super) struct PlotSeries {
    pub(super) name: &'static str,
    pub(super) points: Vec<(f64, f64)>,
}

/// A part of the x axis that belongs together.
pub(super) struct Band {
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) label: String,
}

/// A plot. Its x axis is linear and begins at 0.
pub(super) struct Plot {
    pub(super) x_title: &'static str,
    pub(super) y_title: &'static str,
    pub(super) scale: Scale,
    pub(super) series: Vec<PlotSeries>,
    pub(super) bands: Vec<Band>,
    /// A height that should not be passed.
    pub(super) bound: Option<f64>,
}

/// One axis: from values to places.
struct Axis {
    low: f64,
    high: f64,
    log: bool,
    from: f64,
    to: f64,
    ticks: Vec<f64>,
}

impl Axis {
    fn linear(high: f64, from: f64, to: f64) -> Axis {
        let step = nice_step(high.max(1e-9) / STEPS);
        let count = (high / step).ceil().max(1.0);
        let ticks = std::iter::successors(Some(0.0), |tick| Some(tick + 1.0)).take_while(|tick| *tick <= count);
        Axis { low: 0.0, high: count * step, log: false, from, to, ticks: ticks.map(|tick| tick * step).collect() }
    }

    /// The same without room above the highest value.
    fn up_to(high: f64, from: f64, to: f64) -> Axis {
        let axis = Axis::linear(high, from, to);
        let ticks = axis.ticks.into_iter().filter(|tick| *tick <= high).collect();
        Axis { high, ticks, ..axis }
    }

    /// Whole decades around the values, with ticks at 1, 2 and 5 where there are few.
    fn log(low: f64, high: f64, from: f64, to: f64) -> Axis {
        let first = low.max(1e-6).log10().floor();
        let last = high.max(1e-6).log10().ceil().max(first + 1.0);
        let decades =
            std::iter::successors(Some(first), |decade| Some(decade + 1.0)).take_while(|decade| *decade <= last);
        let steps: &[f64] = if last - first > 4.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let (low, high) = (10f64.powf(first), 10f64.powf(last));
        let ticks = decades.flat_map(|decade| steps.iter().map(move |step| step * 10f64.powf(decade)));
        let ticks = ticks.filter(|tick| *tick <= high * 1.000_001).collect();
        Axis { low, high, log: true, from, to, ticks }
    }

    fn place(&self, value: f64) -> f64 {
        let share = if self.log {
            (value.max(self.low) / self.low).log10() / (self.high / self.low).log10()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        self.from + share.clamp(0.0, 1.0) * (self.to - self.from)
    }
}

/// 1, 2 or 5 times a power of ten, not below the value.
fn nice_step(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|digit| digit * power).find(|step| *step >= value * 0.999).unwrap_or(power)
}

/// A number as people write it: `25,000`, `1.5`, `0.02`.
fn written(value: f64) -> String {
    if value >= 100.0 || value.fract().abs() < 1e-9 {
        let text = format!("{value:.0}");
        return text.parse().map_or(text, grouped);
    }
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Text between tags.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

impl Plot {
    /// The plot as an `svg` element, with a legend before it where there is more than one line.
    pub(super) fn svg(&self) -> String {
        let (x, y) = self.axes();
        let mut out = self.legend();
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(out, "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">", self.y_title);
        self.draw_bands(&x, &mut out);
        self.draw_axes(&x, &y, &mut out);
        if let Some(bound) = self.bound {
            let at = y.place(bound);
            let right = WIDTH - RIGHT;
            let _ = writeln!(out, "<line class=\"bound\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>");
        }
        for (index, series) in self.series.iter().enumerate() {
            draw_line(index, series, &x, &y, &mut out);
        }
        out.push_str("</svg>\n");
        out
    }

    fn axes(&self) -> (Axis, Axis) {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let x_high = points().map(|(x, _)| *x).chain(self.bands.iter().map(|band| band.to)).fold(1.0, f64::max);
        let heights = || points().map(|(_, y)| *y).chain(self.bound);
        let (bottom, top) = (HEIGHT - BOTTOM, TOP);
        let x = Axis::up_to(x_high, LEFT, WIDTH - RIGHT);
        let y = match self.scale {
            Scale::Linear => Axis::linear(heights().fold(1.0, f64::max), bottom, top),
            Scale::Log => {
                let above_zero = || heights().filter(|height| *height > 0.0);
                Axis::log(above_zero().fold(f64::MAX, f64::min), above_zero().fold(0.0, f64::max), bottom, top)
            }
        };
        (x, y)
    }

    fn legend(&self) -> String {
        if self.series.len() < 2 {
            return String::new();
        }
        let mut out = "<p class=\"legend\">".to_owned();
        for (index, series) in self.series.iter().enumerate() {
            let _ = write!(out, "<span class=\"s{index}\">{}</span> ", escaped(series.name));
        }
        out.push_str("</p>\n");
        out
    }

    fn draw_bands(&self, x: &Axis, out: &mut String) {
        for (index, band) in self.bands.iter().enumerate() {
            let (from, to) = (x.place(band.from), x.place(band.to));
            let (width, height) = ((to - from).max(0.0), HEIGHT - BOTTOM - TOP);
            let class = if index % 2 == 0 { "band" } else { "band odd" };
            let _ = writeln!(
                out,
                "<rect class=\"{class}\" x=\"{from:.1}\" y=\"{TOP}\" width=\"{width:.1}\" height=\"{height:.1}\"/>"
            );
            if width >= LABEL_WIDTH {
                let (middle, at) = (f64::midpoint(from, to), TOP - 8.0);
                let label = escaped(&band.label);
                let _ = writeln!(out, "<text class=\"mid\" x=\"{middle:.1}\" y=\"{at:.1}\">{label}</text>");
            }
        }
    }

    fn draw_axes(&self, x: &Axis, y: &Axis, out: &mut String) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for tick in &y.ticks {
            let (at, text) = (y.place(*tick), written(*tick));
            let _ = writeln!(
                out,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
                 <text class=\"end\" x=\"{:.1}\" y=\"{:.1}\">{text}</text>",
                LEFT - 8.0,
                at + 4.0
            );
        }
        for tick in &x.ticks {
            let (at, text) = (x.place(*tick), written(*tick));
            let _ = writeln!(out, "<text class=\"mid\" x=\"{at:.1}\" y=\"{:.1}\">{text}</text>", bottom + 18.0);
        }
        let _ = writeln!(
            out,
            "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{bottom}\" y2=\"{bottom}\"/>\
             <text class=\"mid\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            f64::midpoint(LEFT, right),
            HEIGHT - 6.0,
            escaped(self.x_title)
        );
    }
}

fn draw_line(index: usize, series: &PlotSeries, x: &Axis, y: &Axis, out: &mut String) {
    let places: Vec<(f64, f64)> = series.points.iter().map(|point| (x.place(point.0), y.place(point.1))).collect();
    let line: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let _ = writeln!(out, "<polyline class=\"line s{index}\" points=\"{}\"/>", line.join(" "));
    if series.points.len() > DOTS_MAX {
        return;
    }
    for ((at_x, at_y), (value_x, value_y)) in places.iter().zip(&series.points) {
        let _ = writeln!(
            out,
            "<circle class=\"dot s{index}\" cx=\"{at_x:.1}\" cy=\"{at_y:.1}\" r=\"3.5\"><title>{}: {} at {}</title></circle>",
            escaped(series.name),
            written(*value_y),
            written(*value_x)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_axes_have_round_ticks_and_hold_every_value() {
        let axis = Axis::linear(47_000.0, 0.0, 100.0);
        assert_eq!(axis.ticks, [0.0, 10_000.0, 20_000.0, 30_000.0, 40_000.0, 50_000.0]);
        assert!((axis.place(25_000.0) - 50.0).abs() < 1e-9);
        assert_eq!(Axis::linear(0.0, 0.0, 1.0).ticks.len(), 2, "nothing to show still has an axis");
        let axis = Axis::up_to(47_000.0, 0.0, 100.0);
        assert!(axis.ticks.last() == Some(&40_000.0) && (axis.place(47_000.0) - 100.0).abs() < 1e-9);
    }

    #[test]
    fn log_axes_span_whole_decades_from_below_upwards() {
        let axis = Axis::log(0.3, 40.0, 200.0, 0.0);
        assert_eq!((axis.low, axis.high), (0.1, 100.0));
        assert!((axis.place(0.1) - 200.0).abs() < 1e-9 && axis.place(100.0).abs() < 1e-9);
        assert!((axis.place(0.0) - 200.0).abs() < 1e-9, "what is below the axis lies on it");
    }

    #[test]
    fn numbers_are_written_as_people_do() {
        for (value, text) in [(25_000.0, "25,000"), (0.0, "0"), (0.02, "0.02"), (1.5, "1.5"), (123.4, "123")] {
            assert_eq!(written(value), text);
        }
    }

    #[test]
    fn every_point_is_in_the_picture() {
        let series = |points: &[(f64, f64)]| PlotSeries { name: "p<99>", points: points.to_vec() };
        let plot = Plot {
            x_title: "rate",
            y_title: "ms",
            scale: Scale::Log,
            series: vec![series(&[(0.0, 0.0), (1e6, 1e9)]), series(&[])],
            bands: vec![Band { from: 0.0, to: 2e6, label: "a & b".into() }],
            bound: Some(50.0),
        };
        let svg = plot.svg();
        assert!(svg.contains("p&lt;99&gt;") && svg.contains("a &amp; b") && !svg.contains("NaN"), "{svg}");
        let numbers = svg.split("cx=\"").skip(1).filter_map(|rest| rest.split('"').next()?.parse::<f64>().ok());
        let places: Vec<f64> = numbers.collect();
        assert!(places.len() == 2 && places.iter().all(|place| (LEFT..=WIDTH - RIGHT).contains(place)), "{places:?}");
    }
}
