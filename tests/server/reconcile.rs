//! `firstcome reconcile`: the real program, a real server with payments of Stripe, and exports in Stripe's form.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::http::{Server, call, serve_with};
use crate::provider_webhooks::{STRIPE_SECRET, now, settings, stripe};
use serde_json::{Value, json};

const PAYMENTS: &str = "id,PaymentIntent ID,Created date (UTC),Amount,Amount Refunded,Currency,Captured,Status,Description,order_id (metadata)";
const MOVEMENTS: &str = "balance_transaction_id,created_utc,currency,gross,fee,net,reporting_category,customer_facing_amount,customer_facing_currency,payment_intent_id,payment_metadata[order_id]";

struct Shop {
    server: Server,
    scratch: tempfile::TempDir,
}

impl Shop {
    /// Two payments in euros, one of them refunded in part, and one in yen.
    fn open() -> Shop {
        let scratch = tempfile::tempdir().expect("scratch");
        let server = serve_with(scratch.path(), |config| config.payments = settings(scratch.path()));
        let shop = Shop { server, scratch };
        for (key, price, currency) in [("euro", 4990, "EUR"), ("yen", 1200, "JPY")] {
            let drop = json!({ "sku": "S", "name": "N", "currency": currency, "unit_price": price, "total": 5,
                               "starts_at": "2020-01-01T00:00:00Z", "per_buyer_limit": 2 });
            let headers = format!("Content-Type: application/json\r\nIdempotency-Key: {key}\r\n");
            let made = call(shop.server.0.server.admin_address, "POST", "/v1/drops", &headers, &drop.to_string());
            assert_eq!(made.status, 201, "{}", made.text);
        }
        shop.pay(1, "ann", "pi_ann", 4990, "eur");
        shop.pay(1, "bob", "pi_bob", 4990, "eur");
        shop.pay(2, "cat", "pi_cat", 1200, "jpy");
        let refund = json!({ "id": "re_1", "status": "succeeded", "payment_intent": "pi_bob", "amount": 1000, "currency": "eur" });
        shop.tell("evt_refund", "refund.created", &refund);
        shop
    }

    fn pay(&self, drop: u32, buyer: &str, intent: &str, amount: u64, currency: &str) {
        let headers = "Content-Type: application/json\r\nIdempotency-Key: k\r\n";
        let body = json!({ "buyer": buyer, "quantity": 1, "contact": { "email": "a@example.org" } }).to_string();
        let path = format!("/v1/drops/{drop}/orders");
        let made = call(self.server.0.server.public_address, "POST", &path, headers, &body);
        assert_eq!(made.status, 201, "{}", made.text);
        let session = json!({ "payment_status": "paid", "payment_intent": intent, "amount_total": amount,
                              "currency": currency, "metadata": { "order_id": made.body["id"] } });
        self.tell(&format!("evt_{intent}"), "checkout.session.completed", &session);
    }

    fn tell(&self, event: &str, kind: &str, object: &Value) {
        let body = json!({ "id": event, "type": kind, "created": now(), "data": { "object": object } }).to_string();
        let webhook = stripe(STRIPE_SECRET, now(), &body);
        let answer =
            call(self.server.0.server.public_address, "POST", "/v1/payments/stripe", &webhook.head(), &webhook.body);
        assert_eq!((answer.status, &answer.body["result"]), (200, &json!("applied")), "{}", answer.text);
    }

    /// Compares an export with what the server has, for a period that holds it all.
    fn reconcile(&self, header: &str, rows: &[&str], more: &[&str]) -> Output {
        let path = self.scratch.path().join("export.csv");
        std::fs::write(&path, format!("{header}\n{}\n", rows.join("\n"))).expect("written");
        let admin = self.server.0.server.admin_address.to_string();
        let period = ["--from", "2020-01-01T00:00:00Z", "--until", "2999-01-01T00:00:00Z"];
        let from = if more.contains(&"--db") { vec![] } else { vec!["--admin", &admin] };
        run(&path, &[&period[..], &from, more].concat())
    }

    fn differences(&self, header: &str, rows: &[&str]) -> Vec<(String, String)> {
        let output = self.reconcile(header, rows, &["--json"]);
        let document: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let differences = document["differences"].as_array().expect("a list");
        assert_eq!(output.status.code(), Some(i32::from(!differences.is_empty())), "{document}");
        let text = |found: &Value, member: &str| found[member].as_str().expect("a text").to_owned();
        differences.iter().map(|found| (text(found, "kind"), text(found, "reference"))).collect()
    }
}

