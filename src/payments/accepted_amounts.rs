//! The amounts that each provider takes of each currency: every rule, with its source.
//!
//! - PayOS takes Vietnamese dong only: it shows a VietQR code (payos.vn/docs/api).
//! - Stripe takes amounts from a minimum to a number of digits, and some currencies in steps (docs.stripe.com/currencies,
//!   "Special cases" and "Minimum and maximum charge amounts", and of three decimals "Three-decimal currencies"). Where
//!   a minimum of another settlement currency counts, or a currency has no row here, Stripe itself refuses.
//! - The other providers take every amount: a link's provider has rules of its own, play money and the shop have none.
//!
//! An order that costs nothing is not sent to a provider.

use crate::types::{Amount, Currency, Provider, Quantity, UnitPrice, money};

/// Stripe's rule of a currency, in Stripe's units.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct StripeRule {
    /// Ratio of Stripe's units to minor units of ISO 4217.
    units: (u64, u64),
    /// Amounts are multiples of this.
    step: u64,
    min: u64,
    max: u64,
}

/// Eight digits.
const USUAL: StripeRule = StripeRule { units: (1, 1), step: 1, min: 1, max: 99_999_999 };
/// The last of three decimals must be 0.
const THREE_DECIMALS: StripeRule = StripeRule { step: 10, ..USUAL };
/// No decimals in ISO 4217, two at Stripe (for backward compatibility).
const HUNDREDFOLD: StripeRule = StripeRule { units: (100, 1), ..USUAL };

const fn from(min: u64) -> StripeRule {
    StripeRule { min, ..USUAL }
}

/// The currencies that differ from [`USUAL`].
const STRIPE: &[(&str, StripeRule)] = &[
    ("AED", from(200)),
    ("AUD", from(50)),
    ("BGN", from(100)),
    ("BHD", THREE_DECIMALS),
    ("BRL", from(50)),
    ("CAD", from(50)),
    ("CHF", from(50)),
    ("COP", StripeRule { max: 9_999_999_999_999, ..USUAL }),
    ("CZK", from(1500)),
    ("DKK", from(250)),
    ("EUR", from(50)),
    ("GBP", from(30)),
    ("HKD", from(400)),
    ("HUF", StripeRule { min: 17_500, max: 9_999_999_999_999, ..USUAL }),
    ("IDR", StripeRule { max: 999_999_999_999, ..USUAL }),
    ("INR", StripeRule { min: 50, max: 999_999_999, ..USUAL }),
    ("ISK", HUNDREDFOLD),
    ("JOD", THREE_DECIMALS),
    ("JPY", StripeRule { min: 50, max: 9_999_999_999, ..USUAL }),
    ("KWD", THREE_DECIMALS),
    ("LBP", StripeRule { max: 99_999_999_999_999, ..USUAL }),
    // Two decimals in ISO 4217, none at Stripe.
    ("MGA", StripeRule { units: (1, 100), ..USUAL }),
    ("MXN", from(1000)),
    ("MYR", from(200)),
    ("NOK", from(300)),
    ("NZD", from(50)),
    ("OMR", THREE_DECIMALS),
    ("PLN", from(200)),
    ("RON", from(200)),
    ("SEK", from(300)),
    ("SGD", from(50)),
    ("THB", from(1000)),
    ("TND", THREE_DECIMALS),
    ("UGX", HUNDREDFOLD),
    ("USD", from(50)),
];

/// The only currency of PayOS.
const PAYOS_CURRENCY: &str = "VND";

fn stripe_rule(currency: Currency) -> StripeRule {
    STRIPE.iter().find(|(code, _)| *code == currency.as_str()).map_or(USUAL, |(_, rule)| *rule)
}

/// Converts an amount to Stripe's units; `None` if Stripe has no unit that small.
pub(super) fn to_stripe(amount: Amount, currency: Currency) -> Option<u64> {
    let (theirs, ours) = stripe_rule(currency).units;
    let scaled = amount.get().checked_mul(theirs)?;
    (scaled % ours == 0).then_some(scaled / ours)
}

