//! The draw of a room: known answers, the statistics of many rooms, and transcripts that were altered.
//!
//! `FIRSTCOME_TEST_SEED` draws other rooms. A debug build draws 40 rooms and alters 10 (a second each); release code draws
//! 1,000 (5 s) and alters 100 times `FIRSTCOME_TEST_SCALE` (4 s), at most 1,000 (scripts/soak.sh, 40 s).

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]
#![allow(clippy::print_stdout, reason = "the figures are what the soak shows")]
#![allow(clippy::cast_precision_loss, reason = "statistics of small numbers")]

use firstcome::engine::draw::{DrawFault, DrawRun, TicketProof, TicketSet, TicketTree, Transcript, TreeBuilder};
use firstcome::types::{Beacon, Digest, Seed, TicketDigest, TicketNumber, TicketPosition};

const TICKETS: u32 = 10_000;

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

/// A room of this test, with seed and beacon of a world.
#[derive(Clone)]
struct TestRoom {
    seed: Seed,
    beacon: Beacon,
    tickets: u32,
}

impl TestRoom {
    fn new(room: u64) -> TestRoom {
        let world = variable("FIRSTCOME_TEST_SEED").unwrap_or(1);
        let hash = |tag: u8| firstcome::types::draw::sha256(&[&[tag], &world.to_be_bytes(), &room.to_be_bytes()]);
        let seed = Seed::from_slice(&hash(b's')).expect("32 bytes");
        let beacon = hash(b'b');
        let beacon = if room.is_multiple_of(2) { &beacon[..] } else { &[] };
        TestRoom::of(seed, Beacon::from_slice(beacon).expect("short"), TICKETS)
    }

    fn of(seed: Seed, beacon: Beacon, tickets: u32) -> TestRoom {
        TestRoom { seed, beacon, tickets }
    }

    /// The digests of all tickets. The keyed digest of a buyer is the number of the ticket.
    fn digests(&self) -> Vec<TicketDigest> {
        let commitment = self.seed.commitment();
        let buyer = |number: u32| Digest(u128::from(number).to_be_bytes());
        (1..=self.tickets).map(|number| TicketDigest::of(&commitment, &buyer(number))).collect()
    }

    fn tree(&self) -> TicketTree {
        tree_over(&self.digests())
    }

    /// The positions by number, without the tree: the root has no part in the order.
    fn positions(&self) -> Vec<u32> {
        let root = TreeBuilder::default().finish().tickets().root();
        let tickets = TicketSet::new(self.tickets, root).expect("few");
        DrawRun::new(&tickets, &self.seed, &self.beacon).run().order.positions().to_vec()
    }

    /// The true transcript, with the proof of a ticket.
    fn published(&self, number: u32) -> (Transcript, TicketProof) {
        let digests = self.digests();
        let tree = tree_over(&digests);
        let tickets = tree.tickets();
        let drawn = DrawRun::new(&tickets, &self.seed, &self.beacon).run();
        let number = TicketNumber::new(number).expect("not 0");
        let block: Vec<_> = tree.block_of(number).map(|number| digests[number as usize - 1]).collect();
        let transcript = Transcript {
            commitment: self.seed.commitment(),
            seed: self.seed.clone(),
            beacon: self.beacon.clone(),
            tickets,
            result: drawn.result,
        };
        let proof = TicketProof {
            number,
            digest: digests[number.index()],
            position: drawn.order.position(number).expect("drawn"),
            path: tree.path(number, &block).expect("a ticket of the tree"),
        };
        (transcript, proof)
    }
}

fn tree_over(digests: &[TicketDigest]) -> TicketTree {
    let mut tree = TreeBuilder::default();
    digests.iter().for_each(|digest| tree.push(digest));
    tree.finish()
}

struct KnownAnswer<'a> {
    seed: &'a Seed,
    beacon: &'a [u8],
    tickets: u32,
    root: &'a str,
    result: &'a str,
    /// The numbers of the first tickets of the line.
    first: &'a [u32],
}

