//! Amounts and instants as people of a language write them.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::types::{Amount, Currency, UnixMillis, money};

/// Returns an amount with its currency: `1,234.50 EUR` in English, `1.234,50 EUR` and `1.250.000 ₫` in Vietnamese; in other
/// languages without separators of thousands, which is read the same everywhere.
#[must_use]
pub(super) fn amount(amount: Amount, currency: Currency, language: &str) -> String {
    let plain = money::shown(amount, currency);
    let (group, point) = match primary(language) {
        "en" => (',', '.'),
        "vi" => ('.', ','),
        _ => return plain,
    };
    let (number, code) = plain.split_once(' ').unwrap_or((&plain, ""));
    let (whole, part) = number.split_once('.').map_or((number, None), |(whole, part)| (whole, Some(part)));
    let mut text = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len().saturating_sub(at)).is_multiple_of(3) {
            text.push(group);
        }
        text.push(digit);
    }
    if let Some(part) = part {
        text.push(point);
        text.push_str(part);
    }
    let unit = if code == "VND" && primary(language) == "vi" { "₫" } else { code };
    format!("{text} {unit}")
}

/// Returns an instant to the minute, with its offset from UTC: a buyer may be in another time zone than the shop.
#[must_use]
pub(super) fn instant(at: UnixMillis, zone: &TimeZone, language: &str) -> String {
    let Ok(at) = Timestamp::from_millisecond(at.get()) else { return String::new() };
    let at = at.to_zoned(zone.clone());
    let offset = match at.strftime("%:z").to_string().as_str() {
        "+00:00" => "UTC".to_owned(),
        offset => format!("UTC{}", offset.trim_end_matches(":00")),
    };
    let pattern = match primary(language) {
        "en" => "%-d %B %Y, %H:%M",
        "vi" => "%H:%M ngày %d/%m/%Y",
        _ => "%Y-%m-%d %H:%M",
    };
    format!("{} ({offset})", at.strftime(pattern))
}

fn primary(language: &str) -> &str {
    language.split('-').next().unwrap_or(language)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_as_the_language_writes_them() {
        let shown = |minor, code, language| {
            amount(Amount::new(minor).expect("an amount"), Currency::new(code).expect("a currency"), language)
        };
        assert_eq!(shown(123_450, "EUR", "en"), "1,234.50 EUR");
        assert_eq!(shown(123_450, "EUR", "vi"), "1.234,50 EUR");
        assert_eq!(shown(1_250_000, "VND", "vi"), "1.250.000 ₫");
        assert_eq!(shown(1_250_000, "VND", "vi-VN"), "1.250.000 ₫");
        assert_eq!(shown(1_250_000, "VND", "en"), "1,250,000 VND");
        assert_eq!(shown(5, "EUR", "en"), "0.05 EUR");
        assert_eq!(shown(100_000, "EUR", "en"), "1,000.00 EUR");
        assert_eq!(shown(99_999, "EUR", "vi"), "999,99 EUR");
        assert_eq!(shown(123_450, "EUR", "de"), "1234.50 EUR");
    }

    #[test]
    fn instants_are_written_in_the_zone_of_the_shop_with_its_offset() {
        let at = UnixMillis::new(1_795_251_600_000).expect("in range");
        let shown = |zone, language| instant(at, &TimeZone::get(zone).expect("a zone"), language);
        assert_eq!(shown("UTC", "en"), "21 November 2026, 09:00 (UTC)");
        assert_eq!(shown("Asia/Ho_Chi_Minh", "vi"), "16:00 ngày 21/11/2026 (UTC+07)");
        assert_eq!(shown("Asia/Kolkata", "en"), "21 November 2026, 14:30 (UTC+05:30)");
        assert_eq!(shown("America/New_York", "de"), "2026-11-21 04:00 (UTC-05)");
    }
}
