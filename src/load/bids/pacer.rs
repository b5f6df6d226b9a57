//! Wakes connections when bids are due, from a thread of its own: the timers of a runtime have a resolution of a
//! millisecond, which every latency would show.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use tokio::sync::Notify;

use crate::load::shared::be_punctual;

/// The due instant of a connection's first bid, and its waker.
pub(super) type First = (Instant, Arc<Notify>);

/// Wakes each connection `times` times, `pace` apart from its first instant on, or until `over` is closed. The first instants
/// must ascend and lie within one `pace`.
pub(super) fn run(first: &[First], pace: Duration, times: u32, over: &Receiver<()>) {
    be_punctual();
    for round in 0..times {
        for (instant, connection) in first {
            match over.recv_deadline(*instant + pace.saturating_mul(round)) {
                Err(RecvTimeoutError::Timeout) => connection.notify_one(),
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_wakes_every_connection_at_its_instants_and_never_before() {
        let (start, pace) = (Instant::now(), Duration::from_micros(900));
        let first: Vec<First> = (0..3).map(|number| (start + pace / 3 * number, Arc::default())).collect();
        let (over, heard) = crossbeam_channel::bounded(0);
        let connections = first.clone();
        let pacing = std::thread::spawn(move || run(&first, pace, 5, &heard));
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        for (first, pacer) in &connections {
            runtime.block_on(pacer.notified());
            assert!(Instant::now() >= *first);
        }
        pacing.join().expect("it ends by itself");
        assert!(Instant::now() >= start + pace * 4, "it woke each of them five times");
        drop(over);
    }

    #[test]
    fn it_ends_when_the_run_is_over() {
        let (over, heard) = crossbeam_channel::bounded::<()>(0);
        let far = [(Instant::now() + Duration::from_secs(3600), Arc::default())];
        let pacing = std::thread::spawn(move || run(&far, Duration::from_secs(1), 1, &heard));
        drop(over);
        pacing.join().expect("it ends");
    }
}
