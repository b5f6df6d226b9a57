//! The catalogue of webhook event types, filters of them, and the states of endpoints and deliveries.

use std::fmt;

use super::{Seq, UnixMillis};

/// One type of event that endpoints can receive.
pub struct EventType {
    /// The name in messages and in the filters of endpoints.
    pub name: &'static str,
    /// The kinds of audit events that are sent as this type.
    pub kinds: &'static [&'static str],
    /// Members of `data` that are copied from the event's `detail`, besides the common ones. Never an operator's reason,
    /// which is for the audit only.
    pub details: &'static [&'static str],
    /// The description in `src/outbox/README.md`.
    pub description: &'static str,
}

const fn event(
    name: &'static str,
    kinds: &'static [&'static str],
    details: &'static [&'static str],
    description: &'static str,
) -> EventType {
    EventType { name, kinds, details, description }
}

/// Every type. Its position is its bit in stored filters: new types are appended, and no type is ever removed.
pub static CATALOGUE: [EventType; 33] = [
    event(
        "drop.created",
        &["drop_created"],
        &["name", "unit_price", "commitment"],
        "a drop was created with `quantity` units",
    ),
    event("drop.patched", &["drop_patched"], &[], "an operator changed a drop; read it to see how"),
    event("drop.started", &["drop_started"], &[], "a drop went on sale at its start time"),
    event("drop.ended", &["drop_ended"], &[], "a drop ended at its end time"),
    event("drop.paused", &["drop_paused"], &[], "an operator paused a drop: it takes no new orders"),
    event("drop.resumed", &["drop_resumed"], &[], "an operator resumed a drop"),
    event("drop.closed", &["drop_closed"], &[], "an operator closed a drop for good"),
    event("drop.stock_adjusted", &["stock_adjusted"], &[], "`quantity` units were added, or removed if negative"),
    event("drop.mismatch_found", &["mismatch_found"], &[], "a recount differs from the counters: the drop is paused"),
    event("drop.mismatch_cleared", &["mismatch_cleared"], &[], "the recount agrees with the counters again"),
    event(
        "order.reserved",
        &["order_reserved"],
        &["standby", "ticket"],
        "units are held for a buyer; with `standby`, they came back, and the buyer was the next in line; with `ticket`, a blind \
         window recorded the order under this number",
    ),
    event("order.checked_out", &["order_checked_out"], &[], "the buyer gave a contact; the order awaits payment"),
    event(
        "order.cancelled",
        &["order_cancelled"],
        &["by"],
        "the buyer cancelled the order; with `by`, an operator did",
    ),
    event("order.expired", &["order_expired"], &[], "the order was not paid in time; its units are free again"),
    event(
        "order.paid",
        &["order_paid", "order_retaken"],
        &["provider", "reference", "retaken"],
        "the order was paid; `retaken` if it had expired and took its units again",
    ),
    event(
        "order.refunded",
        &["order_refunded"],
        &["state"],
        "an operator refunded a payment recorded by hand, and `quantity` units were restocked",
    ),
    event(
        "payment.not_kept",
        &["payment_not_kept"],
        &["provider", "reference", "foreign_currency", "foreign_amount", "why", "state"],
        "a payment is not kept (see `why`): pay it back, then settle the refund",
    ),
    event(
        "refund.requested",
        &["refund_requested", "refund_failed"],
        &["provider", "reference", "failed", "foreign_currency", "foreign_amount", "state"],
        "money of a provider's payment is owed, as an operator decided or because its refund failed (`failed`): pay it \
         back, then settle the refund",
    ),
    event(
        "refund.settled",
        &["refund_settled"],
        &["provider", "reference", "foreign_currency", "foreign_amount", "refund_reference", "state"],
        "a refund that was due has been paid out",
    ),
    event(
        "refund.reported",
        &["refund_reported"],
        &["provider", "reference", "state"],
        "a provider refunded money without a request of this server",
    ),
    event(
        "payment.failed",
        &["payment_failed"],
        &["provider", "reference", "amount"],
        "a buyer's attempt to pay failed",
    ),
    event(
        "chargeback.created",
        &["chargeback_created"],
        &["provider", "reference", "foreign_currency", "amount"],
        "a buyer's bank reclaims a payment",
    ),
    event(
        "events.lost",
        &["events_lost"],
        &["lost", "acknowledged_seq"],
        "a power loss destroyed events that may have been sent; their numbers will be used again",
    ),
    event("auction.created", &["auction_created"], &[], "an auction was created"),
    event("auction.started", &["auction_started"], &[], "an auction opened at its start time"),
    event("auction.ended", &["auction_ended"], &["ending"], "an auction ended"),
    event("auction.cancelled", &["auction_cancelled"], &[], "an operator cancelled an auction"),
    event(
        "auction.awarded",
        &["auction_awarded"],
        &["unit_price"],
        "the unit is held for the winner, or for the next bidder if the winner did not pay; the first event of the order",
    ),
    event(
        "draw.tickets_fixed",
        &["room_tickets_fixed"],
        &["tickets", "root"],
        "the tickets of a draw are bound by `root`; from now on a beacon is taken",
    ),
    event(
        "draw.beacon_posted",
        &["room_beacon_posted"],
        &["beacon", "source"],
        "an operator posted the public randomness of a draw",
    ),
    event(
        "draw.drawn",
        &["room_drawn"],
        &["seed", "beacon", "result"],
        "the seed of a draw is published: every position follows from it",
    ),
    event(
        "draw.beacon_missed",
        &["room_beacon_missed"],
        &[],
        "no public randomness came in time: the draw goes on without it",
    ),
    event(
        STANDBY_LEFT,
        &["standby_left"],
        &["joined_seq", "ticket", "reason"],
        "a buyer left the line without an order, or a blind window had none for a recorded one (see `reason`). Not part \
         of `*`: a window may have a million of them",
    ),
];

