//! Policies by table.

mod windows;

use std::time::{Duration, Instant};

use super::super::Caller;
use super::super::address::ClientAddress;
use super::super::peer::Peer;
use super::{Client, Door, Exceeded};
use crate::admission::risk::{SeenOrder, SeenWrite};
use crate::config::{AdmissionSettings, Config, RiskSettings};
use crate::telemetry::Telemetry;
use crate::types::{BuyerText, DropId, Tier};

fn settings(change: impl FnOnce(&mut AdmissionSettings)) -> AdmissionSettings {
    let mut settings = Config::defaults().admission;
    change(&mut settings);
    settings
}

fn door(change: impl FnOnce(&mut AdmissionSettings)) -> Door {
    Door::new(&settings(change), &RiskSettings::default(), false, &Telemetry::new())
}

fn at(door: &Door, address: &str) -> Client {
    door.client(ClientAddress::new(address.parse().expect("an address")), true, false)
}

fn backend(door: &Door) -> Client {
    door.client(ClientAddress::new("10.0.0.1".parse().expect("an address")), true, true)
}

fn buyer(name: &str) -> BuyerText {
    BuyerText::new(name).expect("a buyer")
}

fn holder(name: &str, tier: Tier) -> Caller {
    Caller::Buyer(buyer(name), tier)
}

fn names(refused: Result<(), Exceeded>) -> Vec<&'static str> {
    refused.err().map(|Exceeded(states)| states.iter().map(|state| state.policy).collect()).unwrap_or_default()
}

/// Sends requests at one instant until one is refused. Returns how many passed, and the policies that refused.
fn passed(mut send: impl FnMut() -> Result<(), Exceeded>) -> (u32, Vec<&'static str>) {
    for number in 0..10_000 {
        let refused = names(send());
        if !refused.is_empty() {
            return (number, refused);
        }
    }
    (10_000, Vec::new())
}

/// SplitMix64: a sequence of a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 1) % bound
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.below(of.len().try_into().expect("few"))).expect("few")]
    }
}

#[test]
fn each_policy_has_its_limit() {
    let now = Instant::now();
    let anonymous = Caller::Anonymous;
    let door = || door(|_| {});
    let write = |door: &Door, client, caller: &Caller| door.write(client, caller, now).map(|_| ());

    let d = door();
    assert_eq!(passed(|| d.read(at(&d, "192.0.2.1"), &anonymous, now)), (1000, vec!["address-reads"]));
    assert_eq!(passed(|| write(&d, at(&d, "192.0.2.1"), &anonymous)), (100, vec!["address-writes"]));
    assert_eq!(passed(|| write(&d, at(&d, "192.0.2.2"), &anonymous)).0, 100, "another address");
    assert_eq!(passed(|| write(&d, at(&d, "2001:db8::1"), &anonymous)).0, 100);
    assert_eq!(passed(|| write(&d, at(&d, "2001:db8::2"), &anonymous)).0, 0, "the same /64");
    assert_eq!(passed(|| write(&d, at(&d, "2001:db8:0:1::"), &anonymous)).0, 100, "another /64");

    for (tier, limit, policy) in
        [(Tier::New, 50, "buyer-new"), (Tier::Verified, 100, "buyer-verified"), (Tier::Premium, 200, "buyer-premium")]
    {
        let d = door();
        for name in ["ann", "bob", "cat", "dan"] {
            let caller = holder(name, tier);
            assert_eq!(passed(|| write(&d, at(&d, "192.0.2.1"), &caller)), (limit, vec![policy]), "a campus");
            assert_eq!(passed(|| write(&d, at(&d, "192.0.2.2"), &caller)).0, 0, "the budget is the buyer's");
        }
        assert_eq!(passed(|| write(&d, at(&d, "192.0.2.1"), &anonymous)).0, 100, "the address paid nothing");
        assert_eq!(passed(|| d.read(at(&d, "192.0.2.1"), &holder("ann", tier), now)), (1000, vec!["buyer-reads"]));
        assert_eq!(passed(|| d.read(at(&d, "192.0.2.1"), &anonymous, now)).0, 1000);
    }

    let d = door();
    let mut number = 0;
    let suspects = passed(|| {
        number += 1;
        write(&d, at(&d, "192.0.2.1"), &holder(&number.to_string(), Tier::Suspected))
    });
    assert_eq!(suspects, (20, vec!["address-buyers"]), "they are charged to their address, too");
    assert_eq!(passed(|| write(&d, at(&d, "192.0.2.1"), &anonymous)).0, 80);
    assert_eq!(passed(|| write(&d, at(&d, "192.0.2.3"), &holder("eve", Tier::Suspected))).0, 1);

    let d = door();
    assert_eq!(passed(|| write(&d, backend(&d), &anonymous)).0, 10_000, "the shop's back end is not limited");
    let named = |d: &Door, client, name: &str| d.named_buyer(client, &buyer(name), now).map(|_| ());
    assert_eq!(passed(|| named(&d, backend(&d), "ann")), (50, vec!["buyer-new"]), "its buyers are");
    let mut number = 0;
    let mut next = |d: &Door, client| {
        number += 1;
        named(d, client, &number.to_string())
    };
    assert_eq!(
        passed(|| next(&d, at(&d, "192.0.2.1"))),
        (20, vec!["address-buyers"]),
        "ten thousand names: one budget"
    );
    assert_eq!(passed(|| named(&d, at(&d, "192.0.2.1"), "1")).0, 49, "a buyer that was named counts on");
    assert_eq!(passed(|| next(&d, backend(&d))).0, 10_000);
    assert_eq!(passed(|| write(&d, at(&d, "127.0.0.1"), &anonymous)).0, 10_000, "loopback");
}

