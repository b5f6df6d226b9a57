//! A solver of challenges, written from the text of ALTCHA's protocol alone.

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use firstcome::types::hex;
use serde_json::{Value, json};

/// Returns the solution of a challenge, as its header carries it.
pub fn solve(challenge: &Value) -> String {
    let text = |name: &str| challenge[name].as_str().expect("a text");
    let hash = |number: &u64| {
        let hashed = digest::digest(&digest::SHA256, format!("{}{number}", text("salt")).as_bytes());
        hex::encode(hashed.as_ref()) == text("challenge")
    };
    let number = (0..=challenge["maxnumber"].as_u64().expect("a number")).find(hash).expect("solvable");
    let payload = json!({ "algorithm": text("algorithm"), "challenge": text("challenge"), "number": number,
                          "salt": text("salt"), "signature": text("signature") });
    STANDARD.encode(payload.to_string())
}
