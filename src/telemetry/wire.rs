//! Metrics of a worker for the wire protocol.

use super::Telemetry;
use super::catalogue as metric;
use super::local::{LocalCounter, LocalGauge};

/// Result of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FrameResult {
    Accepted,
    /// Decided no by the engine.
    Refused,
    /// Not admitted; nothing was decided.
    Rejected,
    /// Failed because of the disk or a bug.
    Fault,
}

const FRAME_RESULTS: [&str; 4] = ["accepted", "refused", "turned_away", "fault"];

/// Meter of a worker: frames by type and result, and open subscriptions.
pub struct WireMeter {
    types: &'static [&'static str],
    frames: Vec<[LocalCounter; FRAME_RESULTS.len()]>,
    subscriptions: LocalGauge,
}

impl WireMeter {
    /// `types` are the names of frame types, given by their index in calls.
    #[must_use]
    pub fn new(telemetry: &Telemetry, types: &'static [&'static str]) -> WireMeter {
        let frames = types.iter().map(|_| std::array::from_fn(|_| LocalCounter::new())).collect();
        let subscriptions = LocalGauge::new(telemetry.gauge(&metric::WIRE_SUBSCRIPTIONS, &[]));
        WireMeter { types, frames, subscriptions }
    }

    /// Counts an answered frame.
    pub fn frame(&mut self, kind: usize, result: FrameResult) {
        if let Some(counter) = self.frames.get_mut(kind).and_then(|results| results.get_mut(result as usize)) {
            counter.bump();
        }
    }

    /// Sets the number of open subscriptions.
    pub fn subscriptions(&mut self, open: u32) {
        self.subscriptions.set(open);
    }

    /// Adds everything to the shared metrics, once a second.
    pub fn flush(&mut self, telemetry: &Telemetry) {
        self.subscriptions.flush();
        for (kind, fates) in self.types.iter().zip(&mut self.frames) {
            for (counter, fate) in fates.iter_mut().zip(FRAME_RESULTS) {
                counter.flush(|| telemetry.counter(&metric::WIRE_FRAMES, &[("type", kind), ("outcome", fate)]));
            }
        }
    }
}
