//! Planted bugs and pause points for tests, behind the cargo feature `failpoints`, which is never in a release.
//! `scripts/planted.sh` runs, for each bug, the test that must catch it. Without the feature everything here is a constant
//! that compiles to nothing.

/// A bug that the environment variable `FIRSTCOME_PLANTED` plants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bug {
    /// Replies leave before the COMMIT.
    AckBeforeCommit,
    /// COMMIT does not wait for the disk.
    SynchronousOff,
    /// A reservation is still valid at the instant of its expiry.
    ExpiryInclusive,
    /// An order's idempotency key is remembered although its batch was not applied.
    KeyOutsideTransaction,
    /// Versions are published before the COMMIT.
    PublishBeforeCommit,
    /// A drop's ETag is the published version instead of the version of the row that was read.
    EtagFromAtomic,
    /// A failed commit is answered as not applied.
    FaultIsNotApplied,
    /// The writer continues after a failed commit.
    GoOnAfterFault,
    /// The watermark is not written.
    NoWatermark,
    /// The batch stays in memory after a full disk.
    FullKeepsMemory,
    /// A buyer's command is decided after any queue time.
    NeverTooOld,
    /// A disconnect of the client cancels its command.
    LeaverCancels,
    /// One unit more than the total can be sold.
    OneTooMany,
    /// The orders of a blind window are decided in the order of their arrival.
    BlindByArrival,
    /// The last in a line gets the units that come back.
    StandbyPassedOver,
    /// Units that come back are offered to the line a millisecond later: a new buyer takes them.
    StandbyAfterNewBuyer,
    /// A cap on an identity counts orders instead of units.
    CapCountsOrders,
    /// An expired order keeps the units of its identities.
    ExpiredKeepsIdentity,
    /// `verify` does not recount caps.
    VerifySkipsCaps,
    /// A drop is found by its number alone, whatever shard its id names.
    ShardIgnored,
    /// A token's role is not compared with the role that a route requires.
    ViewerMay,
    /// A setting that may have a secret is shown as it is.
    SecretSettingShown,
    /// The last token of an owner can be revoked by a request.
    LastOwnerGoes,
    /// The tiers of operators are not read at a start.
    TierForgotten,
    /// After a restart, tickets of a waiting room have other positions.
    PositionsChangeAtRestart,
    /// A draw that may be among lost events is made again by itself.
    RestoredDrawsAgain,
    /// After a restart, the last buyers whom a waiting room admitted are not admitted.
    ServingGoesBack,
    /// A resume of a drop does not give back to admitted buyers what its pause took from their time to order.
    PauseTakesTurns,
    /// A drop with a waiting room takes orders of buyers who are not admitted.
    OrdersWithoutAdmission,
    /// The risk score is asked before the tiers of operators.
    RiskBeforeOperator,
    /// A refund restocks the units of the whole order.
    RefundRestocksAll,
    /// The inbox is not searched for earlier deliveries of a provider's event.
    InboxNotAsked,
    /// A late payment takes units again beyond the buyer's limit.
    LateBeatsLimit,
    /// A payment that is not kept is not marked as due for refund.
    MoneyForNothing,
    /// Orders are sold although the database file is gone.
    SellsWithoutFile,
    /// A rescue that finds no place for its copy ends the process.
    EndsWithoutCopy,
    /// A start does not compare the file with the event of the note beside the directory.
    NoteByInodeOnly,
    /// An interrupted recovery is completed although the files have changed since.
    SwapsStaleRebuilt,
    /// A line feed that is read after the end of a head is changed.
    AlteredBody,
    /// The guard of a start compares the wall clock with the last event only.
    ClockByLastEvent,
    /// A refund that came before its payment is forgotten when the payment comes.
    EarlyRefundForgotten,
    /// The row of a drop counts the units of a reservation twice; memory and audit are right.
    UnitsCountedTwice,
    /// The units of a reservation leave the total in the row of a drop twice, and are not held there; memory and audit are
    /// right.
    UnitsLeaveTotal,
    /// An append without an answer is answered as not applied.
    UnknownIsNotApplied,
    /// A leader decides although its lease may have ended.
    LeaseNotChecked,
    /// A follower goes on although its link is not the entry's.
    LinkNotCompared,
    /// A node stops when one member of the log alone tells a head before its file's end.
    OneMemberBelieved,
    /// The log takes an append behind any head.
    HeadNotCompared,
    /// A leader replies to a batch before its append has an answer.
    ReplyBeforeAppend,
    /// A leader appends a batch that breaks a rule of the tables.
    AppendsUnrecorded,
    /// A standstill of the writer is time to pay, and a turn of a room.
    StandstillCountsAsTime,
    /// A node of a cluster serves although its file is not what the log says.
    StoppedNodeServes,
    /// A read names the state after it as the one that it has.
    AsOfAfterRead,
    /// A node calls its state fresh although its lease may have ended.
    FreshWithoutLease,
    /// A router sends a write again that it may not, although a node may have taken it.
    RouterRepeatsUnknown,
    /// A router takes a node for one of the shard under which its file names it, whatever the node says.
    RouterBelievesFile,
    /// A challenge that another order has used passes again.
    UsedChallengePasses,
    /// Orders pass while the service that verifies challenges does not answer, although the settings do not let them.
    FailsOpen,
    /// The weight of a signal stays in a buyer's score for ever.
    ScoreNeverDecays,
    /// A backup does not copy the pages again that checkpoints have written meanwhile.
    BackupForgetsWritten,
    /// Many buyers behind one address raise `shared_client`, whatever their user agents.
    CampusByAddress,
    /// Each attempt of a mail has a Message-ID of its own.
    MailIdPerAttempt,
    /// The winner of an auction gets the mail of those who lost, too.
    WinnerLosesToo,
    /// `explain` counts a drop again without the units that came back.
    ReturnsNotCounted,
    /// Each attempt of a refund has an idempotency key of its own.
    RefundKeyPerAttempt,
    /// The first half of the tickets is drawn before the second.
    DrawByArrival,
    /// The event that creates a drop tells the seed of its draw.
    SeedToldEarly,
    /// An operator may post another beacon after the first.
    BeaconReplaced,
    /// A page about a refused form offers it with an idempotency key of its own.
    FormForgetsKey,
}

