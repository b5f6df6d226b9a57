//! The door: rate limits of clients, asked by both listeners before anything is decided.
//!
//! A request passes if each policy that applies to it has room. All are asked before one is charged, so a refused request
//! costs nothing in the others. Two requests that want the last room at the same instant may both be told that there is room:
//! the charge decides between them, and the loser's other charges are given back.

mod gcra;
mod peers;
mod reads;
mod rules;
mod signals;
mod table;
#[cfg(test)]
mod tests;
mod tiers;
mod tokens;

use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use gcra::{Nanos, Quota};
pub use peers::PeerMemory;
pub use rules::POLICY_NAMES;
use rules::{CurrentRules, Policy, Rules};
use table::{Key, Table, give_back_cell, take_cell};
pub use tiers::TierLookup;

use super::Caller;
use super::address::ClientAddress;
use super::risk::Risk;
use crate::config::{AdmissionSettings, RiskSettings};
use crate::telemetry::{Telemetry, catalogue as metric};
use crate::types::{AddressBlock, BuyerText, PolicyState, Tier};

/// Policies that can apply to one step of a request.
const POLICIES_MAX: usize = 4;

/// The sender of a request, as the limits see it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Client(ClientKind, AddressBlock);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ClientKind {
    /// No limit applies.
    Exempt,
    /// A trusted proxy that calls for itself: the shop's back end. Limits apply to the buyers that it names.
    Backend,
    /// Everybody at one address.
    Address(Key),
}

/// The purposes of keys.
mod purpose {
    pub(super) const READS: u64 = 1;
    pub(super) const WRITES: u64 = 2;
    pub(super) const BUYERS: u64 = 3;
    pub(super) const TOKENS: u64 = 4;
}

/// A policy that applies to a request, and the client's key in the table; none for a policy of all clients.
type Need = (Policy, Option<Key>);

/// The charges of a request.
#[derive(Clone, Copy)]
struct Charge {
    policy: Policy,
    key: Option<Key>,
    quota: Quota,
    arrival: Nanos,
}

/// A request that has passed, with its charges. Of an exempt client it has none.
#[derive(Clone, Copy, Default)]
pub struct Passed {
    charges: [Option<Charge>; POLICIES_MAX],
    now: Nanos,
}

/// The policies without room for a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exceeded(pub Box<[PolicyState]>);

/// The limits, and the state of all clients.
pub struct Door {
    started: Instant,
    loopback_is_client: bool,
    /// Buyers have tokens, so that nobody names a buyer without proof.
    names_are_proven: bool,
    rules: CurrentRules,
    table: Table,
    /// Arrival times of all clients together: reads, writes.
    global: [AtomicU64; 2],
    risk: Risk,
    turned_away: metrics::Counter,
    refused: [metrics::Counter; POLICY_NAMES.len()],
    tiers: [metrics::Counter; Tier::ALL.len()],
    /// Orders that have passed, by tier.
    ordered: [metrics::Counter; Tier::ALL.len()],
    /// Set once the database is open.
    operator_tier: OnceLock<TierLookup>,
}

impl Passed {
    fn charges(&self) -> impl Iterator<Item = &Charge> {
        self.charges.iter().flatten()
    }

    /// Returns whether nothing was charged: no limit applies.
    #[must_use]
    pub fn is_unlimited(&self) -> bool {
        self.charges().next().is_none()
    }

    /// Returns the client's state under each policy that counts requests; the budget of buyers does not.
    pub fn states(&self) -> impl Iterator<Item = PolicyState> {
        self.charges().filter(|charge| charge.policy != Policy::AddressBuyers).map(|charge| {
            let (remaining, wait) = charge.quota.room(charge.arrival, self.now);
            PolicyState { policy: charge.policy.name(), quota: charge.quota.limit, remaining, wait }
        })
    }
}

