//! Numbers, amounts and times as people write them.

use crate::types::text::{parse_rfc3339, rfc3339};
use crate::types::{Amount, Currency, UnixMillis, money};

/// Returns a count with commas between its thousands.
#[must_use]
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Returns a number and its noun: `1 unit`, `2 units`.
#[must_use]
pub fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// Returns minor units of a currency in major units.
#[must_use]
pub fn amount(minor: u64, currency: &str) -> String {
    match Amount::new(minor).zip(Currency::new(currency)) {
        Some((amount, currency)) => money::shown(amount, currency),
        None => format!("{minor} {currency}"),
    }
}

/// Returns a length of time in at most two units.
#[must_use]
pub fn span(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    match seconds {
        0 => format!("{milliseconds} ms"),
        1..=59 if milliseconds % 1000 < 100 => format!("{seconds} s"),
        1..=59 => format!("{seconds}.{} s", milliseconds % 1000 / 100),
        60..=3599 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..=86_399 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// Returns milliseconds with as many digits as matter.
#[must_use]
pub fn wait(milliseconds: f64) -> String {
    match milliseconds {
        ms if ms >= 100.0 => format!("{ms:.0} ms"),
        ms if ms >= 1.0 => format!("{ms:.1} ms"),
        ms => format!("{ms:.2} ms"),
    }
}

/// Returns a share of a whole in percent.
#[must_use]
pub fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "0 %".into();
    }
    let tenths = u128::from(part) * 1000 / u128::from(whole);
    if tenths.is_multiple_of(10) || tenths >= 1000 {
        format!("{} %", tenths / 10)
    } else {
        format!("{}.{} %", tenths / 10, tenths % 10)
    }
}

/// Returns an instant of the document as `2026-11-28 09:00:00 UTC`.
#[must_use]
pub fn instant(text: &str) -> String {
    match text.split_at_checked(19) {
        Some((seconds, _)) => format!("{} UTC", seconds.replace('T', " ")),
        None => text.to_owned(),
    }
}

/// Returns the second since 1970 of an instant of the document.
#[must_use]
pub fn second(text: &str) -> Option<i64> {
    parse_rfc3339(text).map(UnixMillis::second)
}

/// Returns the date and the time of a second since 1970, in UTC.
#[must_use]
pub fn date_and_time(second: i64) -> (String, String) {
    let text = second.checked_mul(1000).and_then(UnixMillis::new).map(rfc3339).unwrap_or_default();
    let part = |range: std::ops::Range<usize>| text.get(range).unwrap_or("").to_owned();
    (part(0..10), part(11..19))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_people_read_them() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([counted(1, "unit"), counted(2000, "unit")], ["1 unit", "2,000 units"]);
        assert_eq!(
            [amount(12_345, "EUR"), amount(5, "JPY"), amount(1500, "BHD")],
            ["123.45 EUR", "5 JPY", "1.500 BHD"]
        );
        assert_eq!([percent(1, 3), percent(2, 2), percent(0, 0)], ["33.3 %", "100 %", "0 %"]);
        assert_eq!(
            [7, 1000, 1500, 61_000, 3_600_000, 90_000_000].map(span),
            ["7 ms", "1 s", "1.5 s", "1 min 1 s", "1 h 0 min", "1 d 1 h"]
        );
        assert_eq!(instant("2026-11-21T09:00:00.007Z"), "2026-11-21 09:00:00 UTC");
        assert_eq!(date_and_time(0), ("1970-01-01".into(), "00:00:00".into()));
    }
}
