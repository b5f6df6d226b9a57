//! What the world is told: THE catalogue of event types, filters of them, and what becomes of deliveries.

use std::fmt;

use super::{Seq, UnixMillis};

/// One type of event that endpoints can be told.
pub struct EventType {
    /// Its name in a delivery and in an endpoint's filter.
    pub name: &'static str,
    /// The events of the audit that it tells.
    pub kinds: &'static [&'static str],
    /// Members of `data` that come out of the event's `detail`, besides those that every event has. Never an operator's
    /// reason: it is for the audit.
    pub details: &'static [&'static str],
    /// What happened, for the README.
    pub means: &'static str,
}

const fn event(
    name: &'static str,
    kinds: &'static [&'static str],
    details: &'static [&'static str],
    means: &'static str,
) -> EventType {
    EventType { name, kinds, details, means }
}

/// Every type. The position of one is its bit in stored filters: new ones come last, and none goes away.
pub static CATALOGUE: [EventType; 28] = [
    event("drop.created", &["drop_created"], &["name", "unit_price"], "a drop was created with `quantity` units"),
    event("drop.patched", &["drop_patched"], &[], "an operator changed a drop; read it to see how"),
    event("drop.started", &["drop_started"], &[], "a drop's start came"),
    event("drop.ended", &["drop_ended"], &[], "a drop's end came"),
    event("drop.paused", &["drop_paused"], &[], "an operator stopped new orders"),
    event("drop.resumed", &["drop_resumed"], &[], "an operator let orders in again"),
    event("drop.closed", &["drop_closed"], &[], "an operator ended a drop"),
    event("drop.stock_adjusted", &["stock_adjusted"], &[], "`quantity` units came, or went if negative"),
    event("drop.mismatch_found", &["mismatch_found"], &[], "the recount does not agree with the counters: paused"),
    event("drop.mismatch_cleared", &["mismatch_cleared"], &[], "the recount agrees again"),
    event("order.reserved", &["order_reserved"], &[], "units are held for a buyer"),
    event("order.checked_out", &["order_checked_out"], &[], "a contact was given; the order awaits its payment"),
    event("order.cancelled", &["order_cancelled"], &["by"], "the buyer gave the units back; or with `by`, an operator"),
    event("order.expired", &["order_expired"], &[], "the time ran out and the units went back"),
    event(
        "order.paid",
        &["order_paid", "order_retaken"],
        &["provider", "reference", "retaken"],
        "money came in: the units are sold; `retaken` where the order had expired and took stock again",
    ),
    event("order.refunded", &["order_refunded"], &["state"], "money went back, and `quantity` units with it"),
    event(
        "payment.not_kept",
        &["payment_not_kept"],
        &["provider", "reference", "foreign_currency", "foreign_amount", "why", "state"],
        "money came in that is not kept: pay it back, then settle it",
    ),
    event(
        "refund.requested",
        &["refund_requested"],
        &["state"],
        "an operator refunds a provider's payment: pay it back, then settle it",
    ),
    event(
        "refund.settled",
        &["refund_settled"],
        &["provider", "reference", "foreign_currency", "foreign_amount", "refund_reference", "state"],
        "money that was due has gone back",
    ),
    event(
        "refund.reported",
        &["refund_reported"],
        &["provider", "reference", "state"],
        "a provider gave money back that nobody had asked it to",
    ),
    event("payment.failed", &["payment_failed"], &["provider", "reference", "amount"], "a payment failed"),
    event(
        "chargeback.created",
        &["chargeback_created"],
        &["provider", "reference", "foreign_currency", "amount"],
        "a buyer's bank takes a payment back",
    ),
    event(
        "events.lost",
        &["events_lost"],
        &["lost", "acknowledged_seq"],
        "events that may have been told are gone after a power loss; their numbers are given again",
    ),
    event("auction.created", &["auction_created"], &[], "an auction was created"),
    event("auction.started", &["auction_started"], &[], "an auction's start came"),
    event("auction.ended", &["auction_ended"], &["ending"], "an auction is over"),
    event("auction.cancelled", &["auction_cancelled"], &[], "an operator cancelled an auction"),
    event(
        "auction.awarded",
        &["auction_awarded"],
        &["unit_price"],
        "the unit is held for the winner, or for the next after a winner who did not pay: this event is the order's first",
    ),
];

