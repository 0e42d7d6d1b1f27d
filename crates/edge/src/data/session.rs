//! One client connection from its first byte to its close: HTTP/1.1 or HTTP/2 over hyper, signals from the worker,
//! parking while idle, and upgraded streams. Stands between rooms 1 and 2.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    rc::{Rc, Weak},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::HeaderValue;
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use thalweg_config::Limits;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use crate::data::{
    answer,
    conn::{ClientConn, ClientIo, ConnPhase, ConnSignal},
    failure::Failure,
    forward,
    local::Local,
    settle::RequestRecord,
    tunnel::{self, Handover},
    upload::nothing_follows,
};

/// Hyper's lower limit for its buffers.
const SMALLEST_BUFFER: usize = 8 * 1024;

/// Hyper's default limit on header fields.
const HYPERS_FIELDS: usize = 100;

/// Hyper's limit on the length of a target.
const HYPERS_TARGET: usize = 65_534;

/// How long, and how many bytes, a client may go on sending after the edge has answered and closed its side. Closing at
/// once would reset the connection, and the reset could destroy the answer before the client reads it.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: u64 = 1024 * 1024;

/// Streams of one HTTP/2 connection at the same time.
const MAX_STREAMS: u32 = 128;

/// Streams that an HTTP/2 client may reset before the edge has looked at their request. One more ends the connection
/// with GOAWAY ENHANCE_YOUR_CALM (rapid reset, CVE-2023-44487).
const MAX_RESET_UNREAD: usize = 20;

/// Streams of one HTTP/2 connection that the library may reset because the client broke a rule on them. One more ends
/// the connection the same way (CVE-2025-8671).
const MAX_RESET_FOR_ERRORS: usize = 128;

/// How HTTP/1.1 on a connection ended.
enum End {
    Done(hyper::Result<()>),
    Park,
    Refuse(Failure),
    Kill,
}

/// Serves HTTP/1.1 until the connection closes.
pub async fn http1(local: Rc<Local>, conn: Rc<ClientConn>, mut io: ClientIo, limits: Limits) {
    conn.first_line_limit.set(limits.header_bytes.min(HYPERS_TARGET));
    let handover = Rc::<Handover>::default();
    loop {
        // No state of hyper exists before the first byte: a silent connection costs a socket and a task.
        if first_byte(&conn, &io).await.is_none() {
            let _ = io.shutdown().await;
            return;
        }
        // Boxed, so that the task of a silent connection holds no room for it.
        let (ended, parts_io, rest) = Box::pin(talk((&local, &conn, &handover), io, limits)).await;
        io = parts_io;
        let upgrade = handover.take();
        match ended {
            End::Park => {
                conn.parks();
                io.rewind(rest);
            }
            End::Kill => return,
            End::Refuse(failure) => return Box::pin(refuse(&local, &conn, io, failure)).await,
            End::Done(result) => {
                if let Some(end) = upgrade {
                    return Box::pin(tunnel::pass_through(io, rest, end, &conn)).await;
                }
                if let Some(failure) = result.as_ref().err().and_then(bare_answer) {
                    account(&local, &conn, failure, local.fresh_id(), 0);
                }
                let linger = result.is_err() || conn.lingers.get() || !rest.is_empty();
                return Box::pin(close(&conn, io, linger)).await;
            }
        }
    }
}

/// Waits for the first byte of a request; `None` = the connection is to close.
pub async fn first_byte(conn: &ClientConn, io: &ClientIo) -> Option<()> {
    conn.parked.set(true);
    let signal = poll_fn(|cx| match (io.poll_readable(cx), conn.take_signal(cx)) {
        (_, signal @ ConnSignal::Kill) => Poll::Ready(signal),
        // A request that is already in the socket is answered first; the signal takes effect after it.
        (Poll::Ready(_), signal) => {
            if signal == ConnSignal::Graceful {
                conn.signal(signal);
            }
            Poll::Ready(ConnSignal::None)
        }
        (Poll::Pending, ConnSignal::None | ConnSignal::Park) => Poll::Pending,
        (Poll::Pending, signal) => Poll::Ready(signal),
    })
    .await;
    conn.parked.set(false);
    (signal == ConnSignal::None).then_some(())
}

