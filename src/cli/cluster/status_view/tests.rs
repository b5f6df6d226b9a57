use std::collections::BTreeMap;

use super::*;
use crate::config::AdvertisedAddresses;
use crate::log::Tenure;
use crate::log::checks::{KeyState, KnownMember, MemberAlarm, MemberFinding};
use crate::log::meta::LogMeta;
use crate::log::seal::Seal;
use crate::store::chain::ChainLink;
use crate::types::Seq;
use crate::types::shard::Shard;

fn cluster() -> ClusterConfig {
    ClusterConfig {
        file: "cluster.toml".into(),
        cluster: "shop".into(),
        shard: Shard::SINGLE,
        node: "n1".into(),
        members: vec!["http://a:1".into()],
        tls: None,
        key_file: "cluster.key".into(),
        advertise: AdvertisedAddresses::default(),
        quota_bytes: 4_000_000_000,
        test: true,
    }
}

fn node(name: &str, applied: u64, clock_offset_ms: Option<i64>) -> (String, Option<NodeAnnouncement>) {
    let address = LeaderAnnouncement {
        node: name.into(),
        public_url: format!("http://{name}:8080"),
        admin_url: format!("http://{name}:8081"),
        wire: format!("{name}:8082"),
    };
    (name.into(), Some(NodeAnnouncement { address, applied, synced_seq: 4000, clock_offset_ms }))
}

/// A member, a log of 5000 entries, a leader and a follower.
fn in_order() -> Findings {
    let status = MemberStatus {
        cluster_id: 7,
        member_id: 1,
        version: "3.5.21".into(),
        leader: 1,
        db_bytes: 102_340_000,
        db_bytes_in_use: 98_000_000,
        known: vec![KnownMember { id: 1, name: "m1".into(), is_voting: true }],
        ..MemberStatus::default()
    };
    let seal = Seal::parse(&"5e".repeat(32)).expect("a key");
    let seq = Seq::new(9000).expect("in range");
    let head = Head { number: 5000, epoch: 2, tenure: Tenure(9), seq, link: ChainLink([1; 32]) };
    let nodes: BTreeMap<_, _> = [node("n1", 4998, Some(0)), node("n2", 4990, Some(-12))].into();
    let leader = node("n1", 0, None).1.expect("a node").address;
    Findings {
        members: vec![MemberFinding { url: "http://a:1".into(), answer: Ok(status) }],
        log: Ok(LogFinding {
            meta: KeyState::Present(LogMeta::new(&[0xab; 16], 4096, &seal)),
            is_of_key: true,
            head: KeyState::Present(head),
            leader: KeyState::Present(leader),
            nodes,
        }),
        has_rival: false,
    }
}

#[test]
fn a_cluster_in_order_is_two_tables_and_no_problem() {
    let found = in_order();
    assert_eq!(problems(&cluster(), &found), Vec::<String>::new());
    let expected = "cluster shop, shard 0: /firstcome/shop/0/
member      name  etcd    leads  size      in use   alarms
http://a:1  m1    3.5.21  yes    102.3 MB  98.0 MB

log      entry 5000, epoch 2, event 9000
leader   n1: http://n1:8080, admin http://n1:8081, wire n1:8082

node  applied  lag    on disk     clock   public
n1    4998     leads  event 4000  +0 ms   http://n1:8080
n2    4990     10     event 4000  -12 ms  http://n2:8080";
    assert_eq!(tables(&cluster(), &found).join("\n"), expected);
}

#[test]
fn the_json_has_what_the_tables_have() {
    let shown = json(&cluster(), &in_order(), &["a problem".into()]);
    assert_eq!(shown["members"][0]["leader"], true);
    assert_eq!(shown["members"][0]["db_bytes"], 102_340_000);
    assert_eq!(shown["head"]["number"], 5000);
    assert_eq!(shown["leader"]["wire"], "n1:8082");
    assert_eq!((&shown["nodes"][0]["applied"], &shown["nodes"][0]["lag"]), (&json!(4998), &json!(0)), "it leads");
    assert_eq!((&shown["nodes"][1]["node"], &shown["nodes"][1]["lag"]), (&json!("n2"), &json!(10)));
    assert_eq!(shown["problems"], json!(["a problem"]));
}

#[test]
fn what_is_wrong_is_a_line_each() {
    let told = |spoil: fn(&mut Findings), part: &str| {
        let mut found = in_order();
        spoil(&mut found);
        let told = problems(&cluster(), &found);
        assert!(told.len() == 1 && told[0].contains(part), "{part}: {told:#?}");
        assert!(!tables(&cluster(), &found).is_empty() && json(&cluster(), &found, &told).is_object());
    };
    fn log(found: &mut Findings) -> &mut LogFinding {
        found.log.as_mut().expect("a log")
    }
    told(|found| log(found).leader = KeyState::Absent, "leader: no node leads");
    told(|found| drop(log(found).nodes.remove("n1")), "nodes/n1: the leader does not tell its place");
    told(|found| log(found).nodes.extend([node("n3", 3000, None)]), "n3: is 2000 entries behind");
    told(|found| log(found).nodes.extend([node("n3", 5000, Some(-1001))]), "n3: its clock is -1001 ms off");
    told(|found| log(found).nodes.extend([("n3".into(), None)]), "nodes/n3: is unreadable");
    told(
        |found| {
            found.members.push(MemberFinding { url: "http://b:1".into(), answer: Err("no answer".into()) });
        },
        "http://b:1: does not answer (no answer)",
    );
    told(|found| found.log = Err("http://a:1: no leader".into()), "no quorum of etcd answers");
    told(
        |found| {
            let alarms = [1, 2].map(|member_id| MemberAlarm { member_id, kind: AlarmKind::NoSpace });
            found.members[0].answer.as_mut().expect("an answer").alarms = alarms[..1].to_vec();
        },
        "m1: alarm NOSPACE",
    );
    told(|found| (log(found).meta, log(found).head) = (KeyState::Absent, KeyState::Absent), "there is no log yet");
}

#[test]
fn a_leader_without_a_follower_is_a_problem() {
    let mut found = in_order();
    if let Ok(log) = &mut found.log {
        log.nodes.remove("n2");
    }
    let lines = problems(&cluster(), &found);
    assert!(lines.len() == 1 && lines[0].starts_with("n1: leads, and no other node follows"), "{lines:?}");
}
