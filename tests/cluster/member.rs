//! One node and its owner: the file, the state in memory, and the clients that it serves.

use std::collections::BTreeMap;
use std::sync::Arc;

use firstcome::capture::format::digest_of;
use firstcome::engine::{
    Command, CommandKey, CreateDrop, DropCommand, Event, OrderCommand, Outcome, PlaceOrder, Refusal, State,
};
use firstcome::failpoints::{self, Bug};
use firstcome::log::simulated::SimulatedLog;
use firstcome::log::{BootMillis, Entry, Fate, Head, LogAnswer, LogRequest, Node, NodeSettings, Output};
use firstcome::store::chain::ChainLink;
use firstcome::store::{Batch, PrivateData};
use firstcome::types::{BuyerText, Digest, DropId, OrderSecret, Quantity, Seq, Shard, UnixMillis};

use super::judge::{Attempt, Judge};
use super::{Moment, Sender, TIMEOUT_MS};
use crate::model::Random;
use crate::test_drop::test_drop;

/// The wall clock at the start of a run.
pub const START: i64 = 1_795_000_000_000;
/// The reservations of a world lapse after so many seconds: within a run, or never in it.
const RESERVATION_SECONDS: [u32; 2] = [3, 60];
const UNITS: u32 = 12;

/// A file: what is committed.
#[derive(Clone)]
pub struct File {
    pub state: State,
    pub head: Head,
}

impl File {
    pub fn head(&self) -> Head {
        self.head
    }

    /// The one drop.
    pub fn drop_id(&self) -> DropId {
        self.state.drops().next().expect("a drop").id
    }

    /// Asks for drops of other shards, as a client does who was sent astray: none is found.
    fn refuses_other_shards(&self) {
        let shard = self.state.shard().get();
        for other in [shard ^ 1, shard ^ 0x80].map(Shard::new) {
            let drop_id = DropId::in_shard(other, 1).expect("in range");
            let mut events = Vec::new();
            let outcome = self.state.decide(&command(Attempt { number: 0, key: 0 }, drop_id), &mut events);
            assert!(matches!(outcome, Outcome::Refused { refusal: Refusal::NotFound, .. }), "{shard}: {outcome:?}");
            assert!(events.is_empty() && self.state.drop_entry(drop_id).is_none());
        }
    }
}

