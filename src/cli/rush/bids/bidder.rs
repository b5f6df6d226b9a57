//! Those who bid: one task per connection, which keeps so many bids on their way and reads their answers.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use hdrhistogram::errors::CreationError;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use super::{Auction, Bids};
use crate::cli::Exit;
use crate::cli::rush::target::Target;
use crate::wire::messages::{Bid, BidResult, Reply, Request, Update};

/// Who asks for prices and places the first bid: nobody of the storm.
const PROBER: u32 = u32::MAX;
/// Longer than the server lets anybody wait.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was found, of one connection or of all.
pub(super) struct Book {
    /// Answers by reason; 0: acknowledged.
    pub(super) reasons: BTreeMap<u8, u64>,
    /// From a bid's instant to its answer, in nanoseconds.
    pub(super) answers: Histogram<u64>,
    pub(super) last_answer: Option<Instant>,
    /// Why connections ended early.
    pub(super) broken: Vec<String>,
}

impl Book {
    pub(super) fn new() -> Result<Book, CreationError> {
        let answers = Histogram::new_with_bounds(1_000, 600_000_000_000, 3)?;
        Ok(Book { reasons: BTreeMap::new(), answers, last_answer: None, broken: Vec::new() })
    }

    pub(super) fn add(&mut self, other: Book) {
        for (reason, count) in other.reasons {
            let all = self.reasons.entry(reason).or_insert(0);
            *all = all.saturating_add(count);
        }
        let _same_bounds = self.answers.add(other.answers);
        self.last_answer = self.last_answer.max(other.last_answer);
        self.broken.extend(other.broken);
    }

    fn answered(&mut self, reason: u8, since: Instant, now: Instant) {
        let count = self.reasons.entry(reason).or_insert(0);
        *count = count.saturating_add(1);
        let took = now.saturating_duration_since(since).as_nanos();
        self.answers.saturating_record(u64::try_from(took).unwrap_or(u64::MAX));
        self.last_answer = Some(now);
    }
}

/// Bids come at instants of their own, spread over all connections.
#[derive(Clone, Copy)]
pub(super) struct Paced {
    pub(super) pace: Duration,
    pub(super) all: usize,
}

/// Bids on these connections until all have their answers, or the time is over.
pub(super) fn bid_all(
    bids: &Bids,
    auctions: &Arc<[Auction]>,
    connections: &[usize],
    paced: Option<Paced>,
    until: Instant,
) -> Result<Book, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
    let mut book = Book::new().map_err(|error| format!("histogram: {error}"))?;
    LocalSet::new().block_on(&runtime, async {
        let began = Instant::now();
        let mut bidders = Vec::with_capacity(connections.len());
        for number in connections {
            let due = paced.map(|Paced { pace, all }| (began + pace.mul_f64(*number as f64 / all.max(1) as f64), pace));
            let bidder = Bidder {
                to: bids.wire.address,
                auctions: Arc::clone(auctions),
                number: *number,
                bids: u64::from(bids.each),
                pipeline: u64::try_from(bids.pipeline).unwrap_or(1),
                due,
            };
            bidders.push(tokio::task::spawn_local(bidder.run(until)));
        }
        for bidder in bidders {
            book.add(bidder.await.map_err(|error| format!("a bidder: {error}"))??);
        }
        Ok(book)
    })
}

/// One connection.
struct Bidder {
    to: SocketAddr,
    auctions: Arc<[Auction]>,
    number: usize,
    bids: u64,
    pipeline: u64,
    /// When its next bid is due, and from one to the next.
    due: Option<(Instant, Duration)>,
}

/// Bids on their way: what they ask, and since when.
type OnTheirWay = VecDeque<(u64, Instant)>;

impl Bidder {
    async fn run(mut self, until: Instant) -> Result<Book, String> {
        let mut book = Book::new().map_err(|error| format!("histogram: {error}"))?;
        let ended = tokio::time::timeout_at(until.into(), self.bid(&mut book)).await;
        let ended = ended.unwrap_or_else(|_| Err("the time is over".into()));
        book.broken.extend(ended.err().map(|error| format!("connection {}: {error}", self.number)));
        Ok(book)
    }

    async fn bid(&mut self, book: &mut Book) -> Result<(), String> {
        let auctions = Arc::clone(&self.auctions);
        let auction = auctions.get(self.number % auctions.len().max(1)).ok_or("no auction")?;
        let user_id = u32::try_from(self.number.saturating_add(1)).map_err(|error| error.to_string())?;
        let mut stream = connect(self.to).await?;
        let (mut heard, mut out, mut on_their_way) = (Vec::new(), Vec::new(), OnTheirWay::new());
        let (mut sent, mut piece) = (0u64, [0u8; 8192]);
        while sent < self.bids || !on_their_way.is_empty() {
            let now = Instant::now();
            while sent < self.bids && (on_their_way.len() as u64) < self.pipeline && self.is_due(now) {
                let amount = auction.next.fetch_add(auction.step, Ordering::Relaxed);
                let bid = Bid { auction_id: auction.id, user_id, amount };
                if !Request::Bid(bid).write(&mut out) {
                    return Err("a bid does not fit its frame".into());
                }
                // A bid that had to wait for its connection has waited since it was due.
                on_their_way.push_back((amount, self.take_due().unwrap_or(now)));
                sent = sent.saturating_add(1);
            }
            stream.write_all(&out).await.map_err(|error| error.to_string())?;
            out.clear();
            let may_send = sent < self.bids && (on_their_way.len() as u64) < self.pipeline;
            let count = match self.due.filter(|_| may_send) {
                Some((due, _)) => tokio::select! {
                    count = stream.read(&mut piece) => count,
                    () = tokio::time::sleep_until(due.into()) => continue,
                },
                None => stream.read(&mut piece).await,
            };
            let count = count.map_err(|error| error.to_string())?;
            if count == 0 {
                return Err("the server closed it".into());
            }
            heard.extend_from_slice(piece.get(..count).unwrap_or_default());
            take_answers(auction, &mut heard, &mut on_their_way, book)?;
        }
        Ok(())
    }

