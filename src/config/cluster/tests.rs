use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::*;

/// A directory with the key of a cluster.
fn scratch() -> tempfile::TempDir {
    let scratch = tempfile::tempdir().expect("scratch");
    write(scratch.path(), "cluster.key", &format!("{}\n", "5e".repeat(32)), 0o600);
    scratch
}

fn write(directory: &Path, name: &str, text: &str, mode: u32) {
    let path = directory.join(name);
    fs::write(&path, text).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
}

/// Reads a file with this text, and the files that it names; `DIR` in it is the directory.
fn read(directory: &Path, text: &str, server: Option<&Config>) -> Result<ClusterConfig, Vec<String>> {
    let path = directory.join("cluster.toml");
    fs::write(&path, text.replace("DIR", directory.to_str().expect("a path"))).expect("written");
    let read = ClusterConfig::read(&path, server).and_then(|cluster| {
        let mistakes = cluster.mistakes_of_files();
        if mistakes.is_empty() { Ok(cluster) } else { Err(mistakes) }
    });
    read.map_err(|mistakes| mistakes.into_iter().map(|mistake| mistake.0).collect())
}

fn told(directory: &Path, text: &str) -> Vec<String> {
    read(directory, text, None).expect_err("refused")
}

const DRILL: &str = "cluster = \"shop\"\nnode = \"n1\"\nmembers = [\"http://127.0.0.1:2379\"]\n\
                     key_file = \"DIR/cluster.key\"\ntest = true\n";

/// Certificates of an authority and of a node.
fn write_tls(directory: &Path) {
    let made = |name: &str| rcgen::generate_simple_self_signed([name.to_string()]).expect("made");
    let (ca, node) = (made("ca"), made("n1"));
    write(directory, "ca.crt", &ca.cert.pem(), 0o644);
    write(directory, "node.crt", &node.cert.pem(), 0o644);
    write(directory, "node.key", &node.signing_key.serialize_pem(), 0o600);
    write(directory, "other.key", &ca.signing_key.serialize_pem(), 0o600);
}

const SALE: &str = "cluster = \"shop\"\nshard = 3\nnode = \"n1\"\n\
     members = [\"https://e1.example:2379\", \"https://e2.example:2379/\", \"https://10.0.0.3:2379\"]\n\
     key_file = \"DIR/cluster.key\"\n\
     [tls]\nca = \"DIR/ca.crt\"\ncertificate = \"DIR/node.crt\"\nkey = \"DIR/node.key\"\n\
     [advertise]\npublic_url = \"https://n1.example:443\"\nadmin_url = \"https://n1.example:8081\"\nwire = \"n1.example:8082\"\n";

#[test]
fn a_file_of_a_sale_and_one_of_a_drill_are_read() {
    let scratch = scratch();
    write_tls(scratch.path());
    let server = Config::defaults();
    let sale = read(scratch.path(), SALE, Some(&server)).expect("good");
    assert_eq!((sale.prefix().as_str(), sale.node.as_str(), sale.test), ("/firstcome/shop/3/", "n1", false));
    assert_eq!(sale.members[1], "https://e2.example:2379", "without a slash");
    assert_eq!(sale.quota_bytes, 4 << 30);
    assert_eq!(sale.advertise.wire, "n1.example:8082");
    assert!(sale.tls.is_some());

    let mut drill = read(scratch.path(), DRILL, Some(&server)).expect("good");
    assert_eq!(drill.prefix(), "/firstcome/shop/0/");
    assert_eq!(drill.advertise.public_url, "http://127.0.0.1:8080", "that of its listener");
    assert_eq!(drill.advertise.wire, "127.0.0.1:8082");
    let on_any_port = Config::load(
        None,
        [],
        &[("public.listen", "127.0.0.1:0".into()), ("public_url", "http://shop.example".into())],
    );
    drill = read(scratch.path(), DRILL, Some(&on_any_port.expect("good"))).expect("good");
    assert_eq!(drill.advertise.public_url, "", "known once it is bound; never that of the shop's balancer");
    drill.settle_advertised("http://127.0.0.1:4711", "http://127.0.0.1:1", "127.0.0.1:2".parse().expect("an address"));
    let AdvertisedAddresses { public_url, admin_url, .. } = drill.advertise;
    assert_eq!((public_url.as_str(), admin_url.as_str()), ("http://127.0.0.1:4711", "http://127.0.0.1:8081"));
}

