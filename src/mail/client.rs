//! One conversation with an SMTP server: a connection, one mail, and what became of it.
//!
//! The library speaks the commands over a stream of ours, which reads a bounded number of bytes: a server that sends a line
//! without an end costs no more. Of what a server says only the number is kept, because its text may hold the buyer's
//! address.

use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, AsyncTokioStream, Certificate, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::compose::Envelope;
use crate::config::MailTls;
use crate::sockets::{RuledStream, StreamRule};
use crate::types::AttemptError;

/// Bytes that one conversation may read: a TLS handshake, and a dozen answers.
const READ_BYTES_MAX: usize = 256 * 1024;
const ADDRESSES_TRIED_MAX: usize = 4;
/// Bounds the connection to one address.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Bounds the farewell, after which nothing is of interest.
const QUIT_TIMEOUT: Duration = Duration::from_millis(500);

/// The fate of a mail that was handed over, or was not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MailResult {
    /// The server took it.
    Sent,
    /// The server is well, and will not take this mail now (greylisting, a full mailbox).
    Deferred(u16),
    /// The server is well, and will never take this mail.
    Rejected(u16),
    /// The server or the way to it fails. Where that happened after the whole mail was sent, it may have been taken.
    Failed(AttemptError),
}

/// The server and the trust in it.
#[derive(Clone)]
pub struct SmtpOptions {
    pub host: String,
    pub port: u16,
    pub tls: MailTls,
    pub credentials: Option<(String, String)>,
    /// Certificate authorities besides the public ones.
    pub authorities: Vec<CertificateDer<'static>>,
    /// The name that the client gives itself: the domain of `mail.from`.
    pub hello: String,
    /// Bounds the whole conversation.
    pub timeout: Duration,
}

/// A client of one SMTP server.
#[derive(Clone)]
pub struct SmtpClient {
    options: SmtpOptions,
    connector: TlsConnector,
    /// The same trust, for a connection that becomes encrypted on the way.
    starttls: TlsParameters,
}

