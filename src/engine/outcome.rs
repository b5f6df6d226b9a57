//! The outcomes of commands.

use crate::types::{
    Amount, AuctionId, Currency, Disposition, DropId, DropState, IdentityKind, OrderState, Quantity, RoomMember,
    RoomState, Seq, TicketNumber, TicketPosition, UnitPrice, UnixMillis,
};

/// The answer to a command. Definite once the writer's batch is durable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The command took effect.
    Accepted(Effect),
    /// The command had taken effect before: the same answer again, without an event.
    Repeated {
        /// The last event that this answer saw.
        as_of_seq: Seq,
        subject: Subject,
    },
    /// The engine decided no.
    Refused {
        /// The last event that this refusal saw.
        as_of_seq: Seq,
        refusal: Refusal,
    },
    /// The outcome of `Advance`, which is internal.
    Advanced,
}

/// The effect of an accepted command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Units are held. It has everything that the answer says, so that the hot path reads nothing.
    Reserved(Reservation),
    /// A resource changed; it is read afresh for the answer.
    Changed {
        /// The command's last event.
        seq: Seq,
        subject: Subject,
    },
    /// A provider's event is recorded.
    ProviderEventRecorded {
        /// The command's last event.
        seq: Seq,
        disposition: Disposition,
    },
    /// A bid was placed, or is the bidder's own standing one.
    Bid(BidReceipt),
    /// A ticket was taken, or is the buyer's own.
    Ticket(TicketReceipt),
    /// A buyer stands by.
    Standby(StandbyReceipt),
    /// An order is recorded in the blind window of its drop.
    Recorded(RecordedReceipt),
}

/// The resource that a command changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Subject {
    Drop(DropId),
    Order(Seq),
    Auction(AuctionId),
    /// A bid in an auction, by its event.
    Bid(AuctionId, Seq),
    Endpoint(Seq),
    /// The file as a whole.
    File,
    /// A place in a line that ended without an order, by the event by which its buyer joined.
    LineEntry(Seq),
}

/// The result of a bid: everything that its answer says, so that the hot path reads nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BidReceipt {
    pub auction_id: AuctionId,
    /// The bid's event; of one's own standing bid, its first.
    pub seq: Seq,
    /// True if it is the bidder's own standing bid again.
    pub repeated: bool,
    /// True if the bidder leads.
    pub leading: bool,
    pub amount: UnitPrice,
    pub current: UnitPrice,
    /// The least that the next bid must be.
    pub minimum_next: UnitPrice,
    pub ends_at: UnixMillis,
    /// The currency of all amounts.
    pub currency: Currency,
}

/// The result of a request for a ticket: everything that its answer says, so that the hot path reads nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TicketReceipt {
    pub drop_id: DropId,
    /// The ticket's event; of a ticket that the buyer had, the last event that the answer saw.
    pub seq: Seq,
    pub number: TicketNumber,
    /// The position, once it is known.
    pub position: Option<TicketPosition>,
    /// The first position that has not been admitted.
    pub serving: u32,
    pub state: RoomState,
    /// True while an operator has paused the drop: no buyer is admitted.
    pub paused: bool,
    /// The length of all pauses that are over, in milliseconds.
    pub paused_ms: i64,
    /// The exclusive end of an admitted buyer's time to order; it may have passed. `None` while that time stands still.
    pub order_until: Option<UnixMillis>,
    /// Units that are free.
    pub available: u32,
    /// Units of live orders, which may come back.
    pub held: u32,
    /// True if the buyer had it before.
    pub repeated: bool,
}

impl TicketReceipt {
    /// Number of tickets before it that are not admitted yet; `None` once it is admitted, or while its position is unknown.
    #[must_use]
    pub fn ahead(&self) -> Option<u32> {
        self.position?.0.checked_sub(self.serving)
    }
}

/// An order that waits for the draw of a blind window: everything that the answer says, so that it reads nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecordedReceipt {
    pub drop_id: DropId,
    /// The event that recorded the order; of one that was recorded before, the last event that the answer saw.
    pub seq: Seq,
    pub quantity: Quantity,
    /// The number of the order in the window, by arrival, from 1.
    pub ticket: TicketNumber,
    /// The end of the window: the draw and the decisions come next.
    pub decided_at: UnixMillis,
    /// True if it was recorded before.
    pub repeated: bool,
}

