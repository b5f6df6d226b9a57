//! What the randomised tests share: a seeded generator of commands, and a naive second implementation of the rules.

#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]
#![allow(clippy::wildcard_enum_match_arm, reason = "only some commands matter to a helper")]
#![allow(unreachable_pub, missing_docs, reason = "a test's own module")]

mod facts;
pub mod naive;
mod naive_auctions;
mod naive_blind;
mod naive_buyers;
mod naive_draws;
mod naive_endpoints;
mod naive_money;
mod naive_orders;
mod naive_placing;
mod naive_rooms;
mod naive_standby;
mod private_data;
pub mod recording;
pub mod sale;

use std::collections::{BTreeMap, BTreeSet};

use firstcome::engine::{
    AdjustStock, Admitted, AuctionCommand, AuctionSpec, BuyNow, BuyerCommand, CancelAuction, CancelByOperator,
    ChangeDrop, Command, CommandKey, CreateAuction, CreateDrop, DropCommand, DropPatch, DropSpec, EarlyEvent, Effect,
    Event, EventBody, FileCommand, OrderCommand, Outcome, PatchDrop, PaymentCommand, PaymentEvent, PlaceBid,
    PlaceOrder, RecordPayment, RecordProviderEvent, RefundOrder, RemoveTier, SetTier, SettleRefund, State,
};
use firstcome::types::{
    Amount, AuctionId, ChallengeKind, ChallengeRule, Currency, Digest, DigestKey, DropId, IdentityKind, IdentityLimits,
    Increment, Provider, ProviderEventKind, Quantity, Seq, Shard, Tier, UnitPrice, UnixMillis,
};

/// SplitMix64 (Steele, Lea, Flood 2014): small, and the same everywhere.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len() as u64)).expect("small")]
    }
}

/// One run's generator: what it knows of the run so far, to ask for what may be there.
pub struct World {
    pub random: Random,
    digests: DigestKey,
    at: i64,
    orders: Vec<Seq>,
    drops: u32,
    auctions: u32,
    told: u64,
    /// Up to which event it has looked for orders that no command asked for.
    looked: u64,
    /// The buyer whom the last command named, and whose orders blind windows have recorded.
    asked: Option<Digest>,
    recorded: naive_blind::Recorded,
    pub shard: Shard,
}

impl World {
    pub fn new(seed: u64, digests: DigestKey) -> World {
        World {
            random: Random(seed),
            digests,
            at: 1_000_000,
            orders: Vec::new(),
            drops: 0,
            auctions: 0,
            told: 0,
            looked: 0,
            asked: None,
            recorded: naive_blind::Recorded::default(),
            shard: Shard::SINGLE,
        }
    }

    /// Learns from what happened.
    pub fn learn(&mut self, state: &State, outcome: &Outcome) {
        self.recorded.note(self.asked.take(), outcome);
        let mut asked = None;
        if let Outcome::Accepted(Effect::Reserved(reservation)) = outcome {
            asked = Some(reservation.order);
            self.orders.push(reservation.order);
        }
        // What auctions award and what comes of standby no command has asked for, and it is paid, cancelled and refunded
        // as everything else.
        for number in self.looked + 1..=state.seq().get() {
            let seq = Seq::new(number).expect("in range");
            if state.order(seq).is_some() && asked != Some(seq) {
                self.orders.push(seq);
            }
        }
        self.looked = state.seq().get();
        self.drops = u32::try_from(state.drops().count()).expect("few");
        self.auctions = u32::try_from(state.auctions().count()).expect("few");
    }

    /// The shard of the id that the next command names, sometimes another one than that of the state.
    fn named_shard(&mut self) -> Shard {
        let strays = self.shard != Shard::SINGLE && self.random.one_in(30);
        if strays { self.random.pick(&[Shard::SINGLE, Shard::new(self.shard.get() ^ 1)]) } else { self.shard }
    }

    fn digest(&self, kind: &str, n: u64) -> Digest {
        self.digests.params(format!("{kind}{n}").as_bytes())
    }

