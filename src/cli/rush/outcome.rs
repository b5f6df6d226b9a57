//! How requests end: the closed set that the table counts.

/// How a request ended, for the table: a closed set.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Outcome {
    Reserved,
    Repeated,
    CheckedOut,
    Cancelled,
    OrderSeen,
    DropSeen,
    SoldOut,
    LimitReached,
    OrderExpired,
    IllegalTransition,
    NotStarted,
    Ended,
    NotFound,
    OtherRefusal,
    RateLimited,
    Overloaded,
    DropPaused,
    Draining,
    ReadOnly,
    OtherTurnedAway,
    Unknown,
    Internal,
    TimedOut,
    ConnectionLost,
    NotConnected,
    Strange,
}

impl Outcome {
    /// Every outcome, in the order of the table.
    pub(super) const ALL: [Outcome; 26] = [
        Outcome::Reserved,
        Outcome::Repeated,
        Outcome::CheckedOut,
        Outcome::Cancelled,
        Outcome::OrderSeen,
        Outcome::DropSeen,
        Outcome::SoldOut,
        Outcome::LimitReached,
        Outcome::OrderExpired,
        Outcome::IllegalTransition,
        Outcome::NotStarted,
        Outcome::Ended,
        Outcome::NotFound,
        Outcome::OtherRefusal,
        Outcome::RateLimited,
        Outcome::Overloaded,
        Outcome::DropPaused,
        Outcome::Draining,
        Outcome::ReadOnly,
        Outcome::OtherTurnedAway,
        Outcome::Unknown,
        Outcome::Internal,
        Outcome::TimedOut,
        Outcome::ConnectionLost,
        Outcome::NotConnected,
        Outcome::Strange,
    ];

    /// Whether there is an answer, or the time for one ran out: what latencies are taken of.
    pub(super) const fn is_timed(self) -> bool {
        !matches!(self, Outcome::NotConnected | Outcome::ConnectionLost)
    }

    /// The name in JSON, and what the table says about it.
    pub(super) const fn words(self) -> (&'static str, &'static str) {
        match self {
            Outcome::Reserved => ("reserved", "a unit reserved"),
            Outcome::Repeated => ("repeated", "same key again: the same order"),
            Outcome::CheckedOut => ("checked_out", "checked out"),
            Outcome::Cancelled => ("cancelled", "cancelled, unit given back"),
            Outcome::OrderSeen => ("order_seen", "an order looked at"),
            Outcome::DropSeen => ("drop_seen", "the drop looked at"),
            Outcome::SoldOut => ("sold_out", "refused: sold out"),
            Outcome::LimitReached => ("limit_reached", "refused: one each"),
            Outcome::OrderExpired => ("order_expired", "refused: reservation had lapsed"),
            Outcome::IllegalTransition => ("illegal_transition", "refused: illegal transition"),
            Outcome::NotStarted => ("not_started", "refused: not started"),
            Outcome::Ended => ("ended", "refused: drop has ended"),
            Outcome::NotFound => ("not_found", "refused: not found"),
            Outcome::OtherRefusal => ("other_refusal", "refused: anything else"),
            Outcome::RateLimited => ("rate_limited", "turned away: rate limit"),
            Outcome::Overloaded => ("overloaded", "turned away: queue full"),
            Outcome::DropPaused => ("drop_paused", "turned away: drop paused"),
            Outcome::Draining => ("draining", "turned away: shutting down"),
            Outcome::ReadOnly => ("read_only", "turned away: disk full"),
            Outcome::OtherTurnedAway => ("other_turned_away", "turned away: anything else"),
            Outcome::Unknown => ("outcome_unknown", "outcome unknown"),
            Outcome::Internal => ("internal", "internal error"),
            Outcome::TimedOut => ("timed_out", "no answer in time"),
            Outcome::ConnectionLost => ("connection_lost", "connection lost"),
            Outcome::NotConnected => ("not_connected", "could not connect"),
            Outcome::Strange => ("strange", "not an answer of the contract"),
        }
    }
}
