//! A load thread: its runtime, its connections, each one a task that takes the next due work.
//!
//! Nothing here is shared between threads but [`SharedRun`]. Invariant: a task that takes work either finishes it or puts
//! what follows into the queue; a cancelled task (time limit) leaves its work counted as open.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use tokio::runtime::{Builder, LocalOptions};

use super::behavior::BehaviorRules;
use super::buyer::{Buyer, BuyerStep};
use super::client::{ExchangeError, LoadConnection, ResponseHead};
use super::crowd::NextAction;
use super::ledger::{Ledger, Violation};
use super::meter::{LatencyMeter, RequestKind};
use super::outcome::RequestOutcome;
use super::request::Requests;
use super::response::{LoadResponse, decode_drop, decode_order};
use super::schedule::{DueWork, LoadWork, WorkQueue};
use super::shared::{SharedRun, nanos};
use super::waiting_list::WaitingBuyer;

/// One of this number of reads of the drop adds up its counters.
const COUNTERS_EVERY: u64 = 16;
/// The pause after a failed attempt to open a connection.
const RECONNECT_PAUSE: Duration = Duration::from_millis(50);

/// The job of a load thread.
pub(super) struct WorkerJob {
    pub(super) run: Arc<SharedRun>,
    pub(super) rules: Arc<BehaviorRules>,
    pub(super) requests: Arc<Requests>,
    /// The server, or the nodes of a cluster, of which the first is used first.
    pub(super) nodes: Arc<[SocketAddr]>,
    pub(super) thread: usize,
    pub(super) connections: usize,
    pub(super) queue: WorkQueue,
    pub(super) meter: LatencyMeter,
    /// Reports that the connections are open.
    pub(super) ready: Sender<Result<(), ExchangeError>>,
    /// Receives the start of the run; closed where the run does not start.
    pub(super) go: Receiver<Instant>,
}

/// The figures of a load thread.
pub(super) struct WorkerResult {
    pub(super) ledger: Ledger,
    pub(super) meter: LatencyMeter,
}

/// Runs a load thread. Gives nothing where the run did not start.
///
/// # Errors
/// The runtime cannot be made: no descriptors left.
pub(super) fn work(job: WorkerJob) -> io::Result<Option<WorkerResult>> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    let opened = runtime.block_on(open_all(job.nodes[0], job.connections));
    let (connections, report) = match opened {
        Ok(connections) => (connections, Ok(())),
        Err(fault) => (Vec::new(), Err(fault)),
    };
    let Ok(()) = job.ready.send(report) else { return Ok(None) };
    let Ok(start) = job.go.recv() else { return Ok(None) };
    let state = Rc::new(WorkerState {
        run: job.run,
        rules: job.rules,
        requests: job.requests,
        nodes: job.nodes,
        node: Cell::new(0),
        thread: job.thread,
        start,
        queue: RefCell::new(job.queue),
        ledger: RefCell::default(),
        meter: RefCell::new(job.meter),
        idle: Cell::new(0),
        drop_reads: Cell::new(0),
    });
    runtime.block_on(async {
        for connection in connections {
            tokio::task::spawn_local(serve(Rc::clone(&state), connection));
        }
        state.run.lanes[state.thread].over.notified().await;
    });
    drop(runtime); // ends the tasks
    Ok(Rc::into_inner(state)
        .map(|state| WorkerResult { ledger: state.ledger.into_inner(), meter: state.meter.into_inner() }))
}

async fn open_all(address: SocketAddr, count: usize) -> Result<Vec<LoadConnection>, ExchangeError> {
    let mut connections = Vec::with_capacity(count);
    for _ in 0..count {
        connections.push(LoadConnection::open(address).await?);
    }
    Ok(connections)
}

