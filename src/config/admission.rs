//! The settings of rate limits.

use super::limits::Relation;
use super::model::{Config, Exemptions};
use super::setting::{Setting, setting};
use super::values::{count, list, networks, number};
use crate::types::{BuyerText, Tier};

/// Bytes that the tables of limits, of bot signals and of used challenges may take together, once they are all used.
pub const TABLE_BYTES_MAX: usize = 64 << 20;
/// Bytes of a client whose budget is remembered.
pub const LIMIT_ENTRY_BYTES: usize = 19;
/// Bytes of a buyer with signals, and of a pair of an address and a user agent; there are as many places for each.
pub const RISK_ENTRY_BYTES: usize = 102 + 34;
/// Bytes of the filter of reads of drops.
pub const READ_FILTER_BYTES: usize = 4 << 20;
/// Bytes of a used challenge.
pub const USED_CHALLENGE_BYTES: usize = 8;

/// Prefix of a buyer among the exemptions.
const BUYER: &str = "buyer:";

fn per_minute(text: &str) -> Result<u32, String> {
    u32::try_from(number(text, 0, 1_000_000_000)?).map_err(|error| error.to_string())
}

fn tier(text: &str) -> Result<Tier, String> {
    Tier::parse(text.trim()).ok_or_else(|| "suspected, new, verified or premium".into())
}

fn exempt(text: &str) -> Result<Exemptions, String> {
    let (buyers, addresses): (Vec<String>, Vec<String>) =
        list(text).into_iter().partition(|item| item.starts_with(BUYER));
    let buyers: Vec<String> = buyers.iter().filter_map(|item| item.strip_prefix(BUYER)).map(String::from).collect();
    match networks(&addresses.join(",")) {
        Ok(networks) if buyers.iter().all(|buyer| BuyerText::new(buyer).is_some()) => {
            Ok(Exemptions { networks, buyers })
        }
        Ok(_) | Err(_) => Err("networks such as 10.0.0.0/8, addresses, and buyers such as buyer:box-office".into()),
    }
}

pub(super) const SETTINGS: &[Setting] = &[
    setting!(
        "admission.address_reads_per_minute",
        "1000",
        "requests",
        "reads of one client address (IPv6: of one /64), all of which may come at once; above it the answer is 429; buyers with tokens have budgets of their own; 0: no limit",
        |c, t| c.admission.address_reads = per_minute(t)?
    ),
    setting!(
        "admission.address_writes_per_minute",
        "100",
        "requests",
        "same for writes: orders, bids, checkouts, cancellations; 0: no limit",
        |c, t| c.admission.address_writes = per_minute(t)?
    ),
    setting!(
        "admission.address_buyers_per_minute",
        "20",
        "buyers",
        "distinct buyers that one address names without a token, or with one of the tier `suspected`; a purchase is about five writes, so 20 buyers use up the default of `admission.address_writes_per_minute`; 0: no limit",
        |c, t| c.admission.address_buyers = per_minute(t)?
    ),
    setting!(
        "admission.address_invalid_tokens_per_minute",
        "6000",
        "tokens",
        "buyers' tokens that are not valid, of one client address; above it no token of that address is verified that is not known yet, since each costs a signature; a campus' pages may repeat expired tokens for a while, hence so many; 0: no limit",
        |c, t| c.admission.address_invalid_tokens = per_minute(t)?
    ),
    setting!(
        "admission.buyer_reads_per_minute",
        "1000",
        "requests",
        "reads of one buyer with a token, wherever they come from; 0: no limit",
        |c, t| c.admission.buyer_reads = per_minute(t)?
    ),
    setting!(
        "admission.suspected_writes_per_minute",
        "1",
        "requests",
        "writes of one buyer of the tier `suspected`; they are charged to the client address, too; limits must ascend with the tiers; 0: no limit",
        |c, t| c.admission.tier_writes[0] = per_minute(t)?
    ),
    setting!(
        "admission.new_writes_per_minute",
        "50",
        "requests",
        "writes of one buyer of the tier `new`: a person's clicks in a hurry; 0: no limit",
        |c, t| c.admission.tier_writes[1] = per_minute(t)?
    ),
    setting!(
        "admission.verified_writes_per_minute",
        "100",
        "requests",
        "writes of one buyer of the tier `verified`; 0: no limit",
        |c, t| c.admission.tier_writes[2] = per_minute(t)?
    ),
    setting!(
        "admission.premium_writes_per_minute",
        "200",
        "requests",
        "writes of one buyer of the tier `premium`; 0: no limit",
        |c, t| c.admission.tier_writes[3] = per_minute(t)?
    ),
    setting!(
        "admission.global_reads_per_minute",
        "0",
        "requests",
        "reads of all clients together, besides exempt ones; off, because the server sheds load by its queue; 0: no limit",
        |c, t| c.admission.global_reads = per_minute(t)?
    ),
    setting!("admission.global_writes_per_minute", "0", "requests", "same for writes; 0: no limit", |c, t| c
        .admission
        .global_writes =
        per_minute(t)?),
    setting!(
        "admission.default_tier",
        "new",
        "suspected, new, verified, premium",
        "tier of buyers where `identity` has no keys of buyers' tokens; with keys, the token's claim `tier` says it, and a token without the claim is of the tier `new`",
        |c, t| c.admission.default_tier = tier(t)?
    ),
    setting!(
        "admission.exempt",
        "",
        "list",
        "networks without limits, and buyers as `buyer:NAME`: box offices and load tests; a buyer counts with a valid token or as named by a trusted proxy; loopback is exempt unless `http.loopback_is_client`",
        |c, t| c.admission.exempt = exempt(t)?
    ),
    setting!(
        "admission.entries_max",
        "1000000",
        "entries",
        "clients whose budgets are remembered at once, 19 bytes each, taken when they are needed; a client that has recovered makes room for a newcomer, and no other does; with `risk.entries_max` and `challenge.used_max` at most 64 MiB",
        |c, t| c.admission.entries_max = count(t, 1000, 3_500_000)?
    ),
];