#[test]
fn who_is_exempt_has_no_limit_and_a_name_alone_exempts_nobody() {
    let now = Instant::now();
    let exempt = crate::config::Exemptions {
        networks: vec!["198.51.100.0/24".parse().expect("a network")],
        buyers: vec!["box-office".into()],
    };
    let d = door(|settings| {
        settings.exempt = exempt;
        settings.global_reads = 5;
        settings.global_writes = 7;
    });
    let write = |client, caller: &Caller| d.write(client, caller, now).map(|_| ());
    assert_eq!(passed(|| write(at(&d, "198.51.100.9"), &Caller::Anonymous)).0, 10_000);
    assert_eq!(passed(|| write(at(&d, "192.0.2.1"), &holder("box-office", Tier::New))).0, 10_000);
    let named = |client, name: &str| d.named_buyer(client, &buyer(name), now).map(|_| ());
    assert_eq!(passed(|| named(backend(&d), "box-office")).0, 10_000);
    assert_eq!(passed(|| named(at(&d, "192.0.2.1"), "box-office")).0, 50, "said by anybody");
    assert_eq!(passed(|| write(at(&d, "192.0.2.1"), &Caller::Anonymous)), (7, vec!["global-writes"]));
    assert_eq!(passed(|| d.read(at(&d, "192.0.2.7"), &Caller::Anonymous, now)), (5, vec!["global-reads"]));

    let is_client = Door::new(&settings(|_| {}), &RiskSettings::default(), true, &Telemetry::new());
    assert_eq!(passed(|| is_client.write(at(&is_client, "127.0.0.1"), &Caller::Anonymous, now).map(|_| ())).0, 100);
}

