//! Charts of figures over time, as SVG in a page.
//!
//! Shapes are drawn in a box that is stretched to the width of the page; texts stand outside of it at shares of the width, so
//! that they have the size of the page's text on a telephone and on paper.

use maud::{Markup, html};

use super::words::{count, date_and_time};

/// Height of the box of shapes, in its own units.
const BOX_HEIGHT: f64 = 1000.0;
/// Top and height of the plot, and the line of the time labels, in pixels.
const TOP: f64 = 36.0;
const HEIGHT: f64 = 180.0;
const LABELS: f64 = 234.0;
/// The most labels of times: as many as fit a telephone.
const TIME_LABELS_MAX: i64 = 4;
/// Lengths between time labels, in seconds.
const TIME_STEPS: [i64; 20] =
    [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800];

/// The points in time that a chart shows.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimeAxis {
    /// Second since 1970 at which the first point begins.
    pub(super) from: i64,
    pub(super) point_seconds: u32,
    pub(super) points: usize,
}

impl TimeAxis {
    fn seconds(&self) -> i64 {
        i64::from(self.point_seconds).saturating_mul(i64::try_from(self.points.max(1)).unwrap_or(i64::MAX))
    }

    /// Returns the place of a second as a share of the width, in percent.
    fn place(&self, second: i64) -> f64 {
        as_float(second.saturating_sub(self.from)) * 100.0 / as_float(self.seconds())
    }

    /// Returns the labels with their places in percent.
    fn labels(&self) -> Vec<(f64, String)> {
        let least = self.seconds() / TIME_LABELS_MAX;
        let step = TIME_STEPS.into_iter().find(|step| *step > least).unwrap_or(least.max(1));
        let first = self.from.div_euclid(step).saturating_mul(step);
        let seconds = (1..=TIME_LABELS_MAX + 2).map(|number| first.saturating_add(step.saturating_mul(number)));
        let label = |second| {
            let (date, time) = date_and_time(second);
            if step >= 86_400 {
                date
            } else if step >= 60 {
                time.get(..5).unwrap_or("").to_owned()
            } else {
                time
            }
        };
        let placed = seconds.map(|second| (self.place(second), label(second)));
        placed.filter(|(place, _)| (9.0..=91.0).contains(place)).collect()
    }
}

/// A shape: its class gives the colour.
pub(super) struct Layer {
    pub(super) class: &'static str,
    pub(super) shape: LayerShape,
}

/// The values of a shape, one for each point.
pub(super) enum LayerShape {
    /// The area from one line up to another.
    Area(Vec<f64>, Vec<f64>),
    Line(Vec<f64>),
    /// A straight line between two places: (percent of the width, value).
    Straight((f64, f64), (f64, f64)),
}

/// A moment that a chart points out.
pub(super) struct Moment {
    pub(super) second: i64,
    pub(super) label: &'static str,
}

/// A chart.
pub(super) struct Chart {
    pub(super) axis: TimeAxis,
    /// The sentence for readers who cannot see it.
    pub(super) sentence: String,
    /// Unit of the values, beside the highest label.
    pub(super) unit: &'static str,
    pub(super) layers: Vec<Layer>,
    pub(super) moments: Vec<Moment>,
}

