//! The client: one request, one bounded answer, over HTTP/1.1.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderMap, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::pool::{ConnectionPool, PooledConnection};
use super::target::{Host, Origin};
use super::{AddressGuard, Target};

/// Of those that a name resolves to.
const ADDRESSES_TRIED_MAX: usize = 4;
/// An answer's head; hyper's own default is 400 kB.
const HEAD_BYTES_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 64;
const AGENT: &str = concat!("firstcome/", env!("CARGO_PKG_VERSION"));

/// What a name resolves to. Blocks; called on a thread that may.
pub type Resolve = Arc<dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync>;

/// The bounds of a client.
#[derive(Clone)]
pub struct ClientOptions {
    /// From the look-up of the name to the end of the answer.
    pub timeout: Duration,
    /// Of that, for one address to take the connection.
    pub connect_timeout: Duration,
    /// For [`EgressClient::check_addresses`], which an operator waits for: name servers that do not answer take ten seconds and more.
    pub resolve_timeout: Duration,
    /// Of an answer's body; what comes after it is neither read nor missed.
    pub response_bytes_max: usize,
    /// Authorities that are trusted besides the web's.
    pub authorities: Vec<CertificateDer<'static>>,
    /// Resolves names; the operating system if none.
    pub resolve: Option<Resolve>,
}

impl Default for ClientOptions {
    fn default() -> Self {
        ClientOptions {
            timeout: Duration::from_secs(15),
            connect_timeout: Duration::from_secs(5),
            resolve_timeout: Duration::from_secs(2),
            response_bytes_max: 64 * 1024,
            authorities: Vec::new(),
            resolve: None,
        }
    }
}

/// One request. It may be sent twice: callers give it an id by which the other side knows it again.
#[derive(Clone, Debug)]
pub struct OutboundRequest<'target> {
    /// Where it goes.
    pub target: &'target Target,
    /// How.
    pub method: Method,
    /// What it says besides `Host` and `User-Agent`.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// One answer, whatever it says: a redirect is an answer too, and is not followed.
#[derive(Debug)]
pub struct OutboundResponse {
    /// What it says.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// The beginning of its body.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SendError {
    /// Everything that the name resolves to is out of bounds.
    #[error("its address may not be called")]
    Forbidden,
    /// The name resolves to nothing.
    #[error("its name does not resolve")]
    Unresolved,
    /// Nobody takes the connection.
    #[error("it takes no connection")]
    Unreachable,
    /// Its certificate is no good, or it speaks no TLS.
    #[error("TLS with it fails")]
    Tls,
    /// It took too long.
    #[error("it does not answer in time")]
    TimedOut,
    /// The connection broke, or what came is no HTTP.
    #[error("its answer is broken")]
    Broken,
}

/// Calls others.
#[derive(Clone)]
pub struct EgressClient(Arc<ClientInner>);

struct ClientInner {
    guard: AddressGuard,
    options: ClientOptions,
    resolve: Resolve,
    connector: TlsConnector,
    pool: ConnectionPool,
}

impl EgressClient {
    /// A client that goes where the guard lets it.
    ///
    /// # Errors
    /// If an authority's certificate is no good.
    pub fn new(guard: AddressGuard, options: ClientOptions) -> Result<EgressClient, String> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        for authority in &options.authorities {
            roots.add(authority.clone()).map_err(|error| error.to_string())?;
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let resolve = options.resolve.clone().unwrap_or_else(|| Arc::new(system_resolver));
        let connector = TlsConnector::from(Arc::new(config));
        Ok(EgressClient(Arc::new(ClientInner { guard, options, resolve, connector, pool: ConnectionPool::default() })))
    }

