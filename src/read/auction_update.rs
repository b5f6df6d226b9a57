//! The update that subscribers of an auction receive, from one query.

use rusqlite::{Connection, OptionalExtension};

use crate::types::{AuctionId, DropId, Seq, UnitPrice, UnixMillis};

/// State of an auction for its subscribers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AuctionUpdate {
    /// Hidden drop of the auction. Its published version shows that the auction has changed.
    pub drop_id: DropId,
    /// Last event that changed the auction.
    pub seq: Seq,
    /// Current price; `None` before the first bid.
    pub current: Option<UnitPrice>,
    /// Leading buyer, if the buyer's text is a decimal number from 1.
    pub user_id: Option<u32>,
    /// End time, which late bids may extend.
    pub ends_at: UnixMillis,
}

/// Returns the state of an auction. `None` if there is no such auction.
pub fn auction_update(connection: &Connection, id: AuctionId) -> rusqlite::Result<Option<AuctionUpdate>> {
    let mut statement = connection.prepare_cached(
        "SELECT auctions.drop_id, drops.version, auctions.current, bids.buyer, auctions.ends_at_ms
         FROM auctions JOIN drops ON drops.id = auctions.drop_id
         LEFT JOIN bids ON bids.auction_id = auctions.id AND bids.seq = auctions.leader_seq
         WHERE auctions.id = ?1",
    )?;
    statement
        .query_row([id], |row| {
            let buyer: Option<String> = row.get(3)?;
            Ok(AuctionUpdate {
                drop_id: row.get(0)?,
                seq: row.get(1)?,
                current: row.get(2)?,
                user_id: buyer.and_then(|buyer| number(&buyer)),
                ends_at: row.get(4)?,
            })
        })
        .optional()
}

/// Returns the number with exactly this decimal text.
fn number(buyer: &str) -> Option<u32> {
    buyer.parse().ok().filter(|number: &u32| *number > 0 && number.to_string() == buyer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_decimal_text_of_a_number_is_one() {
        assert_eq!((number("7"), number("4294967295")), (Some(7), Some(u32::MAX)));
        for other in ["0", "07", "+7", " 7", "4294967296", "-1", "ann", ""] {
            assert_eq!(number(other), None, "{other}");
        }
    }
}
