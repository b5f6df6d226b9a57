//! The schedule of the note beside the data directory: the query thread keeps it up to date, so that the writer pays nothing
//! for it.

use std::rc::Rc;
use std::time::Duration;

use crate::http::worker::Worker;
use crate::store::beside::NoteKeeper;
use crate::store::open::link_at;

/// Events of the last seconds are missing in the note after a crash, and only weaken it.
const INTERVAL: Duration = Duration::from_secs(10);

/// Keeps the note until the runtime ends.
pub(super) async fn keep(worker: Rc<Worker>, mut note: NoteKeeper) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        note.keep(|seq| worker.reader.read(|connection| link_at(connection, seq)).ok()?);
    }
}
