//! Endpoints that speak HTTP/2: one over the `h2` crate that answers by path, and one that sends whatever frames a test
//! writes.

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    net::{IpAddr, SocketAddr, TcpListener as StdListener, TcpStream as StdStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use h2::{Reason, RecvStream, server::SendResponse};
use http::{HeaderMap, Request, Response, StatusCode};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    task::AbortHandle,
};
use tokio_rustls::TlsAcceptor;

use crate::{Reserved, eventually, lock, runtime};

/// A request as an HTTP/2 endpoint saw it.
#[derive(Clone, Debug)]
pub struct H2Seen {
    /// The pseudo-fields `:method`, `:scheme`, `:authority` and `:path`.
    pub pseudo: [String; 4],
    /// The fields.
    pub headers: HeaderMap,
    /// The content.
    pub body: Vec<u8>,
    /// The trailers.
    pub trailers: Option<HeaderMap>,
    /// How the client ended the stream early.
    pub reset: Option<Reason>,
    /// The number of its connection.
    pub conn: u64,
}

/// An endpoint on the `h2` crate. It answers by path: `/bytes/N` · `/echo` the body and the trailers back · `/status/N` ·
/// `/trailers` · `/early` an answer before the upload · `/hang` none · `/hints` a 103 first · `/grpc/N` trailers with this
/// `grpc-status` · `/grpc-only/N` trailers alone · `/grpc-none` a gRPC answer without status · `/refuse` REFUSED_STREAM as long as
/// `refusals` are left · else a short text.
#[derive(Debug)]
pub struct H2Endpoint {
    state: Arc<State>,
    reserved: Reserved,
    accepting: Mutex<Option<AbortHandle>>,
}

#[derive(Debug)]
struct State {
    name: String,
    max_streams: u32,
    seen: Mutex<Vec<H2Seen>>,
    accepted: AtomicU64,
    refusals: AtomicU64,
    conns: Mutex<Vec<AbortHandle>>,
}

impl H2Endpoint {
    /// Starts one in clear.
    pub fn start(name: &str) -> Self {
        Self::start_with(name, 1000, None)
    }

    /// Starts one on this address.
    pub fn start_on(name: &str, ip: IpAddr) -> Self {
        Self::on(Reserved::on(ip), name, 1000, None)
    }

    /// Starts one that allows so many streams per connection, perhaps over TLS.
    pub fn start_with(name: &str, max_streams: u32, tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        Self::on(Reserved::new(), name, max_streams, tls)
    }

    fn on(reserved: Reserved, name: &str, max_streams: u32, tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let endpoint = Self {
            state: Arc::new(State {
                name: name.to_owned(),
                max_streams,
                seen: Mutex::default(),
                accepted: AtomicU64::new(0),
                refusals: AtomicU64::new(0),
                conns: Mutex::default(),
            }),
            reserved,
            accepting: Mutex::default(),
        };
        endpoint.accept(tls);
        endpoint
    }

    fn accept(&self, tls: Option<Arc<rustls::ServerConfig>>) {
        let (state, addr) = (Arc::clone(&self.state), self.addr());
        let listener = runtime().block_on(TcpListener::bind(addr)).expect("a reserved port is free");
        let task = runtime().spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                let _late_is_fine = stream.set_nodelay(true);
                let nth = state.accepted.fetch_add(1, Ordering::SeqCst) + 1;
                let task = tokio::spawn(greet(Arc::clone(&state), stream, tls.clone(), nth));
                lock(&state.conns).push(task.abort_handle());
            }
        });
        *lock(&self.accepting) = Some(task.abort_handle());
    }

    /// Its address.
    pub fn addr(&self) -> SocketAddr {
        self.reserved.addr()
    }

    /// Everything that arrived, in the order in which it was answered.
    pub fn seen(&self) -> Vec<H2Seen> {
        lock(&self.state.seen).clone()
    }

    /// Connections so far.
    pub fn accepted(&self) -> u64 {
        self.state.accepted.load(Ordering::SeqCst)
    }

    /// Refuses the next streams to `/refuse`.
    pub fn refuse(&self, streams: u64) {
        self.state.refusals.store(streams, Ordering::SeqCst);
    }

    /// Closes every connection with what is on it. Returns when they are closed: what is sent from then on meets their
    /// end.
    pub fn cut(&self) {
        let conns: Vec<_> = lock(&self.state.conns).drain(..).collect();
        conns.iter().for_each(AbortHandle::abort);
        eventually("the connections are closed", Duration::from_secs(10), || {
            conns.iter().all(AbortHandle::is_finished)
        });
    }
}

