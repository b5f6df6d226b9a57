//! The schedule of the note beside the data directory: the query thread keeps it up to date, so that the writer pays nothing
//! for it.

use std::rc::Rc;
use std::time::Duration;

use crate::http::worker::Worker;
use crate::store::beside::NoteKeeper;
use crate::store::open::link_at;

/// Interval of the looks at the file of operators' tokens, which a rescue puts beside a lost database.
const LOOK: Duration = Duration::from_secs(1);
/// Looks between two notes: events of the last seconds are missing in the note after a crash, and only weaken it.
const LOOKS_PER_NOTE: u32 = 10;

/// Keeps the note until the runtime ends.
pub(super) async fn keep(worker: Rc<Worker>, mut note: NoteKeeper) {
    loop {
        for _ in 0..LOOKS_PER_NOTE {
            tokio::time::sleep(LOOK).await;
            if worker.server.admission.operators.look() {
                note.keep_tokens();
            }
        }
        note.keep(|seq| worker.reader.read(|connection| link_at(connection, seq)).ok()?);
    }
}
