//! Lists of orders for operators, as JSON pages or as CSV.

use hyper::body::Bytes;
use hyper::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, VARY};
use hyper::{Method, Response, StatusCode};
use serde_json::json;

use super::{RouteEntry, accepted_seq, fault, submit};
use crate::admission::Rejected;
use crate::admission::operators::Role;
use crate::api::Problem;
use crate::api::json::queries::OrdersQuery;
use crate::api::json::{OrderContext, OrderSearch, order_body, page_body, parse_search};
use crate::engine::{Command, FileCommand};
use crate::http::access::CONTACTS_NEED;
use crate::http::allowed_responses::{BODY, ID, QUERY, WRITER};
use crate::http::body::{Body, full};
use crate::http::request::{Call, json};
use crate::http::route::ResponseBody::{Inline, Json};
use crate::http::route::{Presence, Route};
use crate::http::worker::Worker;
use crate::read::lists::{self, ContactKey, OrderFilter};
use crate::read::{OrderRow, rows};
use crate::types::order_id::{code_of, order_of_code};
use crate::types::text::{plain_cell, rfc3339};
use crate::types::{Contact, DropId, OrderState, Seq};

/// An order's id is the key to it, so lists of orders are not for viewers.
pub(in crate::http) const ROUTES: &[RouteEntry] = &[
    Route::admin(Role::Operator, Method::GET, "/v1/orders", "ListOrders", "List orders, as JSON or CSV")
        .query::<OrdersQuery>()
        .responds(
            &[200],
            &[
                Json("OrderPage"),
                Inline("text/csv", || {
                    json!({
                        "type": "string",
                        "description": "RFC 4180 with a header row; on `Accept: text/csv`.",
                    })
                }),
            ],
        )
        .problems(&[QUERY, ID, WRITER])
        // It goes through the writer only for the audit of contacts.
        .headers(&[
            ("Firstcome-Seq", Presence::Never),
            ("Server-Timing", Presence::Never),
            ("Vary", Presence::Always),
            ("Firstcome-Next-After", Presence::Sometimes),
        ])
        .later(|worker, call| Box::pin(async move { list_orders(worker, &call).await })),
    Route::admin(Role::Operator, Method::POST, "/v1/orders/search", "SearchOrders", "Find orders by contact or code")
        .body("OrderSearch", || json!({ "email": "ann@example.org" }))
        .responds(&[200], &[Json("OrderPage")])
        .problems(&[BODY])
        .later(|worker, call| Box::pin(search(worker, call))),
];

/// The maximum of orders in a search.
const FOUND_MAX: u32 = 100;

/// `GET /v1/orders`.
pub(super) async fn list_orders(worker: &Worker, call: &Call) -> Result<Response<Body>, Problem> {
    let query: OrdersQuery = call.query()?;
    if query.contacts && call.caller.operator().is_none_or(|operator| operator.role < CONTACTS_NEED) {
        worker.server.admission.count(Rejected::Forbidden);
        return Err(Problem::Forbidden("The token's role may not export contacts."));
    }
    let as_csv = wants_csv(call);
    let limit_max = if as_csv { 5000 } else { 100 };
    let limit = query.limit.unwrap_or(if as_csv { 5000 } else { 10 });
    if !(1..=limit_max).contains(&limit) {
        return Err(Problem::invalid("/limit", format!("must be a whole number from 1 to {limit_max}")));
    }
    if query.contacts && !as_csv {
        return Err(Problem::invalid("/contacts", "requires Accept: text/csv"));
    }
    let state = match &query.state {
        Some(word) => Some(
            OrderState::parse(word)
                .ok_or_else(|| Problem::invalid("/state", "must be a state of an order, such as paid"))?,
        ),
        None => None,
    };
    let drop_id = match query.drop_id {
        Some(number) => Some(DropId::new(number).ok_or_else(|| Problem::invalid("/drop_id", "must be 1 or more"))?),
        None => None,
    };
    let after = Seq::new(query.after).ok_or_else(|| Problem::invalid("/after", "must be at most 2^48 - 1"))?;
    if query.contacts {
        // Audited before any contact is shown.
        let decided =
            submit(worker, &call.caller, Command::File(FileCommand::ExportContacts { drop_id }), None).await?;
        accepted_seq(&decided)?;
    }
    let filter = OrderFilter { drop_id, state, refund_due: query.refund_due };
    let page = worker.reader.read(|connection| lists::orders(connection, filter, after, limit));
    let page = page.map_err(|error| fault(&error))?;
    let mut response = if as_csv {
        let contacts = query.contacts.then(|| contacts_of(worker, &page.items)).transpose()?;
        csv(&page.items, contacts.as_deref(), page.next_after)
    } else {
        json(StatusCode::OK, page_body(&bodies(worker, &page.items), page.next_after))
    };
    response.headers_mut().insert(VARY, HeaderValue::from_static("Accept"));
    Ok(response)
}