impl SmtpClient {
    /// Prepares the trust in the server.
    ///
    /// # Errors
    /// A certificate authority is invalid.
    pub fn new(options: SmtpOptions) -> Result<SmtpClient, String> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let mut starttls = TlsParameters::builder(options.host.clone());
        for authority in &options.authorities {
            roots.add(authority.clone()).map_err(|error| error.to_string())?;
            let authority = Certificate::from_der(authority.to_vec()).map_err(|error| error.to_string())?;
            starttls = starttls.add_root_certificate(authority);
        }
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let starttls = starttls.build_rustls().map_err(|error| error.to_string())?;
        Ok(SmtpClient { options, connector: TlsConnector::from(Arc::new(config)), starttls })
    }

    /// Hands a mail over.
    pub async fn send(&self, mail: &Envelope) -> MailResult {
        let conversation = async {
            match self.converse(mail).await {
                Ok(()) => MailResult::Sent,
                Err(result) => result,
            }
        };
        timeout(self.options.timeout, conversation).await.unwrap_or(MailResult::Failed(AttemptError::TimedOut))
    }

    async fn converse(&self, mail: &Envelope) -> Result<(), MailResult> {
        let mut connection = self.connect().await?;
        let server = |error: Error| failed(&error);
        self.log_in(&mut connection).await?;
        let mut parameters = Vec::new();
        if !mail.to.to_string().is_ascii() {
            if !connection.server_info().supports_feature(Extension::SmtpUtfEight) {
                return Err(MailResult::Rejected(MAILBOX_NAME_NOT_ALLOWED));
            }
            parameters.push(MailParameter::SmtpUtfEight);
            parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
        }
        connection.command(Mail::new(Some(mail.from.clone()), parameters)).await.map_err(server)?;
        let this_mail = |error: Error| judged(&error);
        connection.command(Rcpt::new(mail.to.clone(), Vec::new())).await.map_err(this_mail)?;
        connection.command(Data).await.map_err(this_mail)?;
        connection.message(&mail.bytes).await.map_err(this_mail)?;
        // The mail is with the server; an impolite end is no failure.
        let _farewell = timeout(QUIT_TIMEOUT, connection.quit()).await;
        Ok(())
    }

    /// Connects, encrypts and logs in as for a mail, and sends none.
    ///
    /// # Errors
    /// The reason for which a mail would fail before it is named.
    pub async fn probe(&self) -> Result<(), AttemptError> {
        let conversation = async {
            let mut connection = self.connect().await?;
            self.log_in(&mut connection).await?;
            let _farewell = timeout(QUIT_TIMEOUT, connection.quit()).await;
            Ok(())
        };
        match timeout(self.options.timeout, conversation).await {
            Ok(Ok(()) | Err(MailResult::Sent)) => Ok(()),
            Ok(Err(MailResult::Deferred(status) | MailResult::Rejected(status))) => Err(AttemptError::Status(status)),
            Ok(Err(MailResult::Failed(error))) => Err(error),
            Err(_) => Err(AttemptError::TimedOut),
        }
    }

    async fn log_in(&self, connection: &mut AsyncSmtpConnection) -> Result<(), MailResult> {
        if let Some((user, password)) = &self.options.credentials {
            let credentials = Credentials::new(user.clone(), password.clone());
            connection.auth(DEFAULT_MECHANISMS, &credentials).await.map_err(|error| failed(&error))?;
        }
        Ok(())
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, MailResult> {
        let SmtpOptions { host, port, tls, hello, .. } = &self.options;
        let hello = ClientId::Domain(hello.clone());
        let (stream, peer) = self.stream(host, *port).await?;
        let server = |error: Error| failed(&error);
        match tls {
            MailTls::Implicit => {
                let name = ServerName::try_from(host.clone()).map_err(|_| MailResult::Failed(AttemptError::Tls))?;
                let stream = self.connector.connect(name, stream).await;
                let stream = stream.map_err(|_| MailResult::Failed(AttemptError::Tls))?;
                let stream = Box::new(BoundedStream { stream, peer });
                AsyncSmtpConnection::connect_with_transport(stream, &hello).await.map_err(server)
            }
            MailTls::None => {
                let stream = Box::new(BoundedStream { stream, peer });
                AsyncSmtpConnection::connect_with_transport(stream, &hello).await.map_err(server)
            }
            MailTls::Starttls => {
                let stream = Box::new(BoundedStream { stream, peer });
                let connected = AsyncSmtpConnection::connect_with_transport(stream, &hello).await;
                let mut connection = connected.map_err(server)?;
                // A server that does not offer it gets nothing in clear text.
                let encrypted = connection.starttls(self.starttls.clone(), &hello).await;
                encrypted.map_err(|error| match failed(&error) {
                    MailResult::Failed(AttemptError::Broken) => MailResult::Failed(AttemptError::Tls),
                    told @ (MailResult::Sent
                    | MailResult::Deferred(_)
                    | MailResult::Rejected(_)
                    | MailResult::Failed(_)) => told,
                })?;
                Ok(connection)
            }
        }
    }

    /// Connects to the first address that answers.
    async fn stream(
        &self,
        host: &str,
        port: u16,
    ) -> Result<(RuledStream<TcpStream, ReadBound>, SocketAddr), MailResult> {
        let found = tokio::net::lookup_host((host, port)).await;
        let found = found.map_err(|_| MailResult::Failed(AttemptError::Unresolved))?;
        for address in found.take(ADDRESSES_TRIED_MAX) {
            if let Ok(Ok(stream)) = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
                let _slower = stream.set_nodelay(true);
                return Ok((RuledStream::new(stream, ReadBound(READ_BYTES_MAX)), address));
            }
        }
        Err(MailResult::Failed(AttemptError::Unreachable))
    }
}

/// The status of RFC 5321 for an unusable address: "mailbox name not allowed". It stands for addresses that this
/// program refuses, too.
pub(super) const MAILBOX_NAME_NOT_ALLOWED: u16 = 553;
/// "Service not available, closing transmission channel": about the server, and no single mail.
const SERVICE_NOT_AVAILABLE: u16 = 421;

/// Returns what an error says of the server.
fn failed(error: &Error) -> MailResult {
    MailResult::Failed(match error.status().map(u16::from) {
        Some(status) => AttemptError::Status(status),
        None if error.is_tls() => AttemptError::Tls,
        None => AttemptError::Broken,
    })
}

/// Returns what an error says of one mail, after the server has greeted and knows the sender.
fn judged(error: &Error) -> MailResult {
    match error.status().map(u16::from) {
        Some(status @ 500..=599) => MailResult::Rejected(status),
        Some(status) if status != SERVICE_NOT_AVAILABLE => MailResult::Deferred(status),
        Some(_) | None => failed(error),
    }
}

/// Fails once a conversation has read too much.
struct ReadBound(usize);

impl StreamRule for ReadBound {
    fn read(&mut self, bytes: usize) -> std::io::Result<()> {
        let left = self.0.checked_sub(bytes);
        self.0 = left.unwrap_or(0);
        left.map(drop).ok_or_else(|| std::io::Error::other("the mail server sends too many bytes"))
    }

    fn written(&mut self, written: Poll<std::io::Result<usize>>, _: &mut Context<'_>) -> Poll<std::io::Result<usize>> {
        written
    }
}

/// A stream as the library wants it.
struct BoundedStream<S> {
    stream: S,
    peer: SocketAddr,
}

impl<S> fmt::Debug for BoundedStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BoundedStream")
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for BoundedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for BoundedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> AsyncTokioStream for BoundedStream<S> {
    fn peer_addr(&self) -> std::io::Result<SocketAddr> {
        Ok(self.peer)
    }
}
