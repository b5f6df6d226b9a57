//! What `/metrics` says, read: the text format of Prometheus (0.0.4), strictly.
//!
//! Pure. A page that is cut, is something else or is larger than any server's is refused as a whole: half a page would
//! show zeros where there is trouble.

use std::collections::BTreeMap;

/// More series than the server ever shows.
const SERIES_MAX: usize = 20_000;

/// One page of metrics.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Page {
    families: BTreeMap<String, Vec<Series>>,
}

/// Names and values.
type Labels = Vec<(String, String)>;

#[derive(Clone, PartialEq, Debug)]
struct Series {
    labels: Labels,
    value: f64,
}

/// Why a page cannot be read: the line, and what is wrong there.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line} of the metrics {what}")]
pub(super) struct Unreadable {
    line: usize,
    what: &'static str,
}

impl Page {
    /// Reads a page.
    ///
    /// # Errors
    /// The first line that is none.
    pub(super) fn parse(text: &str) -> Result<Page, Unreadable> {
        if !text.is_empty() && !text.ends_with('\n') {
            return Err(Unreadable { line: text.lines().count(), what: "is cut" });
        }
        let mut page = Page::default();
        let mut series = 0usize;
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |what| Unreadable { line: index.saturating_add(1), what };
            let (name, labels, value) = sample(line).map_err(wrong)?;
            series = series.saturating_add(1);
            if series > SERIES_MAX {
                return Err(wrong("is one series too many"));
            }
            page.families.entry(name.to_owned()).or_default().push(Series { labels, value });
        }
        Ok(page)
    }

    /// The value of the one series of a metric without labels.
    pub(super) fn value(&self, name: &str) -> Option<f64> {
        match self.families.get(name)?.as_slice() {
            [one] => Some(one.value),
            _ => None,
        }
    }

    /// The sum over all series of a metric with these labels, whatever others they have. 0 where there are none: a
    /// counter is shown from its first count on.
    pub(super) fn sum(&self, name: &str, wanted: &[(&str, &str)]) -> f64 {
        self.all(name, wanted).map(|series| series.value).sum()
    }

    /// The sums of a metric by the values of one label.
    pub(super) fn by(&self, name: &str, label: &str, wanted: &[(&str, &str)]) -> BTreeMap<&str, f64> {
        let mut sums = BTreeMap::new();
        for series in self.all(name, wanted) {
            let value = series.labels.iter().find(|(name, _)| name == label).map_or("", |(_, value)| value.as_str());
            *sums.entry(value).or_insert(0.0) += series.value;
        }
        sums
    }

    /// A histogram's values so far: those of all its series with these labels together.
    pub(super) fn histogram(&self, name: &str, wanted: &[(&str, &str)]) -> Histogram {
        let mut buckets: Vec<Bucket> = Vec::new();
        for series in self.all(&format!("{name}_bucket"), wanted) {
            let Some(bound) = series.labels.iter().find(|(name, _)| name == "le").and_then(|(_, le)| number(le)) else {
                continue;
            };
            match buckets.iter_mut().find(|bucket| bucket.bound.total_cmp(&bound).is_eq()) {
                Some(bucket) => bucket.count += series.value,
                None => buckets.push(Bucket { bound, count: series.value }),
            }
        }
        buckets.sort_by(|a, b| a.bound.total_cmp(&b.bound));
        Histogram { buckets, sum: self.sum(&format!("{name}_sum"), wanted) }
    }

    fn all(&self, name: &str, wanted: &[(&str, &str)]) -> impl Iterator<Item = &Series> {
        let has = move |series: &&Series| {
            wanted.iter().all(|(name, value)| series.labels.iter().any(|(n, v)| n == name && v == value))
        };
        self.families.get(name).into_iter().flatten().filter(has)
    }
}

/// Values counted per bucket, each with those below it.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Histogram {
    buckets: Vec<Bucket>,
    sum: f64,
}

#[derive(Clone, Copy, PartialEq, Debug)]
struct Bucket {
    bound: f64,
    count: f64,
}

/// Where a percentile lies.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Percentile {
    /// At about this value.
    At(f64),
    /// Above the last bound.
    Above(f64),
}

impl Histogram {
    /// What came since an earlier page. A server that was started again counts from nothing.
    pub(super) fn since(&self, earlier: &Histogram) -> Histogram {
        if self.count() < earlier.count() || self.buckets.len() != earlier.buckets.len() {
            return self.clone();
        }
        let less = |(now, then): (&Bucket, &Bucket)| Bucket { bound: now.bound, count: now.count - then.count };
        Histogram {
            buckets: self.buckets.iter().zip(&earlier.buckets).map(less).collect(),
            sum: self.sum - earlier.sum,
        }
    }

    /// How many values.
    pub(super) fn count(&self) -> f64 {
        self.buckets.last().map_or(0.0, |bucket| bucket.count)
    }

    /// Their mean.
    pub(super) fn mean(&self) -> Option<f64> {
        (self.count() > 0.0).then(|| self.sum / self.count())
    }

