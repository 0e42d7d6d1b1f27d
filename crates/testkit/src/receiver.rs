//! A server that keeps what is posted to it: the other end of webhooks and traces. Plain or with TLS.

use std::{
    collections::VecDeque,
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    task::AbortHandle,
};
use tokio_rustls::TlsAcceptor;

use crate::{lock, runtime};

/// One request that arrived.
#[derive(Clone, Debug)]
pub struct Posted {
    /// Path and query.
    pub target: String,
    /// The fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Posted {
    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    /// The value of a field; empty without one.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

#[derive(Debug, Default)]
struct Kept {
    posted: Mutex<Vec<Posted>>,
    /// The statuses of the next answers; then 200.
    statuses: Mutex<VecDeque<u16>>,
}

/// A server that keeps what is posted to it.
#[derive(Debug)]
pub struct Receiver {
    addr: SocketAddr,
    kept: Arc<Kept>,
    task: AbortHandle,
}

impl Receiver {
    /// Starts one on 127.0.0.1.
    pub fn start() -> Self {
        Self::start_with(None)
    }

    /// Starts one that speaks TLS.
    pub fn start_tls(config: Arc<rustls::ServerConfig>) -> Self {
        Self::start_with(Some(config))
    }

    fn start_with(tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let listener =
            runtime().block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).expect("a port is free");
        let addr = listener.local_addr().expect("a bound socket has an address");
        let kept: Arc<Kept> = Arc::default();
        let ours = Arc::clone(&kept);
        let task = runtime().spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (kept, tls) = (Arc::clone(&ours), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, kept).await,
                        Some(config) => {
                            if let Ok(stream) = TlsAcceptor::from(config).accept(stream).await {
                                serve(stream, kept).await;
                            }
                        }
                    }
                });
            }
        });
        Self { addr, kept, task: task.abort_handle() }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The statuses of the next answers; later ones are 200.
    pub fn answer(&self, statuses: &[u16]) {
        *lock(&self.kept.statuses) = statuses.iter().copied().collect();
    }

    /// Everything that has arrived, oldest first; also what was answered with an error.
    pub fn posted(&self) -> Vec<Posted> {
        lock(&self.kept.posted).clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, kept: Arc<Kept>) {
    let service = service_fn(|request: Request<Incoming>| {
        let kept = Arc::clone(&kept);
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            let target = head.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
            lock(&kept.posted).push(Posted { target, headers: head.headers, body });
            let status = lock(&kept.statuses).pop_front().unwrap_or(200);
            let mut answer = Response::new(Full::new(Bytes::new()));
            *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
            Ok::<_, Infallible>(answer)
        }
    });
    // The scenario checks clients that break off.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}