impl Drop for H2Endpoint {
    fn drop(&mut self) {
        self.cut();
        if let Some(task) = lock(&self.accepting).take() {
            task.abort();
        }
    }
}

async fn greet(state: Arc<State>, stream: TcpStream, tls: Option<Arc<rustls::ServerConfig>>, nth: u64) {
    match tls {
        None => serve(state, stream, nth).await,
        Some(config) => {
            if let Ok(stream) = TlsAcceptor::from(config).accept(stream).await {
                serve(state, stream, nth).await;
            }
        }
    }
}

async fn serve(state: Arc<State>, io: impl AsyncRead + AsyncWrite + Unpin, nth: u64) {
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(state.max_streams);
    let Ok(mut connection) = builder.handshake::<_, Bytes>(io).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let _gone_is_fine = answer(&state, request, respond, nth).await;
        });
    }
}

async fn answer(
    state: &State,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    conn: u64,
) -> Result<(), h2::Error> {
    let (parts, body) = request.into_parts();
    let text = |part: Option<&str>| part.unwrap_or_default().to_owned();
    let path = text(parts.uri.path_and_query().map(http::uri::PathAndQuery::as_str));
    let pseudo = [
        parts.method.to_string(),
        text(parts.uri.scheme_str()),
        text(parts.uri.authority().map(http::uri::Authority::as_str)),
        path.clone(),
    ];
    let number = path.rsplit('/').next().and_then(|number| number.parse::<u16>().ok()).unwrap_or(0);
    let mut seen = H2Seen { pseudo, headers: parts.headers, body: vec![], trailers: None, reset: None, conn };
    let reply = |status: u16| {
        let status = StatusCode::from_u16(status).expect("a status");
        Response::builder().status(status).header("x-endpoint", &state.name)
    };
    if path == "/refuse" {
        let left =
            state.refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if left.is_ok() {
            respond.send_reset(Reason::REFUSED_STREAM);
            return Ok(());
        }
    }
    if path == "/early" {
        respond.send_response(reply(413).body(()).expect("an answer"), true)?;
        lock(&state.seen).push(seen);
        tokio::time::sleep(Duration::from_secs(1)).await;
        return Ok(());
    }
    read(body, &mut seen).await;
    let (content, trailers) = (Bytes::from(seen.body.clone()), seen.trailers.clone());
    if path.starts_with("/hang") {
        seen.reset = std::future::poll_fn(|cx| respond.poll_reset(cx)).await.ok();
        lock(&state.seen).push(seen);
        return Ok(());
    }
    lock(&state.seen).push(seen);
    let grpc = || reply(200).header("content-type", "application/grpc");
    let status =
        |number: u16| HeaderMap::from_iter([(http::HeaderName::from_static("grpc-status"), number.into())]);
    if parts.method == http::Method::HEAD {
        let head = reply(200).header("content-length", number).body(()).expect("an answer");
        return respond.send_response(head, true).map(drop);
    }
    match path.split('/').nth(1).unwrap_or_default() {
        "bytes" => {
            let length = path.rsplit('/').next().and_then(|number| number.parse().ok()).unwrap_or(0);
            let head = reply(200).header("content-length", length).body(()).expect("an answer");
            send(respond.send_response(head, false)?, vec![b'x'; length].into(), None).await
        }
        "echo" => {
            send(respond.send_response(reply(200).body(()).expect("an answer"), false)?, content, trailers)
                .await
        }
        "status" => respond.send_response(reply(number).body(()).expect("an answer"), true).map(drop),
        "hints" => {
            let hints = Response::builder().status(103).header("link", "</a>").body(()).expect("an answer");
            respond.send_informational(hints)?;
            respond.send_response(reply(200).body(()).expect("an answer"), true).map(drop)
        }
        "grpc" => {
            let stream = respond.send_response(grpc().body(()).expect("an answer"), false)?;
            send(stream, "\0\0\0\0\0".into(), Some(status(number))).await
        }
        "grpc-only" => {
            let head = grpc().header("grpc-status", number).body(()).expect("an answer");
            respond.send_response(head, true).map(drop)
        }
        "grpc-none" => {
            let stream = respond.send_response(grpc().body(()).expect("an answer"), false)?;
            send(stream, "\0\0\0\0\0".into(), None).await
        }
        "trailers" => {
            let trailers = HeaderMap::from_iter([(http::HeaderName::from_static("x-sum"), 42_u16.into())]);
            let stream = respond.send_response(reply(200).body(()).expect("an answer"), false)?;
            send(stream, "hello".into(), Some(trailers)).await
        }
        _ => {
            let head = reply(200).header("content-length", 5).body(()).expect("an answer");
            send(respond.send_response(head, false)?, "hello".into(), None).await
        }
    }
}

