//! The constant part of a log: the key `meta`, a JSON object that is written once, with the log's first head.

use serde::{Deserialize, Serialize};

use super::entry;
use super::seal::Seal;
use crate::types::hex;

/// Length of a file's id in bytes.
const FILE_ID_BYTES: usize = 16;

/// The text by which a node compares its key with that of the log. It is encrypted as entry 0, which no log has.
const KEY_CHECK: &[u8] = b"firstcome";

/// The constants of a log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LogMeta {
    /// The version of entries that all nodes must be able to read.
    pub form: u8,
    /// Id of the file that all nodes have copies of, as hexadecimal digits.
    pub file_id: String,
    /// Number of slots of the ring of entries.
    pub slots: u64,
    /// A known text that the key of the cluster encrypted, as hexadecimal digits.
    pub key_check: String,
}

impl LogMeta {
    /// Returns the constants of a new log of a file.
    ///
    /// # Panics
    /// If the system has no random bytes.
    #[must_use]
    pub fn new(file_id: &[u8; FILE_ID_BYTES], slots: u64, seal: &Seal) -> LogMeta {
        let key_check = hex::encode(&seal.close(0, KEY_CHECK));
        LogMeta { form: entry::VERSION, file_id: hex::encode(file_id), slots, key_check }
    }

    /// Returns whether entries of the log are encrypted with this key.
    #[must_use]
    pub fn is_of_key(&self, seal: &Seal) -> bool {
        hex::decode(&self.key_check).and_then(|sealed| seal.open(&sealed)).as_deref() == Some(KEY_CHECK)
    }

    /// Returns the object's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads the bytes of the object. `None` if they are no such object.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<LogMeta> {
        let meta: LogMeta = serde_json::from_slice(bytes).ok()?;
        let is_id = hex::decode(&meta.file_id).is_some_and(|id| id.len() == FILE_ID_BYTES);
        (is_id && meta.slots > 0).then_some(meta)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(digits: &str) -> Seal {
        Seal::parse(&digits.repeat(32)).expect("a key")
    }

    #[test]
    fn the_constants_of_a_log_are_json_and_what_is_none_is_refused() {
        let meta = LogMeta::new(&[0xab; 16], 4096, &seal("5e"));
        let text = String::from_utf8(meta.to_bytes()).expect("JSON");
        let start = r#"{"form":3,"file_id":"abababababababababababababababab","slots":4096,"key_check":""#;
        assert!(text.starts_with(start), "{text}");
        assert_eq!(LogMeta::parse(text.as_bytes()), Some(meta));
        for (from, to) in [("abab", "xxxx"), ("abab", ""), (":4096", ":0"), (":4096", ":-1"), ("}", "")] {
            assert_eq!(LogMeta::parse(text.replace(from, to).as_bytes()), None, "{from} {to}");
        }
    }

    #[test]
    fn the_key_of_a_log_is_told_from_others() {
        let meta = LogMeta::new(&[0xab; 16], 4096, &seal("5e"));
        assert!(meta.is_of_key(&seal("5e")) && !meta.is_of_key(&seal("5f")));
        for key_check in ["", "zz", "00"].map(String::from) {
            assert!(!LogMeta { key_check, ..meta.clone() }.is_of_key(&seal("5e")));
        }
    }
}
