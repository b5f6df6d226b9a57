//! Bugs on purpose, and places to be killed at, behind the cargo feature `failpoints`, which is never in a release: each
//! bug is caught by the test that is named beside it (`scripts/planted.sh` runs them all). Without the feature
//! everything here is a constant that compiles to nothing.

/// A bug that can be planted, by the variable `FIRSTCOME_PLANTED`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bug {
    /// Answers leave before the COMMIT.
    AckBeforeCommit,
    /// COMMIT does not wait for the disk.
    SynchronousOff,
    /// A reservation is still valid at the instant of its expiry.
    ExpiryInclusive,
    /// The order's idempotency key is remembered although its batch was not applied.
    KeyOutsideTransaction,
    /// Versions are published before the COMMIT.
    PublishBeforeCommit,
    /// The ETag of a drop is the published version, not the one of the row that was read.
    EtagFromAtomic,
    /// A commit that failed is answered as not applied.
    FaultIsNotApplied,
    /// After a failed commit the writer goes on.
    GoOnAfterFault,
    /// The watermark is not written.
    NoWatermark,
    /// A full disk leaves the batch in memory.
    FullKeepsMemory,
    /// A buyer's command is decided however long it waited.
    NeverTooOld,
    /// A client that leaves takes its command with it.
    LeaverCancels,
    /// One unit more than there is.
    OneTooMany,
    /// A refund puts the units of the whole order back.
    RefundRestocksAll,
    /// The inbox is not asked whether a provider's event was heard before.
    InboxNotAsked,
    /// A late payment takes units again whatever the buyer's limit is.
    LateBeatsLimit,
    /// Money that is not kept is not owed back.
    MoneyForNothing,
}

/// A place at which a test stops a thread, to kill the process there, by the variable `FIRSTCOME_PAUSE`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PausePoint {
    /// The writer, after BEGIN.
    AfterBegin,
    /// After all rows were written, before COMMIT.
    BeforeCommit,
    /// After COMMIT, before the watermark.
    AfterCommit,
    /// After the watermark, before the replies.
    AfterWatermark,
    /// The relay, before it lets a delivery go out.
    BeforeDelivery,
    /// The relay, when a delivery has its answer and nobody knows of it.
    AfterDelivery,
}

#[cfg(not(feature = "failpoints"))]
mod off {
    use super::{Bug, PausePoint};

    /// Whether this bug is planted.
    #[must_use]
    #[inline(always)]
    pub const fn enabled(_: Bug) -> bool {
        false
    }

    /// Stops here if a test wants it.
    #[inline(always)]
    pub const fn pause(_: PausePoint) {}
}

#[cfg(feature = "failpoints")]
mod on {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::{Bug, PausePoint};

    /// Whether this bug is planted.
    #[must_use]
    pub fn enabled(bug: Bug) -> bool {
        static PLANTED: OnceLock<Option<String>> = OnceLock::new();
        let planted = PLANTED.get_or_init(|| std::env::var("FIRSTCOME_PLANTED").ok());
        planted.as_deref().is_some_and(|name| name == format!("{bug:?}"))
    }

    /// Stops here if `FIRSTCOME_PAUSE` is `<place>:<n>` and this is the n-th time; says so in a file of that name in the
    /// directory `FIRSTCOME_PAUSE_DIR`.
    pub fn pause(place: PausePoint) {
        static WANTED: OnceLock<Option<(String, u64)>> = OnceLock::new();
        static PASSED: AtomicU64 = AtomicU64::new(0);
        let wanted = WANTED.get_or_init(|| {
            let text = std::env::var("FIRSTCOME_PAUSE").ok()?;
            let (place, times) = text.split_once(':')?;
            Some((place.to_string(), times.parse().ok()?))
        });
        let Some((name, times)) = wanted else { return };
        if *name != format!("{place:?}") || PASSED.fetch_add(1, Ordering::Relaxed).saturating_add(1) != *times {
            return;
        }
        if let Ok(directory) = std::env::var("FIRSTCOME_PAUSE_DIR") {
            let _told = std::fs::write(std::path::Path::new(&directory).join("paused"), name);
        }
        loop {
            std::thread::park();
        }
    }
}

#[cfg(not(feature = "failpoints"))]
pub use off::{enabled, pause};
#[cfg(feature = "failpoints")]
pub use on::{enabled, pause};
