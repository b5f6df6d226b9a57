//! The language of the tables: one command per line, at an instant, with what must come of it.
//!
//! `check` is the only place that touches the engine. Orders are numbered O1, O2, ... as they come; instants are ms.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]
#![allow(unreachable_pub, reason = "a test's own module")]

use std::collections::BTreeMap;

use firstcome::engine::{
    AdjustStock, AuctionCommand, AuctionSpec, BuyNow, CancelAuction, CancelByOperator, ChangeDrop, Command, CommandKey,
    CreateAuction, CreateDrop, DropCommand, DropPatch, DropSpec, Effect, Event, EventBody, FileCommand, Invalid,
    OrderCommand, OrderEvent, Outcome, PatchDrop, Payment, PaymentCommand, PlaceBid, PlaceOrder, RecordPayment,
    RecordProviderEvent, RefundOrder, Refusal, SettleRefund, SoldOut, State, Subject, invariants,
};
use firstcome::types::{
    Amount, AuctionId, AuctionState, ChallengeRule, Currency, Digest, DigestKey, Disposition, DropId, IdentityKind,
    IdentityLimits, Increment, OrderFacts, Provider, ProviderEventKind, Quantity, Seq, UnitPrice, UnixMillis,
};

struct Table {
    state: State,
    digests: DigestKey,
    orders: Vec<Seq>,
}

/// The words of one line: a verb, a subject, and `name=value`.
struct Line<'a> {
    verb: &'a str,
    subject: &'a str,
    values: BTreeMap<&'a str, &'a str>,
}

impl<'a> Line<'a> {
    fn parse(text: &'a str) -> Line<'a> {
        let mut words = text.split_whitespace();
        let verb = words.next().expect("a verb");
        let mut line = Line { verb, subject: "", values: BTreeMap::new() };
        for word in words {
            match word.split_once('=') {
                Some((name, value)) => drop(line.values.insert(name, value)),
                None => line.subject = word,
            }
        }
        line
    }
    fn text(&self, name: &str, or: &'a str) -> &'a str {
        self.values.get(name).copied().unwrap_or(or)
    }
    fn number<T: std::str::FromStr>(&self, name: &str, or: T) -> T {
        self.values.get(name).map_or(or, |value| value.parse().ok().expect("a number"))
    }
    fn maybe<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.values.get(name).map(|value| value.parse().ok().expect("a number"))
    }
}

fn at(ms: i64) -> UnixMillis {
    UnixMillis::new(ms).expect("in range")
}

impl Table {
    fn drop_id(&self, line: &Line<'_>) -> DropId {
        DropId::new(line.subject.trim_start_matches('D').parse().expect("a drop")).expect("not 0")
    }
    fn auction_id(&self, line: &Line<'_>) -> AuctionId {
        AuctionId::new(line.subject.trim_start_matches('A').parse().expect("an auction")).expect("not 0")
    }
    /// The letter of a buyer.
    fn letter(&self, buyer: Digest) -> char {
        ('A'..='Z').find(|letter| self.digest(&letter.to_string()) == buyer).expect("a letter")
    }
    fn order(&self, line: &Line<'_>) -> Seq {
        let index: usize = line.subject.trim_start_matches('O').parse().expect("an order");
        self.orders.get(index - 1).copied().unwrap_or(Seq::MAX)
    }
    fn digest(&self, text: &str) -> Digest {
        self.digests.params(text.as_bytes())
    }
    fn key(&self, line: &Line<'_>, params: &str) -> CommandKey {
        CommandKey { digest: self.digest(line.text("key", line.verb)), params: self.digest(params) }
    }

    fn facts(&self, line: &Line<'_>) -> Option<Box<OrderFacts>> {
        let mut facts = OrderFacts::default();
        for kind in IdentityKind::ALL {
            let text = line.maybe::<String>(kind.as_str());
            facts.identities.set(kind, text.map(|text| self.digest(&format!("{} {text}", kind.as_str()))));
        }
        facts.boxed()
    }

