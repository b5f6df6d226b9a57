//! Admission: which caller sends a request, from where, and whether it may run now. It is decided before a handler runs.
//!
//! A request that is rejected here has no effect. Authentication failures are deliberately indistinguishable: a wrong
//! token, an expired one and a missing one get the same response.

pub mod address;
pub mod buyers;
pub mod challenge;
pub mod in_flight;
mod jwt;
pub mod largest_amounts;
pub mod limits;
pub mod operators;
pub mod peer;
pub mod rejected;
pub mod risk;
pub mod verified;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use address::{ClientAddress, RequestSender, TrustedProxies};
use buyers::BuyerTokens;
use challenge::Challenges;
use in_flight::{ClientKey, InFlight, InFlightPermit};
use limits::{Client, Door};
use operators::{Operator, Operators};
use peer::Peer;
pub use rejected::{Rejected, Unidentified};
use verified::{VerifiedToken, VerifiedTokens};

use crate::config::{Config, ConfigError};
use crate::telemetry::{Telemetry, catalogue as metric};
use crate::types::{BuyerText, Tier, UnixMillis};

/// The sender of a request, as far as a token proves it.
#[derive(Clone, Debug)]
pub enum Caller {
    /// The route is open, or no tokens of its kind are configured.
    Anonymous,
    /// The buyer of a verified token, with the tier that it claims.
    Buyer(BuyerText, Tier),
    /// An operator; without operator tokens, the owner.
    Operator(Operator),
}

impl Caller {
    /// Returns the operator. Operators' commands have slots of their own in the queue.
    #[must_use]
    pub fn operator(&self) -> Option<&Operator> {
        match self {
            Caller::Operator(operator) => Some(operator),
            Caller::Anonymous | Caller::Buyer(..) => None,
        }
    }

    /// Returns the buyer, if a token names one.
    #[must_use]
    pub fn buyer(&self) -> Option<&BuyerText> {
        match self {
            Caller::Buyer(buyer, _) => Some(buyer),
            Caller::Anonymous | Caller::Operator(_) => None,
        }
    }

    /// Returns the buyer and the tier of a token.
    #[must_use]
    pub fn token(&self) -> Option<(&BuyerText, Tier)> {
        match self {
            Caller::Buyer(buyer, tier) => Some((buyer, *tier)),
            Caller::Anonymous | Caller::Operator(_) => None,
        }
    }
}

/// Tokens, keys and limits that admission depends on.
pub struct Admission {
    pub operators: Arc<Operators>,
    /// The keys of buyers' tokens; with `None`, a buyer's name is accepted without proof.
    pub buyers: Option<BuyerTokens>,
    proxies: TrustedProxies,
    in_flight: InFlight,
    pub door: Door,
    pub challenges: Challenges,
    counters: RejectionCounters,
}

/// Rejected requests, by reason.
struct RejectionCounters {
    unauthorized: metrics::Counter,
    forbidden: metrics::Counter,
    in_flight: metrics::Counter,
}

