//! No step of the writer is long, however many buyers wait: a long line ends in steps, and so do the contacts of its buyers.
//!
//! The ignored tests print the longest step, by the time that the thread had a processor: those of the engine, and those of the
//! file with their rows.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]
#![allow(clippy::print_stdout, reason = "prints what it measured")]

mod test_drop;

use std::time::Duration;

use firstcome::engine::{
    ChangeDrop, Command, CommandKey, CreateDrop, DropCommand, DropSpec, OrderCommand, Outcome, PlaceOrder, RoomCommand,
    RoomSpec, State, TakeTicket,
};
use firstcome::store::{Batch, PrivateData, Recorder, Store, load, verify};
use firstcome::types::{BuyerText, Contact, Digest, DigestKey, DropId, Quantity, RoomDraw, Shard, UnixMillis, random};
use rustix::time::{ClockId, clock_gettime};
use test_drop::test_drop;

/// The most contacts of an ended line that one transaction erases.
const ERASED: u32 = 500;
/// In debug code a step may take ten times as long.
const LONGEST: Duration = Duration::from_millis(if cfg!(debug_assertions) { 200 } else { 20 });

fn at(ms: i64) -> UnixMillis {
    UnixMillis::new(ms).expect("in range")
}

fn id() -> DropId {
    DropId::new(1).expect("not 0")
}

fn text(buyer: u32) -> BuyerText {
    BuyerText::new(&format!("buyer{buyer}")).expect("short")
}

fn create(spec: DropSpec) -> Command {
    let key = CommandKey { digest: Digest([1; 16]), params: Digest([1; 16]) };
    Command::Drop(DropCommand::Create(CreateDrop { key, spec: Box::new(spec) }))
}

fn close() -> Command {
    Command::Drop(DropCommand::Close(ChangeDrop { drop_id: id(), reason: "done".into() }))
}

fn place(digests: &DigestKey, buyer: u32, contact_given: bool) -> PlaceOrder {
    let digest = digests.buyer(text(buyer).as_str());
    let key = digests.order_key(id(), &digest, b"key");
    PlaceOrder { drop_id: id(), buyer: digest, key, quantity: Quantity::ONE, contact_given, facts: None }
}

/// Runs a step, and returns the time for which this thread had a processor.
fn timed<T>(longest: &mut Duration, step: impl FnOnce() -> T) -> T {
    let now = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).expect("not negative");
    let began = now();
    let done = step();
    *longest = (*longest).max(now().saturating_sub(began));
    done
}

fn print(what: &str, longest: Duration) {
    println!("{what}: {longest:?}");
    assert!(longest < LONGEST, "{what} took {longest:?}");
}

/// The writer's work on a file: a state, its recorder, and the commands of a transaction.
struct File<'store> {
    store: &'store Store,
    state: State,
    recorder: Recorder<'store>,
    batch: Batch,
}

