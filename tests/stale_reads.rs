//! Readers between COMMIT and publish: no stale body survives, and no two bodies share an ETag.
//!
//! The first test drives the file by hand and holds readers at every point between their load of the published version
//! and the end of their render. The others leave a real writer to itself.

#![expect(clippy::expect_used, reason = "a test")]

mod test_drop;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use firstcome::engine::{
    AdjustStock, COMMAND_NAMES, Command, CommandKey, CreateDrop, DropCommand, Effect, OUTCOME_NAMES, Outcome, Subject,
};
use firstcome::http::request::hot_body;
use firstcome::read::response_cache::CacheLookup;
use firstcome::read::{CachedResponse, DropResponseCache, Reader, rows};
use firstcome::store::{Batch, Durability, Loaded, Recorder, Store, load};
use firstcome::telemetry::{Telemetry, WriterLabels, WriterMeter};
use firstcome::types::digest_key::KeyScope;
use firstcome::types::{DigestKey, DropId, Published, Seq, SnapshotGate, UnixMillis};
use firstcome::writer::checkpoint::CheckpointLimits;
use firstcome::writer::clock::wall_clock;
use firstcome::writer::{
    Class, Clock, ClockReading, CpuAffinity, Submission, Writer, WriterExit, WriterHandle, WriterOptions, WriterReply,
};
use test_drop::test_drop;

const TOTAL: u32 = 100;

fn create(digests: &DigestKey) -> Command {
    let spec = test_drop(TOTAL);
    let key =
        CommandKey { digest: digests.command_key(KeyScope::CreateDrop, "owner", b"1"), params: digests.params(b"1") };
    Command::Drop(DropCommand::Create(CreateDrop { key, spec: Box::new(spec) }))
}

/// Every one of these changes the drop, and its body.
fn one_more(drop_id: DropId, expected_total: u32) -> Command {
    Command::Drop(DropCommand::AdjustStock(AdjustStock { drop_id, delta: 1, expected_total, reason: "test".into() }))
}

/// A reader as a serving thread has it, and everything that it saw.
struct Seen {
    reader: Reader,
    hot: DropResponseCache,
    epoch: u64,
    bodies: BTreeMap<Vec<u8>, Vec<u8>>,
    wrong: Vec<String>,
}

impl Seen {
    fn new(path: &std::path::Path, gate: &Arc<SnapshotGate>, epoch: u64) -> Seen {
        let reader = Reader::open(path, Arc::clone(gate)).expect("a reader");
        Seen { reader, hot: DropResponseCache::new(8), epoch, bodies: BTreeMap::new(), wrong: Vec::new() }
    }

    /// One read. `before` and `after` are called around the snapshot, if there is one.
    fn get(&mut self, published: &Published, id: DropId, before: impl FnOnce(), after: impl FnOnce()) -> CacheLookup {
        let (reader, epoch) = (&self.reader, self.epoch);
        let render = || {
            before();
            let row = reader.read(|connection| rows::drop_by_id(connection, id))?;
            after();
            Ok(row.map(|row| hot_body(&row, epoch)))
        };
        let found = self.hot.get(published, id, render).expect("read").expect("a drop");
        self.note(&found.body);
        found
    }

    fn read(&mut self, published: &Published, id: DropId) -> CacheLookup {
        self.get(published, id, || {}, || {})
    }

    /// A tag belongs to one body, and both say the same version.
    fn note(&mut self, found: &CachedResponse) {
        let (etag, body) = (found.etag.as_bytes().to_vec(), found.body.to_vec());
        let version = format!("\"version\":\"{}-{}\"", self.epoch, found.version);
        let text = String::from_utf8_lossy(&body);
        self.expect(text.contains(&version), || format!("no {version} in {text}"));
        let first = self.bodies.entry(etag).or_insert_with(|| body.clone()).clone();
        self.expect(first == body, || format!("two bodies for {:?}", found.etag));
    }

