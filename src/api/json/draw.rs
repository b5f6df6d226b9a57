//! Bodies of a room's draw: written by the route, read by `firstcome draw verify`.

use hyper::body::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::encoding::to_bytes;
use super::requests::REASON_BYTES_MAX;
use super::rooms::{NONE, REQUIRED, beacon_need};
use super::scalars;
use crate::api::problem::Problem;
use crate::api::validation::fields::BodyFields;
use crate::api::validation::{room_rules, rules};
use crate::engine::draw::{TicketProof, TicketSet, Transcript};
use crate::read::DrawRow;
use crate::types::draw::TICKETS_MAX;
use crate::types::text::rfc3339;
use crate::types::{
    Beacon, Commitment, DrawResult, DrawState, MerkleRoot, Seed, TicketDigest, TicketNumber, TicketPosition, TreeNode,
};

/// The longest path of a ticket, in nodes: that of 2^32 tickets.
const PATH_NODES_MAX: usize = 32;
/// The longest name of a beacon's source, in bytes.
const SOURCE_BYTES_MAX: usize = 200;

/// The draw of a drop's room: everything that its verification needs. Hashes are in hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Debug)]
#[schemars(rename = "Draw")]
pub struct DrawTranscript {
    #[schemars(range(min = 1))]
    pub drop_id: u32,
    /// `pending` while tickets are taken; `fixing` until their root is published; `awaiting_beacon`; `drawing`; `drawn`.
    /// `cancelled` if the drop ended before: there is no draw, and the seed stays secret.
    #[schemars(with = "scalars::DrawState")]
    pub state: String,
    /// SHA-256 of the seed, published before the room opens.
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    pub commitment: String,
    /// The secret of the draw; present once the tickets are drawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = "^[0-9a-f]{64}$"))]
    pub seed: Option<String>,
    /// `required` if the draw waits for public randomness.
    #[schemars(with = "scalars::BeaconNeed")]
    pub beacon_rule: String,
    /// True if the required beacon did not come in time: the draw goes on without it.
    pub beacon_missed: bool,
    /// Public randomness of after the gathering; a draw without it leaves it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = "^([0-9a-f]{2}){1,64}$"))]
    pub beacon: Option<String>,
    /// The source of the beacon, in the words of the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub beacon_source: Option<String>,
    /// Until when a beacon is awaited; present while it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "scalars::Instant")]
    pub beacon_until: Option<String>,
    /// The tickets that are drawn; present once the gathering has ended, before there is a beacon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "DrawTickets")]
    pub tickets: Option<DrawTickets>,
    /// Hash over seed, beacon, root and all tickets in their order; present once the tickets are drawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = "^[0-9a-f]{64}$"))]
    pub result: Option<String>,
    /// The ticket that the query names; present once the tickets are drawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "DrawnTicket")]
    pub ticket: Option<DrawnTicket>,
}

/// The tickets of a draw.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Debug)]
pub struct DrawTickets {
    /// Tickets 1 to this number are drawn.
    #[schemars(range(max = TICKETS_MAX))]
    pub count: u32,
    /// Hash that binds all these tickets and their number.
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    pub root: String,
}

/// A drawn ticket, with the proof that it is among the tickets.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Debug)]
pub struct DrawnTicket {
    #[schemars(range(min = 1, max = TICKETS_MAX))]
    pub number: u32,
    /// The digest that the buyer got with the ticket.
    #[schemars(regex(pattern = "^[0-9a-f]{32}$"))]
    pub digest: String,
    /// Number of tickets before it.
    #[schemars(range(max = TICKETS_MAX))]
    pub position: u32,
    /// Siblings of the ticket's leaf and of the nodes over it, from below (RFC 6962).
    #[schemars(length(max = PATH_NODES_MAX), inner(regex(pattern = "^[0-9a-f]{64}$")))]
    pub path: Vec<String>,
}

