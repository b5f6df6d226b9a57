//! A load thread of a crowd in a room: its connections, each one a task that does the next errand, or polls.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, LocalOptions};
use tokio::task::JoinSet;

use super::answers::{RoomAnswer, RoomView, read_order, read_room, read_ticket};
use super::ledger::{RoomCount, RoomLedger, RoomTimed, RoomViolation};
use super::line::{Errand, WaitingLine};
use super::requests::RoomRequests;
use crate::exit::Exit;
use crate::load::client::{EntityTag, LoadConnection, ResponseHead};

/// The pause of a connection between two polls, where it has nothing else to do.
const POLL_EVERY: Duration = Duration::from_millis(25);
/// The pause before a request is sent again without an answer.
const AGAIN_AFTER: Duration = Duration::from_millis(50);
/// An admitted buyer who is refused so shortly before the end of the time to order came too late.
const LATE_BY: Duration = Duration::from_secs(1);

/// The job of a load thread.
pub(super) struct RoomJob {
    pub(super) line: Arc<WaitingLine>,
    pub(super) requests: Arc<RoomRequests>,
    pub(super) server: SocketAddr,
    pub(super) connections: usize,
    pub(super) order_seconds: u32,
}

/// Runs a load thread to the end of the run.
///
/// # Errors
/// 71: no runtime.
pub(super) fn work(job: RoomJob) -> Result<RoomLedger, Exit> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    let runtime = runtime.map_err(|error| Exit::system(format!("no runtime: {error}")))?;
    let bug = |what: String| Exit::bug(format!("a load thread failed: {what}"));
    let ledger = RoomLedger::new().map_err(|error| bug(error.to_string()))?;
    let connections = job.connections;
    let state = Rc::new(ThreadState { job, ledger: RefCell::new(ledger) });
    runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for _ in 0..connections {
            let connection =
                RoomConnection { state: Rc::clone(&state), open: None, tag: None, seen: 0, out: Vec::new() };
            tasks.spawn_local(connection.serve());
        }
        while let Some(ended) = tasks.join_next().await {
            ended.map_err(|error| bug(error.to_string()))?;
        }
        Ok(())
    })?;
    let state = Rc::into_inner(state).ok_or_else(|| bug("a connection did not end".to_owned()))?;
    Ok(state.ledger.into_inner())
}

/// One thread's state, shared by its connections.
struct ThreadState {
    job: RoomJob,
    ledger: RefCell<RoomLedger>,
}

/// A connection, with what it last saw of the room.
struct RoomConnection {
    state: Rc<ThreadState>,
    open: Option<LoadConnection>,
    tag: Option<EntityTag>,
    seen: u32,
    out: Vec<u8>,
}

impl RoomConnection {
    async fn serve(mut self) {
        let state = Rc::clone(&self.state);
        let line = &state.job.line;
        while !line.is_over() {
            let errand = line.next().or_else(|| line.next_other());
            if let Some(errand) = errand {
                self.run(errand).await;
                line.done();
                if !matches!(errand, Errand::Early(_) | Errand::Stranger(_)) {
                    continue;
                }
            }
            let fast = line.polls_fast();
            if let Some(view) = self.poll().await {
                line.show(&view);
            }
            if fast {
                self.state.ledger.borrow_mut().count(RoomCount::FastPolls);
            } else {
                tokio::time::sleep(POLL_EVERY).await;
            }
        }
    }

    async fn run(&mut self, errand: Errand) {
        match errand {
            Errand::Ticket(buyer) => self.take_ticket(buyer).await,
            Errand::Position(buyer) => self.ask_ticket_again(buyer).await,
            Errand::Order(buyer, since) => self.order(buyer, since).await,
            Errand::CheckOut(buyer, order) => {
                self.state.job.requests.check_out(buyer, order, &mut self.out);
                match self.ask(buyer, None, read_order).await {
                    Some(RoomAnswer::Order(_)) => self.count(RoomCount::CheckedOut),
                    Some(_) => self.violated(RoomViolation::InvalidResponse, buyer),
                    None => {}
                }
            }
            Errand::Early(buyer) => self.order_early(buyer).await,
            Errand::Stranger(buyer) => self.order_without_ticket(buyer).await,
        }
    }

