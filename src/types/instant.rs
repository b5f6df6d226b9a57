//! Instants as text: RFC 3339, written in UTC with milliseconds, read with any offset.
//!
//! Read is what the grammar of RFC 3339 (5.6) has and nothing else: other forms (a week, a zone's name in brackets, an
//! offset without a colon) are read differently by different programs, and a text with two statements about its offset
//! can contradict itself.

use jiff::civil::{Date, DateTime, Time};
use jiff::fmt::temporal::DateTimePrinter;
use jiff::tz::Offset;

use super::UnixMillis;

/// Writes milliseconds, also where they are 0.
const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(3));

/// The reason why a text is not an instant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotAnInstant {
    /// The text is not in the form of RFC 3339, or the day or the time does not exist.
    Form,
    /// The instant exists and is out of range.
    Range,
}

impl NotAnInstant {
    /// Returns a description of the allowed texts.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            NotAnInstant::Form => {
                "must be an RFC 3339 time with an offset, such as 2026-11-21T09:00:00Z or 2026-11-21T10:00:00+01:00"
            }
            NotAnInstant::Range => {
                "must be from 1970-01-01T00:00:00Z to 9999-12-30T22:00:00Z, the last time that exists with every offset"
            }
        }
    }
}

/// An instant as RFC 3339 in UTC with milliseconds: `2026-11-21T09:00:00.000Z`.
#[must_use]
pub fn rfc3339(at: UnixMillis) -> String {
    // In every answer twice: room for `2026-11-21T10:00:00.000Z` at once.
    let mut text = String::with_capacity(24);
    write_rfc3339(&mut text, at);
    text
}

/// Appends an instant as [`rfc3339`] gives it.
pub fn write_rfc3339(text: impl jiff::fmt::Write, at: UnixMillis) {
    // UnixMillis::MAX lies within jiff's range, so there is always a timestamp; and memory takes whatever is written.
    if let Ok(timestamp) = jiff::Timestamp::from_millisecond(at.get()) {
        let _infallible = PRINTER.print_timestamp(&timestamp, text);
    }
}

/// Parses an RFC 3339 text with any offset, truncated to milliseconds.
///
/// # Errors
/// The reason why it is not an instant.
pub fn parse_instant(text: &str) -> Result<UnixMillis, NotAnInstant> {
    let civil = Civil::parse(text).ok_or(NotAnInstant::Form)?;
    let timestamp = civil.offset.to_timestamp(civil.time).map_err(|_| NotAnInstant::Range)?;
    let at = UnixMillis::new(timestamp.as_millisecond()).ok_or(NotAnInstant::Range)?;
    if civil.is_leap_second && !is_end_of_a_month(timestamp) { Err(NotAnInstant::Form) } else { Ok(at) }
}

/// Parses an RFC 3339 text as [`parse_instant`] does.
#[must_use]
pub fn parse_rfc3339(text: &str) -> Option<UnixMillis> {
    parse_instant(text).ok()
}

/// A leap second is the last one of a month in UTC (RFC 3339, 5.7).
fn is_end_of_a_month(last_second: jiff::Timestamp) -> bool {
    let utc = Offset::UTC.to_datetime(last_second);
    let is_last_minute = (utc.hour(), utc.minute()) == (23, 59);
    is_last_minute && utc.date().day() == utc.date().days_in_month()
}

/// A text's own statements.
struct Civil {
    /// A leap second is the second before it.
    time: DateTime,
    is_leap_second: bool,
    offset: Offset,
}

impl Civil {
    fn parse(text: &str) -> Option<Civil> {
        let (date, rest) = text.as_bytes().split_at_checked(10)?;
        let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = date else { return None };
        let (year, month, day) = (number(&[*y1, *y2, *y3, *y4])?, number(&[*m1, *m2])?, number(&[*d1, *d2])?);
        let (time, rest) = rest.split_at_checked(9)?;
        let [b'T' | b't', h1, h2, b':', n1, n2, b':', s1, s2] = time else { return None };
        let (hour, minute, second) = (number(&[*h1, *h2])?, number(&[*n1, *n2])?, number(&[*s1, *s2])?);
        let (nanosecond, rest) = fraction(rest)?;
        let is_leap_second = second == 60;
        let second = if is_leap_second { 59 } else { second };
        let small = |number: i32| i8::try_from(number).ok();
        let date = Date::new(i16::try_from(year).ok()?, small(month)?, small(day)?).ok()?;
        let time = Time::new(small(hour)?, small(minute)?, small(second)?, nanosecond).ok()?;
        Some(Civil { time: date.to_datetime(time), is_leap_second, offset: offset(rest)? })
    }
}