impl DrawTranscript {
    /// Returns the body of a draw as it stands, with the proof of a ticket of one that is done.
    #[must_use]
    pub fn of(draw: &DrawRow, proof: Option<&TicketProof>) -> DrawTranscript {
        let state = draw.state();
        let until = draw.fixed_at.zip(draw.beacon_seconds).filter(|_| state == DrawState::AwaitingBeacon);
        DrawTranscript {
            drop_id: draw.drop_id.get(),
            state: state.as_str().into(),
            commitment: draw.commitment.to_string(),
            seed: draw.seed.as_ref().map(Seed::reveal),
            beacon_rule: beacon_need(draw.beacon_seconds.is_some()).into(),
            beacon_missed: draw.missed_its_beacon(),
            beacon: draw.beacon.as_ref().map(ToString::to_string),
            beacon_source: draw.beacon_source.clone(),
            beacon_until: until.map(|(at, seconds)| rfc3339(at.plus_seconds(seconds))),
            tickets: draw.tickets.zip(draw.root).map(|(count, root)| DrawTickets { count, root: root.to_string() }),
            result: draw.result.as_ref().map(ToString::to_string),
            ticket: proof.map(|proof| DrawnTicket {
                number: proof.number.get(),
                digest: proof.digest.to_string(),
                position: proof.position.0,
                path: proof.path.iter().map(ToString::to_string).collect(),
            }),
        }
    }

    /// Reads the values of a draw that was made.
    ///
    /// # Errors
    /// A line for each member that is missing or malformed.
    pub fn read(&self) -> Result<(Transcript, Option<TicketProof>), Vec<String>> {
        let mut mistakes = Vec::new();
        let mut noted = |pointer: &str, mistake: &str| mistakes.push(format!("{pointer}: {mistake}"));
        let commitment = Commitment::from_hex(&self.commitment);
        noted_unless(commitment.is_some(), &mut noted, "/commitment", HASH);
        let seed = self.seed.as_deref().and_then(Seed::from_hex);
        noted_unless(seed.is_some(), &mut noted, "/seed", HASH);
        let beacon = Beacon::from_hex(self.beacon.as_deref().unwrap_or(""));
        noted_unless(beacon.is_some(), &mut noted, "/beacon", "must be at most 128 hexadecimal digits, in pairs");
        noted_unless(self.has_beacon_by_its_rule(), &mut noted, "/beacon_rule", BEACON_RULE);
        let result = self.result.as_deref().and_then(DrawResult::from_hex);
        noted_unless(result.is_some(), &mut noted, "/result", HASH);
        let tickets = self.tickets.as_ref().and_then(|tickets| tickets.read(&mut noted));
        noted_unless(self.tickets.is_some(), &mut noted, "/tickets", "is missing");
        let proof = self.ticket.as_ref().map(|ticket| ticket.read(&mut noted));
        let transcript = || {
            let (commitment, seed, beacon) = (commitment?, seed?, beacon?);
            Some(Transcript { commitment, seed, beacon, tickets: tickets?, result: result? })
        };
        match (transcript(), proof) {
            (Some(transcript), None) if mistakes.is_empty() => Ok((transcript, None)),
            (Some(transcript), Some(Some(proof))) if mistakes.is_empty() => Ok((transcript, Some(proof))),
            (None | Some(_), _) => Err(mistakes),
        }
    }

    /// Returns whether a draw that was made has the beacon that its rule asks for, or says that it was missed.
    fn has_beacon_by_its_rule(&self) -> bool {
        match self.beacon_rule.as_str() {
            REQUIRED => self.beacon.is_some() != self.beacon_missed,
            NONE => self.beacon.is_none() && !self.beacon_missed,
            _ => false,
        }
    }
}

/// `GET /v1/drops/{drop_id}/draw`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DrawQuery {
    /// The number of a ticket whose place is proved, once the tickets are drawn.
    #[schemars(with = "u32", range(min = 1, max = TICKETS_MAX))]
    pub ticket: Option<AskedTicket>,
}

/// The number of a ticket in a query.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, Debug)]
#[serde(try_from = "u32")]
pub struct AskedTicket(pub TicketNumber);

impl TryFrom<u32> for AskedTicket {
    type Error = &'static str;

    fn try_from(number: u32) -> Result<AskedTicket, &'static str> {
        let number = TicketNumber::new(number).filter(|number| number.get() <= TICKETS_MAX);
        number.map(AskedTicket).ok_or("no number of a ticket")
    }
}

/// Returns the body of a draw.
#[must_use]
pub fn draw_body(draw: &DrawRow, proof: Option<&TicketProof>) -> Bytes {
    to_bytes(&DrawTranscript::of(draw, proof))
}

/// Reads a beacon, its source and the operator's reason, which may be missing.
///
/// # Errors
/// `malformed`, or `validation` with every mistake.
pub fn parse_beacon(body: &[u8]) -> Result<(Beacon, Box<str>, Box<str>), Problem> {
    BodyFields::read(body, beacon)
}