/// The type that `*` leaves out: a blind window may end a million recorded orders, before whose deliveries those of orders and
/// payments would wait.
const STANDBY_LEFT: &str = "standby.left";

/// Returns the type as which a kind of audit event is sent, with its position in the catalogue.
#[must_use]
pub fn type_of(kind: &str) -> Option<(usize, &'static EventType)> {
    CATALOGUE.iter().enumerate().find(|(_, event)| event.kinds.contains(&kind))
}

/// The types of events that an endpoint receives: at least one. Fewer than 64, because a column of SQLite has 63 bits and a sign.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EventFilter(u64);

impl EventFilter {
    /// Every type that `*` stands for: all but `standby.left`.
    pub const ALL: EventFilter = EventFilter((u64::MAX >> (u64::BITS as usize - CATALOGUE.len())) & !Self::LEFT_OUT);
    /// The bit of the type that `*` leaves out.
    const LEFT_OUT: u64 = 1 << 32;

    /// Restores a filter from stored bits. `None` if no bit is set, or a bit has no type.
    #[must_use]
    pub const fn new(bits: u64) -> Option<EventFilter> {
        let highest = (u64::BITS - bits.leading_zeros()) as usize;
        if 0 < highest && highest <= CATALOGUE.len() { Some(EventFilter(bits)) } else { None }
    }

    /// Returns the bits to store.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Parses a filter from names; `*` is every type but `standby.left`.
    ///
    /// # Errors
    /// The first unknown name; an empty string if there are no names.
    pub fn of_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<EventFilter, &'a str> {
        let mut bits = 0;
        for name in names {
            match CATALOGUE.iter().position(|event| event.name == name) {
                Some(bit) => bits |= 1_u64 << bit,
                None if name == "*" => bits |= Self::ALL.0,
                None => return Err(name),
            }
        }
        EventFilter::new(bits).ok_or("")
    }

    /// Returns the names in the order of the catalogue.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        CATALOGUE.iter().enumerate().filter(move |(bit, _)| self.0 & (1 << bit) != 0).map(|(_, event)| event.name)
    }

    /// Returns true if the filter has the type at this position of the catalogue.
    #[must_use]
    pub const fn has(self, bit: usize) -> bool {
        self.0 & (1 << bit) != 0
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EndpointState {
    Enabled,
    /// Nothing is sent. Events are sent once the endpoint is enabled again.
    Disabled,
}

impl EndpointState {
    /// Returns the word in JSON and SQL.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            EndpointState::Enabled => "enabled",
            EndpointState::Disabled => "disabled",
        }
    }

    #[must_use]
    pub fn parse(word: &str) -> Option<EndpointState> {
        [EndpointState::Enabled, EndpointState::Disabled].into_iter().find(|state| state.as_str() == word)
    }
}

