//! HTTP/2 towards a client: hyper's server, one task per stream, each with the head type of the wire engine.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    rc::{Rc, Weak},
    task::{Context, Poll, ready},
};

use http::Response;
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use thalweg_wire::{ProtocolError, RequestHead, RequestParts, Version};

use super::Unread;
use crate::data::{
    answer::{self, OwnAnswer},
    conn::{ClientConn, ClientIo, ConnSignal},
    failure::Failure,
    forward::{self, ClientRequest, Serving},
    headers::fields_of,
    intake,
    local::Local,
    relay::AnswerBody,
    upload::{UploadSource, nothing_follows},
};

/// Streams of one HTTP/2 connection at the same time.
const MAX_STREAMS: u32 = 100;

/// Largest window of a stream: all streams together stay below the protocol's limit of 2^31 - 1.
const MAX_WINDOW: u32 = 16 * 1024 * 1024;

/// Streams that an HTTP/2 client may reset before the edge has looked at their request. One more ends the connection
/// with GOAWAY ENHANCE_YOUR_CALM (rapid reset, CVE-2023-44487).
const MAX_RESET_UNREAD: usize = 20;

/// Streams of one HTTP/2 connection that the library may reset because the client broke a rule on them. One more ends
/// the connection the same way (CVE-2025-8671).
const MAX_RESET_FOR_ERRORS: usize = 128;

/// Serves HTTP/2 until the connection closes.
pub async fn http2(local: Rc<Local>, conn: Rc<ClientConn>, io: ClientIo, limits: thalweg_config::Limits) {
    conn.http2.set(true);
    let window = u32::try_from(limits.stream_buffer).unwrap_or(u32::MAX).min(MAX_WINDOW);
    let service = service_fn(|request: hyper::Request<Incoming>| StreamAnswer(serve(&local, &conn, request)));
    let mut http = pin!(
        http2::Builder::new(LocalExecutor { local: Rc::clone(&local), conn: Rc::clone(&conn) })
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_pending_accept_reset_streams(MAX_RESET_UNREAD)
            .max_local_error_reset_streams(MAX_RESET_FOR_ERRORS)
            .initial_stream_window_size(window)
            // Uploads that stand still cannot take the room of one that does not (RFC 9113 section 5.2.2).
            .initial_connection_window_size(window * MAX_STREAMS)
            .max_send_buf_size(limits.stream_buffer)
            .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
            .serve_connection(TokioIo::new(io), service)
    );
    poll_fn(|cx| {
        match conn.take_signal(cx) {
            ConnSignal::None | ConnSignal::Park => {}
            ConnSignal::Graceful => http.as_mut().graceful_shutdown(),
            ConnSignal::HeaderTimeout | ConnSignal::Kill => return Poll::Ready(()),
        }
        // h2 itself reports a protocol error to the client (GOAWAY with a code).
        http.as_mut().poll(cx).map(|_| ())
    })
    .await;
}

fn serve(
    local: &Rc<Local>,
    conn: &Rc<ClientConn>,
    request: hyper::Request<Incoming>,
) -> Result<Serving, RefusedStream> {
    let (parts, body) = request.into_parts();
    let has_body = !nothing_follows(&body);
    match read_head(local, &parts, has_body) {
        Ok(head) => {
            let source = has_body.then_some(UploadSource::Http2(body));
            Ok(forward::serve(local, conn, ClientRequest { head, source, client: None }))
        }
        Err(error) => {
            let mut unread = Unread::new(Failure::BadMessage(error), Version::Http2, local);
            unread.method = parts.method.to_string();
            unread.host = intake::brief(parts.uri.host().unwrap_or_default());
            unread.path = intake::brief(parts.uri.path());
            let own = OwnAnswer::unread(unread.failure, unread.id.clone());
            unread.account(local, conn, own.body.len() as u64);
            Err(RefusedStream(Some(Box::new(own.into_response()))))
        }
    }
}

/// The head in the form that all rooms know, checked by the same rules as one of HTTP/1.1.
fn read_head(
    local: &Local,
    parts: &http::request::Parts,
    has_body: bool,
) -> Result<RequestHead, ProtocolError> {
    let limits = local.view().wiring.config.limits;
    let limits = thalweg_wire::Limits {
        head_bytes: u32::try_from(limits.header_bytes).unwrap_or(u32::MAX),
        fields: u32::try_from(limits.header_count).unwrap_or(u32::MAX),
    };
    let request = RequestParts {
        method: parts.method.as_str().as_bytes(),
        https: parts.uri.scheme() == Some(&http::uri::Scheme::HTTPS),
        authority: parts.uri.authority().map(|authority| authority.as_str().as_bytes()),
        path: parts.uri.path_and_query().map_or(&b""[..], |path| path.as_str().as_bytes()),
        has_body,
    };
    RequestHead::from_parts(&request, fields_of(&parts.headers)?, limits)
}

/// A stream whose head was refused, with its answer.
struct RefusedStream(Option<Box<Response<AnswerBody>>>);

/// One stream on its way to an answer.
struct StreamAnswer(Result<Serving, RefusedStream>);

impl Future for StreamAnswer {
    type Output = Result<Response<AnswerBody>, Reset>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = match &mut self.get_mut().0 {
            Ok(serving) => ready!(Pin::new(serving).poll(cx)),
            Err(RefusedStream(response)) => {
                return Poll::Ready(response.take().map(|response| *response).ok_or(Reset));
            }
        };
        Poll::Ready(answer::for_http2(answer).ok_or(Reset))
    }
}

/// The stream ends without an answer: its client has gone.
#[derive(Debug, thiserror::Error)]
#[error("the client has gone")]
struct Reset;

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
