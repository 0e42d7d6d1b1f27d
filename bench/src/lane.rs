//! One lane of load: it sends one request at a time and says whether the answer was complete and 2xx.
//! HTTP/1.1 is spoken by hand (a generator that shares its core with the endpoint must be cheap); HTTP/2 by hyper.
//! Never retries: a failure is an answer to report.

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Where and how to send.
#[derive(Clone)]
pub struct Target {
    pub address: std::net::SocketAddr,
    pub host: String,
    pub path: String,
    pub tls: Option<TlsConnector>,
    pub h2: bool,
}

impl Target {
    /// A target; with `tls` any certificate is accepted, because the rig signs its own.
    pub fn new(
        address: std::net::SocketAddr,
        host: String,
        path: String,
        tls: bool,
        h2: bool,
    ) -> Result<Self> {
        let tls = tls.then(|| connector(h2)).transpose()?;
        Ok(Self { address, host, path, tls, h2 })
    }

    /// Opens a connection and yields the lanes that share it: one for HTTP/1.1, `streams` for HTTP/2.
    pub async fn open(&self, streams: usize) -> Result<Vec<Lane>> {
        let tcp = TcpStream::connect(self.address).await.context("connect")?;
        tcp.set_nodelay(true)?;
        let io: Box<dyn Io> = match &self.tls {
            Some(tls) => {
                let name = ServerName::try_from(self.host.clone())?;
                Box::new(tls.connect(name, tcp).await.context("TLS handshake")?)
            }
            None => Box::new(tcp),
        };
        if !self.h2 {
            return Ok(vec![Lane::H1(H1::new(io, self))]);
        }
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(io)).await?;
        tokio::spawn(connection);
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let uri: http::Uri = format!("{scheme}://{}{}", self.host, self.path).parse()?;
        Ok((0..streams).map(|_| Lane::H2(sender.clone(), uri.clone())).collect())
    }
}

/// A lane: one request in flight at a time.
pub enum Lane {
    H1(H1),
    H2(http2::SendRequest<Empty<Bytes>>, http::Uri),
}

impl Lane {
    /// One request and its whole answer.
    pub async fn exchange(&mut self) -> Result<()> {
        match self {
            Self::H1(h1) => h1.exchange().await,
            Self::H2(sender, uri) => {
                let mut request = http::Request::new(Empty::new());
                *request.uri_mut() = uri.clone();
                let answer = sender.send_request(request).await?;
                ensure!(answer.status().is_success(), "status {}", answer.status());
                let mut body = answer.into_body();
                while let Some(frame) = body.frame().await {
                    frame?;
                }
                Ok(())
            }
        }
    }
}

/// A plain HTTP/1.1 client on one connection: fixed request bytes, answers framed by `Content-Length` only.
pub struct H1 {
    io: Box<dyn Io>,
    request: Vec<u8>,
    buffer: Vec<u8>,
}

impl H1 {
    fn new(io: Box<dyn Io>, target: &Target) -> Self {
        let request = format!("GET {} HTTP/1.1\r\nHost: {}\r\n\r\n", target.path, target.host);
        Self { io, request: request.into_bytes(), buffer: vec![0; 16 * 1024] }
    }

    async fn exchange(&mut self) -> Result<()> {
        self.io.write_all(&self.request).await?;
        let mut filled = 0;
        loop {
            let space = self.buffer.get_mut(filled..).filter(|space| !space.is_empty());
            let read = self.io.read(space.context("head over 16 KiB")?).await?;
            ensure!(read > 0, "closed before a complete head");
            filled += read;
            let seen = self.buffer.get(..filled).unwrap_or_default();
            if let Some((head_bytes, body_bytes)) = head(seen)? {
                return self.discard((head_bytes + body_bytes).saturating_sub(filled)).await;
            }
        }
    }

    async fn discard(&mut self, mut left: usize) -> Result<()> {
        while left > 0 {
            let end = left.min(self.buffer.len());
            let read = self.io.read(self.buffer.get_mut(..end).unwrap_or_default()).await?;
            ensure!(read > 0, "closed inside the body");
            left -= read;
        }
        Ok(())
    }
}

/// Head length and body length of an answer, once the head is complete; an error unless 2xx and of known length.
pub fn head(bytes: &[u8]) -> Result<Option<(usize, usize)>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(bytes.get(..end).unwrap_or_default())?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
    ensure!(status.starts_with('2'), "status {status}");
    for line in lines {
        let Some((name, value)) = line.split_once(':') else { continue };
        if name.eq_ignore_ascii_case("content-length") {
            return Ok(Some((end + 4, value.trim().parse()?)));
        }
    }
    bail!("an answer without Content-Length")
}

/// A byte stream, plain or TLS.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

fn connector(h2: bool) -> Result<TlsConnector> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    config.alpn_protocols = vec![if h2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Accepts every certificate, because the rig's certificates are self-signed and only the proxy is measured.
#[derive(Debug)]
pub(crate) struct AnyCertificate(pub(crate) Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::head;

    #[track_caller]
    fn check(bytes: &str, expected: Option<(usize, usize)>) {
        assert_eq!(head(bytes.as_bytes()).ok().flatten(), expected);
    }

    #[test]
    fn heads_are_measured_only_when_complete_2xx_and_of_known_length() {
        check("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", None);
        check("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", Some((38, 5)));
        check("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", None);
        check("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", None);
    }
}
