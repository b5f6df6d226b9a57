//! Pages of the lists of drops, auctions and bids: from the worker's cache, else from the query thread. At most one page of
//! a worker is read at a time, so that the lists never fill the query thread's queue. The query thread compresses them, too.

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
use crate::read::page_cache::{CachedPage, PageKey, PagedList, newest_event};
use crate::types::Seq;

/// An item of a page: its JSON, and the version of its row.
pub(super) struct PageItem {
    pub(super) body: Bytes,
    pub(super) version: Seq,
}

/// Returns a page of a list. `read` gets the start of the page and its maximum of items.
pub(super) async fn cached_page(
    worker: &Worker,
    call: &Call,
    list: PagedList,
    read: impl FnOnce(&Connection, u32, u32) -> rusqlite::Result<ListPage<PageItem>> + Send + 'static,
) -> Result<Response<Body>, Problem> {
    let DropsQuery { after, limit } = call.query()?;
    let key = PageKey { list, after: u64::from(after), limit };
    let epoch = worker.server.epoch;
    let wanted = worker.writer.published.newest_change();
    cached(worker, call, key, wanted, move |connection| {
        let version = newest_event(connection)?;
        let page = read(connection, after, limit)?;
        let newest = page.items.iter().map(|item| item.version).max().unwrap_or(Seq::ZERO);
        let items: Vec<_> = page.items.into_iter().map(|item| item.body).collect();
        Ok(Some(rendered(key, epoch, version, newest, &ListPage { items, next_after: page.next_after })))
    })
    .await
}

/// Returns a page from the cache if its snapshot had the change `wanted`, else what `read` renders on the query thread. No
/// page is not found.
pub(super) async fn cached(
    worker: &Worker,
    call: &Call,
    key: PageKey,
    wanted: u64,
    read: impl FnOnce(&Connection) -> rusqlite::Result<Option<CachedResponse>> + Send + 'static,
) -> Result<Response<Body>, Problem> {
    if !(1..=100).contains(&key.limit) {
        return Err(Problem::invalid("/limit", "must be a whole number from 1 to 100"));
    }
    let form = Form::of(worker, call);
    let cached = worker.pages.borrow().get(key, wanted);
    if let Some(response) = cached.as_ref().and_then(|page| form.respond(call, page)) {
        return Ok(response);
    }
    let turn = worker.queries.within_deadline(worker.page_turn.lock()).await;
    let _turn = turn.map_err(|_| query_thread_busy(worker))?;
    // Another request may have read it meanwhile.
    let cached = worker.pages.borrow().get(key, wanted);
    if let Some(response) = cached.as_ref().and_then(|page| form.respond(call, page)) {
        return Ok(response);
    }
    let page = worker.queries.run(move |reader| {
        let plain = match cached {
            Some(page) => Some(page.plain),
            None => reader.snapshot(read)?,
        };
        Ok(plain.map(|plain| CachedPage { gzip: form.is_compressed(&plain).then(|| compressed(&plain)), plain }))
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

/// Makes a page's cached response. Its tag changes with `newest`, the newest change of its items, and with the end of the
/// list.
pub(super) fn rendered(key: PageKey, epoch: u64, version: u64, newest: Seq, page: &ListPage<Bytes>) -> CachedResponse {
    let kind = match key.list {
        PagedList::Drops => "dp".into(),
        PagedList::Auctions => "ap".into(),
        PagedList::Bids(auction) => format!("b{auction}p"),
    };
    let end = if page.next_after.is_some() { "m" } else { "e" };
    CachedResponse {
        version,
        etag: tag(&etag(&format!("{kind}{}{end}", key.limit), key.after, epoch, newest)),
        body: page_body(&page.items, page.next_after),
    }
}
