//! The checks of a node's start against real members of etcd: each fault of a cluster is found where it is, and nothing is
//! left behind.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]

mod etcd;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use etcd::Etcd;
use etcd_client::{AlarmAction, AlarmType, Client, GetOptions, PutOptions};
use firstcome::config::ClusterConfig;
use firstcome::log::announcement::{LeaderAnnouncement, NodeAnnouncement};
use firstcome::log::checks::{Findings, KeyState, refusals, warnings};
use firstcome::log::etcd_connect::open_log;
use firstcome::log::etcd_members::{Creation, EtcdMembers};
use firstcome::log::meta::LogMeta;
use firstcome::log::seal::Seal;
use firstcome::log::{Head, LogAnswer, LogRequest};
use firstcome::store::chain::ChainLink;
use firstcome::types::Seq;

/// Longest time for three members to find a leader.
const WAIT: Duration = Duration::from_secs(30);
const FILE: [u8; 16] = [0xab; 16];

fn first_head() -> Head {
    Head::before_all(Seq::ZERO, ChainLink::START)
}

fn on_one_thread(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work);
}

/// The file of a cluster with these members; `more` are further lines.
fn cluster(scratch: &Path, members: &[String], more: &str) -> ClusterConfig {
    let key = scratch.join("cluster.key");
    fs::write(&key, "5e".repeat(32)).expect("written");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("set");
    let text =
        format!("cluster = \"shop\"\nnode = \"n1\"\ntest = true\nmembers = {members:?}\nkey_file = {key:?}\n{more}");
    let file = scratch.join("cluster.toml");
    fs::write(&file, text).expect("written");
    ClusterConfig::read(&file, None).expect("a good file")
}

fn meta(slots: u64) -> LogMeta {
    LogMeta::new(&FILE, slots, &Seal::parse(&"5e".repeat(32)).expect("a key"))
}

