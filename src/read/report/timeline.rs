//! Figures over time in a bounded number of points, whatever the length of a sale.

use super::seconds::SecondFigures;

/// The most points of a timeline. A page shows no more, and the document stays small.
pub const POINTS_MAX: usize = 600;

/// The possible lengths of a point, in seconds. Each is a multiple of the one before, so that points can be joined.
const WIDTHS: [u32; 14] = [1, 2, 10, 30, 60, 120, 600, 1800, 3600, 7200, 21_600, 43_200, 86_400, 604_800];

/// Units of a drop at an instant.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct StockLevel {
    pub total: u64,
    pub held: u64,
    pub sold: u64,
}

impl StockLevel {
    #[must_use]
    pub fn available(&self) -> u64 {
        self.total.saturating_sub(self.held).saturating_sub(self.sold)
    }
}

/// One point: the stock at its end, and the sums over its seconds.
#[derive(Clone, Copy, Default, Debug)]
pub struct TimelinePoint {
    /// The stock after the last event of the point; `None` if it has no event.
    pub level: Option<StockLevel>,
    pub units_paid: u64,
    pub units_expired: u64,
    pub units_cancelled: u64,
    pub figures: SecondFigures,
    /// The most commands that were decided in one second.
    pub commands_max: u64,
}

impl TimelinePoint {
    /// Adds the next point to this one.
    fn join(&mut self, next: &TimelinePoint) {
        self.level = next.level.or(self.level);
        self.units_paid = self.units_paid.saturating_add(next.units_paid);
        self.units_expired = self.units_expired.saturating_add(next.units_expired);
        self.units_cancelled = self.units_cancelled.saturating_add(next.units_cancelled);
        self.figures.add(&next.figures);
        self.commands_max = self.commands_max.max(next.commands_max);
    }
}

/// Points of equal length from an origin on. Points grow longer as the time grows.
#[derive(Clone, Debug)]
pub struct Timeline {
    /// Second since 1970 at which the first point begins.
    origin: i64,
    width: usize,
    points: Vec<TimelinePoint>,
    /// The stock before the first point.
    before: StockLevel,
}

impl Timeline {
    #[must_use]
    pub const fn new(origin: i64, before: StockLevel) -> Timeline {
        Timeline { origin, width: 0, points: Vec::new(), before }
    }

    /// Second since 1970 at which the first point begins.
    #[must_use]
    pub const fn origin(&self) -> i64 {
        self.origin
    }

    /// Sets the stock before the first point.
    pub const fn set_before(&mut self, before: StockLevel) {
        self.before = before;
    }

    /// Length of a point in seconds.
    #[must_use]
    pub fn point_seconds(&self) -> u32 {
        WIDTHS.get(self.width).copied().unwrap_or(1)
    }

    /// Returns the point of a second. Seconds before the origin belong to the first point, and those after the longest
    /// timeline to the last one.
    pub fn at(&mut self, second: i64) -> &mut TimelinePoint {
        let offset = u64::try_from(second.saturating_sub(self.origin)).unwrap_or(0);
        let mut index = self.index(offset);
        while index >= POINTS_MAX && self.width + 1 < WIDTHS.len() {
            self.widen();
            index = self.index(offset);
        }
        let index = index.min(POINTS_MAX - 1);
        if self.points.len() <= index {
            self.points.resize(index + 1, TimelinePoint::default());
        }
        &mut self.points[index]
    }

    fn index(&self, offset: u64) -> usize {
        usize::try_from(offset / u64::from(self.point_seconds())).unwrap_or(usize::MAX)
    }

    /// Joins points to those of the next length.
    fn widen(&mut self) {
        let before = self.point_seconds();
        self.width += 1;
        let joined = usize::try_from(self.point_seconds() / before).unwrap_or(1);
        self.points = self
            .points
            .chunks(joined)
            .map(|points| {
                let mut sum = TimelinePoint::default();
                points.iter().for_each(|point| sum.join(point));
                sum
            })
            .collect();
    }

    /// Returns the points with the stock at the end of each.
    pub fn points(&self) -> impl Iterator<Item = (StockLevel, &TimelinePoint)> {
        let mut level = self.before;
        self.points.iter().map(move |point| {
            level = point.level.unwrap_or(level);
            (level, point)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_length_is_a_multiple_of_the_one_before() {
        assert!(WIDTHS.windows(2).all(|pair| pair[1] > pair[0] && pair[1] % pair[0] == 0));
    }

    #[test]
    fn points_are_joined_without_loss_and_never_more_than_the_bound() {
        for step in [1i64, 7, 3600, 86_400, 604_800] {
            let mut timeline = Timeline::new(1000, StockLevel::default());
            for number in 0..2000i64 {
                let point = timeline.at(1000 + number * step);
                point.units_paid += 1;
                point.figures.sold_out += 2;
                point.commands_max = point.commands_max.max(number.unsigned_abs());
                point.level = Some(StockLevel { total: 9, held: number.unsigned_abs(), sold: 0 });
            }
            let points: Vec<_> = timeline.points().collect();
            assert!(points.len() <= POINTS_MAX, "{step}: {}", points.len());
            assert_eq!(points.iter().map(|(_, point)| point.units_paid).sum::<u64>(), 2000);
            assert_eq!(points.iter().map(|(_, point)| point.figures.sold_out).sum::<u64>(), 4000);
            assert_eq!(points.iter().map(|(_, point)| point.commands_max).max(), Some(1999));
            assert_eq!(points.last().map(|(level, _)| level.held), Some(1999));
            let ends = timeline.origin()
                + i64::from(timeline.point_seconds()) * i64::try_from(points.len()).expect("few points");
            assert!(ends > 1000 + 1999 * step || step == 604_800, "{step}: ends at {ends}");
        }
    }

    #[test]
    fn a_point_without_an_event_has_the_stock_of_the_one_before() {
        let mut timeline = Timeline::new(0, StockLevel { total: 5, held: 0, sold: 0 });
        timeline.at(3).level = Some(StockLevel { total: 5, held: 2, sold: 0 });
        timeline.at(5).units_paid = 0;
        let held: Vec<u64> = timeline.points().map(|(level, _)| level.held).collect();
        assert_eq!(held, [0, 0, 0, 2, 2, 2]);
    }
}
