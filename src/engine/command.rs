//! What can be asked of the engine. Imperative; complete; without personal data: buyers and keys are keyed digests,
//! contacts only a "was given".

use super::endpoints::EndpointCommand;
use super::{AuctionSpec, DropPatch, DropSpec};
use crate::types::{
    Amount, AuctionId, Currency, Digest, DropId, Provider, ProviderEventKind, Quantity, Seq, UnitPrice,
};

/// A way to change state, or to ask for an audited look at a contact. The writer decides one after another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// Open a new drop.
    CreateDrop {
        /// The creation's idempotency key.
        key: CommandKey,
        /// What is sold, and how.
        spec: Box<DropSpec>,
    },
    /// Change a drop's texts, window, limits, price or seconds. Live orders keep theirs.
    PatchDrop {
        /// Which drop.
        drop_id: DropId,
        /// The revision that the operator saw.
        expected_revision: u32,
        /// What changes.
        patch: Box<DropPatch>,
        /// Why, for the audit.
        reason: Box<str>,
    },
    /// Stop new orders until resumed.
    PauseDrop {
        /// Which drop.
        drop_id: DropId,
        /// Why, for the audit.
        reason: Box<str>,
    },
    /// Let orders in again.
    ResumeDrop {
        /// Which drop.
        drop_id: DropId,
        /// Why, for the audit.
        reason: Box<str>,
    },
    /// End a drop now, for good.
    CloseDrop {
        /// Which drop.
        drop_id: DropId,
        /// Why, for the audit.
        reason: Box<str>,
    },
    /// Add units to a drop, or take free ones away.
    AdjustStock {
        /// Which drop.
        drop_id: DropId,
        /// How many units come (or, negative, go).
        delta: i64,
        /// The total that the operator saw.
        expected_total: u32,
        /// Why, for the audit.
        reason: Box<str>,
    },
    /// The auditor's word: the recount of this drop does not agree with its counters (or agrees again).
    ReportMismatch {
        /// Which drop.
        drop_id: DropId,
        /// Whether the mismatch stands.
        stands: bool,
    },
    /// Claim units of a drop.
    PlaceOrder {
        /// Which drop.
        drop_id: DropId,
        /// Who.
        buyer: Digest,
        /// The digest of (drop, buyer, idempotency key).
        key: Digest,
        /// How many units, all or none.
        quantity: Quantity,
        /// A contact came along: the order goes on to `awaiting_payment` in one step.
        contact_given: bool,
    },
    /// Go on to payment; the contact travels beside the command.
    Checkout {
        /// Which order.
        order: Seq,
    },
    /// Give the units back.
    CancelOrder {
        /// Which order.
        order: Seq,
    },
    /// Take a live order back: an operator's word, not its buyer's.
    CancelByOperator {
        /// Which order.
        order: Seq,
        /// Why, for the audit.
        reason: Box<str>,
    },
    /// Record money that an operator saw coming in.
    RecordPayment {
        /// Which order.
        order: Seq,
        /// The operator's reference; the same one again is the same payment.
        reference: Box<str>,
        /// How much came in.
        amount: Amount,
        /// In which currency.
        currency: Currency,
        /// Why, for the audit.
        reason: Box<str>,
    },
    /// Give money back, and units if wanted.
    RefundOrder {
        /// Which order.
        order: Seq,
        /// The refund's idempotency key.
        key: CommandKey,
        /// How much; all that is left if not given.
        amount: Option<Amount>,
        /// How many units go back on sale.
        restock_quantity: u16,
        /// Why, for the audit.
        reason: Box<str>,
    },
    /// Record that a refund which was due has been paid out.
    SettleRefund {
        /// Which order.
        order: Seq,
        /// The operator's reference.
        reference: Box<str>,
        /// Why, for the audit.
        reason: Box<str>,
    },
    /// Open a new auction, with its hidden drop.
    CreateAuction {
        /// The creation's idempotency key.
        key: CommandKey,
        /// What is sold, and how.
        spec: Box<AuctionSpec>,
    },
    /// Bid in an auction.
    PlaceBid {
        /// In which auction.
        auction_id: AuctionId,
        /// Who.
        buyer: Digest,
        /// What he asks.
        amount: UnitPrice,
        /// What he would pay at most, secretly; no more than he asks if not given.
        maximum: Option<UnitPrice>,
        /// The bid's idempotency key; none on the wire.
        key: Option<CommandKey>,
    },
    /// Take what an auction sells at once, before the first bid.
    BuyNow {
        /// In which auction.
        auction_id: AuctionId,
        /// Who.
        buyer: Digest,
        /// The digest of (hidden drop, buyer, idempotency key).
        key: Digest,
    },
    /// Call an auction off.
    CancelAuction {
        /// Which auction.
        auction_id: AuctionId,
        /// Why, for the audit.
        reason: Box<str>,
    },
    /// Take in what a payment provider tells.
    HearProvider(Box<ProviderEvent>),
    /// Note where an order can be paid; the address travels beside the command.
    RecordSession {
        /// Which order.
        order: Seq,
        /// With whom.
        provider: Provider,
    },
    /// What concerns whom the outbox tells.
    Endpoint(Box<EndpointCommand>),
    /// Note in the audit that an operator reads a contact.
    ReadContact {
        /// Whose contact: the order.
        order: Seq,
    },
    /// Erase a contact.
    EraseContact {
        /// Whose contact: the order.
        order: Seq,
    },
    /// Note in the audit that an operator exports contacts: of one drop, or of all.
    ExportContacts {
        /// Of which drop, if of one.
        drop_id: Option<DropId>,
    },
    /// Note in the audit that events are gone which had been answered.
    RecordLoss {
        /// How many.
        lost: u64,
        /// The last one that was answered.
        acknowledged: Seq,
    },
    /// Do what is due; nothing else.
    Advance,
}

