//! The header `Date` after the wall clock was set back.
//!
//! hyper renders `Date` again once its second of the wall clock is over. If the clock goes back, that takes as long as the
//! clock went back, and until then every response has a time in the future.

use hyper::header::HeaderValue;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;

use crate::types::UnixMillis;

/// The longest time that hyper's own value is ahead of the last look at the clock: a second between two looks, and the
/// second for which hyper keeps a value.
const AHEAD_MS_MAX: i64 = 2000;

/// Looks at the wall clock once a second, and has the header's value while hyper's is wrong.
#[derive(Default)]
pub(super) struct DateHeader {
    latest: UnixMillis,
    /// The wall clock from which on hyper's own value is right again.
    wrong_until: UnixMillis,
    value: Option<HeaderValue>,
}

impl DateHeader {
    /// The value for responses; `None` while hyper's own is right.
    pub(super) fn value(&self) -> Option<&HeaderValue> {
        self.value.as_ref()
    }

    /// Notes the wall clock.
    pub(super) fn look(&mut self, now: UnixMillis) {
        if now < self.latest {
            self.wrong_until = self.wrong_until.max(self.latest.plus_millis(AHEAD_MS_MAX));
        }
        self.latest = now;
        self.value = if now < self.wrong_until { rendered(now) } else { None };
    }
}

fn rendered(now: UnixMillis) -> Option<HeaderValue> {
    let now = Timestamp::from_millisecond(now.get()).ok()?;
    let text = DateTimePrinter::new().timestamp_to_rfc9110_string(&now).ok()?;
    HeaderValue::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_follows_a_wall_clock_that_goes_back_and_is_left_to_hyper_otherwise() {
        let at = |seconds: i64| UnixMillis::new((1_800_000_000 + seconds) * 1000).expect("in range");
        let mut date = DateHeader::default();
        let mut shown = |seconds| {
            date.look(at(seconds));
            date.value().map(|value| value.to_str().expect("text").to_string())
        };
        assert_eq!([1000, 1001, 5000].map(&mut shown), [None, None, None], "forward is right at once");
        assert_eq!(shown(4400).as_deref(), Some("Fri, 15 Jan 2027 09:13:20 GMT"));
        assert_eq!(shown(4401).as_deref(), Some("Fri, 15 Jan 2027 09:13:21 GMT"));
        assert!(shown(100).is_some() && shown(101).is_some() && shown(5001).is_some(), "until all values are past");
        assert_eq!([5002, 5003].map(&mut shown), [None, None]);
    }
}
