//! The files that pages load. Each is there in three forms, made before the program was, and may be kept for ever.

use hyper::header::{
    ACCEPT_ENCODING, ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderMap,
    HeaderName, HeaderValue, IF_NONE_MATCH, VARY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Response, StatusCode};

use super::RouteEntry;
use crate::api::Problem;
use crate::http::body::{Body, full};
use crate::http::compression::accepts;
use crate::http::request::Call;
use crate::http::route::Route;
use crate::http::worker::Worker;
use crate::web::assets;

pub(in crate::http) const ROUTES: &[RouteEntry] = &[
    Route::public(Method::GET, "/assets/{file}", "PublicAsset", "A file that pages load")
        .page()
        .ignores_query()
        .responds(&[200, 304], &[])
        .problems(&[&[crate::api::code::Code::NotFound]])
        .now(|worker, call| asset(worker, call)),
    Route::admin_page("/assets/{file}", "AdminAsset", "A file that pages load")
        .ignores_query()
        .responds(&[200, 304], &[])
        .problems(&[&[crate::api::code::Code::NotFound]])
        .now(|worker, call| asset(worker, call)),
];

const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// For a file whose name stays while its bytes change.
const FOR_MINUTES: HeaderValue = HeaderValue::from_static("public, max-age=300");
/// A page of another origin may load the web component.
const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// The form in which a file is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum SentForm {
    Plain,
    Brotli,
    Gzip,
}

fn form_for(headers: &HeaderMap) -> SentForm {
    if accepts(headers, &["br"]) {
        SentForm::Brotli
    } else if accepts(headers, &["gzip", "x-gzip"]) {
        SentForm::Gzip
    } else {
        SentForm::Plain
    }
}

/// `GET /assets/{file}`.
fn asset(worker: &Worker, call: &Call) -> Result<Response<Body>, Problem> {
    let (asset, caching) = match assets::named(&call.parameter) {
        Some(asset) => (asset, FOR_EVER),
        None => (assets::lasting(&call.parameter).ok_or(Problem::NotFound)?, FOR_MINUTES),
    };
    worker.note_read(call, None);
    let form = form_for(&call.parts.headers);
    let (bytes, coding) = match form {
        SentForm::Plain => (asset.plain, None),
        SentForm::Brotli => (asset.brotli, Some("br")),
        SentForm::Gzip => (asset.gzip, Some("gzip")),
    };
    let tag = format!("\"{}{}\"", asset.file, coding.map_or(String::new(), |coding| format!("-{coding}")));
    let tag = HeaderValue::from_str(&tag).map_err(|_| Problem::Internal)?;
    let known = call.parts.headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let is_known = known.flat_map(|value| value.split(',')).any(|known| known.trim().trim_start_matches("W/") == tag);
    let mut response = Response::new(if is_known { full("") } else { full(bytes) });
    *response.status_mut() = if is_known { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
    let headers = response.headers_mut();
    headers.insert(ETAG, tag);
    headers.insert(CACHE_CONTROL, caching);
    headers.insert(VARY, HeaderValue::from_name(ACCEPT_ENCODING));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CROSS_ORIGIN_RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
    // A module of another origin is loaded with CORS; the files are the same for every reader.
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    if !is_known {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(asset.media_type));
        if let Some(coding) = coding {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
        }
    }
    Ok(response)
}