/// Runs hyper on the connection until it ends or a signal interrupts it.
async fn talk(
    (local, conn, handover): (&Rc<Local>, &Rc<ClientConn>, &Rc<Handover>),
    io: ClientIo,
    limits: Limits,
) -> (End, ClientIo, Bytes) {
    let service = service_fn(|request: hyper::Request<Incoming>| {
        conn.lingers.set(!nothing_follows(request.body()));
        forward::serve(local, conn, handover, request)
    });
    let mut builder = http1::Builder::new();
    builder
        .header_read_timeout(None)
        .max_header_size(limits.header_bytes)
        .max_buf_size(limits.header_bytes.max(SMALLEST_BUFFER));
    if limits.header_count != HYPERS_FIELDS {
        // Setting the limit moves hyper's field table from the stack to the heap.
        builder.max_headers(limits.header_count);
    }
    let mut http = builder.serve_connection(TokioIo::new(io), service);
    let mut leaves = false;
    let end = poll_fn(|cx| {
        match conn.take_signal(cx) {
            ConnSignal::None => {}
            ConnSignal::Park if conn.phase.get() == ConnPhase::Idle => return Poll::Ready(End::Park),
            ConnSignal::Park => {}
            ConnSignal::Graceful => {
                // A request that is already in the socket is still answered. One that is being served is told first: its
                // answer may be there in this very poll, and must say that it is the last.
                if conn.phase.get() != ConnPhase::Busy
                    && let Poll::Ready(done) = poll((conn, handover), &mut http, cx)
                {
                    return Poll::Ready(End::Done(done));
                }
                leaves = true;
            }
            ConnSignal::HeaderTimeout => return Poll::Ready(End::Refuse(Failure::HeaderTimeout)),
            ConnSignal::LongTarget => return Poll::Ready(End::Refuse(Failure::UriTooLong)),
            ConnSignal::Kill => return Poll::Ready(End::Kill),
        }
        // A shutdown behind the last answer would make hyper abandon the upload too.
        if leaves && !conn.only_uploads() {
            leaves = false;
            Pin::new(&mut http).graceful_shutdown();
        }
        poll((conn, handover), &mut http, cx).map(End::Done)
    })
    .await;
    let parts = http.into_parts();
    (end, parts.io.into_inner(), parts.read_buf)
}

/// Polls hyper on an HTTP/1.1 connection. `poll_without_shutdown` is not used, because it returns while the last bytes
/// of an answer still wait in hyper's buffer. `poll` does the same once if a client has asked for an upgrade, whether
/// it was granted or not.
fn poll(
    (conn, handover): (&ClientConn, &Handover),
    http: &mut (impl Future<Output = hyper::Result<()>> + Unpin),
    cx: &mut Context<'_>,
) -> Poll<hyper::Result<()>> {
    match conn.polled(|| Pin::new(&mut *http).poll(cx)) {
        Poll::Ready(Ok(())) if handover.is_empty() => Pin::new(http).poll(cx),
        polled => polled,
    }
}

