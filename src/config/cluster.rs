//! The file of a node's cluster (`cluster.file`): the log's members, the node's name and the addresses that it tells others.

mod files;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use self::files::NamedFiles;
pub use self::files::read_key_file;
use super::fields::Fields;
use super::model::{AdvertisedAddresses, ClusterConfig, Config, ConfigError, MemberTls};
use super::setting::{Setting, setting};
use super::toml_file::toml_table;
use super::values::{after_scheme, host_address};
use crate::types::shard::Shard;

pub(super) const SETTINGS: &[Setting] = &[setting!(
    "cluster.file",
    "",
    "file",
    "file of this node's cluster (src/log/README.md): the server is then a node of it and `writer.durability` must not be set; none: one machine alone; needs a build with the feature `cluster`",
    |c, t| c.cluster_file = cluster_file(t)?
)];

#[cfg(feature = "cluster")]
fn cluster_file(text: &str) -> Result<Option<PathBuf>, String> {
    Ok(super::values::file(text))
}

#[cfg(not(feature = "cluster"))]
fn cluster_file(text: &str) -> Result<Option<PathBuf>, String> {
    if text.trim().is_empty() {
        Ok(None)
    } else {
        Err("no value: this build has no replicated log (cargo build --release --features cluster has one)".into())
    }
}

/// Longest name of a cluster or a node.
const NAME_BYTES_MAX: usize = 40;
/// Members without which a log does not survive the loss of one.
const MEMBERS_MIN: usize = 3;
/// More members than etcd advises make each append slower.
const MEMBERS_MAX: usize = 9;
/// The quota of etcd that holds the ring of entries twice: what was overwritten stays until it is compacted.
const QUOTA_BYTES: u64 = 4 << 30;
/// Limits of the quota; the lower one is for tests.
const QUOTA_BYTES_MIN: u64 = 16 << 20;
const QUOTA_BYTES_MAX: u64 = 64 << 30;

impl ClusterConfig {
    /// Reads a file. With the settings of a server, the addresses that are not given are those of its listeners.
    ///
    /// # Errors
    /// All mistakes, each with its key, and with them those of the files that it names.
    pub fn read(path: &Path, server: Option<&Config>) -> Result<ClusterConfig, Vec<ConfigError>> {
        let table = toml_table(path).map_err(|mistake| vec![mistake])?;
        let mut mistakes = Vec::new();
        let mut named = NamedFiles::default();
        match read_table(path, &table, server, &mut named, &mut mistakes) {
            Some(config) if mistakes.is_empty() => Ok(config),
            Some(_) | None => {
                mistakes.extend(named.mistakes());
                Err(mistakes)
            }
        }
    }

    /// The prefix of the log's keys in etcd, with a slash at its end.
    #[must_use]
    pub fn prefix(&self) -> String {
        format!("/firstcome/{}/{}/", self.cluster, self.shard.get())
    }

    /// Sets the addresses that are still empty to those of the bound listeners.
    pub fn settle_advertised(&mut self, public_url: &str, admin_url: &str, wire: SocketAddr) {
        let AdvertisedAddresses { public_url: public, admin_url: admin, wire: wire_address } = &mut self.advertise;
        for (address, bound) in [(public, public_url), (admin, admin_url), (wire_address, &wire.to_string())] {
            if address.is_empty() {
                bound.clone_into(address);
            }
        }
    }
}

