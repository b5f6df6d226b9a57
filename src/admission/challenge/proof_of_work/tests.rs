use serde_json::{Value, json};

use super::*;
use crate::config::Config;
use crate::types::Digest;

const KEY: Digest = Digest([1; 16]);
const OTHER_KEY: Digest = Digest([2; 16]);

fn at(ms: i64) -> UnixMillis {
    UnixMillis::new(ms).expect("in range")
}

const START: i64 = 1_790_000_000_000;

/// A process, its drop and its buyers.
struct Setting {
    work: ProofOfWork,
    difficulty: Difficulty,
    digests: DigestKey,
    drop_id: DropId,
    ann: BuyerText,
    bob: BuyerText,
}

fn setting(change: impl FnOnce(&mut ChallengeSettings)) -> Setting {
    let mut settings = Config::defaults().challenge;
    (settings.maxnumber, settings.minnumber) = (500, 100);
    change(&mut settings);
    let buyer = |text| BuyerText::new(text).expect("a buyer");
    Setting {
        work: ProofOfWork::new(settings.used_max),
        difficulty: Difficulty::new(&settings),
        digests: DigestKey::new(&[7; 32]),
        drop_id: DropId::new(5).expect("not 0"),
        ann: buyer("ann"),
        bob: buyer("bob"),
    }
}

impl Setting {
    fn issue(&self, buyer: Option<&BuyerText>) -> IssuedChallenge {
        self.work.issue(&self.difficulty, &self.digests, (self.drop_id, buyer), at(START))
    }

    fn order<'a>(&'a self, buyer: &'a BuyerText, key: &'a Digest, ms: i64) -> AskedOrder<'a> {
        AskedOrder { drop_id: self.drop_id, buyer, key, now: at(ms) }
    }

    /// Judges a solution that comes with Ann's order a second after the issue.
    fn judge(&self, solution: &str, key: &Digest) -> SolutionVerdict {
        self.work.judge(&self.difficulty, &self.digests, solution.as_bytes(), &self.order(&self.ann, key, START + 1000))
    }
}

/// Solves as the protocol says: with the text of the challenge alone.
fn solve(issued: &IssuedChallenge) -> Value {
    let number =
        (0..=issued.maxnumber).find(|number| hash(&issued.salt, *number) == issued.challenge).expect("solvable");
    json!({
        "algorithm": "SHA-256", "challenge": issued.challenge, "number": number, "salt": issued.salt,
        "signature": issued.signature, "took": 12,
    })
}

fn encoded(payload: &Value) -> String {
    STANDARD.encode(payload.to_string())
}

const SOLVED: SolutionVerdict = SolutionVerdict::Solved { too_fast: false };

#[test]
fn a_solution_passes_once_and_again_for_the_same_order_only() {
    let setting = setting(|_| {});
    let solution = encoded(&solve(&setting.issue(None)));
    assert_eq!(setting.judge(&solution, &KEY), SOLVED);
    assert_eq!(setting.judge(&solution, &OTHER_KEY), SolutionVerdict::Stale(ChallengeReason::Replayed));
    assert_eq!(setting.judge(&solution, &KEY), SolutionVerdict::Repeated);
    let late = setting.order(&setting.ann, &KEY, START + 86_400_000);
    let judged = setting.work.judge(&setting.difficulty, &setting.digests, solution.as_bytes(), &late);
    let expired = SolutionVerdict::Stale(ChallengeReason::Expired);
    assert_eq!(judged, expired, "whether a late order is a repeat is the writer's to say");
}

#[test]
fn a_challenge_is_as_hard_as_the_settings_say() {
    let setting = setting(|_| {});
    let numbers: Vec<u64> =
        (0..200).map(|_| solve(&setting.issue(None))["number"].as_u64().expect("a number")).collect();
    assert!(numbers.iter().all(|number| (100..=500).contains(number)), "{numbers:?}");
    let distinct: std::collections::BTreeSet<_> = numbers.iter().collect();
    assert!(distinct.len() > 50, "{numbers:?}");
    assert_eq!(setting.issue(None).maxnumber, 500);
}

#[test]
fn a_challenge_passes_to_the_millisecond_before_its_expiry() {
    let setting = setting(|settings| settings.expiry = std::time::Duration::from_secs(60));
    for (ms, verdict) in [(59_999, SOLVED), (60_000, SolutionVerdict::Stale(ChallengeReason::Expired))] {
        let solution = encoded(&solve(&setting.issue(None)));
        let order = setting.order(&setting.ann, &KEY, START + ms);
        assert_eq!(
            setting.work.judge(&setting.difficulty, &setting.digests, solution.as_bytes(), &order),
            verdict,
            "{ms} ms"
        );
    }
    // The widget reads whole seconds: they are rounded in favour of the client.
    let salt = setting.work.issue(&setting.difficulty, &setting.digests, (setting.drop_id, None), at(START + 1)).salt;
    assert!(salt.contains(&format!("?expires={}&", START / 1000 + 61)) && salt.ends_with('&'), "{salt}");
}

