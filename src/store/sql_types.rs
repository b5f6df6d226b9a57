//! Conversions of types to and from SQL: integers as INTEGER, digests as BLOB, states as their name. Reading checks ranges
//! again, because another program may have changed the file.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};

use crate::types::{
    Amount, AttemptError, AuctionId, AuctionState, Beacon, ChallengeKind, Commitment, Currency, Digest, DrawResult,
    DropId, EndpointState, EventFilter, MerkleRoot, OrderSecret, OrderState, Provider, Quantity, RoomDraw, Seed, Seq,
    Tier, UnitPrice, UnixMillis,
};

fn integer(value: u64) -> rusqlite::Result<ToSqlOutput<'static>> {
    let value = i64::try_from(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    Ok(ToSqlOutput::from(value))
}

fn in_range<T>(value: ValueRef<'_>, make: impl Fn(u64) -> Option<T>) -> FromSqlResult<T> {
    let number = i64::column_result(value)?;
    u64::try_from(number).ok().and_then(make).ok_or(FromSqlError::OutOfRange(number))
}

macro_rules! number_in_sql {
    ($name:ty, $make:expr) => {
        impl ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                integer(u64::from(self.get()))
            }
        }
        impl FromSql for $name {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<$name> {
                in_range(value, $make)
            }
        }
    };
}

number_in_sql!(Seq, Seq::new);
number_in_sql!(DropId, |n| u32::try_from(n).ok().and_then(DropId::new));
number_in_sql!(AuctionId, |n| u32::try_from(n).ok().and_then(AuctionId::new));
number_in_sql!(Quantity, |n| u16::try_from(n).ok().and_then(Quantity::new));
number_in_sql!(Amount, Amount::new);
number_in_sql!(UnitPrice, UnitPrice::new);

impl ToSql for UnixMillis {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.get()))
    }
}

impl FromSql for UnixMillis {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<UnixMillis> {
        let ms = i64::column_result(value)?;
        UnixMillis::new(ms).ok_or(FromSqlError::OutOfRange(ms))
    }
}

impl ToSql for Digest {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(&self.0[..]))
    }
}

impl FromSql for Digest {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Digest> {
        let bytes = value.as_blob()?;
        Digest::from_slice(bytes).ok_or(FromSqlError::InvalidBlobSize { expected_size: 16, blob_size: bytes.len() })
    }
}

impl ToSql for OrderSecret {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(&self.as_bytes()[..]))
    }
}

impl FromSql for OrderSecret {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<OrderSecret> {
        OrderSecret::from_stored(value.as_blob()?).ok_or(FromSqlError::InvalidType)
    }
}

impl ToSql for OrderState {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.as_str()))
    }
}

impl FromSql for OrderState {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<OrderState> {
        OrderState::parse(value.as_str()?).ok_or(FromSqlError::InvalidType)
    }
}

impl ToSql for AuctionState {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.stored()))
    }
}

impl FromSql for AuctionState {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<AuctionState> {
        AuctionState::parse(value.as_str()?).ok_or(FromSqlError::InvalidType)
    }
}

impl FromSql for EndpointState {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<EndpointState> {
        EndpointState::parse(value.as_str()?).ok_or(FromSqlError::InvalidType)
    }
}

impl FromSql for EventFilter {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<EventFilter> {
        let bits = i64::column_result(value)?;
        EventFilter::new(bits.cast_unsigned()).ok_or(FromSqlError::OutOfRange(bits))
    }
}

impl ToSql for EventFilter {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        integer(self.get())
    }
}

impl FromSql for AttemptError {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<AttemptError> {
        u16::column_result(value)
            .and_then(|code| AttemptError::of_code(code).ok_or(FromSqlError::OutOfRange(code.into())))
    }
}

impl ToSql for ChallengeKind {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.as_str()))
    }
}

impl FromSql for ChallengeKind {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<ChallengeKind> {
        ChallengeKind::parse(value.as_str()?).ok_or(FromSqlError::InvalidType)
    }
}

impl FromSql for Seed {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Seed> {
        Seed::from_slice(value.as_blob()?).ok_or(FromSqlError::InvalidType)
    }
}

impl FromSql for Beacon {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Beacon> {
        Beacon::from_slice(value.as_blob()?).ok_or(FromSqlError::InvalidType)
    }
}

impl FromSql for Commitment {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Commitment> {
        Commitment::from_slice(value.as_blob()?).ok_or(FromSqlError::InvalidType)
    }
}

impl FromSql for MerkleRoot {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<MerkleRoot> {
        MerkleRoot::from_slice(value.as_blob()?).ok_or(FromSqlError::InvalidType)
    }
}

impl FromSql for DrawResult {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<DrawResult> {
        DrawResult::from_slice(value.as_blob()?).ok_or(FromSqlError::InvalidType)
    }
}

impl FromSql for RoomDraw {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<RoomDraw> {
        RoomDraw::parse(value.as_str()?).ok_or(FromSqlError::InvalidType)
    }
}

impl ToSql for Tier {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.as_str()))
    }
}

impl FromSql for Tier {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Tier> {
        Tier::parse(value.as_str()?).ok_or(FromSqlError::InvalidType)
    }
}

impl ToSql for Provider {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.as_str()))
    }
}

impl FromSql for Provider {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Provider> {
        Provider::from_word(value.as_str()?).ok_or(FromSqlError::InvalidType)
    }
}

impl ToSql for Currency {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.as_str()))
    }
}

impl FromSql for Currency {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Currency> {
        Currency::new(value.as_str()?).ok_or(FromSqlError::InvalidType)
    }
}
