//! HTTP/1.1 towards a client: one future that reads a head, serves it through the rooms, writes the answer, and goes on
//! with the next. Pipelined requests are answered in order.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    rc::Rc,
    task::Poll,
    time::Duration,
};

use thalweg_wire::{BodyWriter, Framing, RequestHead, Unwritable, Version};
use tokio::{io::AsyncWriteExt, time::timeout};

use super::{
    Unread,
    delivery::{Delivered, Delivery},
    first_byte, head_limits,
};
use crate::data::{
    answer::{Answer, Options, OwnAnswer, write_relayed, write_switched},
    client::{Client, NextHead},
    conn::{ClientConn, ClientIo, ConnPhase, ConnSignal},
    failure::Failure,
    forward::{self, ClientRequest, Serving},
    intake,
    interim::InterimTo,
    local::Local,
    relay::AnswerBody,
    request_id::RequestId,
    tunnel::{self, UpstreamEnd},
    upload::UploadSource,
};

/// The longest that a client may go on sending after an answer that did not wait for its upload, and the longest pause
/// in it. Closing at once would reset the connection, and the reset could destroy the answer before the client reads
/// it (RFC 9112 section 9.6).
const LINGER: Duration = Duration::from_secs(30);
const LINGER_PAUSE: Duration = Duration::from_secs(5);

/// The rest of an upload that is read so that its connection can be used again: so much, for so long.
const DISCARD: Duration = Duration::from_secs(1);

/// Serves HTTP/1.1 until the connection closes.
pub async fn http1(local: Rc<Local>, conn: Rc<ClientConn>, mut io: ClientIo) {
    loop {
        // No state of HTTP exists before the first byte: a silent connection costs a socket and a task.
        if first_byte(&conn, &io).await.is_none() {
            let _ = io.shutdown().await;
            return;
        }
        let client = Client::new(io, &conn, local.buffers(), head_limits(&local.limits()));
        let talk = Talk { local: &local, conn: &conn, client, leaves: false };
        // Boxed, so that the task of a silent connection holds no room for it.
        match Box::pin(talk.run()).await {
            Some(parked) => io = parked,
            None => return,
        }
    }
}

/// Refuses a connection before its first request, with an answer if one can be sent.
pub async fn refuse(local: &Rc<Local>, conn: &Rc<ClientConn>, io: Option<ClientIo>, failure: Failure) {
    let unread = Unread::new(failure, Version::Http11, local);
    let Some(io) = io else { return unread.account(local, conn, 0) };
    let client = Client::new(io, conn, local.buffers(), head_limits(&local.limits()));
    let mut talk = Talk { local, conn, client, leaves: true };
    let _ = talk.refuse(unread).await;
    talk.close().await;
}

/// What follows an answer.
enum Then {
    /// The next request.
    Next,
    /// The connection closes; the client may still be sending.
    Close,
    /// The connection closes with a reset: the answer was cut, and only that tells the client.
    Reset,
    /// The connection has ended, or must end at once.
    Drop,
    /// Bytes pass in both directions.
    Tunnel(Box<UpstreamEnd>),
}

/// What comes next on an idle connection.
enum NextRequest {
    Head(RequestHead),
    Refused(Box<Unread>),
    Park,
    Close,
    Drop,
}

/// A request that is being served.
struct StartedRequest {
    serving: Serving,
    version: Version,
    /// The client may send another request on the connection.
    persistent: bool,
}

/// One stretch of HTTP on a connection, from a first byte until it closes or parks.
struct Talk<'a> {
    local: &'a Rc<Local>,
    conn: &'a Rc<ClientConn>,
    client: Rc<Client>,
    /// The connection closes behind the current request.
    leaves: bool,
}

