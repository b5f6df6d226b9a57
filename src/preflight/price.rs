//! Check that the payment provider of the settings takes the drop's price.

use serde_json::Value;

use super::finding::Finding;
use crate::config::Config;
use crate::payments::accepted_amounts::check;
use crate::types::{Currency, Provider, Quantity, UnitPrice, money};

const CHECK: &str = "price";

/// Checks the smallest order, of one unit, and the largest, of a buyer's limit.
pub fn price(drop: &Value, config: &Config) -> Finding {
    let number = |name: &str| drop[name].as_u64().unwrap_or(0);
    let price = UnitPrice::new(number("unit_price"));
    let (Some(currency), Some(price)) = (drop["currency"].as_str().and_then(Currency::new), price) else {
        return Finding::warn(CHECK, "the response has no price", "check that this is a firstcome server");
    };
    let units = number("per_buyer_limit").min(number("total")).clamp(1, u64::from(u16::MAX));
    let most = u16::try_from(units).ok().and_then(Quantity::new).unwrap_or(Quantity::ONE);
    let provider = config.payments.provider;
    let (one, all) = (price.times(Quantity::ONE), price.times(most));
    let by = provider.map_or("the shop itself", Provider::as_str);
    if let Err(not_taken) = check(provider, currency, one) {
        let found = format!("{}: {}", money::shown(one, currency), not_taken.sentence());
        return Finding::fail(CHECK, found, "create a drop that the provider takes, or record payments by hand");
    }
    if let Err(not_taken) = check(provider, currency, all) {
        let found = format!("{} for {} units: {}", money::shown(all, currency), most.get(), not_taken.sentence());
        return Finding::warn(CHECK, found, "lower per_buyer_limit: PATCH /v1/drops/{id}");
    }
    Finding::pass(CHECK, format!("{}, paid through {by}", money::shown(one, currency)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn a_drop_that_the_provider_does_not_take_fails_and_an_order_of_too_much_warns() {
        let of = |provider, currency: &str, price: u64, limit: u32| {
            let mut config = Config::defaults();
            config.payments.provider = provider;
            let drop = json!({ "currency": currency, "unit_price": price, "per_buyer_limit": limit, "total": 50 });
            super::price(&drop, &config)
        };
        assert_eq!(of(None, "KWD", 1, 1).verdict, Verdict::Pass);
        assert_eq!(of(Some(Provider::Stripe), "EUR", 0, 1).verdict, Verdict::Pass);
        let cheap = of(Some(Provider::Stripe), "EUR", 30, 1);
        assert!(cheap.verdict == Verdict::Fail && cheap.found.contains("0.30 EUR: Stripe takes"), "{cheap:?}");
        assert_eq!(of(Some(Provider::Payos), "EUR", 5000, 1).verdict, Verdict::Fail);
        let much = of(Some(Provider::Stripe), "EUR", 50_000_000, 9);
        assert!(much.verdict == Verdict::Warn && much.found.contains("for 9 units"), "{much:?}");
        assert_eq!(super::price(&json!({}), &Config::defaults()).verdict, Verdict::Warn);
    }
}
