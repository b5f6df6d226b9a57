//! Pages of the lists of drops and auctions: from the worker's cache, else from the query thread. At most one page of a
//! worker is read at a time, so that the lists never fill the query thread's queue. The query thread compresses them, too.

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
    if !(1..=100).contains(&limit) {
        return Err(Problem::invalid("/limit", "must be a whole number from 1 to 100"));
    }
    let key = PageKey { list, after, limit };
    let form = Form::of(worker, call);
    let wanted = worker.writer.published.newest_change();
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
    let epoch = worker.server.epoch;
    let page = worker.queries.run(move |reader| {
        let plain = match cached {
            Some(page) => page.plain,
            None => reader.snapshot(|connection| {
                let version = newest_event(connection)?;
                Ok(rendered(key, epoch, version, &read(connection, after, limit)?))
            })?,
        };
        Ok(CachedPage { gzip: form.is_compressed(&plain).then(|| compressed(&plain)), plain })
    });
    let page = page.await.map_err(|_| query_thread_busy(worker))?.map_err(|error| fault(&error))?;
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

/// Makes a page's cached response. Its tag changes with its items, and with the end of the list.
fn rendered(key: PageKey, epoch: u64, version: u64, page: &ListPage<PageItem>) -> CachedResponse {
    let kind = match key.list {
        PagedList::Drops => "dp",
        PagedList::Auctions => "ap",
    };
    let end = if page.next_after.is_some() { "m" } else { "e" };
    let newest = page.items.iter().map(|item| item.version).max().unwrap_or(Seq::ZERO);
    let items: Vec<_> = page.items.iter().map(|item| item.body.clone()).collect();
    CachedResponse {
        version,
        etag: tag(&etag(&format!("{kind}{}{end}", key.limit), u64::from(key.after), epoch, newest)),
        body: page_body(&items, page.next_after),
    }
}
