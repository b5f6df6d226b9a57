//! Figures of a sale's fairness: does an early arrival give an early position or a unit, and when did buyers arrive.
//!
//! All figures are exact: whole numbers, and parts of a million for fractions.

use crate::types::UnixMillis;

/// Parts of a million.
const MILLION: i128 = 1_000_000;
/// The most points of a histogram of arrivals.
pub const ARRIVAL_POINTS_MAX: usize = 120;
/// Parts of the line of tickets in the order of arrival.
pub const TENTHS: usize = 10;

/// Returns Spearman's rank correlation of arrival and position, in millionths: 1,000,000 if the first to arrive are the first in
/// the line, 0 if arrival tells nothing, -1,000,000 if the last are first. `positions` are those of the tickets in the order of
/// arrival, each position once. `None` below two tickets, or if a position is missing or there twice.
#[must_use]
pub fn arrival_correlation(positions: &[u32]) -> Option<i64> {
    let mut seen = vec![false; positions.len()];
    let mut squares: u128 = 0;
    for (arrival, position) in (0u32..).zip(positions) {
        let is_again = std::mem::replace(seen.get_mut(*position as usize)?, true);
        if is_again {
            return None;
        }
        squares += u128::from(arrival.abs_diff(*position)).pow(2);
    }
    let count = i128::try_from(positions.len()).ok()?;
    // 1 - 6 Σd² / (n (n² - 1)): Spearman's formula without ties. Below 2^32 tickets no term exceeds 2^127.
    let whole = count.checked_mul(count.checked_mul(count)?.checked_sub(1)?)?;
    let apart = i128::try_from(squares).ok()?.checked_mul(6 * MILLION)?.checked_div(whole)?;
    i64::try_from(MILLION - apart).ok()
}

/// Sums over tickets in the order of arrival: do those that got units come earlier than those that got none?
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ArrivalOfUnits {
    tickets: u64,
    with_units: u64,
    /// The sum of the numbers of tickets with units, from 1.
    numbers: u128,
}

impl ArrivalOfUnits {
    /// Counts the next ticket.
    pub fn add(&mut self, has_units: bool) {
        self.tickets = self.tickets.saturating_add(1);
        if has_units {
            self.with_units = self.with_units.saturating_add(1);
            self.numbers = self.numbers.saturating_add(u128::from(self.tickets));
        }
    }

    /// Returns the rank-biserial correlation of arrival and units, in millionths: 1,000,000 if every ticket with units came before
    /// every ticket without, 0 if arrival tells nothing. `None` if all tickets have units, or none has.
    #[must_use]
    pub fn correlation(&self) -> Option<i64> {
        let (all, with) = (i128::from(self.tickets), i128::from(self.with_units));
        let without = all.checked_sub(with)?;
        let of_with = i128::try_from(self.numbers).ok()?;
        let of_without = all.checked_mul(all.checked_add(1)?)?.checked_div(2)?.checked_sub(of_with)?;
        // 2 (mean number without - mean number with) / n. Below 2^32 tickets no term exceeds 2^127.
        let apart = of_without.checked_mul(with)?.checked_sub(of_with.checked_mul(without)?)?;
        let whole = with.checked_mul(without)?.checked_mul(all)?;
        i64::try_from(apart.checked_mul(2 * MILLION)?.checked_div(whole)?).ok()
    }
}

/// The number of tickets that were taken in each of the equal parts of a time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ArrivalHistogram {
    /// The second at which the first point begins.
    pub from: i64,
    pub point_seconds: u32,
    pub tickets: Vec<u64>,
}

impl ArrivalHistogram {
    /// Begins with the time from the first to the last ticket, in at most [`ARRIVAL_POINTS_MAX`] points.
    #[must_use]
    pub fn between(first: UnixMillis, last: UnixMillis) -> ArrivalHistogram {
        let seconds = last.second().saturating_sub(first.second()).saturating_add(1).max(1);
        let seconds = u64::try_from(seconds).unwrap_or(1);
        let most = u64::try_from(ARRIVAL_POINTS_MAX).unwrap_or(u64::MAX);
        let point_seconds = seconds.div_ceil(most).max(1);
        let points = usize::try_from(seconds.div_ceil(point_seconds)).unwrap_or(ARRIVAL_POINTS_MAX);
        ArrivalHistogram {
            from: first.second(),
            point_seconds: u32::try_from(point_seconds).unwrap_or(u32::MAX),
            tickets: vec![0; points.min(ARRIVAL_POINTS_MAX)],
        }
    }

    /// Counts a ticket. Earlier ones count in the first point, later ones in the last.
    pub fn add(&mut self, at: UnixMillis) {
        let since = u64::try_from(at.second().saturating_sub(self.from)).unwrap_or(0);
        let point = usize::try_from(since / u64::from(self.point_seconds)).unwrap_or(usize::MAX);
        let last = self.tickets.len().saturating_sub(1);
        if let Some(count) = self.tickets.get_mut(point.min(last)) {
            *count = count.saturating_add(1);
        }
    }
}