/// Reads everything, and notes each mistake.
fn read_table(
    path: &Path,
    table: &toml::Table,
    server: Option<&Config>,
    named: &mut NamedFiles,
    mistakes: &mut Vec<ConfigError>,
) -> Option<ClusterConfig> {
    let source = path.display().to_string();
    let (tls_table, advertise_table);
    let mut fields = Fields::new("", table, &source, mistakes);
    // A wrong value is one mistake; what it would allow is not a second one.
    let test = fields.optional("test", "true or false", toml::Value::as_bool).unwrap_or(table.contains_key("test"));
    let cluster = fields.required("cluster", NAME, name);
    let shard = fields.optional("shard", "a whole number from 0 to 255", shard);
    let node = fields.required("node", NAME, name);
    let members = fields.required("members", MEMBERS, |value| members(value, test));
    named.key_file = fields.required("key_file", FILE, file);
    let quota = |value: &toml::Value| quota_bytes(value, test);
    let quota_bytes = fields.optional("quota_bytes", QUOTA, quota).unwrap_or(QUOTA_BYTES);
    tls_table = fields.section("tls");
    advertise_table = fields.section("advertise");
    fields.finish();
    let tls = tls_table.map(|table| read_tls(table, &source, named, mistakes));
    check_transport(members.as_deref().unwrap_or_default(), tls.is_some(), test, &source, mistakes);
    let advertise = read_advertised(advertise_table, server, test, &source, mistakes);
    Some(ClusterConfig {
        file: path.into(),
        cluster: cluster?,
        shard: shard.unwrap_or(Shard::SINGLE),
        node: node?,
        members: members?,
        tls: tls.flatten(),
        key_file: named.key_file.clone()?,
        advertise,
        quota_bytes,
        test,
    })
}

const NAME: &str = "1 to 40 lower-case letters, digits and hyphens";
pub(super) const FILE: &str = "the path of a file, in quotes";
const MEMBERS: &str = "a list of 3 to 9 different URLs of etcd members, such as [\"https://etcd1.example:2379\", …] (with \
    test = true also of fewer), each with its port";
const QUOTA: &str = "the members' --quota-backend-bytes, 4294967296 to 68719476736 (with test = true from 16777216 on)";
const URL: &str = "the URL of this node's own listener, with its port and without a path";
const HOST_AND_PORT: &str = "a host and a port, such as node1.example:8082";

fn name(value: &toml::Value) -> Option<String> {
    let is_of_a_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let text = value.as_str().filter(|text| (1..=NAME_BYTES_MAX).contains(&text.len()))?;
    text.bytes().all(is_of_a_name).then(|| text.into())
}

fn shard(value: &toml::Value) -> Option<Shard> {
    u8::try_from(value.as_integer()?).ok().map(Shard::new)
}

pub(super) fn file(value: &toml::Value) -> Option<PathBuf> {
    value.as_str().map(str::trim).filter(|path| !path.is_empty()).map(PathBuf::from)
}

fn quota_bytes(value: &toml::Value, test: bool) -> Option<u64> {
    let lowest = if test { QUOTA_BYTES_MIN } else { QUOTA_BYTES };
    u64::try_from(value.as_integer()?).ok().filter(|bytes| (lowest..=QUOTA_BYTES_MAX).contains(bytes))
}

fn members(value: &toml::Value, test: bool) -> Option<Vec<String>> {
    let members: Vec<String> = value.as_array()?.iter().map(own_url).collect::<Option<_>>()?;
    let different: std::collections::BTreeSet<&String> = members.iter().collect();
    let fewest = if test { 1 } else { MEMBERS_MIN };
    ((fewest..=MEMBERS_MAX).contains(&members.len()) && different.len() == members.len()).then_some(members)
}

/// Returns the URL of one listener: a scheme, a host and a port.
pub(super) fn own_url(value: &toml::Value) -> Option<String> {
    let url = value.as_str()?.trim_end_matches('/');
    host_and_port(after_scheme(url)?).map(|_| url.into())
}

/// Returns a host and a port, if a text has them.
fn host_and_port(text: &str) -> Option<String> {
    let (host, port) = text.rsplit_once(':')?;
    let is_of_a_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-[]:".contains(&byte);
    let is_bracketed = host.starts_with('[') && host.ends_with(']');
    let good = !host.is_empty() && host.bytes().all(is_of_a_host) && (is_bracketed || !host.contains(':'));
    let unspecified = host_address(text).is_some_and(|address| address.is_unspecified());
    (good && !unspecified && port.parse::<u16>().is_ok_and(|port| port != 0)).then(|| text.into())
}

