//! A stand-in of Stripe's refunds: it keeps idempotency keys, refuses more than was paid, and fails as the test says.

#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]
#![allow(unreachable_pub, missing_docs, reason = "a test's own module")]

use std::collections::BTreeMap;
use std::sync::Arc;

use firstcome::types::hex;
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::provider_stub::{StubProvider, StubRequest};

/// The stand-in's reaction to a request for a refund.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Act {
    /// Makes the refund, with this state.
    Make(&'static str),
    /// Makes the refund, and loses the answer.
    Lose,
    /// Does nothing, and does not answer.
    Hang,
    /// Does nothing, and answers with a status, further header lines, and type and code of an error.
    Refuse(u16, &'static str, &'static str, &'static str),
}

#[derive(Clone, Debug)]
pub struct Refund {
    pub id: String,
    pub payment: String,
    pub amount: u64,
    pub status: String,
    pub metadata: BTreeMap<String, String>,
}

impl Refund {
    pub fn json(&self) -> Value {
        json!({ "id": self.id, "object": "refund", "amount": self.amount, "currency": "eur", "status": self.status,
                "payment_intent": self.payment, "charge": format!("ch_{}", self.payment), "created": 1_790_000_000,
                "reason": "requested_by_customer", "metadata": self.metadata })
    }
}

#[derive(Default)]
pub struct Books {
    pub refunds: Vec<Refund>,
    /// Acts for the next requests; then refunds are made at once.
    pub acts: Vec<Act>,
    /// The number of lists that do not show the newest refund yet.
    pub lists_behind: usize,
    /// The answers that it remembers for a key, with the form.
    keys: BTreeMap<String, (String, String)>,
}

/// The amount of each payment at the stand-in.
pub const PAID: u64 = 6000;

#[derive(Clone)]
pub struct StandIn {
    pub stub: Arc<StubProvider>,
    pub books: Arc<Mutex<Books>>,
}

impl StandIn {
    pub fn start() -> StandIn {
        let books: Arc<Mutex<Books>> = Arc::default();
        let known = Arc::clone(&books);
        let stub = Arc::new(StubProvider::new(Box::new(move |_, asked| known.lock().answer(asked))));
        StandIn { stub, books }
    }

    pub fn acts(&self, acts: &[Act]) {
        self.books.lock().acts = acts.to_vec();
    }

    pub fn refunds(&self) -> Vec<Refund> {
        self.books.lock().refunds.clone()
    }

    /// The requests for refunds that arrived.
    pub fn requests(&self) -> Vec<StubRequest> {
        self.stub.requests().into_iter().filter(|asked| asked.line.starts_with("POST /v1/refunds ")).collect()
    }

    /// A refund that the shop makes in Stripe's dashboard.
    pub fn refund_by_hand(&self, payment: &str, amount: u64) -> Refund {
        self.books.lock().add(payment, amount, "succeeded", BTreeMap::new())
    }

    pub fn set_status(&self, id: &str, status: &str) -> Refund {
        let mut books = self.books.lock();
        let refund = books.refunds.iter_mut().find(|refund| refund.id == id).expect("a refund");
        refund.status = status.into();
        refund.clone()
    }
}

impl Books {
    fn add(&mut self, payment: &str, amount: u64, status: &str, metadata: BTreeMap<String, String>) -> Refund {
        let id = format!("re_{}", self.refunds.len() + 1);
        let refund = Refund { id, payment: payment.into(), amount, status: status.into(), metadata };
        self.refunds.push(refund.clone());
        refund
    }

    fn answer(&mut self, asked: &StubRequest) -> Option<(u16, &'static str, String)> {
        let error = |status, more, class: &str, code: &str| {
            Some((status, more, json!({ "error": { "type": class, "code": code } }).to_string()))
        };
        if asked.headers.get("authorization").is_none_or(|key| key != "Bearer sk_test_stub") {
            return error(401, "", "invalid_request_error", "api_key_expired");
        }
        if let Some(query) = asked.line.strip_prefix("GET /v1/refunds?") {
            let query: BTreeMap<String, String> =
                serde_html_form::from_str(query.trim_end_matches(" HTTP/1.1")).expect("a query");
            return Some((200, "", self.list(&query["payment_intent"]).to_string()));
        }
        if !asked.line.starts_with("POST /v1/refunds ") {
            return error(404, "", "invalid_request_error", "url_invalid");
        }
        let key = asked.headers["idempotency-key"].clone();
        if let Some((form, answer)) = self.keys.get(&key) {
            if *form != asked.body {
                return error(400, "", "idempotency_error", "");
            }
            return Some((200, "Idempotent-Replayed: true\r\n", answer.clone()));
        }
        let act = if self.acts.is_empty() { Act::Make("succeeded") } else { self.acts.remove(0) };
        let status = match act {
            Act::Make(status) => status,
            Act::Lose => "succeeded",
            Act::Hang => return None,
            Act::Refuse(status, more, class, code) => return error(status, more, class, code),
        };
        let mut form: BTreeMap<String, String> = serde_html_form::from_str(&asked.body).expect("a form");
        let payment = form.remove("payment_intent").expect("a payment");
        let amount: u64 = form["amount"].parse().expect("an amount");
        let live = self.refunds.iter().filter(|known| known.payment == payment && known.status != "failed");
        if live.map(|known| known.amount).sum::<u64>() + amount > PAID {
            return error(400, "", "invalid_request_error", "charge_already_refunded");
        }
        let of_metadata = |(name, value): (String, String)| {
            Some((name.strip_prefix("metadata[")?.strip_suffix(']')?.to_string(), value))
        };
        let metadata = form.into_iter().filter_map(of_metadata).collect();
        let answer = self.add(&payment, amount, status, metadata).json().to_string();
        self.keys.insert(key, (asked.body.clone(), answer.clone()));
        (act != Act::Lose).then_some((200, "", answer))
    }

    /// The newest comes first, as Stripe lists them.
    fn list(&mut self, payment: &str) -> Value {
        let mut listed: Vec<Value> =
            self.refunds.iter().rev().filter(|known| known.payment == payment).map(Refund::json).collect();
        if self.lists_behind > 0 && !listed.is_empty() {
            self.lists_behind -= 1;
            listed.remove(0);
        }
        json!({ "object": "list", "url": "/v1/refunds", "has_more": false, "data": listed })
    }
}

/// A webhook about a refund, signed by Stripe.
pub fn event_of(refund: &Refund, kind: &str) -> crate::provider_webhooks::Webhook {
    use crate::provider_webhooks::{STRIPE_SECRET, now, stripe};
    let id = format!("evt_{}", hex::encode(format!("{}{kind}", refund.id).as_bytes()));
    let body =
        json!({ "id": id, "object": "event", "type": kind, "created": now(), "data": { "object": refund.json() } });
    stripe(STRIPE_SECRET, now(), &body.to_string())
}

/// A webhook about a payment for an order.
pub fn payment_of(order: &str, payment: &str, amount: u64) -> crate::provider_webhooks::Webhook {
    use crate::provider_webhooks::{STRIPE_SECRET, now, stripe};
    let body = json!({
        "id": format!("evt_{payment}"), "object": "event", "type": "checkout.session.completed", "created": now(),
        "data": { "object": { "id": format!("cs_{payment}"), "object": "checkout.session", "mode": "payment",
            "payment_status": "paid", "payment_intent": payment, "amount_total": amount, "currency": "eur",
            "client_reference_id": order, "metadata": { "order_id": order } } },
    });
    stripe(STRIPE_SECRET, now(), &body.to_string())
}
