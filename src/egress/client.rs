//! Sends one request and reads one bounded response, over HTTP/1.1.

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

use super::byte_allowance::ByteAllowance;
use super::pool::{ConnectionPool, PooledConnection};
use super::target::{Host, Origin};
use super::{AddressGuard, Target};
use crate::sockets::RuledStream;

const ADDRESSES_TRIED_MAX: usize = 4;
/// Bound of a response's head; hyper's default is 400 kB.
const HEAD_BYTES_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 64;
/// Bytes of an exchange besides the body: a TLS handshake, heads, and half of the body again for chunks and records.
const OVERHEAD_BYTES_MAX: usize = 96 * 1024;
const AGENT: &str = concat!("firstcome/", env!("CARGO_PKG_VERSION"));

/// Resolves a name. It may block: it runs on a thread for blocking calls.
pub type Resolve = Arc<dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync>;

/// Limits and trust of a client.
#[derive(Clone)]
pub struct ClientOptions {
    /// Bounds the whole exchange, from the resolution of the name to the end of the response.
    pub timeout: Duration,
    /// Bounds the TCP connection to one address.
    pub connect_timeout: Duration,
    /// Bounds [`EgressClient::check_addresses`], which runs while an operator waits: a system resolver without answers
    /// gives up after ten seconds or more.
    pub resolve_timeout: Duration,
    /// Bytes of a response's body that are read; the rest is discarded.
    pub response_bytes_max: usize,
    /// Idle connections that are kept to one server. Callers have no more requests in flight to one by default.
    pub idle_per_origin_max: usize,
    /// Time that an idle connection is kept. Servers commonly close idle connections after 60 s or more; with half of that
    /// a request rarely meets a connection that is just being closed.
    pub idle_max: Duration,
    /// Certificate authorities that are trusted besides the public ones.
    pub authorities: Vec<CertificateDer<'static>>,
    /// Resolves names; the operating system does if this is `None`.
    pub resolve: Option<Resolve>,
}

impl ClientOptions {
    /// Returns the bytes that one exchange may read from the network.
    fn exchange_bytes_max(&self) -> usize {
        self.response_bytes_max.saturating_add(self.response_bytes_max / 2).saturating_add(OVERHEAD_BYTES_MAX)
    }
}

impl Default for ClientOptions {
    fn default() -> Self {
        ClientOptions {
            timeout: Duration::from_secs(15),
            connect_timeout: Duration::from_secs(5),
            resolve_timeout: Duration::from_secs(2),
            response_bytes_max: 64 * 1024,
            idle_per_origin_max: 8,
            idle_max: Duration::from_secs(30),
            authorities: Vec::new(),
            resolve: None,
        }
    }
}

/// One request. It may be sent twice, so the receiver must be able to recognize a repetition by an id in it.
#[derive(Clone, Debug)]
pub struct OutboundRequest<'target> {
    pub target: &'target Target,
    pub method: Method,
    /// The headers besides `Host` and `User-Agent`.
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// One response of any status. Redirects are returned, not followed.
#[derive(Debug)]
pub struct OutboundResponse {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// The body, cut at `ClientOptions::response_bytes_max`.
    pub body: Bytes,
}

/// One response of any status, whose body comes piece by piece.
pub struct OpenResponse {
    pub status: StatusCode,
    pub headers: HeaderMap,
    body: Incoming,
    /// Ends with the response.
    _connection: PooledConnection,
}

impl OpenResponse {
    /// Returns the next piece of the body; `None` at its end.
    ///
    /// # Errors
    /// `Broken` if the body ends before its length; `TimedOut` if no piece comes within `piece_max`.
    pub async fn piece(&mut self, piece_max: Duration) -> Result<Option<Bytes>, SendError> {
        loop {
            let frame = timeout(piece_max, self.body.frame()).await.map_err(|_| SendError::TimedOut)?;
            match frame.transpose().map_err(|_| SendError::Broken)?.map(hyper::body::Frame::into_data) {
                Some(Ok(piece)) => return Ok(Some(piece)),
                None => return Ok(None),
                Some(Err(_trailers)) => {}
            }
        }
    }
}

/// The reason why a request got no response.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SendError {
    /// The guard permits none of the addresses of the name.
    #[error("address not allowed")]
    Forbidden,
    /// The name has no addresses.
    #[error("name does not resolve")]
    Unresolved,
    /// No address accepted the connection in time.
    #[error("connection refused or timed out")]
    Unreachable,
    /// The TLS handshake failed; most often the certificate is not trusted, or is for another name.
    #[error("TLS handshake failed")]
    Tls,
    /// `ClientOptions::timeout` passed before the end of the response.
    #[error("no response in time")]
    TimedOut,
    /// The connection broke, or the response is not valid HTTP.
    #[error("broken connection or invalid HTTP response")]
    Broken,
}

/// A client whose clones share one pool of connections.
#[derive(Clone)]
pub struct EgressClient(pub(super) Arc<ClientInner>);

pub(super) struct ClientInner {
    guard: AddressGuard,
    pub(super) options: ClientOptions,
    resolve: Resolve,
    connector: TlsConnector,
    pub(super) pool: ConnectionPool,
}