    /// Orders come of auctions and of standby, too.
    fn note_awards(&mut self, events: &[Event]) {
        for event in events {
            let is_granted = matches!(event.body, EventBody::Order(OrderEvent::Granted(_)));
            if is_granted || event.body.name() == "auction_awarded" {
                self.orders.push(event.seq);
            }
        }
    }

    fn command(&self, line: &Line<'_>) -> Command {
        let reason: Box<str> = "because".into();
        match line.verb {
            "create" => Command::Drop(DropCommand::Create(CreateDrop {
                key: self.key(line, &format!("{:?}", line.values)),
                spec: Box::new(DropSpec {
                    sku: "S".into(),
                    name: "N".into(),
                    description: None,
                    image_url: None,
                    currency: Currency::new("EUR").expect("a currency"),
                    unit_price: UnitPrice::new(line.number("price", 100)).expect("a price"),
                    total: line.number("total", 5),
                    starts_at: at(line.number("starts", 0)),
                    ends_at: line.maybe("ends").map(at),
                    per_buyer_limit: line.number("limit", 1),
                    reservation_seconds: line.number("reserve", 120),
                    payment_seconds: line.number("pay", 900),
                    identity_limits: caps(line).unwrap_or_default(),
                    challenge: ChallengeRule::default(),
                    room: None,
                    commitment: None,
                    blind_ms: 0,
                }),
            })),
            "patch" => Command::Drop(DropCommand::Patch(PatchDrop {
                drop_id: self.drop_id(line),
                expected_revision: line.number("rev", 1),
                patch: Box::new(DropPatch {
                    unit_price: line.maybe("price").map(|price| UnitPrice::new(price).expect("a price")),
                    starts_at: line.maybe("starts").map(at),
                    ends_at: line.maybe("ends").map(at),
                    per_buyer_limit: line.maybe("limit"),
                    reservation_seconds: line.maybe("reserve"),
                    identity_limits: caps(line),
                    ..DropPatch::default()
                }),
                reason,
            })),
            "pause" => Command::Drop(DropCommand::Pause(ChangeDrop { drop_id: self.drop_id(line), reason })),
            "resume" => Command::Drop(DropCommand::Resume(ChangeDrop { drop_id: self.drop_id(line), reason })),
            "close" => Command::Drop(DropCommand::Close(ChangeDrop { drop_id: self.drop_id(line), reason })),
            "stock" => Command::Drop(DropCommand::AdjustStock(AdjustStock {
                drop_id: self.drop_id(line),
                delta: line.number("delta", 1),
                expected_total: line.number("total", 5),
                reason,
            })),
            "mismatch" => Command::Drop(DropCommand::ReportMismatch {
                drop_id: self.drop_id(line),
                stands: line.number("stands", true),
            }),
            "order" | "standby" | "orstand" => {
                let (buyer, drop_id) = (line.text("buyer", "A"), self.drop_id(line));
                let key = format!("{drop_id} {buyer} {}", line.text("key", "k"));
                let place = match line.verb {
                    "standby" => OrderCommand::JoinStandby,
                    "orstand" => OrderCommand::PlaceOrStandBy,
                    _ => OrderCommand::Place,
                };
                Command::Order(place(PlaceOrder {
                    drop_id,
                    buyer: self.digest(buyer),
                    key: self.digest(&key),
                    quantity: Quantity::new(line.number("qty", 1)).expect("not 0"),
                    contact_given: line.number("contact", false),
                    facts: self.facts(line),
                }))
            }
            "find" => Command::Order(OrderCommand::FindStandby {
                drop_id: self.drop_id(line),
                buyer: self.digest(line.text("buyer", "A")),
            }),
            "leave" => Command::Order(OrderCommand::LeaveStandby {
                drop_id: self.drop_id(line),
                buyer: self.digest(line.text("buyer", "A")),
            }),
            "auction" => Command::Auction(AuctionCommand::Create(CreateAuction {
                key: self.key(line, &format!("{:?}", line.values)),
                spec: auction(line),
            })),
            "bid" => Command::Auction(AuctionCommand::Bid(PlaceBid {
                auction_id: self.auction_id(line),
                buyer: self.digest(line.text("buyer", "A")),
                amount: price(line.number("amount", 100)),
                maximum: line.maybe("max").map(price),
                key: line.maybe::<String>("key").map(|_| Box::new(self.key(line, &format!("{:?}", line.values)))),
            })),
            "buy" => {
                let (auction_id, buyer) = (self.auction_id(line), line.text("buyer", "A"));
                let key = self.digest(&format!("{auction_id} {buyer} {}", line.text("key", "k")));
                Command::Auction(AuctionCommand::BuyNow(BuyNow { auction_id, buyer: self.digest(buyer), key }))
            }
            "cancel_auction" => {
                Command::Auction(AuctionCommand::Cancel(CancelAuction { auction_id: self.auction_id(line), reason }))
            }
            "stopped" => Command::File(FileCommand::RecordStop {
                until: UnixMillis::new(line.number("until", 0)).expect("an instant"),
            }),
            "checkout" => Command::Order(OrderCommand::Checkout { order: self.order(line) }),
            "cancel" => Command::Order(OrderCommand::Cancel { order: self.order(line) }),
            "withdraw" => {
                Command::Order(OrderCommand::CancelByOperator(CancelByOperator { order: self.order(line), reason }))
            }
            "paid" => Command::Payment(PaymentCommand::Record(RecordPayment {
                order: self.order(line),
                reference: line.text("ref", "R1").into(),
                amount: Amount::new(line.number("amount", 100)).expect("an amount"),
                currency: Currency::new(line.text("currency", "EUR")).expect("a currency"),
                reason,
            })),
            "refund" => Command::Payment(PaymentCommand::Refund(Box::new(RefundOrder {
                order: self.order(line),
                key: self.key(line, &format!("{:?}", line.values)),
                amount: line.maybe("amount").map(|amount| Amount::new(amount).expect("an amount")),
                restock_quantity: line.number("restock", 0),
                reason,
            }))),
            "hear" => Command::Payment(PaymentCommand::RecordProviderEvent(Box::new(RecordProviderEvent {
                provider: Provider::from_path(line.text("by", "stripe")).expect("a provider"),
                id: self.digest(line.text("id", "?")),
                order: (!line.subject.is_empty()).then(|| self.order(line)),
                kind: ProviderEventKind::from_word(line.text("type", "payment.succeeded")).expect("a kind"),
                reference: line.text("ref", "P1").into(),
                amount: Amount::new(line.number("amount", 100)).expect("an amount"),
                currency: Currency::new(line.text("currency", "EUR")).expect("a currency"),
                counterpart: line.maybe::<String>("opposite").map(|id| self.digest(&id)),
            }))),
            "session" => {
                Command::Payment(PaymentCommand::RecordSession { order: self.order(line), provider: Provider::Stripe })
            }
            "settle" => Command::Payment(PaymentCommand::SettleRefund(Box::new(SettleRefund {
                order: self.order(line),
                reference: line.text("ref", "R").into(),
                payment: line.maybe::<String>("of").map(Into::into),
                amount: line.maybe("amount").map(|amount| Amount::new(amount).expect("an amount")),
                reason,
            }))),
            "advance" => Command::Advance,
            other => panic!("no verb: {other}"),
        }
    }

