//! What a check found, and how it is told.

use serde_json::{Value, json};

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Verdict {
    /// As it should be.
    Pass,
    /// The sale can go ahead; somebody should know.
    Warn,
    /// Not like this.
    Fail,
}

impl Verdict {
    const fn word(self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Warn => "warn",
            Verdict::Fail => "fail",
        }
    }
}

/// One check and what came of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Finding {
    /// The check's name.
    pub(super) check: &'static str,
    pub(super) verdict: Verdict,
    /// What was seen.
    pub(super) found: String,
    /// What to do about it; nothing where it passed.
    pub(super) to_do: String,
}

impl Finding {
    /// All is well.
    pub(super) fn pass(check: &'static str, found: impl Into<String>) -> Finding {
        Finding { check, verdict: Verdict::Pass, found: found.into(), to_do: String::new() }
    }

    /// Somebody should know.
    pub(super) fn warn(check: &'static str, found: impl Into<String>, to_do: impl Into<String>) -> Finding {
        Finding { check, verdict: Verdict::Warn, found: found.into(), to_do: to_do.into() }
    }

    /// Not like this.
    pub(super) fn fail(check: &'static str, found: impl Into<String>, to_do: impl Into<String>) -> Finding {
        Finding { check, verdict: Verdict::Fail, found: found.into(), to_do: to_do.into() }
    }

    /// Nothing above the first limit, a warning up to the second, a failure beyond it.
    pub(super) fn graded<T: PartialOrd>(
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

/// The table, a line each, and below what does not pass what to do.
pub(super) fn table(findings: &[Finding]) -> Vec<String> {
    let mut lines = Vec::new();
    for Finding { check, verdict, found, to_do } in findings {
        // What fails is seen without colours.
        let word = if *verdict == Verdict::Pass { "pass".into() } else { verdict.word().to_uppercase() };
        lines.push(format!("  {word}  {check:<13} {found}"));
        if *verdict != Verdict::Pass {
            lines.push(format!("{:<21} do: {to_do}", ""));
        }
    }
    let [pass, warn, fail] = counts(findings);
    lines.push(format!("{pass} pass, {warn} warn, {fail} fail"));
    lines
}

/// The same for programs.
pub(super) fn json(drop: u32, server: &str, findings: &[Finding]) -> Value {
    let [pass, warn, fail] = counts(findings);
    let checks: Vec<Value> = findings
        .iter()
        .map(|Finding { check, verdict, found, to_do }| {
            let mut told = json!({ "check": check, "verdict": verdict.word(), "found": found });
            if *verdict != Verdict::Pass {
                told["to_do"] = to_do.as_str().into();
            }
            told
        })
        .collect();
    json!({ "drop_id": drop, "server": server, "checks": checks, "pass": pass, "warn": warn, "fail": fail })
}

fn counts(findings: &[Finding]) -> [usize; 3] {
    [Verdict::Pass, Verdict::Warn, Verdict::Fail]
        .map(|verdict| findings.iter().filter(|finding| finding.verdict == verdict).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_pass_says_what_to_do_in_the_table_and_for_programs() {
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
    fn limits_are_what_still_passes() {
        let verdict = |value| Finding::graded("x", value, (10, 20), "", "").verdict;
        assert_eq!([10, 11, 20, 21].map(verdict), [Verdict::Pass, Verdict::Warn, Verdict::Warn, Verdict::Fail]);
    }
}
