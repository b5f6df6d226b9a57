//! Populations follow from their seed, habits from the answers, and the aims from the counts.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::habits::{CrowdAnswer, CrowdRequest};
use super::params::PopulationName;
use super::population::{BuyerKind, Population};
use super::report::{CrowdFigures, aims};
use super::tally::{BuyerTally, DoorVerdict, KindTallies, KindTally};
use crate::load::client::ResponseHead;
use crate::types::OrderId;

const NAMES: [PopulationName; 3] = [PopulationName::A, PopulationName::B, PopulationName::C];

#[test]
fn a_population_follows_from_its_name_its_seed_and_its_size() {
    for name in NAMES {
        let one = Population::new(name, 7, 20);
        assert_eq!(one.members, Population::new(name, 7, 20).members);
        assert_ne!(one.members, Population::new(name, 8, 20).members);
        assert!(one.members.iter().zip(0..).all(|(member, number)| member.number == number));
        assert!(Population::new(name, 7, 1).members.len() >= BuyerKind::ALL.len(), "every kind is there");
    }
    let (a, b) = (Population::new(PopulationName::A, 7, 20), Population::new(PopulationName::B, 7, 20));
    assert_ne!(a.members, b.members);
}

#[test]
fn kinds_share_addresses_as_they_are_described() {
    for name in NAMES {
        let population = Population::new(name, 3, 100);
        let mut buyers: BTreeMap<(BuyerKind, IpAddr), u32> = BTreeMap::new();
        for member in &population.members {
            *buyers.entry((member.kind, member.address)).or_default() += 1;
        }
        let most = |kind| buyers.iter().filter(|((of, _), _)| *of == kind).map(|(_, count)| *count).max();
        let least = |kind| buyers.iter().filter(|((of, _), _)| *of == kind).map(|(_, count)| *count).min();
        assert!(most(BuyerKind::Person) >= Some(40) && least(BuyerKind::Person) == Some(1), "carriers and homes");
        assert!(most(BuyerKind::Student) >= Some(1_000), "a campus");
        assert!(most(BuyerKind::FastBot) >= Some(100), "a farm");
        for kind in [BuyerKind::DistributedBot, BuyerKind::ReadingBot, BuyerKind::PatientBot] {
            assert_eq!(most(kind), Some(1), "{kind:?}");
        }
        let kinds_of_address: BTreeMap<IpAddr, u32> = buyers.keys().fold(BTreeMap::new(), |mut kinds, (_, address)| {
            *kinds.entry(*address).or_default() += 1;
            kinds
        });
        assert!(kinds_of_address.values().all(|kinds| *kinds == 1), "no address has two kinds");
    }
}

/// The requests of a member whom the server answers always in the same way, with their times.
fn plays(population: &Population, kind: BuyerKind, answer: CrowdAnswer, until: f64) -> Vec<Vec<(f64, CrowdRequest)>> {
    let members = population.members.iter().filter(|member| member.kind == kind).cloned();
    members
        .map(|mut member| {
            let mut requests = Vec::new();
            let mut next = Some(member.habits.first());
            while let Some(due) = next.filter(|due| due.at < until) {
                requests.push((due.at, due.ask));
                let answer = if due.ask == CrowdRequest::Read { CrowdAnswer::Done } else { answer };
                next = member.habits.after(due.ask, answer, due.at, due.at + 0.002);
            }
            requests
        })
        .collect()
}

#[test]
fn bots_go_on_by_their_timer_and_people_give_up() {
    for name in NAMES {
        let population = Population::new(name, 5, 10);
        for kind in [BuyerKind::FastBot, BuyerKind::DistributedBot, BuyerKind::ReadingBot] {
            let all = plays(&population, kind, CrowdAnswer::Rejected(60.0), 60.0);
            assert!(all.iter().all(|requests| requests.len() > 25), "{kind:?}");
            let reads = all.iter().flatten().filter(|(_, ask)| *ask == CrowdRequest::Read).count();
            assert_eq!(reads, if kind == BuyerKind::ReadingBot { all.len() } else { 0 }, "{kind:?}");
        }
        let people = plays(&population, BuyerKind::Person, CrowdAnswer::SoldOut, 1e6);
        assert!(people.iter().all(|requests| requests.len() <= 40));
        let read_first = people.iter().filter(|requests| requests[0].1 == CrowdRequest::Read).count();
        assert!(read_first * 100 > people.len() * 90, "{read_first} of {}", people.len());
        let patient = plays(&population, BuyerKind::PatientBot, CrowdAnswer::SoldOut, 1e6);
        assert!(patient.iter().flatten().all(|(_, ask)| *ask == CrowdRequest::Order), "no reads");
    }
}

#[test]
fn a_buyer_with_a_unit_checks_out_and_leaves() {
    let order = OrderId::parse("00000000-0001-8000-8000-000000000001").expect("an id");
    let population = Population::new(PopulationName::A, 5, 2);
    for member in &population.members {
        let mut habits = member.habits.clone();
        let ask = CrowdRequest::CheckOut(order);
        let next = habits.after(CrowdRequest::Order, CrowdAnswer::Reserved(order), 1.0, 1.1).expect("a checkout");
        assert_eq!(next.ask, ask);
        assert!(next.at > 1.1);
        assert_eq!(habits.after(ask, CrowdAnswer::Done, next.at, next.at), None);
    }
}