/// The findings, once the members have a leader.
async fn findings(members: &EtcdMembers, probes: bool) -> Findings {
    let until = Instant::now() + WAIT;
    loop {
        let found = members.findings(probes).await;
        let all_answer = found.answers().count() == found.members.len();
        if found.log.is_ok() && all_answer && found.answers().all(|(_, status)| status.leader != 0) {
            return found;
        }
        assert!(Instant::now() < until, "no leader among the members: {found:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn only(lines: &[String], parts: &[&str]) {
    assert!(lines.len() == 1 && parts.iter().all(|part| lines[0].contains(part)), "{parts:?}: {lines:#?}");
}

#[test]
fn faults_of_members_and_of_keys_are_found_and_the_probe_leaves_no_key() {
    on_one_thread(async {
        let scratch = tempfile::tempdir().expect("scratch");
        let mut etcd = Etcd::start(3);
        let config = cluster(scratch.path(), &etcd.urls_from(0), "");
        let members = EtcdMembers::connect(&config).await.expect("prepared");
        let own = meta(4096);
        let judge = |found: &Findings| refusals(&config, Some(&own.file_id), found);

        // Before there is a log.
        let found = findings(&members, true).await;
        only(&judge(&found), &["/firstcome/shop/0/meta", "firstcome cluster init"]);
        let versions = found.answers().map(|(_, status)| status.version.clone()).collect::<Vec<_>>();
        println!("etcd {versions:?}");
        let mut client = Client::connect(etcd.urls_from(0), None).await.expect("connected");
        let everything = Some(GetOptions::new().with_all_keys());
        let kept = client.get("", everything.clone()).await.expect("read");
        assert!(kept.kvs().is_empty() && kept.header().expect("a header").revision() == 1, "the probe wrote nothing");

        // Without `test`, this version and two members less would not do.
        let strict = ClusterConfig { test: false, ..config.clone() };
        let strictly = refusals(&strict, None, &found);
        let olds = strictly.iter().filter(|line| line.contains("can lose revisions")).count();
        assert!(olds == 3 || !versions[0].starts_with("3.4."), "{strictly:#?}");

        // A log is made once.
        assert_eq!(members.create(&own, first_head()).await, Ok(Creation::Created));
        assert_eq!(members.create(&own, first_head()).await, Ok(Creation::Exists));
        let found = findings(&members, true).await;
        assert_eq!(judge(&found), Vec::<String>::new());
        let log = found.log.as_ref().expect("read");
        assert_eq!((log.meta.present(), log.head.present()), (Some(&own), Some(&first_head())));
        only(&refusals(&config, Some("cd"), &found), &["is of the database abab", "is cd"]);

        let digits = "6e".repeat(32);
        fs::write(&config.key_file, &digits).expect("written");
        let with_another_key = EtcdMembers::connect(&config).await.expect("prepared");
        let found_so = with_another_key.findings(false).await;
        only(&judge(&found_so), &["key_file = ", "is not the key of this log"]);
        fs::write(&config.key_file, "5e".repeat(32)).expect("written");

        // Its keys are those of the log that nodes use.
        let opened = open_log(&config, own.slots).await.expect("opened");
        assert_eq!(opened.carry_out(&LogRequest::Head { elsewhere: false }).await, LogAnswer::Head(first_head()));

        // An alarm is told once, by the name of its member, and not again as a put that failed.
        let member = found.answers().next().expect("an answer").1.member_id;
        let mut raise = etcd_client::AlarmOptions::new();
        raise.with_member(member);
        client.alarm(AlarmAction::Activate, AlarmType::Nospace, Some(raise.clone())).await.expect("raised");
        only(&judge(&findings(&members, true).await), &[&found.member_name(member), "alarm NOSPACE"]);
        client.alarm(AlarmAction::Deactivate, AlarmType::Nospace, Some(raise)).await.expect("disarmed");

        // A silent member is a warning; without a quorum nothing starts.
        etcd.kill(1);
        let until = Instant::now() + WAIT;
        let found = loop {
            let found = members.findings(false).await;
            if found.log.is_ok() && found.members[1].answer.is_err() {
                break found;
            }
            assert!(Instant::now() < until, "{found:?}");
        };
        assert_eq!(judge(&found), Vec::<String>::new());
        assert!(warnings(&config, &found).iter().any(|line| line.contains(&config.members[1])), "{found:?}");
        etcd.kill(2);
        let found = members.findings(true).await;
        only(&judge(&found), &["no quorum of etcd answers", &config.members[0], &config.members[2]]);
    });
}

#[test]
fn members_of_two_clusters_and_one_member_under_two_names_are_told_apart() {
    on_one_thread(async {
        let scratch = tempfile::tempdir().expect("scratch");
        let (one, other) = (Etcd::start(1), Etcd::start(1));
        let url = |etcd: &Etcd| etcd.urls_from(0).remove(0);
        let config = cluster(scratch.path(), &[url(&one), url(&other)], "");
        let members = EtcdMembers::connect(&config).await.expect("prepared");
        findings(&members, false).await;
        members.create(&meta(8), first_head()).await.expect("created");
        let lines = refusals(&config, None, &findings(&members, true).await);
        only(&lines, &[&config.members[1], "another etcd", &config.members[0]]);

        let again = url(&one).replace("127.0.0.1", "localhost");
        let config = cluster(scratch.path(), &[url(&one), again.clone()], "");
        let members = EtcdMembers::connect(&config).await.expect("prepared");
        let lines = refusals(&config, None, &findings(&members, true).await);
        only(&lines, &[&again, "is the same member as", &url(&one), "balancer"]);
    });
}

#[test]
fn a_member_that_takes_only_short_requests_is_found() {
    on_one_thread(async {
        let scratch = tempfile::tempdir().expect("scratch");
        let etcd = Etcd::start_with(1, "http", &["--max-request-bytes", "600000"]);
        let config = cluster(scratch.path(), &etcd.urls_from(0), "");
        let members = EtcdMembers::connect(&config).await.expect("prepared");
        findings(&members, false).await;
        members.create(&meta(8), first_head()).await.expect("created");
        let lines = refusals(&config, None, &findings(&members, true).await);
        only(
            &lines,
            &[
                &config.members[0],
                "does not take a request of 1 MiB (etcdserver: request is too large)",
                "--max-request-bytes",
            ],
        );
    });
}

#[test]
fn a_process_of_the_same_name_is_found_while_it_lives_and_its_key_alone_is_no_process() {
    on_one_thread(async {
        let scratch = tempfile::tempdir().expect("scratch");
        let etcd = Etcd::start(1);
        let config = cluster(scratch.path(), &etcd.urls_from(0), "");
        let members = EtcdMembers::connect(&config).await.expect("prepared");
        findings(&members, false).await;
        assert!(!members.has_rival().await, "no key");

        let address = LeaderAnnouncement {
            node: "n1".into(),
            public_url: "http://127.0.0.1:1".into(),
            admin_url: "http://127.0.0.1:2".into(),
            wire: "127.0.0.1:3".into(),
        };
        let node = NodeAnnouncement { address: address.clone(), applied: 7, synced_seq: 5, clock_offset_ms: Some(3) };
        let mut client = Client::connect(etcd.urls_from(0), None).await.expect("connected");
        let lease = client.lease_grant(60, None).await.expect("granted").id();
        let put = |mut client: Client, value: Vec<u8>| async move {
            let options = Some(PutOptions::new().with_lease(lease));
            client.put("/firstcome/shop/0/nodes/n1", value, options).await.expect("put");
        };
        put(client.clone(), node.to_bytes()).await;
        assert!(!members.has_rival().await, "a process that ended");
        let alive = async {
            loop {
                put(client.clone(), node.to_bytes()).await;
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        };
        tokio::select! {
            found = members.has_rival() => assert!(found, "a process that lives"),
            () = alive => {}
        }

        // Others see it, and who leads.
        client.put("/firstcome/shop/0/leader", address.to_bytes(), None).await.expect("put");
        client.put("/firstcome/shop/0/nodes/n2", "n2", None).await.expect("put");
        let log = members.findings(false).await.log.expect("read");
        assert_eq!(log.leader, KeyState::Present(address));
        assert_eq!(log.nodes.get("n1"), Some(&Some(node)));
        assert_eq!(log.nodes.get("n2"), Some(&None), "of another form");
    });
}

/// An authority, and certificates of a member and of a node that it signed.
fn write_certificates(directory: &Path) {
    let mut ca = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = rcgen::CertifiedIssuer::self_signed(ca, rcgen::KeyPair::generate().expect("a key")).expect("made");
    let write = |name: &str, text: String, mode: u32| {
        fs::write(directory.join(name), text).expect("written");
        fs::set_permissions(directory.join(name), fs::Permissions::from_mode(mode)).expect("set");
    };
    write("ca.crt", ca.pem(), 0o644);
    for name in ["member", "node"] {
        let key = rcgen::KeyPair::generate().expect("a key");
        let params = rcgen::CertificateParams::new(["127.0.0.1".to_string()]).expect("parameters");
        let signed = params.signed_by(&key, &ca).expect("signed");
        write(&format!("{name}.crt"), signed.pem(), 0o644);
        write(&format!("{name}.key"), key.serialize_pem(), 0o600);
    }
}

#[test]
fn members_with_tls_take_the_nodes_certificate_and_no_other() {
    on_one_thread(async {
        let (scratch, foreign) = (tempfile::tempdir().expect("scratch"), tempfile::tempdir().expect("scratch"));
        write_certificates(scratch.path());
        write_certificates(foreign.path());
        let etcd = Etcd::start_tls(1, scratch.path());
        let tls = |ca: &Path, node: &Path| {
            let (ca, certificate, key) = (ca.join("ca.crt"), node.join("node.crt"), node.join("node.key"));
            format!("[tls]\nca = {ca:?}\ncertificate = {certificate:?}\nkey = {key:?}\n")
        };
        let config = cluster(scratch.path(), &etcd.urls_from(0), &tls(scratch.path(), scratch.path()));
        let members = EtcdMembers::connect(&config).await.expect("prepared");
        findings(&members, false).await;
        let own = meta(8);
        assert_eq!(members.create(&own, first_head()).await, Ok(Creation::Created));
        assert_eq!(refusals(&config, Some(&own.file_id), &findings(&members, true).await), Vec::<String>::new());
        let opened = open_log(&config, own.slots).await.expect("opened");
        assert_eq!(opened.carry_out(&LogRequest::Head { elsewhere: false }).await, LogAnswer::Head(first_head()));

        for (ca, node) in [(foreign.path(), scratch.path()), (scratch.path(), foreign.path())] {
            let config = cluster(scratch.path(), &etcd.urls_from(0), &tls(ca, node));
            let members = EtcdMembers::connect(&config).await.expect("prepared");
            let lines = refusals(&config, None, &members.findings(true).await);
            // Which side notices first is a race: the line names a certificate, or a connection that was closed.
            only(&lines, &["no quorum of etcd answers", &config.members[0]]);
            println!("{}", lines[0]);
        }
    });
}