#[test]
fn all_mistakes_are_told_at_once_a_line_each_with_its_key() {
    let scratch = scratch();
    let text = "cluster = \"Shop\"\nshard = 256\nmembers = [\"etcd1:2379\"]\nquota_bytes = 2147483648\ntest = \"yes\"\n\
                colour = 1\nkey_file = \"/no/such/cluster.key\"\n\
                [tls]\nca = \"/no/such/ca.crt\"\nkey = 3\n[tls.more]\n\
                [advertise]\npublic_url = \"https://n1.example/shop\"\nadmin_url = \"n1\"\nwire = \"n1.example\"\n";
    let told = told(scratch.path(), text);
    for key in [
        "cluster = ",
        "shard = 256",
        "node (",
        "members = ",
        "test = ",
        "colour (",
        "no such file: key_file",
        "no such file: tls.ca",
        "tls.certificate (",
        "tls.key = ",
        "tls.more (",
        "advertise.public_url = ",
        "advertise.admin_url = ",
        "advertise.wire = ",
    ] {
        assert_eq!(told.iter().filter(|line| line.starts_with(key)).count(), 1, "{key}: {told:#?}");
    }
    // What a right `test` would allow is no second mistake.
    assert_eq!(told.len(), 14, "{told:#?}");
    assert!(told.iter().all(|line| !line.contains("/no/such/") && !line.contains('\n')), "{told:#?}");
}

#[test]
fn a_file_that_is_missing_or_no_toml_is_one_mistake() {
    let scratch = scratch();
    let missing = ClusterConfig::read(&scratch.path().join("none.toml"), None).expect_err("missing");
    assert!(missing.len() == 1 && missing[0].0.contains("none.toml"), "{missing:?}");
    let told = told(scratch.path(), "node = \n");
    assert!(told.len() == 1 && told[0].contains("line 1"), "{told:?}");
}

#[test]
fn values_are_checked() {
    let scratch = scratch();
    let long = "a".repeat(41);
    for (key, value) in [
        ("cluster", "\"\"".to_string()),
        ("cluster", format!("\"{long}\"")),
        ("cluster", "\"a/b\"".into()),
        ("node", "\"n_1\"".into()),
        ("node", "1".into()),
        ("members", "[]".into()),
        ("members", "\"http://127.0.0.1:2379\"".into()),
        ("members", "[\"http://127.0.0.1:2379\", \"http://127.0.0.1:2379/\"]".into()),
        ("members", "[\"http://127.0.0.1\"]".into()),
        ("members", "[\"http://127.0.0.1:0\"]".into()),
        ("members", "[\"http://0.0.0.0:2379\"]".into()),
        ("members", "[\"http://127.0.0.1:2379/v3\"]".into()),
        ("key_file", "\"\"".into()),
    ] {
        let lines = DRILL.lines().filter(|line| !line.starts_with(&format!("{key} = ")));
        let text = format!("{}\n{key} = {value}\n", lines.collect::<Vec<_>>().join("\n"));
        let told = told(scratch.path(), &text);
        assert!(told.len() == 1 && told[0].starts_with(&format!("{key} = ")), "{key} = {value}: {told:?}");
    }
}

#[test]
fn members_are_three_and_encrypted_unless_it_is_a_drill_on_one_machine() {
    let scratch = scratch();
    let one = |line: &str, part: &str| {
        let text = DRILL.replace("members = [\"http://127.0.0.1:2379\"]", line);
        let told = told(scratch.path(), &text);
        assert!(told.len() == 1 && told[0].contains(part), "{line}: {told:?}");
    };
    one("members = [\"http://10.0.0.1:2379\"]", "http://10.0.0.1:2379 without TLS");
    one("members = [\"https://10.0.0.1:2379\"]", "need [tls]");
    let sale = told(scratch.path(), &DRILL.replace("test = true", "test = false"));
    assert!(sale.len() == 1 && sale[0].contains("3 to 9"), "{sale:?}");
    let members = ["1", "2", "3"].map(|port| format!("\"http://127.0.0.1:{port}\"")).join(", ");
    let text = format!("cluster = \"a\"\nnode = \"n\"\nmembers = [{members}]\nkey_file = \"DIR/cluster.key\"\n");
    let sale = told(scratch.path(), &text);
    assert!(sale.len() == 1 && sale[0].contains("only on loopback, with test = true"), "{sale:?}");
}