/// The number that ASCII digits write.
fn number(digits: &[u8]) -> Option<i32> {
    digits.iter().try_fold(0i32, |sum, digit| {
        let value = digit.is_ascii_digit().then(|| i32::from(digit.saturating_sub(b'0')))?;
        Some(sum.saturating_mul(10).saturating_add(value))
    })
}

/// Splits a fraction of a second off, in nanoseconds; further digits are cut.
fn fraction(rest: &[u8]) -> Option<(i32, &[u8])> {
    let Some(rest) = rest.strip_prefix(b".") else { return Some((0, rest)) };
    let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = rest.split_at_checked(count)?;
    if digits.is_empty() {
        return None;
    }
    let mut nine = [b'0'; 9];
    nine.iter_mut().zip(digits).for_each(|(to, digit)| *to = *digit);
    Some((number(&nine)?, rest))
}

/// The offset that ends a text.
fn offset(rest: &[u8]) -> Option<Offset> {
    let (sign, h1, h2, m1, m2) = match rest {
        b"Z" | b"z" => return Some(Offset::UTC),
        [b'+', h1, h2, b':', m1, m2] => (1, h1, h2, m1, m2),
        [b'-', h1, h2, b':', m1, m2] => (-1, h1, h2, m1, m2),
        _ => return None,
    };
    let (hours, minutes) = (number(&[*h1, *h2])?, number(&[*m1, *m2])?);
    if hours > 23 || minutes > 59 {
        return None;
    }
    Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_written_with_milliseconds_in_utc_and_read_with_any_offset() {
        let at = UnixMillis::new(1_795_251_600_007).expect("in range");
        assert_eq!(rfc3339(at), "2026-11-21T09:00:00.007Z");
        assert_eq!(rfc3339(UnixMillis::MAX).len(), 24);
        for good in [
            "2026-11-21T10:00:00.007+01:00",
            "2026-11-21t09:00:00.0070z",
            "2026-11-21T09:00:00.007999999999999Z",
            "2026-11-21T09:00:00.007-00:00",
            "2026-11-20T09:01:00.007-23:59",
        ] {
            assert_eq!(parse_instant(good), Ok(at), "{good}");
        }
        for at in [UnixMillis::ZERO, UnixMillis::MAX] {
            assert_eq!(parse_instant(&rfc3339(at)), Ok(at));
        }
        let leap = parse_instant("1990-12-31T15:59:60-08:00").map(rfc3339);
        assert_eq!(leap.as_deref(), Ok("1990-12-31T23:59:59.000Z"), "an example of RFC 3339");
    }

    #[test]
    fn forms_that_rfc_3339_does_not_have_are_not_read() {
        for bad in [
            "",
            "now",
            "2026-11-21",
            "2026-11-21T09:00:00",
            "2026-11-21T09:00Z",
            "2026-11-21 09:00:00Z",
            "2026-11-21T09:00:00.Z",
            "2026-11-21T09:00:00,5Z",
            "2026-11-21T09:00:00+01",
            "2026-11-21T09:00:00+0100",
            "2026-11-21T09:00:00+01:00:00",
            "2026-11-21T09:00:00+24:00",
            "2026-11-21T09:00:00+01:60",
            "2026-07-21T09:00:00+01:00[Europe/Berlin]",
            "2026-11-21T09:00:00Z[Europe/Berlin]",
            "2026-11-21T09:00:00Z[!Europe/Moon]",
            "2026-11-21T09:00:00Z[u-ca=hebrew]",
            "2026-11-21T24:00:00Z",
            "2026-11-21T09:60:00Z",
            "2026-11-21T09:00:60Z",
            "2026-11-21T23:59:60Z",
            "2026-11-21T09:00:61Z",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-W47-6T09:00:00Z",
            "20261121T090000Z",
            "+002026-11-21T09:00:00Z",
            "-002026-11-21T09:00:00Z",
            " 2026-11-21T09:00:00Z",
            "2026-11-21T09:00:00Z ",
            "2026-11-21T09:00:00\u{2212}01:00",
            "２０26-11-21T09:00:00Z",
            "2026-11-2\u{e9}T09:00:00Z",
        ] {
            assert_eq!(parse_instant(bad), Err(NotAnInstant::Form), "{bad}");
        }
    }

    #[test]
    fn an_instant_out_of_range_is_told_so() {
        for far in [
            "1969-12-31T23:59:59.999Z",
            "1970-01-01T00:59:59+01:00",
            "0000-01-01T00:00:00Z",
            "9999-12-30T22:00:00.001Z",
            "9999-12-31T00:00:00Z",
            "9999-12-31T23:59:59.999Z",
            "9999-12-31T23:59:59-23:59",
        ] {
            assert_eq!(parse_instant(far), Err(NotAnInstant::Range), "{far}");
        }
        assert_eq!(parse_instant("9999-12-31T21:59:00+23:59"), Ok(UnixMillis::MAX));
    }
}