/// A point at which the environment variable `FIRSTCOME_PAUSE` stops a thread, so that a test can kill the process there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PausePoint {
    /// The writer, after BEGIN and before any row.
    AfterBegin,
    /// The writer, after all rows and before COMMIT.
    BeforeCommit,
    /// The writer, after COMMIT and before the watermark.
    AfterCommit,
    /// The writer, after the watermark and before the replies.
    AfterWatermark,
    /// The check of a file that another program has written, before it reads anything.
    FileCheck,
    /// `cluster join`, with a part of the copy.
    JoinCopies,
    /// `cluster join`, with the whole copy, before it is verified.
    JoinVerifies,
    /// `cluster join`, between two entries that it applies.
    JoinApplies,
    /// `cluster join`, between its watermark and its database.
    JoinInstalls,
    /// A backup, after each piece of its copy.
    BackupCopies,
    /// A backup, with the whole copy, before it is verified.
    BackupVerifies,
    /// A backup, after each piece that it packs.
    BackupPacks,
    /// A backup, verified and packed, before its watermark has its name.
    BackupMarks,
    /// A backup, between the name of its watermark and its own.
    BackupNames,
    /// A backup that has its name, before it counts as made.
    BackupNamed,
    /// `restore`, with the unpacked copy, before it is verified.
    RestoreVerifies,
    /// `restore`, with the finished copy, before it takes its place.
    RestoreInstalls,
    /// The task that draws, with the root of the tickets, before it is submitted.
    BeforeTicketsFixed,
    /// The task that draws, with the order, before seed and result are submitted.
    BeforeDrawn,
    /// The relay, before it sends a delivery.
    BeforeDelivery,
    /// The relay, when a delivery has its response and before the result is recorded.
    AfterDelivery,
    /// The refund thread, before it requests a refund.
    BeforeRefund,
    /// The refund thread, when the provider has made a refund and before it is settled.
    AfterRefund,
}

#[cfg(not(feature = "failpoints"))]
mod off {
    use super::{Bug, PausePoint};

    #[must_use]
    #[inline(always)]
    pub const fn enabled(_: Bug) -> bool {
        false
    }

    /// Stops the thread if a test requests it.
    #[inline(always)]
    pub const fn pause(_: PausePoint) {}

    /// Panics if a test requests it.
    #[inline(always)]
    pub const fn panic_in(_: &str) {}
}

#[cfg(feature = "failpoints")]
mod on {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::{Bug, PausePoint};

    #[must_use]
    pub fn enabled(bug: Bug) -> bool {
        static PLANTED: OnceLock<Option<String>> = OnceLock::new();
        let planted = PLANTED.get_or_init(|| std::env::var("FIRSTCOME_PLANTED").ok());
        planted.as_deref().is_some_and(|name| name == format!("{bug:?}"))
    }

    /// Panics if `FIRSTCOME_PANIC` names this thread, the first time that it passes.
    pub fn panic_in(thread: &str) {
        static WANTED: OnceLock<Option<String>> = OnceLock::new();
        static PASSED: AtomicU64 = AtomicU64::new(0);
        let wanted = WANTED.get_or_init(|| std::env::var("FIRSTCOME_PANIC").ok());
        let first = || PASSED.fetch_add(1, Ordering::Relaxed) == 0;
        assert!(wanted.as_deref() != Some(thread) || !first(), "a panic of {thread}, as the test requests");
    }

    /// Stops the thread if `FIRSTCOME_PAUSE` has `<point>:<n>` and this is the n-th pass. Creates the file `paused` in the
    /// directory `FIRSTCOME_PAUSE_DIR` first. The variable may name several points, with commas between them.
    pub fn pause(place: PausePoint) {
        static WANTED: OnceLock<Vec<(String, u64, AtomicU64)>> = OnceLock::new();
        let wanted = WANTED.get_or_init(|| {
            let text = std::env::var("FIRSTCOME_PAUSE").unwrap_or_default();
            let points = text.split(',').filter_map(|point| point.split_once(':'));
            let points = points.filter_map(|(name, times)| Some((name.to_string(), times.parse().ok()?)));
            points.map(|(name, times)| (name, times, AtomicU64::new(0))).collect()
        });
        if wanted.is_empty() {
            return;
        }
        let place = format!("{place:?}");
        let Some((name, times, passed)) = wanted.iter().find(|(name, ..)| *name == place) else { return };
        if passed.fetch_add(1, Ordering::Relaxed).saturating_add(1) != *times {
            return;
        }
        if let Ok(directory) = std::env::var("FIRSTCOME_PAUSE_DIR") {
            let _told = std::fs::write(std::path::Path::new(&directory).join("paused"), name);
        }
        let goes_on = || {
            let directory = std::env::var("FIRSTCOME_PAUSE_DIR").ok()?;
            std::fs::remove_file(std::path::Path::new(&directory).join("go-on")).ok()
        };
        while goes_on().is_none() {
            std::thread::park_timeout(std::time::Duration::from_millis(5));
        }
    }
}

#[cfg(not(feature = "failpoints"))]
pub use off::{enabled, panic_in, pause};
#[cfg(feature = "failpoints")]
pub use on::{enabled, panic_in, pause};
