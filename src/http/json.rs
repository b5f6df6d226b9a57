//! The shapes of requests and answers in JSON. What is inside is checked here; the rooms behind need not.

use std::borrow::Cow;

use hyper::body::Bytes;
use serde::{Deserialize, Serialize, Serializer};

use super::fields::{self, Fields};
use super::problem::Problem;
use crate::engine::{DropPatch, DropSpec, Reservation};
use crate::read::{DropRow, OrderRow};
use crate::types::order_id::code_of;
use crate::types::text::rfc3339;
use crate::types::{Amount, BuyerText, Contact, Currency, OrderId, OrderSecret, OrderState, Quantity, Seq, UnixMillis};

/// The longest SKU, in bytes.
pub const SKU_BYTES_MAX: usize = 100;
/// The longest name of a drop, in bytes.
pub const NAME_BYTES_MAX: usize = 200;
/// The longest description, in bytes: it fits a body with everything else.
pub const DESCRIPTION_BYTES_MAX: usize = 4000;
/// The longest reason, in bytes.
pub const REASON_BYTES_MAX: usize = 500;
/// The longest reference, in bytes.
pub const REFERENCE_BYTES_MAX: usize = 255;

/// `POST /v1/drops/{drop_id}/orders`.
pub struct OrderRequest {
    /// Who.
    pub buyer: BuyerText,
    /// How many.
    pub quantity: Quantity,
    /// How to reach him, if it came along.
    pub contact: Option<Contact>,
}

/// The common case, read without a tree; whatever does not fit is read again by [`Fields`], which names every mistake.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlainOrder<'a> {
    #[serde(borrow, default)]
    buyer: Option<Cow<'a, str>>,
    quantity: u16,
}

impl OrderRequest {
    /// Reads a body. Where a token names the buyer, the body need not, and must not name another.
    ///
    /// # Errors
    /// `forbidden`, `malformed`, or `validation` with every mistake.
    pub fn parse(body: &[u8], proven: Option<&BuyerText>) -> Result<OrderRequest, Problem> {
        if let Ok(plain) = serde_json::from_slice::<PlainOrder<'_>>(body)
            && let Some(quantity) = Quantity::new(plain.quantity)
        {
            let buyer = match (plain.buyer, proven) {
                (Some(buyer), None) => BuyerText::new(&buyer),
                (Some(buyer), Some(proven)) => (buyer == proven.as_str()).then(|| proven.clone()),
                (None, proven) => proven.cloned(),
            };
            if let Some(buyer) = buyer {
                return Ok(OrderRequest { buyer, quantity, contact: None });
            }
        }
        let mut fields = Fields::parse(body)?;
        let buyer = match proven {
            None => fields.required("buyer", fields::buyer),
            Some(proven) => match fields.optional("buyer", fields::buyer) {
                Some(buyer) if buyer != *proven => {
                    return Err(Problem::Forbidden("The token is another buyer's; leave `buyer` out of the body."));
                }
                Some(_) | None => Some(proven.clone()),
            },
        };
        let quantity = fields.required("quantity", fields::quantity);
        let contact = fields.optional_contact("contact");
        fields.finish(buyer.zip(quantity).map(|(buyer, quantity)| OrderRequest { buyer, quantity, contact }))
    }
}

/// `POST /v1/orders/{order_id}/checkout`.
///
/// # Errors
/// `malformed`, or `validation` with every mistake.
pub fn parse_checkout(body: &[u8]) -> Result<Contact, Problem> {
    let mut fields = Fields::parse(body)?;
    if let Some(contact) = fields.optional_contact("contact") {
        return fields.finish(Some(contact));
    }
    let missing = fields.required("contact", |_| Err(String::new()));
    fields.finish(missing)
}

/// `{reason}`.
///
/// # Errors
/// `malformed`, or `validation` with every mistake.
pub fn parse_reason(body: &[u8]) -> Result<Box<str>, Problem> {
    let mut fields = Fields::parse(body)?;
    let reason = fields.required("reason", fields::text(REASON_BYTES_MAX));
    fields.finish(reason)
}

