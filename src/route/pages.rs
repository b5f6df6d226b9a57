//! Pages of one shard's list, as JSON or as CSV, and a page that is put together of them.

use http_body_util::{BodyExt, Limited};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, VARY};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::body::{RouteBody, whole};
use super::cursor::MergedList;
use crate::types::shard::Shard;

/// The `after` of the next page, where a list is CSV.
pub(super) const NEXT_AFTER: HeaderName = HeaderName::from_static("firstcome-next-after");
/// A page of 5,000 orders with contacts is below 4 MiB.
const PAGE_BYTES_MAX: usize = 16 << 20;

/// A page of one shard.
pub(super) enum ShardPage {
    Json { items: Vec<Value>, has_more: bool },
    Csv { head: String, records: Vec<String>, has_more: bool },
}

impl ShardPage {
    /// Reads a node's page. `None` if it is no page, or is cut off.
    pub(super) async fn read(response: Response<RouteBody>) -> Option<ShardPage> {
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, PAGE_BYTES_MAX).collect().await.ok()?.to_bytes();
        ShardPage::parse(&parts.headers, &body)
    }

    fn parse(headers: &HeaderMap, body: &[u8]) -> Option<ShardPage> {
        let kind = headers.get(CONTENT_TYPE)?.as_bytes();
        if kind.starts_with(b"text/csv") {
            let mut records = records(std::str::from_utf8(body).ok()?).map(String::from);
            let head = records.next()?;
            return Some(ShardPage::Csv {
                head,
                records: records.collect(),
                has_more: headers.contains_key(NEXT_AFTER),
            });
        }
        let page: Value = serde_json::from_slice(body).ok()?;
        Some(ShardPage::Json { items: page["data"].as_array()?.clone(), has_more: page["has_more"].as_bool()? })
    }
}

/// Returns the records of a CSV text with their line ends: those inside of quotes do not end a record.
fn records(text: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split_inclusive(move |character| {
        if character == '"' {
            quoted = !quoted;
        }
        character == '\n' && !quoted
    })
}

/// A page of a list over all shards.
pub(super) struct MergedPage {
    list: MergedList,
    items: Vec<Value>,
    csv: Option<(String, Vec<String>)>,
    /// The position of the last item.
    last: Option<u64>,
}

impl MergedPage {
    pub(super) fn new(list: MergedList) -> MergedPage {
        MergedPage { list, items: Vec::new(), csv: None, last: None }
    }

    /// Items of a page whose request says no number, as a node has it.
    pub(super) fn limit(&self) -> usize {
        if self.csv.is_some() { 5_000 } else { 10 }
    }

    pub(super) fn len(&self) -> usize {
        self.items.len().saturating_add(self.csv.as_ref().map_or(0, |(_, records)| records.len()))
    }

    /// Adds the page of a shard. Returns whether the shard has more; `None` if an item has no place in the list.
    pub(super) fn add(&mut self, shard: Shard, page: ShardPage) -> Option<bool> {
        match page {
            ShardPage::Json { items, has_more } => {
                if let Some(item) = items.last() {
                    self.last = Some(self.list.of_item(shard, item)?);
                }
                self.items.extend(items);
                Some(has_more)
            }
            ShardPage::Csv { head, records, has_more } => {
                if let Some(record) = records.last() {
                    // The first cell of an order is its seq.
                    let place = record.split(',').next()?.parse().ok()?;
                    self.last = Some(self.list.position(shard, place));
                }
                self.csv.get_or_insert_with(|| (head, Vec::new())).1.extend(records);
                Some(has_more)
            }
        }
    }

    /// Makes the answer. With `has_more` the list goes on after the last item.
    pub(super) fn response(self, has_more: bool) -> Response<RouteBody> {
        let next_after = self.last.filter(|_| has_more);
        let (kind, text) = match self.csv {
            Some((head, records)) => ("text/csv; charset=utf-8", head + &records.concat()),
            None => {
                let mut body = json!({ "data": self.items, "has_more": next_after.is_some() });
                if let (Value::Object(members), Some(after)) = (&mut body, next_after) {
                    members.insert("next_after".into(), after.into());
                }
                ("application/json", body.to_string())
            }
        };
        let is_csv = kind.starts_with("text/csv");
        let mut response = Response::new(whole(text));
        *response.status_mut() = StatusCode::OK;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(
            VARY,
            HeaderValue::from_static(if self.list == MergedList::BySeq { "Accept" } else { "Accept-Encoding" }),
        );
        if let Some(after) = next_after.filter(|_| is_csv) {
            headers.insert(NEXT_AFTER, HeaderValue::from(after));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_csv_end_outside_of_quotes_only() {
        let text = "seq,buyer\r\n1,\"a\r\nb\"\r\n2,\"say \"\"x\"\"\r\n\"\r\n3,c\r\n";
        assert_eq!(
            records(text).collect::<Vec<_>>(),
            ["seq,buyer\r\n", "1,\"a\r\nb\"\r\n", "2,\"say \"\"x\"\"\r\n\"\r\n", "3,c\r\n"]
        );
    }

    #[test]
    fn pages_of_shards_become_one_with_the_position_of_its_last_item() {
        let json = |text: &str| {
            let headers = [(CONTENT_TYPE, HeaderValue::from_static("application/json"))].into_iter().collect();
            ShardPage::parse(&headers, text.as_bytes()).expect("a page")
        };
        let mut page = MergedPage::new(MergedList::BySeq);
        assert_eq!(page.add(Shard::SINGLE, json(r#"{"data":[{"seq":4},{"seq":9}],"has_more":false}"#)), Some(false));
        assert_eq!(page.add(Shard::new(2), json(r#"{"data":[{"seq":3}],"has_more":true}"#)), Some(true));
        assert_eq!((page.len(), page.last), (3, Some((2 << 45) | 3)));
        assert_eq!(
            page.add(Shard::new(3), json(r#"{"data":[{"id":3}],"has_more":true}"#)),
            None,
            "no place in the list"
        );
        let headers = HeaderMap::new();
        assert!(ShardPage::parse(&headers, b"{}").is_none(), "no page");
        let csv = [(CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"))].into_iter().collect();
        let csv = |text: &str| ShardPage::parse(&csv, text.as_bytes()).expect("a page");
        let mut page = MergedPage::new(MergedList::BySeq);
        assert_eq!(page.add(Shard::SINGLE, csv("seq,id\r\n")), Some(false));
        assert_eq!(page.add(Shard::new(1), csv("seq,id\r\n7,x\r\n8,y\r\n")), Some(false));
        assert_eq!((page.len(), page.last), (2, Some((1 << 45) | 8)));
    }
}