impl Talk<'_> {
    /// Returns the socket if the connection parks.
    async fn run(mut self) -> Option<ClientIo> {
        loop {
            let then = match self.next().await {
                NextRequest::Head(head) => {
                    let asked = self.start(head);
                    self.serve(asked).await
                }
                NextRequest::Refused(unread) => Box::pin(self.refuse(*unread)).await,
                NextRequest::Park => match self.client.into_parts() {
                    Ok((io, _)) => return Some(io),
                    // A loser of a race still holds the upload.
                    Err(client) => {
                        self.client = client;
                        continue;
                    }
                },
                NextRequest::Close => Then::Close,
                NextRequest::Drop => Then::Drop,
            };
            match then {
                Then::Next => {}
                Then::Drop => return None,
                Then::Reset => {
                    self.client.borrow().reset_on_close();
                    return None;
                }
                Then::Close => {
                    self.close().await;
                    return None;
                }
                Then::Tunnel(end) => {
                    if let Ok((mut io, early)) = self.client.into_parts() {
                        self.conn.tunnel(early.unread().len());
                        let conn: &ClientConn = self.conn;
                        Box::pin(tunnel::pass_through(&mut io, Some(early), end, conn)).await;
                    }
                    return None;
                }
            }
        }
    }

    /// Reads the next head.
    async fn next(&mut self) -> NextRequest {
        let mut head = self.local.lend_head();
        let next = poll_fn(|cx| {
            match self.conn.take_signal(cx) {
                ConnSignal::Kill => return Poll::Ready(Err(NextRequest::Drop)),
                ConnSignal::HeaderTimeout => {
                    let unread = Unread::new(Failure::HeaderTimeout, Version::Http11, self.local);
                    return Poll::Ready(Err(NextRequest::Refused(Box::new(unread))));
                }
                ConnSignal::Park if self.client.borrow().is_idle() => {
                    return Poll::Ready(Err(NextRequest::Park));
                }
                ConnSignal::Graceful => self.leaves = true,
                ConnSignal::Park | ConnSignal::None => {}
            }
            match self.client.poll_head(&mut head, cx) {
                Poll::Ready(NextHead::Head) => Poll::Ready(Ok(())),
                Poll::Ready(NextHead::Refused(error)) => {
                    let unread = self.understood(Failure::BadMessage(error), &head);
                    Poll::Ready(Err(NextRequest::Refused(Box::new(unread))))
                }
                Poll::Ready(NextHead::End) => Poll::Ready(Err(NextRequest::Close)),
                // A request that is already in the socket was read first.
                Poll::Pending if self.leaves && self.conn.phase.get() == ConnPhase::Idle => {
                    Poll::Ready(Err(NextRequest::Close))
                }
                Poll::Pending => Poll::Pending,
            }
        })
        .await;
        match next {
            Ok(()) => NextRequest::Head(head),
            Err(next) => next,
        }
    }

    /// What is known of a head that was refused.
    fn understood(&self, failure: Failure, head: &RequestHead) -> Unread {
        let mut unread = Unread::new(failure, head.version(), self.local);
        if !head.method_name().is_empty() {
            head.method_name().clone_into(&mut unread.method);
            (unread.host, unread.path) = intake::refused(head);
        }
        if let Some(id) = RequestId::given(head.fields()) {
            unread.id = id;
        }
        unread
    }

    /// Starts to serve a request. Not async: the future that waits for the answer holds no room for the head.
    fn start(&self, head: RequestHead) -> StartedRequest {
        let (version, persistent) = (head.version(), head.keep_alive());
        let has_body = !matches!(head.framing(), Framing::None | Framing::Length(0));
        let source = has_body.then(|| UploadSource::Http1(Rc::clone(&self.client)));
        let request = ClientRequest { head, source, interim: InterimTo::Http1(Rc::clone(&self.client)) };
        StartedRequest { serving: forward::serve(self.local, self.conn, request), version, persistent }
    }

    /// Waits for the answer to a request, and writes it.
    async fn serve(&mut self, StartedRequest { serving, version, persistent }: StartedRequest) -> Then {
        let begun = self.wait_for(serving).await.map_or(Err(Then::Drop), |answer| {
            self.leaves |= !persistent;
            self.begin(answer, version)
        });
        let (writer, body) = match begun {
            Ok(begun) => begun,
            Err(Then::Tunnel(end)) => return self.switch(end).await,
            Err(then) => return then,
        };
        let is_delimited = !writer.ends_with_close();
        let mut delivery = Delivery::new(&self.client, writer, body, self.local.pipes());
        match delivery.run(self.conn, &mut self.leaves).await {
            Delivered::Whole => self.after_answer(delivery.body).await,
            Delivered::Cut if is_delimited => Then::Close,
            Delivered::Cut => Then::Reset,
            Delivered::Gone => Then::Drop,
        }
    }

    /// Writes the head of an answer. Returns its body, or what follows instead of one.
    fn begin(&mut self, answer: Answer, version: Version) -> Result<(BodyWriter, AnswerBody), Then> {
        let (writer, body) = match answer {
            Answer::Abandoned => return Err(Then::Drop),
            Answer::Switched { head, end } => {
                let id = &end.record.request_id;
                let written = write_switched(&mut self.client.borrow().outbox.bytes, &head, id);
                return Err(if written.is_ok() { Then::Tunnel(end) } else { Then::Drop });
            }
            Answer::Own(own) => {
                self.leaves |= own.closes;
                (self.write_own(&own, version), AnswerBody::own(own.body))
            }
            Answer::Relayed { head, id, body } => {
                let framing = body.framing().towards(version);
                self.leaves |= framing == Framing::UntilClose;
                let writer =
                    self.write(version, |out, options| write_relayed(out, (&head, framing), &id, options));
                self.local.take_back_answer(head);
                (writer, body)
            }
        };
        writer.map(|writer| (writer, body)).map_err(|_: Unwritable| Then::Drop)
    }

    /// Waits for the answer; `None` = the client has gone, or the connection must end.
    async fn wait_for(&mut self, mut serving: Serving) -> Option<Answer> {
        poll_fn(|cx| {
            match self.conn.take_signal(cx) {
                ConnSignal::Kill => return Poll::Ready(None),
                ConnSignal::Graceful => self.leaves = true,
                ConnSignal::None | ConnSignal::Park | ConnSignal::HeaderTimeout => {}
            }
            if let Poll::Ready(answer) = Pin::new(&mut serving).poll(cx) {
                return Poll::Ready(Some(answer));
            }
            self.client.poll_gone(cx).map(|()| None)
        })
        .await
    }

    fn write_own(&self, own: &OwnAnswer, version: Version) -> Result<BodyWriter, Unwritable> {
        self.write(version, |out, options| own.write_head(out, options))
    }

    fn write(
        &self,
        version: Version,
        write: impl FnOnce(&mut Vec<u8>, &Options<'_>) -> Result<BodyWriter, Unwritable>,
    ) -> Result<BodyWriter, Unwritable> {
        self.local.with_date(|date| {
            let alternative = self.conn.alternative();
            let options = Options { version, close: self.leaves, date, alternative };
            write(&mut self.client.borrow().outbox.bytes, &options)
        })
    }

    /// The head of a 101 is in the outbox.
    async fn switch(&self, end: Box<UpstreamEnd>) -> Then {
        let flushed = poll_fn(|cx| self.client.borrow().poll_flush(cx)).await;
        if flushed.is_ok() { Then::Tunnel(end) } else { Then::Drop }
    }

    /// The answer is out. The endpoint may still wait for the rest of the upload; what it does not read is discarded if it
    /// comes at once.
    async fn after_answer(&mut self, mut body: AnswerBody) -> Then {
        let killed = poll_fn(|cx| match self.conn.take_signal(cx) {
            ConnSignal::Kill => Poll::Ready(true),
            ConnSignal::Graceful => {
                self.leaves = true;
                body.poll_upload(cx).map(|()| false)
            }
            _ => body.poll_upload(cx).map(|()| false),
        })
        .await;
        drop(body);
        if killed {
            return Then::Drop;
        }
        if !self.leaves && !self.client.borrow().is_between_requests() {
            let rest = poll_fn(|cx| self.client.poll_rest(cx));
            self.leaves = !matches!(timeout(DISCARD, rest).await, Ok(true));
        }
        if self.leaves { Then::Close } else { Then::Next }
    }

    /// Answers a head that could not be read, and closes.
    async fn refuse(&mut self, unread: Unread) -> Then {
        self.leaves = true;
        let own = OwnAnswer::unread(unread.failure, unread.id.clone());
        unread.account(self.local, self.conn, own.body.len() as u64);
        if let Ok(writer) = self.write_own(&own, Version::Http11) {
            let body = AnswerBody::own(own.body);
            let mut delivery = Delivery::new(&self.client, writer, body, self.local.pipes());
            let _ = delivery.run(self.conn, &mut self.leaves).await;
        }
        Then::Close
    }

    /// Closes the edge's side, then waits for a client that is still sending.
    async fn close(&self) {
        let discard = || poll_fn(|cx| self.client.borrow().poll_discard(cx));
        let closing = async {
            let is_sending = !self.client.borrow().is_idle()
                || poll_fn(|cx| Poll::Ready(self.client.borrow().poll_discard(cx) == Poll::Ready(true)))
                    .await;
            // After a cut answer, TLS may hold bytes that the client never takes.
            let shut = timeout(DISCARD, poll_fn(|cx| self.client.borrow().poll_shutdown(cx))).await;
            if is_sending && matches!(shut, Ok(Ok(()))) {
                while timeout(LINGER_PAUSE, discard()).await == Ok(true) {}
            }
        };
        let told = poll_fn(|cx| match self.conn.take_signal(cx) {
            signal @ (ConnSignal::Kill | ConnSignal::Graceful) => Poll::Ready(signal),
            _ => Poll::Pending,
        });
        let mut closing = pin!(timeout(LINGER, closing));
        let signal = tokio::select! {
            _ = &mut closing => return,
            signal = told => signal,
        };
        // A drain does not wait for long.
        if signal == ConnSignal::Graceful {
            let _ = timeout(DISCARD, closing).await;
        }
    }
}
