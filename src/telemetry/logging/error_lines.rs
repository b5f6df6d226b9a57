//! Lines on their way to standard error. A thread of its own writes them: standard error may be a full disk, a pipe without
//! a reader, or a terminal that stands still, and a thread that logs neither fails nor waits for it.

use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

/// Lines that wait; further ones are lost, and counted.
const LINES_MAX: usize = 4096;
/// Longest wait of an ending process for its last lines.
const FLUSH_WITHIN: Duration = Duration::from_secs(1);

static SENDER: OnceLock<Sender<Message>> = OnceLock::new();
static LOST: AtomicU64 = AtomicU64::new(0);

enum Message {
    Line(Vec<u8>),
    /// The lines before it are written when this sender is dropped.
    Flush(Sender<()>),
}

/// Starts the thread, once. Without it lines are written by the thread that logs.
pub(super) fn start() {
    SENDER.get_or_init(|| {
        let (sender, receiver) = bounded(LINES_MAX);
        let write = move || write_all(&receiver);
        // Without a receiver each line is lost and counted.
        let _no_thread = std::thread::Builder::new().name("fc-log".into()).spawn(write);
        sender
    });
}

/// Writes a line for the person at the terminal, in its place among the lines of the log.
pub fn line(text: &str) {
    push(format!("{text}\n").into_bytes());
}

/// Waits a moment until the lines so far are written: before the process ends.
pub fn flush() {
    let Some(sender) = SENDER.get() else { return };
    let (held, written) = bounded(0);
    if sender.send_timeout(Message::Flush(held), FLUSH_WITHIN).is_ok() {
        let _dropped_or_late = written.recv_timeout(FLUSH_WITHIN);
    }
}

/// Takes each write as one line.
pub(super) struct ErrorLines;

impl Write for ErrorLines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        push(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn push(line: Vec<u8>) {
    let Some(sender) = SENDER.get() else { return write(&line) };
    if sender.try_send(Message::Line(line)).is_err() {
        note_lost();
    }
}

fn note_lost() {
    LOST.fetch_add(1, Ordering::Relaxed);
}

fn write(line: &[u8]) {
    if io::stderr().lock().write_all(line).is_err() {
        note_lost();
        return;
    }
    let lines = LOST.swap(0, Ordering::Relaxed);
    if lines > 0 {
        tracing::warn!(lines, "lines of the log are lost: standard error could not be written");
    }
}

fn write_all(receiver: &Receiver<Message>) {
    for message in receiver {
        match message {
            Message::Line(line) => write(&line),
            Message::Flush(held) => drop(held),
        }
    }
}
