//! The log on standard error, and the export of trace spans to an OTLP collector if the configuration names one and the
//! program was built with the feature `otlp`.

#[cfg(feature = "otlp")]
mod collector;
#[cfg(feature = "otlp")]
mod messages;

use crate::config::Config;
use crate::exit::Exit;
use crate::telemetry::{Telemetry, logging};

#[cfg(feature = "otlp")]
use collector::{Collector, Exporter};

/// Export of spans, before the server runs.
pub struct TraceExport {
    #[cfg(feature = "otlp")]
    collector: Option<Collector>,
}

/// Export of spans while the server runs.
pub struct RunningExport {
    #[cfg(feature = "otlp")]
    exporter: Option<Exporter>,
}

#[cfg(feature = "otlp")]
impl TraceExport {
    /// Starts the log of the whole process.
    ///
    /// # Errors
    /// If the URL of the collector is not valid.
    pub fn init(config: &Config) -> Result<TraceExport, Exit> {
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
        Ok(TraceExport { collector })
    }

    /// Starts the thread that sends spans.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn start(self, telemetry: &Telemetry) -> Result<RunningExport, Exit> {
        let exporter = self.collector.map(|collector| collector.start(telemetry)).transpose();
        let exporter = exporter.map_err(|error| Exit::system(format!("the trace thread could not start: {error}")))?;
        Ok(RunningExport { exporter })
    }
}

#[cfg(feature = "otlp")]
impl RunningExport {
    /// Sends the remaining spans, with a time limit.
    pub fn stop(self) {
        if let Some(exporter) = self.exporter {
            exporter.stop();
        }
    }
}

#[cfg(not(feature = "otlp"))]
impl TraceExport {
    /// Starts the log of the whole process.
    ///
    /// # Errors
    /// If the URL of the collector is not valid.
    pub fn init(config: &Config) -> Result<TraceExport, Exit> {
        logging::init(config.log_level, config.log_json);
        Ok(TraceExport {})
    }

    pub fn start(self, _telemetry: &Telemetry) -> Result<RunningExport, Exit> {
        Ok(RunningExport {})
    }
}

#[cfg(not(feature = "otlp"))]
impl RunningExport {
    pub fn stop(self) {}
}
