//! Commands: imperative, complete, and without personal data. Buyers and idempotency keys are keyed digests; of a
//! contact a command says only that one was given.
//!
//! A file per noun holds its commands and how they are decided.

pub(super) mod auction;
pub(super) mod buyer;
pub(super) mod drop;
pub(super) mod endpoint;
pub(super) mod file;
pub(super) mod order;
pub(super) mod payment;
mod refunds;
pub(super) mod room;
pub(super) mod settlement;
mod standby;

pub use auction::{AuctionCommand, BuyNow, CancelAuction, CreateAuction, PlaceBid};
pub use buyer::{BuyerCommand, RemoveTier, SetTier};
pub use drop::{AdjustStock, ChangeDrop, CreateDrop, DropCommand, PatchDrop};
pub use endpoint::{CreateEndpoint, DeleteEndpoint, EndpointCommand, MarkDeliveries, PatchEndpoint, ResendDeliveries};
pub use file::FileCommand;
pub use order::{CancelByOperator, OrderCommand, PlaceOrder};
pub use payment::{PaymentCommand, RecordPayment, RecordProviderEvent, RefundOrder};
pub use room::{FinishDraw, PostBeacon, RoomCommand, TakeTicket};
pub use settlement::{KnownRefund, SettleRefund};

use super::{Decision, Outcome};
use crate::types::{Digest, DropId, ProviderEventKind, Seq};

/// A request to change state, or for an audited look at a contact. The writer decides one after another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// A command about drops.
    Drop(DropCommand),
    /// A command about orders and their contacts.
    Order(OrderCommand),
    /// A command about money.
    Payment(PaymentCommand),
    /// A command about auctions and bids.
    Auction(AuctionCommand),
    /// A command about the endpoints of the outbox.
    Endpoint(Box<EndpointCommand>),
    /// A command about the file as a whole.
    File(FileCommand),
    /// A command about a buyer.
    Buyer(Box<BuyerCommand>),
    /// A command about a waiting room.
    Room(RoomCommand),
    /// Does what is due, and nothing else.
    Advance,
}

// The queue holds commands by value, and most of them place orders.
const _: () = assert!(size_of::<Command>() <= 64);

/// The idempotency key of a command that happens at human pace: digests of the scoped key and of the parameters that
/// a repeat must share.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CommandKey {
    /// The digest of (kind, resource, operator, key).
    pub digest: Digest,
    /// The digest of the compared parameters.
    pub params: Digest,
}

/// Gives the commands of a noun their names, as labels of metrics. The names of all nouns make [`COMMAND_NAMES`].
macro_rules! names {
    ($type:ident { $($variant:ident = $name:literal),* $(,)? }) => {
        impl $type {
            pub(super) const NAMES: &[&str] = &[$($name),*];

            /// The position of the command's name in `NAMES`.
            pub(super) const fn index(&self) -> usize {
                enum Position { $($variant),* }
                match self {
                    $($type::$variant { .. } => Position::$variant as usize,)*
                }
            }
        }
    };
}
use names;

const NOUNS: [&[&str]; 8] = [
    DropCommand::NAMES,
    OrderCommand::NAMES,
    PaymentCommand::NAMES,
    AuctionCommand::NAMES,
    EndpointCommand::NAMES,
    FileCommand::NAMES,
    BuyerCommand::NAMES,
    RoomCommand::NAMES,
];

/// The number of names of the first `nouns` nouns.
const fn names_of(nouns: usize) -> usize {
    let (mut count, mut noun) = (0, 0);
    while noun < nouns {
        count += NOUNS[noun].len();
        noun += 1;
    }
    count
}

/// The names of the commands, as labels: the index is [`Command::index`].
pub const COMMAND_NAMES: [&str; names_of(NOUNS.len())] = {
    let mut names = [""; names_of(NOUNS.len())];
    let (mut noun, mut at) = (0, 0);
    while noun < NOUNS.len() {
        let mut name = 0;
        while name < NOUNS[noun].len() {
            names[at] = NOUNS[noun][name];
            name += 1;
            at += 1;
        }
        noun += 1;
    }
    names
};

/// The position of each noun's first name.
const FIRST: [usize; NOUNS.len()] =
    [0, names_of(1), names_of(2), names_of(3), names_of(4), names_of(5), names_of(6), names_of(7)];

impl Command {
    /// Returns the digest of the buyer whom a command is about.
    #[must_use]
    pub fn buyer(&self) -> Option<Digest> {
        match self {
            Command::Buyer(command) => Some(command.buyer()),
            Command::Drop(_)
            | Command::Order(_)
            | Command::Payment(_)
            | Command::Auction(_)
            | Command::Endpoint(_)
            | Command::File(_)
            | Command::Room(_)
            | Command::Advance => None,
        }
    }