/// Converts an amount from Stripe's units; `None` if ISO 4217 has no unit that small.
pub(super) fn from_stripe(amount: Amount, currency: Currency) -> Option<Amount> {
    let (theirs, ours) = stripe_rule(currency).units;
    let scaled = amount.get().checked_mul(ours)?;
    if scaled % theirs == 0 { Amount::new(scaled / theirs) } else { None }
}

/// The part of a price that a provider does not take, with a sentence for the operator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NotTaken {
    /// No amount of the currency is taken.
    Currency(String),
    /// Another amount of the currency is taken.
    Amount(String),
}

impl NotTaken {
    #[must_use]
    pub fn sentence(&self) -> &str {
        match self {
            NotTaken::Currency(sentence) | NotTaken::Amount(sentence) => sentence,
        }
    }
}

/// The whole multiples, in minor units, and the bounds in which a provider takes a currency.
struct Taken {
    step: u64,
    min: Amount,
    max: Amount,
}

fn stripe_takes(currency: Currency) -> Taken {
    let StripeRule { units: (theirs, ours), step, min, max } = stripe_rule(currency);
    // Stripe's unit is the larger one, or a part of ours.
    let step = if ours > theirs { ours } else { step.div_ceil(theirs).max(1) };
    let scaled = |amount: u64| amount.saturating_mul(ours) / theirs;
    let amount = |value: u64| Amount::new(value).unwrap_or(Amount::ZERO);
    Taken { step, min: amount(scaled(min).max(step)), max: amount(scaled(max) / step * step) }
}

/// Returns the largest amounts that a provider takes; none if it takes every amount.
#[must_use]
pub fn largest(provider: Option<Provider>) -> Option<fn(Currency) -> Amount> {
    match provider {
        Some(Provider::Stripe) => Some(|currency| stripe_takes(currency).max),
        Some(Provider::Payos | Provider::StandardWebhooks | Provider::Sandbox | Provider::Manual) | None => None,
    }
}

/// Checks that a provider takes a payment of an amount. `None`: the shop takes payments itself.
///
/// # Errors
/// The reason, for the operator.
pub fn check(provider: Option<Provider>, currency: Currency, amount: Amount) -> Result<(), NotTaken> {
    if amount == Amount::ZERO {
        return Ok(());
    }
    match provider {
        Some(Provider::Payos) => payos(currency),
        Some(Provider::Stripe) => {
            let Taken { step, min, max } = stripe_takes(currency);
            let shown = |amount| money::shown(amount, currency);
            let wrong = |words: String| Err(NotTaken::Amount(format!("Stripe takes {words}")));
            if amount < min {
                wrong(format!("no payment below {}", shown(min)))
            } else if amount > max {
                wrong(format!("no payment above {}", shown(max)))
            } else if !amount.get().is_multiple_of(step) {
                wrong(format!("{} in multiples of {step} minor units only", currency.as_str()))
            } else {
                Ok(())
            }
        }
        Some(Provider::StandardWebhooks | Provider::Sandbox | Provider::Manual) | None => Ok(()),
    }
}

fn payos(currency: Currency) -> Result<(), NotTaken> {
    if currency.as_str() == PAYOS_CURRENCY {
        Ok(())
    } else {
        Err(NotTaken::Currency(format!("PayOS takes {PAYOS_CURRENCY} only")))
    }
}

/// Checks that a provider takes the price of one unit.
///
/// # Errors
/// The reason, for the operator.
pub fn check_price(provider: Option<Provider>, currency: Currency, price: UnitPrice) -> Result<(), NotTaken> {
    check(provider, currency, price.times(Quantity::ONE))
}

