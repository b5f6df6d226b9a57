//! Properties of all policies for any sequence of requests, against a second model: a budget of time that fills up and is spent.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::super::gcra::Nanos;
use super::{Caller, Door, Exceeded, Random, Tier, at, backend, buyer, door, holder};

const MINUTE: Nanos = 60_000_000_000;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum AskedKind {
    Read,
    Write,
    /// A name in the body, after the charge of the request itself.
    Name,
    /// A name in the body of a request of the shop's back end.
    NameByBackend,
    /// A token that is verified and is not valid.
    InvalidToken,
}

/// A request as a client sends it.
#[derive(Clone, Copy, Debug)]
struct AskedRequest {
    kind: AskedKind,
    address: &'static str,
    buyer: &'static str,
    /// The tier of the buyer's token; none without a token.
    tier: Option<Tier>,
}

/// A policy, and the name of those who share it.
type SharedBudget = (&'static str, &'static str);

impl AskedRequest {
    fn random(random: &mut Random) -> AskedRequest {
        AskedRequest {
            kind: random.pick(&[
                AskedKind::Read,
                AskedKind::Write,
                AskedKind::Name,
                AskedKind::NameByBackend,
                AskedKind::InvalidToken,
            ]),
            address: random.pick(&["192.0.2.1", "2001:db8::1"]),
            buyer: random.pick(&["ann", "bob", "cat", "dan", "eve", "fay"]),
            tier: random.pick(&[None, Some(Tier::New), Some(Tier::Suspected), Some(Tier::Premium)]),
        }
    }

    fn send(&self, door: &Door, now: Instant) -> Result<(), Exceeded> {
        let client = at(door, self.address);
        let caller = self.tier.map_or(Caller::Anonymous, |tier| holder(self.buyer, tier));
        match self.kind {
            AskedKind::Read => door.read(client, &caller, now),
            AskedKind::Write => door.write(client, &caller, now).map(|_| ()),
            AskedKind::Name => door.named_buyer(client, &buyer(self.buyer), now).map(|_| ()),
            AskedKind::NameByBackend => door.named_buyer(backend(door), &buyer(self.buyer), now).map(|_| ()),
            AskedKind::InvalidToken => {
                door.check_tokens_of(client, now)?;
                door.note_invalid_token(client, now);
                Ok(())
            }
        }
    }

    /// Returns the policies of the page's table, and whether the request names a buyer at its address.
    fn needs(&self) -> (Vec<SharedBudget>, bool) {
        let of = |tier| match tier {
            Tier::Suspected => "buyer-suspected",
            Tier::New => "buyer-new",
            Tier::Verified => "buyer-verified",
            Tier::Premium => "buyer-premium",
        };
        let (is_suspect, has_token) = (self.tier == Some(Tier::Suspected), self.tier.is_some());
        match self.kind {
            AskedKind::Read => {
                let mut needs = vec![("global-reads", "")];
                needs.extend(has_token.then_some(("buyer-reads", self.buyer)));
                needs.extend((is_suspect || !has_token).then_some(("address-reads", self.address)));
                (needs, false)
            }
            AskedKind::Write => {
                let mut needs = vec![("global-writes", "")];
                needs.extend(self.tier.map(|tier| (of(tier), self.buyer)));
                needs.extend((is_suspect || !has_token).then_some(("address-writes", self.address)));
                (needs, is_suspect)
            }
            AskedKind::Name => (vec![("buyer-new", self.buyer)], true),
            AskedKind::NameByBackend => (vec![("buyer-new", self.buyer)], false),
            AskedKind::InvalidToken => (vec![("address-invalid-tokens", self.address)], false),
        }
    }
}

/// Returns the budget that a policy draws on: a buyer's writes have one, whatever the buyer's tiers.
fn budget_of((policy, client): SharedBudget) -> SharedBudget {
    let is_of_a_tier = policy.starts_with("buyer-") && policy != "buyer-reads";
    (if is_of_a_tier { "buyer-writes" } else { policy }, client)
}

/// The second model.
struct Model {
    limits: BTreeMap<&'static str, u32>,
    /// The time of the last request of each budget, and what was left of it then.
    budgets: BTreeMap<SharedBudget, (Nanos, Nanos)>,
    /// The time until which a buyer counts as named at an address.
    named_until: BTreeMap<(&'static str, &'static str), Nanos>,
    /// The times of all charges of a budget, and its limit.
    charged: BTreeMap<SharedBudget, (u32, Vec<Nanos>)>,
}

impl Model {
    /// Returns what is left of a budget.
    fn left(&self, need: SharedBudget, now: Nanos) -> Nanos {
        let limit = u64::from(self.limits[need.0]);
        let whole = MINUTE.div_ceil(limit) * limit;
        let (since, budget) = self.budgets.get(&budget_of(need)).copied().unwrap_or((0, whole));
        (budget + (now - since)).min(whole)
    }