#[test]
fn a_refused_request_costs_nothing_in_the_policies_that_had_room() {
    let now = Instant::now();
    let d = door(|settings| {
        settings.global_writes = 1000;
        settings.tier_writes[0] = 3;
    });
    let (client, eve) = (at(&d, "192.0.2.1"), holder("eve", Tier::Suspected));
    for _ in 0..3 {
        d.write(client, &eve, now).expect("room");
    }
    for _ in 0..500 {
        assert_eq!(names(d.write(client, &eve, now).map(|_| ())), ["buyer-suspected"]);
    }
    assert_eq!(passed(|| d.write(client, &Caller::Anonymous, now).map(|_| ())), (97, vec!["address-writes"]));
    let rest = passed(|| d.write(backend(&d), &Caller::Anonymous, now).map(|_| ()));
    assert_eq!(rest, (900, vec!["global-writes"]));
    let both = names(d.write(client, &Caller::Anonymous, now).map(|_| ()));
    assert_eq!(both, ["global-writes", "address-writes"], "all policies without room are named");

    let d = door(|_| {});
    let client = at(&d, "192.0.2.1");
    for _ in 0..500 {
        let head = d.write(client, &Caller::Anonymous, now).expect("room");
        d.give_back(&head, now);
    }
    assert_eq!(passed(|| d.write(client, &Caller::Anonymous, now).map(|_| ())).0, 100, "given back for a buyer's sake");
}

#[test]
fn changed_limits_are_in_force_with_the_next_request_and_forget_nothing() {
    let now = Instant::now();
    let d = door(|settings| settings.address_writes = 10);
    let write = || d.write(at(&d, "192.0.2.1"), &Caller::Anonymous, now).map(|_| ());
    assert_eq!(passed(write).0, 10);
    d.replace_rules(&settings(|settings| settings.address_writes = 0));
    assert_eq!(passed(write).0, 10_000);
    d.replace_rules(&settings(|settings| settings.address_writes = 20));
    assert_eq!(passed(write).0, 0, "the budget was used up");
    d.replace_rules(&settings(|settings| settings.exempt.networks = vec!["192.0.2.1/32".parse().expect("one")]));
    assert_eq!(passed(write).0, 10_000);
}

#[test]
fn what_time_has_given_back_is_not_given_back_again() {
    let now = Instant::now();
    let d = door(|_| {});
    let client = at(&d, "192.0.2.1");
    let heads: Vec<_> = (0..8).map(|_| d.write(client, &Caller::Anonymous, now).expect("room")).collect();
    let later = now + Duration::from_millis(4_500);
    assert_eq!(passed(|| d.write(client, &Caller::Anonymous, later).map(|_| ())).0, 99, "seven and a half are back");
    heads.iter().for_each(|head| d.give_back(head, later));
    let more = passed(|| d.write(client, &Caller::Anonymous, later).map(|_| ())).0;
    assert_eq!(more, 1, "half of one was still owed, and half of one was left: a hundred at once, and no more");
}

#[test]
fn a_loopback_address_that_a_proxy_forwards_is_a_client() {
    let now = Instant::now();
    let d = door(|_| {});
    let forwarded = d.client(ClientAddress::new("127.0.0.1".parse().expect("an address")), false, false);
    assert_eq!(passed(|| d.write(forwarded, &Caller::Anonymous, now).map(|_| ())).0, 100);
    assert_eq!(passed(|| d.write(at(&d, "127.0.0.1"), &Caller::Anonymous, now).map(|_| ())).0, 10_000);
}

#[test]
fn a_connection_that_remembers_its_peer_gets_the_decisions_that_it_would_get_without_a_memory() {
    let mut refused = 0;
    for seed in 1..=20 {
        let mut random = Random(seed);
        let mut small = |from: u64| u32::try_from(from + random.below(30)).expect("small");
        let rules: Vec<AdmissionSettings> = (0..4)
            .map(|number| {
                settings(|settings| {
                    (settings.address_reads, settings.buyer_reads) = (small(0), small(1));
                    settings.global_reads = if number == 1 { small(1) } else { 0 };
                    if number == 2 {
                        settings.exempt.networks = vec!["192.0.2.0/31".parse().expect("a network")];
                    }
                })
            })
            .collect();
        let [with, without] = [(); 2].map(|()| door(|settings| settings.clone_from(&rules[0])));
        let addresses = ["192.0.2.1", "192.0.2.2", "127.0.0.1", "2001:db8::1"];
        let peers = addresses.map(|address| Peer::new(address.parse().expect("an address")));
        let callers = [Caller::Anonymous, holder("ann", Tier::New), holder("eve", Tier::Suspected)];
        // An instant before a door was made is the first of that door, and not of the other.
        let mut now = Instant::now() + Duration::from_secs(1);
        for _ in 0..2_000 {
            now += Duration::from_millis(random.below(2_000));
            if random.below(50) == 0 {
                let changed = &rules[usize::try_from(random.below(4)).expect("small")];
                [&with, &without].into_iter().for_each(|door| door.replace_rules(changed));
            }
            let [who, what] = [4, 3].map(|bound| usize::try_from(random.below(bound)).expect("small"));
            let (peer, caller) = (&peers[who], &callers[what]);
            let over_it = with.read_over(peer, with.client_of(peer), caller, now);
            let alone = without.read(at(&without, addresses[who]), caller, now);
            assert_eq!(over_it, alone, "seed {seed}: {peer:?} {caller:?}");
            refused += u32::from(alone.is_err());
        }
    }
    assert!((2_000..38_000).contains(&refused), "{refused} of 40,000 refused");
}

