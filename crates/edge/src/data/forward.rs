//! The attempt loop around rooms 3 to 5: steer, reach, relay, and again if `retry::verdict` allows.
//! A retry is a new question to `steer`, with more endpoints tried and less time left.

use std::{
    borrow::Cow,
    pin::Pin,
    rc::{Rc, Weak},
    task::{Context, Poll},
    time::Duration,
};

use thalweg_core::{Reason, Route, Tick, bound_endpoint, retry, roll};
use thalweg_wire::{AnswerHead, RequestHead, Version};

use crate::{
    data::{
        affinity::{ClientCookie, SET_COOKIE},
        answer::{Answer, refuse},
        conn::ClientConn,
        deadline::Deadline,
        event_stream::{EventStream, is_event_stream},
        failure::Failure,
        forwarding,
        grpc::{GrpcAnswer, is_grpc},
        intake::{self, Intake, intake},
        interim::InterimTo,
        local::Local,
        outcome::Outcome,
        peer::Peer,
        relay::{AnswerBody, Relaying},
        request_id::RequestId,
        settle::{RequestRecord, Steered},
        trace,
        tunnel::{InFlightSlot, UpstreamEnd},
        upload::{Bounds, Upload, UploadSource},
        websocket::names_websocket,
    },
    shared::decision::AttemptKind,
};

mod ended;
mod hedge;
mod loser;
mod race;
mod request;
mod stream;
mod wait;

use ended::{Ended, Failed, UpstreamAnswer};
use request::{ProxiedRequest, Rules};
pub use stream::{TcpClient, refuse_stream, serve_stream};

/// The first wait before a retry in the same pool. It doubles with each retry; the actual wait is a random part of it.
const BACKOFF: Duration = Duration::from_millis(5);

/// A request as its session hands it over.
#[derive(Debug)]
pub struct ClientRequest {
    /// The head.
    pub head: RequestHead,
    /// Where the body comes from; `None` = the request has none.
    pub source: Option<UploadSource>,
    /// Where interim answers go.
    pub interim: InterimTo,
}

/// A request being served: refused, or on its way.
pub enum Serving {
    /// To be answered when polled: until then the request must count as being served.
    Refused(Option<(Box<RequestRecord>, Failure)>),
    /// On its way through rooms 3 to 5, with its deadline.
    Going(Pin<Box<dyn Future<Output = Answer>>>, Weak<Deadline>),
}

impl Serving {
    /// The deadline, for an HTTP/2 stream that watches it.
    #[must_use]
    pub fn watch(&self) -> Option<Weak<Deadline>> {
        let Self::Going(_, deadline) = self else { return None };
        deadline.upgrade()?.watch();
        Some(Weak::clone(deadline))
    }
}

impl Future for Serving {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        match self.get_mut() {
            Self::Refused(refused) => match refused.take() {
                Some((record, failure)) => Poll::Ready(refuse(record, failure)),
                None => Poll::Pending,
            },
            Self::Going(going, _) => going.as_mut().poll(cx),
        }
    }
}

/// Serves one request; always answers. The steps that need no waiting run here, outside of any future: the fewer bytes
/// a future holds, the fewer bytes move when it starts.
pub fn serve(local: &Rc<Local>, conn: &Rc<ClientConn>, request: ClientRequest) -> Serving {
    let now = local.now();
    let ClientRequest { head, source, interim } = request;
    let id = RequestId::given(head.fields()).unwrap_or_else(|| local.fresh_id());
    let mut record = Box::new(RequestRecord::new(local, conn, (now, head.version()), id));
    if let Some(forwarders) = conn.forwarders() {
        record.source = forwarding::source_of(&record.source, &forwarders, head.fields());
    }
    if let Some(trace) = trace::begin(local, head.fields()) {
        record.belongs_to(trace);
    }
    record.method = match head.method().name() {
        _ if head.opens_websocket() => Cow::Borrowed("CONNECT"),
        Some(name) => Cow::Borrowed(name),
        None => Cow::Owned(head.method_name().to_owned()),
    };
    record.grpc = head.version() >= Version::Http2 && is_grpc(head.fields());
    match enter(&mut record, &head, source, now) {
        Err(failure) => {
            local.take_back(head);
            Serving::Refused(Some((record, failure)))
        }
        Ok(Entered { upload, deadline, rules, upgrade, target, cookie }) => {
            let (local, roll) = (Rc::clone(local), record.roll);
            let watched = Rc::downgrade(&deadline);
            let mut proxied = ProxiedRequest {
                local,
                record,
                upgrade,
                is_stream: false,
                head,
                target,
                interim,
                upload,
                deadline,
                rules,
                cookie,
                tried: Vec::new(),
                roll,
                tries: 0,
                reconnected: false,
            };
            // A block that captures the request: an `async fn` that takes it by value holds it twice.
            let going = async move {
                let end = proxied.run().await;
                proxied.conclude(end)
            };
            Serving::Going(Box::pin(going), watched)
        }
    }
}