/// A buyer's place in the line of a drop: everything that the answer says, so that it reads nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StandbyReceipt {
    pub drop_id: DropId,
    /// The event by which the buyer joined; of an entry that stood, the last event that the answer saw.
    pub seq: Seq,
    pub quantity: Quantity,
    /// The place in the line, from 1.
    pub position: u32,
    /// The number of buyers who stand by.
    pub standby: u32,
    pub available: u32,
    /// Held units: some may come back.
    pub held: u32,
    /// The latest instant at which the first of them comes back.
    pub next_expiry_at: Option<UnixMillis>,
    /// True if the buyer stood by before.
    pub repeated: bool,
}

/// A fresh order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reservation {
    /// The order's number: the seq of its `OrderReserved` event.
    pub order: Seq,
    /// The outcome's last event.
    pub seq: Seq,
    pub drop_id: DropId,
    /// `reserved`; where a contact came along `awaiting_payment`, or `paid` if it costs nothing.
    pub state: OrderState,
    pub quantity: Quantity,
    /// The price of one.
    pub unit_price: UnitPrice,
    /// The currency of all amounts.
    pub currency: Currency,
    pub reserved_at: UnixMillis,
    pub expires_at: UnixMillis,
}

/// The engine's answer "no": decided in order, by the writer. Declared in the order of precedence of `src/http/README.md`, "Errors".
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// No such drop, order or contact.
    NotFound,
    /// The same idempotency key came with other parameters.
    KeyReused,
    /// The drop's start lies ahead.
    NotStarted { starts_at: UnixMillis },
    /// The waiting room's opening lies ahead.
    NotOpen { opens_at: UnixMillis },
    /// The drop is over.
    Ended { ends_at: UnixMillis },
    /// An operator or the auditor stopped new orders.
    DropPaused,
    /// The buyer has no ticket, is not admitted yet, or has let the time to order pass.
    NotAdmitted {
        /// The position of the buyer's ticket.
        position: Option<TicketPosition>,
        /// The first position that has not been admitted.
        serving: u32,
    },
    /// The draw takes no beacon now.
    BeaconNotTaken { why: BeaconObstacle },
    /// The buyer's held and sold units leave no room for this quantity.
    LimitReached {
        /// The drop's limit per buyer.
        limit: u32,
        /// The buyer's held and sold units.
        used: u32,
    },
    /// The held and sold units of orders with the same identity leave no room for this quantity. Their number is not told: they
    /// may be another buyer's.
    IdentityLimitReached {
        /// The kind of identity whose cap it is.
        identity: IdentityKind,
        /// The drop's cap on it.
        limit: u32,
    },
    /// Fewer units are free than asked for.
    SoldOut(SoldOut),
    /// Every unit of a drop with a waiting room is sold: none is left or comes back by itself.
    AllSold {
        /// The number of buyers who stand by.
        standby: u32,
    },
    /// The order's time ran out.
    OrderExpired { expired_at: UnixMillis },
    /// The order's state does not allow it.
    IllegalTransition {
        from: OrderState,
        /// The state that was asked for.
        to: OrderState,
    },
    /// The drop's state does not allow it.
    MismatchStands { from: DropState },
    /// The bid is below what it must be.
    BidTooLow {
        /// The price; 0 before the first bid.
        current: UnitPrice,
        /// The least that the next bid must be.
        minimum_next: UnitPrice,
        /// Until when bids are taken (exclusively).
        ends_at: UnixMillis,
    },
    /// The buyer could have to pay more than the limit for all auctions that they lead.
    ExposureReached {
        limit: Amount,
        /// The sum of the buyer's maxima without this bid.
        used: Amount,
    },
    /// The operator saw an older revision.
    PreconditionFailed { revision: u32 },
    /// A value that only the state can judge is out of range.
    Invalid(Invalid),
}

