//! Validation of JSON bodies: every mistake is reported at once, with its place.

pub mod fields;
pub mod room_rules;
pub mod rules;
