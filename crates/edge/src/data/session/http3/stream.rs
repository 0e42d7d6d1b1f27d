//! One HTTP/3 stream: its head, its request on its way to an answer, then the answer on its way out. A future that its
//! connection polls: no task of its own.

use std::{
    cell::RefCell,
    future::poll_fn,
    pin::{Pin, pin},
    rc::{Rc, Weak},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use h3::{
    error::{Code, StreamError},
    server::RequestStream,
};
use http::{Method, Response, header};
use thalweg_wire::{ProtocolError, RequestHead, RequestParts, Version};
use tokio::time::timeout;

use super::{
    super::{Unread, head_limits},
    Resolver,
};
use crate::data::{
    answer::{self, OwnAnswer},
    conn::ClientConn,
    deadline::Deadline,
    failure::Failure,
    forward::{self, ClientRequest},
    headers::{fields_of, trailer_map},
    intake,
    interim::InterimTo,
    local::Local,
    quic::{Out, StreamWatch},
    relay::AnswerBody,
    upload::{Http3Upload, UploadSource, UploadStream, poll_data},
};

/// What goes to a client on the stream of a request.
type AnswerStream = RequestStream<Out<Bytes>, Bytes>;

/// How a stream ended.
pub(super) enum StreamFate {
    /// The client has the whole answer.
    Answered,
    /// The client has given the request up.
    Reset,
    /// In another way.
    Ended,
}

/// The client has given the stream up, or is gone.
struct StreamGone;

/// One stream.
pub(super) struct RequestTask {
    serving: Pin<Box<dyn Future<Output = StreamFate>>>,
    waker: RefCell<Option<Waker>>,
}

impl RequestTask {
    pub(super) fn new(
        local: &Rc<Local>,
        conn: &Rc<ClientConn>,
        resolver: Resolver,
        watch: StreamWatch,
    ) -> Self {
        let task = ServedStream { local: Rc::clone(local), conn: Rc::clone(conn), watch, deadline: None };
        Self { serving: Box::pin(task.serve(resolver)), waker: RefCell::default() }
    }

    /// The connection was told to end: an event stream looks at it.
    pub(super) fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

impl Future for RequestTask {
    type Output = StreamFate;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<StreamFate> {
        match self.waker.get_mut() {
            Some(known) => known.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        self.serving.as_mut().poll(cx)
    }
}

/// A request whose head has been read.
struct Received {
    parts: http::request::Parts,
    answer: AnswerStream,
    upload: UploadStream,
    /// Content that has arrived with the head.
    first: Option<Bytes>,
    /// The content is over.
    over: bool,
    /// Something follows the head: content, or trailers.
    has_body: bool,
}

struct ServedStream {
    local: Rc<Local>,
    conn: Rc<ClientConn>,
    watch: StreamWatch,
    /// Fires when the client takes nothing of the answer.
    deadline: Option<Weak<Deadline>>,
}

impl ServedStream {
    async fn serve(mut self, resolver: Resolver) -> StreamFate {
        let limit = self.local.limits().header_timeout;
        let received = match timeout(limit, receive(resolver)).await {
            Ok(Ok(received)) => received,
            Ok(Err(error)) => return self.unread(&error),
            Err(_) => {
                self.watch.resets_when_dropped();
                self.refuse_head(Unread::new(Failure::HeaderTimeout, Version::Http3, &self.local));
                return StreamFate::Ended;
            }
        };
        self.watch.resets_when_dropped();
        let Received { parts, mut answer, upload, first, over, has_body } = received;
        let response = match read_head(&self.local, &parts, has_body) {
            Ok(head) => {
                let source = has_body.then(|| {
                    UploadSource::Http3(Box::new(Http3Upload::new(upload, (first, over), head.framing())))
                });
                match self.answer(ClientRequest { head, source, interim: InterimTo::None }).await {
                    Some(response) => response,
                    None => return self.given_up(&mut answer).await,
                }
            }
            Err(error) => {
                let mut unread = Unread::new(Failure::BadMessage(error), Version::Http3, &self.local);
                unread.method = parts.method.to_string();
                unread.host = intake::brief(parts.uri.host().unwrap_or_default());
                unread.path = intake::brief(parts.uri.path());
                self.refuse_head(unread).into_response()
            }
        };
        match self.send(response, &mut answer).await {
            Ok(true) => StreamFate::Answered,
            // The stream is reset when it is dropped: what went out is not all.
            Ok(false) => StreamFate::Ended,
            Err(StreamGone) => StreamFate::Reset,
        }
    }

    /// The answer; `None` = there is none.
    async fn answer(&mut self, request: ClientRequest) -> Option<Response<AnswerBody>> {
        let mut serving = forward::serve(&self.local, &self.conn, request);
        self.deadline = serving.watch();
        let answer = poll_fn(|cx| match Pin::new(&mut serving).poll(cx) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending => self.poll_gone(cx).map(|StreamGone| None),
        });
        answer::for_http2(answer.await?)
    }

    /// A request without an answer: the client is gone, or the stream must be reset.
    async fn given_up(&mut self, answer: &mut AnswerStream) -> StreamFate {
        if poll_fn(|cx| Poll::Ready(self.watch.poll_over(cx))).await.is_ready() {
            return StreamFate::Reset;
        }
        answer.stop_stream(Code::H3_INTERNAL_ERROR);
        StreamFate::Ended
    }

    /// Sends an answer; `false` = its endpoint broke it off. Ends when the client has all of it.
    async fn send(
        &mut self,
        mut response: Response<AnswerBody>,
        stream: &mut AnswerStream,
    ) -> Result<bool, StreamGone> {
        self.local.with_date(|date| answer::complete(response.headers_mut(), date, None));
        let (head, mut body) = response.into_parts();
        let sent = stream.send_response(Response::from_parts(head, ()));
        self.unless_gone(sent).await?;
        if !self.send_content(&mut body, stream).await? {
            return Ok(false);
        }
        stream.finish().await.map_err(|_| StreamGone)?;
        drop(body);
        poll_fn(|cx| self.watch.poll_over(cx)).await;
        Ok(true)
    }

    /// Sends content and trailers; `false` = the endpoint broke its answer off.
    async fn send_content(
        &mut self,
        body: &mut AnswerBody,
        stream: &mut AnswerStream,
    ) -> Result<bool, StreamGone> {
        loop {
            let piece = poll_fn(|cx| match body.poll_piece(cx) {
                Poll::Ready(piece) => Poll::Ready(Ok(piece)),
                Poll::Pending => self.poll_gone(cx).map(Err),
            });
            match piece.await? {
                Ok(Some(piece)) if piece.is_empty() => {}
                Ok(Some(piece)) => {
                    let mut sending = pin!(stream.send_data(piece));
                    let sent = poll_fn(|cx| {
                        let polled = sending.as_mut().poll(cx);
                        body.waits_for_client(polled.is_pending());
                        match polled {
                            Poll::Ready(sent) => Poll::Ready(sent.map_err(|_| StreamGone)),
                            Poll::Pending => self.poll_gone(cx).map(Err),
                        }
                    });
                    sent.await?;
                    self.conn.progress.set(self.conn.clock.get());
                }
                Ok(None) => {
                    let trailers = body.trailers().map(trailer_map).filter(|map| !map.is_empty());
                    body.give_back();
                    if let Some(trailers) = trailers {
                        self.unless_gone(stream.send_trailers(trailers)).await?;
                    }
                    return Ok(true);
                }
                Err(_) => return Ok(false),
            }
        }
    }

    /// Sends what has no deadline of its own.
    async fn unless_gone(
        &mut self,
        sending: impl Future<Output = Result<(), StreamError>>,
    ) -> Result<(), StreamGone> {
        let mut sending = pin!(sending);
        poll_fn(|cx| match sending.as_mut().poll(cx) {
            Poll::Ready(sent) => Poll::Ready(sent.map_err(|_| StreamGone)),
            Poll::Pending => self.poll_gone(cx).map(Err),
        })
        .await
    }

    /// Ready when the client has given the stream up, or takes nothing of its answer for too long.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<StreamGone> {
        if self.watch.poll_over(cx).is_ready() {
            return Poll::Ready(StreamGone);
        }
        let deadline = self.deadline.as_ref().and_then(Weak::upgrade);
        deadline.map_or(Poll::Pending, |deadline| deadline.poll_ignored(cx)).map(|()| StreamGone)
    }

    /// The library could not make a head of what arrived, and has told the client.
    fn unread(&self, error: &StreamError) -> StreamFate {
        let rule = match error {
            StreamError::HeaderTooBig { .. } => ProtocolError::HeadTooLarge,
            StreamError::StreamError { .. } => ProtocolError::BadFrame,
            StreamError::RemoteTerminate { .. } => return StreamFate::Reset,
            _ => return StreamFate::Ended,
        };
        self.refuse_head(Unread::new(Failure::BadMessage(rule), Version::Http3, &self.local));
        StreamFate::Ended
    }

    /// Counts and logs a head that was refused.
    fn refuse_head(&self, unread: Unread) -> OwnAnswer {
        let own = OwnAnswer::unread(unread.failure, unread.id.clone());
        unread.account(&self.local, &self.conn, own.body.len() as u64);
        own
    }
}

/// Reads the head, and looks whether content follows.
async fn receive(resolver: Resolver) -> Result<Received, StreamError> {
    let (request, stream) = resolver.resolve_request().await?;
    let (parts, ()) = request.into_parts();
    let (answer, mut upload) = stream.split();
    let found = if lacks_length(&parts) {
        // The end of the stream may come behind its head, and a request without content must not seem to have some.
        Some(poll_fn(|cx| poll_data(&mut upload, cx)).await?)
    } else {
        match poll_fn(|cx| Poll::Ready(poll_data(&mut upload, cx))).await {
            Poll::Ready(found) => Some(found?),
            Poll::Pending => None,
        }
    };
    let (first, over, has_body) = match found {
        None => (None, false, true),
        Some(Some(piece)) => (Some(piece), false, true),
        // The end; or an empty DATA frame, which the library takes for the end, and what it finds behind it is an error.
        Some(None) => match poll_fn(|cx| Poll::Ready(upload.poll_recv_trailers(cx))).await {
            Poll::Ready(trailers) => (None, true, trailers.map(|_| false)?),
            Poll::Pending => (None, true, true),
        },
    };
    Ok(Received { parts, answer, upload, first, over, has_body })
}

/// Whether a request probably has no content, and does not say so.
fn lacks_length(parts: &http::request::Parts) -> bool {
    matches!(parts.method, Method::GET | Method::HEAD) && !parts.headers.contains_key(header::CONTENT_LENGTH)
}

/// The head in the form that all rooms know, checked by the same rules as one of HTTP/1.1.
fn read_head(
    local: &Local,
    parts: &http::request::Parts,
    has_body: bool,
) -> Result<RequestHead, ProtocolError> {
    let request = RequestParts {
        version: Version::Http3,
        method: parts.method.as_str().as_bytes(),
        protocol: None,
        https: parts.uri.scheme() == Some(&http::uri::Scheme::HTTPS),
        authority: parts.uri.authority().map(|authority| authority.as_str().as_bytes()),
        path: parts.uri.path_and_query().map_or(&b""[..], |path| path.as_str().as_bytes()),
        has_body,
    };
    RequestHead::from_parts(&request, fields_of(&parts.headers)?, head_limits(&local.limits()))
}