/// Computed by Python's `hmac`, `hashlib` and `sorted` with the definition of RFC 6962, by a script that shares no code with the
/// project. Digests of tickets are those of the buyers whose keyed digests are their numbers.
#[test]
fn draws_agree_with_another_implementation() {
    let counted = Seed::from_slice(&std::array::from_fn::<u8, 32, _>(|at| u8::try_from(at).expect("small")));
    let counted = counted.expect("32 bytes");
    let hashed = Seed::from_slice(&firstcome::types::draw::sha256(&[b"firstcome"])).expect("32 bytes");
    let answer =
        |seed, beacon, tickets, root, result, first| KnownAnswer { seed, beacon, tickets, root, result, first };
    let cases = [
        answer(
            &counted,
            b"",
            0,
            "f0c1e0b4cd1983b9c92909f8145cc102993e4c797489c0ba98639fd93056b82f",
            "9291deea281570fc0e52e2bb6cecad771f1b52a1b1b9116dbe06814b6e13c7d2",
            &[],
        ),
        answer(
            &counted,
            b"",
            1,
            "1e3366cfb67f73c25bde88d65d24a74be54b8aaff9e738928be1be2074c2b97c",
            "8d88ecd88f642eefaa05755380c51c9a8fc0cbdb772c6b4f5d4244bcaa6117f0",
            &[1],
        ),
        answer(
            &counted,
            b"",
            12,
            "f35502f151ce4065369b0e477cd3f647e0845047e87e71868c32506ecbb032d0",
            "2204e1f91ff2123a6dcd175fb2729cbbbfd033f13dd9c87b53bd5f6c18101d3f",
            &[12, 5, 9, 6, 3, 10, 1, 11, 7, 4, 2, 8],
        ),
        answer(
            &counted,
            &[0xbe, 0xac],
            12,
            "f35502f151ce4065369b0e477cd3f647e0845047e87e71868c32506ecbb032d0",
            "0472d0427226c9af85e494903b1df5cb0526b04e2a86a887d40eee1f035f6ba1",
            &[1, 9, 4, 8, 6, 7, 2, 11, 5, 3, 12, 10],
        ),
        answer(
            &counted,
            &[0xff; 64],
            12,
            "f35502f151ce4065369b0e477cd3f647e0845047e87e71868c32506ecbb032d0",
            "966861c1db2224f4065c57185b795023a1151a3c32a94efc1c72641c3e118ea7",
            &[5, 11, 9, 8, 2, 6, 12, 1, 4, 7, 3, 10],
        ),
        answer(
            &hashed,
            b"drand round 5000000",
            1000,
            "6e4523240a2e4c8ff287f175dcd7c56b2fb03848701e40f446cf95b721ff95a1",
            "bad2fb4a6c78dff8a8b3aed8ba66a0777973c27fb1dc72cdd0a0607d5dee2f27",
            &[835, 900, 394, 61, 219, 615, 441, 665, 595, 856, 391, 997],
        ),
        answer(
            &hashed,
            b"",
            100_000,
            "27cbd9d08fac0c1f2e9ee0b907613d348d956d46d57a13344c84971135fffe0c",
            "48f2f20d838ac2f497e82a330925cc59796e2bde6756f041a39e651fdf7d1851",
            &[74603, 20967, 15648, 26917, 30218, 85334, 68642, 6981, 56290, 16696, 34302, 95178],
        ),
    ];
    for KnownAnswer { seed, beacon, tickets: count, root, result, first } in cases {
        let room = TestRoom::of(seed.clone(), Beacon::from_slice(beacon).expect("short"), count);
        let tickets = room.tree().tickets();
        assert_eq!((tickets.count(), tickets.root().to_string()), (count, root.into()));
        let drawn = DrawRun::new(&tickets, &room.seed, &room.beacon).run();
        assert_eq!(&drawn.order.numbers()[..first.len()], first, "{count} tickets");
        assert_eq!(drawn.result.to_string(), result, "{count} tickets");
    }
    assert_eq!(counted.commitment().to_string(), "630dcd2966c4336691125448bbb25b4ff412a49c732db2c8abc1b8581bd710dd");
    assert_eq!(
        TestRoom::of(counted, Beacon::default(), 1).digests(),
        [TicketDigest::from_hex("1195a981be019545b4a51720527b2f27").expect("16 bytes")]
    );
}