#[test]
fn verdicts_are_those_of_the_answer() {
    let head = |status| ResponseHead { status, ..ResponseHead::default() };
    assert_eq!(DoorVerdict::of(&head(201)), DoorVerdict::Admitted);
    assert_eq!(DoorVerdict::of(&head(409)), DoorVerdict::Admitted, "sold out is an answer of the engine");
    assert_eq!(DoorVerdict::of(&ResponseHead { suspected_quota: Some(1), ..head(403) }), DoorVerdict::Slowed);
    assert_eq!(DoorVerdict::of(&ResponseHead { suspected_quota: Some(1), ..head(429) }), DoorVerdict::Rejected);
    assert_eq!(DoorVerdict::of(&head(428)), DoorVerdict::Rejected);
    for status in [401, 503, 500] {
        assert_eq!(DoorVerdict::of(&head(status)), DoorVerdict::Failed, "{status}");
    }
}

/// Buyers of each kind, with these counts of requests each: admitted, slowed, rejected; and units of so many of them.
fn kinds(of: &[(BuyerKind, u64, [u64; 3], u64)]) -> KindTallies {
    let mut kinds: KindTallies = BuyerKind::ALL.into_iter().map(|kind| (kind, KindTally::default())).collect();
    for (kind, buyers, counts, units) in of {
        for number in 0..*buyers {
            let mut buyer =
                BuyerTally { has_unit: number < *units, is_suspected: counts[1] > 0, ..BuyerTally::default() };
            let verdicts = [DoorVerdict::Admitted, DoorVerdict::Slowed, DoorVerdict::Rejected];
            let mut sent = 0.0;
            for (verdict, count) in verdicts.into_iter().zip(counts) {
                for _ in 0..*count {
                    buyer.note(CrowdRequest::Order, verdict, sent);
                    sent += 5.0;
                }
            }
            kinds.entry(*kind).or_default().add(&buyer, &["odd_headers".to_owned()]);
        }
    }
    kinds
}

fn figures(taken: u64) -> CrowdFigures {
    CrowdFigures { taken, suspected_quota: 1, late_ms: 0.0 }
}

fn missed(kinds: &KindTallies, figures: &CrowdFigures) -> Vec<&'static str> {
    aims(kinds, figures).into_iter().filter(|aim| !aim.is_reached).map(|aim| aim.name).collect()
}

#[test]
fn the_aims_follow_from_the_counts_and_each_is_missed_by_what_it_names() {
    let good = [
        (BuyerKind::Person, 100, [4, 0, 0], 40),
        (BuyerKind::Student, 100, [4, 0, 0], 40),
        (BuyerKind::FastBot, 50, [5, 1, 94], 5),
        (BuyerKind::DistributedBot, 10, [5, 0, 95], 1),
        (BuyerKind::PatientBot, 10, [4, 0, 0], 4),
    ];
    assert_eq!(missed(&kinds(&good), &figures(90)), [""; 0]);
    let with = |index: usize, changed| {
        let mut all = good;
        all[index] = changed;
        kinds(&all)
    };
    let cases = [
        (with(0, (BuyerKind::Person, 100, [98, 0, 2], 40)), 90, "people"),
        (with(1, (BuyerKind::Student, 100, [98, 2, 0], 40)), 90, "campuses"),
        (with(2, (BuyerKind::FastBot, 50, [6, 0, 94], 5)), 90, "fast_bots"),
        (with(3, (BuyerKind::DistributedBot, 10, [50, 0, 50], 1)), 90, "distributed_bots"),
        (with(2, (BuyerKind::FastBot, 50, [5, 1, 94], 40)), 125, "bots_units"),
        (kinds(&good), 91, "units"),
        (kinds(&good), 89, "units"),
    ];
    for (kinds, taken, name) in cases {
        assert_eq!(missed(&kinds, &figures(taken)), [name]);
    }
    let late = CrowdFigures { late_ms: 101.0, ..figures(90) };
    assert_eq!(missed(&kinds(&good), &late), ["late"], "a load that is not regular itself shows nothing");
    let not_slower = CrowdFigures { suspected_quota: 50, ..figures(90) };
    let slowed = with(2, (BuyerKind::FastBot, 50, [5, 95, 0], 5));
    assert_eq!(missed(&slowed, &figures(90)), [""; 0]);
    assert_eq!(missed(&slowed, &not_slower), ["fast_bots"], "a limit above a person's rate slows no bot");
    assert!(missed(&kinds(&[]), &figures(0)).contains(&"fast_bots"), "a run without requests reaches no aim");
}

#[test]
fn a_kind_adds_up_its_buyers() {
    let all = kinds(&[(BuyerKind::FastBot, 3, [1, 1, 2], 2)]);
    let bots = &all[&BuyerKind::FastBot];
    assert_eq!((bots.buyers, bots.suspected, bots.units, bots.writes), (3, 3, 2, 12));
    assert_eq!((bots.requests.all(), bots.requests.admitted, bots.requests.rejected), (12, 3, 6));
    assert_eq!(bots.signals["odd_headers"], 3);
    assert!((bots.writes_per_minute() - 12.0).abs() < 1e-9, "a write every 5 s");
    assert!((bots.requests.held_back(true) - 0.75).abs() < 1e-9 && (bots.requests.held_back(false) - 0.5).abs() < 1e-9);
}
