//! The table: a line per figure, with its target and the verdict.

use super::machine::Load;

/// The lines so far.
#[derive(Default)]
pub(crate) struct Table {
    /// The number of figures that are MISSED, UNCLEAR or BROKEN.
    pub(crate) not_reached: usize,
}

impl Table {
    fn line(&mut self, what: &str, figure: &str, target: &str, verdict: &str) {
        println!("{what:<68} {figure:>14}  {target:<16} {verdict}");
        if matches!(verdict, "MISSED" | "UNCLEAR" | "BROKEN") {
            self.not_reached += 1;
        }
    }

    /// A figure without a target.
    pub(crate) fn shown(&mut self, what: &str, figure: f64, unit: &str) {
        self.line(what, &format!("{}{unit}", number(figure)), "", "(printed)");
    }

    pub(crate) fn at_least(&mut self, what: &str, figure: f64, least: f64, unit: &str) {
        let verdict = if figure >= least { "ok" } else { "MISSED" };
        self.line(what, &format!("{}{unit}", number(figure)), &format!("at least {}{unit}", number(least)), verdict);
    }

    pub(crate) fn below(&mut self, what: &str, figure: f64, bound: f64, unit: &str) {
        let verdict = if figure < bound { "ok" } else { "MISSED" };
        self.line(what, &format!("{}{unit}", number(figure)), &format!("below {}{unit}", number(bound)), verdict);
    }

    /// A latency in milliseconds. Where the idle machine alone was later than the bound before the load, or the host took
    /// more than 2 % of the machine meanwhile, a miss says nothing about the program.
    pub(crate) fn below_ms(&mut self, what: &str, figure: f64, bound: f64, load: &Load) {
        let unclear = load.lateness_ms >= bound || load.stolen_percent >= 2.0;
        let verdict = match (figure < bound, unclear) {
            (true, _) => "ok",
            (false, false) => "MISSED",
            (false, true) => "UNCLEAR",
        };
        self.line(what, &format!("{} ms", number(figure)), &format!("below {} ms", number(bound)), verdict);
        if verdict != "ok" {
            self.shown("... the idle machine itself, before: p99 of its lateness", load.lateness_ms, " ms");
            self.shown("... share of the machine that the host took meanwhile", load.stolen_percent, " %");
        }
    }

    /// Whether a rung of a ladder answered every arrival; a rung that did not has no latencies worth the name.
    pub(crate) fn was_kept(&mut self, what: &str, verdict: &str) -> bool {
        let kept = matches!(verdict, "kept" | "slow");
        if !kept {
            self.line(what, verdict, "every arrival", "MISSED");
        }
        kept
    }

    /// A row that could not be measured.
    pub(crate) fn broken(&mut self, row: &str, why: &str) {
        self.line(row, "not measured", "", "BROKEN");
        why.lines().rev().take(3).collect::<Vec<_>>().iter().rev().for_each(|line| eprintln!("  {line}"));
    }
}

/// 1234567.8 as `1,234,568`; figures below 1,000 with four digits.
pub(crate) fn number(value: f64) -> String {
    if value.abs() < 1_000.0 {
        // One decimal less for each power of ten.
        let powers = [0.001, 0.01, 0.1, 1.0, 10.0, 100.0];
        let decimals = 6 - powers.iter().filter(|power| value.abs() >= **power).count();
        let text = format!("{value:.decimals$}");
        return if decimals > 0 { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text };
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
