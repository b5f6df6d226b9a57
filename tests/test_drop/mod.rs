//! The one drop of tests and benches; each changes the fields that it is about.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]
#![allow(unreachable_pub, reason = "a test's own module")]

use firstcome::engine::DropSpec;
use firstcome::types::{ChallengeRule, Currency, IdentityLimits, UnitPrice, UnixMillis};

/// A drop on sale since the first instant, without an end; one unit for each buyer.
pub fn test_drop(total: u32) -> DropSpec {
    DropSpec {
        sku: "S".into(),
        name: "N".into(),
        description: None,
        image_url: None,
        currency: Currency::new("EUR").expect("a currency"),
        unit_price: UnitPrice::new(100).expect("a price"),
        total,
        starts_at: UnixMillis::ZERO,
        ends_at: None,
        per_buyer_limit: 1,
        reservation_seconds: 120,
        payment_seconds: 900,
        identity_limits: IdentityLimits::default(),
        challenge: ChallengeRule::default(),
        room: None,
        commitment: None,
        blind_ms: 0,
    }
}