/// Serves HTTP/2 until the connection closes.
pub async fn http2(local: Rc<Local>, conn: Rc<ClientConn>, io: ClientIo, limits: Limits) {
    conn.http2.set(true);
    // HTTP/2 has no upgrades: this handover stays empty.
    let handover = Rc::<Handover>::default();
    let service =
        service_fn(|request: hyper::Request<Incoming>| forward::serve(&local, &conn, &handover, request));
    let mut http = pin!(
        http2::Builder::new(LocalExecutor { local: Rc::clone(&local), conn: Rc::clone(&conn) })
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_pending_accept_reset_streams(MAX_RESET_UNREAD)
            .max_local_error_reset_streams(MAX_RESET_FOR_ERRORS)
            .initial_stream_window_size(256 * 1024)
            .initial_connection_window_size(1024 * 1024)
            .max_send_buf_size(128 * 1024)
            .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
            .serve_connection(TokioIo::new(io), service)
    );
    poll_fn(|cx| {
        match conn.take_signal(cx) {
            ConnSignal::None | ConnSignal::Park => {}
            ConnSignal::Graceful => http.as_mut().graceful_shutdown(),
            ConnSignal::HeaderTimeout | ConnSignal::LongTarget | ConnSignal::Kill => return Poll::Ready(()),
        }
        // h2 itself reports a protocol error to the client (GOAWAY with a code).
        http.as_mut().poll(cx).map(|_| ())
    })
    .await;
}

/// Runs hyper's HTTP/2 streams on this worker.
#[derive(Clone, Debug)]
struct LocalExecutor {
    local: Rc<Local>,
    conn: Rc<ClientConn>,
}

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for LocalExecutor {
    /// Hyper calls this right after the service, once for each request.
    fn execute(&self, future: F) {
        let deadline = self.local.deadlines().newest(&self.conn);
        tokio::task::spawn_local(async move {
            let mut stream = pin!(future);
            poll_fn(|cx| match (stream.as_mut().poll(cx), deadline.as_ref().and_then(Weak::upgrade)) {
                (Poll::Ready(()), _) => Poll::Ready(()),
                // While a stream waits for flow-control room, hyper does not poll its body. Dropping the future resets
                // the stream.
                (Poll::Pending, Some(deadline)) => deadline.poll_ignored(cx),
                (Poll::Pending, None) => Poll::Pending,
            })
            .await;
        });
    }
}

/// The failure behind hyper's own answer to a head that it could not parse. The answer has no body, but it is counted
/// and logged. A client that sends an HTTP/2 preface gets no answer.
fn bare_answer(error: &hyper::Error) -> Option<Failure> {
    match () {
        () if error.is_parse_version_h2() => None,
        () if error.is_parse_too_large() => Some(Failure::HeadersTooLarge),
        () if error.is_parse() => Some(Failure::BadRequest),
        () => None,
    }
}

/// Counts and logs a request whose head could not be read.
fn account(local: &Rc<Local>, conn: &Rc<ClientConn>, failure: Failure, id: HeaderValue, bytes_out: u64) {
    let mut record = RequestRecord::new(local, conn, local.now(), http::Version::HTTP_11);
    record.request_id = id;
    record.method = http::Method::from_bytes(b"-").unwrap_or_default();
    (record.status, record.refusal) = (failure.status(), Some(failure.as_str()));
    record.bytes_out = bytes_out;
    record.finish(record.now());
}

/// Answers in place of hyper, which has no request to answer, and closes.
async fn refuse(local: &Rc<Local>, conn: &Rc<ClientConn>, mut io: ClientIo, failure: Failure) {
    let id = local.fresh_id();
    let (answer, body_bytes) = answer::raw(failure, &id);
    account(local, conn, failure, id, body_bytes);
    let _ = io.write_all(&answer).await;
    close(conn, io, true).await;
}

/// Closes the edge's side, then waits briefly for the client if it may still be sending.
async fn close(conn: &ClientConn, mut io: ClientIo, linger: bool) {
    conn.closes();
    // After a cut answer, TLS may hold bytes that the client never takes.
    if !matches!(timeout(LINGER, io.shutdown()).await, Ok(Ok(()))) || !linger {
        return;
    }
    let mut rest = io.take(LINGER_BYTES);
    let drain = async {
        let mut bin = [0; 4096];
        while matches!(rest.read(&mut bin).await, Ok(n) if n > 0) {}
    };
    let _ = timeout(LINGER, drain).await;
}
