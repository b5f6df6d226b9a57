//! The encoding of the engine's types: fields in the order listed here, variants by the number before them.
//!
//! The lists are exhaustive both ways: a new field or variant does not compile until it stands here. A new variant takes
//! the next number, so that captures without it stay readable; a change of a list of fields raises
//! [`VERSION`](super::format::VERSION). Numbers never change their meaning. Values from a file are checked like values
//! from a client.

use bincode::de::{Decode, Decoder};
use bincode::enc::{Encode, Encoder};
use bincode::error::{DecodeError, EncodeError};

use crate::engine::{
    AdjustStock, AuctionAwarded, AuctionCommand, AuctionCreated, AuctionEvent, AuctionSpec, Best, BidPlaced, BuyNow,
    BuyerCommand, BuyerEvent, CancelAuction, CancelByOperator, CancelledByOperator, ChangeDrop, Command, CommandKey,
    CreateAuction, CreateDrop, DeferredProviderEvent, DropCommand, DropCreated, DropEvent, DropPatch, DropPatched,
    DropSpec, EarlyEvent, Event, EventBody, EventSubject, FileCommand, FileEvent, Leader, Order, OrderCommand,
    OrderEvent, OrderPaid, OrderReserved, PatchDrop, Payment, PaymentCommand, PaymentEvent, PaymentNotKept,
    PaymentReplaced, PlaceBid, PlaceOrder, ProviderEventRecorded, RecordPayment, Refund, RefundFailed, RefundOrder,
    RefundReported, RefundSettled, RememberedCommand, RememberedOrder, RemoveTier, ReservedWithFacts, SetTier,
    StockAdjusted, TierSet,
};
use crate::types::{
    Amount, AttemptError, AuctionEnding, AuctionId, AuctionState, Currency, Digest, Disposition, DropId, DropState,
    EventFilter, IgnoredReason, Increment, NotKeptReason, OrderState, Provider, ProviderEventKind, Quantity,
    ReceivedPayment, Seq, UnitPrice, UnixMillis,
};

macro_rules! encoding_of_number {
    ($($type:ident: $number:ty;)*) => { $(
        impl Encode for $type {
            fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
                self.get().encode(encoder)
            }
        }
        impl<Context> Decode<Context> for $type {
            fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
                let number = <$number>::decode(decoder)?;
                // Made only where it is needed: an error has a destructor, and every record has numbers.
                $type::new(number).ok_or_else(|| DecodeError::Other(concat!("a number is no ", stringify!($type))))
            }
        }
    )* };
}

macro_rules! encoding_of_struct {
    ($type:ident { $($field:ident),* $(,)? }) => {
        encoding_of_struct!($type { $($field),* } later {});
    };
    // Fields that came later stand in an extension (`extensions.rs`); without it they have their defaults.
    ($type:ident { $($field:ident),* $(,)? } later { $($later:ident),* $(,)? }) => {
        impl ::bincode::enc::Encode for $type {
            fn encode<E: ::bincode::enc::Encoder>(&self, encoder: &mut E) -> Result<(), ::bincode::error::EncodeError> {
                let $type { $($field,)* $($later: _,)* } = self;
                $($field.encode(encoder)?;)*
                Ok(())
            }
        }
        impl<Context> ::bincode::de::Decode<Context> for $type {
            fn decode<D: ::bincode::de::Decoder<Context = Context>>(
                decoder: &mut D,
            ) -> Result<Self, ::bincode::error::DecodeError> {
                Ok($type { $($field: ::bincode::de::Decode::decode(decoder)?,)* $($later: Default::default(),)* })
            }
        }
    };
}