    fn name(&self, subject: Subject) -> String {
        match subject {
            Subject::Drop(id) => format!("D{id}"),
            Subject::Order(seq) => {
                let known = self.orders.iter().position(|order| *order == seq);
                format!("O{}", known.map_or(0, |index| index + 1))
            }
            Subject::Auction(id) => format!("A{id}"),
            Subject::Bid(id, seq) => format!("A{id}.{seq}"),
            Subject::File => "file".into(),
            Subject::Endpoint(id) => format!("endpoint {id}"),
            Subject::LineEntry(_) => "left".into(),
        }
    }

    fn words(&mut self, outcome: &Outcome) -> String {
        match outcome {
            Outcome::Accepted(Effect::Reserved(reservation)) => {
                self.orders.push(reservation.order);
                format!("{} O{} until={}", reservation.state.as_str(), self.orders.len(), reservation.expires_at.get())
            }
            Outcome::Accepted(Effect::Changed { subject, .. }) => format!("ok {}", self.name(*subject)),
            Outcome::Repeated { subject, .. } => format!("repeated {}", self.name(*subject)),
            Outcome::Refused { refusal, .. } => refusal_words(refusal),
            Outcome::Accepted(Effect::Bid(receipt)) => {
                let again = if receipt.repeated { "again " } else { "" };
                let place = if receipt.leading { "leads" } else { "beaten" };
                let (current, next) = (receipt.current.get(), receipt.minimum_next.get());
                format!("{again}{place} at={current} next={next} until={}", receipt.ends_at.get())
            }
            Outcome::Accepted(Effect::ProviderEventRecorded { disposition: Disposition::Applied, .. }) => {
                "applied".into()
            }
            Outcome::Accepted(Effect::ProviderEventRecorded { disposition: Disposition::Ignored(because), .. }) => {
                format!("ignored {}", because.as_str())
            }
            Outcome::Accepted(Effect::Ticket(receipt)) => {
                let position = receipt.position.map_or("none".into(), |position| position.to_string());
                format!("ticket {} position={position}", receipt.number)
            }
            Outcome::Accepted(Effect::Standby(receipt)) => {
                let again = if receipt.repeated { "still " } else { "" };
                format!("{again}waits {}/{} qty={}", receipt.position, receipt.standby, receipt.quantity.get())
            }
            Outcome::Accepted(Effect::Recorded(receipt)) => {
                let again = if receipt.repeated { "still " } else { "" };
                format!("{again}recorded {} qty={}", receipt.ticket, receipt.quantity.get())
            }
            Outcome::Advanced => "ok".into(),
        }
    }

