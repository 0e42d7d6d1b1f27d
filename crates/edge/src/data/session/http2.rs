//! HTTP/2 towards a client: the `h2` crate's connection and its streams in one task, each stream with the head type of
//! the wire engine.
//!
//! Why `h2` itself and not hyper's server on top of it: hyper runs each stream in a task of its own and flushes behind
//! each of them. Here the connection's task polls its streams and writes once, and it sees abuse early enough to end it
//! with a reason (docs/decisions/0017-http2-on-h2.md).

use std::{
    future::poll_fn,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, Stream as _};
use h2::{
    Reason, RecvStream,
    server::{self, Connection, Handshake, SendResponse},
};
use thalweg_wire::{ProtocolError, RequestHead, RequestParts, Version};

use self::{
    end::Http2End,
    stream::{ClientStream, StreamState},
};
use super::{Unread, head_limits};
use crate::data::{
    answer::OwnAnswer,
    conn::{ClientConn, ClientIo, ConnSignal},
    failure::Failure,
    forward::{self, ClientRequest},
    headers::fields_of,
    intake,
    interim::{InterimQueue, InterimTo},
    local::Local,
    upload::{Http2Upload, UploadSource},
};

mod end;
mod frames;
mod stream;
mod websocket;

/// Largest window of a connection (RFC 9113 section 6.9.1).
const MAX_WINDOW: u32 = (1 << 31) - 1;

/// Streams that an HTTP/2 client may reset before the edge has looked at their request. One more ends the connection
/// with GOAWAY ENHANCE_YOUR_CALM (rapid reset, CVE-2023-44487).
const MAX_RESET_UNREAD: usize = 20;

/// Streams of one HTTP/2 connection that the library may reset because the client broke a rule on them. One more ends
/// the connection the same way (CVE-2025-8671).
const MAX_RESET_FOR_ERRORS: usize = 128;

/// A head is read up to this multiple of `header_bytes`, so that the edge answers 431 itself, with a counter and a log line.
/// Beyond that the library answers a bare 431, and at four times as much it ends the connection.
const READ_ON: usize = 16;

/// Serves HTTP/2 until the connection closes.
pub async fn http2(local: Rc<Local>, conn: Rc<ClientConn>, io: ClientIo) {
    conn.http2.set(true);
    let end = Http2End::new(io, &conn, local.buffers(), local.limits().h2_resets);
    let opening = builder(&local).handshake(end.clone());
    let mut session = Session {
        local,
        conn,
        end,
        protocol: Protocol::Opening(Box::new(opening)),
        streams: FuturesUnordered::new(),
        interim: Rc::default(),
    };
    poll_fn(|cx| session.poll(cx)).await;
}

fn builder(local: &Local) -> server::Builder {
    let limits = local.limits();
    let window = u32::try_from(limits.stream_buffer).unwrap_or(MAX_WINDOW);
    let mut builder = server::Builder::new();
    builder
        .max_concurrent_streams(limits.h2_streams)
        .max_pending_accept_reset_streams(MAX_RESET_UNREAD)
        .max_local_error_reset_streams(Some(MAX_RESET_FOR_ERRORS))
        .initial_window_size(window)
        // Uploads that stand still cannot take the room of one that does not (RFC 9113 section 5.2.2).
        .initial_connection_window_size(window.saturating_mul(limits.h2_streams).min(MAX_WINDOW))
        .max_send_buffer_size(limits.stream_buffer)
        .enable_connect_protocol()
        .max_header_list_size(u32::try_from(limits.header_bytes * READ_ON).unwrap_or(u32::MAX));
    builder
}

/// One connection.
struct Session {
    local: Rc<Local>,
    conn: Rc<ClientConn>,
    end: Http2End,
    protocol: Protocol,
    streams: FuturesUnordered<ClientStream>,
    interim: Rc<InterimQueue>,
}

/// How far the connection is.
enum Protocol {
    /// The client's preface is to come.
    Opening(Box<Handshake<Http2End, Bytes>>),
    Open(Box<Connection<Http2End, Bytes>>),
}

