//! A mail as a delivery of the outbox: what an event's mail says, whether it is sent at all, and what its result means for the
//! delivery queue.

use aws_lc_rs::digest;
use serde_json::Value;

use crate::failpoints::{self, Bug};
use crate::mail::{Envelope, MailDetails, MailKind, MailResult, Mailer};
use crate::outbox::delivery_queue::AttemptResult;
use crate::read::Reader;
use crate::read::mail::{self as rows, MailEvent};
use crate::telemetry::MailOutcome;
use crate::types::order_id::code_of;
use crate::types::{Amount, AttemptError, Currency, OrderState, Seq, UnixMillis, hex, random};
use crate::writer::clock::wall_clock;

/// A mail that is due.
pub(super) enum PreparedMail {
    Send(Box<Envelope>),
    /// There is no address, or nothing to say any more: the delivery ends as done.
    Skipped,
    /// The address takes no mail: the delivery ends as a dead letter.
    Refused(MailResult),
}

/// Reads what an event's mail says, with the contact as it is now: a contact that was erased gets no mail.
pub(super) fn prepare(
    mailer: &Mailer,
    public_url: &str,
    reader: &Reader,
    file_id: &[u8; 16],
    seq: Seq,
    now: UnixMillis,
) -> rusqlite::Result<PreparedMail> {
    let Some(event) = reader.read(|connection| rows::event(connection, seq))? else {
        return Ok(PreparedMail::Skipped);
    };
    let Some(kind) = MailKind::of_event(&event.kind, event.of_auction) else { return Ok(PreparedMail::Skipped) };
    let Some(email) = event.email.as_deref() else { return Ok(PreparedMail::Skipped) };
    let is_late = u128::from(now.since(event.at)) > mailer.age_max.as_millis();
    let is_over = kind.asks_for_payment() && event.state != OrderState::AwaitingPayment;
    if is_late || is_over {
        return Ok(PreparedMail::Skipped);
    }
    let details = details(&event, kind, mailer.shop(), public_url);
    let message_id = message_id(file_id, seq, &event);
    Ok(match mailer.prepare(&details, email, &message_id, wall_clock()) {
        Ok(envelope) => PreparedMail::Send(Box::new(envelope)),
        Err(refused) => PreparedMail::Refused(refused),
    })
}

fn details(event: &MailEvent, kind: MailKind, shop: String, public_url: &str) -> MailDetails {
    let total = event.unit_price.times(event.quantity);
    MailDetails {
        kind,
        code: code_of(event.shard, event.order.seq),
        product: event.product.clone(),
        sku: event.sku.clone(),
        quantity: event.quantity.get(),
        total: (total, event.currency),
        amount: moved(event),
        pay_url: format!("{public_url}/pay/{}", event.order),
        pay_until: event.expires_at,
        at: event.at,
        name: event.name.clone(),
        shop,
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
fn message_id(file_id: &[u8; 16], seq: Seq, event: &MailEvent) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(file_id);
    context.update(&seq.get().to_be_bytes());
    context.update(&event.at.get().to_be_bytes());
    context.update(event.kind.as_bytes());
    context.update(event.order.to_string().as_bytes());
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

/// Hands a mail over, and returns what that means for the delivery queue and how it is counted.
pub(super) async fn deliver(mailer: &Mailer, mail: PreparedMail) -> (AttemptResult, MailOutcome) {
    match mail {
        PreparedMail::Send(envelope) => judged(mailer.send(&envelope).await),
        PreparedMail::Skipped => (AttemptResult::Delivered, MailOutcome::Skipped),
        PreparedMail::Refused(result) => judged(result),
    }
}
