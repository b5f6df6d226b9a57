//! Problems of browsers' requests as pages: in the reader's language, with what to do next. A form that was refused is offered
//! again with what it had, so that nothing is typed twice and nothing is bought twice.

use hyper::body::Incoming;
use hyper::header::{ACCEPT, HeaderMap, HeaderValue, REFRESH, RETRY_AFTER};
use hyper::http::request::Parts;
use hyper::{Method, Response};
use maud::html;
use serde::de::DeserializeOwned;

use super::HandlerFuture;
use super::page_words::refusal_of;
use super::pages::{frame_in, language_of, with_picture_headers};
use crate::api::Problem;
use crate::failpoints::{self, Bug};
use crate::http::body::{Body, FormFields, full, parse_form, read_form};
use crate::http::request::Call;
use crate::http::route::{Listener, Route};
use crate::http::worker::Worker;
use crate::web;
use crate::web::refusal::{BrowserRequest, NextStep, RefusalPage};
use crate::web::words::Language;

/// The most fields of a form that a page offers again. The pages' own forms have fewer.
const FIELDS_MAX: usize = 20;

/// The facts of a request that a page about its refusal needs.
pub(in crate::http) struct PageRequest {
    language: Language,
    path: String,
    /// The address of the form, if one was sent.
    action: Option<String>,
    /// The form, once it was read.
    pub(in crate::http) form: Option<FormFields>,
}

impl PageRequest {
    /// Returns the facts of a request whose client shows pages, unless it is for the API. A path may lead to no
    /// `route`: with a storefront, people type addresses.
    pub(in crate::http) fn of(worker: &Worker, route: Option<&Route>, parts: &Parts) -> Option<Box<PageRequest>> {
        let shows_pages = match route {
            Some(route) => route.shows_pages,
            None => worker.server.config.storefront.enabled && !parts.uri.path().starts_with("/v1/"),
        };
        if !shows_pages || worker.listener != Listener::Public || !accepts_pages(&parts.headers) {
            return None;
        }
        let path = parts.uri.path().to_owned();
        let is_form = parts.method == Method::POST;
        let action = is_form.then(|| parts.uri.path_and_query().map_or(path.as_str(), |uri| uri.as_str()).to_owned());
        Some(Box::new(PageRequest { language: language_of(parts), path, action, form: None }))
    }

    pub(in crate::http) fn is_form(&self) -> bool {
        self.action.is_some()
    }

    /// Makes a page of a problem's response. Its status and its headers stay, `Retry-After` among them.
    pub(in crate::http) fn page_of(
        &self,
        worker: &Worker,
        problem: &Problem,
        response: Response<Body>,
    ) -> Response<Body> {
        if response.status().is_redirection() {
            return response;
        }
        let frame = frame_in(worker, self.language, &self.path);
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let (mut refusal, next) = refusal_of(&frame, problem);
        let request = match &self.action {
            Some(action) => BrowserRequest::Form { action, fields: self.form.as_deref() },
            None => BrowserRequest::Page,
        };
        let loads_again = self.action.is_none() && next == NextStep::Repeat;
        if loads_again {
            refusal.text = html! { (self.language.text("page.reload")) };
        }
        let page = if *problem == Problem::NotFound {
            web::not_found(&frame)
        } else {
            RefusalPage { frame, refusal: &refusal, request, next, retry_after }.render()
        };
        let mut response = with_picture_headers(worker, response.map(|_document| full(page)), []);
        if loads_again {
            response.headers_mut().insert(REFRESH, HeaderValue::from(retry_after.unwrap_or(RELOAD_SECONDS)));
        }
        response
    }
}

/// The seconds after which a page loads again whose problem does not tell them.
const RELOAD_SECONDS: u64 = 5;

/// Returns true for browsers that load a page or send its form. Scripts and other programs ask for anything, or for JSON.
fn accepts_pages(headers: &HeaderMap) -> bool {
    let is_html =
        |part: &str| part.split(';').next().is_some_and(|media| media.trim().eq_ignore_ascii_case("text/html"));
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(is_html)
}

/// Keeps the fields of a form for the page that tells its refusal. The request that is polled takes them after the poll.
pub(super) fn keep_form(worker: &Worker, mut fields: FormFields) {
    if failpoints::enabled(Bug::FormForgetsKey) {
        fields.iter_mut().filter(|(name, _)| name == "key").for_each(|(_, key)| key.push('x'));
    }
    worker.page_form.set(Some(fields));
}

/// Reads the form of a page.
pub(super) async fn read_page_form<T: DeserializeOwned>(worker: &Worker, call: &mut Call) -> Result<T, Problem> {
    let bytes = read_form(&call.parts.headers, call.body.take(), worker.body_bounds()).await?;
    if let Ok(fields) = parse_form::<FormFields>(&bytes)
        && fields.len() <= FIELDS_MAX
    {
        keep_form(worker, fields);
    }
    parse_form(&bytes)
}

/// Reads the form of a request that is refused already, so that the page about it can offer it again.
pub(in crate::http) fn read_refused<'c>(
    worker: &'c Worker,
    parts: Parts,
    body: Incoming,
    problem: Problem,
) -> HandlerFuture<'c> {
    Box::pin(async move {
        let read = read_form(&parts.headers, Some(body), worker.body_bounds()).await;
        let fields = read.and_then(|bytes| parse_form::<FormFields>(&bytes)).unwrap_or_default();
        if (1..=FIELDS_MAX).contains(&fields.len()) {
            keep_form(worker, fields);
        }
        Err(problem)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_browser_that_asks_for_a_page_gets_one() {
        let asks = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(ACCEPT, HeaderValue::from_static(value));
            }
            accepts_pages(&headers)
        };
        assert!(asks(&["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"]));
        assert!(asks(&["application/json", "Text/HTML ;q=0.5"]));
        assert!(!asks(&[]) && !asks(&["*/*"]) && !asks(&["application/json, text/*"]) && !asks(&["text/htmlx"]));
    }
}
