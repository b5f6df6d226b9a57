//! Pages of the lists of drops, auctions and bids: from the worker's cache, else from the query thread. At most one page of
//! a worker is read at a time, so that the lists never fill the query thread's queue. The query thread compresses them, too.
//! Few changed items of a page are read on the serving thread.

use std::sync::Arc;

use hyper::body::Bytes;
use hyper::{Response, StatusCode};
use rusqlite::Connection;

use super::{fault, query_thread_busy};
use crate::api::Problem;
use crate::api::json::queries::DropsQuery;
use crate::api::json::{etag, page_body};
use crate::http::body::Body;
use crate::http::compression::{self, gzip, gzip_tag};
use crate::http::request::{Caching, Call, tag, tagged};
use crate::http::worker::Worker;
use crate::read::CachedResponse;
use crate::read::lists::ListPage;
use crate::read::page_cache::{CachedPage, PageItem, PageItems, PageKey, PageLookup, PagedList, newest_event};
use crate::types::{AuctionId, Seq};

/// Readers of a list of drops or auctions.
#[derive(Clone, Copy)]
pub(super) struct ListReaders {
    /// Reads a page: its start, and its maximum of items.
    pub(super) page: fn(&Connection, &DropsQuery, u64) -> rusqlite::Result<ListPage<PageItem>>,
    /// Reads an item by its number.
    pub(super) item: fn(&Connection, u32, u64) -> rusqlite::Result<Option<PageItem>>,
}

/// Returns a page of a list of drops or auctions.
pub(super) async fn cached_page(
    worker: &Worker,
    call: &Call,
    list: PagedList,
    readers: ListReaders,
) -> Result<Response<Body>, Problem> {
    let query: DropsQuery = call.query()?;
    let key = PageKey { list, after: u64::from(query.after), limit: query.limit };
    let (published, epoch) = (&worker.writer.published, worker.server.epoch);
    let wanted = published.newest_change();
    let look = worker.pages.borrow_mut().look(key, wanted, published);
    if let PageLookup::Changed(items, changed) = look {
        renew(worker, key, wanted, readers, (&items, &changed))?;
    }
    // Loaded before the snapshot is opened.
    let drops = published.drops();
    cached(worker, call, key, wanted, move |connection| {
        let version = newest_event(connection)?;
        let ListPage { items, next_after } = (readers.page)(connection, &query, epoch)?;
        Ok(Some(rendered_list(key, epoch, version, PageItems { items, next_after, drops })))
    })
    .await
}

/// Reads the items of a page again that have changed, and keeps the new page. An item that is gone leaves the page to be read.
fn renew(
    worker: &Worker,
    key: PageKey,
    wanted: u64,
    readers: ListReaders,
    (items, changed): (&PageItems, &[usize]),
) -> Result<(), Problem> {
    let epoch = worker.server.epoch;
    let mut items = items.clone();
    let renewed = worker.reader.read(|connection| {
        for place in changed {
            let Some(item) = items.items.get_mut(*place) else { return Ok(false) };
            let Some(read) = (readers.item)(connection, item.number, epoch)? else { return Ok(false) };
            *item = read;
        }
        Ok(true)
    });
    if renewed.map_err(|error| fault(&error))? {
        worker.pages.borrow_mut().put(key, &rendered_list(key, epoch, wanted, items));
    }
    Ok(())
}

