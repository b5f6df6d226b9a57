//! How the engine's words look in bytes: fields in the order listed here, variants by the number before them.
//!
//! The lists are exhaustive on both ways: a new field or variant does not compile until it stands here, and then
//! [`VERSION`](super::format::VERSION) goes up. Numbers never change their meaning. Values from a file are checked like
//! values from a client.

use bincode::de::{Decode, Decoder};
use bincode::enc::{Encode, Encoder};
use bincode::error::{DecodeError, EncodeError};

use crate::engine::{
    AuctionSpec, Best, BidReceipt, Command, CommandKey, DropPatch, DropSpec, EndpointCommand, EndpointEvent,
    EndpointPatch, Event, EventKind, Invalid, Leader, Order, Outcome, Payment, ProviderEvent, Refusal,
    RememberedCommand, RememberedOrder, Reservation, Subject,
};
use crate::types::{
    Amount, AttemptError, AuctionEnding, AuctionId, AuctionState, Currency, DeliveryMark, DeliveryState, Digest,
    Disposition, DropId, DropState, EndpointState, EventFilter, IgnoredReason, Increment, NotKeptReason, OrderState,
    Provider, ProviderEventKind, Quantity, ReceivedPayment, Seq, UnitPrice, UnixMillis,
};

macro_rules! form_of_number {
    ($($type:ident: $number:ty;)*) => { $(
        impl Encode for $type {
            fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
                self.get().encode(encoder)
            }
        }
        impl<Context> Decode<Context> for $type {
            fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
                let number = <$number>::decode(decoder)?;
                $type::new(number).ok_or(DecodeError::Other(concat!("a number is no ", stringify!($type))))
            }
        }
    )* };
}

macro_rules! form_of_struct {
    ($type:ident { $($field:ident),* $(,)? }) => {
        impl ::bincode::enc::Encode for $type {
            fn encode<E: ::bincode::enc::Encoder>(&self, encoder: &mut E) -> Result<(), ::bincode::error::EncodeError> {
                let $type { $($field),* } = self;
                $($field.encode(encoder)?;)*
                Ok(())
            }
        }
        impl<Context> ::bincode::de::Decode<Context> for $type {
            fn decode<D: ::bincode::de::Decoder<Context = Context>>(
                decoder: &mut D,
            ) -> Result<Self, ::bincode::error::DecodeError> {
                Ok($type { $($field: ::bincode::de::Decode::decode(decoder)?),* })
            }
        }
    };
}

macro_rules! form_of_enum {
    ($type:ident { $($tag:literal = $variant:ident $({ $($field:ident),* })? $(($item:ident))?),* $(,)? }) => {
        impl ::bincode::enc::Encode for $type {
            fn encode<E: ::bincode::enc::Encoder>(&self, encoder: &mut E) -> Result<(), ::bincode::error::EncodeError> {
                match self {
                    $($type::$variant $({ $($field),* })? $(($item))? => {
                        let tag: u8 = $tag;
                        tag.encode(encoder)?;
                        $($($field.encode(encoder)?;)*)?
                        $($item.encode(encoder)?;)?
                        Ok(())
                    })*
                }
            }
        }
        impl<Context> ::bincode::de::Decode<Context> for $type {
            fn decode<D: ::bincode::de::Decoder<Context = Context>>(
                decoder: &mut D,
            ) -> Result<Self, ::bincode::error::DecodeError> {
                let tag = u8::decode(decoder)?;
                Ok(match tag {
                    $($tag => $type::$variant
                        $({ $($field: ::bincode::de::Decode::decode(decoder)?),* })?
                        $(({ let $item = ::bincode::de::Decode::decode(decoder)?; $item }))?,)*
                    _ => {
                        let what = format!("{tag} is no {}", stringify!($type));
                        return Err(::bincode::error::DecodeError::OtherString(what));
                    }
                })
            }
        }
    };
}
pub(super) use {form_of_enum, form_of_struct};

form_of_number! {
    Seq: u64;
    DropId: u32;
    Quantity: u16;
    AuctionId: u32;
    Amount: u64;
    UnitPrice: u64;
    UnixMillis: i64;
    EventFilter: u32;
}

impl Encode for AttemptError {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.code().encode(encoder)
    }
}

impl<Context> Decode<Context> for AttemptError {
    fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
        AttemptError::of_code(u16::decode(decoder)?).ok_or(DecodeError::Other("a number is no AttemptError"))
    }
}

impl Encode for Digest {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.0.encode(encoder)
    }
}

impl<Context> Decode<Context> for Digest {
    fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
        <[u8; 16]>::decode(decoder).map(Digest)
    }
}

impl Encode for Currency {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.as_str().encode(encoder)
    }
}

impl<Context> Decode<Context> for Currency {
    fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
        Currency::new(&String::decode(decoder)?).ok_or(DecodeError::Other("a text is no currency"))
    }
}

form_of_enum!(OrderState {
    1 = Reserved,
    2 = AwaitingPayment,
    3 = Paid,
    4 = Cancelled,
    5 = Expired,
    6 = RefundDue,
    7 = Refunded,
});

