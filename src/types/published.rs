//! State that the writer publishes to readers without a lock: the newest version of each drop, the newest durable `seq`,
//! and the gate that delays snapshots briefly while the write-ahead log is reset.
//!
//! The writer stores after COMMIT and before the replies (Release); a reader loads (Acquire) *before* it opens its
//! snapshot. So a reader that sees version `v` also sees the rows of `v`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::RwLock;

use super::{ChallengeKind, ChallengeRule, DropId, IdentityKind, IdentityLimits, OperatorTiers, Seq, Shard, Tier};

const CHUNK: usize = 1024;
const CHUNKS: usize = 98;

/// Maximum number of drops in a file: 100,352. The engine refuses to create more.
pub const DROPS_MAX: usize = CHUNK * CHUNKS;

/// A drop as every request sees it without a lock: its newest version, the challenge that it demands of orders, the kinds
/// of identities that it has caps on, and whether the origins of its orders are noted. All are in one cell: a version has 48 bits.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct PublishedDrop(u64);

/// The bits of the version.
const VERSION: u64 = Seq::MAX.get();
/// The place of the challenge's kind, and of the tier below which it is demanded.
const KIND_SHIFT: u32 = 48;
const BELOW_SHIFT: u32 = 50;
const TWO_BITS: u64 = 0b11;
/// The place of the kinds with caps, a bit for each in the order of [`IdentityKind::ALL`].
const CAPS_SHIFT: u32 = 52;
const CAPS: u64 = 0b1111;
/// The bit of a drop whose orders have their origins noted.
const ORIGINS: u64 = 1 << 56;

impl PublishedDrop {
    fn new(version: Seq, challenge: ChallengeRule, limits: &IdentityLimits, notes_origins: bool) -> PublishedDrop {
        let origins = if notes_origins { ORIGINS } else { 0 };
        let caps = limits.iter().fold(origins, |caps, (kind, _)| caps | 1 << (CAPS_SHIFT + kind as u32));
        let kind: u64 = match challenge.kind {
            // Without a kind the tier is irrelevant: most drops are their version alone.
            ChallengeKind::None => return PublishedDrop(version.get() | caps),
            ChallengeKind::ProofOfWork => 1,
            ChallengeKind::External => 2,
        };
        PublishedDrop(version.get() | caps | kind << KIND_SHIFT | (challenge.below as u64) << BELOW_SHIFT)
    }

    /// Returns its newest version; 0 if it does not exist.
    #[must_use]
    pub const fn version(self) -> u64 {
        self.0 & VERSION
    }

    /// Returns true if it has caps on identities.
    #[must_use]
    pub const fn is_capped(self) -> bool {
        self.0 >> CAPS_SHIFT & CAPS != 0
    }

    /// Returns true if the origins of its orders are noted: it has a waiting room or a blind window.
    #[must_use]
    pub const fn notes_origins(self) -> bool {
        self.0 & ORIGINS != 0
    }

    /// Returns true if it has a cap on identities of this kind.
    #[must_use]
    pub const fn caps(self, kind: IdentityKind) -> bool {
        self.0 >> (CAPS_SHIFT + kind as u32) & 1 == 1
    }

    /// Returns the challenge that it demands; `None` if it demands none of anybody.
    #[must_use]
    pub fn challenge(self) -> Option<ChallengeRule> {
        let kind = match self.0 >> KIND_SHIFT & TWO_BITS {
            1 => ChallengeKind::ProofOfWork,
            2 => ChallengeKind::External,
            _ => return None,
        };
        let below = usize::try_from(self.0 >> BELOW_SHIFT & TWO_BITS).ok().and_then(|index| Tier::ALL.get(index));
        Some(ChallengeRule { kind, below: below.copied().unwrap_or(Tier::Premium) })
    }
}

/// Buyers who come before those who wait in a drop's room.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct RoomClaims {
    /// Admitted buyers without an order who can still place one.
    pub idle: u32,
    /// Buyers who stand by: units that come back are theirs.
    pub standby: u32,
}

