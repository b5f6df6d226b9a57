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

/// Orders whose sessions are looked at; more would delay the start.
const LOOKED_AT_MAX: usize = 1000;

/// Warns of orders that can be paid at a provider at which their sessions cannot be closed: its keys are not configured.
pub(super) fn warn_of_open_sessions(
    connection: &Connection,
    state: &State,
    closed_at: &[Provider],
) -> rusqlite::Result<()> {
    let awaiting = state.live_orders().filter(|order| order.state == OrderState::AwaitingPayment);
    let open = count_open(awaiting.map(|order| sessions::provider_of(connection, order.seq)), closed_at)?;
    for (provider, orders) in open.orders {
        let at_least = if open.is_partial { "at least so many " } else { "" };
        tracing::warn!(
            provider,
            orders,
            "{at_least}orders have payment sessions at a provider whose keys are not configured: they are not closed when \
             their orders end, and its webhooks are not taken without its secret; configure both until the last of them \
             has ended"
        );
    }
    Ok(())
}

/// Orders with sessions that stay open, by the provider.
#[derive(Default, PartialEq, Eq, Debug)]
struct OpenSessions {
    orders: BTreeMap<&'static str, usize>,
    /// True if there are orders that were not looked at.
    is_partial: bool,
}

/// Counts orders, each given by the provider of its session, whose sessions no service closes.
fn count_open(
    mut orders: impl Iterator<Item = rusqlite::Result<Option<Provider>>>,
    closed_at: &[Provider],
) -> rusqlite::Result<OpenSessions> {
    let mut open = OpenSessions::default();
    for provider in orders.by_ref().take(LOOKED_AT_MAX) {
        // A signed link has its end in itself.
        let outlives_order = |provider: &Provider| matches!(provider, Provider::Stripe | Provider::Payos);
        if let Some(provider) = provider?.filter(outlives_order).filter(|provider| !closed_at.contains(provider)) {
            let count = open.orders.entry(provider.as_str()).or_default();
            *count = count.saturating_add(1);
        }
    }
    open.is_partial = orders.next().is_some();
    Ok(open)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_of_open_sessions_says_whether_there_may_be_more() {
        let count = |orders: usize, closed_at: &[Provider]| {
            let of = [Some(Provider::Payos), Some(Provider::Stripe), Some(Provider::StandardWebhooks), None];
            count_open((0..orders).map(|order| Ok(of[order % of.len()])), closed_at).expect("counted")
        };
        let expected = |payos, stripe, is_partial| {
            let orders = [("payos", payos), ("stripe", stripe)].into_iter().filter(|(_, orders)| *orders > 0).collect();
            OpenSessions { orders, is_partial }
        };
        assert_eq!(count(999, &[]), expected(250, 250, false));
        assert_eq!(count(1000, &[]), expected(250, 250, false));
        assert_eq!(count(1001, &[]), expected(250, 250, true));
        assert_eq!(count(8, &[Provider::Stripe]), expected(2, 0, false));
        assert_eq!(count(8, &[Provider::Stripe, Provider::Payos]), expected(0, 0, false));
    }
}