fn contacts_of(worker: &Worker, orders: &[OrderRow]) -> Result<Vec<Option<Contact>>, Problem> {
    worker.reader.read(|connection| lists::contacts_of(connection, orders)).map_err(|error| fault(&error))
}

fn wants_csv(call: &Call) -> bool {
    let values = call.parts.headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    prefers_csv(&values.collect::<Vec<_>>().join(","))
}

/// Returns whether an `Accept` header names CSV with a weight above 0 and above that of JSON (RFC 9110, 12.5.1). Without
/// CSV by its name a list is JSON, whatever wildcards say.
fn prefers_csv(accept: &str) -> bool {
    let weight_of = |wanted: &[&str]| {
        let ranges = accept.split(',').filter_map(|range| {
            let (name, parameters) = range.split_once(';').unwrap_or((range, ""));
            wanted.iter().any(|wanted| name.trim().eq_ignore_ascii_case(wanted)).then(|| weight(parameters))
        });
        ranges.max()
    };
    let (csv, json) = (weight_of(&["text/csv"]), weight_of(&["application/json"]));
    csv.is_some_and(|csv| csv > 0 && json.is_none_or(|json| csv >= json))
}

/// Returns the weight among the parameters of a media range, in thousandths: 1000 without one, 0 if it is malformed.
fn weight(parameters: &str) -> u32 {
    let named = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then_some(value.trim())
    });
    let Some(value) = named else { return 1000 };
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    match whole.parse::<u32>() {
        Ok(whole @ 0..=1) if fraction.len() <= 3 => {
            let thousandths = format!("{fraction:0<3}").parse::<u32>().unwrap_or(0);
            (whole * 1000).saturating_add(thousandths).min(1000)
        }
        Ok(_) | Err(_) => 0,
    }
}

fn bodies(worker: &Worker, orders: &[OrderRow]) -> Vec<Bytes> {
    let frame = OrderContext { public_url: &worker.server.config.public_url, epoch: worker.server.epoch };
    orders.iter().map(|order| order_body(order, frame)).collect()
}

/// Formats a CSV cell: quoted where necessary, and with an apostrophe before text that spreadsheets treat as a formula.
fn cell(text: &str) -> String {
    let plain = plain_cell(text);
    if plain.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", plain.replace('"', "\"\"")) } else { plain.into() }
}

/// Returns true for a telephone number in international form: no formula begins so.
fn is_number(phone: &str) -> bool {
    let digits = phone.strip_prefix('+').unwrap_or("");
    let plain = |byte: u8| byte.is_ascii_digit() || b" ()/.-".contains(&byte);
    digits.bytes().next().is_some_and(|first| first.is_ascii_digit()) && digits.bytes().all(plain)
}

