//! The settings of buyers' tokens and identities.

use std::time::Duration;

use super::setting::{Setting, setting};
use super::values::{key_files, number, phone_region};

pub(super) const SETTINGS: &[Setting] = &[
    setting!(
        "identity.hs256_secret_files",
        "",
        "list",
        "FILE or KID=FILE: secrets of at least 32 bytes that sign buyers' tokens; with any key set, buyers need a token",
        |c, t| c.hs256_secret_files = key_files(t)?
    ),
    setting!(
        "identity.eddsa_public_key_files",
        "",
        "list",
        "FILE or KID=FILE: Ed25519 public keys (PEM) of buyers' tokens; several during a key rotation",
        |c, t| c.eddsa_public_key_files = key_files(t)?
    ),
    setting!("identity.audience", "", "text", "expected `aud` claim; required if any key is set", |c, t| c
        .identity_audience =
        t.trim().into()),
    setting!("identity.issuer", "", "text", "expected `iss` claim; not checked if unset", |c, t| c.identity_issuer =
        t.trim().into()),
    setting!("identity.leeway_seconds", "30", "s", "clock difference tolerated in `exp`, `nbf` and `iat`", |c, t| c
        .identity_leeway =
        Duration::from_secs(number(t, 0, 300)?)),
    setting!(
        "identity.phone_region",
        "",
        "country",
        "country (ISO 3166, such as `DE`) of phone numbers that are written without one, for caps on phones; if unset, such numbers are compared digit by digit",
        |c, t| c.identity_phone_region = phone_region(t)?
    ),
];
