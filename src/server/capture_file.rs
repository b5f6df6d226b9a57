//! `serve --capture`: the recorder's thread, and how it loads a state after a gap.

use std::sync::Arc;
use std::thread::JoinHandle;

use crate::capture::Tap;
use crate::capture::format::Header;
use crate::capture::recorder::{self, Limits};
use crate::config::Config;
use crate::engine::State;
use crate::exit::Exit;
use crate::read::connection::Reader;
use crate::store::{Store, load};
use crate::telemetry::{Telemetry, catalogue};
use crate::types::SnapshotGate;

/// A running capture, from the server's side.
pub(super) struct Capture {
    /// For the writer.
    pub(super) tap: Tap,
    /// Ends after the writer.
    pub(super) thread: JoinHandle<()>,
}

/// Begins a capture with the state of the start, if one is wanted.
///
/// # Errors
/// The file cannot be made (64), no thread (71).
pub(super) fn begin(
    config: &Config,
    store: &Store,
    state: &State,
    gate: &Arc<SnapshotGate>,
    telemetry: &Telemetry,
) -> Result<Option<Capture>, Exit> {
    let dropped = telemetry.counter(&catalogue::CAPTURE_DROPPED, &[]);
    let Some(path) = &config.capture_file else { return Ok(None) };
    let (database, key, gate) = (store.path.clone(), store.digest_key.clone(), Arc::clone(gate));
    let keys_max = config.idempotency_keys_max;
    let load = move || {
        let reader = Reader::open(&database, Arc::clone(&gate)).map_err(|error| error.to_string())?;
        let loaded = reader.snapshot(|connection| Ok(load::load(connection, &key, keys_max)));
        let loaded = loaded.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        Ok(loaded.state)
    };
    let header = Header { file_id: store.file_id, epoch: store.epoch };
    let limits = Limits::of_bytes(config.capture_bytes_max);
    let (tap, recorder) = recorder::begin(path, header, state, limits, dropped, Box::new(load))
        .map_err(|error| Exit::usage(format!("capture.file {}: {error}", path.display())))?;
    tracing::info!(path = %recorder.path().display(), "every decided command is captured");
    let thread = std::thread::Builder::new()
        .name("fc-capture".into())
        .spawn(move || recorder.run())
        .map_err(|error| Exit::system(format!("the capture's thread could not start: {error}")))?;
    Ok(Some(Capture { tap, thread }))
}