fn run(export: &Path, arguments: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_firstcome"));
    program.args(["reconcile", "--stripe-export"]).arg(export).args(arguments);
    program.stdin(Stdio::null()).output().expect("run")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(if output.status.success() { &output.stdout } else { &output.stderr }).into_owned()
}

const EQUAL: [&str; 6] = [
    "ch_1,pi_ann,2026-11-28 09:30:00,49.90,0.00,eur,true,Paid,\"a, b\",00000000-0000-8000-8000-000000000001",
    "ch_2,pi_bob,2026-11-28 09:30,49.90,10.00,eur,true,Partial refund,,00000000-0000-8000-8000-000000000002",
    "ch_3,pi_cat,2026-11-28 09:31:00,1200.00,0,jpy,true,Paid,,00000000-0000-8000-8000-000000000003",
    "ch_4,pi_other,2026-11-28 09:32:00,5.00,0.00,usd,true,Paid,a subscription,",
    "ch_5,pi_failed,2026-11-28 09:32:00,49.90,0.00,eur,false,Failed,,00000000-0000-8000-8000-000000000009",
    "ch_6,,2026-11-28 09:33:00,7.00,0.00,eur,true,Paid,a charge without an intent,",
];

#[test]
fn books_that_agree_are_equal_in_both_kinds_of_export_from_a_server_and_from_a_file() {
    let shop = Shop::open();
    assert_eq!(shop.differences(PAYMENTS, &EQUAL), []);
    let words = said(&shop.reconcile(PAYMENTS, &EQUAL, &[]));
    assert!(words.contains("4 payments there, 3 here: 3 equal, 0 different; 1 there are other business"), "{words}");
    let movements = [
        "txn_0,2026-11-28 08:00:00,eur,-10.00,0,-10.00,refund,-10.00,eur,pi_bob,00000000-0000-8000-8000-000000000002",
        "txn_1,2026-11-28 09:30:00,eur,49.90,1,48.90,charge,49.90,eur,pi_ann,00000000-0000-8000-8000-000000000001",
        "txn_2,2026-11-28 09:30:00,eur,49.90,1,48.90,charge,49.90,eur,pi_bob,00000000-0000-8000-8000-000000000002",
        "txn_3,2026-11-28 09:30:00,eur,7.60,1,6.60,charge,1200,jpy,pi_cat,00000000-0000-8000-8000-000000000003",
        "txn_4,2026-11-28 10:00:00,eur,-49.90,0,-49.90,refund,-49.90,eur,pi_ann,00000000-0000-8000-8000-000000000001",
        "txn_5,2026-11-28 11:00:00,eur,49.90,0,49.90,refund_failure,,,pi_ann,00000000-0000-8000-8000-000000000001",
        "txn_6,2026-11-28 12:00:00,eur,-90.00,0,-90.00,payout,,,,",
    ];
    assert_eq!(shop.differences(MOVEMENTS, &movements), []);
    let refund_alone =
        [&movements[..1], &movements[3..], &["txn_7,2026-11-28 13:00:00,eur,-5.00,0,-5.00,refund,,,pi_ann,"]];
    let told = shop.differences(MOVEMENTS, &refund_alone.concat());
    assert_eq!(told, [("refunded".to_owned(), "pi_ann".to_owned())], "a refund of an older payment");
    let file = shop.scratch.path().join("data/firstcome.db");
    let output = shop.reconcile(PAYMENTS, &EQUAL, &["--db", file.to_str().expect("a path")]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    shop.server.stop();
}

#[test]
fn each_planted_difference_is_told_with_its_kind() {
    let shop = Shop::open();
    let with = |row: usize, text: &'static str| {
        let mut rows = EQUAL.to_vec();
        rows[row] = text;
        rows
    };
    let is = |kind: &str, reference: &str| vec![(kind.to_owned(), reference.to_owned())];
    for (rows, expected) in [
        (
            with(0, "ch_1,pi_ann,2026-11-28 09:30:00,49.91,0.00,eur,true,Paid,,00000000-0000-8000-8000-000000000001"),
            is("amount", "pi_ann"),
        ),
        (
            with(0, "ch_1,pi_ann,2026-11-28 09:30:00,49.90,0.00,usd,true,Paid,,00000000-0000-8000-8000-000000000001"),
            is("currency", "pi_ann"),
        ),
        (
            with(
                0,
                "ch_1,pi_ann,2026-11-28 09:30:00,49.90,49.90,eur,true,Refunded,,00000000-0000-8000-8000-000000000001",
            ),
            is("refunded", "pi_ann"),
        ),
        (
            with(1, "ch_2,pi_bob,2026-11-28 09:30:00,49.90,0.00,eur,true,Paid,,00000000-0000-8000-8000-000000000002"),
            is("refunded", "pi_bob"),
        ),
        (
            with(3, "ch_4,pi_lost,2026-11-28 09:32:00,49.90,0.00,eur,true,Paid,,00000000-0000-8000-8000-000000000004"),
            is("not_here", "pi_lost"),
        ),
        (EQUAL[1..].to_vec(), is("not_there", "pi_ann")),
        (with(0, "ch_1,pi_ann,2026-11-28 09:30:00,49.90,0.00,eur,false,Failed,,"), is("not_there", "pi_ann")),
    ] {
        assert_eq!(shop.differences(PAYMENTS, &rows), expected);
    }
    let output = shop.reconcile(PAYMENTS, &EQUAL[1..], &[]);
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        table.starts_with("here and not there: 1\n") && table.contains("pi_ann") && table.contains("49.90 EUR"),
        "{table}"
    );
    assert!(said(&output).contains("1 payments differ from"), "{}", said(&output));

    // Without --from and --until the period is that of the export's payments, long before those of the server.
    let export = shop.scratch.path().join("old.csv");
    std::fs::write(&export, format!("{PAYMENTS}\nch_1,pi_ann,2020-01-01 00:00:00,49.90,0.00,eur,true,Paid,,00000000-0000-8000-8000-000000000001\n"))
        .expect("written");
    let output = run(&export, &["--admin", &shop.server.0.server.admin_address.to_string()]);
    assert!(output.status.success() && said(&output).contains("2 here are outside of the period"), "{}", said(&output));
    shop.server.stop();
}