impl RoomClaims {
    /// Returns the units that a room has for buyers who are not admitted yet, if every buyer before them takes one.
    #[must_use]
    pub const fn leave(self, available: u32, held: u32) -> u32 {
        available.saturating_add(held).saturating_sub(self.idle).saturating_sub(self.standby)
    }
}

/// The newest version of every drop, and the newest durable event.
///
/// The shard lies beside the first chunks, which every look-up reads: not where the writer stores with each commit.
#[repr(C)]
pub struct Published {
    shard: Shard,
    chunks: [OnceLock<Box<[AtomicU64; CHUNK]>>; CHUNKS],
    /// The newest version of any drop.
    newest_change: AtomicU64,
    /// The number of drops, hidden ones included.
    drops: AtomicU64,
    seq: AtomicU64,
    /// Counts the requests that may have changed the price of a drop.
    price_changes: AtomicU64,
    /// The claims of the drops with a room that have not ended, at their newest version. Behind a lock: only such drops pay for it.
    room_claims: RwLock<BTreeMap<DropId, (Seq, RoomClaims)>>,
    /// Tiers that operators have set.
    pub operator_tiers: Arc<OperatorTiers>,
}

impl Default for Published {
    fn default() -> Self {
        Published::of(Shard::SINGLE)
    }
}

impl Published {
    /// Returns the table of a shard's drops, without any version.
    #[must_use]
    pub fn of(shard: Shard) -> Published {
        Published {
            shard,
            chunks: std::array::from_fn(|_| OnceLock::new()),
            newest_change: AtomicU64::new(0),
            drops: AtomicU64::new(0),
            seq: AtomicU64::new(0),
            price_changes: AtomicU64::new(0),
            room_claims: RwLock::default(),
            operator_tiers: Arc::default(),
        }
    }

    /// The shard whose drops these are.
    #[must_use]
    pub fn shard(&self) -> Shard {
        self.shard
    }

    /// Returns the newest published version of a drop; 0 if none was published, and for drops of other shards.
    #[must_use]
    pub fn version(&self, drop_id: DropId) -> u64 {
        self.drop_entry(drop_id).version()
    }

    /// Returns what is published of a drop.
    #[must_use]
    pub fn drop_entry(&self, drop_id: DropId) -> PublishedDrop {
        PublishedDrop(self.cell(drop_id, false).map_or(0, |cell| cell.load(Ordering::Acquire)))
    }

    /// Publishes the version of a drop without a challenge and caps, the only one of its commit.
    pub fn publish_version(&self, drop_id: DropId, version: Seq) {
        self.publish_drop(drop_id, version, ChallengeRule::default(), &IdentityLimits::default(), false);
        self.publish_newest_change(version);
    }

    /// Publishes a drop's version, its challenge and the kinds of its caps. Only the writer calls it, after COMMIT, and
    /// [`Self::publish_newest_change`] after the last drop of the commit.
    pub fn publish_drop(
        &self,
        drop_id: DropId,
        version: Seq,
        challenge: ChallengeRule,
        limits: &IdentityLimits,
        notes_origins: bool,
    ) {
        if let Some(cell) = self.cell(drop_id, true) {
            let before = cell.swap(PublishedDrop::new(version, challenge, limits, notes_origins).0, Ordering::AcqRel);
            if before == 0 {
                self.drops.fetch_add(1, Ordering::Release);
            }
        }
    }

    /// Publishes that the drops of a commit have been published, up to a version. Only the writer calls it, after the last one of
    /// them: a reader that sees the newest change sees every drop at its version, in whatever order they were published.
    pub fn publish_newest_change(&self, version: Seq) {
        self.newest_change.fetch_max(version.get(), Ordering::AcqRel);
    }

    /// Publishes the claims of a drop's room at a version; `None` once it has ended. Called before that version is published.
    pub fn publish_room(&self, drop_id: DropId, version: Seq, claims: Option<RoomClaims>) {
        match claims {
            Some(claims) => self.room_claims.write().insert(drop_id, (version, claims)),
            None => self.room_claims.write().remove(&drop_id),
        };
    }

