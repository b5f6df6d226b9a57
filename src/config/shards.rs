//! The file of a router (`firstcome route --shards`): the nodes of each shard, and the router's limits.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use toml::{Table, Value};

use super::cluster::{FILE, file, own_url};
use super::fields::Fields;
use super::model::ConfigError;
use super::toml_file::toml_table;
use super::values::{hosts, networks};
use crate::types::shard::Shard;

/// Nodes of a shard; more would be asked every time-to-live for nothing.
const NODES_MAX: usize = 9;

/// The configuration of a router.
#[derive(Clone, Debug)]
pub struct ShardsConfig {
    /// In ascending order of their numbers.
    pub shards: Vec<ShardNodes>,
    /// Authorities of the nodes' certificates, besides the web's.
    pub ca: Option<PathBuf>,
    /// Peers whose `X-Forwarded-For` is passed on.
    pub trusted_proxies: Vec<IpNet>,
    /// Names that the `Host` of operators' requests may have besides addresses.
    pub admin_hosts: Vec<String>,
    pub limits: RouteLimits,
}

/// The nodes of one shard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShardNodes {
    pub shard: Shard,
    pub nodes: Vec<ShardNode>,
}

/// The addresses of a node, as its own cluster file advertises them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShardNode {
    pub public_url: String,
    pub admin_url: String,
}

/// The bounds of a router.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RouteLimits {
    /// Time after which a node is looked at again.
    pub view_ttl: Duration,
    /// Time for a connection to a node.
    pub connect_timeout: Duration,
    /// Time until the head of a node's answer.
    pub answer_timeout: Duration,
    /// Time in which a write is sent to the next leader.
    pub write_deadline: Duration,
    /// Time in which a read is sent to another node.
    pub read_deadline: Duration,
    /// Requests of one shard that wait for an answer, of each listener.
    pub in_flight_per_shard_max: usize,
    /// Answers of one shard that are being passed on, event streams among them.
    pub answers_per_shard_max: usize,
    /// Open connections of buyers.
    pub connections_max: usize,
    /// Size of a request's body; webhooks of payment providers have their own.
    pub body_bytes_max: usize,
    /// Size of a request's head.
    pub header_bytes_max: usize,
}

impl Default for RouteLimits {
    fn default() -> RouteLimits {
        RouteLimits {
            view_ttl: Duration::from_millis(500),
            connect_timeout: Duration::from_millis(1_000),
            answer_timeout: Duration::from_millis(10_000),
            write_deadline: Duration::from_millis(8_000),
            read_deadline: Duration::from_millis(3_000),
            in_flight_per_shard_max: 1_000,
            answers_per_shard_max: 5_000,
            connections_max: 10_000,
            body_bytes_max: 8_192,
            header_bytes_max: 16_384,
        }
    }
}

impl ShardsConfig {
    /// Reads a file.
    ///
    /// # Errors
    /// All mistakes, each with its key.
    pub fn read(path: &Path) -> Result<ShardsConfig, Vec<ConfigError>> {
        let table = toml_table(path).map_err(|mistake| vec![mistake])?;
        ShardsConfig::of_table(&path.display().to_string(), &table)
    }

    fn of_table(source: &str, table: &Table) -> Result<ShardsConfig, Vec<ConfigError>> {
        let mut mistakes = Vec::new();
        let mut fields = Fields::new("", table, source, &mut mistakes);
        let shards = fields.required("shard", SHARDS, tables).unwrap_or_default();
        let ca = fields.optional("ca", FILE, file);
        let trusted_proxies = fields.optional("trusted_proxies", NETWORKS, |value| networks(&joined(value)?).ok());
        let admin_hosts = fields.optional("admin_hosts", HOSTS, |value| hosts(&joined(value)?).ok());
        let limits_table = fields.section("limits");
        fields.finish();
        let limits = limits_table.map(|table| limits(table, source, &mut mistakes)).unwrap_or_default();
        let mut found: Vec<ShardNodes> = shards
            .iter()
            .enumerate()
            .filter_map(|(place, table)| shard_nodes(place, table, source, &mut mistakes))
            .collect();
        found.sort_by_key(|shard| shard.shard);
        check_differences(&found, source, &mut mistakes);
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        Ok(ShardsConfig {
            shards: found,
            ca,
            trusted_proxies: trusted_proxies.unwrap_or_default(),
            admin_hosts: admin_hosts.unwrap_or_default(),
            limits,
        })
    }
}