    /// Returns the waits of the policies without room; empty if the request passes.
    fn decide(&mut self, request: &AskedRequest, now: Nanos) -> BTreeMap<&'static str, Nanos> {
        let (mut needs, names_buyer) = request.needs();
        let pair = (request.address, request.buyer);
        let is_counted = names_buyer && self.limits["address-buyers"] > 0;
        let until = self.named_until.get(&pair).copied().filter(|until| *until > now);
        let counts = is_counted && until.is_none();
        needs.extend(counts.then_some(("address-buyers", request.address)));
        needs.retain(|(policy, _)| self.limits[policy] > 0);
        let mut waits = BTreeMap::new();
        let mut left = Vec::new();
        for need in needs {
            let limit = self.limits[need.0];
            let price = MINUTE.div_ceil(limit.into());
            let budget = self.left(need, now);
            match budget.checked_sub(price) {
                Some(rest) => left.push((budget_of(need), limit, rest)),
                None => _ = waits.insert(need.0, price - budget),
            }
        }
        if let (Some(longest), Some(until)) = (waits.values().max(), until.filter(|_| is_counted))
            && until <= now + longest
        {
            // The buyer counts again before the wait is over.
            let need = ("address-buyers", request.address);
            let price = MINUTE.div_ceil(self.limits["address-buyers"].into());
            if let Some(wait) = price.checked_sub(self.left(need, now)).filter(|wait| *wait > 0) {
                waits.insert(need.0, wait);
            }
        }
        if waits.is_empty() {
            for (budget, limit, rest) in left {
                self.budgets.insert(budget, (now, rest));
                self.charged.entry(budget).or_insert((limit, Vec::new())).1.push(now);
            }
            if counts {
                self.named_until.insert(pair, now + MINUTE);
            }
        }
        waits
    }
}

/// Limits of a seed, and a door with them. A quarter of the limits is off.
fn door_of(random: &mut Random) -> (Door, Model) {
    let mut limit = || if random.below(4) == 0 { 0 } else { u32::try_from(1 + random.below(30)).expect("small") };
    let writes = limit();
    let limits = BTreeMap::from([
        ("global-reads", 2 * limit()),
        ("global-writes", 4 * limit()),
        ("address-reads", limit()),
        ("address-writes", limit()),
        ("address-buyers", limit().div_ceil(6)),
        ("address-invalid-tokens", limit()),
        ("buyer-reads", limit()),
        ("buyer-suspected", writes),
        ("buyer-new", writes),
        ("buyer-verified", writes),
        ("buyer-premium", writes),
    ]);
    let door = door(|settings| {
        settings.entries_max = 20_000;
        settings.global_reads = limits["global-reads"];
        settings.global_writes = limits["global-writes"];
        settings.address_reads = limits["address-reads"];
        settings.address_writes = limits["address-writes"];
        settings.address_buyers = limits["address-buyers"];
        settings.address_invalid_tokens = limits["address-invalid-tokens"];
        settings.buyer_reads = limits["buyer-reads"];
        settings.tier_writes = [writes; 4];
    });
    let (budgets, named_until, charged) = Default::default();
    (door, Model { limits, budgets, named_until, charged })
}

#[test]
fn under_every_policy_nobody_gets_more_than_limit_and_burst_in_a_minute_and_who_waits_as_told_gets_in_at_that_instant()
{
    let mut refused: BTreeMap<&str, u32> = BTreeMap::new();
    for seed in 1..=60 {
        let mut random = Random(seed);
        let (door, mut model) = door_of(&mut random);
        let began = Instant::now();
        let mut now: Nanos = 1_000_000_000;
        let mut ask = |request: &AskedRequest, now: Nanos| {
            let sent = request.send(&door, began + Duration::from_nanos(now));
            let states = sent.err().map_or(Box::default(), |Exceeded(states)| states);
            let wait = |wait: Duration| u64::try_from(wait.as_nanos()).expect("short");
            let told: BTreeMap<_, _> = states.iter().map(|state| (state.policy, wait(state.wait))).collect();
            assert_eq!(told, model.decide(request, now), "seed {seed}, {request:?} at {now}");
            told
        };
        let mut longest = 20;
        for _ in 0..3_000 {
            // Crowds and quiet times, in turns.
            if random.below(50) == 0 {
                longest = random.pick(&[20, 300, 5_000, 90_000]);
            }
            now += 1_000_000 * random.below(longest) + random.below(1_000);
            let request = AskedRequest::random(&mut random);
            let told = ask(&request, now);
            told.keys().for_each(|policy| *refused.entry(policy).or_default() += 1);
            if let Some(wait) = told.values().max()
                && random.below(3) == 0
            {
                assert!(!ask(&request, now + wait - 1).is_empty(), "seed {seed}, {request:?}: earlier than told");
                now += wait;
                assert!(ask(&request, now).is_empty(), "seed {seed}, {request:?}: refused after {wait} ns");
            }
        }
        for ((policy, client), (limit, times)) in &model.charged {
            for (index, begin) in times.iter().enumerate() {
                let in_window = times[index..].iter().filter(|time| **time - *begin < MINUTE).count();
                let most = 2 * usize::try_from(*limit).expect("small");
                assert!(in_window <= most, "seed {seed}, {policy} of {client:?}: {in_window}");
            }
        }
    }
    for policy in super::super::POLICY_NAMES.iter().filter(|policy| **policy != "buyer-verified") {
        assert!(refused.get(policy).is_some_and(|count| *count > 50), "{policy}: {refused:?}");
    }
}