/// Reasons why a draw takes no beacon.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BeaconObstacle {
    /// The drop draws without a beacon.
    NotAwaited,
    /// The root of the tickets is not published yet: its author could still choose tickets.
    TicketsNotFixed,
    /// The draw has its beacon already.
    Posted,
    /// The time for it has passed.
    TooLate,
    /// The draw is done.
    Drawn,
}

impl BeaconObstacle {
    pub const ALL: [BeaconObstacle; 5] = [
        BeaconObstacle::NotAwaited,
        BeaconObstacle::TicketsNotFixed,
        BeaconObstacle::Posted,
        BeaconObstacle::TooLate,
        BeaconObstacle::Drawn,
    ];

    /// Returns its name in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            BeaconObstacle::NotAwaited => "not_awaited",
            BeaconObstacle::TicketsNotFixed => "tickets_not_fixed",
            BeaconObstacle::Posted => "posted",
            BeaconObstacle::TooLate => "too_late",
            BeaconObstacle::Drawn => "drawn",
        }
    }
}

/// The rest of a drop that has too few free units.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SoldOut {
    pub available: u32,
    /// Held units: some may come back.
    pub held: u32,
    /// The latest instant at which the first of them comes back.
    pub next_expiry_at: Option<UnixMillis>,
    /// The number of buyers who stand by.
    pub standby: u32,
}

/// Values that only the state can judge.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Invalid {
    /// The end is not after the start.
    EndBeforeStart,
    /// The end is not after this instant.
    EndInThePast,
    /// The total would fall below the units that are held or sold.
    TotalBelowTaken {
        /// Held and sold units.
        taken: u32,
    },
    /// The total would exceed 4,294,967,295.
    TotalTooLarge,
    /// The file holds as many drops as it can.
    TooManyDrops,
    /// As many buyers stand by for the drop as can.
    StandbyFull,
    /// The file has as many endpoints as it can.
    TooManyEndpoints,
    /// The file has tiers of operators for as many buyers as it can.
    TooManyTiers,
    /// The tier would end before it begins.
    TierEndInThePast,
    /// The payment is not what the order costs.
    PaymentDiffers { amount: Amount, currency: Currency },
    /// The refund is more than what is left, or nothing.
    RefundOutOfRange { remaining: Amount },
    /// More units would go back than are sold.
    RestockOutOfRange {
        /// Units of the order that are sold.
        sold: u16,
    },
    /// The settlement is of more than what is owed of the payment.
    SettlementOutOfRange { owed: Amount },
    /// The settlement names none of the payments that are owed, or does not say which of them it is of.
    PaymentNotOwed {
        /// The number of payments of the order that are owed.
        owed: u16,
    },
    /// The reference is that of a settlement of another amount.
    SettlementDiffers { amount: Amount },
    /// The drop has a cap on an identity that the order does not have.
    IdentityMissing { kind: IdentityKind },
    /// The waiting room does not open before the start.
    RoomOpensLate,
    /// The start of a drop with a room may only move to the future, to a later instant while buyers wait, and not once it has
    /// come.
    RoomIsOpen,
    /// The room has as many tickets as it can.
    TooManyTickets,
    /// The drop has no waiting room.
    NoRoom,
    /// The parameter of the room may not change any more.
    RoomFixed {
        member: RoomMember,
        /// True once the drop's start has come.
        started: bool,
    },
    /// The draw's tickets are not fixed, or it waits for its beacon.
    DrawNotReady,
    /// The seed is not the one that was committed to.
    SeedDiffers,
    /// The tickets have been fixed by another root.
    RootDiffers,
}

/// The names of outcomes, as labels: the index is [`Outcome::index`].
pub const OUTCOME_NAMES: [&str; 21] = [
    "accepted",
    "repeated",
    "not_found",
    "key_reused",
    "not_started",
    "ended",
    "drop_paused",
    "limit_reached",
    "sold_out",
    "order_expired",
    "illegal_transition",
    "mismatch_stands",
    "precondition_failed",
    "invalid",
    "ignored",
    "bid_too_low",
    "exposure_reached",
    "identity_limit_reached",
    "not_admitted",
    "not_open",
    "beacon_not_taken",
];

