//! Drops of the file that the payment provider of the settings does not take: made before it was configured.

use crate::config::Config;
use crate::engine::State;
use crate::payments::accepted_amounts::{NotTaken, check_price};

/// Drops that are named in the log; more are counted only.
const NAMED_MAX: usize = 10;

/// Warns of drops and auctions that have not ended and whose price no buyer could pay.
pub(super) fn warn(config: &Config, state: &State) {
    let provider = config.payments.provider;
    let mut count = 0usize;
    for entry in state.drops().filter(|entry| !entry.ended) {
        let Err(not_taken) = check_price(provider, entry.spec.currency, entry.spec.unit_price) else { continue };
        // An auction ends at another price than it begins at.
        if entry.auction.is_some() && matches!(not_taken, NotTaken::Amount(_)) {
            continue;
        }
        count = count.saturating_add(1);
        if count <= NAMED_MAX {
            let (reason, auction) = (not_taken.sentence(), entry.auction.map(|auction| auction.get()));
            tracing::warn!(drop = entry.id.get(), auction, reason, "no buyer can pay: change the price, or end it");
        }
    }
    if count > NAMED_MAX {
        tracing::warn!(drops = count, "drops that the payment provider does not take");
    }
}
