//! The log in three real members of etcd: it answers as the simulated one does, an append is known to the node whatever
//! member dies, and a damaged copy is told from an entry.
//!
//! `FIRSTCOME_TEST_SEED` replays one sequence of requests.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]

mod etcd;
mod model;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use etcd::Etcd;
use etcd_client::ConnectOptions;
use firstcome::log::etcd::{EtcdLog, EtcdPlace};
use firstcome::log::meta::LogMeta;
use firstcome::log::seal::Seal;
use firstcome::log::simulated::SimulatedLog;
use firstcome::log::{Append, Entry, Fate, Head, LogAnswer, LogRequest, Step, Tenure};
use firstcome::store::Batch;
use firstcome::store::chain::ChainLink;
use firstcome::types::{Seq, UnixMillis};
use model::Random;

/// Longest time for three members to find a leader, and to find another.
const WAIT: Duration = Duration::from_secs(30);
const SLOTS: u64 = 8;

fn first_head() -> Head {
    Head::before_all(Seq::ZERO, ChainLink::START)
}

fn seal() -> Seal {
    Seal::parse(&"5e".repeat(32)).expect("a key")
}

fn meta() -> LogMeta {
    LogMeta::new(&[7; 16], SLOTS, &seal())
}

/// An entry without events; `mark` makes it another than others of its number.
fn entry_after(from: Head, epoch: u64, mark: u8) -> Entry {
    let (number, link) = (from.number + 1, ChainLink::START);
    let at = UnixMillis::new(i64::from(mark)).expect("in range");
    Entry { number, epoch, tenure: Tenure(epoch), seq: from.seq, before: link, link, at, batch: Batch::default() }
}

fn append_request(tenure: Tenure, from: Head, entry: &Entry) -> LogRequest {
    LogRequest::Append { tenure, from, to: entry.head(), bytes: entry.encode().expect("short").into() }
}

/// Connects to a log, and creates it once the members have a leader.
async fn connected(etcd: &Etcd, first: usize, prefix: &str, lease_seconds: i64) -> EtcdLog {
    let place = EtcdPlace { prefix: prefix.into(), node: "n1".into(), slots: SLOTS, lease_seconds };
    let log = EtcdLog::connect(&etcd.urls_from(first), ConnectOptions::new(), place, seal()).await;
    let log = log.expect("URLs");
    let until = Instant::now() + WAIT;
    while log.create(first_head(), &meta()).await.is_err() {
        assert!(Instant::now() < until, "no leader among the members");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    log
}

fn on_one_thread(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work);
}

#[test]
fn etcd_answers_as_the_simulated_log_does() {
    let seed = model::replayed_seed().unwrap_or(0xe7cd);
    println!("seed {seed}");
    on_one_thread(async {
        let etcd = Etcd::start(3);
        let real = connected(&etcd, 0, "/firstcome/test/0/", 60).await;
        assert!(!real.create(first_head(), &meta()).await.expect("asked"), "a log is created once");
        let mut simulated = SimulatedLog::new(first_head(), usize::try_from(SLOTS).expect("small"), 60_000);
        let mut random = Random(seed);
        // Tenures have other numbers in etcd: the simulated one's, and the real one.
        let mut tenures = vec![(Tenure(77), Tenure(7777))];
        let mut heads = vec![first_head()];
        let mut kinds = BTreeMap::new();
        for step in 0..400 {
            let (tenure, real_tenure) =
                if random.one_in(4) { random.pick(&tenures) } else { tenures[tenures.len() - 1] };
            let from = if random.one_in(4) { random.pick(&heads) } else { heads[heads.len() - 1] };
            let with = |tenure| match step % 11 {
                0 => LogRequest::Campaign,
                1 => LogRequest::KeepAlive { tenure },
                2 => LogRequest::Head { elsewhere: false },
                3..=5 => LogRequest::Read { number: from.number, elsewhere: step % 2 == 0 },
                6 if step % 5 == 0 => LogRequest::Resign { tenure },
                _ => append_request(tenure, from, &entry_after(from, 1, u8::try_from(step % 251).expect("small"))),
            };
            let expected = simulated.carry_out(&with(tenure), 0);
            let answer = real.carry_out(&with(real_tenure)).await;
            match (&expected, &answer) {
                (LogAnswer::Elected(ours), LogAnswer::Elected(theirs)) => tenures.push((*ours, *theirs)),
                _ => assert_eq!(answer, expected, "seed {seed} step {step}: {:?}", with(tenure)),
            }
            if answer == LogAnswer::Appended {
                heads.push(simulated.head());
            }
            let kind = format!("{answer:?}").chars().take_while(|c| c.is_alphabetic()).collect::<String>();
            *kinds.entry(kind).or_insert(0) += 1;
        }
        println!("{kinds:?}");
        assert_eq!(kinds.len(), 8, "every answer but Unknown was given: {kinds:?}");
    });
}

