//! A load thread of a crowd that pays: connections of buyers, and connections of the provider, each one a task.
//!
//! A buyer's connection orders, checks out, hands the payment to the provider and waits until it is acknowledged. The provider's
//! connections take deliveries in turn, so that the copies of one event are sent at once, by as many connections as are free. The
//! wait bounds the deliveries that are due.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::ledger::{PayCount, PayLedger, PayTimed, PayViolation};
use super::requests::PayRequests;
use crate::exit::Exit;
use crate::load::client::{LoadConnection, ResponseHead};
use crate::load::response::{LoadResponse, RefusalKind, decode_order};
use crate::types::OrderId;

/// The pause before a request is sent again without an answer.
const AGAIN_AFTER: Duration = Duration::from_millis(50);

/// The state that all threads share.
pub(super) struct PayRun {
    pub(super) requests: PayRequests,
    pub(super) server: SocketAddr,
    pub(super) buyers: u32,
    pub(super) rate: Option<u32>,
    pub(super) copies: u32,
    pub(super) began: Instant,
    pub(super) until: Instant,
    /// The number of the next buyer.
    pub(super) next: AtomicU32,
}

impl PayRun {
    fn next_buyer(&self) -> Option<u32> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        (number < self.buyers && Instant::now() < self.until).then_some(number)
    }

    /// The instant at which a buyer is to come, where the run has a rate.
    fn due(&self, number: u32) -> Option<Instant> {
        self.rate.map(|rate| self.began + Duration::from_secs_f64(f64::from(number) / f64::from(rate)))
    }
}

/// Runs a load thread to the end of the run.
///
/// # Errors
/// 71: no runtime.
pub(super) fn work(run: Arc<PayRun>, buyers: usize, providers: usize) -> Result<PayLedger, Exit> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    let runtime = runtime.map_err(|error| Exit::system(format!("no runtime: {error}")))?;
    let bug = |what: String| Exit::bug(format!("a load thread failed: {what}"));
    let ledger = PayLedger::new().map_err(|error| bug(error.to_string()))?;
    let state = Rc::new(PayThread {
        run,
        ledger: RefCell::new(ledger),
        deliveries: RefCell::new(VecDeque::new()),
        more: Notify::new(),
        is_over: Cell::new(false),
    });
    runtime.block_on(async {
        let (mut buying, mut providing) = (JoinSet::new(), JoinSet::new());
        for _ in 0..buyers {
            buying.spawn_local(buy(Rc::clone(&state)));
        }
        for _ in 0..providers {
            providing.spawn_local(provide(Rc::clone(&state)));
        }
        while let Some(ended) = buying.join_next().await {
            ended.map_err(|error| bug(error.to_string()))?;
        }
        // No further event comes; the copies of those that came are delivered.
        state.is_over.set(true);
        state.more.notify_waiters();
        while let Some(ended) = providing.join_next().await {
            ended.map_err(|error| bug(error.to_string()))?;
        }
        Ok(())
    })?;
    let state = Rc::into_inner(state).ok_or_else(|| bug("a connection did not end".to_owned()))?;
    Ok(state.ledger.into_inner())
}

/// One thread's state, shared by its connections.
struct PayThread {
    run: Arc<PayRun>,
    ledger: RefCell<PayLedger>,
    deliveries: RefCell<VecDeque<Rc<PayEvent>>>,
    /// Wakes a connection of the provider.
    more: Notify,
    is_over: Cell<bool>,
}

/// The event of a payment, with what its deliveries brought.
struct PayEvent {
    buyer: u32,
    order: OrderId,
    /// The instant of the payment, which every copy of the event has.
    at: jiff::Timestamp,
    /// The request of the order, or the instant at which it was due.
    since: Instant,
    /// Deliveries without an answer yet.
    left: Cell<u32>,
    applied: Cell<u32>,
    acknowledged: Cell<bool>,
    /// A delivery had no definite answer, so that the answer *applied* may be lost.
    unsure: Cell<bool>,
    paid: Notify,
}

impl PayThread {
    fn count(&self, what: PayCount) {
        self.ledger.borrow_mut().count(what);
    }

    fn violated(&self, violation: PayViolation, buyer: u32) {
        self.ledger.borrow_mut().violated(violation, buyer);
    }
}

