//! Refunds on a real server and in its file: operators see what is owed back, and it survives a restart.

use crate::http::{Server, call, serve};
use firstcome::engine::{Command, Effect, Outcome, PaymentCommand, RecordProviderEvent};
use firstcome::store::{PrivateData, verify};
use firstcome::types::{Amount, Currency, Disposition, OrderId, Provider, ProviderEventKind, Seq};
use firstcome::writer::{Class, Submission, WriterReply};
use serde_json::{Value, json};

/// Records a provider's event the way a webhook does.
fn record_event(server: &Server, order: Seq, event_id: &str, reference: &str, amount: u64, currency: &str) -> Outcome {
    let writer = &server.0.writer;
    let command = Command::Payment(PaymentCommand::RecordProviderEvent(Box::new(RecordProviderEvent {
        provider: Provider::Stripe,
        id: writer.digest_key.provider_event(Provider::Stripe, event_id),
        order: Some(order),
        kind: ProviderEventKind::PaymentSucceeded,
        reference: reference.into(),
        amount: Amount::new(amount).expect("small"),
        currency: Currency::new(currency).expect("a currency"),
        counterpart: None,
    })));
    let private_data = Some(PrivateData::ProviderEvent { event_id: event_id.into() });
    let ticket = writer.submit(Submission { command, private_data, class: Class::Operator }).expect("accepted");
    match ticket.wait() {
        WriterReply::Decided(decided) => decided.outcome,
        other @ (WriterReply::TooOld | WriterReply::NotApplied(_) | WriterReply::Unknown) => panic!("{other:?}"),
    }
}

fn applied(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Accepted(Effect::ProviderEventRecorded { disposition: Disposition::Applied, .. }))
}

fn get(server: &Server, path: &str, headers: &str) -> crate::http::Answer {
    call(server.0.server.admin_address, "GET", path, headers, "")
}

fn ids(page: &Value) -> Vec<&str> {
    page["data"].as_array().expect("a page").iter().map(|order| order["id"].as_str().expect("an id")).collect()
}

