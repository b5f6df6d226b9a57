//! TLS on the real listeners, with a real client and certificates that the test makes: versions, silence, a new
//! certificate without a restart, and files that are no good.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::http::{Server, config, try_serve, until};
use firstcome::config::{Config, TlsFiles};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, ProtocolVersion, RootCertStore, StreamOwned, SupportedProtocolVersion};

const PATIENCE: Duration = Duration::from_secs(20);

fn write(path: &Path, content: &str, mode: u32) {
    // A new file in the place of the old one, as certificate tools do it.
    let new = path.with_extension("new");
    fs::write(&new, content).expect("written");
    fs::set_permissions(&new, fs::Permissions::from_mode(mode)).expect("set");
    fs::rename(new, path).expect("renamed");
}

/// Puts a new certificate for `localhost` and its key into the files.
fn issue(files: &TlsFiles) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_string()]).expect("a certificate");
    write(&files.key, &made.signing_key.serialize_pem(), 0o600);
    write(&files.certificate, &made.cert.pem(), 0o644);
    made.cert.der().clone()
}

fn files(directory: &Path, name: &str) -> TlsFiles {
    let file = |what: &str| -> PathBuf { directory.join(format!("{name}.{what}")) };
    TlsFiles { certificate: file("crt"), key: file("key") }
}

type Client = StreamOwned<ClientConnection, TcpStream>;

/// Connects, trusting this certificate alone; the handshake is done.
fn connect(
    address: SocketAddr,
    trusted: &CertificateDer<'static>,
    versions: &[&'static SupportedProtocolVersion],
) -> std::io::Result<Client> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).expect("a root");
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    let mut connection = ClientConnection::new(Arc::new(config), name).expect("a client");
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    Ok(StreamOwned::new(connection, stream))
}

fn newest(address: SocketAddr, trusted: &CertificateDer<'static>) -> std::io::Result<Client> {
    connect(address, trusted, &[&rustls::version::TLS13, &rustls::version::TLS12])
}

/// One answer on a connection that stays open.
fn ask(client: &mut Client, path: &str) -> String {
    write!(client, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
    let mut heard = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&heard).into_owned();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        if let (Some(length), Some((_, body))) = (length, text.split_once("\r\n\r\n"))
            && body.len() >= length
        {
            return text;
        }
        let mut bytes = [0u8; 16_384];
        let count = client.read(&mut bytes).expect("answered");
        assert_ne!(count, 0, "closed instead of answered: {text}");
        heard.extend_from_slice(&bytes[..count]);
    }
}

/// A server whose public listener speaks TLS.
fn serve(directory: &Path, files: &TlsFiles, change: impl FnOnce(&mut Config)) -> Server {
    let mut config = config(directory);
    config.public_tls = Some(files.clone());
    change(&mut config);
    let server = try_serve(config).unwrap_or_else(|(code, message)| panic!("{code}: {message}"));
    assert_eq!(server.create(9).status, 201);
    server
}

#[test]
fn buyers_are_served_under_tls_of_both_versions_and_plain_requests_are_not() {
    let scratch = tempfile::tempdir().expect("scratch");
    let files = files(scratch.path(), "shop");
    let trusted = issue(&files);
    let server = serve(scratch.path(), &files, |_| {});
    let address = server.0.server.public_address;
    for (version, name) in
        [(&rustls::version::TLS13, ProtocolVersion::TLSv1_3), (&rustls::version::TLS12, ProtocolVersion::TLSv1_2)]
    {
        let mut client = connect(address, &trusted, &[version]).expect("connected");
        assert_eq!(client.conn.protocol_version(), Some(name));
        for _ in 0..2 {
            let answer = ask(&mut client, "/v1/drops/1");
            assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"total\":9"), "{answer}");
        }
    }
    let mut plain = TcpStream::connect(address).expect("connected");
    plain.set_read_timeout(Some(PATIENCE)).expect("set");
    plain.write_all(b"GET /v1/drops/1 HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
    let mut heard = Vec::new();
    plain.read_to_end(&mut heard).expect("closed");
    assert!(!String::from_utf8_lossy(&heard).contains("HTTP/1.1"), "answered without TLS");
    assert_eq!(server.metric("firstcome_connections_closed_total{cause=\"slow_head\"}"), 0.0);
    server.stop();
}