    /// Notes what is wrong: a panic would leave the other threads waiting.
    fn expect(&mut self, holds: bool, or: impl FnOnce() -> String) {
        if !holds {
            self.wrong.push(or());
        }
    }
}

/// Nothing was wrong in any thread, and no tag had two bodies over all of them. Gives the number of tags.
fn judge(all: impl IntoIterator<Item = Seen>) -> usize {
    let mut bodies: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    for seen in all {
        assert!(seen.wrong.is_empty(), "{:#?}", &seen.wrong[..seen.wrong.len().min(5)]);
        for (etag, body) in seen.bodies {
            let first = bodies.entry(etag.clone()).or_insert_with(|| body.clone());
            assert_eq!(*first, body, "two bodies for {}", String::from_utf8_lossy(&etag));
        }
    }
    bodies.len()
}

/// The points of a round, which all threads pass together.
#[derive(Clone, Copy)]
enum Point {
    Begun = 1,
    OldSnapshotsTaken,
    Committed,
    ReadInBetween,
    Published,
}

/// One thread's way through the points of a round.
struct Way<'a> {
    barrier: &'a Barrier,
    passed: Cell<usize>,
}

impl Way<'_> {
    /// Passes every point up to this one that it has not passed yet.
    fn pass(&self, point: Point) {
        while self.passed.get() < point as usize {
            self.barrier.wait();
            self.passed.set(self.passed.get() + 1);
        }
    }
}

/// How a reader meets a commit from version `old` to `new`.
#[derive(Clone, Copy, Debug)]
enum Role {
    /// It has the old body, and asks between COMMIT and publish.
    Ready,
    /// It has nothing, and renders between COMMIT and publish.
    RendersBetween,
    /// It took its snapshot before COMMIT, and has rendered only after the publish.
    OldSnapshot,
    /// It took its snapshot between COMMIT and publish, and has rendered only after the publish.
    NewSnapshot,
}

fn meet(role: Role, seen: &mut Seen, published: &Published, id: DropId, versions: (u64, u64), way: &Way<'_>) {
    let (old, new) = versions;
    way.pass(Point::Begun);
    if !matches!(role, Role::Ready) {
        seen.hot = DropResponseCache::new(8);
    }
    let (found, expected) = match role {
        Role::Ready | Role::RendersBetween => {
            way.pass(Point::Committed);
            let found = seen.read(published, id);
            let expected = if matches!(role, Role::Ready) { old } else { new };
            (found, expected)
        }
        Role::OldSnapshot => (seen.get(published, id, || {}, || way.pass(Point::Published)), old),
        Role::NewSnapshot => {
            let found = seen.get(published, id, || way.pass(Point::Committed), || way.pass(Point::Published));
            (found, new)
        }
    };
    way.pass(Point::Published);
    let (version, first) = (found.body.version, found.body.body);
    seen.expect(version == expected, || format!("{role:?} read {version}, not {expected}"));
    // Whatever happened: from here on it is the new version, and a body that was new already stays.
    let found = seen.read(published, id);
    let (version, ready) = (found.body.version, found.was_cached);
    seen.expect(version == new, || format!("{role:?} serves {version} after {new} was published"));
    seen.expect(ready == (expected == new), || format!("{role:?}: a ready body of {expected} for {new}: {ready}"));
    seen.expect(expected != new || found.body.body == first, || format!("{role:?}: {new} has two bodies"));
}

