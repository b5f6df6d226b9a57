//! The storefront's list of what is sold. Its first page is kept ready (`ready_lists`): a worker reads it again at most once after
//! each change.

use hyper::header::HeaderValue;
use hyper::{Method, Response};

use super::pages::{frame, language_of, page_policy, with_page_headers};
use super::storefront::offer;
use super::storefront_auctions::lot;
use super::storefront_parts::check_enabled;
use super::{RouteEntry, fault};
use crate::api::Problem;
use crate::http::allowed_responses::ID;
use crate::http::body::{Body, full};
use crate::http::ready_lists::ReadyList;
use crate::http::request::Call;
use crate::http::route::Route;
use crate::http::worker::Worker;
use crate::read::{auctions, lists};
use crate::types::{AuctionState, DropState, UnixMillis};
use crate::web::shop::ListPart;
use crate::web::{self, ReadyPage};

pub(in crate::http) const ROUTES: &[RouteEntry] =
    &[Route::public(Method::GET, "/", "Shop", "The list of the storefront")
        .page()
        .ignores_query()
        .responds(&[200], &[])
        .problems(&[ID])
        .now(|worker, call| list(worker, call))];

/// The most drops and the most auctions in one part of the list.
const LISTED_MAX: usize = 24;

/// The part of the list that a query asks for. Parameters that the list does not know are ignored: a shop's links have others.
struct ListQuery {
    state: Option<DropState>,
    /// The number below which drops are shown; the same of auctions. With one of them the list has no other part.
    before: Option<u32>,
    auctions_before: Option<u32>,
}

impl ListQuery {
    fn of(query: &str) -> ListQuery {
        let value = |name| query.split('&').find_map(|pair| pair.split_once('=').filter(|(found, _)| *found == name));
        let number = |name| value(name).and_then(|(_, text)| text.parse().ok());
        let state =
            value("state").and_then(|(_, text)| DropState::ALL.into_iter().find(|state| state.as_str() == text));
        ListQuery { state, before: number("before"), auctions_before: number("auctions_before") }
    }

    /// Returns whether the query asks for the part that a reader sees first.
    fn is_newest(&self) -> bool {
        self.before.is_none() && self.auctions_before.is_none()
    }

    fn fits_auction(&self, state: AuctionState) -> bool {
        let as_drop = match state {
            AuctionState::Scheduled => DropState::Scheduled,
            AuctionState::Live => DropState::Live,
            AuctionState::Ended(_) | AuctionState::Cancelled => DropState::Ended,
        };
        self.state.is_none_or(|wanted| wanted == as_drop)
    }
}

/// A page of the list, with its clock, and the hosts of its pictures.
struct RenderedList {
    page: String,
    rendered_at: UnixMillis,
    policy: Option<HeaderValue>,
}

/// `GET /`.
fn list(worker: &Worker, call: &Call) -> Result<Response<Body>, Problem> {
    check_enabled(worker)?;
    worker.note_read(call, None);
    let query = ListQuery::of(call.parts.uri.query().unwrap_or(""));
    let (language, state) = (language_of(&call.parts), query.state);
    // The change is loaded before the list is read, so that the list has it.
    let change = worker.writer.published.newest_change();
    if query.is_newest()
        && let Some(ready) = worker.ready_lists.borrow().find(language, state, change)
    {
        let page = ready.page.at(worker.writer.clock.now());
        return Ok(with_page_headers(Response::new(full(page)), ready.policy.clone()));
    }
    let RenderedList { page, rendered_at, policy } = render(worker, call, &query)?;
    if query.is_newest()
        && let Some(page) = ReadyPage::new(&page, rendered_at)
    {
        let ready = ReadyList { language, state, change, page, policy: policy.clone() };
        worker.ready_lists.borrow_mut().put(ready);
    }
    Ok(with_page_headers(Response::new(full(page)), policy))
}

/// Reads and renders a page of the list.
fn render(worker: &Worker, call: &Call, query: &ListQuery) -> Result<RenderedList, Problem> {
    let (drops_max, auctions_max) = match (query.before, query.auctions_before) {
        (Some(_), _) => (LISTED_MAX, 0),
        (None, Some(_)) => (0, LISTED_MAX),
        (None, None) => (LISTED_MAX, LISTED_MAX),
    };
    let read = worker.reader.read(|connection| {
        let drops = (drops_max > 0)
            .then(|| lists::drops_before(connection, query.before.unwrap_or(u32::MAX), query.state, drops_max));
        let auctions = (auctions_max > 0).then(|| {
            let before = query.auctions_before.unwrap_or(u32::MAX);
            auctions::auctions_before(connection, before, |state| query.fits_auction(state), auctions_max)
        });
        Ok((drops.transpose()?, auctions.transpose()?))
    });
    let (drops, auctions) = read.map_err(|error| fault(&error))?;
    let older_drops = drops.as_ref().and_then(|page| page.next_after);
    let older_auctions = auctions.as_ref().and_then(|page| page.next_after);
    let offers: Vec<_> = drops.into_iter().flat_map(|page| page.items).map(|drop| offer(drop, None)).collect();
    let lots: Vec<_> = auctions.into_iter().flat_map(|page| page.items).map(lot).collect();
    let part = ListPart {
        offers: &offers,
        lots: &lots,
        state: query.state,
        older_drops,
        older_auctions,
        is_newest: query.is_newest(),
    };
    let path = query.state.map_or_else(|| "/".into(), |state| format!("/?state={}", state.as_str()));
    let frame = frame(worker, call, &path);
    let pictures = offers.iter().filter_map(|offer| offer.image_url.as_deref());
    let policy = page_policy(worker, pictures);
    Ok(RenderedList { page: web::shop::list(&frame, &part), rendered_at: frame.now, policy })
}
