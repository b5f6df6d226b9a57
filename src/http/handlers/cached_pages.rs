//! Pages of the lists of drops and auctions: from the worker's cache, else from the query thread. At most one page of a
//! worker is read at a time, so that the lists never fill the query thread's queue.

use hyper::Response;
use hyper::body::Bytes;
use rusqlite::Connection;

use super::{fault, query_thread_busy};
use crate::api::Problem;
use crate::api::json::queries::DropsQuery;
use crate::api::json::{etag, page_body};
use crate::http::body::Body;
use crate::http::request::{Caching, Call, tag, tagged};
use crate::http::worker::Worker;
use crate::read::CachedResponse;
use crate::read::lists::ListPage;
use crate::read::page_cache::{PageKey, PagedList, newest_event};
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
    let wanted = worker.writer.published.newest_change();
    if let Some(page) = worker.pages.borrow().get(key, wanted) {
        return Ok(tagged(&call.parts.headers, page.etag, Caching::NoStore, page.body));
    }
    let turn = worker.queries.within_deadline(worker.page_turn.lock()).await;
    let _turn = turn.map_err(|_| query_thread_busy(worker))?;
    // Another request may have read it meanwhile.
    let cached = worker.pages.borrow().get(key, wanted);
    let page = match cached {
        Some(page) => page,
        None => {
            let epoch = worker.server.epoch;
            let page = worker.queries.run(move |reader| {
                reader.snapshot(|connection| {
                    let version = newest_event(connection)?;
                    Ok(rendered(key, epoch, version, &read(connection, after, limit)?))
                })
            });
            let page = page.await.map_err(|_| query_thread_busy(worker))?.map_err(|error| fault(&error))?;
            worker.pages.borrow_mut().put(key, &page);
            page
        }
    };
    Ok(tagged(&call.parts.headers, page.etag, Caching::NoStore, page.body))
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