/// What a payment provider tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProviderEvent {
    /// Who tells.
    pub provider: Provider,
    /// The digest of (provider, event id): its place in the inbox.
    pub id: Digest,
    /// The order that it names, if that is one of ours.
    pub order: Option<Seq>,
    /// What it is about.
    pub kind: ProviderEventKind,
    /// The payment's name at the provider; of a refund or a chargeback, that of the payment it is about.
    pub reference: Box<str>,
    /// How much money.
    pub amount: Amount,
    /// In which currency.
    pub currency: Currency,
}

/// The idempotency key of a command that happens at human pace: digests of the scoped key and of the parameters that
/// a repeat must share.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CommandKey {
    /// The digest of (kind, resource, operator, key).
    pub digest: Digest,
    /// The digest of the compared parameters.
    pub params: Digest,
}

/// The names of the commands, as labels: the index is [`Command::index`].
pub const COMMAND_NAMES: [&str; 29] = [
    "create_drop",
    "patch_drop",
    "pause_drop",
    "resume_drop",
    "close_drop",
    "adjust_stock",
    "report_mismatch",
    "place_order",
    "checkout",
    "cancel_order",
    "record_payment",
    "refund_order",
    "settle_refund",
    "read_contact",
    "erase_contact",
    "export_contacts",
    "record_loss",
    "hear_provider",
    "record_session",
    "cancel_by_operator",
    "create_auction",
    "place_bid",
    "buy_now",
    "cancel_auction",
    "create_endpoint",
    "patch_endpoint",
    "delete_endpoint",
    "mark_deliveries",
    "resend_deliveries",
];