impl<'store> File<'store> {
    fn open(store: &'store Store) -> File<'store> {
        let loaded = load::load(&store.connection, &store.digest_key, 1000).expect("whole");
        let recorder = Recorder::new(&store.connection, loaded.link).expect("prepared");
        File { store, state: loaded.state, recorder, batch: Batch::default() }
    }

    fn decide(&mut self, ms: i64, command: &Command, private_data: Option<PrivateData>) {
        let first = self.batch.events.len();
        let outcome = self.state.apply(at(ms), command, &mut self.batch.events);
        assert!(matches!(outcome, Outcome::Accepted(_)), "{outcome:?}");
        if let (Some(event), Some(private_data)) = (self.batch.events.get(first), private_data) {
            self.batch.private_data.push((event.seq, private_data));
        }
    }

    fn commit(&mut self) {
        self.recorder.begin().expect("begun");
        self.recorder.record(&self.batch).expect("recorded");
        self.recorder.commit().expect("committed");
        self.batch.clear_events();
        self.state.release_settled();
    }

    fn erase_more(&mut self) {
        self.recorder.begin().expect("begun");
        self.recorder.erase_more().expect("erased");
        self.recorder.commit().expect("committed");
    }

    fn order_data(buyer: u32, contact: Option<Contact>) -> PrivateData {
        PrivateData::Order {
            secret: random::order_secret(Shard::SINGLE),
            buyer: text(buyer),
            contact: contact.map(Box::new),
        }
    }

    /// Sells the one unit of a drop out, and lets so many buyers with a contact stand by.
    fn fill_line(&mut self, buyers: u32) {
        self.decide(0, &create(test_drop(1)), None);
        let digests = self.store.digest_key.clone();
        let order = Command::Order(OrderCommand::Place(place(&digests, 0, false)));
        self.decide(1, &order, Some(File::order_data(0, None)));
        for buyer in 1..=buyers {
            let email = Some(format!("{buyer}@example.org").into());
            let contact = Contact { name: None, email, phone: None, address: None };
            let join = Command::Order(OrderCommand::JoinStandby(place(&digests, buyer, true)));
            self.decide(2, &join, Some(File::order_data(buyer, Some(contact))));
            if buyer % 1000 == 0 {
                self.commit();
            }
        }
        self.commit();
    }

    fn contacts(&self) -> u32 {
        let sql = "SELECT count(*) FROM standby_contacts";
        self.store.connection.query_row(sql, [], |row| row.get(0)).expect("counted")
    }

    fn problems(&self) -> Vec<String> {
        verify::verify_connection(&self.store.connection).expect("verified").problems
    }
}

#[test]
fn contacts_of_a_long_line_are_erased_in_steps_which_go_on_after_a_restart() {
    let scratch = tempfile::tempdir().expect("scratch");
    let store = Store::open(scratch.path(), UnixMillis::ZERO).expect("opened");
    let mut file = File::open(&store);
    file.fill_line(ERASED * 2 + 200);
    assert!(!file.recorder.is_erasing());
    file.decide(3, &close(), None);
    file.commit();
    assert_eq!((file.contacts(), file.recorder.is_erasing()), (ERASED + 200, true));
    assert_eq!(file.problems(), Vec::<String>::new(), "in the middle of an erasure");
    drop(file);
    let mut file = File::open(&store);
    assert!(file.recorder.is_erasing(), "after a restart it goes on");
    file.erase_more();
    assert_eq!((file.contacts(), file.recorder.is_erasing()), (200, true));
    file.erase_more();
    assert_eq!((file.contacts(), file.recorder.is_erasing()), (0, false));
    assert_eq!(file.problems(), Vec::<String>::new());
    drop(file);
    assert!(!File::open(&store).recorder.is_erasing());
}

#[test]
fn memory_of_a_drop_that_has_ended_is_freed_in_steps_as_time_goes_by() {
    let digests = DigestKey::new(&[7; 32]);
    let (mut state, mut events) = (State::new(1000), Vec::new());
    state.apply(at(0), &create(test_drop(1)), &mut events);
    for buyer in 0..10_000 {
        let order = Command::Order(OrderCommand::PlaceOrStandBy(place(&digests, buyer, false)));
        assert!(matches!(state.apply(at(1), &order, &mut events), Outcome::Accepted(_)));
    }
    let mut loaded = state.clone();
    for state in [&mut state, &mut loaded] {
        state.apply(at(2), &close(), &mut events);
    }
    assert!(state.frees_memory() && state.drop_entry(id()).is_some_and(|entry| entry.standby().is_none()));
    let mut instants = 3;
    while state.frees_memory() {
        state.apply(at(instants), &Command::Advance, &mut events);
        instants += 1;
    }
    assert!((5..200).contains(&instants), "{instants} instants for 10,000 entries");
    // Nothing is decided by what is not freed yet: a jump comes to the same state.
    loaded.apply(state.at(), &Command::Advance, &mut events);
    assert!(loaded.frees_memory() && loaded == state);
}

#[test]
fn a_contact_that_is_left_of_another_drop_is_found_by_verify() {
    let scratch = tempfile::tempdir().expect("scratch");
    let store = Store::open(scratch.path(), UnixMillis::ZERO).expect("opened");
    let mut file = File::open(&store);
    file.fill_line(3);
    file.decide(3, &close(), None);
    file.commit();
    assert_eq!((file.contacts(), file.problems()), (0, Vec::new()));
    for strange in ["(2, 4, 'a', NULL, NULL, NULL)", "(1, 2, 'a', NULL, NULL, NULL)"] {
        store.connection.execute_batch(&format!("INSERT INTO standby_contacts VALUES {strange}")).expect("written");
        assert_eq!(file.problems().len(), 1, "{strange}");
        store.connection.execute_batch("DELETE FROM standby_contacts").expect("erased");
    }
}

#[test]
#[ignore = "a line of 300,000 buyers takes minutes in debug code"]
fn the_end_of_a_drop_with_a_long_line_is_no_long_step_of_the_file() {
    const MANY: u32 = 300_000;
    let scratch = tempfile::tempdir().expect("scratch");
    let store = Store::open(scratch.path(), UnixMillis::ZERO).expect("opened");
    let mut file = File::open(&store);
    file.fill_line(MANY);
    let (mut end, mut erasure) = (Duration::ZERO, Duration::ZERO);
    timed(&mut end, || {
        file.decide(3, &close(), None);
        file.commit();
    });
    print("the end of the drop", end);
    while file.recorder.is_erasing() {
        timed(&mut erasure, || file.erase_more());
    }
    assert_eq!(file.contacts(), 0);
    print("an erasure of contacts", erasure);
}

#[test]
#[ignore = "a million buyers take minutes in debug code"]
fn a_line_of_a_million_buyers_has_no_long_step_of_the_engine() {
    const MANY: u32 = 1_000_000;
    let digests = DigestKey::new(&[7; 32]);
    let (mut state, mut events) = (State::new(2_000_000), Vec::new());
    state.apply(at(0), &create(test_drop(1)), &mut events);
    state.apply(at(0), &Command::Order(OrderCommand::Place(place(&digests, 0, false))), &mut events);
    let (mut join, mut leave, mut freed) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    for buyer in 1..=MANY {
        let command = Command::Order(OrderCommand::JoinStandby(place(&digests, buyer, true)));
        timed(&mut join, || state.apply(at(1), &command, &mut events));
        events.clear();
    }
    print("a joining", join);
    for buyer in (1..=MANY).filter(|buyer| buyer % 5 < 3) {
        let buyer = digests.buyer(text(buyer).as_str());
        let command = Command::Order(OrderCommand::LeaveStandby { drop_id: id(), buyer });
        timed(&mut leave, || state.apply(at(2), &command, &mut events));
        events.clear();
    }
    print("a leaving", leave);
    assert_eq!(state.drop_entry(id()).map(|entry| entry.standby_len()), Some(MANY / 5 * 2));
    let mut end = Duration::ZERO;
    timed(&mut end, || state.apply(at(3), &close(), &mut events));
    print("the end of the drop", end);
    for ms in 4..1000 {
        timed(&mut freed, || state.apply(at(ms), &Command::Advance, &mut events));
    }
    assert!(!state.frees_memory());
    print("an instant after it", freed);
}

#[test]
#[ignore = "a million buyers take minutes in debug code"]
fn a_million_orders_have_no_long_step_of_the_engine() {
    const MANY: u32 = 1_000_000;
    let digests = DigestKey::new(&[7; 32]);
    let (mut state, mut events) = (State::new(2_000_000), Vec::new());
    state.apply(at(0), &create(test_drop(MANY)), &mut events);
    let (mut order, mut end) = (Duration::ZERO, Duration::ZERO);
    for buyer in 0..MANY {
        let command = Command::Order(OrderCommand::Place(place(&digests, buyer, false)));
        timed(&mut order, || state.apply(at(1), &command, &mut events));
        events.clear();
    }
    print("an order", order);
    timed(&mut end, || state.apply(at(3), &close(), &mut events));
    print("the end of the drop", end);
}

#[test]
#[ignore = "a million buyers take minutes in debug code"]
fn a_room_of_a_million_buyers_has_no_long_step_of_the_engine() {
    const MANY: u32 = 1_000_000;
    let digests = DigestKey::new(&[7; 32]);
    let room = RoomSpec {
        opens_at: at(0),
        draw: RoomDraw::Arrival,
        admit_per_second: 1_000_000,
        order_seconds: 3600,
        oversubscribe_percent: 100,
    };
    let starts_at = at(1000);
    let (mut state, mut events) = (State::new(2_000_000), Vec::new());
    let spec = DropSpec { starts_at, room: Some(Box::new(room)), ..test_drop(MANY / 2) };
    state.apply(at(0), &create(spec), &mut events);
    let (mut ticket, mut admission, mut order) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    for buyer in 0..MANY {
        let command = Command::Room(RoomCommand::TakeTicket(TakeTicket {
            drop_id: id(),
            buyer: digests.buyer(text(buyer).as_str()),
            origin: None,
        }));
        timed(&mut ticket, || state.apply(at(1), &command, &mut events));
        events.clear();
    }
    print("a ticket", ticket);
    for ms in 1000..3000 {
        timed(&mut admission, || state.apply(at(ms), &Command::Advance, &mut events));
        assert!(events.len() <= 2, "at {ms} there are {} events", events.len());
        events.clear();
    }
    let serving = state.drop_entry(id()).and_then(|entry| entry.room.as_ref()).map(|room| room.serving);
    assert_eq!(serving, Some(MANY / 2), "a buyer for each unit");
    print("an admission", admission);
    for buyer in (0..MANY / 2).step_by(100) {
        let command = Command::Order(OrderCommand::Place(place(&digests, buyer, false)));
        timed(&mut order, || state.apply(at(3000), &command, &mut events));
        events.clear();
    }
    print("an order of an admitted buyer", order);
    let mut end = Duration::ZERO;
    timed(&mut end, || state.apply(at(4000), &close(), &mut events));
    print("the end of the drop", end);
}
