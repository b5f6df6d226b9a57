//! Creations that ask for a repeat only.

use firstcome::api::code::Code;
use serde_json::Value;

use crate::http::{Server, call};
use crate::{JSON, is};

/// A creation that asks for a repeat only has no effect with a new key, and is answered as ever with a known one.
pub(crate) fn only(server: &Server, path: &str, body: &Value) {
    let send = |repeat_only: &str| {
        let headers = format!("{JSON}Idempotency-Key: only-{}\r\n{repeat_only}", path.len());
        call(server.0.server.admin_address, "POST", path, &headers, &body.to_string())
    };
    let asked = "Firstcome-Repeat-Only: true\r\n";
    is(&send(asked), Code::NotFound);
    let made = send("");
    assert_eq!(made.status, 201, "it was not made before: {}", made.text);
    let again = send(asked);
    assert_eq!((again.status, &again.body["id"]), (201, &made.body["id"]));
    assert!(again.headers.contains_key("idempotent-replayed"));
    is(&send("Firstcome-Repeat-Only: yes\r\n"), Code::Validation);
}
