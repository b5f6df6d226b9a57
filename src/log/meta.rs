//! The constant part of a log: the key `meta`, a JSON object that is written once, with the log's first head.

use serde::{Deserialize, Serialize};

use super::entry;
use crate::types::hex;

/// Length of a file's id in bytes.
const FILE_ID_BYTES: usize = 16;

/// The constants of a log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LogMeta {
    /// The version of entries that all nodes must be able to read.
    pub form: u8,
    /// Id of the file that all nodes have copies of, as hexadecimal digits.
    pub file_id: String,
    /// Number of slots of the ring of entries.
    pub slots: u64,
}

impl LogMeta {
    /// Returns the constants of a new log of a file.
    #[must_use]
    pub fn new(file_id: &[u8; FILE_ID_BYTES], slots: u64) -> LogMeta {
        LogMeta { form: entry::VERSION, file_id: hex::encode(file_id), slots }
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

    #[test]
    fn the_constants_of_a_log_are_json_and_what_is_none_is_refused() {
        let meta = LogMeta::new(&[0xab; 16], 4096);
        let text = r#"{"form":1,"file_id":"abababababababababababababababab","slots":4096}"#;
        assert_eq!(meta.to_bytes(), text.as_bytes());
        assert_eq!(LogMeta::parse(text.as_bytes()), Some(meta));
        for (from, to) in [("abab", "xxxx"), ("abab", ""), ("4096", "0"), ("4096", "-1"), ("}", "")] {
            assert_eq!(LogMeta::parse(text.replace(from, to).as_bytes()), None, "{from} {to}");
        }
    }
}
