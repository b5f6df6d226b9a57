//! Ready answers of drops and auctions: rendered once per version and thread, then handed out as they are.

use std::collections::HashMap;

use hyper::body::Bytes;
use hyper::header::HeaderValue;

use crate::failpoints::{self, Bug};
use crate::types::{AuctionId, DropId, Published};

/// A rendered drop or auction.
#[derive(Clone)]
pub struct CachedResponse {
    /// The version that its row had.
    pub version: u64,
    /// The tag of this version.
    pub etag: HeaderValue,
    /// The JSON.
    pub body: Bytes,
}

/// One thread's rendered drops.
pub struct DropResponseCache {
    bodies: HashMap<DropId, CachedResponse>,
    max: usize,
}

/// An answer, and whether it was ready.
pub struct CacheLookup {
    /// The answer.
    pub body: CachedResponse,
    /// Whether it was ready.
    pub was_cached: bool,
}

impl DropResponseCache {
    /// No bodies, and room for `max`.
    #[must_use]
    pub fn new(max: usize) -> DropResponseCache {
        DropResponseCache { bodies: HashMap::new(), max }
    }

    /// The body of a drop: the ready one if no newer version was published, else what `render` makes of a new snapshot.
    ///
    /// The published version is loaded *before* `render` opens its snapshot. Loaded after it, a commit in between would
    /// let an old body pass for the new version. `render` takes the version from the row it read.
    ///
    /// # Errors
    /// What `render` says.
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
            // Rare, and simple: the hot ones are back after one read each.
            self.bodies.clear();
        }
        self.bodies.insert(id, body.clone());
    }
}

/// One thread's rendered auctions. An auction's version is that of its hidden drop, which is known from its first row on.
pub struct AuctionResponseCache {
    drops: HashMap<AuctionId, DropId>,
    bodies: DropResponseCache,
}

impl AuctionResponseCache {
    /// No bodies, and room for `max`.
    #[must_use]
    pub fn new(max: usize) -> AuctionResponseCache {
        AuctionResponseCache { drops: HashMap::new(), bodies: DropResponseCache::new(max) }
    }

    /// The body of an auction, as [`DropResponseCache::get`] has it, and its hidden drop.
    ///
    /// # Errors
    /// What `render` says.
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
