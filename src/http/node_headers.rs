//! The headers of answers at a node of a cluster, made once while their values stay the same.

use hyper::header::{HeaderMap, HeaderName, HeaderValue};

use super::request::FIRSTCOME_SHARD;
use crate::types::shard::Shard;

/// The name of the node that answers.
const FIRSTCOME_NODE: HeaderName = HeaderName::from_static("firstcome-node");
/// Epoch and number of an event that the state has which was read.
const FIRSTCOME_AS_OF: HeaderName = HeaderName::from_static("firstcome-as-of");
/// Milliseconds that the state may be behind.
const FIRSTCOME_STALE_MS: HeaderName = HeaderName::from_static("firstcome-stale-ms");

/// The values of a worker's last response.
pub(super) struct NodeHeaders {
    epoch: u64,
    shard: HeaderValue,
    name: HeaderValue,
    as_of: u64,
    as_of_value: HeaderValue,
}

impl NodeHeaders {
    /// Returns the headers of the node of this name. What no header can hold is left out of the name.
    pub(super) fn new(name: &str, shard: Shard, epoch: u64) -> NodeHeaders {
        let fit: String = name.chars().filter(char::is_ascii_graphic).collect();
        let name = HeaderValue::from_str(&fit).unwrap_or(HeaderValue::from_static("?"));
        let shard = HeaderValue::from(u16::from(shard.get()));
        NodeHeaders { epoch, shard, name, as_of: 0, as_of_value: as_of(epoch, 0) }
    }

    /// Adds the header of every answer, whatever was asked.
    pub(super) fn add_shard(&self, headers: &mut HeaderMap) {
        headers.insert(FIRSTCOME_SHARD, self.shard.clone());
    }

    /// Adds the headers of a read of the state at event `seq`.
    pub(super) fn add(&mut self, seq: u64, stale_ms: Option<u64>, headers: &mut HeaderMap) {
        if self.as_of != seq {
            (self.as_of, self.as_of_value) = (seq, as_of(self.epoch, seq));
        }
        headers.insert(FIRSTCOME_NODE, self.name.clone());
        headers.insert(FIRSTCOME_AS_OF, self.as_of_value.clone());
        match stale_ms {
            None => {}
            Some(0) => drop(headers.insert(FIRSTCOME_STALE_MS, HeaderValue::from_static("0"))),
            Some(stale_ms) => drop(headers.insert(FIRSTCOME_STALE_MS, HeaderValue::from(stale_ms))),
        }
    }
}

fn as_of(epoch: u64, seq: u64) -> HeaderValue {
    HeaderValue::from_maybe_shared(hyper::body::Bytes::from(format!("{epoch}-{seq}")))
        .unwrap_or(HeaderValue::from_static("0-0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_follow_the_state() {
        let mut node = NodeHeaders::new("n1\r\nEvil: yes", Shard::new(200), 3);
        let mut said = |seq, stale_ms| {
            let mut headers = HeaderMap::new();
            node.add(seq, stale_ms, &mut headers);
            [FIRSTCOME_NODE, FIRSTCOME_AS_OF, FIRSTCOME_STALE_MS]
                .map(|name| headers.get(name).and_then(|value| value.to_str().ok()).map(String::from))
        };
        let name = Some("n1Evil:yes".to_string());
        assert_eq!(said(0, None), [name.clone(), Some("3-0".into()), None]);
        assert_eq!(said(7, Some(0)), [name.clone(), Some("3-7".into()), Some("0".into())]);
        assert_eq!(said(7, Some(12)), [name, Some("3-7".into()), Some("12".into())]);
        let mut headers = HeaderMap::new();
        node.add_shard(&mut headers);
        assert_eq!(headers[FIRSTCOME_SHARD], "200");
    }
}