    /// The order that this command would make, now or when units come back.
    #[must_use]
    pub const fn placed(&self) -> Option<&PlaceOrder> {
        if let Command::Order(command) = self { command.placed() } else { None }
    }

    /// The position of this command's name in [`COMMAND_NAMES`]; `Advance` is internal and has none.
    #[must_use]
    pub const fn index(&self) -> Option<usize> {
        Some(match self {
            Command::Drop(command) => command.index(),
            Command::Order(command) => FIRST[1] + command.index(),
            Command::Payment(command) => FIRST[2] + command.index(),
            Command::Auction(command) => FIRST[3] + command.index(),
            Command::Endpoint(command) => FIRST[4] + command.index(),
            Command::File(command) => FIRST[5] + command.index(),
            Command::Buyer(command) => FIRST[6] + command.index(),
            Command::Room(command) => FIRST[7] + command.index(),
            Command::Advance => return None,
        })
    }

    /// The order that this command names. The writer loads it into memory before the decision if it is not there.
    #[must_use]
    pub const fn named_order(&self) -> Option<Seq> {
        match self {
            Command::Order(command) => command.order(),
            Command::Payment(command) => command.order(),
            Command::Drop(_)
            | Command::Auction(_)
            | Command::Endpoint(_)
            | Command::File(_)
            | Command::Buyer(_)
            | Command::Room(_)
            | Command::Advance => None,
        }
    }

    /// The provider's event that this command records. The writer looks it up in the inbox before the decision, and
    /// what is known of its payment.
    #[must_use]
    pub fn named_event(&self) -> Option<&RecordProviderEvent> {
        if let Command::Payment(PaymentCommand::RecordProviderEvent(event)) = self { Some(event) } else { None }
    }

    /// The provider's event of this command, to be completed by what the file tells of it.
    pub fn named_event_mut(&mut self) -> Option<&mut RecordProviderEvent> {
        if let Command::Payment(PaymentCommand::RecordProviderEvent(event)) = self { Some(event) } else { None }
    }

    /// The settlement of a refund that this command is. The writer looks its reference up before the decision.
    #[must_use]
    pub fn named_settlement(&self) -> Option<&SettleRefund> {
        if let Command::Payment(PaymentCommand::SettleRefund(settle)) = self { Some(settle) } else { None }
    }

    /// Returns whether the decision rests on what the file alone tells, so that every event before it must be in the
    /// file: a refund's name is looked up among reports and settlements. Such commands are rare.
    #[must_use]
    pub fn needs_whole_file(&self) -> bool {
        let is_refund = |event: &RecordProviderEvent| {
            matches!(event.kind, ProviderEventKind::RefundSucceeded | ProviderEventKind::RefundFailed)
        };
        self.named_settlement().is_some() || self.named_event().is_some_and(is_refund)
    }

    /// The provider's event of this command, if it names no order but the payment that it is about. The writer finds
    /// the order.
    pub fn names_payment_alone(&mut self) -> Option<&mut RecordProviderEvent> {
        let Command::Payment(PaymentCommand::RecordProviderEvent(event)) = self else { return None };
        (event.order.is_none() && payment::names_payment_alone(event)).then_some(&mut **event)
    }

    /// The drop whose per-second figures this command belongs to, where the command itself names one.
    #[must_use]
    pub fn named_drop(&self) -> Option<DropId> {
        match self {
            Command::Drop(command) => command.drop_id(),
            Command::Order(command) => command.drop_id(),
            Command::Room(command) => Some(command.drop_id()),
            Command::File(FileCommand::ExportContacts { drop_id }) => *drop_id,
            Command::Payment(_)
            | Command::Auction(_)
            | Command::Endpoint(_)
            | Command::Buyer(_)
            | Command::File(FileCommand::RecordLoss { .. } | FileCommand::RecordStop { .. })
            | Command::Advance => None,
        }
    }
}

/// Decides a command by its noun.
#[inline]
pub(super) fn decide(decision: &mut Decision<'_>, command: &Command) -> Outcome {
    let decided = match command {
        Command::Order(command) => return order::decide(decision, command),
        Command::Drop(command) => drop::decide(decision, command),
        Command::Payment(command) => payment::decide(decision, command),
        Command::Auction(command) => auction::decide(decision, command),
        Command::Endpoint(command) => endpoint::decide(decision, command),
        Command::File(command) => file::decide(decision, command),
        Command::Buyer(command) => buyer::decide(decision, command),
        Command::Room(command) => room::decide(decision, command),
        Command::Advance => return Outcome::Advanced,
    };
    decision.outcome(decided)
}