form_of_enum!(DropState { 1 = Ended, 2 = Paused, 3 = Scheduled, 4 = SoldOut, 5 = Live });

form_of_struct!(CommandKey { digest, params });
form_of_struct!(RememberedOrder { seq, quantity });
form_of_struct!(RememberedCommand { seq, params, subject });
form_of_enum!(Provider { 1 = Manual, 2 = StandardWebhooks, 3 = Stripe, 4 = Payos, 5 = Sandbox });
form_of_enum!(ProviderEventKind {
    1 = PaymentSucceeded,
    2 = PaymentFailed,
    3 = RefundSucceeded,
    4 = ChargebackCreated,
});
form_of_enum!(IgnoredReason {
    1 = UnknownOrder,
    2 = PaymentKnown,
    3 = NotAwaited,
    4 = UnknownPayment,
    5 = CurrencyDiffers,
    6 = ExceedsReceived,
    7 = TooManyPayments,
});
form_of_enum!(Disposition { 1 = Applied, 2 = Ignored(because) });
form_of_enum!(NotKeptReason {
    1 = Differs,
    2 = PaidBefore,
    3 = Cancelled,
    4 = DropClosed,
    5 = LimitReached,
    6 = SoldOut,
});
form_of_struct!(ReceivedPayment { provider, reference, amount, foreign });
form_of_struct!(Payment { received, pays, refunded, refund_due });
form_of_struct!(ProviderEvent { provider, id, order, kind, reference, amount, currency });
form_of_struct!(Order {
    seq,
    last_seq,
    drop_id,
    buyer,
    key,
    quantity,
    returned,
    unit_price,
    state,
    expires_at,
    payments,
});
form_of_struct!(DropSpec {
    sku,
    name,
    description,
    image_url,
    currency,
    unit_price,
    total,
    starts_at,
    ends_at,
    per_buyer_limit,
    reservation_seconds,
    payment_seconds,
});
form_of_enum!(AuctionEnding { 1 = Sold, 2 = NoBids, 3 = ReserveNotMet, 4 = BoughtNow });
form_of_enum!(AuctionState { 1 = Scheduled, 2 = Live, 3 = Ended(ending), 4 = Cancelled });
form_of_struct!(Increment { from, step });
form_of_struct!(Leader { buyer, bid, amount, maximum });
form_of_struct!(Best { maximum, bid });
form_of_struct!(AuctionSpec {
    sku,
    name,
    currency,
    start_price,
    reserve_price,
    increments,
    buy_now,
    starts_at,
    ends_at,
    soft_close_seconds,
    extensions_max,
    hard_end_at,
    payment_seconds,
    offer_next,
    exposure_limit,
});
form_of_struct!(DropPatch {
    name,
    description,
    image_url,
    unit_price,
    starts_at,
    ends_at,
    per_buyer_limit,
    reservation_seconds,
    payment_seconds,
});

form_of_enum!(EndpointState { 1 = Enabled, 2 = Disabled });
form_of_enum!(DeliveryState {
    1 = Delivered,
    2 = Waiting { attempts, next_at, trouble },
    3 = Dead { attempts, trouble },
});
form_of_struct!(DeliveryMark { seq, fate });
form_of_struct!(EndpointPatch { state, events, new_url, new_secret });
form_of_enum!(EndpointCommand {
    1 = Create { key, events, configured },
    2 = Patch { endpoint, patch, reason },
    3 = Delete { endpoint, reason },
    4 = Mark { endpoint, revision, position, marks },
    5 = Resend { endpoint, from_seq, dead_only, reason },
});
form_of_enum!(EndpointEvent {
    1 = Created { key, events, configured },
    2 = Patched { endpoint, patch, reason },
    3 = Deleted { endpoint, reason },
    4 = Marked { endpoint, position, marks },
    5 = Resent { endpoint, from_seq, dead_only, reason },
});
form_of_enum!(Command {
    1 = CreateDrop { key, spec },
    2 = PatchDrop { drop_id, expected_revision, patch, reason },
    3 = PauseDrop { drop_id, reason },
    4 = ResumeDrop { drop_id, reason },
    5 = CloseDrop { drop_id, reason },
    6 = AdjustStock { drop_id, delta, expected_total, reason },
    7 = ReportMismatch { drop_id, stands },
    8 = PlaceOrder { drop_id, buyer, key, quantity, contact_given },
    9 = Checkout { order },
    10 = CancelOrder { order },
    11 = RecordPayment { order, reference, amount, currency, reason },
    12 = RefundOrder { order, key, amount, restock_quantity, reason },
    13 = SettleRefund { order, reference, reason },
    14 = ReadContact { order },
    15 = EraseContact { order },
    16 = ExportContacts { drop_id },
    17 = RecordLoss { lost, acknowledged },
    18 = Advance,
    19 = HearProvider(event),
    20 = RecordSession { order, provider },
    40 = CreateAuction { key, spec },
    41 = PlaceBid { auction_id, buyer, amount, maximum, key },
    42 = BuyNow { auction_id, buyer, key },
    43 = CancelAuction { auction_id, reason },
    21 = CancelByOperator { order, reason },
    22 = Endpoint(command),
});