/// `POST /v1/drops`.
///
/// # Errors
/// `malformed`, or `validation` with every mistake.
pub fn parse_drop(body: &[u8]) -> Result<DropSpec, Problem> {
    let mut fields = Fields::parse(body)?;
    let sku = fields.required("sku", fields::text(SKU_BYTES_MAX));
    let name = fields.required("name", fields::text(NAME_BYTES_MAX));
    let description = fields.optional("description", fields::long_text(DESCRIPTION_BYTES_MAX));
    let image_url = fields.optional("image_url", fields::image_url);
    let currency = fields.required("currency", fields::currency);
    let unit_price = fields.required("unit_price", fields::unit_price);
    let total = fields.required("total", fields::whole_u32(0));
    let starts_at = fields.required("starts_at", fields::instant);
    let ends_at = fields.optional("ends_at", fields::instant);
    let per_buyer_limit = fields.optional("per_buyer_limit", fields::whole_u32(1)).unwrap_or(1);
    let reservation_seconds = fields.optional("reservation_seconds", fields::seconds).unwrap_or(120);
    let payment_seconds = fields.optional("payment_seconds", fields::seconds).unwrap_or(900);
    let spec = || {
        Some(DropSpec {
            sku: sku?,
            name: name?,
            description,
            image_url,
            currency: currency?,
            unit_price: unit_price?,
            total: total?,
            starts_at: starts_at?,
            ends_at,
            per_buyer_limit,
            reservation_seconds,
            payment_seconds,
        })
    };
    let spec = spec();
    fields.finish(spec)
}

/// `PATCH /v1/drops/{id}`: the expected revision, the changes, the reason.
///
/// # Errors
/// `malformed`, or `validation` with every mistake.
pub fn parse_patch(body: &[u8]) -> Result<(u32, DropPatch, Box<str>), Problem> {
    let mut fields = Fields::parse(body)?;
    let expected_revision = fields.required("expected_revision", fields::whole_u32(1));
    let reason = fields.required("reason", fields::text(REASON_BYTES_MAX));
    let patch = DropPatch {
        name: fields.optional("name", fields::text(NAME_BYTES_MAX)),
        description: fields.optional("description", fields::long_text(DESCRIPTION_BYTES_MAX)),
        image_url: fields.optional("image_url", fields::image_url),
        unit_price: fields.optional("unit_price", fields::unit_price),
        starts_at: fields.optional("starts_at", fields::instant),
        ends_at: fields.optional("ends_at", fields::instant),
        per_buyer_limit: fields.optional("per_buyer_limit", fields::whole_u32(1)),
        reservation_seconds: fields.optional("reservation_seconds", fields::seconds),
        payment_seconds: fields.optional("payment_seconds", fields::seconds),
    };
    fields.finish(expected_revision.zip(reason).map(|(revision, reason)| (revision, patch, reason)))
}

/// `POST /v1/drops/{id}/stock`: the delta, the expected total, the reason.
///
/// # Errors
/// `malformed`, or `validation` with every mistake.
pub fn parse_stock(body: &[u8]) -> Result<(i64, u32, Box<str>), Problem> {
    let mut fields = Fields::parse(body)?;
    let delta = fields.required("delta", fields::delta);
    let expected_total = fields.required("expected_total", fields::whole_u32(0));
    let reason = fields.required("reason", fields::text(REASON_BYTES_MAX));
    let made = || Some((delta?, expected_total?, reason?));
    let made = made();
    fields.finish(made)
}

/// `POST /v1/orders/{id}/payments`.
pub struct PaymentRequest {
    /// The operator's reference.
    pub reference: Box<str>,
    /// How much came in.
    pub amount: Amount,
    /// In which currency.
    pub currency: Currency,
    /// Why.
    pub reason: Box<str>,
}

/// Reads a payment.
///
/// # Errors
/// `malformed`, or `validation` with every mistake.
pub fn parse_payment(body: &[u8]) -> Result<PaymentRequest, Problem> {
    let mut fields = Fields::parse(body)?;
    let reference = fields.required("reference", fields::text(REFERENCE_BYTES_MAX));
    let amount = fields.required("amount", fields::amount);
    let currency = fields.required("currency", fields::currency);
    let reason = fields.required("reason", fields::text(REASON_BYTES_MAX));
    let made = || Some(PaymentRequest { reference: reference?, amount: amount?, currency: currency?, reason: reason? });
    let made = made();
    fields.finish(made)
}