/// The reason why a delivery waits or was given up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AttemptError {
    /// Not tried yet: an earlier event of its order waits.
    Behind,
    /// The endpoint answered with this status, which is not 2xx.
    Status(u16),
    /// None of the endpoint's addresses is allowed.
    Forbidden,
    /// The endpoint's name does not resolve.
    Unresolved,
    /// The connection was refused, or timed out.
    Unreachable,
    /// The TLS handshake failed.
    Tls,
    /// No response came within `outbox.timeout_ms`.
    TimedOut,
    /// The connection broke, or the response was not valid HTTP.
    Broken,
}

impl AttemptError {
    /// Returns its number in rows and captures: statuses stand for themselves, the others are below 100.
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

/// The state of one delivery, stored where it differs from what the endpoint's position says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeliveryMark {
    pub seq: Seq,
    pub fate: DeliveryState,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeliveryState {
    /// Delivered after it had waited: its row is removed.
    Delivered,
    /// Failed, or waiting behind an earlier event of its order.
    Waiting { attempts: u8, next_at: UnixMillis, trouble: AttemptError },
    /// Given up after its last attempt, until an operator resends it.
    Dead { attempts: u8, trouble: AttemptError },
}

/// The URL of an endpoint. Its path may be a secret, so `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct EndpointUrl(Box<str>);

impl EndpointUrl {
    /// Wraps a URL that has been checked.
    #[must_use]
    pub fn new(url: &str) -> EndpointUrl {
        EndpointUrl(url.into())
    }

    /// Returns the URL, to be stored or called, never logged.
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
    fn names_fit_the_standard_and_are_unique() {
        let mut seen = std::collections::BTreeSet::new();
        for event in &CATALOGUE {
            let good = event.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte == b'.');
            assert!(good && seen.insert(event.name), "{}", event.name);
            assert!(event.kinds.iter().all(|kind| seen.insert(kind)), "{}", event.name);
        }
    }

    #[test]
    fn the_readme_has_this_catalogue() {
        let mut table = String::from("| type | `data` besides the common members | sent when |\n|---|---|---|\n");
        for event in &CATALOGUE {
            let details: Vec<String> = event.details.iter().map(|name| format!("`{name}`")).collect();
            table.push_str(&format!("| `{}` | {} | {} |\n", event.name, details.join(", "), event.description));
        }
        let readme = include_str!("../outbox/README.md");
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
    fn filters_are_parsed_from_names_and_never_empty() {
        let filter = EventFilter::of_names(["order.paid", "drop.paused"]).expect("known");
        assert_eq!(filter.names().collect::<Vec<_>>(), ["drop.paused", "order.paid"]);
        assert!(filter.has(14) && !filter.has(0));
        assert_eq!(EventFilter::of_names(["*"]), Ok(EventFilter::ALL));
        assert_eq!(EventFilter::of_names(["order.paid", "order.eaten"]), Err("order.eaten"));
        assert_eq!(EventFilter::of_names([]), Err(""));
        let all_bits = u64::MAX >> (u64::BITS as usize - CATALOGUE.len());
        assert_eq!((EventFilter::new(0), EventFilter::new(all_bits + 1)), (None, None));
        assert!(
            EventFilter::new(u64::from(u32::MAX)) == Some(EventFilter::ALL),
            "a filter of 32 types reads as before"
        );
    }

    #[test]
    fn all_types_are_those_that_buyers_cannot_multiply_and_the_other_one_is_named_beside_them() {
        let left = CATALOGUE.iter().position(|event| event.name == "standby.left").expect("a type");
        assert!(!EventFilter::ALL.has(left));
        assert_eq!(EventFilter::ALL.names().count(), CATALOGUE.len() - 1);
        let both = EventFilter::of_names(["*", "standby.left"]).expect("known");
        assert_eq!(both, EventFilter::of_names(["standby.left", "*"]).expect("known"), "in either order");
        assert!(both.has(left) && both.names().count() == CATALOGUE.len());
    }

    #[test]
    fn every_error_has_its_own_number() {
        for code in 0..1000 {
            if let Some(trouble) = AttemptError::of_code(code) {
                assert_eq!(trouble.code(), code);
            }
        }
        assert_eq!(AttemptError::of_code(7), None);
        assert_eq!(AttemptError::of_code(503), Some(AttemptError::Status(503)));
    }
}
