//! The frames of the consoles, and what they are made of.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::Instant;

use hyper::body::Bytes;
use tokio::sync::{Mutex, watch};

use crate::api::json::console::{ConsoleFrame, ConsolePoint};
use crate::telemetry::page::MetricsPage;

/// The frames of one thread, which is that of the admin listener.
pub(in crate::http) struct ConsoleState {
    /// The newest frame as JSON, with its number. A console that reads slowly misses some.
    pub(super) newest: watch::Sender<(u64, Bytes)>,
    pub(super) frame: RefCell<Option<ConsoleFrame>>,
    pub(super) points: RefCell<VecDeque<ConsolePoint>>,
    pub(super) pages: RefCell<VecDeque<(Instant, MetricsPage)>>,
    pub(super) is_measuring: Cell<bool>,
    pub(super) consoles: Cell<usize>,
    /// The answer to a question about the alerts, and its instant.
    pub(in crate::http) alerts: Mutex<Option<(Instant, Bytes)>>,
    /// Held while the checks before a sale run.
    pub(in crate::http) preflight: Mutex<()>,
}

impl Default for ConsoleState {
    fn default() -> ConsoleState {
        ConsoleState {
            newest: watch::Sender::new((0, Bytes::new())),
            frame: RefCell::default(),
            points: RefCell::default(),
            pages: RefCell::default(),
            is_measuring: Cell::new(false),
            consoles: Cell::new(0),
            alerts: Mutex::new(None),
            preflight: Mutex::new(()),
        }
    }
}
