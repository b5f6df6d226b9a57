//! The door's part in bot signals: whose requests raise them.

use std::time::{Duration, Instant};

use super::rules::Policy;
use super::{Client, ClientKind, Door, purpose};
use crate::admission::Caller;
use crate::admission::risk::{Risk, SeenWrite};
use crate::types::{BuyerOrigin, BuyerText, DigestKey, DropId, RiskNote, TierSource};

impl Door {
    /// Returns the signals and scores of buyers.
    #[must_use]
    pub fn risk(&self) -> &Risk {
        &self.risk
    }

    /// Notes that a client has read a drop; `None` for a list of drops.
    #[inline(never)] // scripts/instructions.sh counts its instructions by its name
    pub fn note_read(&self, client: Client, caller: &Caller, drop_id: Option<DropId>) {
        match (client.0, caller.buyer()) {
            (ClientKind::Exempt | ClientKind::Backend, _) => {}
            (ClientKind::Address(address), None) => self.risk.note_read_from(address.bits(), drop_id),
            (ClientKind::Address(_), Some(buyer)) => self.risk.note_read_by(buyer, drop_id),
        }
    }

    /// Notes a write of a buyer, before it asks for room, so that its tier is that of the score with this write. A buyer who
    /// becomes suspected has used up the budget with the writes before. Behind the shop's back end neither the address nor the
    /// headers are the buyer's.
    pub fn note_write(&self, client: Client, buyer: &BuyerText, write: &SeenWrite<'_>, now: Instant) {
        if !self.has_signals(client, buyer) {
            return;
        }
        let is_newly_suspected = match client.0 {
            ClientKind::Exempt => false,
            ClientKind::Backend => {
                self.risk.note_write(buyer, &SeenWrite { address: None, headers: None, ..*write }, now)
            }
            ClientKind::Address(address) => {
                self.risk.note_write(buyer, &SeenWrite { address: Some(address.bits()), ..*write }, now)
            }
        };
        if is_newly_suspected {
            self.use_up(buyer, now);
        }
    }

    /// Leaves a buyer no room for a write, unless an operator's tier wins over the score.
    #[cold]
    fn use_up(&self, buyer: &BuyerText, now: Instant) {
        let quota = self.rules.ask(|rules| match self.tier_by(rules, buyer, None, now) {
            (tier, TierSource::Risk) => rules.quota(Policy::Buyer(tier)),
            (_, TierSource::Operator | TierSource::Token | TierSource::Default) => None,
        });
        if let Some(quota) = quota {
            self.table.use_up(self.buyer(buyer).of(purpose::WRITES), quota, self.nanos(now));
        }
    }

    /// Notes a checkout of a buyer, so long after the reservation.
    pub fn note_checkout(&self, client: Client, buyer: &BuyerText, since_reservation: Duration, now: Instant) {
        if self.has_signals(client, buyer) {
            self.risk.note_checkout(buyer, since_reservation, now);
        }
    }

    /// Notes that a buyer failed a challenge, replayed one, or solved it faster than hardware can.
    pub fn note_challenge(&self, client: Client, buyer: &BuyerText, now: Instant) {
        if self.has_signals(client, buyer) {
            self.risk.note_challenge(buyer, now);
        }
    }

    /// Counts an order that has passed, and returns its buyer's score with its signals, for the audit.
    pub fn note_order(&self, client: Client, caller: &Caller, buyer: &BuyerText, now: Instant) -> Option<RiskNote> {
        let tier = self.tier_unless_exempt(client, caller, buyer, now)?;
        self.ordered[tier as usize].increment(1);
        self.risk.of(buyer, now)
    }

    /// Returns the tier of the buyer of an order or a ticket and the mark of the address block; `None` where no limit applies to them.
    #[must_use]
    pub fn origin_of(
        &self,
        client: Client,
        caller: &Caller,
        buyer: &BuyerText,
        (drop_id, digests): (DropId, &DigestKey),
        now: Instant,
    ) -> Option<BuyerOrigin> {
        let tier = self.tier_unless_exempt(client, caller, buyer, now)?;
        // Behind the shop's back end the address is not the buyer's.
        let is_buyers = matches!(client.0, ClientKind::Address(_));
        Some(BuyerOrigin { tier, block: is_buyers.then(|| digests.block(drop_id, client.1)) })
    }

    /// Returns the share of places in use: of clients that have not recovered, and of buyers with signals.
    #[must_use]
    pub fn fill(&self, now: Instant) -> [(&'static str, f64); 2] {
        let share = |(used, places): (u64, u64)| {
            let thousandths = used.saturating_mul(1000).checked_div(places).unwrap_or(0);
            f64::from(u32::try_from(thousandths).unwrap_or(u32::MAX)) / 1000.0
        };
        let limits = self.table.fill(self.nanos(now));
        [("limits", share(limits)), ("risk", share(self.risk.counts(now).entries))]
    }

    /// Returns whether signals of a buyer are collected: neither the client nor the buyer is exempt. The name of an exempt buyer
    /// that nothing proves is worth nothing.
    fn has_signals(&self, client: Client, buyer: &BuyerText) -> bool {
        let is_proven = self.names_are_proven || client.0 == ClientKind::Backend;
        !client.is_exempt()
            && self.risk.is_enabled()
            && !(is_proven && self.rules.ask(|rules| rules.exempts_buyer(buyer.as_str())))
    }
}
