//! The server's own figures during a ladder, read from `/metrics` of its admin listener.
//!
//! Runs on a thread of its own, twice a second. Invariant: what cannot be read is a gap in the figures, never the end of
//! the ladder.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::client::http::HttpClient;
use crate::exit::Exit;
use crate::telemetry::catalogue::{BATCH_COMMANDS, QUEUE_DEPTH, RESIDENT};
use crate::telemetry::page::MetricsPage;

/// The interval of reads of the metrics.
const EVERY: Duration = Duration::from_millis(500);
/// The most samples that are kept: the longest ladder has fewer.
const SAMPLES_MAX: usize = 100_000;

/// The figures of one read of the metrics.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct ScrapedSample {
    /// The instant, since the start of the ladder.
    pub(super) at: Duration,
    /// Commands that waited for the writer.
    pub(super) queue_depth: f64,
    /// Batches since the server's start, and the commands in them.
    pub(super) batches: f64,
    pub(super) commands: f64,
    pub(super) resident_bytes: f64,
}

impl ScrapedSample {
    fn parse(at: Duration, text: &str) -> Option<ScrapedSample> {
        let page = MetricsPage::parse(text).ok()?;
        Some(ScrapedSample {
            at,
            queue_depth: page.value(QUEUE_DEPTH.name)?,
            batches: page.value(&format!("{}_count", BATCH_COMMANDS.name))?,
            commands: page.value(&format!("{}_sum", BATCH_COMMANDS.name))?,
            resident_bytes: page.value(RESIDENT.name)?,
        })
    }
}

/// The mean size of the batches between samples, at the later one. The writer hands its figures over once a second, so
/// samples without a change are passed over.
pub(super) fn batch_sizes(samples: &[ScrapedSample]) -> Vec<(Duration, f64)> {
    let mut sizes = Vec::new();
    let Some(mut last) = samples.first().copied() else { return sizes };
    for sample in samples {
        if sample.batches > last.batches {
            sizes.push((sample.at, (sample.commands - last.commands) / (sample.batches - last.batches)));
            last = *sample;
        } else if sample.batches < last.batches {
            last = *sample; // another server since
        }
    }
    sizes
}

/// The thread that reads the metrics.
pub(super) struct MetricsScraper {
    stop: Sender<()>,
    thread: JoinHandle<Vec<ScrapedSample>>,
}

impl MetricsScraper {
    /// Starts the thread that reads.
    ///
    /// # Errors
    /// No thread (71).
    pub(super) fn start(admin: HttpClient, start: Instant) -> Result<MetricsScraper, Exit> {
        let (stop, stopped) = bounded(1);
        let scrape = move || scrape(&admin, start, &stopped);
        let thread = std::thread::Builder::new().name("rush-metrics".into()).spawn(scrape);
        let thread = thread.map_err(|error| Exit::system(format!("no thread: {error}")))?;
        Ok(MetricsScraper { stop, thread })
    }

    /// Ends the thread, and gives all samples.
    pub(super) fn stop(self) -> Vec<ScrapedSample> {
        drop(self.stop);
        self.thread.join().unwrap_or_default()
    }
}

fn scrape(admin: &HttpClient, start: Instant, stopped: &Receiver<()>) -> Vec<ScrapedSample> {
    let mut samples = Vec::new();
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return samples };
    while samples.len() < SAMPLES_MAX {
        // A failed read is a gap.
        let text = runtime.block_on(admin.get_text("/metrics")).unwrap_or_default();
        let sample = ScrapedSample::parse(start.elapsed(), &text);
        samples.extend(sample);
        match stopped.recv_timeout(EVERY) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    samples
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(seconds: u64, batches: f64, commands: f64) -> ScrapedSample {
        ScrapedSample { at: Duration::from_secs(seconds), queue_depth: 0.0, batches, commands, resident_bytes: 0.0 }
    }

    #[test]
    fn the_figures_are_found_among_the_others() {
        let text = "# HELP firstcome_writer_queue_depth x\nfirstcome_writer_queue_depth_x 9\nfirstcome_writer_queue_depth 7\n\
                    firstcome_writer_batch_commands_bucket{le=\"1\"} 3\nfirstcome_writer_batch_commands_sum 40\n\
                    firstcome_writer_batch_commands_count 4\nfirstcome_resident_memory_bytes 12345678\n";
        let found = ScrapedSample::parse(Duration::ZERO, text).expect("all are there");
        assert_eq!((found.queue_depth, found.batches, found.commands), (7.0, 4.0, 40.0));
        assert_eq!(ScrapedSample::parse(Duration::ZERO, "firstcome_writer_queue_depth 7\n"), None, "a half is a gap");
    }

    #[test]
    fn batch_sizes_are_those_since_the_last_news() {
        let samples = [sample(0, 10.0, 10.0), sample(1, 10.0, 10.0), sample(2, 12.0, 30.0), sample(3, 1.0, 1.0)];
        assert_eq!(batch_sizes(&samples), [(Duration::from_secs(2), 10.0)]);
        assert_eq!(batch_sizes(&[]), []);
    }
}