const SHARDS: &str = "one or more sections [[shard]]";
const NUMBER: &str = "a whole number from 0 to 255";
const NODES: &str = "a list of 1 to 9 nodes, such as [{ public_url = \"https://n1.example:443\", admin_url = \
    \"https://n1.example:8081\" }]";
const URL: &str = "the URL of a node's listener, with its port and without a path";
const NETWORKS: &str = "a list of networks, such as [\"10.0.0.0/8\"]";
const HOSTS: &str = "a list of host names without ports";

/// Returns the tables of a list that has at least one, and nothing else.
fn tables(value: &Value) -> Option<Vec<Table>> {
    let list = value.as_array().filter(|list| !list.is_empty())?;
    list.iter().map(|item| item.as_table().cloned()).collect()
}

/// Returns the texts of a list in one text, as the environment has lists.
fn joined(value: &Value) -> Option<String> {
    let texts: Option<Vec<&str>> = value.as_array()?.iter().map(Value::as_str).collect();
    texts.map(|texts| texts.join(","))
}

fn number(value: &Value) -> Option<Shard> {
    u8::try_from(value.as_integer()?).ok().map(Shard::new)
}

fn shard_nodes(place: usize, table: &Table, source: &str, mistakes: &mut Vec<ConfigError>) -> Option<ShardNodes> {
    let section = format!("shard[{place}].");
    let mut fields = Fields::new(&section, table, source, mistakes);
    let shard = fields.required("number", NUMBER, number);
    let nodes = fields.required("nodes", NODES, |value| tables(value).filter(|nodes| nodes.len() <= NODES_MAX));
    fields.finish();
    let nodes = nodes.unwrap_or_default();
    let nodes: Vec<Option<ShardNode>> = nodes
        .iter()
        .enumerate()
        .map(|(node, table)| {
            let section = format!("shard[{place}].nodes[{node}].");
            let mut fields = Fields::new(&section, table, source, mistakes);
            let public_url = fields.required("public_url", URL, own_url);
            let admin_url = fields.required("admin_url", URL, own_url);
            fields.finish();
            Some(ShardNode { public_url: public_url?, admin_url: admin_url? })
        })
        .collect();
    Some(ShardNodes { shard: shard?, nodes: nodes.into_iter().collect::<Option<_>>()? })
}

/// Notes shards and addresses that are there twice: a write would go to the wrong file.
fn check_differences(shards: &[ShardNodes], source: &str, mistakes: &mut Vec<ConfigError>) {
    for pair in shards.windows(2) {
        if let [one, other] = pair
            && one.shard == other.shard
        {
            mistakes.push(ConfigError(format!("shard ({source}): number {} is there twice", one.shard.get())));
        }
    }
    let mut seen = BTreeSet::new();
    for node in shards.iter().flat_map(|shard| &shard.nodes) {
        for url in [&node.public_url, &node.admin_url] {
            if !seen.insert(url) {
                mistakes.push(ConfigError(format!("shard ({source}): {url} is there twice")));
            }
        }
    }
}

