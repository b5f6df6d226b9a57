//! Asking a running server, and the tools that watch it, how things are: a few reads over HTTP or HTTPS.
//!
//! The client is that of outgoing calls: its waits and answers are bounded, and redirects are not followed, so an
//! operator's token goes nowhere but to whom it was meant for. Whoever sits at the terminal names the addresses, so they
//! may lie in any network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use hyper::Method;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderValue};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde_json::Value;

use super::link;
use crate::config::{Config, TlsFiles};
use crate::egress::{AddressGuard, ClientOptions, EgressClient, OutboundRequest, OutboundResponse, SendError, Target};
use crate::exit::Exit;

/// For a whole answer: a server under load answers within 2 s.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The largest answer that is read: a page of 2,000 series is below 300 kB.
const ANSWER_BYTES_MAX: usize = 8 << 20;

/// Somebody who is asked.
#[derive(Clone)]
pub(super) struct Asked {
    /// `http://host:port`, for people.
    pub(super) url: String,
    /// What names it on the command line.
    flag: &'static str,
    client: EgressClient,
    token: Option<HeaderValue>,
}

/// Why there is no good answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Trouble {
    /// None at all.
    Silent(SendError),
    /// Another status than 200.
    Status(u16, String),
    /// Not what was asked for.
    Strange(String),
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Trouble::Silent(failure) => write!(f, "{failure}"),
            Trouble::Status(status, said) if said.is_empty() => write!(f, "it answers {status}"),
            Trouble::Status(status, said) => write!(f, "it answers {status}: {said}"),
            Trouble::Strange(what) => write!(f, "its answer makes no sense: {what}"),
        }
    }
}

/// An answer, and how long it took.
pub(super) struct Answer {
    pub(super) reply: OutboundResponse,
    pub(super) took: Duration,
}

impl Asked {
    /// Somebody at `host:port`, `http://host:port` or `https://host:port/prefix`; `ca`: a file with authorities that are
    /// trusted besides the web's.
    ///
    /// # Errors
    /// It is no address, or the file has no certificate (64).
    pub(super) fn at(address: &str, flag: &'static str, ca: Option<&Path>) -> Result<Asked, Exit> {
        let url = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
        let url = url.trim_end_matches('/').to_owned();
        let wrong = |_| Exit::usage(format!("{flag} {address}: expected host:port or http://host:port"));
        Target::parse(&format!("{url}/"), &anywhere()).map_err(wrong)?;
        let authorities = ca.map(link::authorities).transpose().map_err(|line| Exit::usage(line))?.unwrap_or_default();
        let options = ClientOptions {
            timeout: TIMEOUT,
            response_bytes_max: ANSWER_BYTES_MAX,
            authorities,
            ..ClientOptions::default()
        };
        let client = EgressClient::new(anywhere(), options).map_err(|error| Exit::usage(format!("--ca: {error}")))?;
        Ok(Asked { url, flag, client, token: None })
    }

    /// The same, with an operator's token where the variable `FIRSTCOME_TOKEN` has one.
    pub(super) fn with_token(mut self) -> Asked {
        let token = std::env::var("FIRSTCOME_TOKEN").ok().filter(|token| !token.is_empty());
        let header = token.and_then(|token| HeaderValue::from_str(&format!("Bearer {token}")).ok());
        self.token = header.map(|mut header| {
            header.set_sensitive(true);
            header
        });
        self
    }

    /// Asks. `body` is JSON.
    ///
    /// # Errors
    /// There is no answer, or its status is not 200.
    pub(super) async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer, Trouble> {
        self.send(method, path, body, false).await
    }

    /// Reads over a connection of its own, which comes to whatever thread has its turn.
    ///
    /// # Errors
    /// As [`Asked::ask`].
    pub(super) async fn get_afresh(&self, path: &str) -> Result<Answer, Trouble> {
        self.send(Method::GET, path, None, true).await
    }

    /// Reads JSON.
    ///
    /// # Errors
    /// As [`Asked::ask`], and where the answer is no JSON.
    pub(super) async fn json(&self, path: &str) -> Result<Value, Trouble> {
        let answer = self.ask(Method::GET, path, None).await?;
        serde_json::from_slice(&answer.reply.body).map_err(|error| Trouble::Strange(error.to_string()))
    }

