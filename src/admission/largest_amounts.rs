//! Finds orders and bids above the largest amount that the payment provider takes of their currency: accepted, they would
//! keep units, or an auction, from buyers who can pay.
//!
//! Prices and currencies are read once for each drop and auction, and again after a change of any price, so that an order
//! or a bid costs a lookup. Where every amount is taken, it costs nothing.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::types::{Amount, AuctionId, Currency, DropId, Published, Quantity, UnitPrice};

/// Returns the largest amount that the provider takes of a currency.
pub type LargestOf = fn(Currency) -> Amount;

/// The largest amount that a buyer can pay, where an order or a bid is above it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Above {
    pub largest: Amount,
    pub currency: Currency,
}

/// A worker's memory of what drops and auctions are paid in.
pub struct LargestAmounts {
    /// None if the provider takes every amount.
    largest: Option<LargestOf>,
    drops: RefCell<DropPrices>,
    auctions: RefCell<BTreeMap<AuctionId, Currency>>,
}

#[derive(Default)]
struct DropPrices {
    /// The count of price changes as of which the prices were read.
    as_of: u64,
    prices: BTreeMap<DropId, (Currency, UnitPrice)>,
}

impl LargestAmounts {
    #[must_use]
    pub fn new(largest: Option<LargestOf>) -> LargestAmounts {
        LargestAmounts { largest, drops: RefCell::default(), auctions: RefCell::default() }
    }

    /// Returns the largest amount if an order is above it. `read` reads the price of a drop that exists.
    ///
    /// # Errors
    /// The error of `read`.
    pub fn of_order<E>(
        &self,
        published: &Published,
        drop_id: DropId,
        quantity: Quantity,
        read: impl FnOnce() -> Result<Option<(Currency, UnitPrice)>, E>,
    ) -> Result<Option<Above>, E> {
        let Some(largest) = self.largest else { return Ok(None) };
        // The count is read before the price: a price that changes meanwhile is read again.
        let as_of = published.price_changes();
        let mut drops = self.drops.borrow_mut();
        if drops.as_of != as_of {
            *drops = DropPrices { as_of, prices: BTreeMap::new() };
        }
        let (currency, price) = match drops.prices.get(&drop_id) {
            Some(known) => *known,
            None => {
                let Some(found) = read()? else { return Ok(None) };
                drops.prices.insert(drop_id, found);
                found
            }
        };
        Ok(above(price.times(quantity), currency, largest))
    }

    /// Returns the largest amount if a bid is above it. `read` reads the currency of an auction that exists.
    ///
    /// # Errors
    /// The error of `read`.
    pub fn of_bid<E>(
        &self,
        auction_id: AuctionId,
        amount: UnitPrice,
        read: impl FnOnce() -> Result<Option<Currency>, E>,
    ) -> Result<Option<Above>, E> {
        let Some(largest) = self.largest else { return Ok(None) };
        let mut auctions = self.auctions.borrow_mut();
        let currency = match auctions.get(&auction_id) {
            Some(known) => *known,
            None => {
                let Some(found) = read()? else { return Ok(None) };
                auctions.insert(auction_id, found);
                found
            }
        };
        Ok(above(amount.times(Quantity::ONE), currency, largest))
    }
}

fn above(amount: Amount, currency: Currency, largest: LargestOf) -> Option<Above> {
    let largest = largest(currency);
    (amount > largest).then_some(Above { largest, currency })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn a_price_is_read_once_until_a_price_changes_and_not_at_all_where_every_amount_is_taken() {
        let euro = Currency::new("EUR").expect("a currency");
        let (drop_id, quantity) = (DropId::new(1).expect("an id"), Quantity::new(2).expect("a quantity"));
        let published = Published::default();
        let amounts = LargestAmounts::new(Some(|_| Amount::new(100).expect("an amount")));
        let asked = |amounts: &LargestAmounts, price: Option<u64>| {
            let read = || {
                let price = price.map(|price| UnitPrice::new(price).expect("a price"));
                Ok::<_, Infallible>(Some((euro, price.unwrap_or_else(|| unreachable!("it is known")))))
            };
            let Ok(found) = amounts.of_order(&published, drop_id, quantity, read);
            found.map(|above| above.currency)
        };
        assert_eq!(asked(&amounts, Some(50)), None);
        assert_eq!(asked(&amounts, None), None);
        published.note_price_change();
        assert_eq!(asked(&amounts, Some(51)), Some(euro));
        assert_eq!(asked(&amounts, None), Some(euro));
        assert_eq!(asked(&LargestAmounts::new(None), None), None);
    }
}