    /// Returns the claims of a drop's room: nothing without one.
    #[must_use]
    pub fn room_claims(&self, drop_id: DropId) -> RoomClaims {
        self.room_claims.read().get(&drop_id).map(|(_, claims)| *claims).unwrap_or_default()
    }

    /// Returns the claims of a drop's room at a version, nothing without one; `None` while those of another version are published.
    #[must_use]
    pub fn room_claims_of(&self, drop_id: DropId, version: Seq) -> Option<RoomClaims> {
        match self.room_claims.read().get(&drop_id) {
            Some((at, claims)) => (*at == version).then_some(*claims),
            None => Some(RoomClaims::default()),
        }
    }

    /// Returns the newest published version of any drop, hidden ones included.
    #[must_use]
    pub fn newest_change(&self) -> u64 {
        self.newest_change.load(Ordering::Acquire)
    }

    /// Returns the number of published drops, hidden ones included.
    #[must_use]
    pub fn drops(&self) -> u64 {
        self.drops.load(Ordering::Acquire)
    }

    #[must_use]
    pub fn seq(&self) -> u64 {
        self.seq.load(Ordering::Acquire)
    }

    /// Publishes the newest durable event. Only the writer calls it, after COMMIT.
    pub fn publish_seq(&self, seq: Seq) {
        self.seq.store(seq.get(), Ordering::Release);
    }

    /// Returns the count of price changes: a price that was read before the last one may be another now.
    #[must_use]
    pub fn price_changes(&self) -> u64 {
        self.price_changes.load(Ordering::Acquire)
    }

    /// Notes that a price may have changed. Only the writer calls it, after COMMIT.
    pub fn note_price_change(&self) {
        self.price_changes.fetch_add(1, Ordering::Release);
    }

    fn cell(&self, drop_id: DropId, create: bool) -> Option<&AtomicU64> {
        let index = drop_id.place_in(self.shard);
        let chunk = self.chunks.get(index / CHUNK)?;
        let cells = if create {
            chunk.get_or_init(|| Box::new(std::array::from_fn(|_| AtomicU64::new(0))))
        } else {
            chunk.get()?
        };
        cells.get(index % CHUNK)
    }
}

/// Lets readers open snapshots, except for the few milliseconds in which the writer resets the write-ahead log.
///
/// An open snapshot prevents a reset of the log, and under a steady stream of reads one is always open.
#[derive(Default)]
pub struct SnapshotGate {
    closed: AtomicBool,
    open_snapshots: AtomicU32,
}

/// Permission of a reader to have a snapshot open.
pub struct SnapshotGuard<'gate>(&'gate SnapshotGate);

impl SnapshotGate {
    /// Enters the gate. `None` while it is closed.
    #[must_use]
    pub fn try_enter(&self) -> Option<SnapshotGuard<'_>> {
        // Count first, look second: the writer closes first and counts second, so one of the two sees the other.
        self.open_snapshots.fetch_add(1, Ordering::SeqCst);
        let snapshot = SnapshotGuard(self);
        if self.closed.load(Ordering::SeqCst) { None } else { Some(snapshot) }
    }

    /// Closes the gate; the returned guard opens it again.
    #[must_use]
    pub fn close(&self) -> GateClosed<'_> {
        self.closed.store(true, Ordering::SeqCst);
        GateClosed(self)
    }

    /// Number of open snapshots.
    #[must_use]
    pub fn open_snapshots(&self) -> u32 {
        self.open_snapshots.load(Ordering::SeqCst)
    }
}

impl Drop for SnapshotGuard<'_> {
    fn drop(&mut self) {
        self.0.open_snapshots.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Keeps the gate closed until it is dropped.
pub struct GateClosed<'gate>(&'gate SnapshotGate);