/// `POST /v1/orders/{id}/refund`: the amount, the units that go back on sale, the reason.
///
/// # Errors
/// `malformed`, or `validation` with every mistake.
pub fn parse_refund(body: &[u8]) -> Result<(Option<Amount>, u16, Box<str>), Problem> {
    let mut fields = Fields::parse(body)?;
    let amount = fields.optional("amount", fields::amount);
    let restock_quantity = fields.optional("restock_quantity", fields::restock_quantity).unwrap_or(0);
    let reason = fields.required("reason", fields::text(REASON_BYTES_MAX));
    fields.finish(reason.map(|reason| (amount, restock_quantity, reason)))
}

/// `POST /v1/orders/{id}/refund-settled`: the reference and the reason.
///
/// # Errors
/// `malformed`, or `validation` with every mistake.
pub fn parse_settled(body: &[u8]) -> Result<(Box<str>, Box<str>), Problem> {
    let mut fields = Fields::parse(body)?;
    let reference = fields.required("reference", fields::text(REFERENCE_BYTES_MAX));
    let reason = fields.required("reason", fields::text(REASON_BYTES_MAX));
    fields.finish(reference.zip(reason))
}

/// `POST /v1/orders/search`: by exactly one of these.
pub enum Search {
    /// A telephone number.
    Phone(Box<str>),
    /// An e-mail address.
    Email(Box<str>),
    /// An order's short code.
    Code(Box<str>),
}

/// Reads a search.
///
/// # Errors
/// `malformed`, or `validation` with every mistake.
pub fn parse_search(body: &[u8]) -> Result<Search, Problem> {
    let mut fields = Fields::parse(body)?;
    let phone = fields.optional("phone", fields::text(500)).map(Search::Phone);
    let email = fields.optional("email", fields::text(500)).map(Search::Email);
    let code = fields.optional("code", fields::text(40)).map(Search::Code);
    let mut given = [phone, email, code].into_iter().flatten();
    let (first, second) = (given.next(), given.next());
    let searches = usize::from(first.is_some()).saturating_add(usize::from(second.is_some()));
    let first = fields.finish(Some(first))?;
    match first {
        Some(search) if searches == 1 => Ok(search),
        _ => Err(Problem::invalid("", "must have exactly one of phone, email, code")),
    }
}

fn time<S: Serializer>(at: &UnixMillis, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*at))
}

fn optional_time<S: Serializer>(at: &Option<UnixMillis>, serializer: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => time(at, serializer),
        None => serializer.serialize_none(),
    }
}

#[derive(Serialize)]
struct DropJson<'a> {
    id: u32,
    sku: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_url: Option<&'a str>,
    currency: &'a str,
    unit_price: u64,
    total: u32,
    available: u32,
    held: u32,
    sold: u32,
    state: &'static str,
    #[serde(serialize_with = "time")]
    starts_at: UnixMillis,
    #[serde(serialize_with = "optional_time", skip_serializing_if = "Option::is_none")]
    ends_at: Option<UnixMillis>,
    per_buyer_limit: u32,
    reservation_seconds: u32,
    payment_seconds: u32,
    revision: u32,
    version: String,
}

/// A drop.
#[must_use]
pub fn drop_body(row: &DropRow, epoch: u64) -> Bytes {
    bytes(&DropJson {
        id: row.id.get(),
        sku: &row.sku,
        name: &row.name,
        description: row.description.as_deref(),
        image_url: row.image_url.as_deref(),
        currency: row.currency.as_str(),
        unit_price: row.unit_price.get(),
        total: row.total,
        available: row.available(),
        held: row.held,
        sold: row.sold,
        state: row.state().as_str(),
        starts_at: row.starts_at,
        ends_at: row.ends_at,
        per_buyer_limit: row.per_buyer_limit,
        reservation_seconds: row.reservation_seconds,
        payment_seconds: row.payment_seconds,
        revision: row.revision,
        version: format!("{epoch}-{}", row.version),
    })
}

#[derive(Serialize)]
struct OrderJson<'a> {
    id: String,
    code: String,
    drop_id: u32,
    buyer: &'a str,
    quantity: u16,
    unit_price: u64,
    amount: u64,
    currency: &'a str,
    state: &'static str,
    seq: u64,
    #[serde(serialize_with = "time")]
    reserved_at: UnixMillis,
    #[serde(serialize_with = "time")]
    expires_at: UnixMillis,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment_url: Option<String>,
    #[serde(serialize_with = "optional_time", skip_serializing_if = "Option::is_none")]
    paid_at: Option<UnixMillis>,
    #[serde(serialize_with = "optional_time", skip_serializing_if = "Option::is_none")]
    ended_at: Option<UnixMillis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_reason: Option<&'static str>,
    refunded_amount: u64,
    version: String,
}

