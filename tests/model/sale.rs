//! A sale in memory: the engine, whose batches leave memory for a simulated file, beside the naive model.

use std::collections::{BTreeMap, BTreeSet};

use firstcome::engine::{
    Admitted, Command, EarlyEvent, Event, EventBody, KnownRefund, KnownRefunds, Order, Outcome, PaymentEvent, State,
    invariants,
};
use firstcome::types::{Digest, IdentityDigests, Seq, UnixMillis};

use super::naive::Naive;

pub struct Sale {
    pub state: State,
    pub naive: Naive,
    pub inbox: BTreeSet<Digest>,
    /// Milliseconds since 1970 at which the next command is decided.
    pub at: i64,
    /// Name of the run in a failure.
    what: String,
    events: Vec<Event>,
    file: BTreeMap<Seq, Order>,
    identities: BTreeMap<Seq, IdentityDigests>,
    early: BTreeMap<Seq, EarlyEvent>,
    refunds: KnownRefunds,
}

impl Sale {
    pub fn begin(what: String) -> Sale {
        Sale {
            state: State::new(1000),
            naive: Naive::default(),
            inbox: BTreeSet::new(),
            at: 1000,
            what,
            events: Vec::new(),
            file: BTreeMap::new(),
            identities: BTreeMap::new(),
            early: BTreeMap::new(),
            refunds: KnownRefunds::new(),
        }
    }

    /// Has both decide a command; they must agree.
    pub fn ask(&mut self, command: &Command) -> Outcome {
        let at = UnixMillis::new(self.at).expect("in range");
        self.state.advance(at, &mut self.events, usize::MAX);
        self.naive.advance(self.at);
        let named = command.named_order().filter(|order| self.state.order(*order).is_none());
        let order = named.and_then(|order| self.file.get(&order).cloned());
        let identities = order.as_ref().and_then(|order| self.identities.get(&order.seq).copied()).unwrap_or_default();
        let mut admitted = Admitted { order, identities, ..Admitted::default() };
        super::admit_about(command, &self.inbox, &self.early, &mut admitted);
        if let Some(settle) = command.named_settlement() {
            let name = (settle.order, settle.reference.clone());
            admitted
                .known_refunds
                .extend(self.refunds.get_key_value(&name).map(|(name, known)| (name.clone(), known.clone())));
        }
        self.state.admit(admitted);
        let first = self.events.len();
        let outcome = self.state.decide(command, &mut self.events);
        for event in &self.events[first..] {
            self.state.evolve(event);
        }
        assert_eq!(outcome, self.naive.decide(command), "{}: {command:?}", self.what);
        invariants::check(&self.state).unwrap_or_else(|broken| panic!("{}: {broken}", self.what));
        outcome
    }

    /// Ends a batch: orders that have ended leave memory.
    pub fn commit(&mut self) {
        for event in self.events.drain(..) {
            if let EventBody::Payment(PaymentEvent::ProviderEventRecorded(recorded)) = &event.body {
                assert!(self.inbox.insert(recorded.id), "{}: an event is in the inbox twice", self.what);
            }
            self.early.extend(super::early_of(&event));
            if let (Some(order), EventBody::Payment(PaymentEvent::RefundSettled(settled))) =
                (event.order(), &event.body)
            {
                let known = KnownRefund::Settled { payment: settled.payment.clone(), amount: settled.amount };
                self.refunds.entry((order, settled.reference.clone())).or_default().push(known);
            }
            let order = event.order().and_then(|order| self.state.order(order));
            if let Some(order) = order.filter(|order| !order.state.is_live()) {
                self.identities.insert(order.seq, self.state.identities_of(order.seq));
                self.file.insert(order.seq, order.clone());
            }
        }
        self.state.release_settled();
    }

    pub fn order(&self, seq: Seq) -> &Order {
        self.state.order(seq).or_else(|| self.file.get(&seq)).expect("in memory or in the file")
    }
}
