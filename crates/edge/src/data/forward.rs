//! The attempt loop around rooms 3 to 5: steer, reach, relay, and again if `retry::verdict` allows.
//! A retry is a new question to `steer`, with more endpoints tried and less time left.

use std::{
    convert::Infallible,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response, StatusCode, header, request::Parts};
use hyper::body::Incoming;
use thalweg_core::{Route, Tick, retry, roll};

use crate::data::{
    answer::{answer, to_nobody},
    conn::ClientConn,
    deadline::Deadline,
    failure::Failure,
    headers::{self, X_REQUEST_ID},
    intake::{self, intake},
    link::Link,
    local::Local,
    outcome::Outcome,
    peer::Peer,
    relay::{AnswerBody, Relaying},
    settle::{Attempt, RequestRecord},
    tunnel::{Handover, InFlightSlot, UpstreamEnd},
    upload::{Bounds, Upload},
};

mod ended;
mod hedge;
mod loser;
mod race;
mod request;

use ended::{Ended, Failed, UpstreamAnswer};
use request::{ProxiedRequest, Rules};

/// The first wait before a retry in the same pool. It doubles with each retry; the actual wait is a random part of it.
const BACKOFF: Duration = Duration::from_millis(5);

/// A request being served: refused, or on its way.
pub enum Serving {
    /// To be answered when polled: while hyper still reads, the request must count as being served.
    Refused(Option<(Box<RequestRecord>, Failure)>),
    /// On its way through rooms 3 to 5.
    Going(Pin<Box<dyn Future<Output = Response<AnswerBody>>>>),
}

impl Future for Serving {
    type Output = Result<Response<AnswerBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Refused(refused) => match refused.take() {
                Some((record, failure)) => Poll::Ready(Ok(answer(record, failure))),
                None => Poll::Pending,
            },
            Self::Going(going) => going.as_mut().poll(cx).map(Ok),
        }
    }
}

/// Serves one request; always answers. The steps that need no waiting run here, outside of any future: the fewer bytes
/// a future holds, the fewer bytes move when it starts.
pub fn serve(
    local: &Rc<Local>,
    conn: &Rc<ClientConn>,
    handover: &Rc<Handover>,
    request: Request<Incoming>,
) -> Serving {
    let now = local.now();
    let (mut head, body) = request.into_parts();
    let mut record = Box::new(RequestRecord::new(local, conn, now, head.version));
    record.request_id = intake::request_id(&head.headers, local);
    record.method = head.method.clone();
    match enter(&mut record, &mut head, body, now) {
        Err(failure) => Serving::Refused(Some((record, failure))),
        Ok(Entered { upload, deadline, rules, upgrade }) => {
            let (local, roll) = (Rc::clone(local), record.roll);
            let proxied = ProxiedRequest {
                local,
                record,
                upgrade: upgrade.then(|| Rc::clone(handover)),
                head: Some(head),
                upload,
                deadline,
                rules,
                tried: Vec::new(),
                roll,
                tries: 0,
                reconnected: false,
            };
            Serving::Going(Box::pin(proxied.run()))
        }
    }
}

/// What a request has once it may be steered.
struct Entered {
    upload: Rc<Upload>,
    deadline: Rc<Deadline>,
    rules: Rules,
    upgrade: bool,
}

/// Room 2, and the route: all reasons to refuse a request before an endpoint is asked.
fn enter(
    record: &mut RequestRecord,
    head: &mut Parts,
    body: Incoming,
    now: Tick,
) -> Result<Entered, Failure> {
    let (local, conn) = (Rc::clone(record.local()), Rc::clone(&record.conn));
    let view = local.view();
    let config = &view.wiring.config;
    let taken = intake(head, &record.request_id, &conn, &config.edge.name, config.limits.header_count)
        .inspect_err(|_| (record.host, record.path) = intake::refused(head))?;
    (record.host, record.path) = (taken.host, taken.path);
    if conn.surplus {
        return Err(Failure::Overloaded);
    }
    let rules = enter_route(&local, record, now).ok_or(Failure::NoRoute)?;
    if rules.body_limit.is_some_and(|limit| taken.declared_length.is_some_and(|length| length > limit)) {
        return Err(Failure::BodyTooLarge);
    }
    let deadline = local.deadlines().keep(&conn);
    let bounds = Bounds { buffer: rules.retry.buffer, limit: rules.body_limit };
    let upload = Upload::new(body, bounds, Rc::clone(&deadline), local.clock());
    record.upload = Some(Rc::clone(&upload));
    Ok(Entered { upload, deadline, rules, upgrade: taken.upgrade })
}

/// Finds the route, copies its rules out, counts the request into its budget, and rolls.
fn enter_route(local: &Local, record: &mut RequestRecord, now: Tick) -> Option<Rules> {
    local.with_live(|live, view| {
        let slot = live.snapshot.layout.matcher.find(&record.host, &record.path)?;
        let route: &Route = live.snapshot.route(slot)?;
        let body_limit = view.wiring.config.routes.get(slot.index()).and_then(|route| route.body_bytes);
        let stats = view.route(slot);
        stats.budget().request(route.retry.hedge, now);
        record.entry = Rc::clone(stats);
        record.roll = roll(stats.turn(), local.random());
        Some(Rules { timeouts: route.timeouts, retry: route.retry, body_limit })
    })
}

