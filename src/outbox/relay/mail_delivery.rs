//! A mail as a delivery of the outbox: what an event's mail says, whether it is sent at all, and what its result means for the
//! delivery queue.

use aws_lc_rs::digest;
use serde_json::Value;

use super::recipients::{NextRecipient, Recipients};
use crate::failpoints::{self, Bug};
use crate::mail::{AuctionDetails, Envelope, MailDetails, MailKind, MailResult, MailSubject, Mailer, OrderDetails};
use crate::outbox::delivery_queue::AttemptResult;
use crate::read::mail::{self as rows, EventOfAuction, MailEvent, ReachableBidder};
use crate::read::{AuctionRow, Reader, auctions};
use crate::telemetry::MailOutcome;
use crate::types::order_id::code_of;
use crate::types::{
    Amount, AttemptError, AuctionEnding, AuctionState, Currency, OrderState, Quantity, Seq, UnitPrice, UnixMillis, hex,
    random,
};
use crate::writer::clock::wall_clock;

/// A mail that is due.
pub(super) enum PreparedMail {
    Send(Box<Envelope>),
    /// There is no address, or nothing to say any more: the delivery ends as done.
    Skipped,
    /// The address takes no mail: the delivery ends as a dead letter.
    Refused(MailResult),
    /// Every recipient of the event has a result.
    Done,
    /// Some recipients of the event are to be tried again by the schedule.
    Later(AttemptError),
}

/// The sources of a mail.
pub(super) struct MailSource<'a> {
    pub(super) mailer: &'a Mailer,
    /// The first part of links.
    pub(super) public_url: &'a str,
    pub(super) reader: &'a Reader,
    pub(super) file_id: &'a [u8; 16],
    pub(super) now: UnixMillis,
}

/// Reads what an event's mail says, with the contact as it is now: a contact that was erased gets no mail. An event that is
/// told to many has a mail for the next of its recipients.
pub(super) fn prepare(
    source: &MailSource<'_>,
    seq: Seq,
    recipients: &mut Recipients,
) -> rusqlite::Result<PreparedMail> {
    if let Some(event) = source.reader.read(|connection| rows::event(connection, seq))? {
        return Ok(of_order(source, seq, &event));
    }
    match source.reader.read(|connection| rows::auction_event(connection, seq))? {
        Some(event) => of_auction(source, &event, recipients),
        None => Ok(PreparedMail::Skipped),
    }
}

fn of_order(source: &MailSource<'_>, seq: Seq, event: &MailEvent) -> PreparedMail {
    let Some(kind) = MailKind::of_event(&event.kind, event.is_awarded || event.is_granted()) else {
        return PreparedMail::Skipped;
    };
    let Some(email) = event.email.as_deref() else { return PreparedMail::Skipped };
    let is_over = kind.asks_for_payment() && event.state != OrderState::AwaitingPayment;
    if source.is_late(event.at) || is_over || (kind == MailKind::Won && !event.tells_of_award) {
        return PreparedMail::Skipped;
    }
    let total = event.unit_price.times(event.quantity);
    let about = MailSubject::Order(OrderDetails {
        code: code_of(event.shard, event.order.seq),
        quantity: event.quantity.get(),
        total: (total, event.currency),
        amount: moved(event),
        pay_url: format!("{}/pay/{}", source.public_url, event.order),
        pay_until: event.expires_at,
    });
    let details = MailDetails {
        kind,
        product: event.product.clone(),
        sku: event.sku.clone(),
        at: event.at,
        name: event.name.clone(),
        shop: source.mailer.shop(),
        about,
    };
    source.mail(&details, email, &(seq, event.at, &event.kind), &event.order.to_string())
}

fn of_auction(
    source: &MailSource<'_>,
    event: &EventOfAuction,
    recipients: &mut Recipients,
) -> rusqlite::Result<PreparedMail> {
    let id = event.auction;
    let Some(kind) = MailKind::of_event(&event.kind, false) else { return Ok(PreparedMail::Skipped) };
    let Some(auction) = source.reader.read(|connection| auctions::auction_by_id(connection, id))? else {
        return Ok(PreparedMail::Skipped);
    };
    if source.is_late(event.at) {
        return Ok(PreparedMail::Skipped);
    }
    let bidder = match auction.state {
        AuctionState::Live if kind == MailKind::Outbid => {
            source.reader.read(|connection| rows::outbid(connection, id, event.seq))?
        }
        AuctionState::Ended(ending) if kind == MailKind::Lost => {
            let winner = auction.leader.as_deref().filter(|_| ending == AuctionEnding::Sold);
            return to_the_next(source, event, &auction, winner, recipients);
        }
        AuctionState::Cancelled if kind == MailKind::Lost => {
            return to_the_next(source, event, &auction, None, recipients);
        }
        AuctionState::Scheduled | AuctionState::Live | AuctionState::Ended(_) | AuctionState::Cancelled => None,
    };
    Ok(bidder.map_or(PreparedMail::Skipped, |bidder| to_bidder(source, event, kind, &auction, &bidder)))
}