#[test]
fn owed_refunds_are_listed_for_operators_survive_a_restart_and_can_be_settled() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    let drop = json!({ "sku": "S", "name": "N", "currency": "EUR", "unit_price": 100, "total": 6,
                       "starts_at": "2020-01-01T00:00:00Z", "per_buyer_limit": 2 });
    assert_eq!(server.admin("POST", "/v1/drops", &drop).status, 201);
    let order = |key: &str| {
        let answer = server.order(key, &json!({ "buyer": key, "quantity": 1 }).to_string());
        let id = OrderId::parse(answer.body["id"].as_str().expect("an id")).expect("ours");
        (id.to_string(), id.seq)
    };
    let ((ann, ann_seq), (bob, bob_seq), (_, cid_seq)) = (order("ann"), order("bob"), order("cid"));
    assert!(applied(&record_event(&server, ann_seq, "e1", "P1", 100, "EUR")));
    assert!(applied(&record_event(&server, cid_seq, "e2", "P2", 100, "EUR")));
    assert_eq!(
        (server.metric("firstcome_refunds_due "), get(&server, "/v1/orders?refund_due=true", "").status),
        (0., 200)
    );
    // A second charge, and payments of a wrong amount or currency.
    assert!(applied(&record_event(&server, ann_seq, "e3", "P3", 100, "EUR")));
    assert!(applied(&record_event(&server, bob_seq, "e4", "P4", 7, "EUR")));
    assert!(applied(&record_event(&server, bob_seq, "e5", "P5", 100, "USD")));
    assert!(matches!(record_event(&server, bob_seq, "e5", "P5", 100, "USD"), Outcome::Repeated { .. }));
    assert!((server.metric("firstcome_refunds_due ") - 3.).abs() < 0.5);
    server.stop();

    let server = serve(scratch.path());
    assert!(
        matches!(record_event(&server, bob_seq, "e5", "P5", 100, "USD"), Outcome::Repeated { .. }),
        "the inbox keeps events forever"
    );
    let due = get(&server, "/v1/orders?refund_due=true", "").body;
    assert_eq!(ids(&due), [ann.as_str(), bob.as_str()]);
    let (of_ann, of_bob) = (&due["data"][0], &due["data"][1]);
    assert_eq!((&of_ann["state"], &of_ann["refund_due_amount"]), (&json!("paid"), &json!(100)));
    assert_eq!((&of_bob["state"], &of_bob["refund_due_amount"]), (&json!("reserved"), &json!(7)));
    assert_eq!(ids(&get(&server, "/v1/orders?refund_due=true&state=paid", "").body), [ann.as_str()]);
    let first = get(&server, "/v1/orders?refund_due=true&limit=1", "").body;
    assert_eq!((ids(&first), &first["has_more"]), (vec![ann.as_str()], &json!(true)));
    let next = format!("/v1/orders?refund_due=true&after={}", first["next_after"]);
    assert_eq!(ids(&get(&server, &next, "").body), [bob.as_str()]);
    let csv = get(&server, "/v1/orders?refund_due=true", "Accept: text/csv\r\n").text;
    assert!(csv.contains("refunded_amount,refund_due_amount\r\n") && csv.contains(",0,100\r\n"), "{csv}");

    let payments = get(&server, &format!("/v1/orders/{bob}/payments"), "").body;
    let field = |n: usize, member: &str| payments["data"][n][member].clone();
    assert_eq!(
        (field(0, "reference"), field(0, "amount"), field(0, "currency")),
        (json!("P4"), json!(7), json!("EUR"))
    );
    assert_eq!(
        (field(1, "reference"), field(1, "currency"), field(1, "pays")),
        (json!("P5"), json!("USD"), json!(false))
    );
    assert_eq!(field(1, "refund_due_amount"), 100);
    let unknown = format!("/v1/orders/{}/payments", ann.replace(&ann[30..], "000000"));
    assert_eq!(get(&server, &unknown, "").status, 404);

    let settle = |settled: &Value| server.admin("POST", &format!("/v1/orders/{bob}/refund-settled"), settled);
    let settled = json!({ "reference": "R1", "reason": "paid out" });
    let answer = settle(&settled);
    assert_eq!((answer.status, &answer.body["errors"][0]["pointer"]), (400, &json!("/payment")), "{}", answer.text);
    for (payment, amount, status) in
        [("P5", 101, 400), ("P5", 100, 200), ("P5", 100, 200), ("P5", 99, 400), ("P4", 7, 200)]
    {
        let settled = json!({ "reference": "R1", "payment": payment, "amount": amount, "reason": "paid out" });
        let answer = settle(&settled);
        assert_eq!(answer.status, status, "{payment} {amount}: {}", answer.text);
    }
    let answer = settle(&settled);
    assert_eq!((answer.status, &answer.body["state"]), (200, &json!("reserved")), "{}", answer.text);
    assert_eq!(answer.body.get("refund_due_amount"), None);
    assert_eq!(ids(&get(&server, "/v1/orders?refund_due=true", "").body), [ann.as_str()]);
    let again = server.admin("POST", &format!("/v1/orders/{bob}/refund-settled"), &settled);
    assert_eq!((again.status, &again.body["state"]), (200, &json!("reserved")), "{}", again.text);
    assert_eq!(get(&server, &format!("/v1/orders/{bob}/payments"), "").body["data"][1]["refund_due_amount"], 0);
    server.stop();
    assert_eq!(verify::verify(&scratch.path().join("data")).expect("verified").problems, Vec::<String>::new());
}

#[test]
fn an_operators_refund_of_a_provider_payment_is_due_until_it_is_settled() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    assert_eq!(server.create(3).status, 201);
    let answer = server.order("k", &json!({ "buyer": "ann", "quantity": 1 }).to_string());
    let id = OrderId::parse(answer.body["id"].as_str().expect("an id")).expect("ours");
    let amount = answer.body["amount"].as_u64().expect("an amount");
    let currency = answer.body["currency"].as_str().expect("a currency").to_string();
    assert!(applied(&record_event(&server, id.seq, "e1", "P1", amount, &currency)));
    let refund = json!({ "reason": "came back", "restock_quantity": 1 });
    let headers = "Content-Type: application/json\r\nIdempotency-Key: r\r\n";
    let path = format!("/v1/orders/{id}/refund");
    let answer = call(server.0.server.admin_address, "POST", &path, headers, &refund.to_string());
    assert_eq!((&answer.body["state"], &answer.body["refunded_amount"]), (&json!("refund_due"), &json!(0)));
    assert_eq!(answer.body["refund_due_amount"], amount);
    // The unit is back on sale although the refund is not settled.
    assert_eq!(server.public("GET", "/v1/drops/1").body["available"], 3);
    let settled = json!({ "reference": "R1", "reason": "paid out" });
    let answer = server.admin("POST", &format!("/v1/orders/{id}/refund-settled"), &settled);
    assert_eq!((&answer.body["state"], &answer.body["refunded_amount"]), (&json!("refunded"), &json!(amount)));
    server.stop();
    assert_eq!(verify::verify(&scratch.path().join("data")).expect("verified").problems, Vec::<String>::new());
}