async fn read(mut body: RecvStream, seen: &mut H2Seen) {
    while let Some(piece) = body.data().await {
        match piece {
            Ok(piece) => {
                let _gone_is_fine = body.flow_control().release_capacity(piece.len());
                seen.body.extend_from_slice(&piece);
            }
            Err(error) => {
                seen.reset = error.reason();
                return;
            }
        }
    }
    seen.trailers = body.trailers().await.ok().flatten();
}

async fn send(
    mut stream: h2::SendStream<Bytes>,
    mut content: Bytes,
    trailers: Option<HeaderMap>,
) -> Result<(), h2::Error> {
    while !content.is_empty() {
        stream.reserve_capacity(content.len());
        while stream.capacity() == 0 {
            match std::future::poll_fn(|cx| stream.poll_capacity(cx)).await {
                Some(room) => _ = room?,
                None => return Ok(()),
            }
        }
        let piece = content.split_to(stream.capacity().min(content.len()));
        stream.send_data(piece, false)?;
    }
    match trailers {
        Some(trailers) => stream.send_trailers(trailers),
        None => stream.send_data(Bytes::new(), true),
    }
}

/// A frame of HTTP/2.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Its kind.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream.
    pub stream: u32,
    /// Its payload.
    pub payload: Vec<u8>,
}

/// A connection whose frames a test writes.
#[derive(Debug)]
pub struct RawH2 {
    stream: StdStream,
    queue: VecDeque<Frame>,
}

impl RawH2 {
    /// Listens, and lets `script` have each connection in a thread of its own, with its number from 1 on.
    pub fn listen(script: impl Fn(&mut Self, u64) -> io::Result<()> + Send + Sync + 'static) -> SocketAddr {
        let listener = StdListener::bind("127.0.0.1:0").expect("a port is free");
        let addr = listener.local_addr().expect("an address");
        let script = Arc::new(script);
        std::thread::spawn(move || {
            for (nth, stream) in listener.incoming().enumerate() {
                let (script, Ok(stream)) = (Arc::clone(&script), stream) else { continue };
                std::thread::spawn(move || {
                    let _late_is_fine = stream.set_read_timeout(Some(Duration::from_secs(60)));
                    let mut conn = Self { stream, queue: VecDeque::new() };
                    let _gone_is_fine = script(&mut conn, nth as u64 + 1);
                });
            }
        });
        addr
    }

    /// Reads the client's preface, and sends SETTINGS.
    pub fn greet(&mut self) -> io::Result<()> {
        self.stream.read_exact(&mut [0; 24])?;
        self.send(4, 0, 0, &[])
    }

    /// Sends bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends a frame.
    pub fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> io::Result<()> {
        let length = u32::try_from(payload.len()).expect("a short frame");
        let mut bytes = length.to_be_bytes()[1..].to_vec();
        bytes.extend([kind, flags]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend(payload);
        self.stream.write_all(&bytes)
    }

    /// The next frame that is not part of the upkeep of a connection; SETTINGS are acknowledged, PINGs are answered if `pong`.
    pub fn next(&mut self, pong: bool) -> io::Result<Frame> {
        loop {
            if let Some(frame) = self.queue.pop_front() {
                return Ok(frame);
            }
            let mut head = [0; 9];
            self.stream.read_exact(&mut head)?;
            let [a, b, c, kind, flags, id @ ..] = head;
            let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
            self.stream.read_exact(&mut payload)?;
            match (kind, flags & 1) {
                (4, 0) => self.send(4, 1, 0, &[])?,
                (6, 0) if pong => self.send(6, 1, 0, &payload)?,
                (4 | 6 | 8, _) => {}
                _ => self.queue.push_back(Frame { kind, flags, stream: u32::from_be_bytes(id), payload }),
            }
        }
    }

    /// The stream of the next request's head.
    pub fn request(&mut self) -> io::Result<u32> {
        loop {
            let frame = self.next(true)?;
            if frame.kind == 1 {
                return Ok(frame.stream);
            }
        }
    }

    /// An answer 200 without content.
    pub fn ok(&mut self, stream: u32) -> io::Result<()> {
        self.send(1, 0b101, stream, &[0x88])
    }
}