/// The type that tells an event of the audit, if any does.
#[must_use]
pub fn type_of(kind: &str) -> Option<(usize, &'static EventType)> {
    CATALOGUE.iter().enumerate().find(|(_, event)| event.kinds.contains(&kind))
}

/// Returns the table of event types in `src/outbox/README.md`.
#[must_use]
pub fn catalogue_as_markdown() -> String {
    let mut table = String::from("| type | `data` besides the common members | told when |\n|---|---|---|\n");
    for event in &CATALOGUE {
        let details: Vec<String> = event.details.iter().map(|name| format!("`{name}`")).collect();
        table.push_str(&format!("| `{}` | {} | {} |\n", event.name, details.join(", "), event.means));
    }
    table
}

/// The types of events that an endpoint is told: never none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EventFilter(u32);

impl EventFilter {
    /// Every type of this program.
    pub const ALL: EventFilter = EventFilter((1 << CATALOGUE.len()) - 1);

    /// A filter out of stored bits, if they are types of the catalogue.
    #[must_use]
    pub const fn new(bits: u32) -> Option<EventFilter> {
        if bits != 0 && bits & !Self::ALL.0 == 0 { Some(EventFilter(bits)) } else { None }
    }

    /// The bits, to be stored.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// A filter out of names; `*` is every type.
    ///
    /// # Errors
    /// The first word that is no type; an empty one if there are none.
    pub fn of_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<EventFilter, &'a str> {
        let mut bits = 0;
        for name in names {
            match CATALOGUE.iter().position(|event| event.name == name) {
                Some(bit) => bits |= 1 << bit,
                None if name == "*" => bits = Self::ALL.0,
                None => return Err(name),
            }
        }
        EventFilter::new(bits).ok_or("")
    }

    /// The names, in the catalogue's order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        CATALOGUE.iter().enumerate().filter(move |(bit, _)| self.0 & (1 << bit) != 0).map(|(_, event)| event.name)
    }

    /// Whether an endpoint with this filter is told of the type at this position of the catalogue.
    #[must_use]
    pub const fn has(self, bit: usize) -> bool {
        self.0 & (1 << bit) != 0
    }
}

/// Whether an endpoint is told anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EndpointState {
    /// It is.
    Enabled,
    /// It is not; what happens meanwhile is told when it is enabled again.
    Disabled,
}

impl EndpointState {
    /// The word in JSON and SQL.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            EndpointState::Enabled => "enabled",
            EndpointState::Disabled => "disabled",
        }
    }

    /// The state out of its word.
    #[must_use]
    pub fn parse(word: &str) -> Option<EndpointState> {
        [EndpointState::Enabled, EndpointState::Disabled].into_iter().find(|state| state.as_str() == word)
    }
}

/// How the last attempt of a delivery ended: the endpoint's status, or why there is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AttemptError {
    /// It was not tried: it waits behind an earlier event of its order.
    Behind,
    /// It answered with this status.
    Status(u16),
    /// Its address may not be called.
    Forbidden,
    /// Its name does not resolve.
    Unresolved,
    /// It takes no connection.
    Unreachable,
    /// TLS with it fails.
    Tls,
    /// It does not answer in time.
    TimedOut,
    /// Its answer is broken.
    Broken,
}