/// Asks until the append is known. Returns its fate and how long that took.
async fn appended(log: &EtcdLog, mut append: Append) -> (Fate, Duration) {
    let began = Instant::now();
    loop {
        assert!(began.elapsed() < WAIT, "nothing is known of an append");
        let answer = log.carry_out(&append.request()).await;
        match append.answered(&answer) {
            Step::Done(fate) => return (fate, began.elapsed()),
            Step::Ask(next) => append = next,
        }
        if answer == LogAnswer::Unknown {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[test]
fn whatever_member_dies_every_append_is_known_and_stands_once() {
    const ENTRIES: u64 = 60;
    on_one_thread(async {
        let mut etcd = Etcd::start(3);
        let log = connected(&etcd, 0, "/firstcome/test/1/", 60).await;
        let LogAnswer::Elected(tenure) = log.carry_out(&LogRequest::Campaign).await else { panic!("not elected") };
        let (mut head, mut longest) = (first_head(), Duration::ZERO);
        for number in 1..=ENTRIES {
            // Each member dies once, one of them as the leader, while an append is on its way to the others.
            if number % 20 == 10 {
                etcd.kill(usize::try_from(number / 20).expect("small"));
            } else if number % 20 == 0 {
                etcd.run(usize::try_from(number / 20 - 1).expect("small"));
            }
            let entry = entry_after(head, 1, u8::try_from(number).expect("small"));
            let bytes = entry.encode().expect("short");
            let append = Append::new(tenure, head, entry.head(), bytes.clone().into());
            let (fate, took) = appended(&log, append).await;
            assert_eq!(fate, Fate::Stands, "entry {number}");
            (head, longest) = (entry.head(), longest.max(took));
            let found = log.carry_out(&LogRequest::Read { number, elsewhere: false }).await;
            if found != LogAnswer::Unknown {
                assert_eq!(found, LogAnswer::Entry(bytes.into()), "entry {number}");
            }
        }
        println!("{ENTRIES} appends, the longest took {longest:?}");
        // A stale leader, whose head is an old one, is told so.
        let stale = append_request(tenure, first_head(), &entry_after(first_head(), 1, 1));
        assert_eq!(log.carry_out(&stale).await, LogAnswer::Fenced(head));
    });
}

#[test]
fn the_lease_is_kept_beside_appends_while_the_member_that_is_used_dies() {
    on_one_thread(async {
        let mut etcd = Etcd::start(3);
        let log = connected(&etcd, 0, "/firstcome/test/3/", 5).await;
        let LogAnswer::Elected(tenure) = log.carry_out(&LogRequest::Campaign).await else { panic!("not elected") };
        let keeps = async {
            let (mut kept, began) = (0, Instant::now());
            // Longer than the lease: without being kept it would end.
            while began.elapsed() < Duration::from_secs(8) {
                let answer = log.carry_out(&LogRequest::KeepAlive { tenure }).await;
                assert!(matches!(answer, LogAnswer::Kept | LogAnswer::Unknown), "the lease ended: {answer:?}");
                kept += u32::from(answer == LogAnswer::Kept);
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
            kept
        };
        let appends = async {
            let mut head = first_head();
            for number in 1..=40 {
                if number == 10 {
                    etcd.kill(0);
                }
                let entry = entry_after(head, 1, number);
                let append = Append::new(tenure, head, entry.head(), entry.encode().expect("short").into());
                assert_eq!(appended(&log, append).await.0, Fate::Stands, "entry {number}");
                head = entry.head();
            }
        };
        let (kept, ()) = tokio::join!(keeps, appends);
        assert!(kept > 1, "kept {kept} times");
        // The tenure is the same one still.
        assert_eq!(log.carry_out(&LogRequest::KeepAlive { tenure }).await, LogAnswer::Kept);
    });
}

#[test]
fn a_damaged_copy_at_one_member_is_no_entry_and_another_member_has_it() {
    on_one_thread(async {
        let mut etcd = Etcd::start(3);
        let log = connected(&etcd, 0, "/firstcome/test/2/", 60).await;
        let LogAnswer::Elected(tenure) = log.carry_out(&LogRequest::Campaign).await else { panic!("not elected") };
        let entry = entry_after(first_head(), 1, 9);
        let request = append_request(tenure, first_head(), &entry);
        assert_eq!(log.carry_out(&request).await, LogAnswer::Appended);
        // Every member has applied the entry once it has answered a read of it.
        for _ in 0..3 {
            let read = LogRequest::Read { number: 1, elsewhere: true };
            assert!(matches!(log.carry_out(&read).await, LogAnswer::Entry(bytes) if Entry::decode(&bytes).is_ok()));
        }
        // bbolt writes its pages every 100 ms; an orderly end would rewrite what is flipped here.
        tokio::time::sleep(Duration::from_millis(500)).await;
        etcd.kill(0);
        let mut database = std::fs::read(etcd.database(0)).expect("read");
        // The value begins with its number, behind the key.
        let key = b"/firstcome/test/2/log/0001";
        let places: Vec<_> = (0..database.len() - key.len()).filter(|at| database[*at..].starts_with(key)).collect();
        assert!(!places.is_empty(), "the entry is in the member's file");
        for place in places {
            database[place + key.len() + 40] ^= 4;
        }
        std::fs::write(etcd.database(0), database).expect("written");
        etcd.run(0);
        let log = connected(&etcd, 0, "/firstcome/test/2/", 60).await;
        let read = |elsewhere| LogRequest::Read { number: 1, elsewhere };
        let until = Instant::now() + WAIT;
        let damaged = loop {
            assert!(Instant::now() < until, "the member does not come back");
            let own = connected(&etcd, 0, "/firstcome/test/2/", 60).await;
            if let LogAnswer::Entry(bytes) = own.carry_out(&read(false)).await
                && Entry::decode(&bytes).is_err()
            {
                break bytes;
            }
        };
        assert!(!damaged.is_empty());
        let LogAnswer::Entry(bytes) = log.carry_out(&read(true)).await else { panic!("another member answers") };
        assert_eq!(Entry::decode(&bytes), Ok(entry));
    });
}