macro_rules! encoding_of_enum {
    ($type:ident { $($tag:literal = $variant:ident $({ $($field:ident),* })? $(($item:ident))?),* $(,)? }) => {
        encoding_of_enum!($type {
            $($tag = $variant $({ $($field),* })? $(($item))?),*
        } extended {});
    };
    // A variant whose content has an extension (`extensions.rs`) has a tag of its own where there is something in it.
    ($type:ident { $($tag:literal = $variant:ident $({ $($field:ident),* })? $(($item:ident))?),* $(,)? }
        extended { $($new_tag:literal = $extended:ident($content:ident)),* $(,)? }) => {
        encoding_of_enum!($type {
            $($tag = $variant $({ $($field),* })? $(($item))?),*
        } extended { $($new_tag = $extended($content)),* } with_room {});
    };
    // A variant whose content has a waiting room or a blind window has another tag of its own; it follows the extension.
    ($type:ident { $($tag:literal = $variant:ident $({ $($field:ident),* })? $(($item:ident))?),* $(,)? }
        extended { $($new_tag:literal = $extended:ident($content:ident)),* $(,)? }
        with_room { $($room_tag:literal = $roomed:ident($whole:ident)),* $(,)? }) => {
        encoding_of_enum!($type {
            $($tag = $variant $({ $($field),* })? $(($item))?),*
        } extended { $($new_tag = $extended($content)),* } with_room { $($room_tag = $roomed($whole)),* }
        changes_room {});
    };
    // A variant whose content changes a waiting room has a tag of its own, too (`room_changes.rs`).
    ($type:ident { $($tag:literal = $variant:ident $({ $($field:ident),* })? $(($item:ident))?),* $(,)? }
        extended { $($new_tag:literal = $extended:ident($content:ident)),* $(,)? }
        with_room { $($room_tag:literal = $roomed:ident($whole:ident)),* $(,)? }
        changes_room { $($change_tag:literal = $changed:ident($patch:ident)),* $(,)? }) => {
        impl ::bincode::enc::Encode for $type {
            fn encode<E: ::bincode::enc::Encoder>(&self, encoder: &mut E) -> Result<(), ::bincode::error::EncodeError> {
                match self {
                    $($type::$changed($patch)
                        if $crate::capture::room_changes::ChangesRoom::changes($patch).is_some() =>
                    {
                        let tag: u8 = $change_tag;
                        tag.encode(encoder)?;
                        $patch.encode(encoder)?;
                        $crate::capture::room_changes::encode_changes($patch, encoder)
                    })*
                    $($type::$roomed($whole) if $crate::capture::extensions::has_front($whole) => {
                        let tag: u8 = $room_tag;
                        tag.encode(encoder)?;
                        $whole.encode(encoder)?;
                        $crate::capture::extensions::Extended::encode_extension($whole, encoder)?;
                        $crate::capture::extensions::encode_room($whole, encoder)
                    })*
                    $($type::$extended($content) if $crate::capture::extensions::Extended::is_extended($content) => {
                        let tag: u8 = $new_tag;
                        tag.encode(encoder)?;
                        $content.encode(encoder)?;
                        $crate::capture::extensions::Extended::encode_extension($content, encoder)
                    })*
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
                    $($new_tag => $type::$extended({
                        let mut $content = ::bincode::de::Decode::decode(decoder)?;
                        $crate::capture::extensions::decode_into(&mut $content, decoder)?;
                        $content
                    }),)*
                    $($room_tag => $type::$roomed({
                        let mut $whole = ::bincode::de::Decode::decode(decoder)?;
                        $crate::capture::extensions::decode_with_room(&mut $whole, decoder)?;
                        $whole
                    }),)*
                    $($change_tag => $type::$changed({
                        let mut $patch = ::bincode::de::Decode::decode(decoder)?;
                        $crate::capture::room_changes::decode_changes(&mut $patch, decoder)?;
                        $patch
                    }),)*
                    _ => {
                        let what = format!("{tag} is no {}", stringify!($type));
                        return Err(::bincode::error::DecodeError::OtherString(what));
                    }
                })
            }
        }
    };
}
pub(super) use encoding_of_number;
pub(crate) use {encoding_of_enum, encoding_of_struct};

encoding_of_number! {
    Seq: u64;
    DropId: u32;
    Quantity: u16;
    AuctionId: u32;
    Amount: u64;
    UnitPrice: u64;
    UnixMillis: i64;
    EventFilter: u64;
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
        // A text of three bytes, read without memory of its own.
        let length = u64::decode(decoder)?;
        let code = (length == 3).then(|| <[u8; 3]>::decode(decoder)).transpose()?;
        let currency = code.and_then(|code| Currency::new(str::from_utf8(&code).ok()?));
        currency.ok_or(DecodeError::Other("a text is no currency"))
    }
}

encoding_of_enum!(OrderState {
    1 = Reserved,
    2 = AwaitingPayment,
    3 = Paid,
    4 = Cancelled,
    5 = Expired,
    6 = RefundDue,
    7 = Refunded,
});

encoding_of_enum!(DropState { 1 = Ended, 2 = Paused, 3 = Scheduled, 4 = SoldOut, 5 = Live });

