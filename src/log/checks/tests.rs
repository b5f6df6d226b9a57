use super::*;
use crate::config::AdvertisedAddresses;
use crate::store::chain::ChainLink;
use crate::types::Seq;
use crate::types::shard::Shard;

const FILE: &str = "abababababababababababababababab";

fn cluster(test: bool) -> ClusterConfig {
    ClusterConfig {
        file: "cluster.toml".into(),
        cluster: "shop".into(),
        shard: Shard::SINGLE,
        node: "n1".into(),
        members: vec!["http://a:1".into(), "http://b:1".into(), "http://c:1".into()],
        tls: None,
        key_file: "cluster.key".into(),
        advertise: AdvertisedAddresses::default(),
        quota_bytes: 1000,
        test,
    }
}

fn meta(form: u8, file_id: &str) -> LogMeta {
    LogMeta { form, file_id: file_id.into(), slots: 4096, key_check: String::new() }
}

/// Three members in order, and a log of the node's file.
fn in_order() -> Findings {
    let known = |id: u64| KnownMember { id, name: format!("m{id}"), is_voting: true };
    let status = |id: u64| MemberStatus {
        cluster_id: 7,
        member_id: id,
        version: "3.5.21".into(),
        leader: 1,
        db_bytes: 500,
        db_bytes_in_use: 400,
        known: (1..=3).map(known).collect(),
        ..MemberStatus::default()
    };
    let urls = ["http://a:1", "http://b:1", "http://c:1"];
    Findings {
        members: (1..).zip(urls).map(|(id, url)| MemberFinding { url: url.into(), answer: Ok(status(id)) }).collect(),
        log: Ok(LogFinding {
            meta: KeyState::Present(meta(1, FILE)),
            is_of_key: true,
            head: KeyState::Present(Head::before_all(Seq::ZERO, ChainLink::START)),
            leader: KeyState::Absent,
            nodes: BTreeMap::new(),
        }),
        has_rival: false,
    }
}

fn member(found: &mut Findings, at: usize) -> &mut MemberStatus {
    found.members[at].answer.as_mut().expect("an answer")
}

fn log(found: &mut Findings) -> &mut LogFinding {
    found.log.as_mut().expect("a log")
}

#[test]
fn a_cluster_in_order_is_neither_refused_nor_warned_of() {
    let found = in_order();
    assert_eq!(refusals(&cluster(false), Some(FILE), &found), Vec::<String>::new());
    assert_eq!(refusals(&cluster(false), None, &found), Vec::<String>::new());
    assert_eq!(warnings(&cluster(false), &found), Vec::<String>::new());
}

/// A fault, the parts of its only line, and whether a drill is refused for it, too.
type Row = (fn(&mut Findings), &'static [&'static str], bool);

