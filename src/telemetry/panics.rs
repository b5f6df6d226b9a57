//! Panics of background threads: each is logged and counted at once, and the work begins again if it can.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use metrics::Counter;

use super::{Telemetry, catalogue as metric};

/// Pause before work begins again, so that a panic at its first step does not cost a core.
pub const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// Counter of the panics of one thread or task.
#[derive(Clone)]
pub struct PanicMeter {
    thread: &'static str,
    panics: Counter,
}

impl PanicMeter {
    #[must_use]
    pub fn new(telemetry: &Telemetry, thread: &'static str) -> PanicMeter {
        PanicMeter { thread, panics: telemetry.counter(&metric::THREAD_PANICS, &[("thread", thread)]) }
    }

    /// Logs and counts a panic.
    pub fn note(&self, panic: &(dyn Any + Send)) {
        let message = panic.downcast_ref::<String>().map(String::as_str);
        let message = message.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
        self.panics.increment(1);
        tracing::error!(thread = self.thread, panic = message, "a background thread panicked");
    }

    /// Runs work once. Returns `None` after a panic.
    pub fn catch<T>(&self, work: impl FnOnce() -> T) -> Option<T> {
        catch_unwind(AssertUnwindSafe(work)).map_err(|panic| self.note(&*panic)).ok()
    }

    /// Runs work again and again until it returns without a panic, or `stopping` says so.
    pub fn restart_until(&self, stopping: impl Fn() -> bool, mut work: impl FnMut()) {
        while self.catch(&mut work).is_none() {
            let until = Instant::now() + RESTART_PAUSE;
            while Instant::now() < until {
                if stopping() {
                    return;
                }
                std::thread::park_timeout(RESTART_PAUSE / 20);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_counted_and_the_work_begins_again_until_it_returns_or_the_server_stops() {
        let telemetry = Telemetry::new();
        let meter = PanicMeter::new(&telemetry, "fc-outbox");
        let mut runs = 0;
        meter.restart_until(
            || false,
            || {
                runs += 1;
                assert!(runs == 2, "the first run panics");
            },
        );
        assert_eq!(runs, 2);
        meter.restart_until(|| true, || panic!("always"));
        let page = telemetry.render();
        assert!(page.contains("firstcome_thread_panics_total{thread=\"fc-outbox\"} 2"), "{page}");
    }
}