/// Checks that a provider takes every price that an auction from `lowest` on can have, in which a bid may be any amount.
///
/// # Errors
/// The reason, for the operator.
pub fn check_auction(provider: Option<Provider>, currency: Currency, lowest: UnitPrice) -> Result<(), NotTaken> {
    if provider == Some(Provider::Payos) {
        return payos(currency);
    }
    if provider != Some(Provider::Stripe) {
        return Ok(());
    }
    let Taken { step, .. } = stripe_takes(currency);
    if step > 1 {
        let code = currency.as_str();
        return Err(NotTaken::Currency(format!(
            "Stripe takes {code} in multiples of {step} minor units only, and a bid may be any amount"
        )));
    }
    // Above 0 a bid may be 1.
    let lowest = if lowest == UnitPrice::default() { UnitPrice::new(1).unwrap_or_default() } else { lowest };
    check_price(provider, currency, lowest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn currency(code: &str) -> Currency {
        Currency::new(code).expect("a currency")
    }

    fn told(provider: Provider, code: &str, amount: u64) -> String {
        let result = check(Some(provider), currency(code), Amount::new(amount).expect("an amount"));
        result.err().map_or_else(String::new, |not_taken| not_taken.sentence().to_string())
    }

    #[test]
    fn payos_takes_dong_only_and_stripe_amounts_within_its_bounds_and_steps() {
        use Provider::{Payos, Stripe};
        for (provider, code, amount) in [
            (Payos, "VND", 2000),
            (Payos, "EUR", 0),
            (Stripe, "EUR", 0),
            (Stripe, "EUR", 50),
            (Stripe, "EUR", 99_999_999),
            (Stripe, "KWD", 5120),
            (Stripe, "ISK", 5),
            (Stripe, "ISK", 999_999),
            (Stripe, "UGX", 1),
            (Stripe, "MGA", 500),
            (Stripe, "JPY", 9_999_999_999),
            (Stripe, "XPF", 1),
            (Provider::StandardWebhooks, "EUR", 1),
            (Provider::Sandbox, "KWD", 1),
            (Provider::Manual, "KWD", 1),
        ] {
            assert_eq!(told(provider, code, amount), "", "{provider:?} {code} {amount}");
        }
        for (provider, code, amount, words) in [
            (Payos, "EUR", 5000, "PayOS takes VND only"),
            (Stripe, "EUR", 30, "below 0.50 EUR"),
            (Stripe, "EUR", 100_000_000, "above 999999.99 EUR"),
            (Stripe, "GBP", 29, "below 0.30 GBP"),
            (Stripe, "HUF", 17_499, "below 175.00 HUF"),
            (Stripe, "JPY", 49, "below 50 JPY"),
            (Stripe, "KWD", 5124, "KWD in multiples of 10 minor units only"),
            (Stripe, "BHD", 9, "below 0.010 BHD"),
            (Stripe, "MGA", 550, "MGA in multiples of 100 minor units only"),
            (Stripe, "ISK", 1_000_000, "above 999999 ISK"),
        ] {
            let sentence = told(provider, code, amount);
            assert!(sentence.contains(words), "{provider:?} {code} {amount}: {sentence}");
        }
        assert_eq!(check(None, currency("KWD"), Amount::new(1).expect("an amount")), Ok(()), "by hand");
    }

    #[test]
    fn an_auction_ends_at_an_amount_that_the_provider_takes() {
        let told = |provider, code, lowest| {
            let result = check_auction(Some(provider), currency(code), UnitPrice::new(lowest).expect("a price"));
            result.err().map_or_else(String::new, |not_taken| not_taken.sentence().to_string())
        };
        assert_eq!(told(Provider::Stripe, "EUR", 50), "");
        assert_eq!(told(Provider::Payos, "VND", 0), "");
        assert_eq!(told(Provider::Sandbox, "KWD", 0), "");
        for lowest in [0, 1, 49] {
            assert!(told(Provider::Stripe, "EUR", lowest).contains("below 0.50 EUR"), "{lowest}");
        }
        assert!(told(Provider::Stripe, "KWD", 5000).contains("a bid may be any amount"));
        assert!(told(Provider::Payos, "EUR", 5000).contains("VND only"));
    }

    #[test]
    fn what_is_taken_is_sent_exactly_and_comes_back_as_it_was() {
        let codes = STRIPE.iter().map(|(code, _)| *code).chain(["XPF", "TWD"]);
        for code in codes {
            let Taken { step, min, max } = stripe_takes(currency(code));
            for amount in [min.get(), min.get() + step, max.get()] {
                let amount = Amount::new(amount).expect("an amount");
                assert_eq!(told(Provider::Stripe, code, amount.get()), "", "{code} {amount:?}");
                let sent = to_stripe(amount, currency(code)).expect("representable");
                let back = Amount::new(sent).and_then(|sent| from_stripe(sent, currency(code)));
                assert_eq!(back, Some(amount), "{code}");
            }
        }
        assert!(STRIPE.is_sorted_by(|one, next| one.0 < next.0), "each currency once");
    }
}