    /// The next command's instant: often the same, often exactly when something is due, sometimes a day later.
    pub fn instant(&mut self, state: &State) -> UnixMillis {
        if let Some(due) = state.next_due().filter(|_| self.random.one_in(6)) {
            self.at = self.at.max(due.get() - i64::from(self.random.one_in(2)));
        }
        self.at += match self.random.below(20) {
            0..=9 => 0,
            10..=14 => 1,
            15..=17 => self.random.pick(&[999, 1000, 1001, 2000]) as i64,
            18 => 60_000,
            _ if self.random.one_in(4) => 25 * 3_600_000,
            _ => 10_000,
        };
        UnixMillis::new(self.at).expect("in range")
    }

    fn spec(&mut self) -> DropSpec {
        let at = UnixMillis::new(self.at).expect("in range");
        let total = if self.random.one_in(2) { self.random.below(6) } else { self.random.below(1000) };
        let starts_at = at.plus_millis(self.random.pick(&[-5, 0, 1, 1000]));
        let spec = DropSpec {
            sku: "S".into(),
            name: "N".into(),
            description: self.random.one_in(2).then(|| "text".into()),
            image_url: None,
            currency: Currency::new("EUR").expect("a currency"),
            unit_price: UnitPrice::new(self.random.pick(&[0, 1, 1999])).expect("a price"),
            total: u32::try_from(total).expect("small"),
            starts_at,
            ends_at: self.random.one_in(3).then(|| at.plus_millis(self.random.pick(&[1001, 5000, 100_000]))),
            per_buyer_limit: u32::try_from(self.random.pick(&[1, 2, 5, 1000])).expect("small"),
            reservation_seconds: u32::try_from(self.random.pick(&[1, 2, 60])).expect("small"),
            payment_seconds: u32::try_from(self.random.pick(&[1, 3, 60])).expect("small"),
            identity_limits: self.identity_limits(),
            challenge: self.random.pick(&[
                ChallengeRule::default(),
                ChallengeRule { kind: ChallengeKind::ProofOfWork, below: Tier::Premium },
            ]),
            room: None,
            commitment: None,
            blind_ms: 0,
        };
        naive_rooms::add_room(&mut self.random, spec)
    }

    fn identity_limits(&mut self) -> IdentityLimits {
        let mut limits = IdentityLimits::default();
        if self.random.one_in(2) {
            for kind in IdentityKind::ALL {
                limits.set(kind, self.random.one_in(2).then(|| self.random.pick(&[1, 3, 1000])));
            }
        }
        limits
    }

    fn command_key(&mut self) -> CommandKey {
        let (key, params) = (self.random.below(30), self.random.below(2));
        CommandKey { digest: self.digest("key", key), params: self.digest("params", params) }
    }

