//! Warnings of a start about what was made before the payment provider of the settings was chosen: drops that it does not
//! take, and sessions at another provider.

use std::collections::BTreeMap;

use rusqlite::Connection;

use crate::config::Config;
use crate::engine::State;
use crate::payments::accepted_amounts::{NotTaken, check_price};
use crate::read::sessions;
use crate::types::{OrderState, Provider};

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

/// Orders whose sessions are looked at; more are alike.
const LOOKED_AT_MAX: usize = 1000;

/// Warns of orders that can be paid at a provider at which their sessions cannot be closed: its keys are not configured.
pub(super) fn warn_of_open_sessions(
    connection: &Connection,
    state: &State,
    closed_at: &[Provider],
) -> rusqlite::Result<()> {
    let mut open: BTreeMap<&'static str, usize> = BTreeMap::new();
    let awaiting = state.live_orders().filter(|order| order.state == OrderState::AwaitingPayment);
    for order in awaiting.take(LOOKED_AT_MAX) {
        // A signed link has its end in itself.
        let of_order = sessions::provider_of(connection, order.seq)?;
        let outlives_order = |provider: &Provider| matches!(provider, Provider::Stripe | Provider::Payos);
        if let Some(provider) = of_order.filter(outlives_order).filter(|provider| !closed_at.contains(provider)) {
            let count = open.entry(provider.as_str()).or_default();
            *count = count.saturating_add(1);
        }
    }
    for (provider, orders) in open {
        tracing::warn!(
            provider,
            orders,
            "orders have payment sessions at a provider whose keys are not configured: they are not closed when their orders \
             end, and its webhooks are not taken without its secret; configure both until the last of them has ended"
        );
    }
    Ok(())
}
