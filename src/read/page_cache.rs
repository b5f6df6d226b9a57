//! Cached pages of the lists of drops, auctions and bids, rendered once per change and worker.
//!
//! A page of drops or auctions keeps the body of each item. When few of them have changed, these are read again, and the page is put
//! together from bodies: in a sale every commit changes a drop, and the others of its page stay.

use std::collections::HashMap;
use std::sync::Arc;

use hyper::body::Bytes;
use rusqlite::Connection;

use super::CachedResponse;
use crate::types::{AuctionId, DropId, Published, Seq};

/// The most items of a page that are read again on the serving thread, at about 20 us each.
const RENEWED_MAX: usize = 4;

/// A list that is served from cached pages.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PagedList {
    Drops,
    Auctions,
    /// The accepted bids of one auction.
    Bids(AuctionId),
}

/// A page of a list, as its query names it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PageKey {
    pub list: PagedList,
    pub after: u64,
    pub limit: u32,
}

/// An item of a page of drops or auctions: its JSON, and the version of its row.
#[derive(Clone)]
pub struct PageItem {
    /// The id in the list.
    pub number: u32,
    /// The drop whose version is the item's; of an auction, its hidden one.
    pub drop_id: DropId,
    pub version: Seq,
    pub body: Bytes,
}

/// The items of a page of drops or auctions.
#[derive(Clone)]
pub struct PageItems {
    pub items: Vec<PageItem>,
    pub next_after: Option<u64>,
    /// The number of drops, hidden ones included, before the page was read.
    pub drops: u64,
}

/// A rendered page.
#[derive(Clone)]
pub struct CachedPage {
    pub plain: CachedResponse,
    /// The compressed form, made when a client first wants it.
    pub gzip: Option<CachedResponse>,
    /// The items of a page of drops or auctions.
    pub items: Option<Arc<PageItems>>,
}

/// The result of a look for a page.
pub enum PageLookup {
    Current(CachedPage),
    /// These items have newer versions, and nothing else has changed.
    Changed(Arc<PageItems>, Vec<usize>),
    /// The page has to be read.
    Unknown,
}

/// Rendered pages of one worker. The version of a page is the newest change that it was compared with; of a page of bids, the
/// version of its auction in the snapshot that it was read from.
pub struct PageCache {
    pages: HashMap<PageKey, CachedPage>,
    max: usize,
}

impl PageCache {
    /// Returns an empty cache for `max` pages.
    #[must_use]
    pub fn new(max: usize) -> PageCache {
        PageCache { pages: HashMap::new(), max }
    }

    /// Looks for a page that has the change `wanted`: the newest one that was published when the request began, for a page of
    /// bids the newest one of its auction.
    pub fn look(&mut self, key: PageKey, wanted: u64, published: &Published) -> PageLookup {
        let Some(page) = self.pages.get_mut(&key) else { return PageLookup::Unknown };
        if page.plain.version >= wanted {
            return PageLookup::Current(page.clone());
        }
        let Some(items) = page.items.as_ref().filter(|items| !items.may_have_more(published)) else {
            return PageLookup::Unknown;
        };
        let changed = items.changed(published);
        if changed.is_empty() {
            page.plain.version = wanted;
            return PageLookup::Current(page.clone());
        }
        if changed.len() > RENEWED_MAX { PageLookup::Unknown } else { PageLookup::Changed(Arc::clone(items), changed) }
    }

    /// Keeps a page.
    pub fn put(&mut self, key: PageKey, page: &CachedPage) {
        if self.pages.len() >= self.max && !self.pages.contains_key(&key) {
            // Rare and simple: pages that are asked for are cached again after one read each.
            self.pages.clear();
        }
        self.pages.insert(key, page.clone());
    }
}

impl PageItems {
    /// Returns whether drops that were created since may be on the page: it is the last one of its list.
    fn may_have_more(&self, published: &Published) -> bool {
        self.next_after.is_none() && published.drops() > self.drops
    }

    /// Returns the places of the items that have a newer version.
    fn changed(&self, published: &Published) -> Vec<usize> {
        let is_newer = |item: &PageItem| published.version(item.drop_id) > item.version.get();
        self.items.iter().enumerate().filter(|(_, item)| is_newer(item)).map(|(place, _)| place).collect()
    }
}