/// What all orders of a server have in common.
#[derive(Clone, Copy)]
pub struct OrderFrame<'a> {
    /// What `payment_url` begins with.
    pub public_url: &'a str,
    /// The file's epoch.
    pub epoch: u64,
}

fn payment_url(frame: OrderFrame<'_>, state: OrderState, id: &str) -> Option<String> {
    (state == OrderState::AwaitingPayment).then(|| format!("{}/pay/{id}", frame.public_url))
}

fn end_reason(state: OrderState) -> Option<&'static str> {
    match state {
        OrderState::Cancelled => Some("cancelled_by_buyer"),
        OrderState::Expired => Some("not_paid_in_time"),
        OrderState::Refunded => Some("refunded"),
        OrderState::Reserved | OrderState::AwaitingPayment | OrderState::Paid | OrderState::RefundDue => None,
    }
}

/// An order as its row says.
#[must_use]
pub fn order_body(row: &OrderRow, frame: OrderFrame<'_>) -> Bytes {
    let id = row.id().to_string();
    bytes(&OrderJson {
        payment_url: payment_url(frame, row.state, &id),
        id,
        code: code_of(row.seq),
        drop_id: row.drop_id.get(),
        buyer: &row.buyer,
        quantity: row.quantity.get(),
        unit_price: row.unit_price.get(),
        amount: row.amount().get(),
        currency: row.currency.as_str(),
        state: row.state.as_str(),
        seq: row.seq.get(),
        reserved_at: row.reserved_at,
        expires_at: row.expires_at,
        paid_at: row.paid_at,
        ended_at: row.ended_at,
        end_reason: end_reason(row.state),
        refunded_amount: row.refunded.get(),
        version: format!("{}-{}", frame.epoch, row.last_seq),
    })
}

/// A fresh order, without reading its row.
#[must_use]
pub fn reservation_body(reservation: &Reservation, secret: OrderSecret, buyer: &str, frame: OrderFrame<'_>) -> Bytes {
    let id = OrderId { seq: reservation.order, secret }.to_string();
    bytes(&OrderJson {
        payment_url: payment_url(frame, reservation.state, &id),
        id,
        code: code_of(reservation.order),
        drop_id: reservation.drop_id.get(),
        buyer,
        quantity: reservation.quantity.get(),
        unit_price: reservation.unit_price.get(),
        amount: reservation.unit_price.times(reservation.quantity).get(),
        currency: reservation.currency.as_str(),
        state: reservation.state.as_str(),
        seq: reservation.order.get(),
        reserved_at: reservation.reserved_at,
        expires_at: reservation.expires_at,
        paid_at: None,
        ended_at: None,
        end_reason: None,
        refunded_amount: 0,
        version: format!("{}-{}", frame.epoch, reservation.seq),
    })
}

#[derive(Serialize)]
struct ContactJson<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<&'a str>,
}

/// A contact.
#[must_use]
pub fn contact_body(contact: &Contact) -> Bytes {
    bytes(&ContactJson {
        name: contact.name.as_deref(),
        email: contact.email.as_deref(),
        phone: contact.phone.as_deref(),
        address: contact.address.as_deref(),
    })
}

/// A page of ready JSON objects.
#[must_use]
pub fn page_body(items: &[Bytes], next_after: Option<u64>) -> Bytes {
    let mut body =
        Vec::with_capacity(items.iter().map(|item| item.len().saturating_add(1)).sum::<usize>().saturating_add(64));
    body.extend_from_slice(b"{\"data\":[");
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        body.extend_from_slice(item);
    }
    body.extend_from_slice(b"],\"has_more\":");
    match next_after {
        Some(after) => body.extend_from_slice(format!("true,\"next_after\":{after}}}").as_bytes()),
        None => body.extend_from_slice(b"false}"),
    }
    Bytes::from(body)
}

/// The strong tag of a drop's or an order's version.
#[must_use]
pub fn etag(kind: &str, number: u64, epoch: u64, version: Seq) -> String {
    format!("\"{kind}{number}-{epoch}-{version}\"")
}

fn bytes(value: &impl Serialize) -> Bytes {
    // These shapes have only texts and numbers: writing them to memory cannot fail.
    Bytes::from(serde_json::to_vec(value).unwrap_or_default())
}
