//! `serve --capture`: starts the recorder's thread, which loads a state from the database after a gap.

use std::io;
use std::path::Path;
use std::thread::JoinHandle;

use crate::capture::Tap;
use crate::capture::format::Header;
use crate::capture::recorder::{self, Limits};
use crate::config::Config;
use crate::engine::State;
use crate::exit::{self, Exit};
use crate::read::Reader;
use crate::store::{Store, load};
use crate::telemetry::{PanicMeter, Telemetry, catalogue};

/// A running capture.
pub(super) struct Capture {
    pub(super) tap: Tap,
    /// The recorder, which ends after the writer.
    pub(super) thread: JoinHandle<()>,
}

/// Starts a capture with the state of the start, if one is configured.
///
/// # Errors
/// If the file or the thread fails to be created.
pub(super) fn begin(
    config: &Config,
    store: &Store,
    state: &State,
    reader: &Reader,
    telemetry: &Telemetry,
) -> Result<Option<Capture>, Exit> {
    let dropped = telemetry.counter(&catalogue::CAPTURE_DROPPED, &[]);
    let Some(path) = &config.capture_file else { return Ok(None) };
    let (reader, key) = (reader.clone(), store.digest_key.clone());
    let (keys_max, shard) = (config.idempotency_keys_max, state.shard());
    let load = move || {
        let loaded = reader.snapshot(|connection| Ok(load::load(connection, &key, keys_max)));
        let mut loaded = loaded.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        loaded.settle_shard(shard).map_err(|error| error.to_string())?;
        Ok(loaded.state)
    };
    let header = Header { file_id: store.file_id, epoch: store.epoch };
    let limits = Limits::of_bytes(config.capture_bytes_max);
    let (tap, recorder) =
        recorder::begin(path, header, state, limits, dropped, Box::new(load)).map_err(|error| refusal(path, &error))?;
    tracing::info!(path = %recorder.path().display(), "capture started");
    let panics = PanicMeter::new(telemetry, "fc-capture");
    let thread = std::thread::Builder::new()
        .name("fc-capture".into())
        .spawn(move || {
            // Its file cannot be continued; selling goes on without it.
            let _ended = panics.catch(|| recorder.run());
        })
        .map_err(|error| Exit::system(format!("the capture's thread could not start: {error}")))?;
    Ok(Some(Capture { tap, thread }))
}

/// Returns the end of a start whose capture cannot be made: another name may help, unless the disk takes none.
fn refusal(path: &Path, error: &io::Error) -> Exit {
    let line = format!("capture.file {}: {error}{}", path.display(), exit::next_step(error));
    if exit::is_of_the_disk(error) { Exit::cannot_create(line) } else { Exit::usage(line) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capture_for_which_the_disk_has_no_room_is_73_with_the_next_step_and_one_at_a_wrong_path_64() {
        let of = |errno| refusal(Path::new("/a/capture"), &io::Error::from_raw_os_error(errno));
        let full = of(libc::ENOSPC);
        assert!(full.code == exit::CANNOT_CREATE && full.message.ends_with("; free space on its disk"), "{full:?}");
        assert!(full.message.starts_with("capture.file /a/capture: "), "{full:?}");
        assert_eq!([libc::ENOENT, libc::EACCES].map(|errno| of(errno).code), [exit::USAGE; 2]);
    }
}
