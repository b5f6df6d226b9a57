//! Formats and reads amounts of money for people.

use super::{Amount, Currency};

/// Returns an amount with its currency, in major units: `149.00 EUR`, `14900 JPY`.
#[must_use]
pub fn shown(amount: Amount, currency: Currency) -> String {
    let digits = digits_of(currency);
    let mut text = format!("{:0>width$}", amount.get(), width = digits.saturating_add(1));
    if digits > 0 {
        text.insert(text.len().saturating_sub(digits), '.');
    }
    format!("{text} {}", currency.as_str())
}

/// Returns an amount with its currency as a language writes it: `1,234.50 EUR` in English, `1.234,50 EUR` and `1.250.000 ₫` in
/// Vietnamese; in other languages without separators of thousands, which is read the same everywhere.
#[must_use]
pub fn written(amount: Amount, currency: Currency, language: &str) -> String {
    let plain = shown(amount, currency);
    let Some((_, point)) = separators(language) else { return plain };
    let (number, code) = plain.split_once(' ').unwrap_or((&plain, ""));
    let (whole, part) = number.split_once('.').map_or((number, None), |(whole, part)| (whole, Some(part)));
    let mut text = grouped(whole, language);
    if let Some(part) = part {
        text.push(point);
        text.push_str(part);
    }
    let unit = if code == "VND" && primary(language) == "vi" { "₫" } else { code };
    format!("{text} {unit}")
}

/// Returns the digits of a whole number in groups of three, as a language writes them.
#[must_use]
pub fn grouped(digits: &str, language: &str) -> String {
    let Some((group, _)) = separators(language) else { return digits.into() };
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len().saturating_sub(at)).is_multiple_of(3) {
            text.push(group);
        }
        text.push(digit);
    }
    text
}

/// The separator of thousands and the sign before the fraction.
fn separators(language: &str) -> Option<(char, char)> {
    match primary(language) {
        "en" => Some((',', '.')),
        "vi" => Some(('.', ',')),
        _ => None,
    }
}

fn primary(language: &str) -> &str {
    language.split('-').next().unwrap_or(language)
}

/// Returns the number of digits after the point. Nearly all currencies have two; the few without a defined number (gold,
/// testing) are shown with two.
#[must_use]
pub fn digits_of(currency: Currency) -> usize {
    let known = iso_currency::Currency::from_code(currency.as_str());
    known.and_then(|known| known.exponent()).map_or(2, usize::from)
}

/// Reads an amount in major units of a currency, such as `49.90`; an amount with more digits than the currency has is an
/// error, never rounded.
///
/// # Errors
/// A description of the allowed texts.
pub fn parse(text: &str, currency: Currency) -> Result<Amount, String> {
    let digits = digits_of(currency);
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let has_digits_only = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let is_written_well = !whole.is_empty() && has_digits_only(whole) && has_digits_only(fraction);
    let minor = format!("{whole}{fraction:0<digits$}").parse().ok().and_then(Amount::new);
    let is_exact = fraction.len() <= digits && !text.ends_with('.');
    minor.filter(|_| is_written_well && is_exact).ok_or_else(|| {
        let example = if digits == 0 { "49".into() } else { format!("49.{:0<digits$}", 9) };
        format!(
            "must be an amount in {} such as {example}, with at most {digits} digits after the point",
            currency.as_str()
        )
    })
}

