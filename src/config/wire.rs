//! The settings of the wire protocol.

use super::limits::Relation;
use super::model::{Config, TlsFiles};
use super::setting::{Setting, setting};
use super::values::{address, count, millis, tls_file};

pub(super) const SETTINGS: &[Setting] = &[
    setting!(
        "wire.listen",
        "127.0.0.1:8082",
        "address",
        "address of the wire protocol's listener (src/wire/PROTOCOL.md)",
        |c, t| c.wire_listen = address(t)?
    ),
    setting!("wire.tls_certificate", "", "file", "same as `public.tls_certificate`", |c, t| tls_file(
        &mut c.wire_tls,
        t,
        |files| &mut files.certificate
    )),
    setting!("wire.tls_key", "", "file", "same as `public.tls_key`", |c, t| tls_file(&mut c.wire_tls, t, |files| {
        &mut files.key
    })),
    setting!(
        "wire.in_flight_max",
        "64",
        "frames",
        "frames of one connection that wait for their replies; further ones stay unread",
        |c, t| c.wire.in_flight_max = count(t, 1, 4096)?
    ),
    setting!(
        "wire.subscriptions_max",
        "64",
        "auctions",
        "auctions that one connection subscribes to; one more is refused with `limit-reached`",
        |c, t| c.wire.subscriptions_max = count(t, 1, 4096)?
    ),
    setting!(
        "wire.frames_per_second_max",
        "100000",
        "frames",
        "frames of one connection, and as many at once after a pause; above it the connection is answered `rate-limited` and closed; a client that waits for replies cannot reach it",
        |c, t| c.wire.frames_per_second_max = u32::try_from(count(t, 1, 100_000_000)?).unwrap_or(u32::MAX)
    ),
    setting!(
        "wire.first_frame_timeout_ms",
        "5000",
        "ms",
        "time from accept to the first frame, or to a valid HELLO if buyers need tokens",
        |c, t| c.wire.first_frame_timeout = millis(t, 50, 600_000)?
    ),
    setting!("wire.frame_timeout_ms", "5000", "ms", "time for the rest of a frame", |c, t| c.wire.frame_timeout =
        millis(t, 50, 600_000)?),
    setting!(
        "wire.idle_timeout_ms",
        "150000",
        "ms",
        "time without a frame; a client that only listens sends PING",
        |c, t| c.wire.idle_timeout = millis(t, 50, 86_400_000)?
    ),
    setting!(
        "wire.write_timeout_ms",
        "10000",
        "ms",
        "time until replies are sent; a client that does not read is disconnected",
        |c, t| { c.wire.write_timeout = millis(t, 50, 600_000)? }
    ),
];

pub(super) fn relations(config: &Config) -> [Relation; 1] {
    let whole = |files: &TlsFiles| ![&files.certificate, &files.key].iter().any(|path| path.as_os_str().is_empty());
    [(
        ["wire.tls_certificate", "wire.tls_key"],
        config.wire_tls.as_ref().is_none_or(whole),
        "wire.tls_certificate and wire.tls_key must both be set".into(),
    )]
}
