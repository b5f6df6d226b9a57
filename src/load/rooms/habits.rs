//! The habits of each buyer of a room, which follow from the seed and the buyer's number. Pure.

/// The habits of a buyer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct RoomHabits {
    /// Takes a ticket after the start.
    pub(super) is_late: bool,
    /// Asks for the ticket a second time at once.
    pub(super) asks_twice: bool,
    /// Orders before the own turn, once.
    pub(super) jumps: bool,
    /// Never comes back for the order.
    pub(super) is_gone: bool,
    /// Checks the order out.
    pub(super) checks_out: bool,
}

impl RoomHabits {
    /// The habits of a buyer. Buyer 0 is the probe's: before the start, and patient.
    pub(super) fn of(seed: u64, buyer: u32) -> RoomHabits {
        let mut mixed = seed ^ u64::from(buyer).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        // Each habit has ten bits of its own: 0 to 1,023.
        let one_in_1024 = |habit: u32| mixed >> (10 * habit) & 0x3ff;
        let is_probe = buyer == 0;
        RoomHabits {
            is_late: one_in_1024(0) < 10 && !is_probe,
            asks_twice: one_in_1024(1) < 20,
            jumps: one_in_1024(2) < 10 && !is_probe,
            is_gone: one_in_1024(3) < 82 && !is_probe,
            checks_out: one_in_1024(4) >= 307,
        }
    }
}
