//! Equality of states: two of them are equal if they decide alike from here on.

use super::State;

impl PartialEq for State {
    /// Returns whether both would decide alike from here on.
    fn eq(&self, other: &State) -> bool {
        let State {
            seq,
            at,
            stopped_until,
            shard,
            drops,
            ended_drops: _,
            auctions,
            awards,
            orders,
            settled,
            identities,
            due,
            order_keys,
            command_keys,
            endpoints,
            operator_tiers,
            heard,
            early,
            known_refunds,
            orders_by_state: _,
        } = self;
        *seq == other.seq
            && *at == other.at
            && *stopped_until == other.stopped_until
            && *shard == other.shard
            && *drops == other.drops
            && *auctions == other.auctions
            && *awards == other.awards
            && *orders == other.orders
            && *settled == other.settled
            && *identities == other.identities
            && *due == other.due
            && *order_keys == other.order_keys
            && *command_keys == other.command_keys
            && *endpoints == other.endpoints
            && *operator_tiers == other.operator_tiers
            && *heard == other.heard
            && *early == other.early
            && *known_refunds == other.known_refunds
    }
}
