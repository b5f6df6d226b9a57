//! The requests of simulated buyers as bytes: through a proxy, with a token and the headers of a program.

use std::net::IpAddr;

use super::habits::CrowdRequest;
use super::plan::CrowdPlan;
use super::population::CrowdMember;
use super::tokens::TokenKey;

/// Tokens outlast the run by far.
const TOKEN_SECONDS: i64 = 3_600;

/// The constant parts of the requests to one drop.
pub(super) struct CrowdRequests {
    authority: String,
    drop: u32,
    /// `crowd-<drop>-<seed>-`: before the number of a buyer. With the drop in it, a second run has buyers of its own.
    prefix: String,
    key: TokenKey,
    audience: String,
    expires: i64,
}

impl CrowdRequests {
    pub(super) fn new(authority: &str, drop: u32, plan: &CrowdPlan) -> CrowdRequests {
        CrowdRequests {
            authority: authority.to_owned(),
            drop,
            prefix: format!("crowd-{drop}-{}-", plan.seed),
            key: plan.key.clone(),
            audience: plan.audience.clone(),
            expires: jiff::Timestamp::now().as_second().saturating_add(TOKEN_SECONDS),
        }
    }

    /// The name of a buyer.
    pub(super) fn buyer(&self, number: u32) -> String {
        format!("{}{number}", self.prefix)
    }

    /// The token of a buyer.
    pub(super) fn token(&self, buyer: &str, tier: Option<&str>) -> String {
        self.key.sign(buyer, &self.audience, self.expires, tier)
    }

    /// The request of a buyer, from an address. `attempt` is in the key of an order.
    pub(super) fn request(
        &self,
        member: &CrowdMember,
        (address, token): (IpAddr, &str),
        ask: CrowdRequest,
        attempt: u32,
    ) -> String {
        let drop = self.drop;
        match ask {
            CrowdRequest::Read => self.text("GET", &format!("/v1/drops/{drop}"), (address, token), &member.headers, ""),
            CrowdRequest::Order => {
                let buyer = self.buyer(member.number);
                let more = format!(
                    "{}Content-Type: application/json\r\nIdempotency-Key: {buyer}-{attempt}\r\n",
                    member.headers
                );
                let body = format!("{{\"buyer\":\"{buyer}\",\"quantity\":1}}");
                self.text("POST", &format!("/v1/drops/{drop}/orders"), (address, token), &more, &body)
            }
            CrowdRequest::Ticket => {
                let more = format!("{}Content-Type: application/json\r\n", member.headers);
                let body = format!("{{\"buyer\":\"{}\"}}", self.buyer(member.number));
                self.text("POST", &format!("/v1/drops/{drop}/tickets"), (address, token), &more, &body)
            }
            CrowdRequest::Poll => {
                self.text("GET", &format!("/v1/drops/{drop}/room"), (address, token), &member.headers, "")
            }
            CrowdRequest::CheckOut(order) => {
                let more = format!("{}Content-Type: application/json\r\n", member.headers);
                let body = format!("{{\"contact\":{{\"email\":\"{}@example.com\"}}}}", self.buyer(member.number));
                self.text("POST", &format!("/v1/orders/{order}/checkout"), (address, token), &more, &body)
            }
        }
    }

    fn text(&self, method: &str, path: &str, (address, token): (IpAddr, &str), more: &str, body: &str) -> String {
        let authority = &self.authority;
        let length = if method == "GET" { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        format!(
            "{method} {path} HTTP/1.1\r\nHost: {authority}\r\nX-Forwarded-For: {address}\r\n\
             Authorization: Bearer {token}\r\n{more}{length}\r\n{body}"
        )
    }
}