/// What a request has once it may be steered.
struct Entered {
    upload: Rc<Upload>,
    deadline: Rc<Deadline>,
    rules: Rules,
    upgrade: bool,
    target: Option<Box<str>>,
    cookie: Option<Box<ClientCookie>>,
}

/// Room 2, and the route: all reasons to refuse a request before an endpoint is asked.
fn enter(
    record: &mut RequestRecord,
    head: &RequestHead,
    source: Option<UploadSource>,
    now: Tick,
) -> Result<Entered, Failure> {
    let (local, conn) = (Rc::clone(record.local()), Rc::clone(&record.conn));
    let view = local.view();
    let config = &view.wiring.config;
    let Intake { host, path, target, upgrade } =
        intake(head, &config.edge.name, config.limits.look_alikes)
            .inspect_err(|_| (record.host, record.path) = intake::refused(head))?;
    (record.host, record.path) = (host, path);
    if conn.surplus {
        return Err(Failure::Overloaded);
    }
    let rate = config.limits.request_rate;
    if rate.per_second > 0 {
        local.spend(record.source.ip(), rate, now).map_err(rate_limited)?;
    }
    let (rules, cookie) = enter_route(&local, record, head, now).ok_or(Failure::NoRoute)?;
    if let (Some(limit), thalweg_wire::Framing::Length(length)) = (rules.body_limit, head.framing())
        && length > limit
    {
        return Err(Failure::BodyTooLarge);
    }
    let deadline = local.deadlines().keep(&conn);
    let bounds = Bounds { buffer: rules.retry.buffer, limit: rules.body_limit };
    let upload = Upload::new(source, bounds, Rc::clone(&deadline), local.clock());
    record.upload = Some(Rc::clone(&upload));
    Ok(Entered { upload, deadline, rules, upgrade, target, cookie })
}

/// The refusal of a request that comes too early.
fn rate_limited(wait: Duration) -> Failure {
    Failure::RateLimited(u32::try_from(wait.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX).max(1))
}

/// Finds the route, copies its rules out, counts the request into its budget, rolls, and reads the client's cookie.
fn enter_route(
    local: &Local,
    record: &mut RequestRecord,
    head: &RequestHead,
    now: Tick,
) -> Option<(Rules, Option<Box<ClientCookie>>)> {
    local.with_live(|live, view| {
        let slot = live.snapshot.layout.matcher.find(&record.host, &record.path)?;
        let route: &Route = live.snapshot.route(slot)?;
        let config = &view.wiring.config;
        let body_limit = config.routes.get(slot.index()).and_then(|route| route.body_bytes);
        let stats = view.route(slot);
        stats.budget().request(route.retry.hedge, now);
        record.entry = Rc::clone(stats);
        record.roll = roll(stats.turn(), local.random());
        let cookie = live.wiring.cookies_of(slot).map(|signer| {
            let client = record.source.ip();
            let serving = route.serving(slot, client, local.locate(route, client));
            let is_known = |endpoint| bound_endpoint(&live.snapshot, serving, endpoint).is_some();
            Box::new(ClientCookie::read(signer, head.fields(), is_known))
        });
        let rules = Rules {
            timeouts: route.timeouts,
            retry: route.retry,
            body_limit,
            look_alikes: config.limits.look_alikes,
            answer_fields: u32::try_from(config.limits.answer_fields).unwrap_or(u32::MAX),
        };
        Some((rules, cookie))
    })
}

/// What the attempts at a request come to.
enum Conclusion {
    /// An endpoint's answer.
    Answered(Box<UpstreamAnswer>),
    /// No other attempt is made after this one.
    GivenUp(Failed),
    Refused(Failure),
    /// The client went away: no answer is needed.
    Gone,
}

