//! One POST to a server of the operator that the edge reports to: a connection of its own, TLS as towards endpoints, a
//! bound on everything. Keeps no state and retries nothing.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
    time::timeout,
};
use tokio_rustls::TlsConnector;

use crate::{
    control::supervise::Task,
    shared::{ReportTarget, host::endpoint_authority},
};

/// Longest time for the whole call.
const CALL: Duration = Duration::from_secs(10);
/// Longest wait for one address.
const CONNECT: Duration = Duration::from_secs(3);
/// Longest answer that is read; more than that ends the call, not the verdict.
const ANSWER: usize = 64 << 10;

/// What is sent.
#[derive(Clone, Debug)]
pub struct Report {
    /// The media type of the body.
    pub content_type: &'static str,
    /// Lets the server tell a repeated report from a new one.
    pub key: Option<String>,
    /// The body.
    pub body: Bytes,
}

/// Why a report did not arrive.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// The name has no address.
    #[error("no address: {0}")]
    Name(io::Error),
    /// No connection.
    #[error("no connection: {0}")]
    Connect(io::Error),
    /// The connection broke, or the server speaks no HTTP.
    #[error("no answer: {0}")]
    Exchange(hyper::Error),
    /// The URL or a field cannot be written.
    #[error("not a request: {0}")]
    Request(http::Error),
    /// The server answers another status than 2xx.
    #[error("status {}", .0.as_u16())]
    Status(StatusCode),
    /// The time was over.
    #[error("no answer within 10 s")]
    Timeout,
}

impl PostError {
    /// Whether the same report could arrive later. A server that refuses what is sent would refuse it again.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Status(status) => status.is_server_error() || [408, 425, 429].contains(&status.as_u16()),
            Self::Request(_) => false,
            Self::Name(_) | Self::Connect(_) | Self::Exchange(_) | Self::Timeout => true,
        }
    }
}

/// Sends a report.
///
/// # Errors
/// Why it did not arrive, as far as this edge can know.
pub async fn post(target: &ReportTarget, report: Report) -> Result<(), PostError> {
    timeout(CALL, send(target, report)).await.unwrap_or(Err(PostError::Timeout))
}

async fn send(target: &ReportTarget, report: Report) -> Result<(), PostError> {
    let request = request(target, report).map_err(PostError::Request)?;
    let server = &target.server;
    let addresses = lookup_host((&*server.host, server.port)).await.map_err(PostError::Name)?;
    let stream = connect(addresses.collect()).await.map_err(PostError::Connect)?;
    match &target.tls {
        None => exchange(stream, request).await,
        Some(tls) => {
            let connector = TlsConnector::from(Arc::clone(&tls.config));
            let stream = connector.connect(tls.name.clone(), stream).await.map_err(PostError::Connect)?;
            exchange(stream, request).await
        }
    }
}

fn request(target: &ReportTarget, report: Report) -> Result<Request<Full<Bytes>>, http::Error> {
    let server = &target.server;
    let agent = concat!("thalweg/", env!("CARGO_PKG_VERSION"));
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(&server.path)
        .header(header::HOST, endpoint_authority(&server.host, server.port, target.tls.is_some()))
        .header(header::USER_AGENT, HeaderValue::from_static(agent))
        .header(header::CONTENT_TYPE, HeaderValue::from_static(report.content_type))
        .header(header::CONNECTION, HeaderValue::from_static("close"));
    if let Some(key) = report.key {
        request = request.header("idempotency-key", key);
    }
    request.body(Full::new(report.body))
}

/// The first address that can be connected to.
async fn connect(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match timeout(CONNECT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    request: Request<Full<Bytes>>,
) -> Result<(), PostError> {
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(PostError::Exchange)?;
    let _driver = Task::spawn(async move {
        // The sender learns of errors here as well.
        let _ = connection.await;
    });
    let answer = sender.send_request(request).await.map_err(PostError::Exchange)?;
    let status = answer.status();
    // Only the status counts; a body that is too long or breaks off changes nothing.
    let _ = Limited::new(answer.into_body(), ANSWER).collect().await;
    if status.is_success() { Ok(()) } else { Err(PostError::Status(status)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_later_is_sent_again() {
        for (status, expected) in [
            (500, true),
            (503, true),
            (429, true),
            (408, true),
            (400, false),
            (401, false),
            (404, false),
            (302, false),
        ] {
            let error = PostError::Status(StatusCode::from_u16(status).unwrap());
            assert_eq!(error.may_pass(), expected, "{status}");
        }
        assert!(PostError::Timeout.may_pass());
    }
}