    async fn take_ticket(&mut self, buyer: u32) {
        self.state.job.requests.ticket(buyer, &mut self.out);
        match self.ask(buyer, Some(RoomTimed::Tickets), read_ticket).await {
            // A repeat here is the answer to a request whose first answer was lost.
            Some(RoomAnswer::Ticket { ticket, repeated: _ }) => {
                self.count(RoomCount::Tickets);
                self.note(self.state.job.line.ticket(buyer, ticket), buyer);
            }
            // Every unit is sold: no more tickets.
            Some(RoomAnswer::SoldOut) => self.count(RoomCount::SoldOut),
            Some(_) => self.violated(RoomViolation::InvalidResponse, buyer),
            None => {}
        }
        if self.state.job.line.habits(buyer).asks_twice {
            self.ask_ticket_again(buyer).await;
            self.count(RoomCount::TicketsAskedTwice);
        }
    }

    async fn ask_ticket_again(&mut self, buyer: u32) {
        self.state.job.requests.ticket(buyer, &mut self.out);
        match self.ask(buyer, Some(RoomTimed::Tickets), read_ticket).await {
            Some(RoomAnswer::Ticket { ticket, repeated }) => {
                if !repeated {
                    self.violated(RoomViolation::RepeatNotMarked, buyer);
                }
                let wrong = self.state.job.line.ticket(buyer, ticket);
                let is_another = wrong == Some(RoomViolation::NumberTwice);
                let another = if is_another { Some(RoomViolation::AnotherTicket) } else { wrong };
                self.note(another, buyer);
            }
            Some(RoomAnswer::SoldOut) => {}
            Some(_) => self.violated(RoomViolation::InvalidResponse, buyer),
            None => {}
        }
    }

    /// The order of an admitted buyer.
    async fn order(&mut self, buyer: u32, since: Option<Instant>) {
        let (line, order_seconds) = (Arc::clone(&self.state.job.line), self.state.job.order_seconds);
        let habits = line.habits(buyer);
        if habits.is_gone {
            return self.count(RoomCount::Gone);
        }
        let in_time = Duration::from_secs(u64::from(order_seconds)).saturating_sub(LATE_BY);
        self.state.job.requests.order(buyer, false, &mut self.out);
        let answer = self.ask(buyer, Some(RoomTimed::Orders), read_order).await;
        match answer {
            Some(RoomAnswer::Order(id)) => {
                self.state.ledger.borrow_mut().orders.push(id);
                if habits.checks_out {
                    line.push(Errand::CheckOut(buyer, id));
                }
            }
            Some(RoomAnswer::NotAdmitted { .. }) if since.is_some_and(|since| since.elapsed() < in_time) => {
                self.violated(RoomViolation::AdmittedRefused, buyer);
            }
            Some(RoomAnswer::NotAdmitted { .. }) => self.count(RoomCount::TooLate),
            Some(RoomAnswer::SoldOut) => self.count(RoomCount::SoldOut),
            // The order before the own turn came when it had begun.
            Some(RoomAnswer::LimitReached) if habits.jumps => {}
            Some(_) => self.violated(RoomViolation::InvalidResponse, buyer),
            None => {}
        }
    }

    /// The order of a buyer before the own turn: refused, or the turn has come meanwhile.
    async fn order_early(&mut self, buyer: u32) {
        let line = Arc::clone(&self.state.job.line);
        let Some(position) = line.position(buyer).filter(|position| *position >= line.serving()) else { return };
        self.state.job.requests.order(buyer, true, &mut self.out);
        match self.ask(buyer, None, read_order).await {
            Some(RoomAnswer::NotAdmitted { position: named, serving }) => {
                if named != Some(position) {
                    self.violated(RoomViolation::AnotherPosition, buyer);
                }
                // The turn came and passed while the position was asked for.
                let has_passed = serving > position;
                self.count(if has_passed { RoomCount::TooLate } else { RoomCount::EarlyRefused });
            }
            Some(RoomAnswer::Order(id)) => {
                self.state.ledger.borrow_mut().orders.push(id);
                self.count(RoomCount::EarlyInTurn);
                self.tag = None;
                match self.poll().await {
                    Some(view) if position < view.serving => {}
                    Some(_) | None => self.violated(RoomViolation::OutOfOrder, buyer),
                }
            }
            Some(RoomAnswer::SoldOut) => self.count(RoomCount::EarlyRefused),
            // The order in the own turn was faster.
            Some(RoomAnswer::LimitReached) if position < line.serving() => {}
            Some(_) => self.violated(RoomViolation::InvalidResponse, buyer),
            None => {}
        }
    }

