//! TLS for the listeners: certificates from files, reloaded without a restart when the files change.
//!
//! One crypto library, passed explicitly; TLS 1.2 at least; HTTP/1.1 only. An invalid new certificate leaves the old one in
//! force: an expired certificate is better than none, and the log and a metric report it.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

use crate::config::secret_file::{FileProtection, FileStamp, read};
use crate::config::{Config, ConfigError, TlsFiles};
use crate::http::routes::Listener;
use crate::telemetry::{Telemetry, catalogue as metric};

/// The ALPN protocols of HTTP listeners.
const HTTP: &[&[u8]] = &[b"http/1.1"];
/// Limit of a certificate or key file; a usual chain is a few kilobytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The TLS of all listeners. A listener without a certificate serves plain connections.
pub(super) struct Tls {
    public: Option<TlsEndpoint>,
    admin: Option<TlsEndpoint>,
    wire: Option<TlsEndpoint>,
    reloaded: metrics::Counter,
    failed: metrics::Counter,
}

impl Tls {
    /// Reads all certificates and keys.
    ///
    /// # Errors
    /// All mistakes at once.
    pub(super) fn open(config: &Config, telemetry: &Telemetry) -> Result<Tls, Vec<ConfigError>> {
        let mut mistakes = Vec::new();
        let mut endpoint = |section, files: &Option<TlsFiles>, protocols: &[&[u8]]| {
            let opened = files.clone().map(|files| TlsEndpoint::open(section, files, protocols)).transpose();
            opened.unwrap_or_else(|more| {
                mistakes.extend(more);
                None
            })
        };
        let (public, admin) =
            (endpoint("public", &config.public_tls, HTTP), endpoint("admin", &config.admin_tls, HTTP));
        let wire = endpoint("wire", &config.wire_tls, &[]);
        let loads = |result| telemetry.counter(&metric::TLS_RELOADS, &[("result", result)]);
        if mistakes.is_empty() {
            Ok(Tls { public, admin, wire, reloaded: loads("ok"), failed: loads("failed") })
        } else {
            Err(mistakes)
        }
    }

    /// Returns the acceptor of the wire listener, if it has TLS.
    pub(super) fn wire_acceptor(&self) -> Option<TlsAcceptor> {
        self.wire.as_ref().map(|endpoint| endpoint.acceptor.clone())
    }

    /// Returns the acceptor of an HTTP listener, if it has TLS.
    pub(super) fn acceptor(&self, listener: Listener) -> Option<TlsAcceptor> {
        let endpoint = match listener {
            Listener::Public => &self.public,
            Listener::Admin => &self.admin,
        };
        endpoint.as_ref().map(|endpoint| endpoint.acceptor.clone())
    }

    /// Reloads certificates whose files have changed.
    pub(super) fn reload_changed(&self) {
        for endpoint in [&self.public, &self.admin, &self.wire].into_iter().flatten() {
            match endpoint.reload_if_changed() {
                None => {}
                Some(Ok(())) => {
                    self.reloaded.increment(1);
                    tracing::info!(file = %endpoint.files.certificate.display(), "TLS certificate reloaded");
                }
                Some(Err(mistakes)) => {
                    self.failed.increment(1);
                    for mistake in mistakes {
                        tracing::error!(%mistake, "TLS certificate reload failed; the old one stays in force");
                    }
                }
            }
        }
    }
}

/// A listener's certificate.
struct TlsEndpoint {
    /// The section of its settings.
    section: &'static str,
    files: TlsFiles,
    acceptor: TlsAcceptor,
    current: Arc<CurrentCertificate>,
    /// The stamps of the files when they were last read.
    seen: Mutex<FileStamps>,
}

impl TlsEndpoint {
    fn open(section: &'static str, files: TlsFiles, protocols: &[&[u8]]) -> Result<TlsEndpoint, Vec<ConfigError>> {
        let seen = Mutex::new(FileStamps::of(&files));
        let provider = Arc::new(aws_lc_rs::default_provider());
        let current = Arc::new(CurrentCertificate(RwLock::new(Arc::new(load(section, &files, &provider)?))));
        let failed = |error: rustls::Error| vec![ConfigError(format!("TLS: {error}"))];
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(failed)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        // A returning client needs no full handshake, on any worker.
        config.ticketer = aws_lc_rs::Ticketer::new().map_err(failed)?;
        Ok(TlsEndpoint { section, files, acceptor: TlsAcceptor::from(Arc::new(config)), current, seen })
    }

    /// Returns `None` if the files are unchanged.
    fn reload_if_changed(&self) -> Option<Result<(), Vec<ConfigError>>> {
        let now = FileStamps::of(&self.files);
        let mut seen = self.seen.lock();
        if *seen == now {
            return None;
        }
        *seen = now;
        let loaded = load(self.section, &self.files, &aws_lc_rs::default_provider());
        Some(loaded.map(|key| *self.current.0.write() = Arc::new(key)))
    }
}

/// The certificate in force.
struct CurrentCertificate(RwLock<Arc<CertifiedKey>>);

impl fmt::Debug for CurrentCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CurrentCertificate")
    }
}

impl ResolvesServerCert for CurrentCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read()))
    }
}

/// The stamps of certificate and key.
#[derive(PartialEq, Eq)]
struct FileStamps([Option<FileStamp>; 2]);

impl FileStamps {
    fn of(files: &TlsFiles) -> FileStamps {
        FileStamps([&files.certificate, &files.key].map(|path| FileStamp::of(path)))
    }
}

/// Reads a chain and its key, and checks that they belong together.
fn load(section: &str, files: &TlsFiles, provider: &CryptoProvider) -> Result<CertifiedKey, Vec<ConfigError>> {
    let mut mistakes = Vec::new();
    let chain =
        chain(&format!("{section}.tls_certificate"), &files.certificate).map_err(|mistake| mistakes.push(mistake));
    let key = key(&format!("{section}.tls_key"), &files.key).map_err(|mistake| mistakes.push(mistake));
    let (Ok(chain), Ok(key)) = (chain, key) else { return Err(mistakes) };
    CertifiedKey::from_der(chain, key, provider).map_err(|error| {
        let (certificate, key) = (files.certificate.display(), files.key.display());
        vec![ConfigError(format!("{certificate} and {key} are not a certificate and its key: {error}"))]
    })
}

fn chain(setting: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let bytes = read(setting, path, FileProtection::Unforgeable, FILE_BYTES_MAX)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) | Err(_) => Err(ConfigError(format!("{}: contains no certificate in PEM", path.display()))),
    }
}

/// Errors do not quote the content.
fn key(setting: &str, path: &Path) -> Result<PrivateKeyDer<'static>, ConfigError> {
    let bytes = read(setting, path, FileProtection::Secret, FILE_BYTES_MAX)?;
    PrivateKeyDer::from_pem_slice(&bytes)
        .map_err(|_| ConfigError(format!("{}: contains no private key in PEM", path.display())))
}
