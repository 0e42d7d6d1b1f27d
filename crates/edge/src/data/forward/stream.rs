//! A connection that is not HTTP, through the rooms: one question to steering, attempts to connect until one endpoint
//! takes it, then bytes in both directions. The same steps as for a request, but without a head, and without an attempt
//! after the first byte has gone to an endpoint. The path of such a connection is `/`: only routes without a
//! `path_prefix` match it.

use std::{future::poll_fn, pin::pin, rc::Rc, task::Poll};

use thalweg_core::{Reason, retry};
use thalweg_wire::{RequestHead, Version};

use super::{
    ended::Failed,
    enter_route,
    race::Reached,
    rate_limited,
    request::{ProxiedRequest, Rules},
};
use crate::{
    data::{
        conn::{ClientConn, ClientIo},
        failure::Failure,
        inbox::Inbox,
        interim::InterimTo,
        link::Link,
        local::Local,
        outcome::Outcome,
        settle::RequestRecord,
        tunnel::{self, InFlightSlot, UpstreamEnd},
        upload::{Bounds, Upload},
    },
    shared::decision::AttemptKind,
};

/// The status of a connection that an endpoint took, in log and metrics: a stream has none of its own.
const TAKEN: u16 = 200;

/// A client whose connection is not HTTP.
#[derive(Debug)]
pub struct TcpClient {
    /// The client's end.
    pub io: ClientIo,
    /// What was read of it already.
    pub early: Inbox,
    /// The host that it is for; `None` = the client names none.
    pub host: Option<Box<str>>,
}

/// Serves one connection to its end.
pub async fn serve_stream(local: &Rc<Local>, conn: &Rc<ClientConn>, client: TcpClient) {
    let TcpClient { io, early, host } = client;
    // Such a connection has no next answer that could end it: the drain's deadline does.
    conn.accepted_while_closing.set(false);
    let mut record = open(local, conn, host.as_deref());
    let rules = match enter(local, &mut record, host.is_some()) {
        Ok(rules) => rules,
        Err(failure) => return settle(record, failure),
    };
    let deadline = local.deadlines().keep(conn);
    let bounds = Bounds { buffer: 0, limit: None };
    let upload = Upload::new(None, bounds, Rc::clone(&deadline), local.clock());
    let roll = record.roll;
    let mut proxied = ProxiedRequest {
        local: Rc::clone(local),
        record,
        upgrade: false,
        is_stream: true,
        head: RequestHead::default(),
        target: None,
        interim: InterimTo::None,
        upload,
        deadline,
        rules,
        cookie: None,
        tried: Vec::new(),
        roll,
        tries: 0,
        reconnected: false,
    };
    // Boxed: the stream holds no room for it later.
    let reached = {
        let mut connecting = Box::pin(proxied.connect_stream());
        let mut broken = pin!(io.broken());
        poll_fn(|cx| {
            if conn.poll_killed(cx).is_ready() || broken.as_mut().poll(cx).is_ready() {
                return Poll::Ready(None);
            }
            connecting.as_mut().poll(cx).map(Some)
        })
        .await
    };
    match reached {
        // The record settles itself: the client is gone.
        None => {}
        Some(Err(failure)) => settle(proxied.record, failure),
        Some(Ok(reached)) => relay(proxied, reached, (io, early)).await,
    }
}

/// Counts and logs a connection that goes nowhere.
pub fn refuse_stream(local: &Rc<Local>, conn: &Rc<ClientConn>, host: Option<&str>, failure: Failure) {
    settle(open(local, conn, host), failure);
}

fn open(local: &Rc<Local>, conn: &Rc<ClientConn>, host: Option<&str>) -> Box<RequestRecord> {
    let begun = (local.now(), Version::default());
    let mut record = Box::new(RequestRecord::new(local, conn, begun, local.fresh_id()));
    (record.host, record.path) = (host.unwrap_or_default().into(), "/".into());
    record
}

fn settle(mut record: Box<RequestRecord>, failure: Failure) {
    record.status = failure.status();
    record.told(failure);
    let now = record.now();
    record.finish(now);
}

/// Room 2, and the route.
fn enter(local: &Rc<Local>, record: &mut RequestRecord, is_named: bool) -> Result<Rules, Failure> {
    let now = record.started;
    let rate = local.limits().request_rate;
    if rate.per_second > 0 {
        local.spend(record.source.ip(), rate, now).map_err(rate_limited)?;
    }
    let entered = enter_route(local, record, &RequestHead::default(), now);
    let (rules, _) = entered.ok_or(if is_named { Failure::NoRoute } else { Failure::NoServerName })?;
    Ok(rules)
}

/// Room 5: the bytes of both sides.
async fn relay(proxied: ProxiedRequest, reached: Reached, (mut io, early): (ClientIo, Inbox)) {
    let ProxiedRequest { local, mut record, deadline, rules, .. } = proxied;
    let Reached { attempt, link } = reached;
    // A stream asks for a connection of its own, which is never one of HTTP/2.
    let Link::Http1(mut link) = link else { return settle(record, Failure::Reset) };
    let idle = rules.timeouts.idle;
    // A client may take its time with what an endpoint sends.
    link.set_user_timeout(idle, true);
    let slot = InFlightSlot::new(&attempt.peer);
    attempt.end(Outcome::Ok, local.now());
    drop(attempt);
    record.status = TAKEN;
    let conn = Rc::clone(&record.conn);
    let pipes = Rc::clone(local.pipes());
    let end = UpstreamEnd { link, idle, deadline, record, slot, websocket: false, pipes };
    conn.tunnel(early.unread().len());
    let broken = Box::pin(tunnel::pass_through(&mut io, Some(early), Box::new(end), &*conn)).await;
    if broken == Some("reset") {
        io.reset_on_close();
    }
}

impl ProxiedRequest {
    /// Rooms 3 and 4 until an endpoint takes the connection, or no other attempt may be made.
    async fn connect_stream(&mut self) -> Result<Reached, Failure> {
        let mut failed: Option<Failed> = None;
        loop {
            let kind = if failed.is_none() { AttemptKind::First } else { AttemptKind::Retry };
            let peer = match (self.steer_or_wait(failed.as_ref()).await, failed.take()) {
                (Ok(steered), None) => self.go_to(steered),
                (Ok(steered), Some(before)) => {
                    self.move_on(&before, &steered.peer).await;
                    self.go_to(steered)
                }
                (Err(_), Some(failed)) => return Err(self.given_up(&failed)),
                (Err(failure), None) => return Err(failure),
            };
            self.tries += 1;
            let started = if self.tries == 1 { self.record.started } else { self.local.now() };
            let reason = self.record.steered.as_ref().map_or(Reason::Balanced, |steered| steered.reason);
            match self.connect(self.begin((peer, reason), kind, started)).await {
                Ok(reached) => return Ok(reached),
                Err(now) if self.may_retry(now.cause) => failed = Some(now),
                Err(now) => return Err(self.given_up(&now)),
            }
        }
    }

    /// No other attempt is made: the reason.
    fn given_up(&self, Failed { cause, failure, peer, .. }: &Failed) -> Failure {
        peer.stats().given_up.bump();
        let resident = *cause == retry::Failure::Connect && self.is_resident();
        if resident { Failure::Residency } else { *failure }
    }
}