/// Serves one connection: takes work when it is due, until the run is over.
async fn serve(state: Rc<WorkerState>, first: LoadConnection) {
    let mut connection = Some(first);
    let mut request = Vec::with_capacity(512);
    loop {
        let DueWork { at_ns, work, .. } = state.next().await;
        match work {
            LoadWork::ReadDrop => {
                state.requests.read_drop(&mut request);
                let counters = state.drop_reads.get().is_multiple_of(COUNTERS_EVERY);
                state.drop_reads.set(state.drop_reads.get() + 1);
                let decode = |head: &ResponseHead, body: &[u8]| decode_drop(head, body, counters);
                let asked = state.ask(&mut connection, &request, decode).await;
                state.note(RequestKind::Reads, at_ns, &asked);
                state.seen(&asked.answer);
            }
            LoadWork::BuyerStep(step, buyer) => {
                state.requests.step(&buyer, step, &mut request);
                let asked = state.ask(&mut connection, &request, decode_order).await;
                state.note(kind_of(step), at_ns, &asked);
                state.settle(step, buyer, &asked);
            }
        }
        if connection.is_none() {
            connection = state.open().await;
            if connection.is_none() {
                tokio::time::sleep(RECONNECT_PAUSE).await;
            }
        }
    }
}

const fn kind_of(step: BuyerStep) -> RequestKind {
    match step {
        BuyerStep::Order | BuyerStep::Repeat | BuyerStep::AskTwice => RequestKind::Orders,
        BuyerStep::CheckOut | BuyerStep::Cancel | BuyerStep::ReadLapsed => RequestKind::FollowUps,
    }
}

/// A request with its outcome and its instants.
struct RequestResult {
    answer: LoadResponse,
    outcome: RequestOutcome,
    sent_ns: u64,
    done_ns: u64,
}

/// One thread's state, shared by its connections.
struct WorkerState {
    run: Arc<SharedRun>,
    rules: Arc<BehaviorRules>,
    requests: Arc<Requests>,
    nodes: Arc<[SocketAddr]>,
    /// Index of the node that connections are opened to.
    node: Cell<usize>,
    thread: usize,
    start: Instant,
    queue: RefCell<WorkQueue>,
    ledger: RefCell<Ledger>,
    meter: RefCell<LatencyMeter>,
    /// The number of connections that wait for work.
    idle: Cell<usize>,
    drop_reads: Cell<u64>,
}

impl WorkerState {
    fn now_ns(&self) -> u64 {
        nanos(self.start.elapsed())
    }