impl EgressClient {
    /// Creates a client that connects only to addresses that `guard` permits.
    ///
    /// # Errors
    /// A certificate of `options.authorities` is invalid.
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
        let pool = ConnectionPool::new(options.idle_per_origin_max, options.idle_max);
        Ok(EgressClient(Arc::new(ClientInner { guard, options, resolve, connector, pool })))
    }

    /// Returns the guard that checks each address.
    #[must_use]
    pub fn guard(&self) -> &AddressGuard {
        &self.0.guard
    }

    /// Sends a request and reads its response.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn send(&self, call: OutboundRequest<'_>) -> Result<OutboundResponse, SendError> {
        timeout(self.0.options.timeout, self.exchange(&call)).await.unwrap_or(Err(SendError::TimedOut))
    }

    /// Checks that the target's name resolves at the moment, and that at least one of its addresses is permitted.
    ///
    /// # Errors
    /// `Unresolved`, `Forbidden`, or `TimedOut`.
    pub async fn check_addresses(&self, target: &Target) -> Result<(), SendError> {
        let looked_up = timeout(self.0.options.resolve_timeout, self.addresses(&target.origin));
        looked_up.await.unwrap_or(Err(SendError::TimedOut)).map(drop)
    }

    async fn exchange(&self, call: &OutboundRequest<'_>) -> Result<OutboundResponse, SendError> {
        let origin = &call.target.origin;
        let bytes_max = self.0.options.exchange_bytes_max();
        if let Some(mut connection) = self.0.pool.take(origin) {
            connection.allowance.renew(bytes_max);
            // The server may have closed the connection at this moment: then a new one is tried.
            if let Ok(response) = connection.sender.send_request(call.request()).await
                && let Ok(reply) = self.read(origin, connection, response).await
            {
                return Ok(reply);
            }
        }
        let allowance = ByteAllowance::new(bytes_max);
        let mut connection = self.connect(origin, allowance).await?;
        let response = connection.sender.send_request(call.request()).await.map_err(|_| SendError::Broken)?;
        self.read(origin, connection, response).await
    }

    /// Sends a request on a connection of its own, and returns the response once its head is there. Its body may have any
    /// length, and takes any time.
    ///
    /// # Errors
    /// As [`EgressClient::send`]; `TimedOut` if there is no head within `head_max`.
    pub async fn open(&self, call: OutboundRequest<'_>, head_max: Duration) -> Result<OpenResponse, SendError> {
        let opened = async {
            let mut connection = self.connect(&call.target.origin, ByteAllowance::new(usize::MAX)).await?;
            let response = connection.sender.send_request(call.request()).await.map_err(|_| SendError::Broken)?;
            let (parts, body) = response.into_parts();
            Ok(OpenResponse { status: parts.status, headers: parts.headers, body, _connection: connection })
        };
        timeout(head_max, opened).await.unwrap_or(Err(SendError::TimedOut))
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

    /// Returns the permitted addresses. The connection goes to one of these; the name is not resolved again.
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
        let mut permitted: Vec<SocketAddr> = found
            .into_iter()
            .filter(|address| self.0.guard.permits(*address, origin.encrypted))
            .map(|address| SocketAddr::new(address, origin.port))
            .collect();
        permitted.truncate(ADDRESSES_TRIED_MAX);
        if permitted.is_empty() { Err(SendError::Forbidden) } else { Ok(permitted) }
    }

    pub(super) async fn connect(
        &self,
        origin: &Origin,
        allowance: ByteAllowance,
    ) -> Result<PooledConnection, SendError> {
        let mut stream = Err(SendError::Unreachable);
        for address in self.addresses(origin).await? {
            if let Ok(Ok(connected)) = timeout(self.0.options.connect_timeout, TcpStream::connect(address)).await {
                stream = Ok(connected);
                break;
            }
        }
        let stream = stream?;
        // Without it a small request may wait for the server's delayed acknowledgement. An error here only costs time.
        let _slower = stream.set_nodelay(true);
        let stream = RuledStream::new(stream, allowance.clone());
        if !origin.encrypted {
            return http_handshake(stream, allowance).await;
        }
        let name = match &origin.host {
            Host::Name(name) => {
                ServerName::try_from(name.trim_end_matches('.').to_string()).map_err(|_| SendError::Tls)?
            }
            Host::Address(address) => ServerName::from(*address),
        };
        let stream = self.0.connector.connect(name, stream).await.map_err(|_| SendError::Tls)?;
        http_handshake(stream, allowance).await
    }
}

async fn http_handshake(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    allowance: ByteAllowance,
) -> Result<PooledConnection, SendError> {
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .handshake::<_, Full<Bytes>>(TokioIo::new(stream))
        .await
        .map_err(|_| SendError::Broken)?;
    let driver = tokio::spawn(async move {
        // The caller that waits for the response gets the error as well.
        let _broken = connection.await;
    });
    Ok(PooledConnection::new(sender, allowance, driver))
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
    // The caller sets the port; 0 is a placeholder.
    Ok((name, 0).to_socket_addrs()?.map(|address| address.ip()).collect())
}