    /// The value below which this share of them lies, as Prometheus reckons: evenly spread within a bucket. `None` of
    /// nothing.
    pub(super) fn percentile(&self, share: f64) -> Option<Percentile> {
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

type Sample<'line> = (&'line str, Labels, f64);

/// `name{label="value",…} value`, and an instant that nobody needs.
fn sample(line: &str) -> Result<Sample<'_>, &'static str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let (name, rest) = line.split_at(line.find(|c| !is_name(c)).unwrap_or(line.len()));
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err("does not begin with a name");
    }
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Labels::new(), rest),
    };
    let mut words = rest.split_ascii_whitespace();
    let separated = rest.starts_with([' ', '\t']);
    let value = words.next().filter(|_| separated).and_then(number).ok_or("has no number")?;
    let instant_is_one = words.next().is_none_or(|instant| instant.parse::<i64>().is_ok());
    if instant_is_one && words.next().is_none() { Ok((name, labels, value)) } else { Err("has more than a number") }
}

/// The labels up to the closing brace, and what is behind it.
fn labels(mut rest: &str) -> Result<(Labels, &str), &'static str> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start();
        if let Some(behind) = rest.strip_prefix('}') {
            return Ok((labels, behind));
        }
        let (name, behind) = rest.split_once('=').ok_or("has a label without a value")?;
        let (value, behind) = quoted(behind.trim_start())?;
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

/// A text in quotes, with `\\`, `\"` and `\n` in it.
fn quoted(text: &str) -> Result<(String, &str), &'static str> {
    let inner = text.strip_prefix('"').ok_or("has a label without quotes")?;
    let (mut value, mut characters) = (String::new(), inner.char_indices());
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((value, inner.get(at.saturating_add(1)..).unwrap_or(""))),
            '\\' => match characters.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, escaped @ ('\\' | '"'))) => value.push(escaped),
                Some(_) | None => return Err("has an escape that is none"),
            },
            other => value.push(other),
        }
    }
    Err("has a label that does not end")
}

fn number(text: &str) -> Option<f64> {
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
    fn a_page_of_the_server_is_read() {
        use crate::telemetry::{Telemetry, WriterLabels, WriterMeter};
        let telemetry = std::sync::Arc::new(Telemetry::new());
        let labels = WriterLabels { commands: &["place_order"], outcomes: &["reserved", "sold_out"] };
        let mut meter = WriterMeter::new(&telemetry, labels);
        meter.batch_commands(3);
        meter.outcome(0, 1);
        meter.tick(-1500, 4096, 0);
        let page = Page::parse(&telemetry.render()).expect("ours");
        assert_eq!(page.value("firstcome_wal_bytes"), Some(4096.0));
        assert_eq!(page.value("firstcome_clock_offset_seconds"), Some(-1.5));
        assert_eq!(page.by("firstcome_outcomes_total", "outcome", &[]), BTreeMap::from([("sold_out", 1.0)]));
        assert_eq!(page.histogram("firstcome_writer_batch_commands", &[]).mean(), Some(3.0));
    }

    #[test]
    fn labels_are_told_apart_and_added_up() {
        let text = "# HELP a b\na{x=\"1\",y=\"p\"} 2\na{y=\"q\" , x=\"1\",} 3 1700000000000\na{x=\"2\"} 1e3\nb{z=\"\\\"\\\\\\n\"} +Inf\n";
        let page = Page::parse(text).expect("good");
        assert_eq!((page.sum("a", &[("x", "1")]), page.sum("a", &[]), page.sum("none", &[])), (5.0, 1005.0, 0.0));
        assert_eq!(page.by("a", "y", &[("x", "1")]), BTreeMap::from([("p", 2.0), ("q", 3.0)]));
        assert_eq!(page.by("b", "z", &[]), BTreeMap::from([("\"\\\n", f64::INFINITY)]));
        assert_eq!((page.value("a"), page.value("b")), (None, Some(f64::INFINITY)), "which of three would it be?");
    }

    #[test]
    fn what_is_no_page_is_refused_with_its_line() {
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
            let told = Page::parse(&format!("fine 1\n\n{wrong}\n")).expect_err(wrong);
            assert_eq!(told.line, 3, "{wrong}: {told}");
        }
        assert_eq!(Page::parse("a 1\na 1").expect_err("cut").what, "is cut");
        let many = "a 1\n".repeat(SERIES_MAX + 1);
        assert!(Page::parse(&many).is_err(), "its size is bounded");
    }

    fn histogram(counts: [f64; 4]) -> Histogram {
        let bounds = [1.0, 2.0, 4.0, f64::INFINITY];
        let buckets = bounds.into_iter().zip(counts).map(|(bound, count)| Bucket { bound, count }).collect();
        Histogram { buckets, sum: counts[3] }
    }

    #[test]
    fn percentiles_are_those_since_the_earlier_page() {
        let (then, now) = (histogram([100.0, 100.0, 100.0, 100.0]), histogram([100.0, 150.0, 200.0, 200.0]));
        let since = now.since(&then);
        assert_eq!(since.count(), 100.0);
        assert_eq!(since.percentile(0.25), Some(Percentile::At(1.5)));
        assert_eq!(since.percentile(0.5), Some(Percentile::At(2.0)));
        assert_eq!(now.percentile(0.5), Some(Percentile::At(1.0)), "and not those since the start");
        assert_eq!(then.since(&now), then, "a server that was started again counts from nothing");
        assert_eq!(now.since(&now).percentile(0.5), None);
        assert_eq!(Histogram::default().percentile(0.5), None);
    }

    #[test]
    fn what_lies_above_all_bounds_is_said_so() {
        let slow = histogram([0.0, 0.0, 10.0, 20.0]);
        assert_eq!(slow.percentile(0.99), Some(Percentile::Above(4.0)));
        assert_eq!(slow.percentile(0.5), Some(Percentile::At(4.0)));
    }
}