    /// The next work, when it is due.
    async fn next(&self) -> DueWork {
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

    /// Lets an idle connection take the work that is due now, or be woken when it is.
    fn hand_on(&self, next_due_ns: Option<u64>, now_ns: u64) {
        let lane = &self.run.lanes[self.thread];
        match next_due_ns {
            Some(due_ns) if due_ns <= now_ns => lane.wake.notify_one(),
            later => lane.wake_at(later),
        }
    }

    fn push(&self, at_ns: u64, work: LoadWork) {
        self.queue.borrow_mut().push(at_ns, work);
        if self.idle.get() > 0 {
            let next_due_ns = self.queue.borrow().next_due_ns();
            self.hand_on(next_due_ns, self.now_ns());
        }
    }

    /// Opens a connection to the present node.
    async fn open(&self) -> Option<LoadConnection> {
        let address = self.nodes[self.node.get()];
        let opened = LoadConnection::open(address).await.ok();
        if opened.is_none() {
            self.leave(address);
        }
        opened
    }

    /// Takes the next node for further connections, unless another connection of this thread has left this one.
    fn leave(&self, address: SocketAddr) {
        let node = self.node.get();
        if self.nodes[node] == address {
            self.node.set((node + 1) % self.nodes.len());
        }
    }

    /// Sends a request and decodes its response.
    async fn ask(
        &self,
        connection: &mut Option<LoadConnection>,
        request: &[u8],
        decode: impl FnOnce(&ResponseHead, &[u8]) -> (LoadResponse, RequestOutcome),
    ) -> RequestResult {
        if connection.as_ref().is_some_and(|open| !open.is_quiet()) {
            *connection = self.open().await;
        }
        let sent_ns = self.now_ns();
        let Some(open) = connection.as_mut() else {
            return RequestResult {
                answer: LoadResponse::NotSent,
                outcome: RequestOutcome::NotConnected,
                sent_ns,
                done_ns: sent_ns,
            };
        };
        let (answer, outcome) = match open.exchange(request).await {
            Ok(reply) => decode(&reply.head, reply.body),
            Err(ExchangeError::NotConnected(_)) => (LoadResponse::NotSent, RequestOutcome::NotConnected),
            Err(ExchangeError::Lost) => (LoadResponse::Unsure, RequestOutcome::ConnectionLost),
            Err(ExchangeError::TimedOut) => (LoadResponse::Unsure, RequestOutcome::TimedOut),
            Err(ExchangeError::Invalid(_)) => (LoadResponse::Unsure, RequestOutcome::Invalid),
        };
        let elsewhere = self.nodes.len() > 1 && outcome.is_for_another_node();
        if elsewhere {
            self.leave(open.address);
        }
        if elsewhere || !open.is_reusable() {
            *connection = None;
        }
        RequestResult { answer, outcome, sent_ns, done_ns: self.now_ns() }
    }

    /// Counts and times a request.
    fn note(&self, kind: RequestKind, intended_ns: u64, asked: &RequestResult) {
        let lane = &self.run.lanes[self.thread];
        self.ledger.borrow_mut().count(asked.outcome);
        if !asked.outcome.is_timed() {
            return;
        }
        let mut meter = self.meter.borrow_mut();
        if asked.outcome == RequestOutcome::Reserved {
            add_one(&lane.reserved);
            if let Some(answers) = &self.run.answers {
                answers.note();
            }
        }
        if asked.outcome == RequestOutcome::SoldOut {
            meter.sold_out(asked.done_ns);
        }
        add_one(&lane.answers);
        meter.record(kind, intended_ns, asked.sent_ns, asked.done_ns);
    }

    /// Ends a read of the drop.
    fn seen(&self, answer: &LoadResponse) {
        if let LoadResponse::Drop(Some(view)) = answer
            && !view.is_conserved()
        {
            self.ledger.borrow_mut().violated(Violation::NotConserved, 0);
        }
        self.run.closed();
    }

    /// Handles a buyer's response: the next step goes into the queue, or the buyer is done.
    fn settle(&self, step: BuyerStep, mut buyer: Buyer, asked: &RequestResult) {
        let turn = self.rules.answered(&mut buyer, step, &asked.answer, &mut self.ledger.borrow_mut());
        let line = WaitingBuyer { number: buyer.number, key: buyer.key };
        if turn.unit_returned {
            let first = self.run.waiting_list.lock().unit_returned(asked.done_ns);
            if let Some(first) = first {
                self.run.opened();
                self.call_back(first, asked.done_ns);
            }
        }
        match turn.next {
            NextAction::Again { step, pause } => {
                self.push(asked.done_ns + nanos(pause), LoadWork::BuyerStep(step, buyer))
            }
            NextAction::WaitForUnit => {
                let again = self.run.waiting_list.lock().sold_out(line, asked.sent_ns);
                match again {
                    Some(again) => self.call_back(again, asked.done_ns),
                    None => self.run.closed(),
                }
            }
            NextAction::Done => self.run.closed(),
        }
    }

    /// Lets a waiting buyer ask again.
    fn call_back(&self, waiting: WaitingBuyer, now_ns: u64) {
        let buyer = Buyer::new(waiting.number, waiting.key);
        let pause = self.rules.think(&buyer, BuyerStep::Order);
        self.push(now_ns + nanos(pause), LoadWork::BuyerStep(BuyerStep::Order, buyer));
    }
}

/// Adds one to a counter that only this thread writes.
fn add_one(counter: &AtomicU64) {
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}