impl Door {
    /// Returns a door that has seen nobody. Loopback is exempt unless it is told to be a client.
    #[must_use]
    pub fn new(
        settings: &AdmissionSettings,
        risk: &RiskSettings,
        loopback_is_client: bool,
        telemetry: &Telemetry,
    ) -> Door {
        Door {
            started: Instant::now(),
            loopback_is_client,
            names_are_proven: false,
            rules: CurrentRules::new(settings),
            table: Table::new(settings.entries_max),
            global: Default::default(),
            risk: Risk::new(risk, telemetry),
            turned_away: telemetry.counter(&metric::TURNED_AWAY, &[("reason", "rate_limit")]),
            refused: POLICY_NAMES.map(|policy| telemetry.counter(&metric::RATE_LIMITED, &[("policy", policy)])),
            ordered: Tier::ALL.map(|tier| telemetry.counter(&metric::TIER_ORDERS, &[("tier", tier.as_str())])),
            tiers: Tier::ALL.map(|tier| telemetry.counter(&metric::TIER_REQUESTS, &[("tier", tier.as_str())])),
            operator_tier: OnceLock::new(),
        }
    }

    /// Sets whether each buyer's name is proven by a token.
    #[must_use]
    pub fn with_proven_names(self, names_are_proven: bool) -> Door {
        Door { names_are_proven, ..self }
    }

    /// Puts other limits in force. The number of entries stays.
    pub fn replace_rules(&self, settings: &AdmissionSettings) {
        self.rules.replace(settings);
    }

    /// Returns the client at an address. Loopback is exempt as the peer, and never as an address that a proxy forwards: that is
    /// a proxy on the other's machine, with all clients behind it.
    #[must_use]
    pub fn client(&self, address: ClientAddress, is_peer: bool, is_proxy: bool) -> Client {
        let is_local = is_peer && address.is_loopback() && !self.loopback_is_client;
        let kind = if is_local || self.rules.exempts_address(address.get()) {
            ClientKind::Exempt
        } else if is_proxy {
            ClientKind::Backend
        } else {
            ClientKind::Address(self.table.address_key(address.group().bits()))
        };
        Client(kind, address.block())
    }

    /// Returns whether the settings exempt an address, or the buyer whom a token proves.
    #[must_use]
    pub fn exempts(&self, address: ClientAddress, caller: &Caller) -> bool {
        let exempts_buyer = |buyer: &BuyerText| self.rules.ask(|rules| rules.exempts_buyer(buyer.as_str()));
        self.rules.exempts_address(address.get()) || caller.buyer().is_some_and(exempts_buyer)
    }

    /// Lets a write pass, or not, whose buyer is known only from a token, if at all.
    ///
    /// # Errors
    /// The policies that have no room for it.
    pub fn write(&self, client: Client, caller: &Caller, now: Instant) -> Result<Passed, Exceeded> {
        if client.is_exempt() {
            return Ok(Passed::default());
        }
        self.rules.ask(|rules| {
            let mut needs = [None; POLICIES_MAX];
            needs[0] = Some((Policy::GlobalWrites, None));
            let token = caller.token();
            let token = token.map(|(buyer, claimed)| (buyer, self.tier_by(rules, buyer, Some(claimed), now).0));
            let now = self.nanos(now);
            if let Some((buyer, tier)) = token {
                if rules.exempts_buyer(buyer.as_str()) {
                    return Ok(Passed::default());
                }
                needs[1] = Some((Policy::Buyer(tier), Some(self.buyer(buyer).of(purpose::WRITES))));
                self.tiers[tier as usize].increment(1);
            }
            let ClientKind::Address(address) = client.0 else { return self.pass(rules, needs, now) };
            match token {
                Some((buyer, Tier::Suspected)) => {
                    needs[2] = Some((Policy::AddressWrites, Some(address.of(purpose::WRITES))));
                    self.pass_named(rules, needs, (address, self.buyer(buyer)), now)
                }
                Some(_) => self.pass(rules, needs, now),
                None => {
                    needs[2] = Some((Policy::AddressWrites, Some(address.of(purpose::WRITES))));
                    self.pass(rules, needs, now)
                }
            }
        })
    }