#[test]
fn the_name_of_an_exempt_buyer_has_no_signals_only_where_it_is_proven() {
    let now = Instant::now();
    let office = settings(|settings| settings.exempt.buyers = vec!["box-office".into()]);
    let risk = Config::defaults().risk;
    let new = || Door::new(&office, &risk, false, &Telemetry::new());
    for (door, by_backend, has_signals) in
        [(new(), false, true), (new(), true, false), (new().with_proven_names(true), false, false)]
    {
        let client = if by_backend { backend(&door) } else { at(&door, "192.0.2.1") };
        door.note_challenge(client, &buyer("box-office"), now);
        assert_eq!(door.risk().of(&buyer("box-office"), now).is_some(), has_signals, "{by_backend}");
    }
}

#[test]
fn a_write_that_passes_tells_its_client_what_is_left() {
    let now = Instant::now();
    let d = door(|_| {});
    let client = at(&d, "192.0.2.1");
    let head = d.write(client, &Caller::Anonymous, now).expect("room");
    let named = d.named_buyer(client, &buyer("ann"), now).expect("room");
    let states: Vec<_> =
        head.states().chain(named.states()).map(|state| (state.policy, state.quota, state.remaining)).collect();
    assert_eq!(states, [("address-writes", 100, 99), ("buyer-new", 50, 49)]);
    let wait = head.states().next().map(|state| state.wait);
    assert_eq!(wait, Some(Duration::from_millis(600)), "one of a hundred comes back in six tenths of a second");
}

#[test]
fn a_read_without_a_place_in_flight_gets_back_what_it_was_charged_and_nothing_that_time_gave_back() {
    let now = Instant::now();
    let d = door(|settings| settings.global_reads = 5_000);
    let callers = [Caller::Anonymous, holder("ann", Tier::New), holder("eve", Tier::Suspected)];
    for (number, caller) in callers.iter().enumerate() {
        let client = at(&d, &format!("192.0.2.{number}"));
        for _ in 0..2_000 {
            d.read(client, caller, now).expect("room: the one before was given back");
            d.give_back_read(client, caller, now, now);
        }
        assert_eq!(passed(|| d.read(client, caller, now)).0, 1000, "{caller:?}: no more than the quota");
        d.give_back_read(client, caller, now, now + Duration::from_secs(1));
        assert_eq!(passed(|| d.read(client, caller, now)).0, 0, "{caller:?}: time has given it back");
    }
    let rest = passed(|| d.read(backend(&d), &Caller::Anonymous, now));
    assert_eq!(rest, (2_000, vec!["global-reads"]), "the charge of all clients together was given back, too");
}