encoding_of_struct!(CommandKey { digest, params });
encoding_of_struct!(RememberedOrder { seq, quantity });
encoding_of_struct!(RememberedCommand { seq, params, subject });
encoding_of_enum!(Provider { 1 = Manual, 2 = StandardWebhooks, 3 = Stripe, 4 = Payos, 5 = Sandbox });
encoding_of_enum!(ProviderEventKind {
    1 = PaymentSucceeded,
    2 = PaymentFailed,
    3 = RefundSucceeded,
    4 = ChargebackCreated,
    5 = RefundFailed,
});
encoding_of_enum!(IgnoredReason {
    1 = UnknownOrder,
    2 = PaymentKnown,
    3 = NotAwaited,
    4 = UnknownPayment,
    5 = CurrencyDiffers,
    6 = ExceedsReceived,
    7 = TooManyPayments,
    8 = UnknownRefund,
    9 = TotalTooLarge,
});
encoding_of_enum!(Disposition { 1 = Applied, 2 = Ignored(because) });
encoding_of_enum!(NotKeptReason {
    1 = Differs,
    2 = PaidBefore,
    3 = Cancelled,
    4 = DropClosed,
    5 = LimitReached,
    6 = SoldOut,
});
encoding_of_struct!(ReceivedPayment { provider, reference, amount, foreign });
encoding_of_struct!(Payment { received, pays, refunded, refund_due });
encoding_of_struct!(Order {
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
encoding_of_struct!(DropSpec {
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
} later {
    identity_limits,
    challenge,
    room,
    commitment,
    blind_ms,
});
encoding_of_enum!(AuctionEnding { 1 = Sold, 2 = NoBids, 3 = ReserveNotMet, 4 = BoughtNow });
encoding_of_enum!(AuctionState { 1 = Scheduled, 2 = Live, 3 = Ended(ending), 4 = Cancelled });
encoding_of_struct!(Increment { from, step });
encoding_of_struct!(Leader { buyer, bid, amount, maximum });
encoding_of_struct!(Best { maximum, bid });
encoding_of_struct!(AuctionSpec {
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
encoding_of_struct!(DropPatch {
    name,
    description,
    image_url,
    unit_price,
    starts_at,
    ends_at,
    per_buyer_limit,
    reservation_seconds,
    payment_seconds,
} later {
    identity_limits,
    challenge,
    challenge_below,
    room,
});

encoding_of_struct!(CreateDrop { key, spec });
encoding_of_struct!(PatchDrop { drop_id, expected_revision, patch, reason });
encoding_of_struct!(ChangeDrop { drop_id, reason });
encoding_of_struct!(AdjustStock { drop_id, delta, expected_total, reason });
encoding_of_enum!(DropCommand {
    1 = Create(command),
    2 = Patch(command),
    3 = Pause(command),
    4 = Resume(command),
    5 = Close(command),
    6 = AdjustStock(command),
    7 = ReportMismatch { drop_id, stands },
} extended {
    8 = Create(command),
    9 = Patch(command),
} with_room {
    12 = Create(command),
} changes_room {
    16 = Patch(command),
});
encoding_of_struct!(PlaceOrder { drop_id, buyer, key, quantity, contact_given } later { facts });
encoding_of_struct!(CancelByOperator { order, reason });
encoding_of_enum!(OrderCommand {
    1 = Place(command),
    2 = Checkout { order },
    3 = Cancel { order },
    4 = CancelByOperator(command),
    5 = ReadContact { order },
    6 = EraseContact { order },
    8 = PlaceOrStandBy(command),
    9 = JoinStandby(command),
    10 = LeaveStandby { drop_id, buyer },
    13 = FindStandby { drop_id, buyer },
} extended {
    7 = Place(command),
    11 = PlaceOrStandBy(command),
    12 = JoinStandby(command),
});
encoding_of_struct!(RecordPayment { order, reference, amount, currency, reason });
encoding_of_struct!(RefundOrder { order, key, amount, restock_quantity, reason });
encoding_of_enum!(PaymentCommand {
    1 = Record(command),
    2 = Refund(command),
    3 = SettleRefund(command),
    4 = RecordProviderEvent(command),
    5 = RecordSession { order, provider },
});
encoding_of_struct!(CreateAuction { key, spec });
encoding_of_struct!(PlaceBid { auction_id, buyer, amount, maximum, key });
encoding_of_struct!(BuyNow { auction_id, buyer, key });
encoding_of_struct!(CancelAuction { auction_id, reason });
encoding_of_enum!(AuctionCommand {
    1 = Create(command),
    2 = Bid(command),
    3 = BuyNow(command),
    4 = Cancel(command),
    5 = EraseContact { auction_id, buyer },
});
encoding_of_enum!(FileCommand { 1 = ExportContacts { drop_id }, 2 = RecordLoss { lost, acknowledged }, 3 = RecordStop { until } });
encoding_of_struct!(SetTier { buyer, tier, expires_at, reason });
encoding_of_struct!(RemoveTier { buyer, reason });
encoding_of_enum!(BuyerCommand { 1 = SetTier(command), 2 = RemoveTier(command) });
encoding_of_enum!(Command {
    1 = Drop(command),
    2 = Order(command),
    3 = Payment(command),
    4 = Auction(command),
    5 = Endpoint(command),
    6 = File(command),
    7 = Advance,
    8 = Buyer(command),
    10 = Room(command),
});

encoding_of_struct!(Event { seq, at, prev_seq, subject, body });
encoding_of_enum!(EventSubject { 1 = File, 2 = Drop(drop_id), 3 = Order { order, drop_id } });
encoding_of_struct!(DropCreated { spec, key });
encoding_of_struct!(DropPatched { patch, reason });
encoding_of_struct!(StockAdjusted { delta, reason });
encoding_of_enum!(DropEvent {
    1 = Created(event),
    2 = Patched(event),
    3 = Started,
    4 = Ended,
    5 = Paused { reason },
    6 = Resumed { reason },
    7 = Closed { reason },
    8 = StockAdjusted(event),
    9 = MismatchFound,
    10 = MismatchCleared,
    13 = StandbyJoined(event),
    14 = StandbyLeft { joined, buyer, leaving },
    16 = WindowEnded { recorded },
} extended {
    11 = Created(event),
    12 = Patched(event),
} with_room {
    15 = Created(event),
} changes_room {
    24 = Patched(event),
});
encoding_of_struct!(OrderReserved { buyer, key, quantity, unit_price, expires_at });
encoding_of_struct!(ReservedWithFacts { reserved, facts });
encoding_of_struct!(CancelledByOperator { quantity, reason });
encoding_of_enum!(OrderEvent {
    1 = Reserved(event),
    2 = CheckedOut { expires_at },
    3 = ContactCorrected,
    4 = Cancelled { quantity },
    5 = CancelledByOperator(event),
    6 = Expired { quantity },
    7 = ContactRead,
    8 = ContactErased,
    9 = ReservedWithFacts(event),
    10 = Granted(event),
});
encoding_of_struct!(OrderPaid { quantity, payment, retaken, reason });
encoding_of_struct!(PaymentNotKept { payment, why, state });
encoding_of_struct!(Refund { amount, restock_quantity, state, key, reason });
encoding_of_struct!(RefundSettled { provider, payment, amount, foreign, state, reference, reason });
encoding_of_struct!(DeferredProviderEvent { kind, provider, payment, amount, currency, counterpart });
encoding_of_struct!(PaymentReplaced { provider, payment, by_provider, by_payment, amount });
encoding_of_struct!(RefundFailed { provider, payment, amount, foreign, state });
encoding_of_struct!(EarlyEvent { order, event });
encoding_of_struct!(RefundReported { provider, payment, amount, state });
encoding_of_struct!(ProviderEventRecorded { provider, id, kind, disposition });
encoding_of_enum!(PaymentEvent {
    1 = Paid(event),
    2 = NotKept(event),
    3 = Failed(payment),
    4 = Refunded(event),
    5 = RefundRequested(event),
    6 = RefundSettled(event),
    7 = RefundReported(event),
    8 = ChargebackCreated(payment),
    9 = ProviderEventRecorded(event),
    10 = SessionRecorded { provider },
    11 = ProviderEventDeferred(event),
    12 = PaymentReplaced(event),
    13 = RefundFailed(event),
});
encoding_of_struct!(AuctionCreated { spec, key });
encoding_of_struct!(BidPlaced { buyer, amount, maximum, leads, current, ends_at, extended, key });
encoding_of_struct!(AuctionAwarded { buyer, bid, unit_price, expires_at });
encoding_of_enum!(AuctionEvent {
    1 = Created(event),
    2 = Started,
    3 = BidPlaced(event),
    4 = Ended { ending },
    5 = Cancelled { reason },
    6 = Awarded(event),
    7 = ContactErased { buyer },
});
encoding_of_enum!(FileEvent { 1 = ContactsExported, 2 = EventsLost { lost, acknowledged }, 3 = StopEnded { until } });
encoding_of_struct!(TierSet { buyer, tier, expires_at, reason });
encoding_of_enum!(BuyerEvent { 1 = TierSet(event), 2 = TierRemoved { buyer, reason } });
encoding_of_enum!(EventBody {
    1 = Drop(event),
    2 = Order(event),
    3 = Payment(event),
    4 = Auction { auction_id, event },
    5 = Endpoint { endpoint, event },
    6 = File(event),
    7 = Buyer(event),
    9 = Room(event),
});