/// Returns the bytes of the tables of limits, bot signals and used challenges, once all places are used.
fn table_bytes(config: &Config) -> usize {
    let limits = config.admission.entries_max.saturating_mul(LIMIT_ENTRY_BYTES);
    let risk = config.risk.entries_max.saturating_mul(RISK_ENTRY_BYTES).saturating_add(READ_FILTER_BYTES);
    let challenges = config.challenge.used_max.saturating_mul(USED_CHALLENGE_BYTES);
    limits.saturating_add(risk).saturating_add(challenges)
}

pub(super) fn relations(config: &Config) -> [Relation; 4] {
    let most = |limit: u32| if limit == 0 { u32::MAX } else { limit };
    let [suspected, new, verified, premium] = config.admission.tier_writes.map(most);
    let ascending = |lower: &'static str, higher: &'static str, holds| {
        (
            [lower, higher],
            holds,
            format!("{lower} must be at most {higher}: a buyer who is trusted more never gets less"),
        )
    };
    [
        ascending("admission.suspected_writes_per_minute", "admission.new_writes_per_minute", suspected <= new),
        ascending("admission.new_writes_per_minute", "admission.verified_writes_per_minute", new <= verified),
        ascending("admission.verified_writes_per_minute", "admission.premium_writes_per_minute", verified <= premium),
        (
            ["admission.entries_max", "risk.entries_max"],
            table_bytes(config) <= TABLE_BYTES_MAX,
            format!(
                "admission.entries_max ({} of {LIMIT_ENTRY_BYTES} bytes), risk.entries_max ({} of {RISK_ENTRY_BYTES} bytes, and {READ_FILTER_BYTES} for reads) and challenge.used_max ({} of {USED_CHALLENGE_BYTES} bytes) together take {} bytes, and may take at most {TABLE_BYTES_MAX} (64 MiB): lower one of them",
                config.admission.entries_max,
                config.risk.entries_max,
                config.challenge.used_max,
                table_bytes(config)
            ),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_those_of_canonical_addresses_so_that_a_mapped_one_is_not_without_effect() {
        let exempt =
            exempt("::ffff:198.51.100.0/120, ::ffff:192.0.2.7, 2001:db8::/32, ::ffff:0:0/96, buyer:x").expect("good");
        let told: Vec<String> = exempt.networks.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["198.51.100.0/24", "192.0.2.7/32", "2001:db8::/32", "0.0.0.0/0"]);
    }
}