/// The link after events, as a file would compute it of their rows.
fn link_after(before: ChainLink, events: &[Event]) -> ChainLink {
    let mut link = before;
    if !events.is_empty() {
        link.0.rotate_right(8);
        link.0[..8].copy_from_slice(&digest_of(events).to_le_bytes());
        link.0[8] ^= before.0[0].rotate_left(3);
    }
    link
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lane {
    Data,
    Lease,
}

/// A batch that waits for its entry.
struct Pending {
    state: State,
    to: Head,
    attempts: Vec<(Attempt, Outcome)>,
}

pub struct Member {
    pub file: File,
    pub node: Node,
    pub life: u64,
    pub dead_until: u64,
    pub stopped_until: u64,
    pub cut_off_until: u64,
    pub is_stopped_for_good: bool,
    /// Has the file's link been changed behind its back?
    pub is_spoiled: bool,
    settings: NodeSettings,
    /// The boot clock runs by so many thousandths.
    boot_rate: u64,
    wall_offset: i64,
    /// A wall clock that no leader may have while others are heard.
    pub is_odd: bool,
    data: Option<(u64, BootMillis)>,
    numbers: u64,
    pending: Option<Pending>,
    last_entry: u64,
    waiting: Vec<Attempt>,
}

impl Member {
    /// The file of all nodes of a shard: one drop.
    pub fn first_file(shard: Shard, random: &mut Random) -> (File, Judge) {
        let mut state = State::new(1000);
        state.settle_shard(shard).expect("without drops");
        let mut events = Vec::new();
        let mut spec = test_drop(UNITS);
        spec.reservation_seconds = random.pick(&RESERVATION_SECONDS);
        spec.per_buyer_limit = 2;
        spec.starts_at = UnixMillis::new(START - 1000).expect("in range");
        let key = CommandKey { digest: Digest([9; 16]), params: Digest([9; 16]) };
        let create = Command::Drop(DropCommand::Create(CreateDrop { spec: Box::new(spec), key }));
        let at = UnixMillis::new(START).expect("in range");
        state.apply(at, &create, &mut events);
        let head = Head::before_all(state.seq(), link_after(ChainLink::START, &events));
        let file = File { state, head };
        (file.clone(), Judge::new(file))
    }

    pub fn new(file: File, random: &mut Random, settings: NodeSettings) -> Member {
        let is_odd = random.one_in(6);
        let wall_offset = if is_odd { 5000 } else { i64::try_from(random.below(600)).expect("small") - 300 };
        Member {
            node: Node::new(settings, file.head, BootMillis(0)),
            file,
            life: 0,
            dead_until: 0,
            stopped_until: 0,
            cut_off_until: 0,
            is_stopped_for_good: false,
            is_spoiled: false,
            settings,
            boot_rate: 990 + random.below(21),
            wall_offset,
            is_odd,
            data: None,
            numbers: 0,
            pending: None,
            last_entry: 0,
            waiting: Vec::new(),
        }
    }

    fn boot(&self, now: u64) -> BootMillis {
        BootMillis(now * self.boot_rate / 1000)
    }

    fn wall(&self, now: u64) -> UnixMillis {
        UnixMillis::new(START + i64::try_from(now).expect("small") + self.wall_offset).expect("in range")
    }

    /// Memory is lost: the file stays.
    pub fn kill(&mut self, until: u64, judge: &mut Judge) {
        if let Some(pending) = self.pending.take() {
            judge.unknown(pending.attempts);
        }
        for attempt in self.waiting.drain(..) {
            judge.not_applied(attempt);
        }
        self.life += 1;
        self.dead_until = until;
        self.data = None;
        self.node = Node::new(self.settings, self.file.head, self.boot(until));
    }

    /// A row of the file changes: the next link that it computes is another one.
    pub fn spoil(&mut self) {
        self.is_spoiled = true;
    }

    /// Lets the node act. Returns the requests that it makes.
    pub fn step(
        &mut self,
        member: usize,
        moment: Moment,
        random: &mut Random,
        log: &SimulatedLog,
        judge: &mut Judge,
    ) -> Vec<(Sender, LogRequest)> {
        let Moment { now, is_quiet, is_silent } = moment;
        let mut requests = Vec::new();
        if now < self.dead_until.max(self.stopped_until) || self.is_stopped_for_good {
            return requests;
        }
        let boot = self.boot(now);
        if self.data.is_some_and(|(_, sent)| boot >= sent.plus(TIMEOUT_MS)) {
            self.data = None;
            self.answered(now, &LogAnswer::Unknown, judge);
        }
        if !is_quiet && random.one_in(3) && self.node.leads().is_some() {
            self.waiting.push(judge.attempt(random));
        }
        if !is_silent && self.node.may_decide(boot) && (!self.waiting.is_empty() || now >= self.last_entry + 1000) {
            self.decide(now, log, judge);
        }
        // True news and false ones: a campaign is never wrong, it only may be lost.
        if self.numbers % 61 == 7 {
            self.node.no_leader(boot, self.numbers % 122 == 7);
        }
        if self.data.is_none()
            && let Some(request) = self.node.request(boot)
        {
            if matches!(request, LogRequest::Campaign) {
                judge.campaigns(self.is_odd, self.node.clock_lead_ms().is_some());
            }
            self.numbers += 1;
            self.data = Some((self.numbers, boot));
            let sender = Sender { member, life: self.life, lane: Lane::Data, number: self.numbers, sent: boot };
            requests.push((sender, request));
        }
        if let Some(request) = self.node.lease_request(boot) {
            requests.push((Sender { member, life: self.life, lane: Lane::Lease, number: 0, sent: boot }, request));
        }
        requests
    }

    /// Decides what waits, and appends it.
    fn decide(&mut self, now: u64, log: &SimulatedLog, judge: &mut Judge) {
        let epoch = self.node.leads().expect("it leads");
        self.file.refuses_other_shards();
        let drop_id = self.file.drop_id();
        let mut state = self.file.state.clone();
        let at = self.wall(now).max(state.at());
        let mut batch = Batch::default();
        state.advance(at, &mut batch.events, usize::MAX);
        let mut attempts = Vec::new();
        for attempt in self.waiting.drain(..) {
            let first = batch.events.len();
            let outcome = state.decide(&command(attempt, drop_id), &mut batch.events);
            for event in &batch.events[first..] {
                state.evolve(event);
            }
            if let Some(event) = batch.events.get(first) {
                let secret = OrderSecret::from_random(drop_id.shard(), [attempt.key.to_le_bytes()[0]; 10]);
                let buyer = BuyerText::new("ann").expect("a buyer");
                batch.private_data.push((event.seq, PrivateData::Order { secret, buyer, contact: None }));
            }
            attempts.push((attempt, outcome));
        }
        if batch.events.is_empty() && !attempts.is_empty() {
            // Refusals and repeats: no entry, only the lease says that they are true.
            judge.answered_without_entry(epoch, self.file.head, log, attempts);
            return;
        }
        let before = self.file.head;
        let link = link_after(before.link, &batch.events);
        let (number, seq) = (before.number + 1, state.seq());
        let tenure = self.node.tenure().expect("it leads");
        let entry = Entry { number, epoch, tenure, seq, before: before.link, link, at, batch };
        state.release_settled();
        if failpoints::enabled(Bug::ReplyBeforeAppend) {
            judge.decided(std::mem::take(&mut attempts));
        }
        self.node.append(entry.head(), entry.encode().expect("small").into());
        self.last_entry = now;
        self.pending = Some(Pending { state, to: entry.head(), attempts });
    }

    /// Takes an answer, unless its request was given up.
    pub fn take(&mut self, now: u64, sender: Sender, answer: &LogAnswer, judge: &mut Judge) {
        let Sender { life, lane, number, sent, .. } = sender;
        if life != self.life || self.is_stopped_for_good || now < self.dead_until.max(self.stopped_until) {
            return;
        }
        match lane {
            Lane::Lease => self.node.lease_answered(self.boot(now), sent, answer),
            Lane::Data if self.data.is_some_and(|(waited, _)| waited == number) => {
                self.data = None;
                self.answered(now, answer, judge);
            }
            Lane::Data => judge.seen.late += 1,
        }
    }

    fn answered(&mut self, now: u64, answer: &LogAnswer, judge: &mut Judge) {
        let (boot, wall) = (self.boot(now), self.wall(now));
        match self.node.answered(boot, wall, answer) {
            Output::Nothing => {}
            Output::Leads => {
                // The entry that began the epoch has no events.
                self.file.head = self.node.head();
                self.last_entry = now;
                judge.seen.takeovers += 1;
            }
            Output::Apply(entry) => self.apply(boot, wall, &entry, judge),
            Output::Appended(fate) => self.appended(fate, judge),
            Output::Stopped(stop) => {
                judge.stopped(stop, self.is_spoiled);
                self.is_stopped_for_good = true;
            }
        }
        if self.node.leads().is_none() {
            for attempt in self.waiting.drain(..) {
                judge.not_applied(attempt);
            }
        }
    }

    fn apply(&mut self, boot: BootMillis, wall: UnixMillis, entry: &Entry, judge: &mut Judge) {
        let mut state = self.file.state.clone();
        for event in &entry.batch.events {
            state.evolve(event);
        }
        state.release_settled();
        let mut link = link_after(self.file.head.link, &entry.batch.events);
        if self.is_spoiled {
            link.0[31] ^= 1;
        }
        match self.node.applied(boot, wall, entry, link) {
            Ok(true) => {
                self.file = File { state, head: Head { link, ..entry.head() } };
            }
            Ok(false) => judge.seen.doubts += 1,
            Err(stop) => {
                judge.stopped(stop, self.is_spoiled);
                self.is_stopped_for_good = true;
            }
        }
    }

    fn appended(&mut self, fate: Fate, judge: &mut Judge) {
        let Pending { state, to, attempts } = self.pending.take().expect("a batch");
        match fate {
            Fate::Stands | Fate::StandsBehind(_) => {
                self.file = File { state, head: to };
                judge.decided(attempts);
            }
            Fate::NotApplied(_) => attempts.into_iter().for_each(|(attempt, _)| judge.not_applied(attempt)),
            Fate::Unknown => judge.unknown(attempts),
        }
    }
}

/// The command of a client's attempt.
pub fn command(attempt: Attempt, drop_id: DropId) -> Command {
    let digest = |kind: u8, number: u64| {
        let mut bytes = [kind; 16];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        Digest(bytes)
    };
    Command::Order(OrderCommand::Place(PlaceOrder {
        drop_id,
        buyer: digest(1, attempt.key % 50),
        key: digest(2, attempt.key),
        quantity: Quantity::ONE,
        contact_given: false,
        facts: None,
    }))
}

/// The orders of a state by their keys.
pub fn orders_by_key(history: &[Arc<Entry>]) -> BTreeMap<Digest, (u64, Seq)> {
    use firstcome::engine::{EventBody, OrderEvent};
    let mut found = BTreeMap::new();
    for entry in history {
        for event in &entry.batch.events {
            if let EventBody::Order(OrderEvent::Reserved(reserved)) = &event.body {
                let before = found.insert(reserved.key, (entry.number, event.seq));
                assert_eq!(before, None, "one effect per key");
            }
        }
    }
    found
}
