//! An HTTP/2 client: over TLS with ALPN, or with prior knowledge. Blocking on the outside.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::body::{Body, Frame};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::runtime;

/// One HTTP/2 connection.
#[derive(Clone, Debug)]
pub struct H2 {
    sender: SendRequest<BoxBody<Bytes, Infallible>>,
}

/// A body of undeclared length.
struct Undeclared(Full<Bytes>);

impl Body for Undeclared {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }
}

/// A whole answer over HTTP/2.
#[derive(Clone, Debug)]
pub struct H2Reply {
    /// The status code.
    pub status: u16,
    /// Its fields.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// Its trailers.
    pub trailers: Option<HeaderMap>,
}

impl H2 {
    /// Over TLS, for this server name; an error when the edge does not choose `h2`.
    pub fn connect_tls(addr: SocketAddr, name: &str, config: &Arc<ClientConfig>) -> io::Result<Self> {
        runtime().block_on(async {
            let tls = TlsConnector::from(Arc::clone(config));
            let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
            let stream = tls.connect(name, TcpStream::connect(addr).await?).await?;
            if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
                return Err(io::Error::other("h2 was not chosen"));
            }
            let (sender, connection) =
                handshake(TokioExecutor::new(), TokioIo::new(stream)).await.map_err(io::Error::other)?;
            tokio::spawn(connection);
            Ok(Self { sender })
        })
    }

    /// In clear, with prior knowledge.
    pub fn connect_clear(addr: SocketAddr) -> io::Result<Self> {
        runtime().block_on(async {
            let stream = TokioIo::new(TcpStream::connect(addr).await?);
            let (sender, connection) =
                handshake(TokioExecutor::new(), stream).await.map_err(io::Error::other)?;
            tokio::spawn(connection);
            Ok(Self { sender })
        })
    }

    /// Sends one request and waits for its whole answer.
    pub fn ask(&self, request: Request<Full<Bytes>>) -> io::Result<H2Reply> {
        runtime().block_on(self.clone().ask_async(request))
    }

    /// As above, with a body of undeclared length.
    pub fn ask_undeclared(&self, request: Request<Full<Bytes>>) -> io::Result<H2Reply> {
        runtime().block_on(self.clone().whole(request.map(|body| Undeclared(body).boxed())))
    }

    /// As [`Self::ask`], for a caller on the runtime.
    pub async fn ask_async(self, request: Request<Full<Bytes>>) -> io::Result<H2Reply> {
        self.whole(request.map(BodyExt::boxed)).await
    }

    async fn whole(mut self, request: Request<BoxBody<Bytes, Infallible>>) -> io::Result<H2Reply> {
        let whole = async {
            self.sender.ready().await.map_err(io::Error::other)?;
            let answer = self.sender.send_request(request).await.map_err(io::Error::other)?;
            let (parts, body) = answer.into_parts();
            let collected = body.collect().await.map_err(io::Error::other)?;
            let trailers = collected.trailers().cloned();
            let status = parts.status.as_u16();
            Ok(H2Reply { status, headers: parts.headers, body: collected.to_bytes(), trailers })
        };
        tokio::time::timeout(Duration::from_secs(30), whole).await.map_err(io::Error::other)?
    }

    /// `GET` this URI.
    pub fn get(&self, uri: &str) -> io::Result<H2Reply> {
        self.ask(Request::get(uri).body(Full::default()).map_err(io::Error::other)?)
    }

    /// `POST` to this URI.
    pub fn post(&self, uri: &str, body: impl Into<Bytes>) -> io::Result<H2Reply> {
        self.ask(Request::post(uri).body(Full::new(body.into())).map_err(io::Error::other)?)
    }
}
