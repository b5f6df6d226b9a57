//! Cached pages of the lists of drops, auctions and bids, rendered once per change and worker.

use std::collections::HashMap;

use rusqlite::Connection;

use super::CachedResponse;
use crate::types::{AuctionId, Seq};

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

/// A rendered page.
#[derive(Clone)]
pub struct CachedPage {
    pub plain: CachedResponse,
    /// The compressed form, made when a client first wants it.
    pub gzip: Option<CachedResponse>,
}

/// Rendered pages of one worker. The version of a page is the newest event of the snapshot that it was read from; of a page
/// of bids, the version of its auction in that snapshot.
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

    /// Returns a page whose snapshot had the change `wanted`: the newest one that was published when the request began, for a
    /// page of bids the newest one of its auction.
    #[must_use]
    pub fn get(&self, key: PageKey, wanted: u64) -> Option<CachedPage> {
        self.pages.get(&key).filter(|page| page.plain.version >= wanted).cloned()
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

/// Returns the newest event of a snapshot; 0 before the first event.
pub fn newest_event(connection: &Connection) -> rusqlite::Result<u64> {
    let newest: Option<Seq> =
        connection.prepare_cached("SELECT max(seq) FROM audit")?.query_row([], |row| row.get(0))?;
    Ok(newest.map_or(0, Seq::get))
}