impl Session {
    /// Ready when the connection has ended.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.conn.take_signal(cx) {
            ConnSignal::None | ConnSignal::Park => {}
            ConnSignal::Graceful => match &mut self.protocol {
                Protocol::Opening(_) => return Poll::Ready(()),
                Protocol::Open(connection) => {
                    connection.graceful_shutdown();
                    self.streams.iter_mut().for_each(|stream| stream.told());
                }
            },
            ConnSignal::HeaderTimeout | ConnSignal::Kill => return Poll::Ready(()),
        }
        // The library has told the client of an error by then (GOAWAY with a code).
        let ended = self.poll_protocol(cx);
        match self.end.poll_batch(cx) {
            Poll::Ready(Err(_)) => Poll::Ready(()),
            _ => ended,
        }
    }

    /// Reads what has arrived, lets the streams say what they have to say, and puts it into the batch.
    fn poll_protocol(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Protocol::Opening(opening) = &mut self.protocol {
            match ready!(Pin::new(opening).poll(cx)) {
                Ok(connection) => self.protocol = Protocol::Open(Box::new(connection)),
                Err(_) => return Poll::Ready(()),
            }
        }
        loop {
            while let Poll::Ready(Some(())) = Pin::new(&mut self.streams).poll_next(cx) {}
            let before = self.streams.len();
            if self.poll_accept(cx).is_ready() {
                return Poll::Ready(());
            }
            if self.streams.len() == before {
                return Poll::Pending;
            }
        }
    }

    /// Reads and writes frames, and begins the streams that the client has opened. Ready when the connection has ended.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let Protocol::Open(connection) = &mut self.protocol else { return Poll::Ready(()) };
            match connection.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    let stream = self.begin(request, respond);
                    self.streams.push(stream);
                }
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(()),
                Poll::Pending if self.end.is_over_budget() => {
                    connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                    // A client that takes not even this is not waited for.
                    let _ = connection.poll_accept(cx);
                    self.local.meters().shed(&self.conn.listener, "http2_flood", 1);
                    return Poll::Ready(());
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn begin(&self, request: http::Request<RecvStream>, respond: SendResponse<Bytes>) -> ClientStream {
        let (local, conn) = (&self.local, &self.conn);
        let (parts, body) = request.into_parts();
        let has_body = !body.is_end_stream();
        let mut websocket = None;
        let (state, deadline) = match read_head(local, &parts, has_body) {
            Ok(head) => {
                let source = if head.opens_websocket() {
                    websocket = Some(body);
                    None
                } else {
                    has_body.then(|| UploadSource::Http2(Http2Upload::new(body, head.framing())))
                };
                let interim = InterimTo::Http2(Rc::clone(&self.interim), respond.stream_id());
                let serving = forward::serve(local, conn, ClientRequest { head, source, interim });
                let deadline = serving.watch();
                (StreamState::Serving(serving, websocket), deadline)
            }
            Err(error) => {
                let mut unread = Unread::new(Failure::BadMessage(error), Version::Http2, local);
                unread.method = parts.method.to_string();
                unread.host = intake::brief(parts.uri.host().unwrap_or_default());
                unread.path = intake::brief(parts.uri.path());
                let own = OwnAnswer::unread(unread.failure, unread.id.clone());
                unread.account(local, conn, own.body.len() as u64);
                (StreamState::Refused(Some(Box::new(own))), None)
            }
        };
        ClientStream {
            local: Rc::clone(local),
            conn: Rc::clone(conn),
            end: self.end.clone(),
            interim: Rc::clone(&self.interim),
            respond,
            state,
            deadline,
        }
    }
}

/// The head in the form that all rooms know, checked by the same rules as one of HTTP/1.1.
fn read_head(
    local: &Local,
    parts: &http::request::Parts,
    has_body: bool,
) -> Result<RequestHead, ProtocolError> {
    let protocol = parts.extensions.get::<h2::ext::Protocol>().map(AsRef::as_ref);
    let request = RequestParts {
        version: Version::Http2,
        method: parts.method.as_str().as_bytes(),
        protocol,
        https: parts.uri.scheme() == Some(&http::uri::Scheme::HTTPS),
        authority: parts.uri.authority().map(|authority| authority.as_str().as_bytes()),
        path: parts.uri.path_and_query().map_or(&b""[..], |path| path.as_str().as_bytes()),
        has_body,
    };
    let fields = match protocol {
        None => fields_of(&parts.headers)?,
        Some(_) => websocket::handshake_fields(&parts.headers, (local.random(), local.random()))?,
    };
    RequestHead::from_parts(&request, fields, head_limits(&local.limits()))
}
