//! One HTTP/2 stream: its request on its way to an answer, then the answer on its way out. A plain future that its
//! connection polls: no task of its own.

use std::{
    pin::Pin,
    rc::{Rc, Weak},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream, server::SendResponse};
use http::Response;
use thalweg_wire::AnswerHead;

use super::{end::Http2End, websocket::WebSocketOut};
use crate::data::{
    answer::{self, Answer, OwnAnswer},
    conn::ClientConn,
    deadline::Deadline,
    forward::Serving,
    headers::trailer_map,
    interim::InterimQueue,
    local::Local,
    relay::AnswerBody,
    tunnel::UpstreamEnd,
};

/// One stream. Ready when nothing more is to be sent on it; a stream that is dropped before is reset.
pub(super) struct ClientStream {
    pub(super) local: Rc<Local>,
    pub(super) conn: Rc<ClientConn>,
    pub(super) end: Http2End,
    pub(super) interim: Rc<InterimQueue>,
    pub(super) respond: SendResponse<Bytes>,
    pub(super) state: StreamState,
    /// Fires when the client takes nothing of the answer.
    pub(super) deadline: Option<Weak<Deadline>>,
}

/// How far a stream is.
pub(super) enum StreamState {
    /// The head was refused.
    Refused(Option<Box<OwnAnswer>>),
    /// The request is being served; if it opens a WebSocket, with what the client sends on it.
    Serving(Serving, Option<RecvStream>),
    /// The head of the answer went out.
    Answering(AnswerOut),
    /// A WebSocket is open.
    WebSocket(WebSocketOut),
}

/// An answer whose head went out.
pub(super) struct AnswerOut {
    stream: SendStream<Bytes>,
    body: AnswerBody,
    /// A piece went out: the next one waits for the client's window.
    began: bool,
}

/// The client has reset the stream, or the connection has ended.
struct Gone;

impl Future for ClientStream {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if this.poll_stream(cx).is_ready() {
            return Poll::Ready(());
        }
        // Without room in the client's window, the body is not polled, and does not see its deadline.
        let deadline = this.deadline.as_ref().and_then(Weak::upgrade);
        deadline.map_or(Poll::Pending, |deadline| deadline.poll_ignored(cx))
    }
}

impl ClientStream {
    /// The connection was told to end.
    pub(super) fn told(&self) {
        match &self.state {
            StreamState::Answering(sending) => sending.body.wake(),
            StreamState::WebSocket(websocket) => websocket.wake(),
            StreamState::Refused(_) | StreamState::Serving(..) => {}
        }
    }

    fn poll_stream(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let answer = match &mut self.state {
            StreamState::Answering(sending) => return sending.poll(&self.end, cx),
            StreamState::Refused(own) => own.take().map(|own| own.into_response()),
            StreamState::WebSocket(websocket) => return websocket.poll(cx),
            StreamState::Serving(serving, websocket) => {
                let polled = Pin::new(serving).poll(cx);
                for interim in self.interim.take(self.respond.stream_id()) {
                    // A client that has gone is seen below.
                    let _ = self.respond.send_informational(interim);
                }
                match (polled, websocket.take()) {
                    (Poll::Ready(Answer::Switched { head, end }), Some(recv)) => {
                        return self.open(&head, end, recv, cx);
                    }
                    (Poll::Ready(answer), _) => answer::for_http2(answer),
                    (Poll::Pending, recv) => {
                        *websocket = recv;
                        return self.respond.poll_reset(cx).map(drop);
                    }
                }
            }
        };
        let Some(mut answer) = answer else {
            self.respond.send_reset(Reason::INTERNAL_ERROR);
            return Poll::Ready(());
        };
        let alternative = self.conn.alternative();
        self.local.with_date(|date| answer::complete(answer.headers_mut(), date, alternative));
        match self.send_head(answer) {
            Ok(Some(sending)) => {
                self.state = StreamState::Answering(sending);
                self.poll_stream(cx)
            }
            Ok(None) | Err(Gone) => Poll::Ready(()),
        }
    }

    /// Tells the client that its WebSocket is open, and begins to relay it.
    fn open(
        &mut self,
        head: &AnswerHead,
        end: Box<UpstreamEnd>,
        recv: RecvStream,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let mut answer = answer::opened_for_http2(head, &end.record.request_id);
        let alternative = self.conn.alternative();
        self.local.with_date(|date| answer::complete(answer.headers_mut(), date, alternative));
        let Ok(send) = self.respond.send_response(answer, false) else { return Poll::Ready(()) };
        self.state = StreamState::WebSocket(WebSocketOut::new((recv, send), &self.end, &self.conn, end));
        self.poll_stream(cx)
    }

    /// Sends the head; `None` = the answer has no body.
    fn send_head(&mut self, answer: Response<AnswerBody>) -> Result<Option<AnswerOut>, Gone> {
        let (head, body) = answer.into_parts();
        let ends = body.is_complete();
        let stream = self.respond.send_response(Response::from_parts(head, ()), ends).map_err(|_| Gone)?;
        if ends {
            self.end.answered();
        }
        Ok((!ends).then_some(AnswerOut { stream, body, began: false }))
    }
}

impl AnswerOut {
    fn poll(&mut self, end: &Http2End, cx: &mut Context<'_>) -> Poll<()> {
        match ready!(self.poll_all(end, cx)) {
            Ok(true) => end.answered(),
            // The client must see that this is not all.
            Ok(false) => self.stream.send_reset(Reason::INTERNAL_ERROR),
            Err(Gone) => {}
        }
        Poll::Ready(())
    }

    /// Sends what is there; `false` = the endpoint broke its answer off.
    fn poll_all(&mut self, end: &Http2End, cx: &mut Context<'_>) -> Poll<Result<bool, Gone>> {
        loop {
            if self.began {
                ready!(self.poll_room(cx))?;
            }
            match self.body.poll_piece(cx) {
                Poll::Ready(Ok(Some(piece))) => {
                    let ends = self.body.is_complete();
                    end.sent(piece.len());
                    self.stream.send_data(piece, ends).map_err(|_| Gone)?;
                    self.began = true;
                    if ends {
                        return Poll::Ready(Ok(true));
                    }
                }
                Poll::Ready(Ok(None)) => {
                    let trailers = self.body.trailers().map(trailer_map).filter(|map| !map.is_empty());
                    let sent = match trailers {
                        Some(map) => self.stream.send_trailers(map),
                        None => self.stream.send_data(Bytes::new(), true),
                    };
                    self.body.give_back();
                    return Poll::Ready(sent.map(|()| true).map_err(|_| Gone));
                }
                Poll::Ready(Err(_)) => return Poll::Ready(Ok(false)),
                Poll::Pending => return self.stream.poll_reset(cx).map(|_| Err(Gone)),
            }
        }
    }

    /// Waits until the client takes another byte. The first piece goes out without: it is at most one read buffer, and
    /// nearly always fits.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        self.stream.reserve_capacity(1);
        while self.stream.capacity() == 0 {
            let polled = self.stream.poll_capacity(cx);
            self.body.waits_for_client(polled.is_pending());
            match ready!(polled) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Poll::Ready(Err(Gone)),
            }
        }
        Poll::Ready(Ok(()))
    }
}