#[test]
fn a_changed_certificate_is_in_force_without_a_restart_and_a_broken_one_changes_nothing() {
    let scratch = tempfile::tempdir().expect("scratch");
    let files = files(scratch.path(), "shop");
    let first = issue(&files);
    let server = serve(scratch.path(), &files, |_| {});
    let address = server.0.server.public_address;
    let mut early = newest(address, &first).expect("connected");
    ask(&mut early, "/v1/drops/1");

    let failed = || server.metric("firstcome_tls_reloads_total{result=\"failed\"}");
    write(&files.certificate, "not a certificate", 0o644);
    until("the broken file is noticed", || failed() >= 1.0);
    ask(&mut newest(address, &first).expect("the old certificate is in force"), "/v1/drops/1");

    let second = issue(&files);
    until("the new certificate is in force", || newest(address, &second).is_ok());
    assert!(newest(address, &first).is_err(), "who trusts the old one alone is not served");
    ask(&mut early, "/v1/drops/1");
    assert!(server.metric("firstcome_tls_reloads_total{result=\"ok\"}") >= 1.0);
    server.stop();
}

#[test]
fn a_file_that_is_only_made_private_is_taken_up() {
    let scratch = tempfile::tempdir().expect("scratch");
    let files = files(scratch.path(), "shop");
    let first = issue(&files);
    let server = serve(scratch.path(), &files, |_| {});
    let address = server.0.server.public_address;
    // The new key is readable by others, and the new certificate may be written by them: both are refused.
    let failed = || server.metric("firstcome_tls_reloads_total{result=\"failed\"}");
    let made = rcgen::generate_simple_self_signed(["localhost".to_string()]).expect("a certificate");
    write(&files.key, &made.signing_key.serialize_pem(), 0o644);
    write(&files.certificate, &made.cert.pem(), 0o666);
    until("the files are noticed", || failed() >= 1.0);
    assert!(newest(address, &first).is_ok(), "the old certificate stays in force");
    fs::set_permissions(&files.certificate, fs::Permissions::from_mode(0o644)).expect("set");
    fs::set_permissions(&files.key, fs::Permissions::from_mode(0o600)).expect("set");
    until("the new certificate is in force", || newest(address, made.cert.der()).is_ok());
    server.stop();
}

#[test]
fn a_handshake_that_does_not_come_is_not_waited_for_and_holds_nobody_up() {
    let scratch = tempfile::tempdir().expect("scratch");
    let files = files(scratch.path(), "shop");
    let trusted = issue(&files);
    let server = serve(scratch.path(), &files, |config| {
        config.limits.tls_handshakes_max = 2;
        config.limits.tls_handshake_timeout = Duration::from_millis(300);
    });
    let address = server.0.server.public_address;
    let silent: Vec<TcpStream> = (0..4).map(|_| TcpStream::connect(address).expect("connected")).collect();
    for mut stream in silent {
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        assert_eq!(stream.read(&mut [0u8; 16]).expect("closed"), 0);
    }
    let counted = || server.metric("firstcome_connections_closed_total{cause=\"handshake\"}");
    until("all four are counted", || counted() >= 4.0);
    ask(&mut newest(address, &trusted).expect("connected"), "/v1/drops/1");
    server.stop();
}

#[test]
fn operators_have_a_certificate_of_their_own() {
    let scratch = tempfile::tempdir().expect("scratch");
    let files = files(scratch.path(), "desk");
    let trusted = issue(&files);
    let mut config = config(scratch.path());
    config.admin_tls = Some(files);
    let server = try_serve(config).unwrap_or_else(|(code, message)| panic!("{code}: {message}"));
    let mut client = newest(server.0.server.admin_address, &trusted).expect("connected");
    assert!(ask(&mut client, "/healthz").ends_with("ok\n"));
    assert_eq!(server.public("GET", "/v1/drops").status, 200, "the other listener is plain");
    drop(client);
    server.stop();
}

#[test]
fn files_that_are_no_good_are_told_all_at_once() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (shop, desk) = (files(scratch.path(), "shop"), files(scratch.path(), "desk"));
    issue(&shop);
    fs::set_permissions(&shop.key, fs::Permissions::from_mode(0o640)).expect("set");
    write(&desk.certificate, "nonsense", 0o644);
    let start = |public: &TlsFiles, admin: &TlsFiles| {
        let mut config = config(scratch.path());
        (config.public_tls, config.admin_tls) = (Some(public.clone()), Some(admin.clone()));
        let Err(refused) = try_serve(config) else { panic!("it started") };
        refused
    };
    let (code, message) = start(&shop, &desk);
    assert_eq!(code, 64, "{message}");
    for part in ["shop.key: may be read by others", "desk.crt: contains no certificate", "no such file: admin.tls_key"]
    {
        assert!(message.contains(part), "{part}: {message}");
    }
    let other = files(scratch.path(), "other");
    issue(&other);
    let mixed = TlsFiles { certificate: other.certificate.clone(), key: desk.key.clone() };
    issue(&desk);
    let (code, message) = start(&other, &mixed);
    assert_eq!((code, message.contains("are not a certificate and its key")), (64, true), "{message}");
    assert!(!message.contains("PRIVATE"), "nothing of the key is told");
}
