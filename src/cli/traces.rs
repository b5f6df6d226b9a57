//! Where the log and the traces of a server go: lines to standard error, and spans to a collector, if the program has
//! collectors and the configuration names one.

#[cfg(feature = "otlp")]
mod collector;
#[cfg(feature = "otlp")]
mod messages;

use crate::config::Config;
use crate::exit::Exit;
use crate::telemetry::{Telemetry, logging};

#[cfg(feature = "otlp")]
use collector::{Collector, Sending};

/// The way of spans, before a server runs.
pub(super) struct Traces {
    #[cfg(feature = "otlp")]
    collector: Option<Collector>,
}

/// The way of spans, while it runs.
pub(super) struct Running {
    #[cfg(feature = "otlp")]
    sending: Option<Sending>,
}

#[cfg(feature = "otlp")]
impl Traces {
    /// Starts the log, for the whole process.
    pub(super) fn begin(config: &Config) -> Result<Traces, Exit> {
        let opened = Collector::open(&config.traces.otlp_url).map_err(|mistake| Exit::usage(mistake.0))?;
        let collector = match opened {
            Some((layer, collector)) => {
                logging::init_with_spans(config.log_level, config.log_json, layer);
                Some(collector)
            }
            None => {
                logging::init(config.log_level, config.log_json);
                None
            }
        };
        Ok(Traces { collector })
    }

    /// Starts to send.
    pub(super) fn start(self, telemetry: &Telemetry) -> Result<Running, Exit> {
        let sending = self.collector.map(|collector| collector.start(telemetry)).transpose();
        let sending =
            sending.map_err(|error| Exit::system(format!("the thread of traces could not start: {error}")))?;
        Ok(Running { sending })
    }
}

#[cfg(feature = "otlp")]
impl Running {
    /// Sends what is left, if that is quick.
    pub(super) fn stop(self) {
        if let Some(sending) = self.sending {
            sending.stop();
        }
    }
}

#[cfg(not(feature = "otlp"))]
impl Traces {
    /// Starts the log, for the whole process.
    pub(super) fn begin(config: &Config) -> Result<Traces, Exit> {
        logging::init(config.log_level, config.log_json);
        Ok(Traces {})
    }

    /// There is no collector.
    pub(super) fn start(self, _telemetry: &Telemetry) -> Result<Running, Exit> {
        Ok(Running {})
    }
}

#[cfg(not(feature = "otlp"))]
impl Running {
    /// There is no collector.
    pub(super) fn stop(self) {}
}