    fn show(&self, line: &Line<'_>) -> String {
        if line.verb == "line" {
            let drop = self.state.drop_entry(self.drop_id(line)).expect("there");
            let Some(standby) = drop.standby() else { return "-".into() };
            let entries = standby
                .entries()
                .map(|(_, waiting)| format!("{}{}", self.letter(waiting.buyer), waiting.quantity.get()));
            let entries: Vec<_> = entries.collect();
            return if entries.is_empty() { "-".into() } else { entries.join(" ") };
        }
        if line.subject.starts_with('D') {
            let drop = self.state.drop_entry(self.drop_id(line)).expect("there");
            let (state, total, rev) = (drop.state().as_str(), drop.spec.total, drop.revision);
            return format!("{state} total={total} held={} sold={} rev={rev}", drop.held, drop.sold);
        }
        if line.subject.starts_with('A') {
            let auction = self.state.auction(self.auction_id(line)).expect("there");
            let state = match auction.state {
                AuctionState::Ended(ending) => ending.as_str(),
                state @ (AuctionState::Scheduled | AuctionState::Live | AuctionState::Cancelled) => state.as_str(),
            };
            let leader = auction.leader.map_or('-', |leader| self.letter(leader.buyer));
            let (current, until) = (auction.current.map_or(0, UnitPrice::get), auction.ends_at.get());
            return format!("{state} leader={leader} at={current} bids={} until={until}", auction.bids);
        }
        let order = self.state.order(self.order(line)).expect("in memory");
        if line.verb == "whose" {
            return self.letter(order.buyer).to_string();
        }
        if line.verb == "money" {
            let sum = |of: fn(&Payment) -> Amount| order.payments.iter().map(|payment| of(payment).get()).sum::<u64>();
            let kept = order.paying().map_or(0, |(_, payment)| payment.kept().get());
            let (received, refunded) = (sum(|payment| payment.received.amount), sum(|payment| payment.refunded));
            let due = sum(|payment| payment.refund_due);
            return format!("{} received={received} refunded={refunded} due={due} kept={kept}", order.state.as_str());
        }
        let until = order.expires_at.get();
        format!("{} returned={} amount={} until={until}", order.state.as_str(), order.returned, order.amount().get())
    }
}

fn price(minor: u64) -> UnitPrice {
    UnitPrice::new(minor).expect("a price")
}

fn auction(line: &Line<'_>) -> Box<AuctionSpec> {
    // 0:10,200:50
    let increments = line.text("steps", "0:10").split(',').map(|pair| {
        let (from, step) = pair.split_once(':').expect("a colon");
        Increment { from: price(from.parse().expect("a price")), step: price(step.parse().expect("a price")) }
    });
    Box::new(AuctionSpec {
        sku: "S".into(),
        name: "N".into(),
        currency: Currency::new(line.text("currency", "EUR")).expect("a currency"),
        start_price: price(line.number("start", 100)),
        reserve_price: line.maybe("reserve").map(price),
        increments: increments.collect(),
        buy_now: line.maybe("now").map(price),
        starts_at: at(line.number("starts", 0)),
        ends_at: at(line.number("ends", 1000)),
        soft_close_seconds: line.number("soft", 0),
        extensions_max: line.number("extensions", 1000),
        hard_end_at: line.maybe("hard").map(at),
        payment_seconds: line.number("pay", 900),
        offer_next: line.number("next", true),
        exposure_limit: line.maybe("exposure").map(|limit| Amount::new(limit).expect("an amount")),
    })
}

/// The caps of a line, `cap_email=2`; `caps=none` takes all away.
fn caps(line: &Line<'_>) -> Option<IdentityLimits> {
    let mut limits = IdentityLimits::default();
    for kind in IdentityKind::ALL {
        limits.set(kind, line.maybe(&format!("cap_{}", kind.as_str())));
    }
    (!limits.is_empty() || line.maybe::<String>("caps").is_some()).then_some(limits)
}

fn refusal_words(refusal: &Refusal) -> String {
    match refusal {
        Refusal::NotFound => "not_found".into(),
        Refusal::KeyReused => "key_reused".into(),
        Refusal::NotStarted { starts_at } => format!("not_started at={}", starts_at.get()),
        Refusal::Ended { ends_at } => format!("ended at={}", ends_at.get()),
        Refusal::DropPaused => "paused".into(),
        Refusal::LimitReached { limit, used } => format!("limit_reached limit={limit} used={used}"),
        Refusal::IdentityLimitReached { identity, limit } => {
            format!("identity_limit_reached {} limit={limit}", identity.as_str())
        }
        Refusal::SoldOut(SoldOut { available, held, next_expiry_at, standby }) => {
            let next = next_expiry_at.map_or("none".into(), |at| at.get().to_string());
            let line = if *standby == 0 { String::new() } else { format!(" standby={standby}") };
            format!("sold_out free={available} held={held} next={next}{line}")
        }
        Refusal::BeaconNotTaken { why } => format!("beacon_not_taken {}", why.as_str()),
        Refusal::AllSold { .. } => "all_sold".into(),
        Refusal::NotOpen { opens_at } => format!("not_open at={}", opens_at.get()),
        Refusal::NotAdmitted { position, serving } => {
            let position = position.map_or("none".into(), |position| position.to_string());
            format!("not_admitted position={position} serving={serving}")
        }
        Refusal::BidTooLow { current, minimum_next, .. } => {
            format!("too_low at={} next={}", current.get(), minimum_next.get())
        }
        Refusal::ExposureReached { limit, used } => format!("exposed limit={} used={}", limit.get(), used.get()),
        Refusal::OrderExpired { expired_at } => format!("order_expired at={}", expired_at.get()),
        Refusal::IllegalTransition { from, to } => format!("illegal {}->{}", from.as_str(), to.as_str()),
        Refusal::MismatchStands { from } => format!("mismatch_stands {}", from.as_str()),
        Refusal::PreconditionFailed { revision } => format!("stale rev={revision}"),
        Refusal::Invalid(invalid) => match invalid {
            Invalid::EndBeforeStart => "invalid end_before_start".into(),
            Invalid::EndInThePast => "invalid end_in_the_past".into(),
            Invalid::TotalBelowTaken { taken } => format!("invalid total_below_taken={taken}"),
            Invalid::TotalTooLarge => "invalid total_too_large".into(),
            Invalid::TooManyDrops => "invalid too_many_drops".into(),
            Invalid::NoRoom => "invalid no_room".into(),
            Invalid::RoomFixed { member, started } => format!("invalid room_fixed {member:?} started={started}"),
            Invalid::StandbyFull => "invalid standby_full".into(),
            Invalid::DrawNotReady => "invalid draw_not_ready".into(),
            Invalid::SeedDiffers => "invalid seed_differs".into(),
            Invalid::RootDiffers => "invalid root_differs".into(),
            Invalid::TooManyEndpoints => "invalid too_many_endpoints".into(),
            Invalid::TooManyTiers => "invalid too_many_tiers".into(),
            Invalid::TierEndInThePast => "invalid tier_end_in_the_past".into(),
            Invalid::PaymentDiffers { amount, currency } => {
                format!("invalid payment_differs={}{}", amount.get(), currency.as_str())
            }
            Invalid::RefundOutOfRange { remaining } => format!("invalid refund_remaining={}", remaining.get()),
            Invalid::RestockOutOfRange { sold } => format!("invalid restock_sold={sold}"),
            Invalid::SettlementOutOfRange { owed } => format!("invalid owed={}", owed.get()),
            Invalid::PaymentNotOwed { owed } => format!("invalid payments_owed={owed}"),
            Invalid::SettlementDiffers { amount } => format!("invalid settled={}", amount.get()),
            Invalid::RoomOpensLate => "invalid room_opens_late".into(),
            Invalid::RoomIsOpen => "invalid room_is_open".into(),
            Invalid::TooManyTickets => "invalid too_many_tickets".into(),
            Invalid::IdentityMissing { kind } => format!("invalid missing={}", kind.as_str()),
        },
    }
}

/// Runs a table with room for this many remembered keys.
pub fn check_with_keys(keys_max: usize, table: &str) {
    let digests = DigestKey::new(&[9; 32]);
    let mut world = Table { state: State::new(keys_max), digests, orders: Vec::new() };
    for row in table.lines().map(str::trim).filter(|row| !row.is_empty()) {
        let (asked, expected) = row.split_once("->").expect("an arrow");
        let (when, asked) = asked.trim().split_once(' ').expect("an instant");
        let (line, when) = (Line::parse(asked), at(when.parse().expect("an instant")));
        let mut events = Vec::new();
        let found = if matches!(line.verb, "show" | "money" | "whose" | "line") {
            world.state.apply(when, &Command::Advance, &mut events);
            world.note_awards(&events);
            world.show(&line)
        } else {
            let command = world.command(&line);
            let outcome = world.state.apply(when, &command, &mut events);
            world.note_awards(&events);
            world.words(&outcome)
        };
        assert_eq!(found, expected.trim(), "in the line: {row}");
        invariants::check(&world.state).unwrap_or_else(|broken| panic!("after the line: {row}: {broken}"));
    }
}

/// Runs a table.
pub fn check(table: &str) {
    check_with_keys(1000, table);
}
