//! How requests end: the closed set that the table counts.

/// How a request ended, for the table: a closed set.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum RequestOutcome {
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

impl RequestOutcome {
    /// Every outcome, in the order of the table.
    pub(super) const ALL: [RequestOutcome; 26] = [
        RequestOutcome::Reserved,
        RequestOutcome::Repeated,
        RequestOutcome::CheckedOut,
        RequestOutcome::Cancelled,
        RequestOutcome::OrderSeen,
        RequestOutcome::DropSeen,
        RequestOutcome::SoldOut,
        RequestOutcome::LimitReached,
        RequestOutcome::OrderExpired,
        RequestOutcome::IllegalTransition,
        RequestOutcome::NotStarted,
        RequestOutcome::Ended,
        RequestOutcome::NotFound,
        RequestOutcome::OtherRefusal,
        RequestOutcome::RateLimited,
        RequestOutcome::Overloaded,
        RequestOutcome::DropPaused,
        RequestOutcome::Draining,
        RequestOutcome::ReadOnly,
        RequestOutcome::OtherTurnedAway,
        RequestOutcome::Unknown,
        RequestOutcome::Internal,
        RequestOutcome::TimedOut,
        RequestOutcome::ConnectionLost,
        RequestOutcome::NotConnected,
        RequestOutcome::Strange,
    ];

    /// Whether there is an answer, or the time for one ran out: what latencies are taken of.
    pub(super) const fn is_timed(self) -> bool {
        !matches!(self, RequestOutcome::NotConnected | RequestOutcome::ConnectionLost)
    }

    /// The name in JSON, and what the table says about it.
    pub(super) const fn words(self) -> (&'static str, &'static str) {
        match self {
            RequestOutcome::Reserved => ("reserved", "a unit reserved"),
            RequestOutcome::Repeated => ("repeated", "same key again: the same order"),
            RequestOutcome::CheckedOut => ("checked_out", "checked out"),
            RequestOutcome::Cancelled => ("cancelled", "cancelled, unit given back"),
            RequestOutcome::OrderSeen => ("order_seen", "an order looked at"),
            RequestOutcome::DropSeen => ("drop_seen", "the drop looked at"),
            RequestOutcome::SoldOut => ("sold_out", "refused: sold out"),
            RequestOutcome::LimitReached => ("limit_reached", "refused: one each"),
            RequestOutcome::OrderExpired => ("order_expired", "refused: reservation had lapsed"),
            RequestOutcome::IllegalTransition => ("illegal_transition", "refused: illegal transition"),
            RequestOutcome::NotStarted => ("not_started", "refused: not started"),
            RequestOutcome::Ended => ("ended", "refused: drop has ended"),
            RequestOutcome::NotFound => ("not_found", "refused: not found"),
            RequestOutcome::OtherRefusal => ("other_refusal", "refused: anything else"),
            RequestOutcome::RateLimited => ("rate_limited", "turned away: rate limit"),
            RequestOutcome::Overloaded => ("overloaded", "turned away: queue full"),
            RequestOutcome::DropPaused => ("drop_paused", "turned away: drop paused"),
            RequestOutcome::Draining => ("draining", "turned away: shutting down"),
            RequestOutcome::ReadOnly => ("read_only", "turned away: disk full"),
            RequestOutcome::OtherTurnedAway => ("other_turned_away", "turned away: anything else"),
            RequestOutcome::Unknown => ("outcome_unknown", "outcome unknown"),
            RequestOutcome::Internal => ("internal", "internal error"),
            RequestOutcome::TimedOut => ("timed_out", "no answer in time"),
            RequestOutcome::ConnectionLost => ("connection_lost", "connection lost"),
            RequestOutcome::NotConnected => ("not_connected", "could not connect"),
            RequestOutcome::Strange => ("strange", "not an answer of the contract"),
        }
    }
}
