//! The maps of nginx that send requests as the router does, for shops that have nginx anyway. Without what needs a view of the
//! nodes or more than one of them: leaders, lists over all shards, new drops.

use std::fmt::Write as _;

use crate::config::{ShardNode, ShardsConfig};
use crate::types::shard::Shard;

/// Returns the text of a file to be included in the section `http` of nginx.
#[must_use]
pub fn nginx(config: &ShardsConfig) -> String {
    let mut text = String::from(HEAD);
    for (listener, url) in [("public", public as fn(&ShardNode) -> &str), ("admin", admin)] {
        for shard in &config.shards {
            let _infallible = writeln!(text, "upstream firstcome_{listener}_{} {{", shard.shard.get());
            for node in &shard.nodes {
                let _infallible = writeln!(text, "    server {} max_fails=1 fail_timeout=1s;", host(url(node)));
            }
            text.push_str("    keepalive 64;\n}\n");
        }
    }
    let _infallible = writeln!(text, "{}", map_of_ids(config));
    text.push_str(TAIL);
    text
}

const HEAD: &str = "\
# Made by `firstcome route --print-nginx`: to be included in the section http of nginx. The upstream of a request is then
# firstcome_public_$firstcome_shard, or firstcome_admin_$firstcome_shard on a listener for operators:
#
#   location / {
#       proxy_pass http://firstcome_public_$firstcome_shard;     # https:// if the nodes have TLS
#       proxy_http_version 1.1;
#       proxy_set_header Connection \"\";
#       proxy_set_header X-Forwarded-For $remote_addr;
#       proxy_buffering off;                                     # event streams
#       proxy_next_upstream off;                                 # a write that was sent is never sent again
#   }
#
# A follower answers a write with 307 to its leader, which clients follow. Lists and new drops go to the first shard, unless
# the request names another one: Firstcome-Shard.
";

const TAIL: &str = "\
# The shard of a request: that of its path's id, else the one that its header names.
map $firstcome_shard_of_path $firstcome_shard {
    default $firstcome_shard_of_path;
    \"\" $firstcome_shard_of_header;
}
";

fn public(node: &ShardNode) -> &str {
    &node.public_url
}

fn admin(node: &ShardNode) -> &str {
    &node.admin_url
}

fn host(url: &str) -> &str {
    url.split_once("//").map_or(url, |(_, host)| host)
}

/// The maps from a path's id, and from the header, to a shard.
fn map_of_ids(config: &ShardsConfig) -> String {
    let first = config.shards.first().map_or(Shard::SINGLE, |shard| shard.shard).get();
    let single = config.shards.iter().find(|shard| shard.shard == Shard::SINGLE).map_or(first, |_| 0);
    let mut text = String::from("map $uri $firstcome_shard_of_path {\n    default \"\";\n");
    for shard in &config.shards {
        let number = shard.shard.get();
        let _infallible = writeln!(text, "    \"~^/v1/(drops|auctions)/{}(/|$)\" {number};", ids_of(number));
        let _infallible = writeln!(text, "    \"~*^/(v1/orders|pay)/{}\" {number};", order_of(number));
    }
    // An order whose id names no shard here was made before there were shards.
    let _infallible = writeln!(text, "    \"~*^/(v1/orders|pay)/[0-9a-f]{{8}}-\" {single};\n}}");
    text.push_str("map $http_firstcome_shard $firstcome_shard_of_header {\n");
    let _infallible = writeln!(text, "    default {first};");
    for shard in &config.shards {
        let _infallible = writeln!(text, "    {0} {0};", shard.shard.get());
    }
    text.push('}');
    text
}

/// A pattern of the decimal ids of a shard: from its first number to its last.
fn ids_of(shard: u8) -> String {
    let first = (u32::from(shard) << 24).max(1);
    let last = (u32::from(shard) << 24) | 0xff_ffff;
    format!("({})", ranges(first, last).join("|"))
}

/// Patterns of decimal numbers that together cover a range.
fn ranges(first: u32, last: u32) -> Vec<String> {
    let (mut patterns, mut from) = (Vec::new(), u64::from(first));
    let last = u64::from(last);
    while from <= last {
        // The longest run of numbers with the same leading digits that begins here, and ends in the range.
        let mut size = 1_u64;
        while from % size.saturating_mul(10) == 0 && from.saturating_add(size * 10 - 1) <= last && from >= size * 10 {
            size *= 10;
        }
        let digit = (from / size) % 10;
        let mut end = digit;
        let mut until = from.saturating_add(size - 1);
        while end < 9 && until.saturating_add(size) <= last {
            end += 1;
            until = until.saturating_add(size);
        }
        let lead = from / size / 10;
        let lead = if lead == 0 { String::new() } else { lead.to_string() };
        let digits = if digit == end { digit.to_string() } else { format!("[{digit}-{end}]") };
        patterns.push(format!("{lead}{digits}{}", "[0-9]".repeat(size.to_string().len() - 1)));
        from = until + 1;
    }
    patterns
}

/// A pattern of the ids of a shard's orders: the 8 bits of the shard are the two digits behind the version.
fn order_of(shard: u8) -> String {
    format!("[0-9a-f]{{8}}-[0-9a-f]{{4}}-8{shard:02x}[0-9a-f]-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::order_id::OrderSecret;
    use crate::types::{OrderId, Seq};

    /// Matches a number with a pattern of digits and classes of digits.
    fn matches(pattern: &str, number: &str) -> bool {
        let (mut pattern, mut digits) = (pattern.chars(), number.chars());
        loop {
            let range = match pattern.next() {
                None => return digits.next().is_none(),
                Some('[') => {
                    let inside: String = pattern.by_ref().take_while(|c| *c != ']').collect();
                    let ends = inside.split_once('-').expect("a range");
                    ends.0.parse().expect("a digit")..=ends.1.parse().expect("a digit")
                }
                Some(digit) => digit..=digit,
            };
            if !digits.next().is_some_and(|digit| range.contains(&digit)) {
                return false;
            }
        }
    }

    #[test]
    fn every_id_of_a_shard_has_one_pattern_and_no_other_id_has() {
        for shard in [0_u8, 1, 9, 16, 255] {
            let (first, last) = ((u32::from(shard) << 24).max(1), (u32::from(shard) << 24) | 0xff_ffff);
            let patterns = ranges(first, last);
            assert!(patterns.len() < 40, "{patterns:?}");
            let ends = [first, last];
            let near =
                ends.iter().flat_map(|end| (0..2_000).map(|step| end.saturating_sub(1_000).saturating_add(step)));
            let far = (0..2_000_u64).map(|step| u32::try_from(step * 2_147_483 % (1 << 32)).expect("32 bits"));
            for id in near.chain(far) {
                let text = id.to_string();
                let count = patterns.iter().filter(|pattern| matches(pattern, &text)).count();
                assert_eq!(count, usize::from((first..=last).contains(&id)), "{id} of {shard}: {patterns:?}");
            }
        }
    }

    #[test]
    fn the_id_of_an_order_has_its_shard_in_two_digits() {
        for shard in [0, 1, 200] {
            let secret = OrderSecret::from_random(Shard::new(shard), [0xff; 10]);
            let id = OrderId { seq: Seq::new(12).expect("in range"), secret }.to_string();
            assert_eq!(id.get(15..17).map(String::from), Some(format!("{shard:02x}")), "{id}");
            assert!(order_of(shard).contains(&format!("-8{shard:02x}")));
        }
    }
}
