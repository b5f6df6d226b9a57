//! Kills the real binary (kill -9) at every step of a refund at Stripe: before it is requested, while Stripe has made it and has
//! not answered, after the answer, and around the commit of the settlement. The number of refunds at Stripe stays one for
//! each that is due. Stopping at a step needs the feature `failpoints`; without it kills come while Stripe is silent.

use std::collections::BTreeSet;

use crate::http::call;
use crate::process::{Client, Pause, Process, wait_until};
use crate::provider_webhooks::{STRIPE_SECRET, secret_file};
use crate::refund_stand_in::{Act, PAID, StandIn, payment_of};
use firstcome::store::verify;
use rustix::process::Signal;
use serde_json::json;

/// The moment of a kill.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// The refund thread or the writer has stopped at this failpoint for the so-manieth time.
    Stopped(&'static str, u64),
    /// Stripe has made the refund, and does not answer.
    Unanswered,
}

const MOMENTS: &[Moment] = if cfg!(feature = "failpoints") {
    &[
        Moment::Stopped("BeforeRefund", 1),
        Moment::Unanswered,
        Moment::Stopped("AfterRefund", 1),
        // The commits of a round: the order, its end, its payment, the settlement.
        Moment::Stopped("AfterBegin", 4),
        Moment::Stopped("BeforeCommit", 4),
        Moment::Stopped("AfterCommit", 4),
        Moment::Stopped("AfterWatermark", 4),
    ]
} else {
    &[Moment::Unanswered, Moment::Unanswered]
};

/// An order that was cancelled before its payment came.
fn unkept(server: &Process, payment: &str) -> String {
    let mut client = Client::connect(server.public).expect("connected");
    let body = json!({ "buyer": payment, "quantity": 1 });
    let answer = client.post("/v1/drops/1/orders", payment, &body).expect("answered");
    assert_eq!(answer.status, 201, "{:?}", answer.body);
    let order = answer.body["id"].as_str().expect("an id").to_string();
    let cancelled = client.post(&format!("/v1/orders/{order}/cancel"), "c", &json!({})).expect("answered");
    assert_eq!(cancelled.status, 200, "{:?}", cancelled.body);
    let webhook = payment_of(&order, payment, PAID);
    assert_eq!(call(server.public, "POST", "/v1/payments/stripe", &webhook.head(), &webhook.body).status, 200);
    order
}

fn is_refunded(server: &Process, order: &str) -> bool {
    let payments = call(server.admin, "GET", &format!("/v1/orders/{order}/payments"), "", "").body;
    let [payment] = payments["data"].as_array().expect("a list").as_slice() else { panic!("one payment: {payments}") };
    payment["refund_due_amount"] == 0 && payment["refunded_amount"] == PAID
}

#[test]
fn kills_at_any_step_refund_each_payment_once() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (data, pause) = (scratch.path().join("data"), Pause::new(scratch.path()));
    let stand_in = StandIn::start();
    let secret = |name: &str, text: &str| secret_file(scratch.path(), name, text).to_str().expect("a path").to_string();
    let environment = [
        ("FIRSTCOME__PAYMENTS__REFUNDS", "automatic".to_string()),
        ("FIRSTCOME__PAYMENTS__STRIPE_API_KEY_FILE", secret("key", "sk_test_stub")),
        ("FIRSTCOME__PAYMENTS__STRIPE_SECRET_FILES", secret("secret", STRIPE_SECRET)),
        ("FIRSTCOME__PAYMENTS__STRIPE_URL", stand_in.stub.url()),
    ];
    let mut orders: Vec<String> = Vec::new();
    Process::start(&data, &environment).create_drop(1000);
    for (round, moment) in MOMENTS.iter().enumerate() {
        let mut wanted = environment.to_vec();
        // The list does not show at once what Stripe has made.
        stand_in.books.lock().lists_behind = round % 2;
        match moment {
            Moment::Stopped(place, times) => wanted.extend(pause.at(place, *times)),
            Moment::Unanswered => stand_in.acts(&[Act::Lose]),
        }
        let mut server = Process::start(&data, &wanted);
        let known = stand_in.refunds().len();
        orders.push(unkept(&server, &format!("pi_{round}")));
        match moment {
            Moment::Stopped(..) => pause.wait(),
            Moment::Unanswered => wait_until("Stripe has made it", || stand_in.refunds().len() > known),
        }
        server.signal(Signal::KILL);
        server.kill();
        let mut server = Process::start(&data, &environment);
        wait_until("a start brings it to its end", || is_refunded(&server, &orders[round]));
        server.signal(Signal::TERM);
        assert!(server.wait().success(), "{moment:?}");
    }
    let payments: BTreeSet<String> = stand_in.refunds().into_iter().map(|refund| refund.payment).collect();
    assert_eq!(
        (stand_in.refunds().len(), payments.len()),
        (MOMENTS.len(), MOMENTS.len()),
        "one refund of each payment"
    );
    let mut server = Process::start(&data, &environment);
    assert!(orders.iter().all(|order| is_refunded(&server, order)));
    server.signal(Signal::TERM);
    assert!(server.wait().success());
    assert_eq!(verify::verify(&data).expect("verified").problems, Vec::<String>::new());
    let asked = stand_in.requests().len();
    println!("{} kills, {asked} requests, {} refunds", MOMENTS.len(), stand_in.refunds().len());
    assert!(asked >= MOMENTS.len());
}
