//! Sends the requests of all buyers when they are due: a task for each buyer, on a bounded number of connections.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep_until};

use super::dice::Dice;
use super::habits::{CrowdAnswer, CrowdRequest, DueRequest};
use super::plan::CrowdPlan;
use super::population::{BuyerKind, CrowdMember, Population};
use super::requests::CrowdRequests;
use super::tally::{CrowdTally, DoorVerdict, is_suspected};
use super::waiting::{BuyerWalk, RoomNews};
use crate::exit::Exit;
use crate::load::client::{ExchangeError, LoadConnection, ResponseHead};
use crate::load::response::{LoadResponse, RefusalKind, decode_drop, decode_order};
use crate::load::rooms::answers::{RoomAnswer, RoomView, read_room, read_ticket};

/// The wait of a buyer whose rejection names no time, in seconds.
const REJECTED_SECONDS: f64 = 1.0;

/// A run in progress.
struct CrowdRun {
    server: SocketAddr,
    requests: Rc<CrowdRequests>,
    /// The start of the drop.
    starts: Instant,
    ends: Instant,
    /// The seed of the ways through the drop's waiting room, if it has one.
    room_seed: Option<u64>,
    permits: Semaphore,
    idle: RefCell<Vec<LoadConnection>>,
    tally: RefCell<CrowdTally>,
}

/// Plays all buyers, from before the start of the drop to the end of the run.
///
/// # Errors
/// 70: a bug.
pub(super) async fn play(
    plan: &CrowdPlan,
    population: &Population,
    requests: Rc<CrowdRequests>,
    starts: Instant,
) -> Result<CrowdTally, Exit> {
    let tally = CrowdTally::new(population.members.len());
    let tally = tally.map_err(|error| Exit::bug(format!("histogram: {error}")))?;
    let run = Rc::new(CrowdRun {
        server: plan.public.address,
        requests,
        starts,
        ends: starts + plan.sale,
        room_seed: plan.room.map(|_| plan.seed),
        permits: Semaphore::new(plan.connections),
        idle: RefCell::default(),
        tally: RefCell::new(tally),
    });
    let mut buyers = JoinSet::new();
    let tasks = LocalSet::new();
    for member in &population.members {
        buyers.spawn_local_on(live(Rc::clone(&run), member.clone()), &tasks);
    }
    let ended = tasks
        .run_until(async {
            while let Some(ended) = buyers.join_next().await {
                ended?;
            }
            Ok(())
        })
        .await;
    ended.map_err(|error: tokio::task::JoinError| Exit::bug(format!("a buyer's task failed: {error}")))?;
    drop(tasks);
    let run = Rc::into_inner(run).ok_or_else(|| Exit::bug("a buyer's task did not end"))?;
    Ok(run.tally.into_inner())
}

/// One buyer, from the first request to the last.
async fn live(run: Rc<CrowdRun>, member: CrowdMember) {
    let token = run.requests.token(&run.requests.buyer(member.number), None);
    let mut attempt = 0;
    let dice = run.room_seed.map(|seed| Dice::new(!seed, u64::from(member.number)));
    let mut walk = BuyerWalk::new(member.habits.clone(), dice);
    let mut next = Some(walk.first());
    while let Some(DueRequest { at, ask }) = next {
        let due = run.instant(at);
        if due >= run.ends {
            return;
        }
        sleep_until(due).await;
        attempt += 1;
        let address = if walk.roams() { elsewhere(member.number, attempt) } else { member.address };
        let request = run.requests.request(&member, (address, &token), ask, attempt);
        let answer = run.ask(&member, ask, &request, due).await;
        next = walk.after(ask, answer, at, run.seconds(Instant::now()));
    }
}

/// Another address for each attempt of a roaming buyer, from the network for benchmarks.
fn elsewhere(number: u32, attempt: u32) -> IpAddr {
    let bits = Dice::new(u64::from(number), u64::from(attempt)).whole_within(0, (1 << 17) - 1);
    IpAddr::V4(Ipv4Addr::from_bits(0xc612_0000 | bits))
}

impl CrowdRun {
    /// The instant of a time since the start of the drop; the past counts as now.
    fn instant(&self, at: f64) -> Instant {
        if at >= 0.0 {
            self.starts + Duration::try_from_secs_f64(at).unwrap_or(Duration::MAX / 4)
        } else {
            let before = Duration::try_from_secs_f64(-at).unwrap_or_default();
            self.starts.checked_sub(before).unwrap_or(self.starts)
        }
    }

    /// Seconds from the start of the drop to an instant, negative before it.
    fn seconds(&self, at: Instant) -> f64 {
        at.saturating_duration_since(self.starts).as_secs_f64()
            - self.starts.saturating_duration_since(at).as_secs_f64()
    }