/// Reads an amount as a person types it: the last point or comma is that of the fraction if no more digits follow than the
/// currency has; any other one separates groups of three. One sign before three digits is refused where the currency has fewer
/// digits, but some: `151.005` may be 151 thousand or a slip. Scripts read amounts alike (`web/app/shared/words.ts`).
#[must_use]
pub fn typed(text: &str, currency: Currency) -> Option<Amount> {
    let digits = digits_of(currency);
    let text: String = text.chars().filter(|c| !c.is_whitespace() && !matches!(c, '\'' | '’')).collect();
    let signs: Vec<char> = text.chars().filter(|c| matches!(c, '.' | ',')).collect();
    let (whole, fraction, of_groups) = match text.rsplit_once(['.', ',']) {
        Some((whole, fraction)) if fraction.len() <= digits => (whole, fraction, &signs[..signs.len() - 1]),
        Some(_) if digits == 0 || signs.len() > 1 => (text.as_str(), "", &signs[..]),
        Some(_) => return None,
        None => (text.as_str(), "", &signs[..]),
    };
    let is_of_one_sign = of_groups.iter().all(|sign| *sign == signs[0]);
    let is_unlike_fraction = of_groups.len() == signs.len() || !of_groups.contains(&signs[signs.len() - 1]);
    let groups: Vec<&str> = whole.split(['.', ',']).collect();
    let is_grouped_well = match groups.as_slice() {
        [one] => !one.is_empty(),
        [first, rest @ ..] => (1..=3).contains(&first.len()) && rest.iter().all(|group| group.len() == 3),
        [] => false,
    };
    let has_digits_only = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let is_written_well = is_of_one_sign && is_unlike_fraction && is_grouped_well && has_digits_only(fraction);
    if !is_written_well || !groups.iter().all(|group| has_digits_only(group)) {
        return None;
    }
    format!("{}{fraction:0<digits$}", groups.concat()).parse().ok().and_then(Amount::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_in_major_units_and_never_rounded() {
        let read = |text, code| parse(text, Currency::new(code).expect("a currency")).map(Amount::get).ok();
        for (text, code, minor) in [
            ("49.90", "EUR", 4990),
            ("49.9", "EUR", 4990),
            ("49", "EUR", 4900),
            ("0", "EUR", 0),
            ("0.05", "EUR", 5),
            ("49900", "JPY", 49_900),
            ("1.5", "BHD", 1500),
            ("90071992547409.91", "EUR", crate::types::JSON_INTEGER_MAX),
        ] {
            assert_eq!(read(text, code), Some(minor), "{text} {code}");
        }
        for (text, code) in [
            ("", "EUR"),
            (".", "EUR"),
            (".5", "EUR"),
            ("5.", "EUR"),
            ("49,90", "EUR"),
            ("49.999", "EUR"),
            ("-1", "EUR"),
            ("+1", "EUR"),
            ("1 000", "EUR"),
            ("1e3", "EUR"),
            ("49.5", "JPY"),
            ("90071992547409.92", "EUR"),
            ("99999999999999999999", "EUR"),
        ] {
            assert_eq!(read(text, code), None, "{text} {code}");
        }
    }

    #[test]
    fn amounts_are_written_as_the_language_writes_them() {
        let shown = |minor, code, language| {
            written(Amount::new(minor).expect("an amount"), Currency::new(code).expect("a currency"), language)
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
        assert_eq!(shown(100_000_000_000, "KWD", "vi"), "100.000.000,000 KWD");
        assert_eq!(shown(100_000_000_000, "JPY", "en"), "100,000,000,000 JPY");
    }

    #[test]
    fn amounts_are_read_as_people_of_many_countries_type_them() {
        let read = |text, code| typed(text, Currency::new(code).expect("a currency")).map(Amount::get);
        for (text, code, minor) in [
            ("49.90", "EUR", 4990),
            ("49,9", "EUR", 4990),
            ("1.250,00", "EUR", 125_000),
            ("1,250.00", "EUR", 125_000),
            ("1,250,000", "EUR", 125_000_000),
            ("1.250", "JPY", 1250),
            (" 1 250,5 ", "EUR", 125_050),
            ("1’250.50", "CHF", 125_050),
            ("1.250.000", "VND", 1_250_000),
            ("100", "VND", 100),
            ("1.5", "BHD", 1500),
            ("1.250", "BHD", 1250),
        ] {
            assert_eq!(read(text, code), Some(minor), "{text} {code}");
        }
        for (text, code) in [
            ("", "EUR"),
            (".", "EUR"),
            ("-1", "EUR"),
            ("1e3", "EUR"),
            ("1,250", "EUR"),
            ("151.005", "EUR"),
            ("1.250,005", "EUR"),
            ("1,250,5", "EUR"),
            ("1,250,000", "BHD"),
            ("1.2345", "EUR"),
            ("12,34,567", "EUR"),
            ("1.5", "JPY"),
            ("99999999999999999999", "EUR"),
        ] {
            assert_eq!(read(text, code), None, "{text} {code}");
        }
    }

    #[test]
    fn amounts_have_the_digits_of_their_currency() {
        let shown =
            |amount, code| shown(Amount::new(amount).expect("an amount"), Currency::new(code).expect("a currency"));
        assert_eq!(shown(14_900, "EUR"), "149.00 EUR");
        assert_eq!(shown(5, "EUR"), "0.05 EUR");
        assert_eq!(shown(0, "EUR"), "0.00 EUR");
        assert_eq!(shown(14_900, "JPY"), "14900 JPY");
        assert_eq!(shown(1_500, "BHD"), "1.500 BHD");
        assert_eq!(shown(crate::types::JSON_INTEGER_MAX, "EUR"), "90071992547409.91 EUR");
    }
}