impl ProxiedRequest {
    async fn run(mut self) -> Response<AnswerBody> {
        let mut failed: Option<Failed> = None;
        loop {
            let peer = match (self.steer(), failed.take()) {
                (Ok(peer), None) => peer,
                (Ok(peer), Some(mut before)) => {
                    if let Some(held) = before.held.take() {
                        held.discard(self.upload.ended.get().is_some());
                    }
                    self.move_on(&before, &peer).await;
                    peer
                }
                // The endpoint closed a pooled connection while the request was sent. If no other endpoint is left, the
                // same one is asked once more on a new connection (RFC 9112 section 9.3.1).
                (Err(_), Some(before)) if self.may_reconnect(&before) => {
                    self.reconnected = true;
                    before.peer.close_idle();
                    self.record.attempts += 1;
                    Rc::clone(&before.peer)
                }
                // No other endpoint is left: the last endpoint's answer says more than "no endpoint".
                (Err(_), Some(failed)) => {
                    if failed.cause != retry::Failure::Connect {
                        self.record.route().budget().return_retry();
                    }
                    return self.give_up(failed);
                }
                (Err(refusal), None) => return answer(self.record, Failure::from(refusal)),
            };
            self.tries += 1;
            let started = if self.tries == 1 { self.record.started } else { self.local.now() };
            match self.attempt(Attempt::new(peer, started)).await {
                Ended::Answered(answer) => return self.pass_on(*answer),
                Ended::Client(failure) => return answer(self.record, failure),
                Ended::Gone => return to_nobody(self.record),
                Ended::Failed(now) if self.may_retry(now.cause) => failed = Some(now),
                Ended::Failed(now) => return self.give_up(now),
            }
        }
    }

    fn may_reconnect(&self, failed: &Failed) -> bool {
        failed.pooled && !self.reconnected && failed.cause == retry::Failure::Reset
    }

    /// Moves the request to another endpoint. Within the same pool it waits a little first, so that requests that
    /// failed together do not come back together (full jitter: "Exponential Backoff And Jitter", AWS Architecture Blog,
    /// 2015).
    async fn move_on(&self, before: &Failed, to: &Peer) {
        before.peer.stats().retried(self.local.now().since(before.started));
        self.record.route().count_retry(before.cause.as_str(), self.local.meters());
        if before.peer.pool == to.pool && before.cause != retry::Failure::Connect {
            let most = BACKOFF.saturating_mul(1 << self.tries.min(5)).min(self.remaining(self.local.now()));
            let part = (self.local.random() >> 40) as f64 / f64::from(1 << 24);
            tokio::time::sleep(most.mul_f64(part)).await;
        }
    }

    /// Makes no other attempt: the client gets the last endpoint's answer, or the reason for its silence.
    fn give_up(self, Failed { failure, held, peer, .. }: Failed) -> Response<AnswerBody> {
        peer.stats().given_up.bump();
        match held {
            Some(held) => self.pass_on(*held),
            None => answer(self.record, failure),
        }
    }

    fn pass_on(mut self, UpstreamAnswer { attempt, link, response }: UpstreamAnswer) -> Response<AnswerBody> {
        let (mut head, body) = response.into_parts();
        self.upload.answered.set(true);
        self.record.status = head.status.as_u16();
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            return self.tunnel(attempt, link, head);
        }
        headers::clean_answer(&mut head.headers);
        let mut id = self.record.request_id.clone();
        // In HTTP/2, this keeps a value that never repeats out of the compression table.
        id.set_sensitive(true);
        head.headers.insert(X_REQUEST_ID, id);
        head.version = self.record.version;
        self.deadline.silent_for(self.rules.timeouts.idle);
        let (record, deadline, upload) = (self.record, self.deadline, self.upload);
        let relaying = Relaying { body, link: Some(link), attempt, record, deadline, upload };
        Response::from_parts(head, AnswerBody::relayed(relaying))
    }

    /// Hands both connections over to the tunnel after a 101. A 101 without a request for one is a broken answer.
    fn tunnel(
        self,
        attempt: Attempt,
        mut link: Link,
        mut head: http::response::Parts,
    ) -> Response<AnswerBody> {
        let Some(handover) = self.upgrade else {
            attempt.end(Outcome::Reset, self.local.now());
            return answer(self.record, Failure::Reset);
        };
        attempt.end(Outcome::Ok, self.local.now());
        let upgrade = head.headers.remove(header::UPGRADE);
        headers::strip_hop_by_hop(&mut head.headers, true);
        let websocket =
            upgrade.as_ref().is_some_and(|name| name.as_bytes().eq_ignore_ascii_case(b"websocket"));
        if let Some(protocol) = upgrade {
            head.headers.insert(header::UPGRADE, protocol);
        }
        head.headers.insert(X_REQUEST_ID, self.record.request_id.clone());
        let end = UpstreamEnd {
            exit: Rc::clone(&link.exit),
            idle: self.rules.timeouts.idle,
            deadline: self.deadline,
            record: self.record,
            in_use: link.in_use.take(),
            slot: InFlightSlot::new(&attempt.peer),
            websocket,
        };
        handover.put(end);
        Response::from_parts(head, AnswerBody::own(bytes::Bytes::new()))
    }
}
