//! Result of a verification, for people to read.

use crate::types::{Seq, Shard};

/// Maximum number of listed problems; all are counted.
const PROBLEMS_LISTED_MAX: usize = 100;

/// Result of a verification.
#[derive(Default, Debug)]
pub struct VerifyReport {
    pub drops: u64,
    pub orders: u64,
    pub events: u64,
    pub links: u64,
    /// Units held, over all drops.
    pub held: u64,
    /// Units sold, over all drops.
    pub sold: u64,
    pub last_seq: Seq,
    /// Number of times that the file's history was set back.
    pub epoch: u64,
    /// Random id that the file got at its creation.
    pub file_id: [u8; 16],
    /// The shard of the file's drops; 0 without any.
    pub shard: Shard,
    /// Problems, one sentence each; at most 100.
    pub problems: Vec<String>,
    /// Number of problems, listed or not.
    pub problem_count: u64,
}

impl VerifyReport {
    pub(super) fn problem(&mut self, sentence: String) {
        self.problem_count = self.problem_count.saturating_add(1);
        if self.problems.len() < PROBLEMS_LISTED_MAX {
            self.problems.push(sentence);
        }
    }

    /// Puts the problems of another report before its own.
    pub(super) fn after(mut self, mut first: VerifyReport) -> VerifyReport {
        self.problem_count = self.problem_count.saturating_add(first.problem_count);
        first.problems.append(&mut self.problems);
        first.problems.truncate(PROBLEMS_LISTED_MAX);
        self.problems = first.problems;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_problems_are_listed_and_all_are_counted() {
        let mut report = VerifyReport::default();
        for number in 0..250 {
            report.problem(number.to_string());
        }
        assert_eq!(report.problem_count, 250);
        let listed: Vec<String> = (0..PROBLEMS_LISTED_MAX).map(|number| number.to_string()).collect();
        assert_eq!(report.problems, listed);
    }

    #[test]
    fn the_problems_of_two_reports_are_listed_one_after_the_other_and_all_are_counted() {
        let with = |numbers: std::ops::Range<u32>| {
            let mut report = VerifyReport::default();
            numbers.for_each(|number| report.problem(number.to_string()));
            report
        };
        let report = with(60..120).after(with(0..60));
        assert_eq!(report.problem_count, 120);
        let listed: Vec<String> = (0..PROBLEMS_LISTED_MAX).map(|number| number.to_string()).collect();
        assert_eq!(report.problems, listed);
    }
}