/// Makes areas that stand on each other, from the lowest up.
pub(super) fn stacked(series: Vec<(&'static str, Vec<f64>)>) -> Vec<Layer> {
    let mut below = vec![0.0; series.first().map_or(0, |(_, values)| values.len())];
    let mut layers = Vec::new();
    for (class, values) in series {
        let above: Vec<f64> = below.iter().zip(&values).map(|(below, value)| below + value).collect();
        if values.iter().any(|value| *value > 0.0) {
            layers.push(Layer { class, shape: LayerShape::Area(below, above.clone()) });
        }
        below = above;
    }
    layers
}

impl Chart {
    /// Draws the chart.
    #[must_use]
    pub(super) fn draw(&self) -> Markup {
        let highest = self.layers.iter().map(Layer::highest).fold(0.0, f64::max);
        let (top, ticks) = ticks(highest);
        let y = |value: f64| TOP + HEIGHT * (1.0 - value / top);
        let view = format!("0 0 {} {BOX_HEIGHT}", self.axis.points.max(1));
        html! {
            svg.chart role="img" aria-label=(self.sentence) width="100%" height="242" {
                @for tick in &ticks {
                    line.grid x1="0" x2="100%" y1=(px(y(*tick))) y2=(px(y(*tick))) {}
                }
                svg x="0" y=(px(TOP)) width="100%" height=(px(HEIGHT)) viewBox=(view) preserveAspectRatio="none" {
                    @for layer in &self.layers { (layer.draw(top, self.axis.points)) }
                }
                @for (index, moment) in self.moments.iter().enumerate() {
                    (self.draw_moment(moment, self.moments.get(index.saturating_add(1))))
                }
                @for tick in &ticks {
                    text.tick x="0" y=(px(y(*tick) - 4.0)) {
                        (value_label(*tick)) @if tick == ticks.last().unwrap_or(&0.0) { " " (self.unit) }
                    }
                }
                line.axis x1="0" x2="100%" y1=(px(TOP + HEIGHT)) y2=(px(TOP + HEIGHT)) {}
                @for (place, label) in self.axis.labels() {
                    text.time x=(percent(place)) y=(px(LABELS)) text-anchor="middle" { (label) }
                    line.axis x1=(percent(place)) x2=(percent(place)) y1=(px(TOP + HEIGHT)) y2=(px(TOP + HEIGHT + 5.0)) {}
                }
            }
        }
    }

    fn draw_moment(&self, moment: &Moment, next: Option<&Moment>) -> Markup {
        let place = self.axis.place(moment.second);
        if !(0.0..=100.0).contains(&place) {
            return html! {};
        }
        // Two labels within a sixth of the width lie over each other: the later moment keeps its own.
        let is_crowded = next.is_some_and(|next| self.axis.place(next.second) - place < 15.0);
        // The label stands on the side with room.
        let (anchor, dx) = if place > 60.0 { ("end", -5) } else { ("start", 5) };
        html! {
            line.moment x1=(percent(place)) x2=(percent(place)) y1="4" y2=(px(TOP + HEIGHT)) {}
            @if !is_crowded {
                text.moment x=(percent(place)) dx=(dx) y="13" text-anchor=(anchor) { (moment.label) }
            }
        }
    }
}

impl Layer {
    fn highest(&self) -> f64 {
        let of = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
        match &self.shape {
            LayerShape::Area(_, above) => of(above),
            LayerShape::Line(values) => of(values),
            LayerShape::Straight((_, first), (_, last)) => first.max(*last),
        }
    }

    fn draw(&self, top: f64, points: usize) -> Markup {
        let y = |value: f64| rounded(BOX_HEIGHT * (1.0 - value / top));
        let path = match &self.shape {
            LayerShape::Area(below, above) => {
                let mut path = steps(above, &y, 'M');
                // Back along the lower line, from the last point to the first.
                for (index, value) in below.iter().enumerate().rev() {
                    path.push_str(&format!("V{}H{index}", y(*value)));
                }
                path.push('Z');
                path
            }
            LayerShape::Line(values) => steps(values, &y, 'M'),
            LayerShape::Straight((from, first), (to, last)) => {
                let x = |place: f64| rounded(place * as_float(i64::try_from(points).unwrap_or(1)) / 100.0);
                format!("M{} {}L{} {}", x(*from), y(*first), x(*to), y(*last))
            }
        };
        html! { path class=(self.class) d=(path) {} }
    }
}

/// Returns a line that goes level over each point and straight up or down between points.
fn steps(values: &[f64], y: &impl Fn(f64) -> f64, first: char) -> String {
    let mut path = String::new();
    let mut last = None;
    for (index, value) in values.iter().enumerate() {
        let at = y(*value);
        match last {
            None => path.push_str(&format!("{first}0 {at}H1")),
            // A level line goes on.
            Some(level) if level == at => {
                path.truncate(path.rfind('H').unwrap_or(path.len()));
                path.push_str(&format!("H{}", index + 1));
            }
            Some(_) => path.push_str(&format!("V{at}H{}", index + 1)),
        }
        last = Some(at);
    }
    path
}

/// Returns the value at the top of a chart, and the values with a line.
fn ticks(highest: f64) -> (f64, Vec<f64>) {
    if highest <= 0.0 {
        return (1.0, Vec::new());
    }
    let rough = highest / 3.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 4.0, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|step| *step >= rough);
    let step = step.unwrap_or(rough);
    let ticks: Vec<f64> =
        (1..=3u8).map(|number| f64::from(number) * step).filter(|tick| *tick <= highest * 1.2).collect();
    let top = ticks.last().copied().unwrap_or(highest).max(highest) * 1.02;
    (top, ticks)
}

fn value_label(value: f64) -> String {
    if value >= 1000.0 || value.fract() == 0.0 {
        format!("{value:.0}").parse().map(count).unwrap_or_default()
    } else {
        let text = format!("{value:.3}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

fn rounded(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn px(value: f64) -> f64 {
    rounded(value)
}

fn percent(place: f64) -> String {
    format!("{}%", (place * 100.0).round() / 100.0)
}

#[expect(clippy::cast_precision_loss, reason = "a place in a picture needs fewer digits than a second since 1970 has")]
fn as_float(number: i64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_reach_the_highest_value() {
        for (highest, expected) in
            [(8000.0, &[4000.0, 8000.0][..]), (3.0, &[1.0, 2.0, 3.0]), (0.9, &[0.4, 0.8]), (0.0, &[])]
        {
            let (top, ticks) = ticks(highest);
            assert_eq!(ticks, expected, "{highest}");
            assert!(top >= highest);
        }
    }

    #[test]
    fn a_level_line_is_one_stroke() {
        assert_eq!(steps(&[1.0, 1.0, 2.0, 2.0], &|value| value, 'M'), "M0 1H2V2H4");
    }

    #[test]
    fn times_of_a_short_sale_have_seconds_and_those_of_a_long_one_dates() {
        let labels = |point_seconds, points| TimeAxis { from: 1_795_251_600, point_seconds, points }.labels();
        assert!(labels(1, 40).iter().all(|(_, label)| label.len() == 8));
        assert!(labels(3600, 500).iter().all(|(_, label)| label.len() == 10));
        for (seconds, points) in [(1, 1), (1, 2), (1, 40), (10, 600), (60, 333), (3600, 500), (604_800, 600)] {
            let labels = labels(seconds, points);
            assert!(labels.len() <= 5, "{labels:?}");
        }
    }
}