/// Spearman's rank correlation of arrival and position; both are ranks without ties.
fn spearman(positions: &[u32]) -> f64 {
    let n = positions.len() as f64;
    let squares: f64 = (0u32..).zip(positions).map(|(at, position)| f64::from(at.abs_diff(*position)).powi(2)).sum();
    1.0 - 6.0 * squares / (n * (n * n - 1.0))
}

fn chi_square(counts: &[u32]) -> f64 {
    let expected = f64::from(counts.iter().sum::<u32>()) / counts.len() as f64;
    counts.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum()
}

/// The number of the `GROUPS` equal parts of all tickets in which this one lies.
fn group(at: u32) -> usize {
    at as usize * GROUPS / TICKETS as usize
}

const GROUPS: usize = 10;

#[test]
fn arrival_and_position_are_uncorrelated_and_positions_are_uniform() {
    let rooms: u32 = if cfg!(debug_assertions) { 40 } else { 1000 };
    let mut correlated = 0;
    let mut sum_of_squares = 0.0;
    let mut largest_table: f64 = 0.0;
    let mut sum_of_tables = 0.0;
    // The positions of the first and of the last ticket, over all rooms.
    let mut ends = [[0; GROUPS]; 2];
    for room in 0..rooms {
        let positions = TestRoom::new(room.into()).positions();
        let correlation = spearman(&positions);
        correlated += u32::from(correlation.abs() >= 0.03);
        sum_of_squares += correlation * correlation;
        // Tickets by the tenth in which they arrived and the tenth into which they were drawn: (10 - 1)^2 degrees of freedom.
        let mut table = [0; GROUPS * GROUPS];
        for (at, position) in (0..).zip(&positions) {
            table[group(at) * GROUPS + group(*position)] += 1;
        }
        let table = chi_square(&table);
        largest_table = largest_table.max(table);
        sum_of_tables += table;
        ends[0][group(positions[0])] += 1;
        ends[1][group(positions[TICKETS as usize - 1])] += 1;
    }
    let count = f64::from(rooms);
    let spread = (sum_of_squares / count).sqrt();
    let mean = sum_of_tables / count;
    let ends = ends.map(|counts| chi_square(&counts));
    println!(
        "{rooms} rooms of {TICKETS} tickets: |Spearman| >= 0.03 in {correlated}, its spread {spread:.4} (0.0100 expected), \
         chi-square of arrival and position with 81 degrees {mean:.1} on average, {largest_table:.1} at most, \
         of the first and the last ticket with 9 degrees {:.1} and {:.1}",
        ends[0], ends[1]
    );
    assert!(correlated * 100 <= rooms, "{correlated} of {rooms} rooms");
    // Four deviations of each figure.
    assert!((spread - 0.01).abs() < 0.04 / (2.0 * count).sqrt(), "{spread}");
    assert!((mean - 81.0).abs() < 4.0 * (162.0 / count).sqrt(), "{mean}");
    // Exceeded by chance once in 10^6 rooms, and by an end once in 10^5 runs.
    assert!(largest_table < 158.0, "{largest_table}");
    assert!(ends.iter().all(|end| *end < 38.0), "{ends:?}");
}

#[test]
fn a_true_transcript_is_accepted_and_every_alteration_is_rejected() {
    let scale = variable("FIRSTCOME_TEST_SCALE").unwrap_or(1);
    let rooms = if cfg!(debug_assertions) { 10 } else { (100 * scale).min(1000) };
    for room in 0..rooms {
        let number = 1 + u32::try_from(room * 7919 % u64::from(TICKETS)).expect("small");
        let test_room = TestRoom::new(room);
        let (transcript, proof) = test_room.published(number);
        let drawn = transcript.check(Some(&proof)).expect("a true transcript");
        assert_eq!(transcript.check(None).as_ref(), Ok(&drawn));
        for (alteration, fault) in alterations(&test_room, &transcript, &proof, drawn.order.numbers()) {
            let (transcript, proof) = alteration;
            let found = transcript.check(Some(&proof)).expect_err(fault);
            assert!(format!("{found:?}").starts_with(fault), "{fault}: {found}");
        }
    }
}