impl Drop for GateClosed<'_> {
    fn drop(&mut self) {
        self.0.closed.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_per_drop_and_unknown_ones_are_0() {
        let published = Published::default();
        let id = |n| DropId::new(n).expect("not 0");
        published.publish_version(id(1), Seq::new(5).expect("in range"));
        published.publish_version(id(99_999), Seq::new(6).expect("in range"));
        assert_eq!(published.version(id(1)), 5);
        assert_eq!(published.version(id(2)), 0);
        assert_eq!(published.version(id(99_999)), 6);
        assert_eq!(published.version(id(u32::MAX)), 0);
        assert_eq!((published.newest_change(), published.drops()), (6, 2));
        published.publish_version(id(1), Seq::new(7).expect("in range"));
        assert_eq!((published.newest_change(), published.drops()), (7, 2));
        published.publish_drop(id(2), Seq::MAX, ChallengeRule::default(), &IdentityLimits::default(), false);
        assert_eq!(published.newest_change(), 7, "other drops of the commit may have no version yet");
    }

    #[test]
    fn a_challenge_travels_with_the_version_and_changes_it_not() {
        let (published, id) = (Published::default(), DropId::new(1).expect("not 0"));
        for version in [Seq::ZERO.next(), Seq::MAX] {
            for kind in [ChallengeKind::ProofOfWork, ChallengeKind::External] {
                for below in Tier::ALL {
                    let rule = ChallengeRule { kind, below };
                    published.publish_drop(id, version, rule, &IdentityLimits::default(), false);
                    assert_eq!(
                        (published.version(id), published.drop_entry(id).challenge()),
                        (version.get(), Some(rule))
                    );
                }
            }
            let none = ChallengeRule { kind: ChallengeKind::None, below: Tier::Premium };
            published.publish_drop(id, version, none, &IdentityLimits::default(), false);
            assert_eq!((published.version(id), published.drop_entry(id).challenge()), (version.get(), None));
        }
    }

    #[test]
    fn the_kinds_with_caps_travel_with_the_version_and_the_challenge() {
        let (published, id) = (Published::default(), DropId::new(1).expect("not 0"));
        for rule in [ChallengeRule::default(), ChallengeRule { kind: ChallengeKind::External, below: Tier::Premium }] {
            for capped in IdentityKind::ALL {
                let mut limits = IdentityLimits::default();
                limits.set(capped, Some(2));
                published.publish_drop(id, Seq::MAX, rule, &limits, true);
                let found = published.drop_entry(id);
                assert_eq!(found.version(), Seq::MAX.get());
                assert_eq!(found.challenge().is_some(), rule.kind != ChallengeKind::None);
                assert!(found.is_capped() && found.notes_origins());
                assert_eq!(
                    IdentityKind::ALL.map(|kind| found.caps(kind)),
                    IdentityKind::ALL.map(|kind| kind == capped)
                );
            }
            published.publish_drop(id, Seq::MAX, rule, &IdentityLimits::default(), true);
            assert!(published.drop_entry(id).notes_origins());
            published.publish_drop(id, Seq::MAX, rule, &IdentityLimits::default(), false);
            assert!(!published.drop_entry(id).notes_origins());
            assert!(!published.drop_entry(id).is_capped());
        }
    }

    #[test]
    fn a_drop_of_another_shard_has_no_version() {
        let (own, other) = (Shard::new(3), Shard::new(5));
        let published = Published::of(own);
        let id = |shard, number| DropId::in_shard(shard, number).expect("in range");
        published.publish_version(id(own, 1), Seq::new(5).expect("in range"));
        published.publish_version(id(other, 1), Seq::new(6).expect("in range"));
        assert_eq!(published.version(id(own, 1)), 5);
        for strange in [id(other, 1), id(Shard::SINGLE, 1), DropId::new(3 << 24).expect("not 0")] {
            assert_eq!(published.version(strange), 0, "{strange}");
        }
    }

    #[test]
    fn nobody_enters_a_closed_gate_and_those_inside_are_counted() {
        let gate = SnapshotGate::default();
        let inside = gate.try_enter();
        assert!(inside.is_some());
        let closed = gate.close();
        assert!(gate.try_enter().is_none());
        assert_eq!(gate.open_snapshots(), 1);
        drop(inside);
        assert_eq!(gate.open_snapshots(), 0);
        drop(closed);
        assert!(gate.try_enter().is_some());
    }
}
