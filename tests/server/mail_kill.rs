//! Kills the real binary (kill -9) at every step of a mail: before it is handed over, while the mail server has it and has not
//! answered, after its answer, and around the checkpoint. Every buyer gets every mail, and copies of one have one
//! Message-ID. Stopping at a step needs the feature `failpoints`; without it kills come while the mail server is silent.

use std::collections::{BTreeMap, BTreeSet};

use crate::mail_sink::MailSink;
use crate::process::{Client, Pause, Process, wait_until};
use rustix::process::Signal;
use serde_json::json;

/// The moment of a kill.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// The writer or the relay has stopped at this failpoint for the so-manieth time.
    Stopped(&'static str, u64),
    /// The mail server has a whole mail, and does not answer.
    HandedOver,
}

const MOMENTS: &[Moment] = if cfg!(feature = "failpoints") {
    &[
        Moment::Stopped("BeforeDelivery", 1),
        Moment::HandedOver,
        Moment::Stopped("AfterDelivery", 1),
        Moment::Stopped("BeforeDelivery", 3),
        Moment::Stopped("AfterDelivery", 2),
        Moment::Stopped("BeforeCommit", 4),
        Moment::Stopped("AfterCommit", 4),
        Moment::Stopped("AfterWatermark", 4),
    ]
} else {
    &[Moment::HandedOver, Moment::HandedOver]
};

/// Orders for a few buyers, until the server is gone. Returns those whose order was acknowledged.
fn order(server: &Process, round: usize) -> Vec<String> {
    let mut acknowledged = Vec::new();
    let Ok(mut client) = Client::connect(server.public) else { return acknowledged };
    for number in 0..6 {
        let buyer = format!("r{round}b{number}");
        let body = json!({ "buyer": buyer, "quantity": 1, "contact": { "email": format!("{buyer}@mail.example") } });
        match client.post("/v1/drops/1/orders", &buyer, &body) {
            Ok(answer) => {
                assert_eq!(answer.status, 201, "{:?}", answer.body);
                acknowledged.push(format!("{buyer}@mail.example"));
            }
            Err(_) => break,
        }
    }
    acknowledged
}

#[test]
fn kills_at_any_step_skip_no_mail_and_copies_of_one_have_one_message_id() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (data, pause) = (scratch.path().join("data"), Pause::new(scratch.path()));
    let sink = MailSink::new();
    let environment = [
        ("FIRSTCOME__MAIL__HOST", "127.0.0.1".to_string()),
        ("FIRSTCOME__MAIL__PORT", sink.port.to_string()),
        ("FIRSTCOME__MAIL__TLS", "none".to_string()),
        ("FIRSTCOME__MAIL__FROM", "shop@shop.example".to_string()),
        ("FIRSTCOME__MAIL__RATE_PER_SECOND", "1000".to_string()),
        ("FIRSTCOME__OUTBOX__RETRY_SECONDS", ["0"; 30].join(",")),
    ];
    let mut expected: BTreeSet<String> = BTreeSet::new();
    for (round, moment) in MOMENTS.iter().enumerate() {
        let mut wanted = environment.to_vec();
        match moment {
            Moment::Stopped(place, times) => {
                sink.mode("ok");
                // The drop of the first round is a commit, too.
                wanted.extend(pause.at(place, *times));
            }
            Moment::HandedOver => sink.mode("hang_at_data"),
        }
        let mut server = if round == 0 {
            let mut first = Process::start(&data, &environment);
            first.create_drop(1000);
            first.kill();
            Process::start(&data, &wanted)
        } else {
            Process::start(&data, &wanted)
        };
        let before = sink.received().len();
        std::thread::scope(|scope| {
            let orders = scope.spawn(|| order(&server, round));
            match moment {
                Moment::Stopped(..) => pause.wait(),
                Moment::HandedOver => wait_until("the mail server has a mail", || sink.received().len() > before),
            }
            server.signal(Signal::KILL);
            expected.extend(orders.join().expect("ordered"));
        });
        server.kill();
    }
    sink.mode("ok");
    let mut server = Process::start(&data, &environment);
    let taken = || -> BTreeSet<String> {
        let ok = sink.received().into_iter().filter(|mail| mail.mode == "ok");
        ok.map(|mail| mail.to).collect()
    };
    wait_until("everybody has a mail", || taken().is_superset(&expected));
    server.signal(Signal::TERM);
    assert!(server.wait().success());
    let mut ids: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for mail in sink.received() {
        ids.entry(mail.to.clone()).or_default().insert(mail.id());
    }
    assert!(ids.values().all(|ids| ids.len() == 1), "one event, one Message-ID: {ids:?}");
    let distinct: BTreeSet<&String> = ids.values().flatten().collect();
    assert_eq!(distinct.len(), ids.len(), "another order, another Message-ID");
    let copies = sink.received().len() - ids.len();
    println!(
        "{} kills; {} orders, {} mails, {copies} of them copies",
        MOMENTS.len(),
        expected.len(),
        sink.received().len()
    );
    assert!(copies > 0, "the kills missed the step after the handover");
}
