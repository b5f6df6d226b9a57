//! May it come in at all? Who calls, from where, and whether there is room: decided before a handler runs.
//!
//! Nothing here decides a sale. What is turned away here never happened, and is told nothing that would help to try
//! again: a wrong token, an expired one and none at all get the same answer.

pub mod address;
pub mod buyers;
pub mod in_flight;
pub mod operators;
pub mod verified;

use std::net::IpAddr;

use address::TrustedProxies;
use buyers::BuyerTokens;
use in_flight::{Client, InFlight, Place};
use operators::{Operator, Operators};

use crate::config::{Config, ConfigError};
use crate::telemetry::{Telemetry, catalogue as metric};
use crate::types::{BuyerText, UnixMillis};

/// Who calls, as far as he could prove it.
#[derive(Clone, Debug)]
pub enum Caller {
    /// Anybody: the route is open, or no tokens of this kind are configured.
    Anybody,
    /// The buyer of a verified token.
    Buyer(BuyerText),
    /// An operator; without operator tokens, the owner.
    Operator(Operator),
}

impl Caller {
    /// Whether he operates: his commands have places of their own in the queue.
    #[must_use]
    pub fn operator(&self) -> Option<&Operator> {
        match self {
            Caller::Operator(operator) => Some(operator),
            Caller::Anybody | Caller::Buyer(_) => None,
        }
    }

    /// The buyer, if a token names him.
    #[must_use]
    pub fn buyer(&self) -> Option<&BuyerText> {
        match self {
            Caller::Buyer(buyer) => Some(buyer),
            Caller::Anybody | Caller::Operator(_) => None,
        }
    }
}

/// Why a call was turned away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TurnedAway {
    /// No token, or none that is good.
    Unauthorized,
    /// A good token, whose role may not do this.
    Forbidden,
    /// The client has as many requests in flight as it may.
    TooManyInFlight,
}

/// All that decides about admission.
pub struct Admission {
    /// The operators' tokens.
    pub operators: Operators,
    /// The keys of buyers' tokens; `None`: a buyer's name is believed.
    pub buyers: Option<BuyerTokens>,
    proxies: TrustedProxies,
    in_flight: InFlight,
    counters: Counters,
}

/// How many calls were turned away, by reason.
struct Counters {
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
        let operators = Operators::open(&config.data).map_err(|mistake| mistakes.push(mistake)).ok();
        if let Some(operators) = &operators
            && !config.admin_listen.ip().is_loopback()
            && !operators.any_in_force(now)
        {
            mistakes.push(ConfigError(format!(
                "admin.listen = {}: an admin listener that is not on a loopback address needs an operator token; make one with `firstcome token create --role owner --name NAME --data {}`",
                config.admin_listen,
                config.data.display()
            )));
        }
        let turned_away = |reason| telemetry.counter(&metric::TURNED_AWAY, &[("reason", reason)]);
        let counters = Counters {
            unauthorized: turned_away("unauthorized"),
            forbidden: turned_away("forbidden"),
            in_flight: turned_away("in_flight"),
        };
        match operators {
            Some(operators) if mistakes.is_empty() => Ok(Admission {
                operators,
                buyers,
                proxies: TrustedProxies::new(config.trusted_proxies.clone()),
                in_flight: InFlight::new(config.in_flight_per_client_max),
                counters,
            }),
            Some(_) | None => Err(mistakes),
        }
    }

    /// Whether a peer calls for others: its connections are not one client's.
    #[must_use]
    pub fn is_proxy(&self, peer: IpAddr) -> bool {
        self.proxies.contain(peer)
    }

    /// A place for one more request of a client's, given back when it is dropped; `None`: this client is not counted. A
    /// buyer with a token is counted by himself, since thousands may share an address; all others by where they are.
    /// This machine is not counted, nor is a trusted proxy that calls for itself: it is the shop's own back end.
    ///
    /// # Errors
    /// If the client has as many as it may.
    pub fn enter<'headers>(
        &self,
        caller: &Caller,
        peer: IpAddr,
        forwarded_for: impl DoubleEndedIterator<Item = &'headers [u8]>,
    ) -> Result<Option<Place<'_>>, TurnedAway> {
        if self.in_flight.max() == 0 {
            return Ok(None);
        }
        let client = match caller.buyer() {
            Some(buyer) => self.in_flight.buyer(buyer),
            None => {
                let address = self.proxies.client(peer, forwarded_for);
                if address.is_loopback() || self.proxies.contain(address.get()) {
                    return Ok(None);
                }
                Client::Address(address.group())
            }
        };
        self.in_flight.enter(client).map(Some).ok_or(TurnedAway::TooManyInFlight)
    }

    /// How many requests a client may have in flight.
    #[must_use]
    pub fn in_flight_max(&self) -> u32 {
        self.in_flight.max()
    }

    /// Counts a call that was turned away.
    pub fn count(&self, turned_away: TurnedAway) {
        match turned_away {
            TurnedAway::Unauthorized => self.counters.unauthorized.increment(1),
            TurnedAway::Forbidden => self.counters.forbidden.increment(1),
            TurnedAway::TooManyInFlight => self.counters.in_flight.increment(1),
        }
    }
}
