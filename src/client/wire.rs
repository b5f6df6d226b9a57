//! Connections to the listener of the wire protocol, plain or under TLS.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::target::ServerAddress;

/// Longer than any time limit of the server.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// A stream of bytes in both directions: TCP or TLS.
pub trait WireStream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> WireStream for T {}

/// Address of a listener of the wire protocol, and its transport.
#[derive(Clone)]
pub struct WireClient {
    /// Host and port as given on the command line.
    pub authority: String,
    address: SocketAddr,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl fmt::Debug for WireClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.authority)
    }
}

impl WireClient {
    /// Parses `host:port`, `tcp://host:port` or `tls://host:port`. `ca` is a PEM file of authorities that are trusted in
    /// addition to the public ones.
    ///
    /// # Errors
    /// One line that names the mistake.
    pub fn parse(text: &str, ca: Option<&Path>, allow_remote: bool) -> Result<WireClient, String> {
        let secure = text.strip_prefix("tls://");
        let plain = text.strip_prefix("tcp://").unwrap_or(text);
        let ServerAddress { authority: name, address } = ServerAddress::parse(secure.unwrap_or(plain), allow_remote)?;
        let tls = match (secure, ca) {
            (None, None) => None,
            (None, Some(_)) => return Err(format!("{text}: --ca needs tls://{text}")),
            (Some(_), ca) => {
                let host = name.rsplit_once(':').map_or("", |(host, _)| host).trim_matches(['[', ']']);
                let host = ServerName::try_from(host.to_owned()).map_err(|error| format!("{text}: {error}"))?;
                Some((connector(ca)?, host))
            }
        };
        Ok(WireClient { authority: name, address, tls })
    }

    /// Connects within ten seconds.
    ///
    /// # Errors
    /// One line with the reason.
    pub async fn connect(&self) -> Result<Box<dyn WireStream>, String> {
        let connected = tokio::time::timeout(CONNECT_WITHIN, self.open()).await;
        connected.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())).map_err(|error| error.to_string())
    }

    async fn open(&self) -> std::io::Result<Box<dyn WireStream>> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        Ok(match &self.tls {
            None => Box::new(stream),
            Some((connector, name)) => Box::new(connector.connect(name.clone(), stream).await?),
        })
    }
}

/// Reads the certificates of the file that `--ca` names.
///
/// # Errors
/// One line: the file cannot be read, or has no certificate.
pub fn read_authorities(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let at_file = |reason: String| format!("--ca {}: {reason}", file.display());
    let found: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(file).map_err(|error| at_file(error.to_string()))?.collect();
    let found = found.map_err(|error| at_file(error.to_string()))?;
    if found.is_empty() { Err(at_file("no certificate in PEM".into())) } else { Ok(found) }
}

fn connector(ca: Option<&Path>) -> Result<TlsConnector, String> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for certificate in ca.map(read_authorities).transpose()?.unwrap_or_default() {
        roots.add(certificate).map_err(|error| format!("--ca: {error}"))?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_selects_tls() {
        let under_tls = |text| WireClient::parse(text, None, false).map(|client| client.tls.is_some());
        assert_eq!(under_tls("127.0.0.1:8082"), Ok(false));
        assert_eq!(under_tls("tcp://127.0.0.1:8082"), Ok(false));
        assert_eq!(under_tls("tls://localhost:8082"), Ok(true));
        assert_eq!(under_tls("tls://[::1]:8082"), Ok(true));
        assert!(under_tls("tls://192.0.2.1:8082").is_err_and(|line| line.contains("--allow-remote")));
    }

    #[test]
    fn an_authority_is_a_certificate_for_tls() {
        let nothing = Path::new("/dev/null");
        for (text, wrong) in [("127.0.0.1:1", "--ca needs tls://"), ("tls://127.0.0.1:1", "no certificate in PEM")] {
            let told = WireClient::parse(text, Some(nothing), false);
            assert!(told.as_ref().is_err_and(|line| line.contains(wrong)), "{told:?}");
        }
        assert!(WireClient::parse("tls://127.0.0.1:1", Some(Path::new("/no/such/file")), false).is_err());
    }
}