    /// Returns whether the address of a write without a token may name a buyer: it has room for another one, or has named them
    /// within the minute. Nothing is charged.
    #[must_use]
    pub fn may_name(&self, client: Client, buyer: &BuyerText, now: Instant) -> bool {
        let ClientKind::Address(address) = client.0 else { return true };
        let (now, pair) = (self.nanos(now), address.with(self.buyer(buyer)));
        let quota = self.rules.ask(|rules| rules.quota(Policy::AddressBuyers));
        quota.is_none_or(|quota| {
            self.table.charged_until(pair, now).is_some()
                || self.table.check(address.of(purpose::BUYERS), quota, now).is_ok()
        })
    }

    /// Lets a write that has passed name a buyer without a token, or not.
    ///
    /// # Errors
    /// The policies that have no room for it.
    pub fn named_buyer(&self, client: Client, buyer: &BuyerText, now: Instant) -> Result<Passed, Exceeded> {
        if client.is_exempt() {
            return Ok(Passed::default());
        }
        self.rules.ask(|rules| {
            let (tier, _) = self.tier_by(rules, buyer, None, now);
            let (now, key) = (self.nanos(now), self.buyer(buyer));
            let mut needs = [None; POLICIES_MAX];
            needs[0] = Some((Policy::Buyer(tier), Some(key.of(purpose::WRITES))));
            match client.0 {
                ClientKind::Address(address) => {
                    self.tiers[tier as usize].increment(1);
                    self.pass_named(rules, needs, (address, key), now)
                }
                // A name alone proves nothing; the shop's back end is believed.
                ClientKind::Backend if rules.exempts_buyer(buyer.as_str()) => Ok(Passed::default()),
                ClientKind::Backend | ClientKind::Exempt => {
                    self.tiers[tier as usize].increment(1);
                    self.pass(rules, needs, now)
                }
            }
        })
    }

    /// Gives back what a request was charged that another policy refused after it, as far as time has not given it back.
    pub fn give_back(&self, passed: &Passed, now: Instant) {
        let now = self.nanos(now);
        passed.charges().for_each(|charge| self.uncharge(charge, now));
    }

    /// Lets a request pass that names a buyer at an address. A buyer counts once a minute among those of the address.
    fn pass_named(
        &self,
        rules: &Rules,
        mut needs: [Option<Need>; POLICIES_MAX],
        (address, buyer): (Key, Key),
        now: Nanos,
    ) -> Result<Passed, Exceeded> {
        let pair = address.with(buyer);
        let (Some(once), Some(quota)) = (Quota::new(1), rules.quota(Policy::AddressBuyers)) else {
            return self.pass(rules, needs, now);
        };
        if let Some(until) = self.table.charged_until(pair, now) {
            let buyers = (address.of(purpose::BUYERS), quota);
            return self.pass(rules, needs, now).map_err(|refused| self.add_buyers(refused, buyers, until, now));
        }
        needs[3] = Some((Policy::AddressBuyers, Some(address.of(purpose::BUYERS))));
        let passed = self.pass(rules, needs, now)?;
        // Without a place for the pair the buyer counts again with the next request.
        let _counted = self.table.take(pair, once, now);
        Ok(passed)
    }

    /// Adds the budget of buyers to the refusal of a buyer who counts again before the wait is over, if it has no room: who waits
    /// as told gets in.
    #[cold]
    fn add_buyers(&self, refused: Exceeded, (key, quota): (Key, Quota), until: Nanos, now: Nanos) -> Exceeded {
        let Exceeded(states) = refused;
        let longest = states.iter().map(|state| state.wait).max().unwrap_or_default();
        let is_over = Duration::from_nanos(until.saturating_sub(now)) <= longest;
        let Some(wait) = self.table.check(key, quota, now).err().filter(|_| is_over) else { return Exceeded(states) };
        let charge = Charge { policy: Policy::AddressBuyers, key: Some(key), quota, arrival: now };
        self.refused[Policy::AddressBuyers.index()].increment(1);
        Exceeded(states.into_iter().chain([exceeded(&charge, wait)]).collect())
    }