#[test]
fn a_solution_counts_for_its_drop_and_its_buyer() {
    let setting = setting(|_| {});
    let solution = encoded(&solve(&setting.issue(Some(&setting.ann))));
    let of_bob = setting.order(&setting.bob, &KEY, START + 1000);
    let judged =
        |order: &AskedOrder<'_>| setting.work.judge(&setting.difficulty, &setting.digests, solution.as_bytes(), order);
    assert_eq!(judged(&of_bob), SolutionVerdict::Refused(ChallengeReason::AnotherBuyer));
    let elsewhere =
        AskedOrder { drop_id: DropId::new(6).expect("not 0"), ..setting.order(&setting.ann, &KEY, START + 1000) };
    assert_eq!(judged(&elsewhere), SolutionVerdict::Refused(ChallengeReason::AnotherDrop));
    assert_eq!(setting.judge(&solution, &KEY), SOLVED, "the refused ones have not used it");
    let anybody = encoded(&solve(&setting.issue(None)));
    assert_eq!(setting.work.judge(&setting.difficulty, &setting.digests, anybody.as_bytes(), &of_bob), SOLVED);
    assert!(!setting.issue(Some(&setting.ann)).salt.contains("ann"), "a salt is shown to proxies and logs");
}

#[test]
fn a_challenge_of_another_process_is_stale_and_one_of_another_file_is_wrong() {
    // The key is read once, so each has its own.
    let (before, after) = (setting(|_| {}), setting(|_| {}));
    let solution = encoded(&solve(&before.issue(None)));
    assert_eq!(after.judge(&solution, &KEY), SolutionVerdict::Stale(ChallengeReason::Expired));
    let other_file = Setting { digests: DigestKey::new(&[8; 32]), ..setting(|_| {}) };
    assert_eq!(other_file.judge(&solution, &KEY), SolutionVerdict::Refused(ChallengeReason::Wrong));
}

#[test]
fn whatever_is_changed_in_a_solution_makes_it_wrong() {
    let setting = setting(|_| {});
    let right = solve(&setting.issue(None));
    let with = |name: &str, value: Value| {
        let mut payload = right.clone();
        payload[name] = value;
        encoded(&payload)
    };
    let text = |name: &str| right[name].as_str().expect("a text").to_string();
    let number = right["number"].as_u64().expect("a number");
    let later = text("salt").replace("?expires=1", "?expires=2");
    let digits = number.to_string();
    let (first, rest) = digits.split_at(1);
    // A digit of the number at the end of the salt has the same hash.
    let mut spliced = right.clone();
    spliced["salt"] = format!("{}{first}", text("salt")).into();
    spliced["number"] = rest.parse::<u64>().unwrap_or(0).into();
    for (solution, what) in [
        (with("number", json!(number + 1)), "number"),
        (with("salt", json!(later)), "expiry"),
        (with("challenge", json!("0".repeat(64))), "challenge"),
        (with("signature", json!("0".repeat(64))), "signature"),
        (with("signature", json!("")), "no signature"),
        (with("signature", json!("zz")), "no digits"),
        (encoded(&spliced), "spliced"),
    ] {
        assert_eq!(setting.judge(&solution, &KEY), SolutionVerdict::Refused(ChallengeReason::Wrong), "{what}");
    }
    assert_eq!(setting.judge(&encoded(&right), &KEY), SOLVED);
}

#[test]
fn what_is_no_solution_is_malformed_however_large() {
    let setting = setting(|_| {});
    let right = solve(&setting.issue(None));
    let mut other = right.clone();
    other["algorithm"] = "SHA-512".into();
    let mut huge = right.clone();
    huge["took"] = "9".repeat(4000).into();
    for bad in [
        String::new(),
        "=".into(),
        "bm90IEpTT04=".into(),
        right.to_string(),
        encoded(&json!({})),
        encoded(&json!([1])),
        encoded(&json!({ "algorithm": "SHA-256", "challenge": "", "number": -1, "salt": "", "signature": "" })),
        encoded(&other),
        encoded(&huge),
        "A".repeat(1 << 20),
    ] {
        assert_eq!(setting.judge(&bad, &KEY), SolutionVerdict::Refused(ChallengeReason::Malformed), "{:.60}", bad);
    }
}

#[test]
fn a_solution_faster_than_the_settings_allow_passes_and_is_suspicious() {
    let setting = setting(|settings| settings.hashes_per_second_max = 1000);
    let judged = |ms: i64| {
        let solution = encoded(&solve(&setting.issue(None)));
        setting.work.judge(
            &setting.difficulty,
            &setting.digests,
            solution.as_bytes(),
            &setting.order(&setting.ann, &KEY, START + ms),
        )
    };
    // 100 to 500 numbers at 1,000 a second.
    assert_eq!((judged(99), judged(500)), (SolutionVerdict::Solved { too_fast: true }, SOLVED));
    assert!(judged(0).is_suspicious() && !SOLVED.is_suspicious() && !SolutionVerdict::Repeated.is_suspicious());
}