/// Returns the newest event of a snapshot; 0 before the first event.
pub fn newest_event(connection: &Connection) -> rusqlite::Result<u64> {
    let newest: Option<Seq> =
        connection.prepare_cached("SELECT max(seq) FROM audit")?.query_row([], |row| row.get(0))?;
    Ok(newest.map_or(0, Seq::get))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{ChallengeRule, IdentityLimits};
    use hyper::header::HeaderValue;

    fn seq(number: u64) -> Seq {
        Seq::new(number).expect("in range")
    }

    fn id(number: u32) -> DropId {
        DropId::new(number).expect("not 0")
    }

    #[test]
    fn a_look_between_two_drops_of_one_commit_does_not_hide_the_second_one() {
        let published = Published::default();
        (1..=2).for_each(|number| published.publish_version(id(number), seq(u64::from(number))));
        let key = PageKey { list: PagedList::Drops, after: 0, limit: 6 };
        let items = [1, 2].map(|number| PageItem {
            number,
            drop_id: id(number),
            version: seq(u64::from(number)),
            body: Bytes::from_static(b"{}"),
        });
        let plain = CachedResponse { version: 2, etag: HeaderValue::from_static("x"), body: Bytes::new() };
        let items = Some(Arc::new(PageItems { items: items.into(), next_after: None, drops: 2 }));
        let mut cache = PageCache::new(4);
        cache.put(key, &CachedPage { plain, gzip: None, items });
        // The commit has an order of drop 2 first, and then one of drop 1.
        let publish = |number, version| {
            let (rule, limits) = (ChallengeRule::default(), IdentityLimits::default());
            published.publish_drop(id(number), seq(version), rule, &limits, false);
        };
        publish(1, 91);
        assert!(matches!(cache.look(key, published.newest_change(), &published), PageLookup::Current(_)));
        publish(2, 90);
        published.publish_newest_change(seq(91));
        let PageLookup::Changed(_, places) = cache.look(key, published.newest_change(), &published) else {
            panic!("an old page is served")
        };
        assert_eq!(places, [0, 1]);
    }

    #[test]
    fn a_page_is_read_again_only_where_it_has_changed() {
        let published = Published::default();
        (1..=8).for_each(|number| published.publish_version(id(number), seq(u64::from(number))));
        let key = PageKey { list: PagedList::Drops, after: 0, limit: 6 };
        let item = |number: u32| PageItem {
            number,
            drop_id: id(number),
            version: seq(u64::from(number)),
            body: Bytes::from_static(b"{}"),
        };
        let page = |next_after| CachedPage {
            plain: CachedResponse { version: 8, etag: HeaderValue::from_static("x"), body: Bytes::new() },
            gzip: None,
            items: Some(Arc::new(PageItems { items: (1..=6).map(item).collect(), next_after, drops: 8 })),
        };
        let mut cache = PageCache::new(4);
        let look = |cache: &mut PageCache| match cache.look(key, published.newest_change(), &published) {
            PageLookup::Current(page) => Some((page.plain.version, Vec::new())),
            PageLookup::Changed(_, places) => Some((0, places)),
            PageLookup::Unknown => None,
        };
        assert_eq!(look(&mut cache), None, "an empty cache");
        cache.put(key, &page(Some(6)));
        assert_eq!(look(&mut cache), Some((8, vec![])));
        published.publish_version(id(7), seq(9));
        assert_eq!(look(&mut cache), Some((9, vec![])), "a drop of another page");
        published.publish_version(id(9), seq(10));
        assert_eq!(look(&mut cache), Some((10, vec![])), "a new drop, behind a page that is not the last");
        published.publish_version(id(2), seq(11));
        published.publish_version(id(6), seq(12));
        assert_eq!(look(&mut cache), Some((0, vec![1, 5])));
        [1, 3, 4].iter().for_each(|number| published.publish_version(id(*number), seq(12 + u64::from(*number))));
        assert_eq!(look(&mut cache), None, "too many");
        cache.put(key, &page(None));
        published.publish_version(id(10), seq(20));
        assert_eq!(look(&mut cache), None, "a new drop may be on the last page");
    }
}
