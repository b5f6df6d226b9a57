//! The proof at a start: a server goes on with everything that was acknowledged, or refuses.

use super::load::{Loaded, load};
use super::{Store, StoreError, verify};
use crate::memory;

/// Loads the state and verifies the file at the same time: a server never starts with fewer events than were
/// acknowledged, nor with altered rows.
///
/// The load, the proof of the rows and that of the pages run side by side, with a connection each. All of them see the same content,
/// because the store has the lock of the directory and its writer does not run yet.
///
/// # Errors
/// [`StoreError::Inconsistent`] with the first problem.
pub fn load_verified(store: &Store, idempotency_keys_max: usize) -> Result<Loaded, StoreError> {
    let (report, loaded) = std::thread::scope(|scope| {
        let path = store.path.as_path();
        let proof = scope.spawn(move || verify::verify_still(path));
        let loaded = load(&store.connection, &store.digest_key, idempotency_keys_max);
        (proof.join(), loaded)
    });
    let report = report.map_err(|_| StoreError::Inconsistent("the verification panicked".into()))??;
    if let Some(problem) = report.problems.first() {
        return Err(StoreError::Inconsistent(format!("{problem} ({} problems in all)", report.problem_count)));
    }
    let loaded = loaded?;
    if loaded.state.seq() != report.last_seq {
        let (loaded, proved) = (loaded.state.seq(), report.last_seq);
        let what = format!("event {loaded} was the last that was loaded, and {proved} the last that was verified");
        return Err(StoreError::Inconsistent(format!("{what}: another program has written the file meanwhile")));
    }
    memory::give_back();
    Ok(loaded)
}