/// A connection of one buyer after another.
async fn buy(state: Rc<PayThread>) {
    let mut peer = PayConnection::default();
    while let Some(number) = state.run.next_buyer() {
        if let Some(due) = state.run.due(number) {
            tokio::time::sleep_until(due.min(state.run.until).into()).await;
        }
        if order_and_pay(&state, &mut peer, number).await.is_none() {
            state.count(PayCount::CutOff);
        }
    }
}

/// One buyer, from the order to the payment; `None` where the time limit of the run came first.
async fn order_and_pay(state: &PayThread, peer: &mut PayConnection, buyer: u32) -> Option<()> {
    let since = state.run.due(buyer).unwrap_or_else(Instant::now);
    if since >= state.run.until {
        return None;
    }
    state.run.requests.order(buyer, &mut peer.out);
    let order = match peer.ask(state, PayTimed::Orders).await? {
        LoadResponse::Order(view) => view.id,
        LoadResponse::No(RefusalKind::SoldOut) => {
            state.count(PayCount::SoldOut);
            return Some(());
        }
        LoadResponse::Drop(_)
        | LoadResponse::Ticket
        | LoadResponse::Recorded { .. }
        | LoadResponse::No(_)
        | LoadResponse::Rejected { .. }
        | LoadResponse::Unsure
        | LoadResponse::NotSent
        | LoadResponse::Invalid => {
            state.violated(PayViolation::InvalidResponse, buyer);
            return Some(());
        }
    };
    state.ledger.borrow_mut().orders.push(order);
    state.count(PayCount::Ordered);
    state.run.requests.check_out(buyer, order, &mut peer.out);
    match peer.ask(state, PayTimed::Checkouts).await? {
        LoadResponse::Order(_) => state.count(PayCount::CheckedOut),
        LoadResponse::Drop(_)
        | LoadResponse::Ticket
        | LoadResponse::Recorded { .. }
        | LoadResponse::No(_)
        | LoadResponse::Rejected { .. }
        | LoadResponse::Unsure
        | LoadResponse::NotSent
        | LoadResponse::Invalid => {
            state.violated(PayViolation::InvalidResponse, buyer);
            return Some(());
        }
    }
    let event = Rc::new(PayEvent {
        buyer,
        order,
        at: jiff::Timestamp::now(),
        since,
        left: Cell::new(state.run.copies),
        applied: Cell::new(0),
        acknowledged: Cell::new(false),
        unsure: Cell::new(false),
        paid: Notify::new(),
    });
    for _copy in 0..state.run.copies {
        state.deliveries.borrow_mut().push_back(Rc::clone(&event));
        state.more.notify_one();
    }
    tokio::time::timeout_at(state.run.until.into(), event.paid.notified()).await.ok()
}

/// A connection of the provider.
async fn provide(state: Rc<PayThread>) {
    let mut peer = PayConnection::default();
    loop {
        let more = state.more.notified();
        let next = state.deliveries.borrow_mut().pop_front();
        match next {
            Some(event) => deliver(&state, &mut peer, &event).await,
            None if state.is_over.get() => return,
            None => more.await,
        }
    }
}

/// Delivers an event once, as often as it takes until it is acknowledged.
async fn deliver(state: &PayThread, peer: &mut PayConnection, event: &PayEvent) {
    loop {
        // Each attempt is signed at its own time, as providers do.
        let times = (event.at, jiff::Timestamp::now());
        state.run.requests.payment(event.buyer, event.order, times, &mut peer.out);
        let pause = match peer.exchange(state, PayTimed::Webhooks, read_delivery).await {
            Some(DeliveryAnswer::Acknowledged(result)) => return acknowledged(state, event, result),
            Some(DeliveryAnswer::Rejected(after)) => {
                state.count(PayCount::Rejected);
                after
            }
            Some(DeliveryAnswer::Unsure) => {
                event.unsure.set(true);
                state.count(PayCount::Unsure);
                AGAIN_AFTER
            }
            Some(DeliveryAnswer::Refused) => {
                state.violated(PayViolation::WebhookRefused, event.buyer);
                event.paid.notify_one();
                return;
            }
            None => {
                state.count(PayCount::NotConnected);
                AGAIN_AFTER
            }
        };
        if Instant::now() >= state.run.until {
            return state.count(PayCount::CutOff);
        }
        tokio::time::sleep(pause).await;
    }
}