/// Transcripts with one alteration each, and the fault that they have.
fn alterations(
    room: &TestRoom,
    truth: &Transcript,
    proof: &TicketProof,
    order: &[u32],
) -> Vec<((Transcript, TicketProof), &'static str)> {
    let of = |alter: &dyn Fn(&mut Transcript, &mut TicketProof)| {
        let (mut transcript, mut proof) = (truth.clone(), proof.clone());
        alter(&mut transcript, &mut proof);
        (transcript, proof)
    };
    let other_seed = Seed::from_slice(&firstcome::types::draw::sha256(&[room.seed.as_bytes()])).expect("32 bytes");
    let other_beacon = Beacon::from_slice(b"another").expect("short");
    let resized = |count| TicketSet::new(count, truth.tickets.root()).expect("few");
    // The draw that another beacon gives, honest but for the beacon.
    let redrawn = DrawRun::new(&truth.tickets, &truth.seed, &other_beacon).run();
    let place = proof.position.0 as usize;
    let neighbour = order[if place == 0 { 1 } else { place - 1 }];
    let swapped = TicketPosition(if place == 0 { 1 } else { proof.position.0 - 1 });
    assert_ne!(neighbour, proof.number.get());
    vec![
        (of(&|it, _| it.seed = other_seed.clone()), "SeedNotCommitted"),
        (of(&|it, _| it.commitment = other_seed.commitment()), "SeedNotCommitted"),
        // A missing ticket, an added one: in the number, and in the tree.
        (of(&|it, _| it.tickets = resized(TICKETS - 1)), "NotUnderRoot"),
        (of(&|it, _| it.tickets = resized(TICKETS + 1)), "NotUnderRoot"),
        (of(&|it, _| it.tickets = without_last(room)), "NotUnderRoot"),
        (of(&|it, _| it.tickets = with_one_more(room)), "NotUnderRoot"),
        (of(&|_, it| it.digest = TicketDigest([0; 16])), "NotUnderRoot"),
        (of(&|_, it| it.number = TicketNumber::new(TICKETS + 1).expect("not 0")), "NotDrawn"),
        // A swapped pair: the ticket has the place of its neighbour.
        (of(&|_, it| it.position = swapped), "OtherPosition"),
        (of(&|it, _| it.beacon = other_beacon.clone()), "Other"),
        (of(&|it, _| it.result = redrawn.result), "OtherResult"),
    ]
}

fn without_last(room: &TestRoom) -> TicketSet {
    TestRoom { tickets: TICKETS - 1, ..room.clone() }.tree().tickets()
}

fn with_one_more(room: &TestRoom) -> TicketSet {
    TestRoom { tickets: TICKETS + 1, ..room.clone() }.tree().tickets()
}

#[test]
fn beacons_that_draw_the_same_order_have_different_results() {
    // HMAC pads its key with zeros up to 64 bytes.
    let seed = Seed::from_slice(&[5; 32]).expect("32 bytes");
    let room = |beacon: &[u8]| TestRoom::of(seed.clone(), Beacon::from_slice(beacon).expect("short"), 100);
    let (truth, proof) = room(&[0xbe]).published(7);
    let (padded, _) = room(&[0xbe, 0]).published(7);
    assert_eq!(room(&[0xbe]).positions(), room(&[0xbe, 0]).positions());
    let altered = Transcript { beacon: padded.beacon, ..truth.clone() };
    let expected = DrawFault::OtherResult { claimed: truth.result, drawn: padded.result };
    assert_eq!(altered.check(Some(&proof)), Err(expected));
}
