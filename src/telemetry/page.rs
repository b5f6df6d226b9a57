//! Strict parser of the Prometheus text format (0.0.4), for `/metrics`.
//!
//! Pure. A page that is cut off, is something else or has too many series is an error as a whole: half a page would show
//! zeros in place of trouble.

use std::collections::BTreeMap;

/// Above the number of series of any server.
const SERIES_MAX: usize = 20_000;

/// All series of one page, by metric name.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct MetricsPage {
    families: BTreeMap<String, Vec<LabeledValue>>,
}

type Labels = Vec<(String, String)>;

#[derive(Clone, PartialEq, Debug)]
struct LabeledValue {
    labels: Labels,
    value: f64,
}

/// First malformed line of a page.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line} of the metrics {mistake}")]
pub struct MetricsError {
    line: usize,
    mistake: &'static str,
}

impl MetricsPage {
    /// Parses a page.
    ///
    /// # Errors
    /// The first malformed line.
    pub fn parse(text: &str) -> Result<MetricsPage, MetricsError> {
        if !text.is_empty() && !text.ends_with('\n') {
            return Err(MetricsError { line: text.lines().count(), mistake: "is cut off" });
        }
        let mut page = MetricsPage::default();
        let mut series = 0usize;
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |mistake| MetricsError { line: index.saturating_add(1), mistake };
            let (name, labels, value) = parse_sample(line).map_err(wrong)?;
            series = series.saturating_add(1);
            if series > SERIES_MAX {
                return Err(wrong("is one series too many"));
            }
            page.families.entry(name.to_owned()).or_default().push(LabeledValue { labels, value });
        }
        Ok(page)
    }

    /// Returns the value of a metric that has exactly one series.
    pub fn value(&self, name: &str) -> Option<f64> {
        match self.families.get(name)?.as_slice() {
            [one] => Some(one.value),
            _ => None,
        }
    }

    /// Adds up the series of a metric that have these labels among others. 0 without such series: a counter appears with its
    /// first count.
    pub fn sum(&self, name: &str, wanted: &[(&str, &str)]) -> f64 {
        self.matching(name, wanted).map(|series| series.value).sum()
    }

    /// Adds up the series of a metric for each value of a label.
    pub fn sum_by(&self, name: &str, label: &str, wanted: &[(&str, &str)]) -> BTreeMap<&str, f64> {
        let mut sums = BTreeMap::new();
        for series in self.matching(name, wanted) {
            let value = series.labels.iter().find(|(name, _)| name == label).map_or("", |(_, value)| value.as_str());
            *sums.entry(value).or_insert(0.0) += series.value;
        }
        sums
    }

    /// Returns the rates per second above zero since an earlier page, by the values of a label. A counter that decreased belongs
    /// to a server that was started again: it counts from 0.
    pub fn rates_since<'page>(
        &'page self,
        then: &MetricsPage,
        seconds: f64,
        name: &str,
        label: &str,
        wanted: &[(&str, &str)],
    ) -> BTreeMap<&'page str, f64> {
        let before = then.sum_by(name, label, wanted);
        let rate = |(value, count): (&'page str, f64)| {
            let before = before.get(value).copied().unwrap_or(0.0);
            let more = if count < before { count } else { count - before };
            (more > 0.0).then(|| (value, more / seconds))
        };
        self.sum_by(name, label, wanted).into_iter().filter_map(rate).collect()
    }

    /// Merges the series of a histogram that have these labels.
    pub fn histogram(&self, name: &str, wanted: &[(&str, &str)]) -> BucketHistogram {
        let mut buckets: Vec<Bucket> = Vec::new();
        for series in self.matching(&format!("{name}_bucket"), wanted) {
            let Some(bound) = series.labels.iter().find(|(name, _)| name == "le").and_then(|(_, le)| parse_number(le))
            else {
                continue;
            };
            match buckets.iter_mut().find(|bucket| bucket.bound.total_cmp(&bound).is_eq()) {
                Some(bucket) => bucket.count += series.value,
                None => buckets.push(Bucket { bound, count: series.value }),
            }
        }
        buckets.sort_by(|a, b| a.bound.total_cmp(&b.bound));
        BucketHistogram { buckets, sum: self.sum(&format!("{name}_sum"), wanted) }
    }

    fn matching(&self, name: &str, wanted: &[(&str, &str)]) -> impl Iterator<Item = &LabeledValue> {
        let has = move |series: &&LabeledValue| {
            wanted.iter().all(|(name, value)| series.labels.iter().any(|(n, v)| n == name && v == value))
        };
        self.families.get(name).into_iter().flatten().filter(has)
    }
}