    fn is_due(&self, now: Instant) -> bool {
        self.due.is_none_or(|(due, _)| due <= now)
    }

    /// When the bid that is sent now was due; the next one is later.
    fn take_due(&mut self) -> Option<Instant> {
        let (due, pace) = self.due?;
        self.due = Some((due + pace, pace));
        Some(due)
    }
}

fn take_answers(
    auction: &Auction,
    heard: &mut Vec<u8>,
    on_their_way: &mut OnTheirWay,
    book: &mut Book,
) -> Result<(), String> {
    let (now, mut taken) = (Instant::now(), 0);
    while let Some((reply, length)) =
        Reply::first(heard.get(taken..).unwrap_or_default()).map_err(|error| error.to_string())?
    {
        taken += length;
        match reply {
            Reply::Result(BidResult { reason, .. }) => {
                let (amount, since) = on_their_way.pop_front().ok_or("an answer to no bid")?;
                if reason == 0 {
                    auction.highest.fetch_max(amount, Ordering::Relaxed);
                }
                book.answered(reason, since, now);
            }
            Reply::Error { code, message } => return Err(format!("ERROR {code}: {message}")),
            Reply::Update(_) | Reply::Pong(_) | Reply::Reserved(_) | Reply::Ok { .. } => {
                return Err("an answer to something else".into());
            }
        }
    }
    heard.drain(..taken);
    Ok(())
}

async fn connect(to: SocketAddr) -> Result<TcpStream, String> {
    let stream = TcpStream::connect(to).await.map_err(|error| format!("{to}: {error}"))?;
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    Ok(stream)
}

/// Looks what an auction asks for next, and by how much bids rise there, with a first bid.
pub(super) async fn probe(wire: &Target, id: u32) -> Result<Auction, Exit> {
    let no = |why: String| Exit::new(69, format!("auction {id} at {}: {why}", wire.authority));
    let mut stream = connect(wire.address).await.map_err(no)?;
    let mut ask = async |amount| {
        let bid = Request::Bid(Bid { auction_id: id, user_id: PROBER, amount });
        match ask(&mut stream, bid, 1).await?.first() {
            Some(Said::Result(result)) => Ok(*result),
            Some(Said::Other(what)) => Err(what.clone()),
            Some(Said::Update(_)) | None => Err("no answer to a bid".to_owned()),
        }
    };
    let mut result = ask(0).await.map_err(no)?;
    if result.reason == TOO_LOW {
        result = ask(result.minimum_next).await.map_err(no)?;
    }
    if result.reason != 0 {
        return Err(no(format!("takes no bids: {}", super::words(result.reason))));
    }
    let step = result.minimum_next.saturating_sub(result.current).max(1);
    let (next, highest) = (AtomicU64::new(result.minimum_next), AtomicU64::new(result.current));
    Ok(Auction { id, next, step, highest })
}

/// The number of `bid-too-low`.
const TOO_LOW: u8 = 16;

/// An auction's price.
pub(super) async fn price_of(wire: &Target, id: u32) -> Result<u64, Exit> {
    let no = |why: String| Exit::new(69, format!("auction {id} at {}: {why}", wire.authority));
    let mut stream = connect(wire.address).await.map_err(no)?;
    let said = ask(&mut stream, Request::Subscribe { auction_id: id, from_seq: 0 }, 2).await.map_err(no)?;
    let update = said.into_iter().find_map(|said| match said {
        Said::Update(update) => Some(update.current),
        Said::Result(_) | Said::Other(_) => None,
    });
    update.ok_or_else(|| no("tells no price".into()))
}

/// What matters of an answer.
enum Said {
    Result(BidResult),
    Update(Update),
    Other(String),
}

/// A request, and the answers to it, so many.
async fn ask(stream: &mut TcpStream, request: Request<'_>, answers: usize) -> Result<Vec<Said>, String> {
    let mut out = Vec::new();
    if !request.write(&mut out) {
        return Err("it does not fit its frame".into());
    }
    stream.write_all(&out).await.map_err(|error| error.to_string())?;
    let (mut heard, mut said) = (Vec::new(), Vec::new());
    while said.len() < answers {
        if let Some((reply, taken)) = Reply::first(&heard).map_err(|error| error.to_string())? {
            said.push(match reply {
                Reply::Result(result) => Said::Result(result),
                Reply::Update(update) => Said::Update(update),
                Reply::Error { code, message } => Said::Other(format!("ERROR {code}: {message}")),
                Reply::Pong(_) | Reply::Reserved(_) | Reply::Ok { .. } => Said::Other("another answer".into()),
            });
            heard.drain(..taken);
            continue;
        }
        let mut piece = [0u8; 512];
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut piece)).await;
        let count = read.map_err(|_| "no answer".to_owned())?.map_err(|error| error.to_string())?;
        if count == 0 {
            return Err("the server closed the connection".into());
        }
        heard.extend_from_slice(piece.get(..count).unwrap_or_default());
    }
    Ok(said)
}
