//! A load thread: its runtime, its connections, each one a task that takes the next due work.
//!
//! Nothing here is shared between threads but [`Run`]. Invariant: a task that takes work either finishes it or puts
//! what follows into the queue; a cancelled task (time limit) leaves its work counted as open.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use tokio::runtime::{Builder, LocalOptions};

use super::answer::{Answer, decode_drop, decode_order};
use super::client::{Connection, Fault, Head};
use super::crowd::{Buyer, Next, Step};
use super::desk::Waiting;
use super::habits::Rules;
use super::ledger::{Ledger, Violation};
use super::meter::{Kind, Meter};
use super::outcome::Outcome;
use super::request::Requests;
use super::run::{Run, nanos};
use super::schedule::{Due, Queue, Work};
use super::target::Target;

/// Every so many looks at the drop, its counters are added up.
const COUNTERS_EVERY: u64 = 16;
/// A connection that cannot be opened is tried again after this.
const RECONNECT_PAUSE: Duration = Duration::from_millis(50);

/// What a load thread is given.
pub(super) struct Job {
    pub(super) run: Arc<Run>,
    pub(super) rules: Arc<Rules>,
    pub(super) requests: Arc<Requests>,
    pub(super) public: Target,
    pub(super) thread: usize,
    pub(super) connections: usize,
    pub(super) queue: Queue,
    pub(super) meter: Meter,
    /// Tells that the connections are open.
    pub(super) ready: Sender<Result<(), Fault>>,
    /// Gives the start of the run; hung up where there will be none.
    pub(super) go: Receiver<Instant>,
}

/// What a load thread brings back.
pub(super) struct Books {
    pub(super) ledger: Ledger,
    pub(super) meter: Meter,
}

/// The whole life of a load thread. Gives nothing where the run did not start.
///
/// # Errors
/// The runtime cannot be made: no descriptors left.
pub(super) fn work(job: Job) -> io::Result<Option<Books>> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    let opened = runtime.block_on(open_all(&job.public, job.connections));
    let (connections, report) = match opened {
        Ok(connections) => (connections, Ok(())),
        Err(fault) => (Vec::new(), Err(fault)),
    };
    let Ok(()) = job.ready.send(report) else { return Ok(None) };
    let Ok(start) = job.go.recv() else { return Ok(None) };
    let shard = Rc::new(Shard {
        run: job.run,
        rules: job.rules,
        requests: job.requests,
        public: job.public,
        thread: job.thread,
        start,
        queue: RefCell::new(job.queue),
        ledger: RefCell::default(),
        meter: RefCell::new(job.meter),
        idle: Cell::new(0),
        looks: Cell::new(0),
    });
    runtime.block_on(async {
        for connection in connections {
            tokio::task::spawn_local(serve(Rc::clone(&shard), connection));
        }
        shard.run.lanes[shard.thread].over.notified().await;
    });
    drop(runtime); // ends the tasks
    Ok(Rc::into_inner(shard).map(|shard| Books { ledger: shard.ledger.into_inner(), meter: shard.meter.into_inner() }))
}

async fn open_all(public: &Target, count: usize) -> Result<Vec<Connection>, Fault> {
    let mut connections = Vec::with_capacity(count);
    for _ in 0..count {
        connections.push(Connection::open(public.address).await?);
    }
    Ok(connections)
}

/// One connection: takes work when it is due, until the run is over.
async fn serve(shard: Rc<Shard>, first: Connection) {
    let mut connection = Some(first);
    let mut request = Vec::with_capacity(512);
    loop {
        let Due { at_ns, work, .. } = shard.next().await;
        match work {
            Work::SeeDrop => {
                shard.requests.see_drop(&mut request);
                let counters = shard.looks.get().is_multiple_of(COUNTERS_EVERY);
                shard.looks.set(shard.looks.get() + 1);
                let decode = |head: &Head, body: &[u8]| decode_drop(head, body, counters);
                let asked = shard.ask(&mut connection, &request, decode).await;
                shard.note(Kind::Reads, at_ns, &asked);
                shard.seen(&asked.answer);
            }
            Work::Step(step, buyer) => {
                shard.requests.step(&buyer, step, &mut request);
                let asked = shard.ask(&mut connection, &request, decode_order).await;
                shard.note(kind_of(step), at_ns, &asked);
                shard.settle(step, buyer, &asked);
            }
        }
        if connection.is_none() {
            connection = Connection::open(shard.public.address).await.ok();
            if connection.is_none() {
                tokio::time::sleep(RECONNECT_PAUSE).await;
            }
        }
    }
}

const fn kind_of(step: Step) -> Kind {
    match step {
        Step::Order | Step::Repeat | Step::AskTwice => Kind::Orders,
        Step::CheckOut | Step::Cancel | Step::SeeLapse => Kind::FollowUps,
    }
}

/// A request that has ended, one way or another.
struct Asked {
    answer: Answer,
    outcome: Outcome,
    sent_ns: u64,
    done_ns: u64,
}

/// One thread's state, shared by its connections.
struct Shard {
    run: Arc<Run>,
    rules: Arc<Rules>,
    requests: Arc<Requests>,
    public: Target,
    thread: usize,
    start: Instant,
    queue: RefCell<Queue>,
    ledger: RefCell<Ledger>,
    meter: RefCell<Meter>,
    /// Connections that wait for work.
    idle: Cell<usize>,
    looks: Cell<u64>,
}