    /// The next command.
    pub fn command(&mut self, state: &State) -> Command {
        if self.drops == 0 {
            return Command::Drop(DropCommand::Create(CreateDrop {
                key: self.command_key(),
                spec: Box::new(self.spec()),
            }));
        }
        if let Some(command) = naive_rooms::gather(self, state) {
            return command;
        }
        let number = u32::try_from(self.random.below(u64::from(self.drops) + 1)).expect("small") + 1;
        let drop_id = DropId::in_shard(self.named_shard(), number).expect("in range");
        let order = match self.orders.len() {
            0 => Seq::ZERO,
            len => self.orders[usize::try_from(self.random.below(len as u64)).expect("small")],
        };
        let reason = || "because".into();
        match self.random.below(56) {
            0 if self.drops < 6 => {
                Command::Drop(DropCommand::Create(CreateDrop { key: self.command_key(), spec: Box::new(self.spec()) }))
            }
            1 => Command::Drop(DropCommand::Patch(PatchDrop {
                drop_id,
                expected_revision: state
                    .drop_entry(drop_id)
                    .map_or(1, |entry| entry.revision)
                    .saturating_add(u32::from(self.random.one_in(6))),
                patch: Box::new(DropPatch {
                    name: Some("renamed".into()),
                    starts_at: self.random.one_in(3).then(|| UnixMillis::new(self.at + 500).expect("in range")),
                    ends_at: self.random.one_in(4).then(|| UnixMillis::new(self.at + 9000).expect("in range")),
                    per_buyer_limit: self.random.one_in(2).then_some(3),
                    identity_limits: self.random.one_in(4).then(|| self.identity_limits()),
                    challenge: self.random.one_in(4).then_some(ChallengeKind::External),
                    challenge_below: self.random.one_in(4).then_some(Tier::New),
                    room: naive_rooms::patch(&mut self.random, self.at),
                    ..DropPatch::default()
                }),
                reason: reason(),
            })),
            2 => Command::Drop(DropCommand::Pause(ChangeDrop { drop_id, reason: reason() })),
            3 => Command::Drop(DropCommand::Resume(ChangeDrop { drop_id, reason: reason() })),
            4 if self.random.one_in(10) => Command::Drop(DropCommand::Close(ChangeDrop { drop_id, reason: reason() })),
            5 => Command::Drop(DropCommand::AdjustStock(AdjustStock {
                drop_id,
                delta: self.random.pick(&[-1, 1, 5, -2000, i64::from(u32::MAX)]),
                expected_total: state
                    .drop_entry(drop_id)
                    .map_or(0, |entry| entry.spec.total)
                    .saturating_add(u32::from(self.random.one_in(6))),
                reason: reason(),
            })),
            6 => Command::Drop(DropCommand::ReportMismatch { drop_id, stands: self.random.one_in(2) }),
            7..=9 => Command::Order(OrderCommand::Checkout { order }),
            10..=11 => Command::Order(OrderCommand::Cancel { order }),
            12 => Command::Order(OrderCommand::CancelByOperator(CancelByOperator { order, reason: reason() })),
            13..=16 => {
                let mut amount = state.order(order).map_or(Amount::ZERO, |order| order.amount());
                if self.random.one_in(8) {
                    amount = Amount::new(amount.get() + 1).expect("small");
                }
                let code = if self.random.one_in(10) { "USD" } else { "EUR" };
                let currency = Currency::new(code).expect("a currency");
                let reference = format!("ref{}", self.random.below(3)).into();
                Command::Payment(PaymentCommand::Record(RecordPayment {
                    order,
                    reference,
                    amount,
                    currency,
                    reason: reason(),
                }))
            }
            17..=19 => Command::Payment(PaymentCommand::Refund(Box::new(RefundOrder {
                order,
                key: self.command_key(),
                amount: self.random.one_in(2).then(|| Amount::new(1).expect("small")),
                restock_quantity: u16::try_from(self.random.below(2)).expect("small"),
                reason: reason(),
            }))),
            20 => Command::Order(OrderCommand::EraseContact { order }),
            21 => Command::Order(OrderCommand::ReadContact { order }),
            22 if self.random.one_in(2) => Command::Advance,
            22 if self.random.one_in(8) => {
                Command::File(FileCommand::RecordLoss { lost: 1, acknowledged: state.seq().next() })
            }
            22 if self.random.one_in(4) => {
                Command::Payment(PaymentCommand::RecordSession { order, provider: Provider::Stripe })
            }
            22 => Command::Payment(PaymentCommand::SettleRefund(Box::new(SettleRefund {
                order,
                reference: self.random.pick(&["r", "s"]).into(),
                payment: self.random.one_in(3).then(|| format!("ref{order}.{}", self.random.below(3)).into()),
                amount: self.random.one_in(3).then(|| Amount::new(1).expect("small")),
                reason: reason(),
            }))),
            23 if self.random.one_in(2) => {
                let name = self.random.below(6);
                let (buyer, reason) = (self.digests.buyer(&format!("buyer{name}")), reason());
                Command::Buyer(Box::new(if self.random.one_in(3) {
                    BuyerCommand::RemoveTier(RemoveTier { buyer, reason })
                } else {
                    let tier = self.random.pick(&Tier::ALL);
                    let end = state.at().plus_millis(self.random.pick(&[-1, 0, 1, 60_000]));
                    let expires_at = self.random.one_in(2).then_some(end);
                    BuyerCommand::SetTier(SetTier { buyer, tier, expires_at, reason })
                }))
            }
            23 => Command::File(FileCommand::ExportContacts { drop_id: self.random.one_in(2).then_some(drop_id) }),
            42..=47 if naive_rooms::has_room(state, drop_id) => naive_rooms::command(self, state, drop_id),
            31..=40 => self.auctions_command(),
            41 => {
                let (key, params) = (self.random.below(12), self.random.below(2));
                let key = CommandKey { digest: self.digest("endpoint", key), params: self.digest("params", params) };
                let known: Vec<Seq> = state.endpoints().map(|(id, _)| id).collect();
                let command = naive_endpoints::command(&mut self.random, key, &known, state.seq());
                Command::Endpoint(Box::new(command))
            }
            24..=30 => {
                Command::Payment(PaymentCommand::RecordProviderEvent(Box::new(self.provider_event(state, order))))
            }
            _ => {
                let (buyer, key) = (self.random.below(6), self.random.below(50));
                let order = PlaceOrder {
                    drop_id,
                    buyer: self.digests.buyer(&format!("buyer{buyer}")),
                    key: self.digest(&format!("order{drop_id}-{buyer}-"), key),
                    quantity: self.quantity(state, drop_id),
                    contact_given: self.random.one_in(4),
                    facts: self.facts(state, drop_id),
                };
                self.asked = Some(order.buyer);
                match self.random.one_in(3) {
                    true => naive_standby::command(self, drop_id, order),
                    false => Command::Order(OrderCommand::Place(order)),
                }
            }
        }
    }