#[test]
fn a_file_that_is_no_export_is_refused_with_its_line() {
    let shop = Shop::open();
    for (header, row, mistake) in [
        ("a,b", "1,2", "no column PaymentIntent ID, Created date (UTC), Amount, Currency, Amount Refunded, Status"),
        (
            PAYMENTS,
            "ch_1,pi_1,2026-11-28 09:30:00,49.901,0.00,eur,true,Paid,,",
            "line 2: \"49.901\" is no amount in EUR",
        ),
        (PAYMENTS, "ch_1,pi_1,2026-11-28 09:30:00,-1.00,0.00,eur,true,Paid,,", "line 2: \"-1.00\" is no amount in EUR"),
        (
            PAYMENTS,
            "ch_1,pi_1,2026-11-28 09:30:00,\"1,490\",0.00,eur,true,Paid,,",
            "line 2: \"1,490\" is no amount in EUR",
        ),
        (PAYMENTS, "ch_1,pi_1,yesterday,1.00,0.00,eur,true,Paid,,", "line 2: \"yesterday\" is no instant"),
        (PAYMENTS, "ch_1,pi_1,2026-11-28 09:30:00,1.00,0.00,euro,true,Paid,,", "line 2: \"euro\" is no currency"),
        (PAYMENTS, "ch_1,pi_1,2026-11-28", "line: 2"),
    ] {
        let output = shop.reconcile(header, &[row], &[]);
        let words = said(&output);
        assert_eq!(output.status.code(), Some(65), "{words}");
        assert!(words.contains(mistake) && words.lines().count() == 1, "{mistake}: {words}");
    }
    let twice = shop.reconcile(PAYMENTS, &[EQUAL[0], EQUAL[0]], &[]);
    assert!(said(&twice).contains("line 3: a second row of the payment pi_ann"), "{}", said(&twice));
    let admin = shop.server.0.server.admin_address.to_string();
    let export = shop.scratch.path().join("export.csv");
    let turned = ["--admin", &admin, "--from", "2026-11-29T00:00:00Z", "--until", "2026-11-28T00:00:00Z"];
    assert_eq!(run(&export, &turned).status.code(), Some(64));
    std::fs::write(&export, PAYMENTS).expect("written");
    let output = run(&export, &["--admin", &admin]);
    assert_eq!(output.status.code(), Some(65), "an export without payments has no period: {}", said(&output));
    let output = run(Path::new("/no/such/file"), &["--admin", &admin]);
    assert_eq!(output.status.code(), Some(66), "{}", said(&output));
    shop.server.stop();
}
