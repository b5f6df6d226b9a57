//! Instants as people of a language write them.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::types::UnixMillis;

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
    fn instants_are_written_in_the_zone_of_the_shop_with_its_offset() {
        let at = UnixMillis::new(1_795_251_600_000).expect("in range");
        let shown = |zone, language| instant(at, &TimeZone::get(zone).expect("a zone"), language);
        assert_eq!(shown("UTC", "en"), "21 November 2026, 09:00 (UTC)");
        assert_eq!(shown("Asia/Ho_Chi_Minh", "vi"), "16:00 ngày 21/11/2026 (UTC+07)");
        assert_eq!(shown("Asia/Kolkata", "en"), "21 November 2026, 14:30 (UTC+05:30)");
        assert_eq!(shown("America/New_York", "de"), "2026-11-21 04:00 (UTC-05)");
    }
}
