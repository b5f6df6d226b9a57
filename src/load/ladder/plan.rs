//! The parameters of a ladder, checked.

use std::time::Duration;

use crate::load::numbers::grouped;

/// The longest time from the last arrival of a rung to its end.
pub(super) const GRACE: Duration = Duration::from_secs(5);
/// The largest number of arrivals of one rung: that of a run's buyers.
const ARRIVALS_MAX: u64 = 10_000_000;
const RUNGS_MAX: usize = 64;
/// A drop's reservations outlast the whole ladder by this, so that nothing lapses while rungs are measured.
const OUTLAST: Duration = Duration::from_secs(60);

/// A ladder of offered rates.
#[derive(Clone, Debug)]
pub(crate) struct LadderPlan {
    /// Arrivals per second, ascending.
    pub(super) rates: Vec<u32>,
    pub(super) reads_percent: u8,
    pub(super) rung_seconds: u32,
    /// A rung with a higher 99th percentile is not kept.
    pub(super) p99_max: Duration,
}

impl LadderPlan {
    /// The ladder of these rates; none without rates.
    ///
    /// # Errors
    /// Every mistake, a line each.
    pub(crate) fn new(
        rates: Vec<u32>,
        reads_percent: u8,
        rung_seconds: u32,
        p99_max: Duration,
    ) -> Result<Option<LadderPlan>, Vec<String>> {
        let Some(highest) = rates.iter().max().copied() else { return Ok(None) };
        let mut mistakes = Vec::new();
        if rates.len() > RUNGS_MAX {
            mistakes.push(format!("--ladder has {} rungs; {RUNGS_MAX} are the most", rates.len()));
        }
        if !rates.is_sorted_by(|lower, higher| lower < higher) {
            mistakes.push("--ladder: rates must ascend".to_owned());
        }
        if u64::from(highest) * u64::from(rung_seconds) > ARRIVALS_MAX {
            let most = grouped(ARRIVALS_MAX);
            mistakes.push(format!("--ladder: {highest}/s for {rung_seconds} s is more than {most} arrivals"));
        }
        let ladder = LadderPlan { rates, reads_percent, rung_seconds, p99_max };
        if mistakes.is_empty() { Ok(Some(ladder)) } else { Err(mistakes) }
    }

    /// The mix of requests, for people.
    pub(super) fn mix(&self) -> String {
        match self.reads_percent {
            0 => "orders only".to_owned(),
            100 => "drop reads only".to_owned(),
            reads => format!("drop reads and orders {reads}:{}", 100 - reads),
        }
    }

    /// The longest time that the whole ladder can take.
    pub(super) fn longest(&self) -> Duration {
        let rungs = u32::try_from(self.rates.len()).unwrap_or(u32::MAX).saturating_add(1);
        (Duration::from_secs(u64::from(self.rung_seconds)) + GRACE + OUTLAST).saturating_mul(rungs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ladder_ascends_and_has_bounds() {
        let ladder = |rates: &[u32], seconds| LadderPlan::new(rates.to_vec(), 94, seconds, Duration::from_millis(50));
        assert!(ladder(&[], 10).is_ok_and(|ladder| ladder.is_none()));
        assert!(ladder(&[1, 2, 3], 10).is_ok_and(|ladder| ladder.is_some()));
        let many: Vec<u32> = (1..=65).collect();
        for (rates, seconds) in [(&[2, 2][..], 1), (&[3, 2], 1), (&many, 1), (&[1_000_000], 11)] {
            assert_eq!(ladder(rates, seconds).err().map(|mistakes| mistakes.len()), Some(1), "{rates:?}");
        }
    }
}