    fn auction_spec(&mut self) -> AuctionSpec {
        let at = UnixMillis::new(self.at).expect("in range");
        let price = |n: u64| UnitPrice::new(n).expect("a price");
        let increment = |from, step| Increment { from: price(from), step: price(step) };
        let increments = match self.random.below(3) {
            0 => vec![increment(0, 1)],
            1 => vec![increment(0, 5), increment(30, 10)],
            _ => vec![increment(10, 3)],
        };
        let ends_at = at.plus_millis(self.random.pick(&[1000, 5000, 60_000]));
        AuctionSpec {
            sku: "A".into(),
            name: "N".into(),
            currency: Currency::new("EUR").expect("a currency"),
            start_price: price(self.random.pick(&[0, 1, 20])),
            reserve_price: self.random.one_in(3).then(|| price(40)),
            increments: increments.into(),
            buy_now: self.random.one_in(3).then(|| price(60)),
            starts_at: at.plus_millis(self.random.pick(&[-5, 0, 500])),
            ends_at,
            soft_close_seconds: u32::try_from(self.random.pick(&[0, 1, 3])).expect("small"),
            extensions_max: u32::try_from(self.random.below(4)).expect("small"),
            hard_end_at: self.random.one_in(3).then(|| ends_at.plus_millis(1500)),
            payment_seconds: u32::try_from(self.random.pick(&[1, 2, 60])).expect("small"),
            offer_next: !self.random.one_in(4),
            exposure_limit: self.random.one_in(4).then(|| Amount::new(70).expect("small")),
        }
    }

    /// Bids mostly; low ones, high ones, with and without a secret maximum.
    fn auctions_command(&mut self) -> Command {
        if self.auctions == 0 || (self.auctions < 3 && self.random.one_in(20)) {
            return Command::Auction(AuctionCommand::Create(CreateAuction {
                key: self.command_key(),
                spec: Box::new(self.auction_spec()),
            }));
        }
        let number = u32::try_from(self.random.below(u64::from(self.auctions) + 1)).expect("small") + 1;
        let auction_id = AuctionId::in_shard(self.named_shard(), number).expect("in range");
        let buyer = self.random.below(6);
        let buyer = self.digests.buyer(&format!("buyer{buyer}"));
        match self.random.below(24) {
            0 => Command::Auction(AuctionCommand::Cancel(CancelAuction { auction_id, reason: "because".into() })),
            1 => {
                let key = self.random.below(6);
                Command::Auction(AuctionCommand::BuyNow(BuyNow { auction_id, buyer, key: self.digest("buy", key) }))
            }
            2 => Command::Auction(AuctionCommand::Create(CreateAuction {
                key: self.command_key(),
                spec: Box::new(self.auction_spec()),
            })),
            3 if self.random.one_in(4) => Command::Auction(AuctionCommand::EraseContact { auction_id, buyer }),
            _ => {
                let amount = self.random.below(80);
                let maximum = self.random.one_in(2).then(|| amount + self.random.below(20));
                Command::Auction(AuctionCommand::Bid(PlaceBid {
                    auction_id,
                    buyer,
                    amount: UnitPrice::new(amount).expect("a price"),
                    maximum: maximum.map(|maximum| UnitPrice::new(maximum).expect("a price")),
                    key: self.random.one_in(4).then(|| Box::new(self.command_key())),
                }))
            }
        }
    }

