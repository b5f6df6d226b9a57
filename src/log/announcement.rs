//! The addresses of nodes, as the log keeps them for others: JSON objects under `leader` and `nodes/NAME`, each with a lease.
//!
//! Members that are unknown here are ignored: a newer version may have more. What an object says goes into headers of
//! redirects and onto terminals, so its texts are checked where it is read.

use serde::{Deserialize, Serialize};

/// Longest object: a name, two URLs, an address and numbers.
const BYTES_MAX: usize = 4096;

/// The value of the key `leader`: the node that leads, and how its clients reach it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LeaderAnnouncement {
    /// The name of the node in its cluster.
    pub node: String,
    /// URL of its public listener, without a slash at the end.
    pub public_url: String,
    /// URL of its admin listener, without a slash at the end.
    pub admin_url: String,
    /// Host and port of its wire listener.
    pub wire: String,
}

/// The value of a key `nodes/NAME`: a node that runs, and how far it is. It is written about once a second.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NodeAnnouncement {
    #[serde(flatten)]
    pub address: LeaderAnnouncement,
    /// Number of the last entry in its file.
    pub applied: u64,
    /// Last event of its file that is surely on its disk.
    pub synced_seq: u64,
    /// Lead of its wall clock over the leaders', in milliseconds; none until it could compare.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_offset_ms: Option<i64>,
}

/// The value of the key `leader` while its node hands the leadership over: others leave it to the successor.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HandoverAnnouncement {
    #[serde(flatten)]
    pub leader: LeaderAnnouncement,
    /// The name of the node that is to lead next.
    pub successor: String,
}

impl HandoverAnnouncement {
    /// Returns the object's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Returns the successor that the value of the key names, if it names one.
    #[must_use]
    pub fn successor(bytes: &[u8]) -> Option<String> {
        parse(bytes).map(|announced: HandoverAnnouncement| announced.successor)
    }
}

impl LeaderAnnouncement {
    /// Returns the object's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // Texts and numbers always become JSON.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads the bytes of an object. `None` if they are no object, or if a text in it belongs into no header.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<LeaderAnnouncement> {
        parse(bytes).filter(LeaderAnnouncement::is_plain)
    }

    fn is_plain(&self) -> bool {
        let LeaderAnnouncement { node, public_url, admin_url, wire } = self;
        let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\".contains(&byte));
        let is_url = |url: &str| url.starts_with("http://") || url.starts_with("https://");
        [node, public_url, admin_url, wire].into_iter().all(|text| is_plain(text))
            && is_url(public_url)
            && is_url(admin_url)
            && !node.is_empty()
            && wire.contains(':')
    }
}

impl NodeAnnouncement {
    /// Returns the object's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads the bytes of an object, as [`LeaderAnnouncement::parse`] does.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<NodeAnnouncement> {
        parse(bytes).filter(|node: &NodeAnnouncement| node.address.is_plain())
    }
}

fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Option<T> {
    if bytes.len() > BYTES_MAX { None } else { serde_json::from_slice(bytes).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leader() -> LeaderAnnouncement {
        LeaderAnnouncement {
            node: "n1".into(),
            public_url: "https://n1.example:443".into(),
            admin_url: "https://n1.example:8081".into(),
            wire: "n1.example:8082".into(),
        }
    }

    #[test]
    fn objects_are_json_and_survive_their_bytes() {
        let leader = leader();
        let text = r#"{"node":"n1","public_url":"https://n1.example:443","admin_url":"https://n1.example:8081","wire":"n1.example:8082"}"#;
        assert_eq!(leader.to_bytes(), text.as_bytes());
        assert_eq!(LeaderAnnouncement::parse(text.as_bytes()), Some(leader.clone()));
        for clock_offset_ms in [None, Some(-12)] {
            let node = NodeAnnouncement { address: leader.clone(), applied: 7, synced_seq: 41, clock_offset_ms };
            assert_eq!(NodeAnnouncement::parse(&node.to_bytes()), Some(node));
        }
        let node = NodeAnnouncement { address: leader, applied: 7, synced_seq: 41, clock_offset_ms: Some(-12) };
        let more = r#","applied":7,"synced_seq":41,"clock_offset_ms":-12}"#;
        assert_eq!(node.to_bytes(), text.replace('}', more).as_bytes());
    }

    #[test]
    fn members_of_a_newer_version_are_ignored() {
        let mut object: serde_json::Value = serde_json::from_slice(&leader().to_bytes()).expect("JSON");
        object["colour"] = "green".into();
        assert_eq!(LeaderAnnouncement::parse(object.to_string().as_bytes()), Some(leader()));
    }

    #[test]
    fn what_belongs_into_no_header_is_no_announcement() {
        let bad: [fn(&mut LeaderAnnouncement); 6] = [
            |leader| leader.public_url = "https://n1\r\nSet-Cookie: a".into(),
            |leader| leader.public_url = "javascript:1".into(),
            |leader| leader.admin_url = String::new(),
            |leader| leader.node = String::new(),
            |leader| leader.wire = "n1.example".into(),
            |leader| leader.wire = "é:1".into(),
        ];
        for spoil in bad {
            let mut leader = leader();
            spoil(&mut leader);
            assert_eq!(LeaderAnnouncement::parse(&leader.to_bytes()), None, "{leader:?}");
        }
        let mut long = leader();
        long.public_url.extend(std::iter::repeat_n('a', BYTES_MAX));
        assert_eq!(LeaderAnnouncement::parse(&long.to_bytes()), None);
        assert_eq!(LeaderAnnouncement::parse(b"n1"), None);
    }
}