fn csv(orders: &[OrderRow], contacts: Option<&[Option<Contact>]>, next_after: Option<u64>) -> Response<Body> {
    let mut text = String::from(
        "seq,id,code,drop_id,buyer,quantity,unit_price,amount,currency,state,reserved_at,expires_at,paid_at,ended_at,refunded_amount,refund_due_amount",
    );
    if contacts.is_some() {
        text.push_str(",name,email,phone,address");
    }
    text.push_str("\r\n");
    for (index, order) in orders.iter().enumerate() {
        let time = |at: Option<crate::types::UnixMillis>| at.map(rfc3339).unwrap_or_default();
        let mut cells = vec![
            order.seq.to_string(),
            order.id().to_string(),
            code_of(order.drop_id.shard(), order.seq),
            order.drop_id.to_string(),
            cell(&order.buyer),
            order.quantity.get().to_string(),
            order.unit_price.get().to_string(),
            order.amount().get().to_string(),
            order.currency.as_str().into(),
            order.state.as_str().into(),
            rfc3339(order.reserved_at),
            rfc3339(order.expires_at),
            time(order.paid_at),
            time(order.ended_at),
            order.refunded.get().to_string(),
            order.refund_due.get().to_string(),
        ];
        if let Some(contacts) = contacts {
            let contact = contacts.get(index).cloned().flatten().unwrap_or_default();
            let text = |value: &Option<Box<str>>| cell(value.as_deref().unwrap_or(""));
            let phone = contact.phone.as_deref().filter(|phone| is_number(phone)).map(String::from);
            let phone = phone.unwrap_or_else(|| text(&contact.phone));
            cells.extend([text(&contact.name), text(&contact.email), phone, text(&contact.address)]);
        }
        text.push_str(&cells.join(","));
        text.push_str("\r\n");
    }
    let mut response = Response::new(full(text));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(after) = next_after {
        headers.insert("firstcome-next-after", HeaderValue::from(after));
    }
    response
}

/// `POST /v1/orders/search`.
pub(super) async fn search(worker: &Worker, mut call: Call) -> Result<Response<Body>, Problem> {
    let search = parse_search(&call.json(worker.body_bounds()).await?)?;
    let found = worker.reader.read(|connection| match &search {
        OrderSearch::Phone(phone) => lists::orders_by_contact(connection, ContactKey::Phone(phone), FOUND_MAX),
        OrderSearch::Email(email) => lists::orders_by_contact(connection, ContactKey::Email(email), FOUND_MAX),
        OrderSearch::Code(code) => match order_of_code(code) {
            Some((shard, seq)) => {
                let row = rows::order_by_seq(connection, seq)?.filter(|row| row.drop_id.shard() == shard);
                Ok(row.into_iter().collect())
            }
            None => Ok(Vec::new()),
        },
    });
    let found = found.map_err(|error| fault(&error))?;
    Ok(json(StatusCode::OK, page_body(&bodies(worker, &found), None)))
}

#[cfg(test)]
mod tests {
    use super::{cell, is_number, prefers_csv};

    #[test]
    fn a_list_is_csv_where_it_is_named_and_json_is_not_preferred() {
        for csv in [
            "text/csv",
            "TEXT/CSV; q=0.1",
            "application/json;q=0.4, text/csv;q=0.5",
            "text/csv,*/*",
            "text/csv;header=present",
        ] {
            assert!(prefers_csv(csv), "{csv}");
        }
        for json in [
            "",
            "*/*",
            "text/*",
            "text/csv;q=0",
            "text/csv; q=0.000",
            "application/json, text/csv;q=0.5",
            "text/csvx",
            "text/csv;q=x",
        ] {
            assert!(!prefers_csv(json), "{json}");
        }
    }

    #[test]
    fn formulae_and_quotes_do_no_harm_in_a_spreadsheet() {
        for start in ['=', '+', '-', '@', '\t'] {
            let formula = format!("{start}1+1");
            assert_eq!(cell(&formula), format!("'{formula}"));
        }
        assert_eq!(cell("\r=1+1"), "\"'\r=1+1\"");
        assert_eq!(cell("a,\"b\""), "\"a,\"\"b\"\"\"");
        assert_eq!(cell("@x,y"), "\"'@x,y\"");
        assert_eq!(cell("plain"), "plain");
    }

    #[test]
    fn telephone_numbers_stay_what_they_are_and_formulae_are_no_numbers() {
        for number in ["+49301234", "+49 (30) 901-820", "+1.555/0100"] {
            assert!(is_number(number), "{number}");
        }
        for other in ["", "+", "+A1", "+(1)", "+1+cmd|' /C calc'!A0", "=1", "-1", "+1,2", "0301"] {
            assert!(!is_number(other), "{other}");
        }
    }
}
