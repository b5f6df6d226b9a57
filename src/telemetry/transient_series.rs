//! Series of single drops and auctions. They are made again for each scrape, so that none remains when a drop is over, and
//! their number is bounded. Their labels are ids of this server, and names that operators gave.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::Metric;

/// Series of one scrape.
#[derive(Default)]
pub struct TransientSeries {
    families: BTreeMap<&'static str, (&'static Metric, String)>,
}

impl TransientSeries {
    /// Adds a gauge of the drop or auction with this number; `more` are labels from closed sets.
    pub fn add(
        &mut self,
        metric: &'static Metric,
        (label, number): (&'static str, u32),
        more: &[(&'static str, &'static str)],
        value: u64,
    ) {
        let (_, lines) = self.families.entry(metric.name).or_insert_with(|| (metric, String::new()));
        // Writing to a String cannot fail.
        let _ = write!(lines, "{}{{{label}=\"{number}\"", metric.name);
        for (name, value) in more {
            let _ = write!(lines, ",{name}=\"{value}\"");
        }
        let _ = writeln!(lines, "}} {value}");
    }

    /// Adds the series that gives a drop or auction its name.
    pub fn add_name(&mut self, metric: &'static Metric, (label, number): (&'static str, u32), name: &str) {
        let (_, lines) = self.families.entry(metric.name).or_insert_with(|| (metric, String::new()));
        let _ = write!(lines, "{}{{{label}=\"{number}\",name=\"", metric.name);
        for letter in name.chars() {
            match letter {
                '\\' => lines.push_str("\\\\"),
                '"' => lines.push_str("\\\""),
                '\n' => lines.push_str("\\n"),
                // The format has no form for the others.
                letter if letter.is_control() => lines.push(' '),
                letter => lines.push(letter),
            }
        }
        lines.push_str("\"} 1\n");
    }

    pub(super) fn render(&self) -> String {
        let mut text = String::new();
        for (name, (metric, lines)) in &self.families {
            let _ = write!(text, "\n# HELP {name} {}\n# TYPE {name} gauge\n{lines}", metric.help);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Telemetry, catalogue};
    use super::*;

    #[test]
    fn a_family_stands_together_in_its_place_and_is_gone_with_the_next_look() {
        let telemetry = Telemetry::new();
        let mut series = TransientSeries::default();
        for (number, units) in [(7, 3), (12, 0)] {
            series.add(&catalogue::DROP_UNITS, ("drop", number), &[("state", "sold")], units);
            series.add(&catalogue::DROP_PLANNED, ("drop", number), &[], 1);
        }
        series.add_name(&catalogue::DROP_INFO, ("drop", 7), "a \"b\"\\n\n\r é");
        let text = telemetry.render_with(&series);
        assert!(text.contains("\nfirstcome_drop_info{drop=\"7\",name=\"a \\\"b\\\"\\\\n\\n  é\"} 1\n"), "{text}");
        let units = "# TYPE firstcome_drop_units gauge\nfirstcome_drop_units{drop=\"7\",state=\"sold\"} 3\n\
                     firstcome_drop_units{drop=\"12\",state=\"sold\"} 0\n\n";
        assert!(text.contains(units), "{text}");
        assert!(text.contains("firstcome_drop_planned_units{drop=\"12\"} 1\n\n# HELP firstcome_drop_units "), "{text}");
        assert!(!telemetry.render().contains("firstcome_drop_"));
    }
}
