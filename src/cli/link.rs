//! The way to the listener of the binary protocol, for subcommands that speak it: plain, or under TLS.

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

use crate::load::target::Target;

/// Longer than the server lets anybody wait.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// What is read and written, whatever is beneath it.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// Where the binary protocol is spoken, and how.
#[derive(Clone)]
pub(crate) struct Link {
    /// Host and port, as they were given.
    pub(crate) authority: String,
    address: SocketAddr,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.authority)
    }
}

impl Link {
    /// `host:port`, `tcp://host:port` or `tls://host:port`; `authority` is trusted besides the web's.
    ///
    /// # Errors
    /// One line that says what is wrong with it.
    pub(crate) fn parse(text: &str, authority: Option<&Path>, allow_remote: bool) -> Result<Link, String> {
        let secure = text.strip_prefix("tls://");
        let plain = text.strip_prefix("tcp://").unwrap_or(text);
        let Target { authority: name, address } = Target::parse(secure.unwrap_or(plain), allow_remote)?;
        let tls = match (secure, authority) {
            (None, None) => None,
            (None, Some(_)) => return Err(format!("{text}: --ca is for tls://{text}")),
            (Some(_), authority) => {
                let host = name.rsplit_once(':').map_or("", |(host, _)| host).trim_matches(['[', ']']);
                let host = ServerName::try_from(host.to_owned()).map_err(|error| format!("{text}: {error}"))?;
                Some((connector(authority)?, host))
            }
        };
        Ok(Link { authority: name, address, tls })
    }

    /// Connects.
    ///
    /// # Errors
    /// One line that says why not.
    pub(crate) async fn connect(&self) -> Result<Box<dyn Duplex>, String> {
        let connected = tokio::time::timeout(CONNECT_WITHIN, self.open()).await;
        connected.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())).map_err(|error| error.to_string())
    }

    async fn open(&self) -> std::io::Result<Box<dyn Duplex>> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        Ok(match &self.tls {
            None => Box::new(stream),
            Some((connector, name)) => Box::new(connector.connect(name.clone(), stream).await?),
        })
    }
}

/// The certificates of a file, for `--ca`.
///
/// # Errors
/// One line: it cannot be read, or has none.
pub(crate) fn authorities(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let no = |why: String| format!("--ca {}: {why}", file.display());
    let found: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(file).map_err(|error| no(error.to_string()))?.collect();
    let found = found.map_err(|error| no(error.to_string()))?;
    if found.is_empty() { Err(no("has no certificate in PEM".into())) } else { Ok(found) }
}

fn connector(authority: Option<&Path>) -> Result<TlsConnector, String> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for certificate in authority.map(authorities).transpose()?.unwrap_or_default() {
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
    fn tls_is_spoken_where_the_address_says_so() {
        let under_tls = |text| Link::parse(text, None, false).map(|link| link.tls.is_some());
        assert_eq!(under_tls("127.0.0.1:8082"), Ok(false));
        assert_eq!(under_tls("tcp://127.0.0.1:8082"), Ok(false));
        assert_eq!(under_tls("tls://localhost:8082"), Ok(true));
        assert_eq!(under_tls("tls://[::1]:8082"), Ok(true));
        assert!(under_tls("tls://192.0.2.1:8082").is_err_and(|line| line.contains("--allow-remote")));
    }

    #[test]
    fn an_authority_is_a_certificate_for_tls() {
        let nothing = Path::new("/dev/null");
        for (text, wrong) in [("127.0.0.1:1", "is for tls://"), ("tls://127.0.0.1:1", "no certificate in PEM")] {
            let told = Link::parse(text, Some(nothing), false);
            assert!(told.as_ref().is_err_and(|line| line.contains(wrong)), "{told:?}");
        }
        assert!(Link::parse("tls://127.0.0.1:1", Some(Path::new("/no/such/file")), false).is_err());
    }
}