impl Command {
    /// The position of this command's name in [`COMMAND_NAMES`]; `Advance` is nobody's command and has none.
    #[must_use]
    pub const fn index(&self) -> Option<usize> {
        Some(match self {
            Command::CreateDrop { .. } => 0,
            Command::PatchDrop { .. } => 1,
            Command::PauseDrop { .. } => 2,
            Command::ResumeDrop { .. } => 3,
            Command::CloseDrop { .. } => 4,
            Command::AdjustStock { .. } => 5,
            Command::ReportMismatch { .. } => 6,
            Command::PlaceOrder { .. } => 7,
            Command::Checkout { .. } => 8,
            Command::CancelOrder { .. } => 9,
            Command::RecordPayment { .. } => 10,
            Command::RefundOrder { .. } => 11,
            Command::SettleRefund { .. } => 12,
            Command::ReadContact { .. } => 13,
            Command::EraseContact { .. } => 14,
            Command::ExportContacts { .. } => 15,
            Command::RecordLoss { .. } => 16,
            Command::HearProvider(_) => 17,
            Command::RecordSession { .. } => 18,
            Command::CancelByOperator { .. } => 19,
            Command::CreateAuction { .. } => 20,
            Command::PlaceBid { .. } => 21,
            Command::BuyNow { .. } => 22,
            Command::CancelAuction { .. } => 23,
            Command::Endpoint(command) => command.index(),
            Command::Advance => return None,
        })
    }

    /// The order that this command names. The writer loads it into memory before the decision if it is not there.
    #[must_use]
    pub const fn named_order(&self) -> Option<Seq> {
        match self {
            Command::Checkout { order }
            | Command::CancelOrder { order }
            | Command::CancelByOperator { order, .. }
            | Command::RecordPayment { order, .. }
            | Command::RefundOrder { order, .. }
            | Command::SettleRefund { order, .. }
            | Command::RecordSession { order, .. }
            | Command::ReadContact { order }
            | Command::EraseContact { order } => Some(*order),
            Command::HearProvider(event) => event.order,
            Command::CreateDrop { .. }
            | Command::PatchDrop { .. }
            | Command::PauseDrop { .. }
            | Command::ResumeDrop { .. }
            | Command::CloseDrop { .. }
            | Command::AdjustStock { .. }
            | Command::ReportMismatch { .. }
            | Command::PlaceOrder { .. }
            | Command::CreateAuction { .. }
            | Command::PlaceBid { .. }
            | Command::BuyNow { .. }
            | Command::CancelAuction { .. }
            | Command::ExportContacts { .. }
            | Command::RecordLoss { .. }
            | Command::Endpoint(_)
            | Command::Advance => None,
        }
    }

    /// The provider's event that this command tells of. The writer looks whether it is in the inbox before the decision.
    #[must_use]
    pub fn named_event(&self) -> Option<Digest> {
        if let Command::HearProvider(event) = self { Some(event.id) } else { None }
    }

    /// The drop whose per-second figures this command belongs to, where it says so itself.
    #[must_use]
    pub const fn named_drop(&self) -> Option<DropId> {
        match self {
            Command::PatchDrop { drop_id, .. }
            | Command::PauseDrop { drop_id, .. }
            | Command::ResumeDrop { drop_id, .. }
            | Command::CloseDrop { drop_id, .. }
            | Command::AdjustStock { drop_id, .. }
            | Command::ReportMismatch { drop_id, .. }
            | Command::PlaceOrder { drop_id, .. } => Some(*drop_id),
            Command::ExportContacts { drop_id } => *drop_id,
            Command::CreateDrop { .. }
            | Command::Checkout { .. }
            | Command::CancelOrder { .. }
            | Command::CancelByOperator { .. }
            | Command::RecordPayment { .. }
            | Command::RefundOrder { .. }
            | Command::SettleRefund { .. }
            | Command::CreateAuction { .. }
            | Command::PlaceBid { .. }
            | Command::BuyNow { .. }
            | Command::CancelAuction { .. }
            | Command::HearProvider(_)
            | Command::RecordSession { .. }
            | Command::ReadContact { .. }
            | Command::EraseContact { .. }
            | Command::RecordLoss { .. }
            | Command::Endpoint(_)
            | Command::Advance => None,
        }
    }
}
