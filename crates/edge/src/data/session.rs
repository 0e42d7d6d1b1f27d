//! One client connection from its first byte to its close: HTTP/1.1 or HTTP/2 over hyper, commands from the worker,
//! parking while idle, and upgraded streams. Between rooms 1 and 2.

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

/// Hyper's own floor under its buffers.
const SMALLEST_BUFFER: usize = 8 * 1024;

/// Hyper's own limit on header fields.
const HYPERS_FIELDS: usize = 100;

/// Hyper's own limit on a target.
const HYPERS_TARGET: usize = 65_534;

/// How long, and how much of, a client may go on sending after we have answered and closed our side: closing at
/// once would reset the connection and could take the answer back out of the client's hands.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: u64 = 1024 * 1024;

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
        // Nothing of hyper exists until the first byte is there: a silent connection costs a socket and a task.
        if first_byte(&conn, &io).await.is_none() {
            let _ = io.shutdown().await;
            return;
        }
        // Boxed, so that a silent connection's task does not hold room for it.
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

/// One stretch of hyper on the connection.
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
        // Named, it moves hyper's field table from the stack to the heap.
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
                // A request that is already in the socket is still answered.
                if let Poll::Ready(done) = poll((conn, handover), &mut http, cx) {
                    return Poll::Ready(End::Done(done));
                }
                leaves = true;
            }
            ConnSignal::HeaderTimeout => return Poll::Ready(End::Refuse(Failure::HeaderTimeout)),
            ConnSignal::LongTarget => return Poll::Ready(End::Refuse(Failure::UriTooLong)),
            ConnSignal::Kill => return Poll::Ready(End::Kill),
        }
        // Told to behind an answer that was the last, hyper would leave the upload, too.
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

/// Runs hyper on an HTTP/1.1 connection. Not by `poll_without_shutdown`: that one is done while the last bytes of an
/// answer still wait in hyper's buffer. So is `poll`, once, where a client has asked for an upgrade, granted or not.
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
    // HTTP/2 has no upgrades: this one stays empty.
    let handover = Rc::<Handover>::default();
    let service =
        service_fn(|request: hyper::Request<Incoming>| forward::serve(&local, &conn, &handover, request));
    let mut http = pin!(
        http2::Builder::new(LocalExecutor { local: Rc::clone(&local), conn: Rc::clone(&conn) })
            .timer(TokioTimer::new())
            .max_concurrent_streams(128)
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
        // A client that breaks the protocol is told so by h2 itself (GOAWAY with a code).
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
    /// Called right after the service, once for each request.
    fn execute(&self, future: F) {
        let deadline = self.local.deadlines().newest(&self.conn);
        tokio::task::spawn_local(async move {
            let mut stream = pin!(future);
            poll_fn(|cx| match (stream.as_mut().poll(cx), deadline.as_ref().and_then(Weak::upgrade)) {
                (Poll::Ready(()), _) => Poll::Ready(()),
                // Waiting for room, hyper polls no body: dropped, the stream is reset.
                (Poll::Pending, Some(deadline)) => deadline.poll_deaf(cx),
                (Poll::Pending, None) => Poll::Pending,
            })
            .await;
        });
    }
}

/// What hyper has answered to a head that it could not parse: bare, but counted and logged. A preface of HTTP/2 gets
/// no answer.
fn bare_answer(error: &hyper::Error) -> Option<Failure> {
    match () {
        () if error.is_parse_version_h2() => None,
        () if error.is_parse_too_large() => Some(Failure::HeadersTooLarge),
        () if error.is_parse() => Some(Failure::BadRequest),
        () => None,
    }
}

/// Opens and closes the account of a request whose head never became a request.
fn account(local: &Rc<Local>, conn: &Rc<ClientConn>, failure: Failure, id: HeaderValue, bytes_out: u64) {
    let mut record = RequestRecord::new(local, conn, local.now(), http::Version::HTTP_11);
    record.request_id = id;
    record.method = http::Method::from_bytes(b"-").unwrap_or_default();
    (record.status, record.refusal) = (failure.status(), Some(failure.as_str()));
    record.bytes_out = bytes_out;
    record.finish(record.now());
}

/// Answers for hyper, which has no request to answer to, and closes.
async fn refuse(local: &Rc<Local>, conn: &Rc<ClientConn>, mut io: ClientIo, failure: Failure) {
    let id = local.fresh_id();
    let (answer, body_bytes) = answer::raw(failure, &id);
    account(local, conn, failure, id, body_bytes);
    let _ = io.write_all(&answer).await;
    close(conn, io, true).await;
}

/// Closes our side, then waits briefly for the client's if it may still be sending.
async fn close(conn: &ClientConn, mut io: ClientIo, linger: bool) {
    conn.closes();
    // Of an answer that was cut, TLS may hold bytes that its client never takes.
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