fn beacon(fields: &mut BodyFields) -> Option<(Beacon, Box<str>, Box<str>)> {
    let value = fields.required("value", room_rules::beacon());
    let source = fields.required("source", rules::text(SOURCE_BYTES_MAX));
    let reason = fields.optional("reason", rules::text(REASON_BYTES_MAX)).unwrap_or_default();
    Some((value?, source?, reason))
}

/// Returns the schemas of requests.
pub(super) fn request_schemas() -> [(&'static str, Value); 1] {
    let mut beacon = BodyFields::describe(beacon);
    let mut describe = |name: &str, words: &str| beacon["properties"][name]["description"] = words.into();
    describe("value", "The public randomness: 1 to 64 bytes in hexadecimal digits.");
    describe("source", "The place where buyers can look it up, such as a beacon's name and round.");
    [("NewBeacon", beacon)]
}

const BEACON_RULE: &str = "must be `required` with a beacon or one that was missed, or `none` without any";
const HASH: &str = "must be 64 lower-case hexadecimal digits";

fn noted_unless(holds: bool, noted: &mut impl FnMut(&str, &str), pointer: &str, mistake: &str) {
    if !holds {
        noted(pointer, mistake);
    }
}

impl DrawTickets {
    fn read(&self, noted: &mut impl FnMut(&str, &str)) -> Option<TicketSet> {
        let root = MerkleRoot::from_hex(&self.root);
        noted_unless(root.is_some(), noted, "/tickets/root", HASH);
        if self.count > TICKETS_MAX {
            noted("/tickets/count", &format!("must be at most {TICKETS_MAX}"));
        }
        TicketSet::new(self.count, root?)
    }
}

impl DrawnTicket {
    fn read(&self, noted: &mut impl FnMut(&str, &str)) -> Option<TicketProof> {
        let number = TicketNumber::new(self.number);
        noted_unless(number.is_some(), noted, "/ticket/number", "must be at least 1");
        let digest = TicketDigest::from_hex(&self.digest);
        noted_unless(digest.is_some(), noted, "/ticket/digest", "must be 32 lower-case hexadecimal digits");
        let path = Some(&self.path).filter(|path| path.len() <= PATH_NODES_MAX);
        let path: Option<Vec<_>> = path.and_then(|path| path.iter().map(|node| TreeNode::from_hex(node)).collect());
        noted_unless(path.is_some(), noted, "/ticket/path", "must be at most 32 hashes of 64 hexadecimal digits");
        Some(TicketProof { number: number?, digest: digest?, position: TicketPosition(self.position), path: path? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::draw::TreeBuilder;
    use crate::types::{DropId, Seq, UnixMillis};

    fn example() -> (Transcript, TicketProof) {
        let seed = Seed::from_slice(&[1; 32]).expect("32 bytes");
        let mut tree = TreeBuilder::default();
        tree.push(&TicketDigest([2; 16]));
        tree.push(&TicketDigest([3; 16]));
        let beacon = Beacon::from_slice(&[4; 5]).expect("short");
        let result = DrawResult([5; 32]);
        let tickets = tree.finish().tickets();
        let number = TicketNumber::new(2).expect("not 0");
        let (digest, path) = (TicketDigest([3; 16]), vec![TreeNode([6; 32])]);
        let proof = TicketProof { number, digest, position: TicketPosition(0), path };
        (Transcript { commitment: seed.commitment(), seed, beacon, tickets, result }, proof)
    }

    /// The row of a draw that was made.
    fn row(transcript: &Transcript, source: Option<&str>) -> DrawRow {
        DrawRow {
            drop_id: DropId::new(7).expect("not 0"),
            commitment: transcript.commitment,
            beacon_seconds: source.map(|_| 300),
            tickets: Some(transcript.tickets.count()),
            root: Some(transcript.tickets.root()),
            fixed_at: Some(UnixMillis::ZERO),
            beacon: Some(transcript.beacon.clone()).filter(|beacon| !beacon.as_bytes().is_empty()),
            beacon_source: source.map(String::from),
            ready: true,
            seed: Some(transcript.seed.clone()),
            result: Some(transcript.result),
            drawn_seq: Seq::new(9),
            ended: false,
        }
    }

    #[test]
    fn a_draw_is_read_as_it_was_written() {
        let (mut transcript, proof) = example();
        let read = |written: &DrawTranscript| {
            let text = serde_json::to_string(written).expect("JSON");
            serde_json::from_str::<DrawTranscript>(&text).expect("the same shape").read()
        };
        let written = DrawTranscript::of(&row(&transcript, Some("drand")), Some(&proof));
        assert_eq!(read(&written), Ok((transcript.clone(), Some(proof))));
        transcript.beacon = Beacon::default();
        let written = DrawTranscript::of(&row(&transcript, None), None);
        assert_eq!((&written.beacon, &written.ticket), (&None, &None));
        assert_eq!(read(&written), Ok((transcript, None)));
    }

    #[test]
    fn a_commitment_has_no_seed_and_every_mistake_is_named() {
        let (transcript, proof) = example();
        let pending = DrawRow {
            tickets: None,
            root: None,
            seed: None,
            beacon: None,
            result: None,
            drawn_seq: None,
            ready: false,
            ..row(&transcript, None)
        };
        let committed = DrawTranscript::of(&pending, None);
        let body = serde_json::to_value(&committed).expect("JSON");
        assert_eq!(
            body,
            serde_json::json!({ "drop_id": 7, "state": "pending", "commitment": transcript.commitment.to_string(),
                                "beacon_rule": "none", "beacon_missed": false })
        );
        let pointers = |written: &DrawTranscript| -> Vec<String> {
            let mistakes = written.read().expect_err("no draw").into_iter();
            mistakes.map(|mistake| mistake.split(':').next().unwrap_or_default().to_owned()).collect()
        };
        assert_eq!(pointers(&committed), ["/seed", "/result", "/tickets"]);
        let state_of = |row: &DrawRow| DrawTranscript::of(&DrawRow { ended: true, ..row.clone() }, None).state;
        assert_eq!((state_of(&pending), state_of(&row(&transcript, None))), ("cancelled".into(), "drawn".into()));
        let mut wrong = DrawTranscript::of(&row(&transcript, None), Some(&proof));
        (wrong.beacon, wrong.beacon_rule) = (Some("0".into()), REQUIRED.into());
        wrong.tickets = Some(DrawTickets { count: TICKETS_MAX + 1, root: "x".into() });
        wrong.ticket = Some(DrawnTicket { number: 0, digest: String::new(), position: 0, path: vec![String::new()] });
        let expected =
            ["/beacon", "/tickets/root", "/tickets/count", "/ticket/number", "/ticket/digest", "/ticket/path"];
        assert_eq!(pointers(&wrong), expected);
    }

    #[test]
    fn a_draw_says_whether_its_beacon_was_missed_and_one_that_contradicts_its_rule_is_no_draw() {
        let (mut transcript, _) = example();
        let with = DrawTranscript::of(&row(&transcript, Some("drand")), None);
        assert_eq!((with.beacon_rule.as_str(), with.beacon_missed), ("required", false));
        transcript.beacon = Beacon::default();
        let missed = DrawTranscript::of(&row(&transcript, Some("drand")), None);
        assert_eq!((missed.beacon_rule.as_str(), missed.beacon_missed), ("required", true));
        let awaited = DrawRow { ready: false, ..row(&transcript, Some("drand")) };
        assert!(!DrawTranscript::of(&awaited, None).beacon_missed, "it can still come");
        let none = DrawTranscript::of(&row(&transcript, None), None);
        assert_eq!((none.beacon_rule.as_str(), none.beacon_missed), ("none", false));
        for true_draw in [&with, &missed, &none] {
            assert!(true_draw.read().is_ok(), "{true_draw:?}");
        }
        let altered = [
            DrawTranscript { beacon_missed: true, ..with.clone() },
            DrawTranscript { beacon_rule: NONE.into(), ..with },
            DrawTranscript { beacon_missed: false, ..missed.clone() },
            DrawTranscript { beacon_rule: NONE.into(), ..missed },
            DrawTranscript { beacon_rule: REQUIRED.into(), ..none.clone() },
            DrawTranscript { beacon_rule: "perhaps".into(), ..none },
        ];
        for altered in altered {
            let mistakes = altered.read().expect_err("a contradiction");
            assert!(mistakes[..] == [format!("/beacon_rule: {BEACON_RULE}")], "{mistakes:?}");
        }
    }
}
