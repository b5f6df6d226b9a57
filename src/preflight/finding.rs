//! Findings of checks, and their output as a table and as JSON.

use serde_json::{Value, json};

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Verdict {
    Pass,
    /// The sale can go ahead, and the operator should know.
    Warn,
    /// The sale should not go ahead.
    Fail,
}

impl Verdict {
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Warn => "warn",
            Verdict::Fail => "fail",
        }
    }
}

/// Result of one check.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    pub check: &'static str,
    pub verdict: Verdict,
    pub found: String,
    /// Advice to the operator; empty if the check passed.
    pub to_do: String,
}

impl Finding {
    pub fn pass(check: &'static str, found: impl Into<String>) -> Finding {
        Finding { check, verdict: Verdict::Pass, found: found.into(), to_do: String::new() }
    }

    pub fn warn(check: &'static str, found: impl Into<String>, to_do: impl Into<String>) -> Finding {
        Finding { check, verdict: Verdict::Warn, found: found.into(), to_do: to_do.into() }
    }

    pub fn fail(check: &'static str, found: impl Into<String>, to_do: impl Into<String>) -> Finding {
        Finding { check, verdict: Verdict::Fail, found: found.into(), to_do: to_do.into() }
    }

    /// Passes up to the first limit, warns up to the second, and fails above it.
    pub fn graded<T: PartialOrd>(
        check: &'static str,
        value: T,
        (warn_above, fail_above): (T, T),
        found: impl Into<String>,
        to_do: impl Into<String>,
    ) -> Finding {
        if value > fail_above {
            Finding::fail(check, found, to_do)
        } else if value > warn_above {
            Finding::warn(check, found, to_do)
        } else {
            Finding::pass(check, found)
        }
    }
}

/// Formats a line per finding, with the advice below those that do not pass.
pub fn table(findings: &[Finding]) -> Vec<String> {
    let mut lines = Vec::new();
    let width = findings.iter().map(|finding| finding.check.len()).fold(13, usize::max);
    for Finding { check, verdict, found, to_do } in findings {
        // Capitals make warnings and failures visible without colours.
        let word = if *verdict == Verdict::Pass { "pass".into() } else { verdict.word().to_uppercase() };
        lines.push(format!("  {word}  {check:<width$} {found}"));
        if *verdict != Verdict::Pass {
            lines.push(format!("        {:<width$} do: {to_do}", ""));
        }
    }
    let [pass, warn, fail] = counts(findings);
    lines.push(format!("{pass} pass, {warn} warn, {fail} fail"));
    lines
}

/// Returns the findings about a server and its drop as JSON.
pub fn json(drop: u32, server: &str, findings: &[Finding]) -> Value {
    with_checks(json!({ "drop_id": drop, "server": server }), findings)
}

/// Adds findings to a JSON object.
pub fn with_checks(mut about: Value, findings: &[Finding]) -> Value {
    let [pass, warn, fail] = counts(findings);
    let checks: Vec<Value> = findings
        .iter()
        .map(|Finding { check, verdict, found, to_do }| {
            let mut entry = json!({ "check": check, "verdict": verdict.word(), "found": found });
            if *verdict != Verdict::Pass {
                entry["to_do"] = to_do.as_str().into();
            }
            entry
        })
        .collect();
    about["checks"] = checks.into();
    for (name, count) in [("pass", pass), ("warn", warn), ("fail", fail)] {
        about[name] = count.into();
    }
    about
}

/// Returns the numbers of findings that pass, warn and fail.
#[must_use]
pub fn counts(findings: &[Finding]) -> [usize; 3] {
    [Verdict::Pass, Verdict::Warn, Verdict::Fail]
        .map(|verdict| findings.iter().filter(|finding| finding.verdict == verdict).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_that_do_not_pass_have_advice_in_the_table_and_in_json() {
        let findings = [
            Finding::pass("clock", "synchronised"),
            Finding::warn("backup", "no file is named", "name it"),
            Finding::fail("stock", "2 units too many", "do not sell"),
        ];
        let lines = table(&findings);
        assert_eq!(lines.len(), 6, "{lines:#?}");
        assert!(lines[0].starts_with("  pass  clock ") && lines[1].starts_with("  WARN  backup "), "{lines:#?}");
        assert!(lines[2].ends_with("do: name it") && lines[5] == "1 pass, 1 warn, 1 fail", "{lines:#?}");
        let told = json(7, "h:1", &findings);
        assert_eq!((&told["drop_id"], &told["fail"]), (&7.into(), &1.into()));
        assert_eq!(told["checks"][0], json!({ "check": "clock", "verdict": "pass", "found": "synchronised" }));
        assert_eq!(told["checks"][2]["to_do"], "do not sell");
    }

    #[test]
    fn limits_themselves_pass() {
        let verdict = |value| Finding::graded("x", value, (10, 20), "", "").verdict;
        assert_eq!([10, 11, 20, 21].map(verdict), [Verdict::Pass, Verdict::Warn, Verdict::Warn, Verdict::Fail]);
    }
}