    /// Reads text.
    ///
    /// # Errors
    /// As [`Asked::ask`], and where the answer is no text.
    pub(super) async fn text(&self, path: &str) -> Result<String, Trouble> {
        let answer = self.ask(Method::GET, path, None).await?;
        String::from_utf8(answer.reply.body.to_vec()).map_err(|_| Trouble::Strange("no text".into()))
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>, afresh: bool) -> Result<Answer, Trouble> {
        let target = Target::parse(&format!("{}{path}", self.url), self.client.guard())
            .map_err(|wrong| Trouble::Strange(wrong.to_string()))?;
        let mut headers = HeaderMap::new();
        if let Some(token) = &self.token {
            headers.insert(AUTHORIZATION, token.clone());
        }
        if afresh {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let body = body.map(|body| {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            Bytes::from(body.to_string())
        });
        let call = OutboundRequest { target: &target, method, headers, body: body.unwrap_or_default() };
        let asked = Instant::now();
        let reply = self.client.send(call).await.map_err(Trouble::Silent)?;
        let took = asked.elapsed();
        if reply.body.len() >= ANSWER_BYTES_MAX {
            return Err(Trouble::Strange(format!("it has more than {ANSWER_BYTES_MAX} bytes")));
        }
        match reply.status.as_u16() {
            200 => Ok(Answer { reply, took }),
            status => Err(Trouble::Status(status, said(&reply.body))),
        }
    }

    /// The end of a command that cannot go on without an answer: 69, and what to do.
    pub(super) fn exit(&self, what: &str, trouble: &Trouble) -> Exit {
        let hint = match trouble {
            Trouble::Silent(SendError::Tls) => {
                "; --ca trusts an authority of your own, and its certificate names the host".into()
            }
            Trouble::Silent(_) => format!("; is `firstcome serve` running? {} names its listener", self.flag),
            Trouble::Status(401, _) => "; an operator's token goes into the variable FIRSTCOME_TOKEN".into(),
            Trouble::Status(403, _) => "; the token in FIRSTCOME_TOKEN may not do this".into(),
            Trouble::Status(..) | Trouble::Strange(_) => String::new(),
        };
        Exit::unavailable(format!("{}: {what}: {trouble}{hint}", self.url))
    }
}

/// What a problem (RFC 9457) says in a line, and nothing of other bodies: they may be whole pages.
fn said(body: &[u8]) -> String {
    let problem: Value = serde_json::from_slice(body).unwrap_or_default();
    let words = ["code", "detail"].map(|member| problem[member].as_str().unwrap_or(""));
    printable(&words.join(" ")).trim().chars().take(200).collect()
}

/// Texts of others on a terminal: nothing in them moves the cursor.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

/// Where a listener of this configuration is reached from its own machine.
pub(super) fn own_address(listen: SocketAddr, tls: &Option<TlsFiles>) -> String {
    let ip = match listen.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    format!("{}://{}", Config::scheme(tls), SocketAddr::new(ip, listen.port()))
}

fn anywhere() -> AddressGuard {
    let all: [IpNet; 2] =
        [Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0).into(), Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0).into()];
    AddressGuard::new(all.to_vec())
}

/// Runs something on a runtime of its own.
///
/// # Errors
/// As the work, or no runtime (71).
pub(super) fn blocking<T>(work: impl Future<Output = Result<T, Exit>>) -> Result<T, Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Exit::system(format!("no runtime: {error}")))?.block_on(work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_go_with_and_without_their_scheme() {
        for (text, url) in [
            ("127.0.0.1:8081", "http://127.0.0.1:8081"),
            ("https://ops.example/", "https://ops.example"),
            ("http://prometheus:9090/sub/", "http://prometheus:9090/sub"),
        ] {
            assert_eq!(
                Asked::at(text, "--admin", None).map(|asked| asked.url).map_err(|exit| exit.message),
                Ok(url.into())
            );
        }
        for wrong in ["", "a b:1", "ftp://x", "http://u@h:1", "h:99999999"] {
            assert_eq!(Asked::at(wrong, "--admin", None).map(|_| ()).map_err(|exit| exit.code), Err(64), "{wrong}");
        }
    }

    #[test]
    fn a_listener_on_all_addresses_is_asked_on_loopback() {
        let listen = |text: &str| text.parse().expect("an address");
        assert_eq!(own_address(listen("0.0.0.0:81"), &None), "http://127.0.0.1:81");
        assert_eq!(own_address(listen("[::]:81"), &Some(TlsFiles::default())), "https://[::1]:81");
        assert_eq!(own_address(listen("10.1.2.3:81"), &None), "http://10.1.2.3:81");
    }

    #[test]
    fn what_others_say_never_moves_the_cursor() {
        assert_eq!(said(b"{\"code\":\"x\\u001b[2J\",\"detail\":\"y\\n\"}"), "x [2J y");
        assert_eq!(said(b"<html>\x1b[2J"), "");
    }
}