#[test]
fn a_body_rendered_around_a_commit_never_outlives_its_version() {
    const ROUNDS: u32 = 50;
    const ROLES: [Role; 4] = [Role::Ready, Role::RendersBetween, Role::OldSnapshot, Role::NewSnapshot];
    const READERS: usize = 8;
    let scratch = tempfile::tempdir().expect("scratch");
    let store = Store::open(scratch.path(), UnixMillis::ZERO).expect("a store");
    let Loaded { mut state, link } = load::load(&store.connection, &store.digest_key, 1000).expect("loaded");
    let mut recorder = Recorder::new(&store.connection, link).expect("statements");
    let mut commit = |command: &Command| -> (Outcome, Seq) {
        let mut batch = Batch::default();
        let outcome = state.apply(state.at(), command, &mut batch.events);
        recorder.begin().expect("begun");
        recorder.record(&batch).expect("recorded");
        recorder.commit().expect("committed");
        (outcome, state.seq())
    };
    let (created, first) = commit(&create(&store.digest_key));
    let Outcome::Accepted(Effect::Changed { subject: Subject::Drop(id), .. }) = created else { panic!("{created:?}") };
    let (published, gate) = (Published::default(), Arc::new(SnapshotGate::default()));
    published.publish_version(id, first);

    let barrier = Barrier::new(READERS + 1);
    let (path, epoch, first) = (&store.path, store.epoch, first.get());
    let seen = std::thread::scope(|scope| {
        let read = |index: usize| {
            let (barrier, published, gate) = (&barrier, &published, &gate);
            scope.spawn(move || {
                let mut seen = Seen::new(path, gate, epoch);
                seen.read(published, id);
                for round in 0..ROUNDS {
                    let role = ROLES[(index + round as usize) % ROLES.len()];
                    let old = first + u64::from(round);
                    let way = Way { barrier, passed: Cell::new(0) };
                    meet(role, &mut seen, published, id, (old, old + 1), &way);
                }
                seen
            })
        };
        let readers: Vec<_> = (0..READERS).map(read).collect();
        for round in 0..ROUNDS {
            let way = Way { barrier: &barrier, passed: Cell::new(0) };
            way.pass(Point::OldSnapshotsTaken);
            let (_, version) = commit(&one_more(id, TOTAL + round));
            way.pass(Point::ReadInBetween);
            published.publish_version(id, version);
            way.pass(Point::Published);
        }
        readers.into_iter().map(|reader| reader.join().expect("a reader")).collect::<Vec<_>>()
    });
    assert_eq!(judge(seen), ROUNDS as usize + 1, "each version has its tag");
}

/// A real writer with one drop.
struct Selling {
    handle: WriterHandle,
    thread: JoinHandle<WriterExit>,
    gate: Arc<SnapshotGate>,
    path: PathBuf,
    epoch: u64,
    drop_id: DropId,
    total: u32,
    _scratch: tempfile::TempDir,
}

impl Selling {
    fn start() -> Selling {
        let scratch = tempfile::tempdir().expect("scratch");
        let store = Store::open(scratch.path(), wall_clock()).expect("a store");
        let loaded = load::load(&store.connection, &store.digest_key, 1000).expect("loaded");
        let clock = Clock::unguarded(UnixMillis::ZERO, &ClockReading::take());
        let labels = WriterLabels { commands: &COMMAND_NAMES, outcomes: &OUTCOME_NAMES };
        let meter = WriterMeter::new(&Arc::new(Telemetry::new()), labels);
        let options = WriterOptions {
            queue_capacity: 64,
            queue_reserve: 8,
            queue_wait_max: Duration::from_secs(1),
            batch_commands_max: 16,
            batch_events_max: 64,
            durability: Durability::Interval(Duration::from_millis(20)),
            affinity: CpuAffinity::Off,
            // Small, so that the gate closes often.
            checkpoint: CheckpointLimits {
                passive_bytes: 1 << 18,
                reset_bytes: 1 << 20,
                gate_max: Duration::from_millis(5),
            },
            free_bytes_min: 0,
            mailboxes: 0,
        };
        let gate = Arc::new(SnapshotGate::default());
        let (path, epoch) = (store.path.clone(), store.epoch);
        let (writer, handle) = Writer::new(store, loaded, Arc::new(clock), Arc::clone(&gate), meter, options);
        let thread = std::thread::spawn(move || writer.run(|_, _| {}));
        let mut selling = Selling {
            drop_id: DropId::new(1).expect("not 0"),
            thread,
            gate,
            path,
            epoch,
            total: TOTAL,
            _scratch: scratch,
            handle,
        };
        selling.decide(create(&selling.handle.digest_key));
        selling
    }