/// Prepares the mail of the next bidder who has lost.
fn to_the_next(
    source: &MailSource<'_>,
    event: &EventOfAuction,
    auction: &AuctionRow,
    winner: Option<&str>,
    recipients: &mut Recipients,
) -> rusqlite::Result<PreparedMail> {
    let find = |after| {
        let found = source.reader.read(|connection| rows::next_loser(connection, event.auction, after, winner))?;
        Ok(found.map(|bidder| (bidder.bid, bidder)))
    };
    Ok(match recipients.next(find)? {
        NextRecipient::Send(bidder) => to_bidder(source, event, MailKind::Lost, auction, &bidder),
        NextRecipient::Later(reason) => PreparedMail::Later(reason),
        NextRecipient::Done if recipients.has_begun() => PreparedMail::Done,
        NextRecipient::Done => PreparedMail::Skipped,
    })
}

fn to_bidder(
    source: &MailSource<'_>,
    event: &EventOfAuction,
    kind: MailKind,
    auction: &AuctionRow,
    bidder: &ReachableBidder,
) -> PreparedMail {
    let money = |price: UnitPrice| (price.times(Quantity::ONE), auction.currency);
    let url = source.mailer.has_shop.then(|| format!("{}/auctions/{}", source.public_url, event.auction));
    let about = MailSubject::Auction(AuctionDetails {
        price: money(auction.current.unwrap_or(auction.start_price)),
        minimum: money(auction.minimum_next()),
        ends_at: auction.ends_at,
        state: auction.state,
        url,
    });
    let details = MailDetails {
        kind,
        product: auction.name.clone(),
        sku: auction.sku.clone(),
        at: event.at,
        name: bidder.name.clone(),
        shop: source.mailer.shop(),
        about,
    };
    source.mail(&details, &bidder.email, &(event.seq, event.at, &event.kind), &bidder.buyer)
}

impl MailSource<'_> {
    fn is_late(&self, at: UnixMillis) -> bool {
        u128::from(self.now.since(at)) > self.mailer.age_max.as_millis()
    }

    /// Puts a mail together. `whose` is the order, or the buyer of a bid: each recipient of an event has a Message-ID.
    fn mail(
        &self,
        details: &MailDetails,
        email: &str,
        event: &(Seq, UnixMillis, &String),
        whose: &str,
    ) -> PreparedMail {
        let message_id = message_id(self.file_id, event, whose);
        match self.mailer.prepare(details, email, &message_id, wall_clock()) {
            Ok(envelope) => PreparedMail::Send(Box::new(envelope)),
            Err(refused) => PreparedMail::Refused(refused),
        }
    }
}

/// Returns the money that the event moved. A payment in another currency than the drop's has both in the detail.
fn moved(event: &MailEvent) -> Option<(Amount, Currency)> {
    let detail: Value =
        event.detail.as_deref().and_then(|detail| serde_json::from_str(detail).ok()).unwrap_or_default();
    let foreign = detail["foreign_currency"].as_str().and_then(Currency::new);
    let foreign = foreign.zip(detail["foreign_amount"].as_u64().and_then(Amount::new));
    match foreign {
        Some((currency, amount)) => Some((amount, currency)),
        None => event.amount.map(|amount| (amount, event.currency)),
    }
}

/// Returns the part of the Message-ID before `@`: the same for every attempt. Another file may have an event of the same
/// number, and so may this one after events were lost; the random part of the order and the instant distinguish them.
fn message_id(file_id: &[u8; 16], (seq, at, kind): &(Seq, UnixMillis, &String), whose: &str) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(file_id);
    context.update(&seq.get().to_be_bytes());
    context.update(&at.get().to_be_bytes());
    context.update(kind.as_bytes());
    context.update(whose.as_bytes());
    if failpoints::enabled(Bug::MailIdPerAttempt) {
        let mut chance = [0u8; 8];
        random::fill(&mut chance);
        context.update(&chance);
    }
    let digest = context.finish();
    format!("{seq}.{}", hex::encode(digest.as_ref().get(..16).unwrap_or_default()))
}

/// Returns what a result means for the delivery queue, and how it is counted.
const fn judged(result: MailResult) -> (AttemptResult, MailOutcome) {
    match result {
        MailResult::Sent => (AttemptResult::Delivered, MailOutcome::Sent),
        MailResult::Deferred(status) => (AttemptResult::Deferred(AttemptError::Status(status)), MailOutcome::Deferred),
        MailResult::Rejected(status) => (AttemptResult::Rejected(AttemptError::Status(status)), MailOutcome::Rejected),
        MailResult::Failed(error) => (AttemptResult::Failed { error, retry_after: None }, MailOutcome::Failed),
    }
}

/// Hands a mail over, and returns what that means for the delivery queue and how it is counted, unless it was counted before.
pub(super) async fn deliver(mailer: &Mailer, mail: PreparedMail) -> (AttemptResult, Option<MailOutcome>) {
    let (result, outcome) = match mail {
        PreparedMail::Send(envelope) => judged(mailer.send(&envelope).await),
        PreparedMail::Skipped => (AttemptResult::Delivered, MailOutcome::Skipped),
        PreparedMail::Refused(result) => judged(result),
        PreparedMail::Done => return (AttemptResult::Delivered, None),
        PreparedMail::Later(reason) => return (AttemptResult::Deferred(reason), None),
    };
    (result, Some(outcome))
}