/// The least buyers of a group that a report shows by itself: a smaller one could be a person.
pub const GROUP_BUYERS_MIN: u64 = 5;

/// Returns the groups that a report shows by themselves, by their numbers of buyers. The others are one sum, which has enough
/// buyers, too, or no buyer at all: else the smallest of the large groups is among them.
#[must_use]
pub fn told_groups(buyers: &[u64]) -> Vec<bool> {
    let mut told: Vec<bool> = buyers.iter().map(|count| *count >= GROUP_BUYERS_MIN).collect();
    loop {
        let hidden: u64 = buyers.iter().zip(&told).filter(|(_, told)| !**told).map(|(count, _)| *count).sum();
        if hidden == 0 || hidden >= GROUP_BUYERS_MIN {
            return told;
        }
        let open = buyers.iter().zip(&told).enumerate().filter(|(_, (_, told))| **told);
        match open.min_by_key(|(_, (count, _))| **count).map(|(index, _)| index) {
            Some(smallest) => told[smallest] = false,
            None => return told,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_correlation_is_1_by_arrival_and_minus_1_backwards() {
        let line: Vec<u32> = (0..1000).collect();
        let backwards: Vec<u32> = line.iter().rev().copied().collect();
        assert_eq!(arrival_correlation(&line), Some(1_000_000));
        assert_eq!(arrival_correlation(&backwards), Some(-1_000_000));
        // 1 - 6 * 8 / 120.
        assert_eq!(arrival_correlation(&[1, 0, 4, 2, 3]), Some(600_000));
        // 1 - 6 * 8 / 24 and 1 - 6 * 2 / 24.
        assert_eq!(
            (arrival_correlation(&[2, 1, 0]), arrival_correlation(&[1, 0, 2])),
            (Some(-1_000_000), Some(500_000))
        );
    }

    #[test]
    fn the_largest_draw_does_not_overflow() {
        let backwards: Vec<u32> = (0..8_000_000).rev().collect();
        assert_eq!(arrival_correlation(&backwards), Some(-1_000_000));
    }

    #[test]
    fn what_is_no_line_has_no_correlation() {
        for wrong in [&[][..], &[0], &[0, 0], &[0, 2], &[1, 2]] {
            assert_eq!(arrival_correlation(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn units_of_the_first_are_1_those_of_the_last_minus_1_and_mixed_ones_0() {
        let of = |line: &[u8]| {
            let mut sums = ArrivalOfUnits::default();
            line.iter().for_each(|has| sums.add(*has == 1));
            sums.correlation()
        };
        assert_eq!(of(&[1, 1, 0, 0]), Some(1_000_000));
        assert_eq!(of(&[0, 0, 0, 1]), Some(-1_000_000));
        assert_eq!(of(&[1, 0, 0, 1]), Some(0));
        // The mean number is 2 with units and 11/3 without: 2 (11/3 - 2) / 5.
        assert_eq!(of(&[1, 0, 1, 0, 0]), Some(666_666));
        for one_kind in [&[][..], &[1, 1], &[0, 0]] {
            assert_eq!(of(one_kind), None, "{one_kind:?}");
        }
        let most = u64::from(u32::MAX);
        let first = ArrivalOfUnits { tickets: most, with_units: 1, numbers: 1 };
        assert_eq!(first.correlation(), Some(1_000_000), "no overflow");
    }

    #[test]
    fn arrivals_are_counted_by_points_of_whole_seconds() {
        let at = |ms| UnixMillis::new(ms).expect("in range");
        let mut one = ArrivalHistogram::between(at(1500), at(1500));
        one.add(at(1999));
        assert_eq!((one.from, one.point_seconds, one.tickets), (1, 1, vec![1]));
        let mut hour = ArrivalHistogram::between(at(10_000), at(3_610_000));
        assert_eq!((hour.from, hour.point_seconds, hour.tickets.len()), (10, 31, 117));
        for ms in [0, 10_000, 40_999, 41_000, 3_610_000, 9_999_999] {
            hour.add(at(ms));
        }
        assert_eq!((&hour.tickets[..2], hour.tickets[116]), (&[3, 1][..], 2));
        let ages = ArrivalHistogram::between(at(0), at(100 * 366 * 86_400_000));
        assert!(ages.tickets.len() <= ARRIVAL_POINTS_MAX);
    }

    #[test]
    fn a_small_group_is_hidden_together_with_others_or_not_told_at_all() {
        assert_eq!(told_groups(&[9, 7, 0]), [true, true, false], "no buyer, nothing to hide");
        assert_eq!(told_groups(&[9, 7, 1]), [true, false, false], "the rest of the sum would tell the one");
        assert_eq!(told_groups(&[9, 3, 2]), [true, false, false]);
        assert_eq!(told_groups(&[1, 9]), [false, false]);
        assert_eq!(told_groups(&[1, 2]), [false, false]);
        assert_eq!(told_groups(&[5]), [true]);
        assert!(told_groups(&[]).is_empty());
    }
}
