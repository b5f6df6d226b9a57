//! The parts of a request over HTTP that bot signals need.

use std::time::{Duration, Instant};

use hyper::header::{ACCEPT_LANGUAGE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};

use super::request::Call;
use super::worker::Worker;
use crate::admission::limits::Client;
use crate::admission::risk::headers::BrowserHeaders;
use crate::admission::risk::{SeenOrder, SeenWrite};
use crate::read::{OrderRow, rows};
use crate::types::{BuyerOrigin, BuyerText, DropId, RiskNote};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_CH_UA: HeaderName = HeaderName::from_static("sec-ch-ua");
const SEC_CH_UA_MOBILE: HeaderName = HeaderName::from_static("sec-ch-ua-mobile");
const SEC_CH_UA_PLATFORM: HeaderName = HeaderName::from_static("sec-ch-ua-platform");

impl Worker {
    /// Notes that a client reads a drop; `None` for a list of drops.
    pub(super) fn note_read(&self, call: &Call, drop_id: Option<DropId>) {
        if !call.client.is_exempt() {
            self.server.admission.door.note_read(call.client, &call.caller, drop_id);
        }
    }

    /// Notes a write of a buyer, with the drop if it is an order.
    pub(super) fn note_write(
        &self,
        client: Client,
        buyer: &BuyerText,
        headers: &HeaderMap,
        drop_id: Option<DropId>,
        started: Instant,
    ) {
        let door = &self.server.admission.door;
        if client.is_exempt() || !door.risk().is_enabled() {
            return;
        }
        let headers = self.browser_headers(headers);
        let order = drop_id.map(|drop_id| SeenOrder { drop_id, since_start: self.since_start(drop_id, started) });
        door.note_write(client, buyer, &SeenWrite { address: None, headers: Some(&headers), order }, started);
    }

    /// Counts an order that has passed the door, and returns its buyer's score with its signals, for the audit.
    pub(super) fn note_order(&self, call: &Call, buyer: &BuyerText) -> Option<RiskNote> {
        self.server.admission.door.note_order(call.client, &call.caller, buyer, call.started)
    }

    /// Returns the tier of the buyer of an order or a ticket and the mark of the address block, where the drop has a waiting room or a
    /// blind window.
    pub(super) fn origin_of(&self, call: &Call, buyer: &BuyerText, drop_id: DropId) -> Option<BuyerOrigin> {
        let notes_origins = self.writer.published.drop_entry(drop_id).notes_origins();
        let door = &self.server.admission.door;
        let origin =
            || door.origin_of(call.client, &call.caller, buyer, (drop_id, &self.writer.digest_key), call.started);
        if notes_origins { origin() } else { None }
    }

    /// Notes a checkout of an order.
    pub(super) fn note_checkout(&self, call: &Call, order: &OrderRow) {
        if call.client.is_exempt() {
            return;
        }
        let Some(buyer) = BuyerText::new(&order.buyer) else { return };
        let since = Duration::from_millis(self.writer.clock.at(call.started).since(order.reserved_at));
        self.server.admission.door.note_checkout(call.client, &buyer, since, call.started);
    }

    /// Returns the time since a drop's start; `None` before it. An unreadable start is not known.
    fn since_start(&self, drop_id: DropId, started: Instant) -> Option<Duration> {
        let read = || {
            let row = self.reader.read(|connection| rows::drop_by_id(connection, drop_id))?;
            Ok::<_, rusqlite::Error>(row.map(|row| row.starts_at))
        };
        let start = self.starts.borrow_mut().of(&self.writer.published, drop_id, read).ok()??;
        let at = self.writer.clock.at(started);
        (at >= start).then(|| Duration::from_millis(at.since(start)))
    }

    fn browser_headers<'request>(&self, headers: &'request HeaderMap) -> BrowserHeaders<'request> {
        let config = &self.server.config;
        let value = |name| headers.get(name).map(HeaderValue::as_bytes);
        BrowserHeaders {
            user_agent: value(USER_AGENT).unwrap_or_default(),
            accept_language: value(ACCEPT_LANGUAGE),
            sec_fetch_site: value(SEC_FETCH_SITE),
            sec_fetch_mode: value(SEC_FETCH_MODE),
            brands: value(SEC_CH_UA),
            mobile: value(SEC_CH_UA_MOBILE),
            platform: value(SEC_CH_UA_PLATFORM),
            is_secure: config.public_tls.is_some() || config.public_url.starts_with("https:"),
        }
    }
}
