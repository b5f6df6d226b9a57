//! Cached responses of drops and auctions, rendered once per version and worker.

use std::collections::{BTreeMap, HashMap};

use hyper::body::Bytes;
use hyper::header::HeaderValue;

use crate::failpoints::{self, Bug};
use crate::types::{AuctionId, DropId, Published};

/// A rendered drop or auction.
#[derive(Clone)]
pub struct CachedResponse {
    /// Version of the row that was rendered.
    pub version: u64,
    pub etag: HeaderValue,
    pub body: Bytes,
}

/// Rendered drops of one worker.
pub struct DropResponseCache {
    /// Few drops are hot at a time: a comparison with each costs less than a keyed hash of one.
    bodies: BTreeMap<DropId, CachedResponse>,
    max: usize,
}

/// A response from the cache, or rendered now.
pub struct CacheLookup {
    pub body: CachedResponse,
    pub was_cached: bool,
}

impl DropResponseCache {
    /// Returns an empty cache for `max` responses.
    #[must_use]
    pub fn new(max: usize) -> DropResponseCache {
        DropResponseCache { bodies: BTreeMap::new(), max }
    }

    /// Returns the response of a drop: the cached one if no newer version was published, otherwise a new one by `render`.
    ///
    /// The published version is loaded *before* `render` opens its snapshot. If it were loaded afterwards, a commit in
    /// between would let an old body pass for the new version. `render` takes the version from the row it read.
    pub fn get(
        &mut self,
        published: &Published,
        id: DropId,
        render: impl FnOnce() -> rusqlite::Result<Option<CachedResponse>>,
    ) -> rusqlite::Result<Option<CacheLookup>> {
        let version = published.version(id);
        if let Some(body) = self.bodies.get(&id)
            && body.version >= version
        {
            return Ok(Some(CacheLookup { body: body.clone(), was_cached: true }));
        }
        let Some(mut body) = render()? else { return Ok(None) };
        if failpoints::enabled(Bug::EtagFromAtomic) {
            body.version = published.version(id);
        }
        self.put(id, &body);
        Ok(Some(CacheLookup { body, was_cached: false }))
    }

    fn put(&mut self, id: DropId, body: &CachedResponse) {
        if self.bodies.len() >= self.max && !self.bodies.contains_key(&id) {
            // Rare and simple: hot drops are cached again after one read each.
            self.bodies.clear();
        }
        self.bodies.insert(id, body.clone());
    }
}

/// Rendered auctions of one worker. An auction's version is that of its hidden drop, which the first read reveals.
pub struct AuctionResponseCache {
    drops: HashMap<AuctionId, DropId>,
    bodies: DropResponseCache,
}

impl AuctionResponseCache {
    /// Returns an empty cache for `max` responses.
    #[must_use]
    pub fn new(max: usize) -> AuctionResponseCache {
        AuctionResponseCache { drops: HashMap::new(), bodies: DropResponseCache::new(max) }
    }

    /// Returns the response of an auction like [`DropResponseCache::get`], and its hidden drop.
    pub fn get(
        &mut self,
        published: &Published,
        id: AuctionId,
        render: impl FnOnce() -> rusqlite::Result<Option<(DropId, CachedResponse)>>,
    ) -> rusqlite::Result<Option<(DropId, CacheLookup)>> {
        if let Some(drop_id) = self.drops.get(&id).copied() {
            let found = self.bodies.get(published, drop_id, || Ok(render()?.map(|(_, body)| body)))?;
            return Ok(found.map(|found| (drop_id, found)));
        }
        let Some((drop_id, body)) = render()? else { return Ok(None) };
        if self.drops.len() >= self.bodies.max {
            self.drops.clear();
        }
        self.drops.insert(id, drop_id);
        self.bodies.put(drop_id, &body);
        Ok(Some((drop_id, CacheLookup { body, was_cached: false })))
    }
}