#[test]
fn a_key_that_others_may_read_or_of_another_form_is_refused_and_not_shown() {
    let scratch = scratch();
    let digits = "5e".repeat(32);
    for (content, mode, part) in [
        (digits.clone(), 0o640, "chmod 600"),
        (digits.to_uppercase(), 0o600, "64 hexadecimal digits"),
        (digits[2..].into(), 0o600, "64 hexadecimal digits"),
        (digits.repeat(3), 0o600, "larger than"),
    ] {
        write(scratch.path(), "cluster.key", &content, mode);
        let told = told(scratch.path(), DRILL);
        assert!(told.len() == 1 && told[0].contains(part), "{told:?}");
        assert!(!told[0].contains("5e5e") && !told[0].contains("5E5E"), "{told:?}");
    }
    let typed = told(scratch.path(), &DRILL.replace("DIR/cluster.key", &digits));
    assert!(
        typed.len() == 1 && typed[0].starts_with("no such file: key_file") && !typed[0].contains("5e5e"),
        "{typed:?}"
    );
}

#[test]
fn files_of_tls_belong_together() {
    let scratch = scratch();
    write_tls(scratch.path());
    let one = |from: &str, to: &str, part: &str| {
        let told = told(scratch.path(), &SALE.replace(from, to));
        assert!(told.len() == 1 && told[0].contains(part), "{to}: {told:?}");
    };
    one("node.key", "other.key", "is not the key of");
    one("DIR/ca.crt", "DIR/node.key", "no certificate (PEM)");
    one("DIR/node.key", "DIR/ca.crt", "chmod 600");
    one("https://e1.example", "http://e1.example", "http://e1.example:2379 without TLS");
    write(scratch.path(), "node.crt", "", 0o666);
    one("unused", "unused", "chmod 644");
}

#[test]
fn a_node_that_clients_of_other_nodes_would_not_reach_is_told() {
    let scratch = scratch();
    write_tls(scratch.path());
    let flags = [("public.listen", "0.0.0.0:443".into()), ("public_url", "https://shop.example".into())];
    let server = Config::load(None, [], &flags).expect("good");
    let without = SALE.split("[advertise]").next().expect("the first part");
    let told = read(scratch.path(), without, Some(&server)).expect_err("three addresses are missing");
    for (key, listen) in [("public_url", "0.0.0.0:443"), ("admin_url", "127.0.0.1:8081"), ("wire", "127.0.0.1:8082")] {
        let found = told.iter().any(|line| line.starts_with(&format!("advertise.{key} (")) && line.contains(listen));
        assert!(found, "{key}: {told:#?}");
    }
    assert_eq!(told.len(), 3, "{told:#?}");
    assert!(read(scratch.path(), without, None).is_ok(), "a verb of the command line needs none");
}

#[cfg(feature = "cluster")]
#[test]
fn a_cluster_with_a_durability_is_refused_with_all_other_mistakes() {
    let scratch = scratch();
    read(scratch.path(), DRILL, None).expect("good");
    let file = scratch.path().join("cluster.toml").display().to_string();
    let load = |more: &[(&'static str, String)]| {
        let flags: Vec<_> = [("cluster.file", file.clone())].into_iter().chain(more.to_vec()).collect();
        Config::load(None, [], &flags)
    };
    assert_eq!(load(&[]).expect("good").cluster.map(|cluster| cluster.node), Some("n1".into()));
    fs::write(&file, "node = 1\ntest = true\n").expect("written");
    let told = load(&[("writer.durability", "full".into())]).expect_err("refused");
    assert_eq!(told.len(), 5, "{told:?}");
    assert!(told.iter().any(|line| line.0.starts_with("writer.durability must not be set with cluster.file")));
    assert!(Config::load(None, [], &[("writer.durability", "full".into())]).is_ok());
}

#[cfg(not(feature = "cluster"))]
#[test]
fn a_build_without_the_log_says_so_in_one_line() {
    let told = Config::load(None, [], &[("cluster.file", "cluster.toml".into())]).expect_err("refused");
    assert!(told.len() == 1 && told[0].0.contains("--features cluster"), "{told:?}");
}