    /// The guard that it asks.
    #[must_use]
    pub fn guard(&self) -> &AddressGuard {
        &self.0.guard
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn send(&self, call: OutboundRequest<'_>) -> Result<OutboundResponse, SendError> {
        timeout(self.0.options.timeout, self.exchange(&call)).await.unwrap_or(Err(SendError::TimedOut))
    }

    /// Whether a call to this target could go anywhere at the moment: its name resolves, and to an address in bounds.
    ///
    /// # Errors
    /// `Unresolved`, `Forbidden`, or `TimedOut`.
    pub async fn check_addresses(&self, target: &Target) -> Result<(), SendError> {
        let looked_up = timeout(self.0.options.resolve_timeout, self.addresses(&target.origin));
        looked_up.await.unwrap_or(Err(SendError::TimedOut)).map(drop)
    }

    async fn exchange(&self, call: &OutboundRequest<'_>) -> Result<OutboundResponse, SendError> {
        let origin = &call.target.origin;
        if let Some(mut connection) = self.0.pool.take(origin) {
            // The other side may have closed it this moment: then a new one is tried.
            if let Ok(response) = connection.sender.send_request(call.request()).await
                && let Ok(reply) = self.read(origin, connection, response).await
            {
                return Ok(reply);
            }
        }
        let mut connection = self.connect(origin).await?;
        let response = connection.sender.send_request(call.request()).await.map_err(|_| SendError::Broken)?;
        self.read(origin, connection, response).await
    }

    async fn read(
        &self,
        origin: &Origin,
        connection: PooledConnection,
        response: Response<Incoming>,
    ) -> Result<OutboundResponse, SendError> {
        let (parts, mut incoming) = response.into_parts();
        let mut body = Vec::new();
        let mut whole = true;
        while let Some(frame) = incoming.frame().await {
            let Ok(piece) = frame.map_err(|_| SendError::Broken)?.into_data() else { continue };
            let room = self.0.options.response_bytes_max.saturating_sub(body.len());
            body.extend_from_slice(piece.get(..room).unwrap_or(&piece));
            if piece.len() > room {
                whole = false;
                break;
            }
        }
        if whole {
            self.0.pool.put(origin, connection);
        }
        Ok(OutboundResponse { status: parts.status, headers: parts.headers, body: body.into() })
    }

    /// The addresses that may be called. The connection goes to one of these, not to the name again.
    async fn addresses(&self, origin: &Origin) -> Result<Vec<SocketAddr>, SendError> {
        let found = match &origin.host {
            Host::Address(address) => vec![*address],
            Host::Name(name) => {
                let (resolve, name) = (Arc::clone(&self.0.resolve), name.clone());
                let looked_up = tokio::task::spawn_blocking(move || resolve(&name)).await;
                looked_up.map_err(|_| SendError::Unresolved)?.map_err(|_| SendError::Unresolved)?
            }
        };
        if found.is_empty() {
            return Err(SendError::Unresolved);
        }
        let mut let_through: Vec<SocketAddr> = found
            .into_iter()
            .filter(|address| self.0.guard.permits(*address, origin.encrypted))
            .map(|address| SocketAddr::new(address, origin.port))
            .collect();
        let_through.truncate(ADDRESSES_TRIED_MAX);
        if let_through.is_empty() { Err(SendError::Forbidden) } else { Ok(let_through) }
    }

    async fn connect(&self, origin: &Origin) -> Result<PooledConnection, SendError> {
        let mut stream = Err(SendError::Unreachable);
        for address in self.addresses(origin).await? {
            if let Ok(Ok(connected)) = timeout(self.0.options.connect_timeout, TcpStream::connect(address)).await {
                stream = Ok(connected);
                break;
            }
        }
        let stream = stream?;
        // Without it a small request may wait for the other side's delayed acknowledgement; it works all the same.
        let _slower = stream.set_nodelay(true);
        if !origin.encrypted {
            return http_handshake(stream).await;
        }
        let name = match &origin.host {
            Host::Name(name) => {
                ServerName::try_from(name.trim_end_matches('.').to_string()).map_err(|_| SendError::Tls)?
            }
            Host::Address(address) => ServerName::from(*address),
        };
        let stream = self.0.connector.connect(name, stream).await.map_err(|_| SendError::Tls)?;
        http_handshake(stream).await
    }
}

async fn http_handshake(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<PooledConnection, SendError> {
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .handshake::<_, Full<Bytes>>(TokioIo::new(stream))
        .await
        .map_err(|_| SendError::Broken)?;
    let driver = tokio::spawn(async move {
        // What broke it is told to who waits for the answer.
        let _broken = connection.await;
    });
    Ok(PooledConnection::new(sender, driver))
}

impl OutboundRequest<'_> {
    fn request(&self) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = Uri::from(self.target.path.clone());
        *request.headers_mut() = self.headers.clone();
        request.headers_mut().insert(HOST, self.target.host_header.clone());
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(AGENT));
        request
    }
}

fn system_resolver(name: &str) -> io::Result<Vec<IpAddr>> {
    // The port is put in later; 0 stands for none.
    Ok((name, 0).to_socket_addrs()?.map(|address| address.ip()).collect())
}