    /// Sends a request, counts its answer, and gives what the buyer makes of it.
    async fn ask(&self, member: &CrowdMember, ask: CrowdRequest, request: &str, due: Instant) -> CrowdAnswer {
        let Ok(_permit) = self.permits.acquire().await else { return CrowdAnswer::Lost };
        let idle = self.idle.borrow_mut().pop().filter(LoadConnection::is_quiet);
        let opened = match idle {
            Some(open) => Ok(open),
            None => LoadConnection::open(self.server).await,
        };
        let sent = Instant::now();
        let (answer, verdict, head) = match opened {
            Err(_) => (CrowdAnswer::Lost, DoorVerdict::Failed, ResponseHead::default()),
            Ok(mut open) => {
                let asked = open.exchange(request.as_bytes()).await;
                let read = asked.map(|reply| (read(ask, &reply.head, reply.body), reply.head));
                if open.is_reusable() {
                    self.idle.borrow_mut().push(open);
                }
                match read {
                    Ok((answer, head)) => (answer, DoorVerdict::of(&head), head),
                    Err(
                        ExchangeError::NotConnected(_)
                        | ExchangeError::Lost
                        | ExchangeError::TimedOut
                        | ExchangeError::Invalid(_),
                    ) => (CrowdAnswer::Lost, DoorVerdict::Failed, ResponseHead::default()),
                }
            }
        };
        let mut tally = self.tally.borrow_mut();
        tally.suspected_quota = tally.suspected_quota.max(head.suspected_quota.unwrap_or(0));
        let late = u64::try_from(sent.saturating_duration_since(due).as_micros()).unwrap_or(u64::MAX);
        if member.kind != BuyerKind::Person && member.kind != BuyerKind::Student {
            tally.late.saturating_record(late);
        }
        if let Some(buyer) = tally.buyers.get_mut(usize::try_from(member.number).unwrap_or(usize::MAX)) {
            buyer.note(ask, verdict, self.seconds(sent));
            buyer.is_suspected |= is_suspected(&head);
            buyer.has_unit |= matches!(answer, CrowdAnswer::Reserved(_));
            buyer.has_ticket |= matches!(answer, CrowdAnswer::Ticket(_));
        }
        answer
    }
}

/// An answer as its buyer takes it.
fn read(ask: CrowdRequest, head: &ResponseHead, body: &[u8]) -> CrowdAnswer {
    if matches!(head.status, 428 | 429) {
        return CrowdAnswer::Rejected(head.retry_after_seconds.map_or(REJECTED_SECONDS, f64::from));
    }
    let (answer, _) = match ask {
        CrowdRequest::Read => decode_drop(head, body, false),
        CrowdRequest::Order | CrowdRequest::CheckOut(_) => decode_order(head, body),
        CrowdRequest::Ticket => return of_room(&read_ticket(head, body)),
        CrowdRequest::Poll => return of_room(&read_room(head, body)),
    };
    match (ask, answer) {
        (CrowdRequest::Order, LoadResponse::Order(view)) => CrowdAnswer::Reserved(view.id),
        (_, LoadResponse::Order(_)) => CrowdAnswer::Done,
        (_, LoadResponse::No(RefusalKind::SoldOut)) => CrowdAnswer::SoldOut,
        (_, LoadResponse::No(RefusalKind::NotStarted)) => CrowdAnswer::NotStarted,
        (
            _,
            LoadResponse::No(
                RefusalKind::LimitReached
                | RefusalKind::OrderExpired
                | RefusalKind::IllegalTransition
                | RefusalKind::Ended
                | RefusalKind::NotFound
                | RefusalKind::Other,
            )
            | LoadResponse::Drop(_)
            | LoadResponse::Ticket
            | LoadResponse::Recorded { .. },
        ) => CrowdAnswer::Done,
        (_, LoadResponse::Rejected { .. } | LoadResponse::NotSent | LoadResponse::Unsure | LoadResponse::Invalid) => {
            CrowdAnswer::Lost
        }
    }
}

/// An answer of a waiting room as its buyer takes it.
fn of_room(answer: &RoomAnswer) -> CrowdAnswer {
    match answer {
        RoomAnswer::Ticket { ticket, .. } => CrowdAnswer::Ticket(ticket.position),
        RoomAnswer::Room(RoomView { state, serving, odds, .. }) => CrowdAnswer::Room(RoomNews {
            is_serving: state == "serving",
            serving: *serving,
            is_over: state == "over" || odds == "none",
        }),
        RoomAnswer::NotStarted => CrowdAnswer::NotStarted,
        RoomAnswer::SoldOut => CrowdAnswer::SoldOut,
        RoomAnswer::Order(_) | RoomAnswer::NotAdmitted { .. } | RoomAnswer::LimitReached | RoomAnswer::Refused => {
            CrowdAnswer::Done
        }
        RoomAnswer::Unchanged | RoomAnswer::Rejected(_) | RoomAnswer::Unsure | RoomAnswer::Invalid => CrowdAnswer::Lost,
    }
}
