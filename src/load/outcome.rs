//! Outcomes of requests: the closed set that the table counts.

/// The outcome of a request, for the table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum RequestOutcome {
    Reserved,
    Recorded,
    Repeated,
    CheckedOut,
    Cancelled,
    OrderRead,
    DropRead,
    TicketTaken,
    SoldOut,
    LimitReached,
    OrderExpired,
    IllegalTransition,
    NotStarted,
    Ended,
    NotFound,
    NotOpen,
    NotAdmitted,
    OtherRefusal,
    RateLimited,
    Overloaded,
    DropPaused,
    Draining,
    ReadOnly,
    NotLeader,
    OtherRejected,
    Unknown,
    Internal,
    TimedOut,
    ConnectionLost,
    NotConnected,
    Invalid,
}

impl RequestOutcome {
    /// Every outcome, in the order of the table.
    pub(super) const ALL: [RequestOutcome; 31] = [
        RequestOutcome::Reserved,
        RequestOutcome::Recorded,
        RequestOutcome::Repeated,
        RequestOutcome::CheckedOut,
        RequestOutcome::Cancelled,
        RequestOutcome::OrderRead,
        RequestOutcome::DropRead,
        RequestOutcome::TicketTaken,
        RequestOutcome::SoldOut,
        RequestOutcome::LimitReached,
        RequestOutcome::OrderExpired,
        RequestOutcome::IllegalTransition,
        RequestOutcome::NotStarted,
        RequestOutcome::Ended,
        RequestOutcome::NotFound,
        RequestOutcome::NotOpen,
        RequestOutcome::NotAdmitted,
        RequestOutcome::OtherRefusal,
        RequestOutcome::RateLimited,
        RequestOutcome::Overloaded,
        RequestOutcome::DropPaused,
        RequestOutcome::Draining,
        RequestOutcome::ReadOnly,
        RequestOutcome::NotLeader,
        RequestOutcome::OtherRejected,
        RequestOutcome::Unknown,
        RequestOutcome::Internal,
        RequestOutcome::TimedOut,
        RequestOutcome::ConnectionLost,
        RequestOutcome::NotConnected,
        RequestOutcome::Invalid,
    ];

    /// True for outcomes with a latency: there was an answer, or the time for one ran out.
    pub(super) const fn is_timed(self) -> bool {
        !matches!(self, RequestOutcome::NotConnected | RequestOutcome::ConnectionLost)
    }

    /// True for outcomes after which another node of a cluster may answer: the one that was asked does not decide.
    pub(super) const fn is_for_another_node(self) -> bool {
        matches!(
            self,
            RequestOutcome::NotLeader
                | RequestOutcome::Draining
                | RequestOutcome::NotConnected
                | RequestOutcome::ConnectionLost
                | RequestOutcome::TimedOut
        )
    }

    /// The name in JSON, and the text in the table.
    pub(super) const fn words(self) -> (&'static str, &'static str) {
        match self {
            RequestOutcome::Reserved => ("reserved", "a unit reserved"),
            RequestOutcome::Recorded => ("recorded", "recorded in a blind window"),
            RequestOutcome::Repeated => ("repeated", "same key again: the same order"),
            RequestOutcome::CheckedOut => ("checked_out", "checked out"),
            RequestOutcome::Cancelled => ("cancelled", "cancelled, unit returned"),
            RequestOutcome::OrderRead => ("order_seen", "an order read"),
            RequestOutcome::DropRead => ("drop_seen", "the drop read"),
            RequestOutcome::TicketTaken => ("ticket_taken", "a ticket taken"),
            RequestOutcome::SoldOut => ("sold_out", "refused: sold out"),
            RequestOutcome::LimitReached => ("limit_reached", "refused: buyer's limit reached"),
            RequestOutcome::OrderExpired => ("order_expired", "refused: reservation had lapsed"),
            RequestOutcome::IllegalTransition => ("illegal_transition", "refused: illegal transition"),
            RequestOutcome::NotStarted => ("not_started", "refused: not started"),
            RequestOutcome::Ended => ("ended", "refused: drop has ended"),
            RequestOutcome::NotFound => ("not_found", "refused: not found"),
            RequestOutcome::NotOpen => ("not_open", "refused: waiting room not open"),
            RequestOutcome::NotAdmitted => ("not_admitted", "refused: not admitted yet, or no more"),
            RequestOutcome::OtherRefusal => ("other_refusal", "refused: anything else"),
            RequestOutcome::RateLimited => ("rate_limited", "rejected: rate limit"),
            RequestOutcome::Overloaded => ("overloaded", "rejected: queue full"),
            RequestOutcome::DropPaused => ("drop_paused", "rejected: drop paused"),
            RequestOutcome::Draining => ("draining", "rejected: shutting down"),
            RequestOutcome::ReadOnly => ("read_only", "rejected: read-only"),
            RequestOutcome::NotLeader => ("not_leader", "rejected: another node leads"),
            RequestOutcome::OtherRejected => ("other_turned_away", "rejected: anything else"),
            RequestOutcome::Unknown => ("outcome_unknown", "outcome unknown"),
            RequestOutcome::Internal => ("internal", "internal error"),
            RequestOutcome::TimedOut => ("timed_out", "no answer in time"),
            RequestOutcome::ConnectionLost => ("connection_lost", "connection lost"),
            RequestOutcome::NotConnected => ("not_connected", "could not connect"),
            RequestOutcome::Invalid => ("strange", "response outside of the contract"),
        }
    }
}