impl Outcome {
    /// The outcome of a command that changed a resource.
    pub(super) const fn changed(seq: Seq, subject: Subject) -> Outcome {
        Outcome::Accepted(Effect::Changed { seq, subject })
    }

    /// The outcome of a command that made an order.
    pub(super) const fn reserved(reservation: Reservation) -> Outcome {
        Outcome::Accepted(Effect::Reserved(reservation))
    }

    /// The resource that the command changed, now or when it was decided first.
    #[must_use]
    pub const fn subject(&self) -> Option<Subject> {
        match self {
            Outcome::Accepted(Effect::Changed { subject, .. }) | Outcome::Repeated { subject, .. } => Some(*subject),
            Outcome::Accepted(_) | Outcome::Refused { .. } | Outcome::Advanced => None,
        }
    }

    /// The order that the command made.
    #[must_use]
    pub const fn reservation(&self) -> Option<&Reservation> {
        if let Outcome::Accepted(Effect::Reserved(reservation)) = self { Some(reservation) } else { None }
    }

    /// The order that the command made, now or when it was decided first.
    #[must_use]
    pub const fn order_made(&self) -> Option<Seq> {
        match self {
            Outcome::Accepted(Effect::Reserved(reservation)) => Some(reservation.order),
            Outcome::Repeated { subject: Subject::Order(order), .. } => Some(*order),
            Outcome::Accepted(_) | Outcome::Repeated { .. } | Outcome::Refused { .. } | Outcome::Advanced => None,
        }
    }

    /// The position of this outcome's name in [`OUTCOME_NAMES`].
    #[must_use]
    pub const fn index(&self) -> usize {
        match self {
            Outcome::Accepted(
                Effect::Bid(BidReceipt { repeated: true, .. })
                | Effect::Ticket(TicketReceipt { repeated: true, .. })
                | Effect::Standby(StandbyReceipt { repeated: true, .. })
                | Effect::Recorded(RecordedReceipt { repeated: true, .. }),
            )
            | Outcome::Repeated { .. } => 1,
            Outcome::Accepted(Effect::ProviderEventRecorded { disposition: Disposition::Ignored(_), .. }) => 14,
            Outcome::Accepted(_) | Outcome::Advanced => 0,
            Outcome::Refused { refusal, .. } => refusal.index(),
        }
    }
}

impl Effect {
    /// The number that the answer names: the command's last event, or of a standing bid, its first.
    #[must_use]
    pub const fn seq(&self) -> Seq {
        match self {
            Effect::Reserved(reservation) => reservation.seq,
            Effect::Changed { seq, .. } | Effect::ProviderEventRecorded { seq, .. } => *seq,
            Effect::Bid(receipt) => receipt.seq,
            Effect::Ticket(receipt) => receipt.seq,
            Effect::Standby(receipt) => receipt.seq,
            Effect::Recorded(receipt) => receipt.seq,
        }
    }
}

impl Refusal {
    /// The position of this refusal's name in [`OUTCOME_NAMES`].
    #[must_use]
    pub const fn index(&self) -> usize {
        match self {
            Refusal::NotFound => 2,
            Refusal::KeyReused => 3,
            Refusal::NotStarted { .. } => 4,
            Refusal::Ended { .. } => 5,
            Refusal::DropPaused => 6,
            Refusal::LimitReached { .. } => 7,
            Refusal::SoldOut(_) | Refusal::AllSold { .. } => 8,
            Refusal::OrderExpired { .. } => 9,
            Refusal::IllegalTransition { .. } => 10,
            Refusal::MismatchStands { .. } => 11,
            Refusal::PreconditionFailed { .. } => 12,
            Refusal::Invalid(_) => 13,
            Refusal::BidTooLow { .. } => 15,
            Refusal::ExposureReached { .. } => 16,
            Refusal::IdentityLimitReached { .. } => 17,
            Refusal::NotAdmitted { .. } => 18,
            Refusal::NotOpen { .. } => 19,
            Refusal::BeaconNotTaken { .. } => 20,
        }
    }
}