/// Cumulative bucket counts and the sum of the values.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct BucketHistogram {
    buckets: Vec<Bucket>,
    sum: f64,
}

#[derive(Clone, Copy, PartialEq, Debug)]
struct Bucket {
    bound: f64,
    count: f64,
}

/// Estimate of a percentile.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Percentile {
    /// Interpolated within its bucket.
    At(f64),
    /// Above the last finite bound, which is given.
    Above(f64),
}

impl BucketHistogram {
    /// Subtracts the counts of an earlier page. Returns all counts if the server was restarted in between.
    pub fn since(&self, earlier: &BucketHistogram) -> BucketHistogram {
        if self.count() < earlier.count() || self.buckets.len() != earlier.buckets.len() {
            return self.clone();
        }
        let less = |(now, then): (&Bucket, &Bucket)| Bucket { bound: now.bound, count: now.count - then.count };
        BucketHistogram {
            buckets: self.buckets.iter().zip(&earlier.buckets).map(less).collect(),
            sum: self.sum - earlier.sum,
        }
    }

    pub fn count(&self) -> f64 {
        self.buckets.last().map_or(0.0, |bucket| bucket.count)
    }

    pub fn mean(&self) -> Option<f64> {
        (self.count() > 0.0).then(|| self.sum / self.count())
    }

    /// Estimates a percentile as Prometheus does: values are taken to be spread evenly within a bucket. `None` without
    /// values.
    pub fn percentile(&self, share: f64) -> Option<Percentile> {
        let rank = self.count() * share;
        let found = self.buckets.iter().position(|bucket| bucket.count >= rank && bucket.count > 0.0)?;
        let before = found.checked_sub(1).and_then(|before| self.buckets.get(before));
        let (below, lower) = before.map_or((0.0, 0.0), |bucket| (bucket.count, bucket.bound));
        let bucket = self.buckets.get(found)?;
        if bucket.bound.is_infinite() {
            return Some(Percentile::Above(lower));
        }
        let within = (rank - below) / (bucket.count - below).max(f64::MIN_POSITIVE);
        Some(Percentile::At(lower + (bucket.bound - lower) * within.clamp(0.0, 1.0)))
    }
}

type ParsedSample<'line> = (&'line str, Labels, f64);

/// Parses `name{label="value",…} value`; a timestamp after it is ignored.
fn parse_sample(line: &str) -> Result<ParsedSample<'_>, &'static str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let (name, rest) = line.split_at(line.find(|c| !is_name(c)).unwrap_or(line.len()));
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err("does not begin with a name");
    }
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => parse_labels(rest)?,
        None => (Labels::new(), rest),
    };
    let mut words = rest.split_ascii_whitespace();
    let separated = rest.starts_with([' ', '\t']);
    let value = words.next().filter(|_| separated).and_then(parse_number).ok_or("has no number")?;
    let instant_is_one = words.next().is_none_or(|instant| instant.parse::<i64>().is_ok());
    if instant_is_one && words.next().is_none() { Ok((name, labels, value)) } else { Err("has more than a number") }
}

/// Parses labels up to the closing brace; returns them and the rest.
fn parse_labels(mut rest: &str) -> Result<(Labels, &str), &'static str> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start();
        if let Some(behind) = rest.strip_prefix('}') {
            return Ok((labels, behind));
        }
        let (name, behind) = rest.split_once('=').ok_or("has a label without a value")?;
        let (value, behind) = parse_quoted(behind.trim_start())?;
        let name = name.trim();
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err("has a label without a name");
        }
        labels.push((name.to_owned(), value));
        let behind = behind.trim_start();
        match behind.strip_prefix(',') {
            Some(next) => rest = next,
            None if behind.starts_with('}') => rest = behind,
            None => return Err("has labels that do not end"),
        }
    }
}

/// Parses a text in quotes with the escapes `\\`, `\"` and `\n`; returns it and the rest.
fn parse_quoted(text: &str) -> Result<(String, &str), &'static str> {
    let inner = text.strip_prefix('"').ok_or("has a label without quotes")?;
    let (mut value, mut characters) = (String::new(), inner.char_indices());
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((value, inner.get(at.saturating_add(1)..).unwrap_or(""))),
            '\\' => match characters.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, escaped @ ('\\' | '"'))) => value.push(escaped),
                Some(_) | None => return Err("has an unknown escape"),
            },
            other => value.push(other),
        }
    }
    Err("has a label that does not end")
}