#[test]
fn an_address_with_too_many_invalid_tokens_has_none_looked_at_until_it_has_recovered_and_others_go_on() {
    let d = door(|settings| settings.address_invalid_tokens = 60);
    let now = Instant::now();
    let (forger, other) = (at(&d, "192.0.2.1"), at(&d, "192.0.2.2"));
    for _ in 0..10_000 {
        d.check_tokens_of(forger, now).expect("valid tokens cost nothing");
    }
    let send = |client, now| {
        let looked_at = d.check_tokens_of(client, now);
        d.note_invalid_token(client, now);
        looked_at
    };
    assert_eq!(passed(|| send(forger, now)), (60, vec!["address-invalid-tokens"]));
    let Exceeded(states) = d.check_tokens_of(forger, now).expect_err("no room");
    assert_eq!(states[0].wait, Duration::from_secs(1));
    assert!(d.check_tokens_of(forger, now + Duration::from_secs(1)).is_ok(), "as it was told");
    assert!(d.check_tokens_of(other, now).is_ok());
    let send = |client| {
        d.note_invalid_token(client, now);
        d.check_tokens_of(client, now)
    };
    assert_eq!(passed(|| send(backend(&d))).0, 10_000, "the shop's back end has no address");
    assert_eq!(passed(|| send(at(&d, "127.0.0.1"))).0, 10_000, "loopback");
    assert!(d.write(forger, &holder("ann", Tier::New), now).is_ok(), "whose token is known is not asked");
}

#[test]
fn a_million_addresses_take_at_most_64_megabytes_and_disturb_nobody_with_a_budget() {
    let now = Instant::now();
    let d = door(|_| {});
    let ann = holder("ann", Tier::New);
    let campus = at(&d, "198.51.100.1");
    for _ in 0..10 {
        d.write(campus, &ann, now).expect("room");
    }
    let anonymous = Caller::Anonymous;
    for number in 0..1_000_000u32 {
        let address = std::net::Ipv4Addr::from(0x0a00_0000 + number);
        let client = d.client(ClientAddress::new(address.into()), true, false);
        let _passed_or_not = d.write(client, &anonymous, now);
    }
    assert!(d.table.bytes() <= 64 << 20, "{} bytes", d.table.bytes());
    assert!(d.table.bytes() > 10 << 20, "the table is used: {} bytes", d.table.bytes());
    assert_eq!(passed(|| d.write(campus, &ann, now).map(|_| ())), (40, vec!["buyer-new"]), "as without the crowd");
}

#[test]
fn a_buyer_who_becomes_suspected_has_used_up_the_budget_with_the_writes_before() {
    let began = Instant::now();
    let ms = |millis: u64| began + Duration::from_millis(millis);
    let risk = Config::defaults().risk;
    let door = |risk: &RiskSettings| Door::new(&settings(|_| {}), risk, false, &Telemetry::new());
    // An order of a drop that was not read, and its charge.
    let order = |d: &Door, name: &str, now| {
        let seen = SeenOrder { drop_id: DropId::new(7).expect("an id"), since_start: None };
        let client = at(d, "192.0.2.1");
        d.note_write(client, &buyer(name), &SeenWrite { order: Some(seen), ..SeenWrite::default() }, now);
        d.write(client, &holder(name, Tier::New), now).map(|_| ())
    };
    let d = door(&risk);
    for number in 0..6 {
        assert_eq!(order(&d, "eve", ms(300 * number)), Ok(()), "{number}");
    }
    let refused = order(&d, "eve", ms(1_800)).expect_err("six gaps are regular");
    assert_eq!((refused.0[0].policy, refused.0[0].wait), ("buyer-suspected", Duration::from_secs(60)));
    assert!(order(&d, "eve", ms(61_799)).is_err());
    assert_eq!(order(&d, "eve", ms(61_800)), Ok(()), "exactly when `Retry-After` said");

    let d = door(&RiskSettings { suspect_at: 30, ..risk });
    assert_eq!(order(&d, "eve", began), Ok(()), "without a write before, the budget of a suspected buyer is whole");
    assert!(order(&d, "eve", ms(5_000)).is_err());

    let d = door(&risk);
    d.ask_operators_by(Box::new(|_| Some(Tier::Verified)));
    for number in 0..60 {
        assert_eq!(order(&d, "ann", ms(300 * number)), Ok(()), "an operator's tier wins");
    }
}
