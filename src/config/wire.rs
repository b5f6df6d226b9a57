//! The settings of the binary protocol.

use std::time::Duration;

use super::Setting;
use super::settings::setting;
use super::values::{address, count, millis, tls_file};
use super::{Config, TlsFiles};

/// What a client of the binary protocol may take of the server. Connections are counted together with those of HTTP.
#[derive(Clone, Debug, Default)]
pub struct WireLimits {
    pub in_flight_max: usize,
    pub subscriptions_max: usize,
    pub frames_per_second_max: u32,
    pub first_frame_timeout: Duration,
    pub frame_timeout: Duration,
    pub idle_timeout: Duration,
    pub write_timeout: Duration,
}

/// Its part of the table of settings.
pub(super) const SETTINGS: [Setting; 10] = [
    setting!("wire.listen", "127.0.0.1:8082", "address", "the binary protocol (src/wire/PROTOCOL.md)", |c, t| c
        .wire_listen =
        address(t)?),
    setting!("wire.tls_certificate", "", "file", "as `public.tls_certificate`", |c, t| tls_file(
        &mut c.wire_tls,
        t,
        |files| &mut files.certificate
    )),
    setting!("wire.tls_key", "", "file", "as `public.tls_key`", |c, t| tls_file(&mut c.wire_tls, t, |files| {
        &mut files.key
    })),
    setting!(
        "wire.in_flight_max",
        "64",
        "frames",
        "of one connection that wait for their answers; more stay unread until there is room",
        |c, t| c.wire.in_flight_max = count(t, 1, 4096)?
    ),
    setting!(
        "wire.subscriptions_max",
        "64",
        "auctions",
        "that one connection hears of; one more is refused with `limit-reached`",
        |c, t| c.wire.subscriptions_max = count(t, 1, 4096)?
    ),
    setting!(
        "wire.frames_per_second_max",
        "100000",
        "frames",
        "of one connection, and as many at once after a pause: more than who waits for answers can send; a flood is told `rate-limited` and closed",
        |c, t| c.wire.frames_per_second_max = u32::try_from(count(t, 1, 100_000_000)?).unwrap_or(u32::MAX)
    ),
    setting!(
        "wire.first_frame_timeout_ms",
        "5000",
        "ms",
        "from the connection to its first frame, or to a good HELLO where buyers have tokens",
        |c, t| c.wire.first_frame_timeout = millis(t, 50, 600_000)?
    ),
    setting!("wire.frame_timeout_ms", "5000", "ms", "for the rest of a frame", |c, t| c.wire.frame_timeout =
        millis(t, 50, 600_000)?),
    setting!(
        "wire.idle_timeout_ms",
        "150000",
        "ms",
        "without a frame; a client that only listens says PING meanwhile",
        |c, t| c.wire.idle_timeout = millis(t, 50, 86_400_000)?
    ),
    setting!("wire.write_timeout_ms", "10000", "ms", "until answers have left; who does not read is closed", |c, t| {
        c.wire.write_timeout = millis(t, 50, 600_000)?
    }),
];

/// What must hold between these settings.
pub(super) fn relations(config: &Config) -> [([&'static str; 2], bool, String); 1] {
    let whole = |files: &TlsFiles| ![&files.certificate, &files.key].iter().any(|path| path.as_os_str().is_empty());
    [(
        ["wire.tls_certificate", "wire.tls_key"],
        config.wire_tls.as_ref().is_none_or(whole),
        "wire.tls_certificate and wire.tls_key go together: one of them is missing".into(),
    )]
}