    fn submit(&self, command: Command) -> firstcome::writer::Ticket {
        self.handle.submit(Submission { command, private_data: None, class: Class::Operator }).expect("room")
    }

    /// Has a command decided; gives the version that it made.
    fn decide(&mut self, command: Command) -> u64 {
        accepted(self.submit(command).wait())
    }

    fn change(&mut self) -> u64 {
        let version = self.decide(one_more(self.drop_id, self.total));
        self.total += 1;
        version
    }

    fn stop(self) {
        self.handle.stop();
        let stopped = self.thread.join().expect("the writer");
        assert!(matches!(stopped, WriterExit::Orderly), "{stopped:?}");
    }
}

fn accepted(answer: WriterReply) -> u64 {
    let WriterReply::Decided(decided) = answer else { panic!("{answer:?}") };
    let Outcome::Accepted(Effect::Changed { seq, .. }) = decided.outcome else { panic!("{decided:?}") };
    seq.get()
}

#[test]
fn readers_of_a_busy_writer_never_go_back() {
    const CHANGES: u32 = 1500;
    const READERS: usize = 4;
    let mut selling = Selling::start();
    let (handle, id) = (selling.handle.clone(), selling.drop_id);
    let done = AtomicBool::new(false);
    let seen = std::thread::scope(|scope| {
        let read = |index: usize| {
            let mut seen = Seen::new(&selling.path, &selling.gate, selling.epoch);
            let (published, done) = (&handle.published, &done);
            scope.spawn(move || {
                let mut last = 0;
                while !done.load(Ordering::Acquire) {
                    if index.is_multiple_of(2) {
                        // Without ready bodies it is always in the middle of a render.
                        seen.hot = DropResponseCache::new(8);
                    }
                    let floor = published.version(id).max(last);
                    let version = seen.read(published, id).body.version;
                    seen.expect(version >= floor, || format!("{version} after {floor} was published or read"));
                    last = version;
                }
                seen
            })
        };
        let readers: Vec<_> = (0..READERS).map(read).collect();
        let mut client = Seen::new(&selling.path, &selling.gate, selling.epoch);
        for _ in 0..CHANGES {
            let version = selling.change();
            let found = client.read(&handle.published, id).body.version;
            client.expect(found >= version, || format!("read {found} after the answer said {version}"));
        }
        done.store(true, Ordering::Release);
        let mut all: Vec<_> = readers.into_iter().map(|reader| reader.join().expect("a reader")).collect();
        all.push(client);
        all
    });
    assert!(judge(seen) >= CHANGES as usize, "the client alone saw every version");
    selling.stop();
}

#[test]
fn nothing_is_published_before_it_is_committed() {
    let mut selling = Selling::start();
    let before = selling.change();
    let (published, id) = (Arc::clone(&selling.handle.published), selling.drop_id);
    let mut seen = Seen::new(&selling.path, &selling.gate, selling.epoch);
    // Somebody else has the file: the writer decides, and cannot commit.
    let other = rusqlite::Connection::open(&selling.path).expect("opened");
    other.busy_timeout(Duration::from_secs(5)).expect("patient");
    other.execute_batch("BEGIN IMMEDIATE").expect("begun");
    let ticket = selling.submit(one_more(id, selling.total));
    let deadline = Instant::now() + Duration::from_secs(5);
    while selling.handle.queue_depth() > 0 && Instant::now() < deadline {
        std::thread::yield_now();
    }
    // A hundred reads take a few milliseconds: the writer waits for a second before it gives up.
    for _ in 0..100 {
        seen.hot = DropResponseCache::new(8);
        let version = seen.read(&published, id).body.version;
        assert_eq!((published.version(id), published.seq(), version), (before, before, before));
    }
    other.execute_batch("ROLLBACK").expect("given back");
    let after = accepted(ticket.wait());
    assert_eq!((published.version(id), seen.read(&published, id).body.version), (after, after));
    assert_eq!(judge([seen]), 2);
    selling.stop();
}
