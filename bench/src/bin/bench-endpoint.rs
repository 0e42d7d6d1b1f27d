//! The endpoint that every proxy of the bench forwards to: one thread, HTTP/1.1 keep-alive or HTTP/2, as many ports as
//! asked (one port = one region). The endpoint is cheap, because it shares its core with the load. It counts what it
//! served, so that a request counts only where it arrived.

use std::cell::Cell;
use std::convert::Infallible;
use std::rc::Rc;

use anyhow::Result;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::{http1, http2};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use thalweg_bench::args::Args;
use tokio::net::TcpListener;

static BLOCK: [u8; 1024 * 1024] = [b'x'; 1024 * 1024];
const SMALL: &str =
    r#"{"message":"hello from a bench endpoint","cloud":"aws","region":"us-east-1","instance":"bench-1"}"#;

/// The requests served, except those to `/stats`.
#[derive(Default)]
struct Served {
    requests: Cell<u64>,
    probes: Cell<u64>,
}

fn main() -> Result<()> {
    let mut args = Args::parse(std::env::args().skip(1))?;
    let ports: String = args.need("ports")?;
    args.done()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let served = Rc::new(Served::default());
        let mut tasks = Vec::new();
        for port in ports.split(',') {
            // Every address of 127.0.0.0/8 answers: the reload scenario needs 10,000 distinct endpoints.
            let listener = TcpListener::bind(("0.0.0.0", port.parse()?)).await?;
            tasks.push(tokio::task::spawn_local(accept(listener, Rc::clone(&served))));
        }
        for task in tasks {
            task.await?;
        }
        Ok(())
    })
}

/// Runs the streams of HTTP/2 on the one thread.
#[derive(Clone)]
struct OnThisThread;

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for OnThisThread {
    fn execute(&self, stream: F) {
        tokio::task::spawn_local(stream);
    }
}

async fn accept(listener: TcpListener, served: Rc<Served>) {
    loop {
        // Out of descriptors: leave the waiting connections in the queue and try again.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let served = Rc::clone(&served);
        tokio::task::spawn_local(async move {
            let service = hyper::service::service_fn(move |request| {
                let answer = answer(&request, &served);
                async move { Ok::<_, Infallible>(answer) }
            });
            // An error here means that the proxy closed the connection; the load generator sees the consequences.
            let mut start = [0; 4];
            let is_http2 = stream.peek(&mut start).await.is_ok_and(|seen| seen == 4) && &start == b"PRI ";
            let io = TokioIo::new(stream);
            if is_http2 {
                let _ = http2::Builder::new(OnThisThread).serve_connection(io, service).await;
            } else {
                let _ = http1::Builder::new().max_buf_size(16 * 1024).serve_connection(io, service).await;
            }
        });
    }
}

fn answer(request: &Request<Incoming>, served: &Served) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    let body = match path {
        "/health" => Bytes::from_static(br#"{"status":"ok"}"#),
        "/1k" => block(1024),
        "/16k" => block(16 * 1024),
        "/64k" => block(64 * 1024),
        "/1m" => block(BLOCK.len()),
        "/stats" => stats(served),
        "/echo" => echo(request),
        _ => Bytes::from_static(SMALL.as_bytes()),
    };
    match path {
        "/health" => served.probes.set(served.probes.get() + 1),
        "/stats" => {}
        _ => served.requests.set(served.requests.get() + 1),
    }
    let mut answer = Response::new(Full::new(body));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

/// The first `length` bytes of `BLOCK` (at most all of them); nothing is copied.
fn block(length: usize) -> Bytes {
    Bytes::from_static(BLOCK.get(..length).unwrap_or(&BLOCK))
}

fn stats(served: &Served) -> Bytes {
    format!(r#"{{"requests":{},"probes":{}}}"#, served.requests.get(), served.probes.get()).into()
}

/// The request's head as it arrived here, so that the rig can hold every proxy to the same forwarded headers.
fn echo(request: &Request<Incoming>) -> Bytes {
    let headers: std::collections::BTreeMap<_, _> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes())))
        .collect();
    serde_json::to_vec(&headers).unwrap_or_default().into()
}