fn limits(table: &Table, source: &str, mistakes: &mut Vec<ConfigError>) -> RouteLimits {
    let mut fields = Fields::new("limits.", table, source, mistakes);
    let standard = RouteLimits::default();
    let mut millis = |key, expected: &str, from: u64, to: u64, otherwise: Duration| {
        fields.optional(key, expected, |value| within(value, from, to)).map_or(otherwise, Duration::from_millis)
    };
    const MINUTE: &str = "milliseconds from 10 to 60000";
    let view_ttl = millis("view_ttl_ms", MINUTE, 10, 60_000, standard.view_ttl);
    let connect_timeout = millis("connect_timeout_ms", MINUTE, 10, 60_000, standard.connect_timeout);
    let answer_timeout = millis("answer_timeout_ms", MINUTE, 10, 60_000, standard.answer_timeout);
    let write_deadline = millis("write_deadline_ms", MINUTE, 10, 60_000, standard.write_deadline);
    let read_deadline = millis("read_deadline_ms", MINUTE, 10, 60_000, standard.read_deadline);
    let mut count = |key, expected: &str, from: u64, to: u64, otherwise: usize| {
        let found = fields.optional(key, expected, |value| within(value, from, to));
        found.and_then(|found| usize::try_from(found).ok()).unwrap_or(otherwise)
    };
    const COUNT: &str = "a whole number from 1 to 1000000";
    const BYTES: &str = "bytes from 8192 to 1048576";
    let limits = RouteLimits {
        view_ttl,
        connect_timeout,
        answer_timeout,
        write_deadline,
        read_deadline,
        in_flight_per_shard_max: count(
            "in_flight_per_shard_max",
            COUNT,
            1,
            1_000_000,
            standard.in_flight_per_shard_max,
        ),
        answers_per_shard_max: count("answers_per_shard_max", COUNT, 1, 1_000_000, standard.answers_per_shard_max),
        connections_max: count("connections_max", COUNT, 1, 1_000_000, standard.connections_max),
        body_bytes_max: count("body_bytes_max", BYTES, 8_192, 1 << 20, standard.body_bytes_max),
        header_bytes_max: count("header_bytes_max", BYTES, 8_192, 1 << 20, standard.header_bytes_max),
    };
    fields.finish();
    limits
}

fn within(value: &Value, from: u64, to: u64) -> Option<u64> {
    u64::try_from(value.as_integer()?).ok().filter(|number| (from..=to).contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ShardsConfig, Vec<String>> {
        let table = text.parse().expect("TOML");
        let read = ShardsConfig::of_table("s.toml", &table);
        read.map_err(|mistakes| mistakes.into_iter().map(|mistake| mistake.to_string()).collect())
    }

    #[test]
    fn shards_are_read_in_the_order_of_their_numbers_with_limits_of_their_own() {
        let read = read(
            "trusted_proxies = [\"10.0.0.0/8\"]\n[limits]\nview_ttl_ms = 100\n[[shard]]\nnumber = 1\n\
             nodes = [{ public_url = \"http://b:1\", admin_url = \"http://b:2\" }]\n[[shard]]\nnumber = 0\n\
             nodes = [{ public_url = \"http://a:1/\", admin_url = \"http://a:2\" }]\n",
        )
        .expect("a good file");
        assert_eq!(read.shards.iter().map(|shard| shard.shard.get()).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(read.shards[0].nodes[0].public_url, "http://a:1");
        assert_eq!(read.limits, RouteLimits { view_ttl: Duration::from_millis(100), ..RouteLimits::default() });
        assert_eq!(read.trusted_proxies.len(), 1);
    }

    #[test]
    fn all_mistakes_of_a_file_are_told_at_once() {
        let mistakes = read(
            "colour = 1\nca = 7\n[limits]\nconnections_max = 0\n[[shard]]\nnumber = 256\nnodes = []\n[[shard]]\n\
             number = 3\nnodes = [{ public_url = \"ftp://a:1\" }]\n[[shard]]\nnumber = 1\n\
             nodes = [{ public_url = \"http://a:1\", admin_url = \"http://a:1\" }]\n[[shard]]\nnumber = 1\n\
             nodes = [{ public_url = \"http://c:1\", admin_url = \"http://c:2\" }]\n",
        )
        .expect_err("a bad file");
        for part in [
            "colour (s.toml): unknown key",
            "ca = 7",
            "limits.connections_max = 0",
            "shard[0].number = 256",
            "shard[0].nodes = []",
            "shard[1].nodes[0].public_url = \"ftp://a:1\"",
            "shard[1].nodes[0].admin_url (s.toml): missing",
            "number 1 is there twice",
            "http://a:1 is there twice",
        ] {
            assert!(mistakes.iter().any(|mistake| mistake.contains(part)), "{part}: {mistakes:#?}");
        }
        assert_eq!(mistakes.len(), 9, "{mistakes:#?}");
        assert!(read("").expect_err("no shards")[0].contains("one or more sections [[shard]]"));
    }
}
