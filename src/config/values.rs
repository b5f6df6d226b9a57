//! Parsers of settings' texts. Each error is a phrase that completes "expected …".

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::model::{KeyFile, TlsFiles};
use crate::types::PhoneRegion;

pub(super) fn number(text: &str, min: u64, max: u64) -> Result<u64, String> {
    let allowed = || format!("a whole number from {min} to {max}");
    let value: u64 = text.trim().parse().map_err(|_| allowed())?;
    if (min..=max).contains(&value) { Ok(value) } else { Err(allowed()) }
}

pub(super) fn count(text: &str, min: u64, max: u64) -> Result<usize, String> {
    usize::try_from(number(text, min, max)?).map_err(|error| error.to_string())
}

pub(super) fn millis(text: &str, min: u64, max: u64) -> Result<Duration, String> {
    number(text, min, max).map(Duration::from_millis)
}

/// A country of phone numbers; empty for none.
pub(super) fn phone_region(text: &str) -> Result<Option<PhoneRegion>, String> {
    match text.trim() {
        "" => Ok(None),
        code => PhoneRegion::parse(code).map(Some).ok_or_else(|| "a country of ISO 3166, such as DE".into()),
    }
}

pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.trim().parse().map_err(|_| "an address and a port, such as 127.0.0.1:8080".to_string())
}

pub(super) fn one_of(text: &str, yes: &str, no: &str) -> Result<bool, String> {
    match text.trim() {
        word if word == yes => Ok(true),
        word if word == no => Ok(false),
        _ => Err(format!("{yes} or {no}")),
    }
}

pub(super) fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_string).collect()
}

/// Returns what follows the scheme of a URL, if it begins with a host and has no user, query or unusual characters.
pub(super) fn after_scheme(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let plain = rest.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#@<>,'\"\\".contains(&byte));
    let has_host = !rest.starts_with(['/', ':']) && !rest.is_empty();
    (plain && has_host).then_some(rest)
}

pub(super) fn url(text: &str) -> Result<String, String> {
    if text.is_empty() || after_scheme(text).is_some() {
        Ok(text.trim_end_matches('/').into())
    } else {
        Err("a URL of http:// or https://, a host and at most a path".into())
    }
}

/// Base URL of this server for its buyers, or an empty text.
pub(super) fn public_url(text: &str) -> Result<String, String> {
    let checked = url(text)?;
    if after_scheme(&checked).and_then(host_address).is_some_and(|address| address.is_unspecified()) {
        return Err("the address that buyers use, not every address of the machine".into());
    }
    Ok(checked)
}

/// Returns the IP address that the rest of a URL after its scheme begins with, if it does.
#[must_use]
pub fn host_address(rest: &str) -> Option<IpAddr> {
    let authority = rest.split('/').next().unwrap_or("");
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next(),
        None => authority.split(':').next(),
    };
    host?.parse().ok()
}

/// Browsers send an origin in lower case and without a slash; it is compared byte by byte.
pub(super) fn origins(text: &str) -> Result<Vec<String>, String> {
    let origins = list(&text.to_ascii_lowercase());
    let good = origins.iter().all(|origin| after_scheme(origin).is_some_and(|rest| !rest.contains('/')));
    if good { Ok(origins) } else { Err("origins such as https://shop.example, without a path".into()) }
}

pub(super) fn header_names(text: &str) -> Result<Vec<String>, String> {
    let names = list(text);
    let good = |name: &String| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if names.iter().all(good) { Ok(names) } else { Err("names of headers such as X-Trace".into()) }
}

pub(super) fn hosts(text: &str) -> Result<Vec<String>, String> {
    let hosts = list(&text.to_ascii_lowercase());
    let good = |host: &String| host.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-');
    if hosts.iter().all(good) { Ok(hosts) } else { Err("host names without ports".into()) }
}

/// Returns the network that canonical addresses lie in: `::ffff:10.0.0.0/104` is 10.0.0.0/8.
fn of_canonical(network: IpNet) -> IpNet {
    let mapped = |v6: Ipv6Net| {
        let prefix = v6.prefix_len().checked_sub(96)?;
        Ipv4Net::new(v6.network().to_ipv4_mapped()?, prefix).ok()
    };
    match network {
        IpNet::V6(v6) => mapped(v6).map_or(network, IpNet::V4),
        IpNet::V4(_) => network,
    }
}

pub(super) fn networks(text: &str) -> Result<Vec<IpNet>, String> {
    let network = |item: &String| {
        let network = item.parse::<IpNet>().or_else(|_| item.parse::<IpAddr>().map(IpNet::from));
        network.map(|network| of_canonical(network.trunc()))
    };
    let networks: Result<Vec<IpNet>, _> = list(text).iter().map(network).collect();
    networks.map_err(|_| "networks such as 10.0.0.0/8, or addresses".into())
}

pub(super) fn key_files(text: &str) -> Result<Vec<KeyFile>, String> {
    const KEYS_MAX: usize = 8;
    let file = |item: &String| match item.split_once('=') {
        Some((kid, path)) => KeyFile { kid: Some(kid.into()), path: path.into() },
        None => KeyFile { kid: None, path: item.into() },
    };
    let files: Vec<KeyFile> = list(text).iter().map(file).collect();
    let good = |file: &KeyFile| !file.path.as_os_str().is_empty() && file.kid.as_deref() != Some("");
    if files.len() <= KEYS_MAX && files.iter().all(good) {
        Ok(files)
    } else {
        Err(format!("at most {KEYS_MAX} of FILE or KID=FILE"))
    }
}

/// Sets one of a listener's two TLS files. [`super::limits::relations`] checks that both are set.
pub(super) fn tls_file(files: &mut Option<TlsFiles>, text: &str, which: fn(&mut TlsFiles) -> &mut PathBuf) {
    let mut both = files.take().unwrap_or_default();
    *which(&mut both) = text.trim().into();
    *files = Some(both).filter(|both| *both != TlsFiles::default());
}

/// Files of secrets: several during a key rotation.
pub(super) fn files(text: &str) -> Result<Vec<PathBuf>, String> {
    const FILES_MAX: usize = 4;
    let files: Vec<PathBuf> = list(text).into_iter().map(PathBuf::from).collect();
    if files.len() <= FILES_MAX { Ok(files) } else { Err(format!("at most {FILES_MAX} files")) }
}

pub(super) fn file(text: &str) -> Option<PathBuf> {
    Some(text.trim()).filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// Base URL of a provider's API. Our keys are sent there, so never in clear text over a network.
pub(super) fn api_url(text: &str) -> Result<String, String> {
    let checked = url(text)?;
    let is_ours = |host: &str| matches!(host, "127.0.0.1" | "localhost" | "[::1]");
    let host = checked.strip_prefix("http://").map(|rest| {
        let authority = rest.split('/').next().unwrap_or("");
        authority.rsplit_once(':').map_or(authority, |(host, port)| {
            if port.bytes().all(|byte| byte.is_ascii_digit()) { host } else { authority }
        })
    });
    match host {
        _ if checked.is_empty() => Err("a URL that begins with https://".into()),
        Some(host) if !is_ours(host) => {
            Err("https://, because keys are sent there (http:// only to this machine)".into())
        }
        Some(_) | None => Ok(checked),
    }
}