impl AttemptError {
    /// The number that stands for it in rows and captures: a status is itself, the others are below 100.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            AttemptError::Behind => 0,
            AttemptError::Status(status) => status,
            AttemptError::Forbidden => 1,
            AttemptError::Unresolved => 2,
            AttemptError::Unreachable => 3,
            AttemptError::Tls => 4,
            AttemptError::TimedOut => 5,
            AttemptError::Broken => 6,
        }
    }

    /// What a number stands for.
    #[must_use]
    pub const fn of_code(code: u16) -> Option<AttemptError> {
        Some(match code {
            0 => AttemptError::Behind,
            1 => AttemptError::Forbidden,
            2 => AttemptError::Unresolved,
            3 => AttemptError::Unreachable,
            4 => AttemptError::Tls,
            5 => AttemptError::TimedOut,
            6 => AttemptError::Broken,
            100..=999 => AttemptError::Status(code),
            _ => return None,
        })
    }
}

impl fmt::Display for AttemptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AttemptError::Status(status) => return write!(f, "status {status}"),
            AttemptError::Behind => "behind",
            AttemptError::Forbidden => "forbidden",
            AttemptError::Unresolved => "unresolved",
            AttemptError::Unreachable => "unreachable",
            AttemptError::Tls => "tls",
            AttemptError::TimedOut => "timed-out",
            AttemptError::Broken => "broken",
        })
    }
}

/// What became of a delivery that an endpoint's position does not tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeliveryMark {
    /// Which event.
    pub seq: Seq,
    /// What became of it.
    pub fate: DeliveryState,
}

/// Where a delivery stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeliveryState {
    /// It waited, and got through.
    Delivered,
    /// It failed, or stands behind one that did.
    Waiting {
        /// Attempts so far.
        attempts: u8,
        /// When it is due again.
        next_at: UnixMillis,
        /// How the last attempt ended.
        trouble: AttemptError,
    },
    /// It failed too often: it waits for an operator.
    Dead {
        /// Attempts so far.
        attempts: u8,
        /// How the last attempt ended.
        trouble: AttemptError,
    },
}

/// Where an endpoint is. Its path may be a secret, so it is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct EndpointUrl(Box<str>);

impl EndpointUrl {
    /// A URL that has been checked.
    #[must_use]
    pub fn new(url: &str) -> EndpointUrl {
        EndpointUrl(url.into())
    }

    /// The text.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EndpointUrl")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_the_standard_allows_and_each_is_there_once() {
        let mut seen = std::collections::BTreeSet::new();
        for event in &CATALOGUE {
            let good = event.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte == b'.');
            assert!(good && seen.insert(event.name), "{}", event.name);
            assert!(event.kinds.iter().all(|kind| seen.insert(kind)), "{}", event.name);
        }
    }

    #[test]
    fn the_readme_has_this_catalogue() {
        let (readme, table) = (include_str!("../outbox/README.md"), catalogue_as_markdown());
        assert!(readme.contains(&table), "put this into src/outbox/README.md:\n{table}");
    }

    #[test]
    fn the_bits_of_stored_filters_never_change_their_meaning() {
        let names: Vec<&str> = CATALOGUE.iter().map(|event| event.name).collect();
        assert_eq!(
            (names[0], names[10], names[14], names[21]),
            ("drop.created", "order.reserved", "order.paid", "chargeback.created")
        );
    }

    #[test]
    fn filters_are_made_of_names_and_never_empty() {
        let filter = EventFilter::of_names(["order.paid", "drop.paused"]).expect("known");
        assert_eq!(filter.names().collect::<Vec<_>>(), ["drop.paused", "order.paid"]);
        assert!(filter.has(14) && !filter.has(0));
        assert_eq!(EventFilter::of_names(["*"]), Ok(EventFilter::ALL));
        assert_eq!(EventFilter::of_names(["order.paid", "order.eaten"]), Err("order.eaten"));
        assert_eq!(EventFilter::of_names([]), Err(""));
        assert_eq!((EventFilter::new(0), EventFilter::new(1 << 28)), (None, None));
    }

    #[test]
    fn troubles_have_a_number_each() {
        for code in 0..1000 {
            if let Some(trouble) = AttemptError::of_code(code) {
                assert_eq!(trouble.code(), code);
            }
        }
        assert_eq!(AttemptError::of_code(7), None);
        assert_eq!(AttemptError::of_code(503), Some(AttemptError::Status(503)));
    }
}