/// Returns a page from the cache if its snapshot had the change `wanted`, else what `read` renders on the query thread. No
/// page is not found.
pub(super) async fn cached(
    worker: &Worker,
    call: &Call,
    key: PageKey,
    wanted: u64,
    read: impl FnOnce(&Connection) -> rusqlite::Result<Option<CachedPage>> + Send + 'static,
) -> Result<Response<Body>, Problem> {
    if !(1..=100).contains(&key.limit) {
        return Err(Problem::invalid("/limit", "must be a whole number from 1 to 100"));
    }
    let form = Form::of(worker, call);
    let find = || match worker.pages.borrow_mut().look(key, wanted, &worker.writer.published) {
        PageLookup::Current(page) => Some(page),
        PageLookup::Changed(..) | PageLookup::Unknown => None,
    };
    let found = find();
    if let Some(response) = found.as_ref().and_then(|page| form.respond(call, page)) {
        return Ok(response);
    }
    let turn = worker.queries.within_deadline(worker.page_turn.lock()).await;
    let _turn = turn.map_err(|_| query_thread_busy(worker))?;
    // Another request may have read it meanwhile.
    let found = find();
    if let Some(response) = found.as_ref().and_then(|page| form.respond(call, page)) {
        return Ok(response);
    }
    let page = worker.queries.run(move |reader| {
        let page = match found {
            Some(page) => Some(page),
            None => reader.snapshot(read)?,
        };
        Ok(page.map(|page| {
            let gzip = form.is_compressed(&page.plain).then(|| compressed(&page.plain));
            CachedPage { gzip, ..page }
        }))
    });
    let page = page.await.map_err(|_| query_thread_busy(worker))?.map_err(|error| fault(&error))?;
    let page = page.ok_or(Problem::NotFound)?;
    worker.pages.borrow_mut().put(key, &page);
    form.respond(call, &page).ok_or(Problem::Internal)
}

/// The form in which a client gets a page.
#[derive(Clone, Copy)]
struct Form {
    /// Size in bytes from which on a page is compressed.
    gzip_bytes_min: usize,
}

impl Form {
    fn of(worker: &Worker, call: &Call) -> Form {
        let accepts = compression::accepts_gzip(&call.parts.headers);
        Form { gzip_bytes_min: if accepts { worker.server.config.gzip_bytes_min } else { usize::MAX } }
    }

    fn is_compressed(self, plain: &CachedResponse) -> bool {
        plain.body.len() >= self.gzip_bytes_min
    }

    /// Responds with a page, or with 304 if the client has this form of it. `None` if the form was not made yet.
    fn respond(self, call: &Call, page: &CachedPage) -> Option<Response<Body>> {
        let is_compressed = self.is_compressed(&page.plain);
        let form = if is_compressed { page.gzip.as_ref()? } else { &page.plain };
        let mut response = tagged(&call.parts.headers, form.etag.clone(), Caching::NoStore, form.body.clone());
        let has_body = response.status() == StatusCode::OK;
        compression::mark(&mut response, is_compressed && has_body);
        Some(response)
    }
}

fn compressed(plain: &CachedResponse) -> CachedResponse {
    CachedResponse { version: plain.version, etag: gzip_tag(&plain.etag), body: gzip(&plain.body) }
}

/// Makes a page of drops or auctions. Its tag changes with the version of each item, and with the end of the list.
fn rendered_list(key: PageKey, epoch: u64, version: u64, items: PageItems) -> CachedPage {
    let kind = match key.list {
        PagedList::Drops => "dp",
        PagedList::Auctions => "ap",
        PagedList::Bids(_) => "bp",
    };
    // The newest version alone would be the same for two mixtures of older ones.
    let versions =
        items.items.iter().fold(0, |sum, item| crc32c::crc32c_append(sum, &item.version.get().to_le_bytes()));
    let newest = items.items.iter().map(|item| item.version).max().unwrap_or(Seq::ZERO);
    let bodies: Vec<Bytes> = items.items.iter().map(|item| item.body.clone()).collect();
    let prefix = format!("{kind}{}{}{versions:08x}-", key.limit, end_mark(items.next_after));
    let plain = CachedResponse {
        version,
        etag: tag(&etag(&prefix, key.after, epoch, newest)),
        body: page_body(&bodies, items.next_after),
    };
    CachedPage { plain, gzip: None, items: Some(Arc::new(items)) }
}

/// Makes a page of the bids of an auction, whose version is the page's: each bid changes it.
pub(super) fn rendered_bids(key: PageKey, epoch: u64, auction: (AuctionId, Seq), page: &ListPage<Bytes>) -> CachedPage {
    let (id, version) = auction;
    let prefix = format!("b{id}p{}{}", key.limit, end_mark(page.next_after));
    let plain = CachedResponse {
        version: version.get(),
        etag: tag(&etag(&prefix, key.after, epoch, version)),
        body: page_body(&page.items, page.next_after),
    };
    CachedPage { plain, gzip: None, items: None }
}

/// Returns the mark of a list's end in the tag of a page.
const fn end_mark(next_after: Option<u64>) -> &'static str {
    if next_after.is_some() { "m" } else { "e" }
}