    /// What a provider may tell: mostly what is so, sometimes the same again, too much, too late or of another shop.
    fn provider_event(&mut self, state: &State, order: Seq) -> RecordProviderEvent {
        let provider = self.random.pick(&[Provider::Stripe, Provider::Sandbox]);
        let cost = state.order(order).map_or(1999, |order| order.amount().get());
        let amount = match self.random.below(8) {
            0 => 1,
            1 => cost + 1,
            2 => (2 * cost).max(1),
            _ => cost.max(1),
        };
        let code = if self.random.one_in(10) { "USD" } else { "EUR" };
        // Some events come again, later ones first.
        self.told += self.random.below(3);
        let back = self.random.below(3).min(self.told);
        let kind = self.random.pick(&[
            ProviderEventKind::PaymentSucceeded,
            ProviderEventKind::PaymentSucceeded,
            ProviderEventKind::PaymentSucceeded,
            ProviderEventKind::PaymentFailed,
            ProviderEventKind::RefundSucceeded,
            ProviderEventKind::RefundSucceeded,
            ProviderEventKind::RefundFailed,
            ProviderEventKind::ChargebackCreated,
        ]);
        let number = self.told - back;
        let named = |what: &str| self.digests.provider_event(provider, &format!("{what}{number}"));
        let (id, counterpart) = match kind {
            ProviderEventKind::RefundSucceeded => (named("told"), Some(named("failed"))),
            ProviderEventKind::RefundFailed => (named("failed"), Some(named("told"))),
            _ => (named("told"), None),
        };
        RecordProviderEvent {
            provider,
            id,
            order: (!self.random.one_in(20)).then_some(order),
            kind,
            // Names of payments are a provider's own: no two orders share one.
            reference: format!("ref{order}.{}", self.random.below(3)).into(),
            amount: Amount::new(amount).expect("small"),
            currency: Currency::new(code).expect("a currency"),
            counterpart,
        }
    }

    /// 1, the stock, one more, or the largest.
    fn quantity(&mut self, state: &State, drop_id: DropId) -> Quantity {
        let total = state.drop_entry(drop_id).map_or(1, |entry| entry.spec.total);
        let stock = u16::try_from(total).unwrap_or(u16::MAX);
        let units = self.random.pick(&[1, 1, 1, 2, stock, stock.saturating_add(1), u16::MAX]);
        Quantity::new(units.max(1)).expect("not 0")
    }
}

/// How often the randomised tests run what they run: `FIRSTCOME_TEST_SCALE` times, and less in a debug build.
pub fn scaled(release: u64, debug: u64) -> u64 {
    let scale: u64 = std::env::var("FIRSTCOME_TEST_SCALE").ok().and_then(|scale| scale.parse().ok()).unwrap_or(1);
    scale * if cfg!(debug_assertions) { debug } else { release }
}

/// The one seed to replay, if somebody asks for it.
pub fn replayed_seed() -> Option<u64> {
    std::env::var("FIRSTCOME_TEST_SEED").ok().and_then(|seed| seed.parse().ok())
}

/// What a command about a provider's event needs of a simulated file, as the store loads it.
pub fn admit_about(
    command: &Command,
    inbox: &BTreeSet<Digest>,
    early: &BTreeMap<Seq, EarlyEvent>,
    admitted: &mut Admitted,
) {
    let Some(event) = command.named_event() else { return };
    let about = |early: &EarlyEvent| early.is_of(event.provider, &event.reference, event.order);
    admitted.early = early.iter().filter(|(_, early)| about(early)).map(|(seq, e)| (*seq, e.clone())).collect();
    let counterparts = admitted.early.values().filter_map(|early| early.event.counterpart);
    let named = counterparts.chain(event.counterpart).chain([event.id]);
    admitted.heard = named.filter(|event| inbox.contains(event)).collect();
}

/// What a simulated file has of an event, if a refund or a chargeback came before its payment.
pub fn early_of(event: &Event) -> Option<(Seq, EarlyEvent)> {
    let EventBody::Payment(PaymentEvent::ProviderEventDeferred(deferred)) = &event.body else { return None };
    Some((event.seq, EarlyEvent { order: event.order(), event: (**deferred).clone() }))
}