    /// Charges all policies, if each has room.
    fn pass(&self, rules: &Rules, needs: [Option<Need>; POLICIES_MAX], now: Nanos) -> Result<Passed, Exceeded> {
        let mut limited = needs.iter().flatten().filter_map(|(policy, key)| {
            rules.quota(*policy).map(|quota| Charge { policy: *policy, key: *key, quota, arrival: 0 })
        });
        let mut passed = Passed { charges: [None; POLICIES_MAX], now };
        for (charge, limited) in passed.charges.iter_mut().zip(limited.by_ref()) {
            *charge = Some(limited);
        }
        // A charge asks for room itself.
        if passed.charges[1].is_some() && passed.charges().any(|charge| self.check(charge, now).is_err()) {
            return Err(self.refuse(&passed));
        }
        for index in 0..POLICIES_MAX {
            let Some(charge) = passed.charges[index] else { break };
            match self.charge(&charge, now) {
                Ok(arrival) => passed.charges[index] = Some(Charge { arrival, ..charge }),
                Err(wait) => {
                    // Another request took the room after it was seen.
                    passed.charges[..index].iter().flatten().for_each(|charge| self.uncharge(charge, now));
                    return Err(self.count(vec![exceeded(&charge, wait)]));
                }
            }
        }
        Ok(passed)
    }

    /// Returns the refusal of a request with all policies that have no room.
    #[cold]
    fn refuse(&self, asked: &Passed) -> Exceeded {
        let without_room = asked.charges().filter_map(|charge| {
            let wait = self.check(charge, asked.now).err()?;
            Some(exceeded(charge, wait))
        });
        self.count(without_room.collect())
    }

    #[cold]
    fn count(&self, exceeded: Vec<PolicyState>) -> Exceeded {
        self.turned_away.increment(1);
        for state in &exceeded {
            if let Some(index) = POLICY_NAMES.iter().position(|name| *name == state.policy) {
                self.refused[index].increment(1);
            }
        }
        Exceeded(exceeded.into())
    }

    fn check(&self, charge: &Charge, now: Nanos) -> Result<(), Nanos> {
        match charge.key {
            Some(key) => self.table.check(key, charge.quota, now),
            None => {
                charge.quota.next(self.global(charge.policy).load(std::sync::atomic::Ordering::SeqCst), now).map(|_| ())
            }
        }
    }

    fn charge(&self, charge: &Charge, now: Nanos) -> Result<Nanos, Nanos> {
        match charge.key {
            Some(key) => self.table.take(key, charge.quota, now),
            None => take_cell(self.global(charge.policy), charge.quota, now),
        }
    }

    fn uncharge(&self, charge: &Charge, now: Nanos) {
        let room = charge.arrival.saturating_sub(now).min(charge.quota.interval);
        match charge.key {
            Some(key) => self.table.give_back(key, room),
            None => give_back_cell(self.global(charge.policy), room),
        }
    }

    fn global(&self, policy: Policy) -> &AtomicU64 {
        &self.global[usize::from(policy == Policy::GlobalWrites)]
    }

    fn buyer(&self, buyer: &BuyerText) -> Key {
        self.table.key(buyer.as_str())
    }

    /// Returns an instant in nanoseconds since the start. The first is not 0, which is before everything.
    fn nanos(&self, now: Instant) -> Nanos {
        let since = now.saturating_duration_since(self.started);
        let seconds = since.as_secs().saturating_mul(1_000_000_000);
        seconds.saturating_add(since.subsec_nanos().into()).saturating_add(1)
    }
}

fn exceeded(charge: &Charge, wait: Nanos) -> PolicyState {
    let wait = Duration::from_nanos(wait);
    PolicyState { policy: charge.policy.name(), quota: charge.quota.limit, remaining: 0, wait }
}

impl Client {
    /// A client without limits.
    pub const EXEMPT: Client = Client(ClientKind::Exempt, AddressBlock(0));

    /// Returns whether it has no limits.
    #[must_use]
    pub const fn is_exempt(self) -> bool {
        matches!(self.0, ClientKind::Exempt)
    }
}
