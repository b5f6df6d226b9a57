//! What a serving thread records of the binary protocol.

use super::Telemetry;
use super::catalogue as metric;
use super::local::{LocalCounter, LocalGauge};

/// What became of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FrameResult {
    /// It was done.
    Accepted,
    /// It was decided: no.
    Refused,
    /// It was not let in: nothing was decided.
    Rejected,
    /// Something broke.
    Fault,
}

const FRAME_RESULTS: [&str; 4] = ["accepted", "refused", "turned_away", "fault"];

/// Frames by type and fate.
pub struct WireMeter {
    types: &'static [&'static str],
    frames: Vec<[LocalCounter; FRAME_RESULTS.len()]>,
    subscriptions: LocalGauge,
}

impl WireMeter {
    /// A meter; types are told by their index from here on.
    #[must_use]
    pub fn new(telemetry: &Telemetry, types: &'static [&'static str]) -> WireMeter {
        let frames = types.iter().map(|_| std::array::from_fn(|_| LocalCounter::new())).collect();
        let subscriptions = LocalGauge::new(telemetry.gauge(&metric::WIRE_SUBSCRIPTIONS, &[]));
        WireMeter { types, frames, subscriptions }
    }

    /// A frame was answered.
    pub fn frame(&mut self, kind: usize, fate: FrameResult) {
        if let Some(counter) = self.frames.get_mut(kind).and_then(|fates| fates.get_mut(fate as usize)) {
            counter.bump();
        }
    }

    /// So many subscriptions there are.
    pub fn subscriptions(&mut self, open: u32) {
        self.subscriptions.set(open);
    }

    /// Once a second: hands everything over.
    pub fn flush(&mut self, telemetry: &Telemetry) {
        self.subscriptions.flush();
        for (kind, fates) in self.types.iter().zip(&mut self.frames) {
            for (counter, fate) in fates.iter_mut().zip(FRAME_RESULTS) {
                counter.flush(|| telemetry.counter(&metric::WIRE_FRAMES, &[("type", kind), ("outcome", fate)]));
            }
        }
    }
}