#[test]
fn each_fault_is_one_line_with_the_place_and_the_remedy() {
    let rows: &[Row] = &[
        (
            |found| (0..3).for_each(|at| member(found, at).known.truncate(1)),
            &["cluster.toml", "1 voting members", "add members"],
            false,
        ),
        (|found| (0..3).for_each(|at| member(found, at).known[2].is_voting = false), &["2 voting members"], false),
        (|found| member(found, 1).version = "3.4.23".into(), &["http://b:1", "3.4.23", "etcd#17780", "3.5.14"], false),
        (|found| member(found, 1).version = "3.5.3".into(), &["http://b:1", "etcd#13766", "run 3.4.32"], true),
        (|found| member(found, 2).version = "nginx".into(), &["http://c:1", "a proxy?"], true),
        (
            |found| {
                let alarm = MemberAlarm { member_id: 2, kind: AlarmKind::NoSpace };
                (0..3).for_each(|at| member(found, at).alarms.push(alarm));
                // It follows from the alarm.
                member(found, 0).refused_probe = Some("etcdserver: mvcc: database space exceeded".into());
            },
            &["m2: alarm NOSPACE", "etcdctl alarm disarm"],
            true,
        ),
        (
            |found| member(found, 0).alarms.push(MemberAlarm { member_id: 9, kind: AlarmKind::Corrupt }),
            &["member 9: alarm CORRUPT", "empty directory"],
            true,
        ),
        (
            |found| (member(found, 0).db_bytes, member(found, 0).db_bytes_in_use) = (601, 601),
            &["http://a:1", "601 bytes", "60 % of the quota 1000", "compact"],
            true,
        ),
        (|found| member(found, 0).db_bytes = 601, &["(400 in use)", "defragment"], true),
        (
            |found| member(found, 0).quota_bytes = Some(2000),
            &["http://a:1", "quota 2000", "quota_bytes is 1000", "make them equal"],
            true,
        ),
        (
            |found| member(found, 0).refused_probe = Some("request is too large".into()),
            &["http://a:1", "1 MiB (request is too large)", "--max-request-bytes"],
            true,
        ),
        (
            |found| member(found, 1).cluster_id = 0xbeef,
            &["http://b:1: is a member of another etcd (cluster beef) than http://a:1 (cluster 7)"],
            true,
        ),
        (
            |found| member(found, 2).member_id = 1,
            &["http://c:1: is the same member as http://a:1 (m1)", "none by a proxy"],
            true,
        ),
        (
            |found| {
                found.log = Err("http://a:1: no leader".into());
                member(found, 0).refused_probe = Some("no answer".into());
            },
            &["cluster.toml: no quorum of etcd answers: http://a:1: no leader"],
            true,
        ),
        (
            |found| (log(found).meta, log(found).head) = (KeyState::Absent, KeyState::Absent),
            &["/firstcome/shop/0/meta", "firstcome cluster init --cluster cluster.toml --data DIR"],
            true,
        ),
        (|found| log(found).meta = KeyState::Absent, &["/firstcome/shop/0/meta: is missing or unreadable"], true),
        (|found| log(found).meta = KeyState::Unreadable, &["/firstcome/shop/0/meta: is missing or unreadable"], true),
        (|found| log(found).head = KeyState::Absent, &["/firstcome/shop/0/head: is missing or unreadable"], true),
        (
            |found| log(found).meta = KeyState::Present(meta(9, FILE)),
            &["version 9", "reads up to 3", "upgrade it"],
            true,
        ),
        (
            |found| log(found).meta = KeyState::Present(meta(1, "cd")),
            &["the database cd", FILE, "copy of another node's"],
            true,
        ),
        (|found| found.has_rival = true, &["node = \"n1\"", "/firstcome/shop/0/nodes/n1", "stop it, or give"], true),
    ];
    for (spoil, parts, refuses_drill) in rows {
        let mut found = in_order();
        spoil(&mut found);
        let told = refusals(&cluster(false), Some(FILE), &found);
        assert_eq!(told.len(), 1, "{told:#?}");
        assert!(parts.iter().all(|part| told[0].contains(part)) && !told[0].contains('\n'), "{parts:?}: {told:#?}");
        assert_eq!(!refusals(&cluster(true), Some(FILE), &found).is_empty(), *refuses_drill, "{parts:?}");
    }
}

#[test]
fn faults_are_told_together() {
    let mut found = in_order();
    (0..3).for_each(|at| member(&mut found, at).version = "3.4.23".into());
    log(&mut found).head = KeyState::Unreadable;
    found.has_rival = true;
    assert_eq!(refusals(&cluster(false), Some(FILE), &found).len(), 5);
}

#[test]
fn a_member_that_is_silent_old_or_not_named_is_a_warning() {
    let mut found = in_order();
    found.members[1].answer = Err("no answer within 2 s".into());
    member(&mut found, 0).version = "3.4.23".into();
    assert_eq!(refusals(&cluster(true), Some(FILE), &found), Vec::<String>::new());
    let told = warnings(&cluster(true), &found);
    assert!(told.len() == 2 && told[1].contains("etcd#17780") && told[0].contains("http://b:1: does not"), "{told:?}");
    let mut found = in_order();
    found.members.truncate(2);
    let told = warnings(&cluster(true), &found);
    assert!(told.len() == 1 && told[0].contains("`members` lacks m3"), "{told:?}");
}