    async fn order_without_ticket(&mut self, buyer: u32) {
        self.state.job.requests.order(buyer, true, &mut self.out);
        match self.ask(buyer, None, read_order).await {
            Some(RoomAnswer::NotAdmitted { position: None, .. } | RoomAnswer::SoldOut) => {
                self.count(RoomCount::WithoutTicketRefused);
            }
            Some(RoomAnswer::Order(id)) => {
                self.state.ledger.borrow_mut().orders.push(id);
                self.violated(RoomViolation::OrderedWithoutTicket, buyer);
            }
            Some(_) => self.violated(RoomViolation::InvalidResponse, buyer),
            None => {}
        }
    }

    /// Polls the room; gives its body if it has changed.
    async fn poll(&mut self) -> Option<RoomView> {
        self.state.job.requests.room(self.tag.as_ref(), &mut self.out);
        let mut tag = None;
        let answer = self
            .ask(0, Some(RoomTimed::Polls), |head, body| {
                tag = head.etag;
                read_room(head, body)
            })
            .await?;
        self.count(RoomCount::Polls);
        match answer {
            RoomAnswer::Unchanged => {
                self.count(RoomCount::PollsUnchanged);
                self.state.job.line.saw_unchanged();
                None
            }
            RoomAnswer::Room(view) => {
                self.tag = tag;
                if view.serving < self.seen {
                    self.violated(RoomViolation::ServingWentBack, 0);
                }
                self.seen = view.serving;
                Some(view)
            }
            RoomAnswer::Ticket { .. }
            | RoomAnswer::Order(_)
            | RoomAnswer::NotAdmitted { .. }
            | RoomAnswer::SoldOut
            | RoomAnswer::NotStarted
            | RoomAnswer::LimitReached
            | RoomAnswer::Refused
            | RoomAnswer::Rejected(_)
            | RoomAnswer::Unsure
            | RoomAnswer::Invalid => {
                self.violated(RoomViolation::InvalidResponse, 0);
                None
            }
        }
    }

    /// Sends the prepared request until it has a definite answer; `None` where the run ends before.
    async fn ask(
        &mut self,
        buyer: u32,
        timed: Option<RoomTimed>,
        mut read: impl FnMut(&ResponseHead, &[u8]) -> RoomAnswer,
    ) -> Option<RoomAnswer> {
        let state = Rc::clone(&self.state);
        loop {
            let answer = self.exchange(timed, &mut read).await;
            let pause = match answer {
                Some(RoomAnswer::Rejected(after)) => {
                    self.count(RoomCount::Rejected);
                    after
                }
                Some(RoomAnswer::Unsure) => {
                    self.count(RoomCount::Unsure);
                    AGAIN_AFTER
                }
                Some(RoomAnswer::Invalid) => {
                    self.violated(RoomViolation::InvalidResponse, buyer);
                    return Some(RoomAnswer::Invalid);
                }
                Some(answer) => return Some(answer),
                None => {
                    self.count(RoomCount::NotConnected);
                    AGAIN_AFTER
                }
            };
            if state.job.line.was_cut_off() {
                return None;
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Sends the prepared request once; `None` without a connection.
    async fn exchange(
        &mut self,
        timed: Option<RoomTimed>,
        read: &mut impl FnMut(&ResponseHead, &[u8]) -> RoomAnswer,
    ) -> Option<RoomAnswer> {
        if self.open.as_ref().is_none_or(|open| !open.is_quiet()) {
            self.open = LoadConnection::open(self.state.job.server).await.ok();
        }
        let open = self.open.as_mut()?;
        let sent = Instant::now();
        let answer = match open.exchange(&self.out).await {
            Ok(reply) => read(&reply.head, reply.body),
            Err(_without_an_answer) => RoomAnswer::Unsure,
        };
        if !open.is_reusable() {
            self.open = None;
        }
        if let Some(what) = timed {
            let us = u64::try_from(sent.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.state.ledger.borrow_mut().timed(what, us);
        }
        Some(answer)
    }

    fn count(&self, what: RoomCount) {
        self.state.ledger.borrow_mut().count(what);
    }

    fn violated(&self, violation: RoomViolation, buyer: u32) {
        self.state.ledger.borrow_mut().violated(violation, buyer);
    }

    fn note(&self, violation: Option<RoomViolation>, buyer: u32) {
        if let Some(violation) = violation {
            self.violated(violation, buyer);
        }
    }
}