fn is_loopback(url: &str) -> bool {
    let rest = after_scheme(url).unwrap_or("");
    rest.starts_with("localhost:") || host_address(rest).as_ref().is_some_and(IpAddr::is_loopback)
}

/// Notes members that would be reached in clear. Heads, addresses of nodes and the right to append are not encrypted by the
/// key of the cluster.
fn check_transport(members: &[String], tls: bool, test: bool, source: &str, mistakes: &mut Vec<ConfigError>) {
    let plain: Vec<&str> = members.iter().filter(|url| url.starts_with("http://")).map(String::as_str).collect();
    if !plain.is_empty() && (tls || !test || !plain.iter().all(|url| is_loopback(url))) {
        mistakes.push(ConfigError(format!(
            "members ({source}): {} without TLS: expected https:// and a section [tls] (http:// only on loopback, with test = \
             true and without [tls])",
            plain.join(", ")
        )));
    }
    if !tls && plain.len() < members.len() {
        mistakes.push(ConfigError(format!(
            "tls ({source}): missing: members with https:// need [tls] with ca, certificate and key"
        )));
    }
}

fn read_tls(
    table: &toml::Table,
    source: &str,
    named: &mut NamedFiles,
    mistakes: &mut Vec<ConfigError>,
) -> Option<MemberTls> {
    let mut fields = Fields::new("tls.", table, source, mistakes);
    (named.ca, named.certificate) = (fields.required("ca", FILE, file), fields.required("certificate", FILE, file));
    named.key = fields.required("key", FILE, file);
    fields.finish();
    Some(MemberTls { ca: named.ca.clone()?, certificate: named.certificate.clone()?, key: named.key.clone()? })
}

fn read_advertised(
    table: Option<&toml::Table>,
    server: Option<&Config>,
    test: bool,
    source: &str,
    mistakes: &mut Vec<ConfigError>,
) -> AdvertisedAddresses {
    let none = toml::Table::new();
    let table = table.unwrap_or(&none);
    let mut fields = Fields::new("advertise.", table, source, mistakes);
    let public_url = fields.optional("public_url", URL, own_url);
    let admin_url = fields.optional("admin_url", URL, own_url);
    let wire = fields.optional("wire", HOST_AND_PORT, |value| host_and_port(value.as_str()?));
    fields.finish();
    let Some(server) = server else {
        let (public_url, admin_url) = (public_url.unwrap_or_default(), admin_url.unwrap_or_default());
        return AdvertisedAddresses { public_url, admin_url, wire: wire.unwrap_or_default() };
    };
    let mut or_own = |given: Option<String>, key: &str, setting: &str, scheme: &str, listen: SocketAddr| {
        if given.is_some() || table.contains_key(key) {
            return given.unwrap_or_default();
        }
        let ip = listen.ip();
        if ip.is_unspecified() || (!test && (ip.is_loopback() || listen.port() == 0)) {
            mistakes.push(ConfigError(format!(
                "advertise.{key} ({source}): missing: clients of other nodes do not reach this one by {setting}, which is \
                 {listen}"
            )));
        }
        // A port that the system chooses is known later.
        if listen.port() == 0 { String::new() } else { format!("{scheme}{listen}") }
    };
    let scheme = |tls| format!("{}://", Config::scheme(tls));
    let (public_scheme, admin_scheme) = (scheme(&server.public_tls), scheme(&server.admin_tls));
    AdvertisedAddresses {
        public_url: or_own(public_url, "public_url", "public.listen", &public_scheme, server.public_listen),
        admin_url: or_own(admin_url, "admin_url", "admin.listen", &admin_scheme, server.admin_listen),
        wire: or_own(wire, "wire", "wire.listen", "", server.wire_listen),
    }
}

#[cfg(test)]
mod tests;
