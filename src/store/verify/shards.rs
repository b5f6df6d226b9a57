//! The shard of a file's ids: one for all of them, with drops and auctions numbered without a gap.

use rusqlite::Connection;

use super::report::VerifyReport;
use super::sealed_rows::SealedRow;
use crate::store::audit::AuditRow;
use crate::types::{AuctionId, DropId, OrderSecret, Shard};

/// Compares the secret of a new order with its drop: both name one shard. Ids that were made before shards are random there,
/// and all of shard 0.
pub(super) fn check_order(row: &AuditRow, sealed: &SealedRow<'_>, report: &mut VerifyReport) {
    let (SealedRow::Order(order), Some(drop_id)) = (sealed, row.drop_id) else { return };
    let named = OrderSecret::from_stored(order.secret).map(|secret| secret.shard());
    if drop_id.shard() != Shard::SINGLE && named != Some(drop_id.shard()) {
        report.problem(format!("order {} of drop {drop_id}: its id names another shard than its drop", row.seq));
    }
}

/// Compares the ids of all drops and auctions with their places in the shard of the first drop.
pub(super) fn compare(connection: &Connection, report: &mut VerifyReport) -> rusqlite::Result<()> {
    let mut statement = connection.prepare("SELECT id FROM drops ORDER BY id")?;
    let drops = statement.query_map([], |row| row.get::<_, DropId>(0))?.collect::<rusqlite::Result<Vec<_>>>()?;
    report.shard = drops.first().map_or(Shard::SINGLE, |first| first.shard());
    let strange = drops.iter().enumerate().find(|(place, id)| id.place_in(report.shard) != *place);
    if let Some((place, id)) = strange {
        report.problem(format!("drop {id} has place {place} among the drops of shard {}", report.shard.get()));
    }
    let mut statement = connection.prepare("SELECT id FROM auctions ORDER BY id")?;
    let auctions = statement.query_map([], |row| row.get::<_, AuctionId>(0))?;
    for (place, id) in auctions.enumerate() {
        let id = id?;
        if id.place_in(report.shard) != place {
            report
                .problem(format!("auction {id} has place {place} among the auctions of shard {}", report.shard.get()));
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::chain::OrderSeal;
    use crate::types::{Digest, Seq, UnitPrice, UnixMillis};

    fn problems_of(drops: &[u32], auctions: &[u32]) -> Vec<String> {
        let connection = Connection::open_in_memory().expect("opened");
        let made = connection.execute_batch("CREATE TABLE drops (id INTEGER); CREATE TABLE auctions (id INTEGER)");
        made.expect("made");
        for (table, ids) in [("drops", drops), ("auctions", auctions)] {
            for id in ids {
                connection.execute(&format!("INSERT INTO {table} VALUES (?1)"), [id]).expect("written");
            }
        }
        let mut report = VerifyReport::default();
        compare(&connection, &mut report).expect("compared");
        report.problems
    }

    #[test]
    fn ids_of_two_shards_and_a_gap_in_them_are_problems() {
        const ABOVE: u32 = 3 << 24;
        assert_eq!(problems_of(&[], &[]), Vec::<String>::new());
        assert_eq!(problems_of(&[1, 2], &[1]), Vec::<String>::new());
        assert_eq!(problems_of(&[ABOVE + 1, ABOVE + 2], &[ABOVE + 1]), Vec::<String>::new());
        for (drops, auctions) in [
            (&[1, ABOVE + 2][..], &[][..]),
            (&[ABOVE + 1, (5 << 24) + 2], &[]),
            (&[1, 3], &[]),
            (&[2], &[]),
            (&[ABOVE + 1], &[1]),
            (&[1], &[ABOVE + 1]),
        ] {
            assert_eq!(problems_of(drops, auctions).len(), 1, "{drops:?} {auctions:?}");
        }
    }

    #[test]
    fn an_order_whose_id_names_another_shard_than_its_drop_is_a_problem() {
        for (drop, shard, problems) in
            [(3 << 24 | 1, 3, 0), (3 << 24 | 1, 5, 1), (3 << 24 | 1, 0, 1), (1, 0, 0), (1, 77, 0)]
        {
            let row = AuditRow {
                seq: Seq::ZERO,
                at: UnixMillis::ZERO,
                kind: "order_reserved".into(),
                drop_id: DropId::new(drop),
                order: None,
                quantity: None,
                amount: None,
                prev_seq: Seq::ZERO,
                detail: None,
            };
            let secret = OrderSecret::from_random(Shard::new(shard), [7; 10]);
            let key = Digest([1; 16]);
            let seal = OrderSeal {
                secret: secret.as_bytes(),
                buyer: "ann",
                key: &key,
                unit_price: UnitPrice::default(),
                identities: crate::types::IdentityDigests::default(),
            };
            let mut report = VerifyReport::default();
            check_order(&row, &SealedRow::Order(seal), &mut report);
            assert_eq!(report.problem_count, problems, "drop {drop}, order of shard {shard}");
        }
    }
}