fn parse_number(text: &str) -> Option<f64> {
    match text {
        "+Inf" | "Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        "NaN" => Some(f64::NAN),
        _ if text.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+') => text.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_the_server_is_parsed() {
        use crate::telemetry::{Telemetry, WriterLabels, WriterMeter};
        let telemetry = std::sync::Arc::new(Telemetry::new());
        let labels = WriterLabels { commands: &["place_order"], outcomes: &["reserved", "sold_out"] };
        let mut meter = WriterMeter::new(&telemetry, labels);
        meter.batch_commands(3);
        meter.outcome(0, 1);
        meter.tick(-1500, 4096, 0);
        let page = MetricsPage::parse(&telemetry.render()).expect("ours");
        assert_eq!(page.value("firstcome_wal_bytes"), Some(4096.0));
        assert_eq!(page.value("firstcome_clock_offset_seconds"), Some(-1.5));
        assert_eq!(page.sum_by("firstcome_outcomes_total", "outcome", &[]), BTreeMap::from([("sold_out", 1.0)]));
        assert_eq!(page.histogram("firstcome_writer_batch_commands", &[]).mean(), Some(3.0));
    }

    #[test]
    fn series_are_selected_and_added_up_by_labels() {
        let text = "# HELP a b\na{x=\"1\",y=\"p\"} 2\na{y=\"q\" , x=\"1\",} 3 1700000000000\na{x=\"2\"} 1e3\nb{z=\"\\\"\\\\\\n\"} +Inf\n";
        let page = MetricsPage::parse(text).expect("good");
        assert_eq!((page.sum("a", &[("x", "1")]), page.sum("a", &[]), page.sum("none", &[])), (5.0, 1005.0, 0.0));
        assert_eq!(page.sum_by("a", "y", &[("x", "1")]), BTreeMap::from([("p", 2.0), ("q", 3.0)]));
        assert_eq!(page.sum_by("b", "z", &[]), BTreeMap::from([("\"\\\n", f64::INFINITY)]));
        assert_eq!((page.value("a"), page.value("b")), (None, Some(f64::INFINITY)), "three series are ambiguous");
    }

    #[test]
    fn a_malformed_line_is_named() {
        for wrong in [
            "a",
            "a 1 2 3",
            "a b",
            "a{ 1",
            "a{x} 1",
            "a{x=1} 1",
            "a{x=\"1} 1",
            "a{x=\"\\x\"} 1",
            "a{x=\"1\"y=\"2\"} 1",
            "a{=\"1\"} 1",
            "a{x=\"1\"}1",
            "1a 1",
            "a inf",
            "<html>",
            "a 1 soon",
        ] {
            let error = MetricsPage::parse(&format!("fine 1\n\n{wrong}\n")).expect_err(wrong);
            assert_eq!(error.line, 3, "{wrong}: {error}");
        }
        assert_eq!(MetricsPage::parse("a 1\na 1").expect_err("cut").mistake, "is cut off");
        let many = "a 1\n".repeat(SERIES_MAX + 1);
        assert!(MetricsPage::parse(&many).is_err(), "its size is bounded");
    }

    fn histogram(counts: [f64; 4]) -> BucketHistogram {
        let bounds = [1.0, 2.0, 4.0, f64::INFINITY];
        let buckets = bounds.into_iter().zip(counts).map(|(bound, count)| Bucket { bound, count }).collect();
        BucketHistogram { buckets, sum: counts[3] }
    }

    #[test]
    fn percentiles_are_of_the_values_since_the_earlier_page() {
        let (then, now) = (histogram([100.0, 100.0, 100.0, 100.0]), histogram([100.0, 150.0, 200.0, 200.0]));
        let since = now.since(&then);
        assert_eq!(since.count(), 100.0);
        assert_eq!(since.percentile(0.25), Some(Percentile::At(1.5)));
        assert_eq!(since.percentile(0.5), Some(Percentile::At(2.0)));
        assert_eq!(now.percentile(0.5), Some(Percentile::At(1.0)), "and not those since the start");
        assert_eq!(then.since(&now), then, "after a restart all counts are new");
        assert_eq!(now.since(&now).percentile(0.5), None);
        assert_eq!(BucketHistogram::default().percentile(0.5), None);
    }

    #[test]
    fn percentiles_above_the_last_bound_are_marked() {
        let slow = histogram([0.0, 0.0, 10.0, 20.0]);
        assert_eq!(slow.percentile(0.99), Some(Percentile::Above(4.0)));
        assert_eq!(slow.percentile(0.5), Some(Percentile::At(4.0)));
    }
}
