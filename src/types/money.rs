//! Formats amounts of money for people.

use super::{Amount, Currency};

/// Returns an amount with its currency, in major units: `149.00 EUR`, `14900 JPY`.
#[must_use]
pub fn shown(amount: Amount, currency: Currency) -> String {
    let known = iso_currency::Currency::from_code(currency.as_str());
    // Nearly all currencies have two digits; the few without a defined number (gold, testing) are shown with two.
    let digits = known.and_then(|known| known.exponent()).map_or(2, usize::from);
    let mut text = format!("{:0>width$}", amount.get(), width = digits.saturating_add(1));
    if digits > 0 {
        text.insert(text.len().saturating_sub(digits), '.');
    }
    format!("{text} {}", currency.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

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