impl Admission {
    /// Reads tokens and keys, and checks what the configuration asks of them.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn open(config: &Config, telemetry: &Telemetry, now: UnixMillis) -> Result<Admission, Vec<ConfigError>> {
        let mut mistakes = Vec::new();
        let buyers = BuyerTokens::load(config).unwrap_or_else(|more| {
            mistakes.extend(more);
            None
        });
        let challenges = Challenges::open(&config.challenge, telemetry).map_err(|more| mistakes.extend(more)).ok();
        let operators = Operators::open(&config.data).map_err(|mistake| mistakes.push(mistake)).ok();
        if let Some(operators) = &operators
            && !config.admin_listen.ip().is_loopback()
            && !operators.any_in_force(now)
        {
            mistakes.push(ConfigError(format!(
                "admin.listen = {}: an admin listener that is not on a loopback address needs an operator token; make one with `firstcome token create --role owner --name NAME --data {}{}`",
                config.admin_listen,
                config.data.display(),
                if config.data.exists() { "" } else { " --before-first-start" }
            )));
        }
        let rejected = |reason| telemetry.counter(&metric::TURNED_AWAY, &[("reason", reason)]);
        let counters = RejectionCounters {
            unauthorized: rejected("unauthorized"),
            forbidden: rejected("forbidden"),
            in_flight: rejected("in_flight"),
        };
        match operators.zip(challenges) {
            Some((operators, challenges)) if mistakes.is_empty() => Ok(Admission {
                door: Door::new(&config.admission, &config.risk_here(), config.limits.loopback_is_client, telemetry)
                    .with_proven_names(buyers.is_some()),
                operators: Arc::new(operators),
                buyers,
                proxies: TrustedProxies::new(config.trusted_proxies.clone()),
                in_flight: InFlight::new(config.in_flight_per_client_max),
                challenges,
                counters,
            }),
            Some(_) | None => Err(mistakes),
        }
    }

    /// Returns whether a peer is a trusted proxy: its connections belong to many clients.
    #[must_use]
    pub fn is_proxy(&self, peer: IpAddr) -> bool {
        self.proxies.contain(peer)
    }

    /// Puts the limits, bot signals and challenges of a changed configuration in force. The numbers of places stay.
    ///
    /// # Errors
    /// All mistakes of a file that the settings name; then nothing is changed.
    pub fn replace_rules(&self, config: &Config) -> Result<(), Vec<ConfigError>> {
        let challenges = self.challenges.read_rules(&config.challenge)?;
        self.challenges.replace_rules(challenges);
        self.in_flight.set_max(config.in_flight_per_client_max);
        self.door.replace_rules(&config.admission);
        self.door.risk().replace_rules(&config.risk_here());
        Ok(())
    }

    /// Returns the client that the limits count. `forwarded_for` is called for a trusted proxy only.
    pub fn client<'headers, Lines: DoubleEndedIterator<Item = &'headers [u8]>>(
        &self,
        peer: IpAddr,
        forwarded_for: impl FnOnce() -> Lines,
    ) -> Client {
        if !self.proxies.contain(peer) {
            return self.door.client(ClientAddress::new(peer), true, false);
        }
        let RequestSender { address, is_unknown } = self.proxies.sender(peer, forwarded_for());
        if is_unknown {
            // Neither the proxy itself nor a tool on its machine.
            return self.door.client(address, false, false);
        }
        let is_peer = address == ClientAddress::new(peer);
        self.door.client(address, is_peer, self.proxies.contain(address.get()))
    }

    /// Returns the client of a request over a connection. `forwarded_for` is called for a trusted proxy only.
    #[inline(never)] // scripts/instructions.sh counts its instructions by its name
    pub fn client_over<'headers, Lines: DoubleEndedIterator<Item = &'headers [u8]>>(
        &self,
        peer: &Peer,
        forwarded_for: impl FnOnce() -> Lines,
    ) -> Client {
        if self.proxies.contain(peer.address()) {
            return self.client(peer.address(), forwarded_for);
        }
        self.door.client_of(peer)
    }

    /// Returns the claims of a buyer's token. A token that is not known yet is verified only while its address has sent few
    /// invalid ones, so that a flood of forged tokens does not decide how many signatures are verified.
    ///
    /// # Errors
    /// The token is not valid, or was not looked at.
    pub fn identify_buyer(
        &self,
        buyers: &BuyerTokens,
        token: &str,
        known: &mut VerifiedTokens,
        (client, now): (Client, Instant),
    ) -> Result<VerifiedToken, Unidentified> {
        let before_verifying = || self.door.check_tokens_of(client, now).map_err(Unidentified::OverLimit);
        let found = buyers.check(token, known, before_verifying);
        if let Err(Unidentified::Rejected(_)) = found {
            self.door.note_invalid_token(client, now);
        }
        found
    }

    /// Returns the address of a client behind trusted proxies.
    pub fn address<'headers>(
        &self,
        peer: IpAddr,
        forwarded_for: impl DoubleEndedIterator<Item = &'headers [u8]>,
    ) -> IpAddr {
        self.proxies.sender(peer, forwarded_for).address.get()
    }

    /// Takes a permit for one more request of a client, given back when it is dropped; `None` if this client is not
    /// counted. A buyer with a token is counted by that token, since thousands may share an address; all others are
    /// counted by address. Loopback is not counted, nor is a trusted proxy that calls for itself: it is the shop's own
    /// back end. Exempt clients and buyers are not counted.
    ///
    /// # Errors
    /// If the client has its maximum in flight.
    pub fn acquire_permit<'headers>(
        &self,
        caller: &Caller,
        peer: IpAddr,
        forwarded_for: impl DoubleEndedIterator<Item = &'headers [u8]>,
    ) -> Result<Option<InFlightPermit<'_>>, Rejected> {
        if self.in_flight.max() == 0 {
            return Ok(None);
        }
        let RequestSender { address, is_unknown } = self.proxies.sender(peer, forwarded_for);
        if self.door.exempts(address, caller) {
            return Ok(None);
        }
        let client = match caller.buyer() {
            Some(buyer) => self.in_flight.buyer(buyer),
            None => {
                let is_local = address.is_loopback() && address == ClientAddress::new(peer);
                if !is_unknown && (is_local || self.proxies.contain(address.get())) {
                    return Ok(None);
                }
                ClientKey::Address(address.group())
            }
        };
        self.in_flight.acquire(client).map(Some).ok_or(Rejected::TooManyInFlight)
    }

    /// Returns the number of requests that a client may have in flight.
    #[must_use]
    pub fn in_flight_max(&self) -> u32 {
        self.in_flight.max()
    }

    /// Counts a rejected request.
    pub fn count(&self, rejected: Rejected) {
        match rejected {
            Rejected::Unauthorized | Rejected::TokenTooLong => self.counters.unauthorized.increment(1),
            Rejected::Forbidden => self.counters.forbidden.increment(1),
            Rejected::TooManyInFlight => self.counters.in_flight.increment(1),
        }
    }
}