/// Counts an acknowledged delivery.
fn acknowledged(state: &PayThread, event: &PayEvent, result: DeliveryResult) {
    let now = Instant::now();
    state.count(PayCount::Deliveries);
    match result {
        DeliveryResult::Applied => {
            state.count(PayCount::Applied);
            event.applied.set(event.applied.get() + 1);
            if event.applied.get() == 2 {
                state.violated(PayViolation::AppliedTwice, event.buyer);
            }
        }
        DeliveryResult::Duplicate => state.count(PayCount::Duplicates),
        DeliveryResult::Ignored => state.violated(PayViolation::PaymentIgnored, event.buyer),
    }
    event.left.set(event.left.get().saturating_sub(1));
    if event.left.get() == 0 && event.applied.get() == 0 && !event.unsure.get() {
        state.violated(PayViolation::NeverApplied, event.buyer);
    }
    let mut ledger = state.ledger.borrow_mut();
    ledger.last_delivery = ledger.last_delivery.max(Some(now));
    // A duplicate is acknowledged after the commit of the first one, too.
    if !event.acknowledged.replace(true) {
        ledger.count(PayCount::Paid);
        ledger.last_paid = ledger.last_paid.max(Some(now));
        ledger.timed(PayTimed::Paid, event.since, now);
        event.paid.notify_one();
    }
}

/// The answer to a webhook.
pub(super) enum DeliveryAnswer {
    Acknowledged(DeliveryResult),
    /// Nothing was recorded; to be sent again after this time.
    Rejected(Duration),
    Unsure,
    Refused,
}

/// The result that an acknowledged webhook names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum DeliveryResult {
    Applied,
    Duplicate,
    Ignored,
}

#[derive(Deserialize)]
struct DeliveryBody {
    result: DeliveryResult,
}

/// Reads the answer to a webhook.
pub(super) fn read_delivery(head: &ResponseHead, body: &[u8]) -> DeliveryAnswer {
    if head.status == 200 {
        let read = serde_json::from_slice::<DeliveryBody>(body);
        return read.map_or(DeliveryAnswer::Unsure, |body| DeliveryAnswer::Acknowledged(body.result));
    }
    match decode_order(head, body).0 {
        LoadResponse::Rejected { retry_after } => DeliveryAnswer::Rejected(retry_after),
        LoadResponse::Unsure | LoadResponse::NotSent => DeliveryAnswer::Unsure,
        LoadResponse::Order(_)
        | LoadResponse::Drop(_)
        | LoadResponse::Ticket
        | LoadResponse::Recorded { .. }
        | LoadResponse::No(_)
        | LoadResponse::Invalid => DeliveryAnswer::Refused,
    }
}

/// A connection, opened when it is needed, and the request that is prepared for it.
#[derive(Default)]
struct PayConnection {
    open: Option<LoadConnection>,
    out: Vec<u8>,
}

impl PayConnection {
    /// Sends the prepared request of a buyer until it has a definite answer; `None` where the run ends before.
    async fn ask(&mut self, state: &PayThread, timed: PayTimed) -> Option<LoadResponse> {
        loop {
            let answer = self.exchange(state, timed, |head, body| decode_order(head, body).0).await;
            let pause = match answer {
                Some(LoadResponse::Rejected { retry_after }) => {
                    state.count(PayCount::Rejected);
                    retry_after
                }
                Some(LoadResponse::Unsure | LoadResponse::NotSent) => {
                    state.count(PayCount::Unsure);
                    AGAIN_AFTER
                }
                Some(answer) => return Some(answer),
                None => {
                    state.count(PayCount::NotConnected);
                    AGAIN_AFTER
                }
            };
            if Instant::now() >= state.run.until {
                return None;
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Sends the prepared request once; `None` without a connection. A broken exchange is read as a lost answer.
    async fn exchange<T>(
        &mut self,
        state: &PayThread,
        timed: PayTimed,
        read: impl FnOnce(&ResponseHead, &[u8]) -> T,
    ) -> Option<T> {
        if self.open.as_ref().is_none_or(|open| !open.is_quiet()) {
            self.open = LoadConnection::open(state.run.server).await.ok();
        }
        let open = self.open.as_mut()?;
        let sent = Instant::now();
        let answer = match open.exchange(&self.out).await {
            Ok(reply) => read(&reply.head, reply.body),
            // As a status that leaves open whether anything was applied.
            Err(_without_an_answer) => read(&ResponseHead { status: 500, ..ResponseHead::default() }, b""),
        };
        if !open.is_reusable() {
            self.open = None;
        }
        state.ledger.borrow_mut().timed(timed, sent, Instant::now());
        Some(answer)
    }
}
