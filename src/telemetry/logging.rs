//! Logs: one line per event on standard error, as text for people or JSON for machines.
//!
//! Never in a log: bodies, contacts, buyers' texts, the random part of an order's id, keys, tokens.

mod error_lines;

use std::io::{self, IsTerminal, Write};

use tracing::level_filters::LevelFilter;

use error_lines::ErrorLines;
pub use error_lines::{flush, line};

/// Starts logging for the whole process. A second call changes nothing.
///
/// Texts of clients may be part of a message (a path, a header's name). Control characters are escaped in the output, so
/// that no client can forge a line or move the cursor of the operator's terminal.
pub fn init(level: LevelFilter, json: bool) {
    error_lines::start();
    let colours = !json && io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(move || OneLine { to: ErrorLines, colours })
        .with_target(false)
        .with_ansi(colours);
    // It fails only if logging was started before, which then stays in effect.
    let _started_before = if json { builder.json().try_init() } else { builder.try_init() };
}

/// Starts logging with a layer that collects the spans of traces at every log level.
#[cfg(feature = "otlp")]
pub fn init_with_spans(level: LevelFilter, json: bool, spans: super::spans::SpanLayer) {
    use tracing_subscriber::Layer;
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::util::SubscriberInitExt;
    error_lines::start();
    let colours = !json && io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(move || OneLine { to: ErrorLines, colours })
        .with_target(false)
        .with_ansi(colours);
    let lines = if json { lines.json().boxed() } else { lines.boxed() };
    let both = tracing_subscriber::registry()
        .with(lines.with_filter(level))
        .with(spans.with_filter(super::spans::only_traces()));
    let _started_before = both.try_init();
}

/// Writes each event, which arrives in one write, as one line.
struct OneLine<W> {
    to: W,
    /// With colours, escape characters are the formatter's own; it escapes those of messages itself.
    colours: bool,
}

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let body = event.strip_suffix(b"\n").unwrap_or(event);
        if body.iter().any(|byte| self.must_be_escaped(*byte)) {
            self.to.write_all(&self.escaped(body))?;
        } else {
            self.to.write_all(event)?;
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

impl<W> OneLine<W> {
    fn must_be_escaped(&self, byte: u8) -> bool {
        byte.is_ascii_control() && !(self.colours && byte == 0x1b)
    }

    fn escaped(&self, body: &[u8]) -> Vec<u8> {
        let mut line = Vec::with_capacity(body.len().saturating_add(16));
        for byte in body {
            if self.must_be_escaped(*byte) {
                line.extend(byte.escape_ascii());
            } else {
                line.push(*byte);
            }
        }
        line.push(b'\n');
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_stays_one_line_without_control_characters() {
        let mut written = Vec::new();
        let mut log = OneLine { to: &mut written, colours: false };
        log.write_all(b"GET /a\r\nforged line \x1b[2J\n").expect("memory takes it");
        log.write_all("plain – line\n".as_bytes()).expect("memory takes it");
        assert_eq!(String::from_utf8_lossy(&written), "GET /a\\r\\nforged line \\x1b[2J\nplain – line\n");
    }

    #[test]
    fn colours_stay_and_line_breaks_still_go() {
        let mut written = Vec::new();
        let mut log = OneLine { to: &mut written, colours: true };
        log.write_all(b"\x1b[32mINFO\x1b[0m a\nb\n").expect("memory takes it");
        assert_eq!(String::from_utf8_lossy(&written), "\u{1b}[32mINFO\u{1b}[0m a\\nb\n");
    }
}