impl ProxiedRequest {
    /// Makes attempts until one answers, or no other may follow.
    async fn run(&mut self) -> Conclusion {
        let mut failed: Option<Failed> = None;
        loop {
            let mut kind = if self.tries == 0 { AttemptKind::First } else { AttemptKind::Retry };
            let peer = match (self.steer_or_wait(failed.as_ref()).await, failed.take()) {
                (Ok(steered), None) => self.go_to(steered),
                (Ok(steered), Some(mut before)) => {
                    if let Some(held) = before.held.take() {
                        held.discard(self.upload.ended.get().is_some());
                    }
                    self.move_on(&before, &steered.peer).await;
                    self.go_to(steered)
                }
                // The endpoint closed a pooled connection while the request was sent. If no other endpoint is left, the
                // same one is asked once more on a new connection (RFC 9112 section 9.3.1).
                (Err(_), Some(before)) if self.may_reconnect(&before) => {
                    (self.reconnected, kind) = (true, AttemptKind::Again);
                    before.peer.close_idle();
                    self.record.attempts += 1;
                    Rc::clone(&before.peer)
                }
                // No other endpoint is left: the last endpoint's answer says more than "no endpoint".
                (Err(_), Some(failed)) => {
                    if failed.cause != retry::Failure::Connect {
                        self.record.route().budget().return_retry();
                    }
                    return Conclusion::GivenUp(failed);
                }
                (Err(failure), None) => return Conclusion::Refused(failure),
            };
            self.tries += 1;
            let started = if self.tries == 1 { self.record.started } else { self.local.now() };
            let reason = self.record.steered.as_ref().map_or(Reason::Balanced, |steered| steered.reason);
            match self.attempt(self.begin((peer, reason), kind, started)).await {
                Ended::Answered(answer) => return Conclusion::Answered(answer),
                Ended::Client(failure) => return Conclusion::Refused(failure),
                Ended::Gone => return Conclusion::Gone,
                Ended::Failed(now) if self.may_retry(now.cause) => failed = Some(now),
                Ended::Failed(now) => return Conclusion::GivenUp(now),
            }
        }
    }

    fn conclude(self, conclusion: Conclusion) -> Answer {
        match conclusion {
            Conclusion::Answered(answer) => self.pass_on(*answer),
            Conclusion::GivenUp(failed) => self.give_up(failed),
            Conclusion::Refused(failure) => refuse(self.record, failure),
            Conclusion::Gone => Answer::Abandoned,
        }
    }

    fn go_to(&mut self, steered: Steered) -> Rc<Peer> {
        self.book(&steered);
        let peer = Rc::clone(&steered.peer);
        self.record.steered = Some(steered);
        peer
    }

    fn may_reconnect(&self, failed: &Failed) -> bool {
        let on_pooled = matches!(failed.cause, retry::Failure::Reset | retry::Failure::Connect);
        failed.pooled && !self.reconnected && on_pooled
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
    /// Where a request must stay in pools none of which can be reached, that is the reason.
    fn give_up(self, Failed { cause, failure, held, peer, .. }: Failed) -> Answer {
        peer.stats().given_up.bump();
        match held {
            Some(held) => self.pass_on(*held),
            None if cause == retry::Failure::Connect && self.is_resident() => {
                refuse(self.record, Failure::Residency)
            }
            None => refuse(self.record, failure),
        }
    }

    /// Binds the client to the endpoint that answered. An endpoint that fails binds no client.
    fn set_cookie(&self, head: &mut AnswerHead, peer: &Peer) {
        let Some(cookie) = self.cookie.as_ref().filter(|_| !ended::is_server_error(head.status())) else {
            return;
        };
        let secure = self.record.is_https();
        if let Some(field) = cookie.answer(peer.hash, self.local.random(), secure) {
            // The value is of visible ASCII, so it is a value.
            let _ = head.push_field(SET_COOKIE, field.as_bytes());
        }
    }

    fn pass_on(mut self, UpstreamAnswer { attempt, mut exchange }: UpstreamAnswer) -> Answer {
        let mut head = exchange.take_head();
        self.set_cookie(&mut head, &attempt.peer);
        self.upload.answered.set(true);
        // To an HTTP/2 client a WebSocket is open with a 200 (RFC 8441 section 5).
        let opens = head.status() == 101 && self.head.opens_websocket();
        self.record.status = if opens { 200 } else { head.status() };
        self.local.take_back(self.head);
        if head.status() == 101 {
            // Only HTTP/1.1 has this status (RFC 9113 section 8.6).
            let Some(link) = exchange.into_own_link() else { return refuse(self.record, Failure::Reset) };
            attempt.end(Outcome::Ok, self.local.now());
            let websocket = names_websocket(&head);
            let end = UpstreamEnd {
                link,
                idle: self.rules.timeouts.idle,
                deadline: self.deadline,
                record: self.record,
                slot: InFlightSlot::new(&attempt.peer),
                websocket,
                pipes: Rc::clone(self.local.pipes()),
            };
            return Answer::Switched { head, end: Box::new(end) };
        }
        self.deadline.silent_for(self.rules.timeouts.idle);
        let id = self.record.request_id.clone();
        let conn = &self.record.conn;
        let event_stream = is_event_stream(&head).then(|| Box::new(EventStream::new(&attempt.peer, conn)));
        let grpc = if exchange.is_http1() { None } else { GrpcAnswer::of(&head) };
        let relaying = Relaying {
            event_stream,
            exchange: Some(exchange),
            framing: head.framing(),
            attempt,
            record: self.record,
            deadline: self.deadline,
            upload: self.upload,
            grpc,
        };
        Answer::Relayed { head, id, body: AnswerBody::relayed(relaying) }
    }
}
