//! Checks before a run that the server has the settings that the crowd needs.

use std::net::{IpAddr, Ipv6Addr};

use super::dice::Dice;
use super::habits::{CrowdRequest, Habits, MachineHabits};
use super::plan::CrowdPlan;
use super::population::{BuyerKind, CrowdMember};
use super::requests::CrowdRequests;
use crate::exit::Exit;
use crate::load::client::{LoadConnection, ResponseHead};
use crate::load::drops;

/// The settings of the server, for the message.
const SETTINGS: &str = "--crowd mixed needs a server with these settings (scripts/crowd.sh starts one):
  trusted_proxies = [\"127.0.0.0/8\"]              each simulated buyer has an address, by X-Forwarded-For
  identity.hs256_secret_files = [\"…\"]                 the file of --token-key
  identity.audience = \"…\"                             the name of --audience
  public_url = \"https://…\"                            a shop's pages are under HTTPS, so browsers send all their headers";

/// Orders of the probe. A client gets room for another write every 0.6 s, so a few soon after each other show that they share it.
const ORDERS: u32 = 8;

/// Sends orders of suspected buyers, whose answers show whether the door tells addresses and buyers apart.
///
/// # Errors
/// 64: the settings are missing; 69: no server.
pub(super) async fn check(plan: &CrowdPlan, requests: &CrowdRequests) -> Result<(), Exit> {
    let unreachable = |error| drops::unreachable_at(&plan.public, &error);
    let mut connection = LoadConnection::open(plan.public.address).await.map_err(unreachable)?;
    let mut answers = Vec::new();
    for number in 1..=ORDERS {
        let text = order(requests, number)?;
        answers.push(connection.exchange(text.as_bytes()).await.map_err(unreachable)?.head);
    }
    match mistake(&answers) {
        None => Ok(()),
        Some(mistake) => Err(Exit::usage(format!("{}: {mistake}\n{SETTINGS}", plan.public.authority))),
    }
}

/// The order of a buyer whose token claims the tier `suspected`, from an address of its own.
fn order(requests: &CrowdRequests, number: u32) -> Result<String, Exit> {
    // From the network for documentation, 2001:db8::/32: a /64 that no run before has used.
    let random = drops::random()?;
    let network = (0x2001_0db8_u128 << 96) | (u128::from(random >> 32) << 64);
    let (address, dice) = (IpAddr::V6(Ipv6Addr::from_bits(network | 1)), Dice::new(random, 0));
    let habits = MachineHabits { begins: 0.0, every: 1.0, jitter: 0.0, reads: false, dice };
    let member = CrowdMember {
        number: u32::MAX - number,
        kind: BuyerKind::FastBot,
        address,
        headers: "User-Agent: firstcome-rush/1\r\n".into(),
        habits: Habits::Machine(habits),
    };
    let token = requests.token(&requests.buyer(member.number), Some("suspected"));
    Ok(requests.request(&member, (address, &token), CrowdRequest::Order, 0))
}

/// The setting that the answers show to be missing.
fn mistake(answers: &[ResponseHead]) -> Option<&'static str> {
    if answers.iter().any(|head| head.status == 401) {
        return Some("it does not accept the tokens of --token-key and --audience");
    }
    if answers.iter().all(|head| head.suspected_quota.is_none() && !head.is_charged_by_address) {
        return Some("no rate limit applies to the crowd: this machine is exempt, and no trusted proxy");
    }
    if answers.iter().any(|head| head.suspected_quota.is_none()) {
        return Some("it does not read buyers' tokens");
    }
    let left = answers.iter().filter_map(|head| head.address_writes_left);
    let share_one = left.clone().min() != left.max();
    share_one.then_some("it takes all addresses for one: this machine is no trusted proxy")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, suspected_quota: Option<u32>, address_writes_left: Option<u32>) -> ResponseHead {
        let is_charged_by_address = address_writes_left.is_some();
        ResponseHead { status, suspected_quota, is_charged_by_address, address_writes_left, ..ResponseHead::default() }
    }

    #[test]
    fn each_missing_setting_has_a_line_and_a_whole_server_none() {
        let good = answer(403, Some(1), Some(99));
        assert_eq!(mistake(&[good, good]), None);
        for (first, second, part) in [
            (answer(401, None, None), answer(401, None, None), "--token-key"),
            (answer(403, None, None), answer(403, None, None), "exempt"),
            (answer(403, None, Some(99)), answer(403, None, Some(98)), "buyers' tokens"),
            (good, answer(403, Some(1), Some(98)), "all addresses for one"),
        ] {
            let told = mistake(&[first, second]).expect("a line");
            assert!(told.contains(part), "{told}");
        }
    }
}