form_of_struct!(Event { seq, at, prev_seq, kind });
form_of_enum!(EventKind {
    1 = DropCreated { drop_id, spec, key },
    2 = DropPatched { drop_id, patch, reason },
    3 = DropStarted { drop_id },
    4 = DropEnded { drop_id },
    5 = DropPaused { drop_id, reason },
    6 = DropResumed { drop_id, reason },
    7 = DropClosed { drop_id, reason },
    8 = StockAdjusted { drop_id, delta, reason },
    9 = MismatchFound { drop_id },
    10 = MismatchCleared { drop_id },
    11 = OrderReserved { drop_id, buyer, key, quantity, unit_price, expires_at },
    12 = OrderCheckedOut { order, drop_id, expires_at },
    13 = ContactCorrected { order, drop_id },
    14 = OrderCancelled { order, drop_id, quantity },
    15 = OrderExpired { order, drop_id, quantity },
    16 = OrderPaid { order, drop_id, quantity, payment, retaken, reason },
    17 = OrderRefunded { order, drop_id, amount, restock_quantity, state, key, reason },
    18 = RefundSettled { order, drop_id, provider, payment, amount, foreign, state, reference, reason },
    19 = ContactRead { order, drop_id },
    20 = ContactErased { order, drop_id },
    21 = ContactsExported { drop_id },
    22 = EventsLost { lost, acknowledged },
    23 = PaymentNotKept { order, drop_id, payment, why, state },
    24 = PaymentFailed { order, drop_id, payment },
    25 = RefundRequested { order, drop_id, amount, restock_quantity, state, key, reason },
    26 = RefundReported { order, drop_id, provider, payment, amount, state },
    27 = ChargebackCreated { order, drop_id, payment },
    28 = ProviderEventRecorded { order, drop_id, provider, id, kind, told },
    29 = SessionRecorded { order, drop_id, provider },
    40 = AuctionCreated { auction_id, drop_id, spec, key },
    41 = AuctionStarted { auction_id, drop_id },
    42 = BidPlaced { auction_id, drop_id, buyer, amount, maximum, leads, current, ends_at, extended, key },
    43 = AuctionEnded { auction_id, drop_id, ending },
    44 = AuctionCancelled { auction_id, drop_id, reason },
    45 = AuctionAwarded { auction_id, drop_id, buyer, bid, unit_price, expires_at },
    30 = OrderCancelledByOperator { order, drop_id, quantity, reason },
    31 = Endpoint(event),
});

form_of_struct!(Reservation { order, seq, drop_id, state, quantity, unit_price, currency, reserved_at, expires_at });
impl Encode for Subject {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        match self {
            Subject::Drop(id) => (1u8, id).encode(encoder),
            Subject::Order(seq) => (2u8, seq).encode(encoder),
            Subject::File => 3u8.encode(encoder),
            Subject::Auction(id) => (4u8, id).encode(encoder),
            Subject::Bid(id, seq) => (5u8, id, seq).encode(encoder),
            Subject::Endpoint(id) => (6u8, id).encode(encoder),
        }
    }
}

impl<Context> Decode<Context> for Subject {
    fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
        Ok(match u8::decode(decoder)? {
            1 => Subject::Drop(Decode::decode(decoder)?),
            2 => Subject::Order(Decode::decode(decoder)?),
            3 => Subject::File,
            4 => Subject::Auction(Decode::decode(decoder)?),
            5 => Subject::Bid(Decode::decode(decoder)?, Decode::decode(decoder)?),
            6 => Subject::Endpoint(Decode::decode(decoder)?),
            _ => return Err(DecodeError::Other("a number is no Subject")),
        })
    }
}

form_of_struct!(BidReceipt { auction_id, seq, repeated, leading, amount, current, minimum_next, ends_at, currency });
form_of_enum!(Outcome {
    1 = Reserved(reservation),
    2 = Accepted { seq, subject },
    3 = Repeated { as_of_seq, subject },
    4 = Refused { as_of_seq, refusal },
    5 = Advanced,
    6 = Heard { seq, told },
    7 = Bid(receipt),
});
form_of_enum!(Refusal {
    1 = NotFound,
    2 = KeyReused,
    3 = NotStarted { starts_at },
    4 = Ended { ends_at },
    5 = DropPaused,
    6 = LimitReached { limit, used },
    7 = SoldOut { available, held, next_expiry_at },
    8 = OrderExpired { expired_at },
    9 = IllegalTransition { from, to },
    10 = MismatchStands { from },
    11 = PreconditionFailed { revision },
    12 = Invalid(invalid),
    13 = BidTooLow { current, minimum_next, ends_at },
    14 = ExposureReached { limit, used },
});
form_of_enum!(Invalid {
    1 = EndBeforeStart,
    2 = EndInThePast,
    3 = TotalBelowTaken { taken },
    4 = TotalTooLarge,
    5 = TooManyDrops,
    6 = PaymentDiffers { amount, currency },
    7 = RefundOutOfRange { remaining },
    8 = RestockOutOfRange { sold },
    9 = TooManyEndpoints,
});