impl Shard {
    fn now_ns(&self) -> u64 {
        nanos(self.start.elapsed())
    }

    /// The next work, when it is due.
    async fn next(&self) -> Due {
        let lane = &self.run.lanes[self.thread];
        loop {
            let now_ns = self.now_ns();
            let (due, next_due_ns) = {
                let mut queue = self.queue.borrow_mut();
                (queue.pop(now_ns), queue.next_due_ns())
            };
            if let Some(due) = due {
                if self.idle.get() > 0 {
                    self.hand_on(next_due_ns, now_ns);
                }
                return due;
            }
            lane.wake_at(next_due_ns);
            self.idle.set(self.idle.get() + 1);
            lane.wake.notified().await;
            self.idle.set(self.idle.get() - 1);
        }
    }

    /// Another connection is idle: it takes what is due now, or is woken when something is.
    fn hand_on(&self, next_due_ns: Option<u64>, now_ns: u64) {
        let lane = &self.run.lanes[self.thread];
        match next_due_ns {
            Some(due_ns) if due_ns <= now_ns => lane.wake.notify_one(),
            later => lane.wake_at(later),
        }
    }

    fn push(&self, at_ns: u64, work: Work) {
        self.queue.borrow_mut().push(at_ns, work);
        if self.idle.get() > 0 {
            let next_due_ns = self.queue.borrow().next_due_ns();
            self.hand_on(next_due_ns, self.now_ns());
        }
    }

    /// Sends a request and makes sense of what comes of it.
    async fn ask(
        &self,
        connection: &mut Option<Connection>,
        request: &[u8],
        decode: impl FnOnce(&Head, &[u8]) -> (Answer, Outcome),
    ) -> Asked {
        if connection.as_ref().is_some_and(|open| !open.is_quiet()) {
            *connection = Connection::open(self.public.address).await.ok();
        }
        let sent_ns = self.now_ns();
        let Some(open) = connection.as_mut() else {
            return Asked { answer: Answer::NotSent, outcome: Outcome::NotConnected, sent_ns, done_ns: sent_ns };
        };
        let (answer, outcome) = match open.exchange(request).await {
            Ok(reply) => decode(&reply.head, reply.body),
            Err(Fault::NotConnected(_)) => (Answer::NotSent, Outcome::NotConnected),
            Err(Fault::Lost) => (Answer::Unsure, Outcome::ConnectionLost),
            Err(Fault::TimedOut) => (Answer::Unsure, Outcome::TimedOut),
            Err(Fault::Strange(_)) => (Answer::Unsure, Outcome::Strange),
        };
        if !open.is_reusable() {
            *connection = None;
        }
        Asked { answer, outcome, sent_ns, done_ns: self.now_ns() }
    }

    /// Counts and times a request.
    fn note(&self, kind: Kind, intended_ns: u64, asked: &Asked) {
        let lane = &self.run.lanes[self.thread];
        self.ledger.borrow_mut().count(asked.outcome);
        if !asked.outcome.is_timed() {
            return;
        }
        let mut meter = self.meter.borrow_mut();
        if asked.outcome == Outcome::Reserved {
            add_one(&lane.reserved);
        }
        if asked.outcome == Outcome::SoldOut {
            meter.sold_out(asked.done_ns);
        }
        add_one(&lane.answers);
        meter.record(kind, intended_ns, asked.sent_ns, asked.done_ns);
    }

    /// A look at the drop is over.
    fn seen(&self, answer: &Answer) {
        if let Answer::Drop(Some(view)) = answer
            && !view.is_conserved()
        {
            self.ledger.borrow_mut().violated(Violation::NotConserved, 0);
        }
        self.run.closed();
    }

    /// A buyer has his answer: what follows goes into the queue, or his story is over.
    fn settle(&self, step: Step, mut buyer: Buyer, asked: &Asked) {
        let turn = self.rules.answered(&mut buyer, step, &asked.answer, &mut self.ledger.borrow_mut());
        let line = Waiting { number: buyer.number, key: buyer.key };
        if turn.unit_back {
            let first = self.run.desk.lock().unit_back(asked.done_ns);
            if let Some(first) = first {
                self.run.opened();
                self.call_back(first, asked.done_ns);
            }
        }
        match turn.next {
            Next::Again { step, pause } => self.push(asked.done_ns + nanos(pause), Work::Step(step, buyer)),
            Next::WaitForUnit => {
                let again = self.run.desk.lock().sold_out(line, asked.sent_ns);
                match again {
                    Some(again) => self.call_back(again, asked.done_ns),
                    None => self.run.closed(),
                }
            }
            Next::Done => self.run.closed(),
        }
    }

    /// A buyer who was told "sold out" asks again.
    fn call_back(&self, waiting: Waiting, now_ns: u64) {
        let buyer = Buyer::new(waiting.number, waiting.key);
        let pause = self.rules.think(&buyer, Step::Order);
        self.push(now_ns + nanos(pause), Work::Step(Step::Order, buyer));
    }
}

/// Adds one to a counter that only this thread writes.
fn add_one(counter: &AtomicU64) {
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}
