//! One request on its way through the rooms: what it may use, and the steps that every attempt shares: room 3, the
//! verdict on a retry, and the head for the endpoint.

use std::{rc::Rc, time::Duration};

use http::{HeaderValue, Request, header, request::Parts};
use hyper::body::Body as _;
use thalweg_core::{
    Decision, Facts, Reason, Refusal, Tick, Tried, mix,
    retry::{self, RetryVerdict, Situation},
    steer_on,
};

use crate::data::{
    deadline::Deadline,
    headers::X_FORWARDED_HOST,
    local::Local,
    peer::Peer,
    settle::{RequestRecord, Steered},
    tunnel::Handover,
    upload::{Upload, UploadBody},
};

/// The limits of this request, copied out of the snapshot that was current when it came.
#[derive(Clone, Copy)]
pub(super) struct Rules {
    pub(super) timeouts: thalweg_core::Timeouts,
    pub(super) retry: thalweg_core::RetryRules,
    pub(super) body_limit: Option<u64>,
}

/// One request on its way through the rooms.
pub(super) struct ProxiedRequest {
    pub(super) local: Rc<Local>,
    pub(super) record: Box<RequestRecord>,
    /// Where to leave the upgraded stream, if the client asks for an upgrade.
    pub(super) upgrade: Option<Rc<Handover>>,
    /// The head for the endpoint; `None` once it was sent for good.
    pub(super) head: Option<Parts>,
    pub(super) upload: Rc<Upload>,
    pub(super) deadline: Rc<Deadline>,
    pub(super) rules: Rules,
    pub(super) tried: Vec<Tried>,
    /// The roll of the next attempt; each roll is derived from the previous one.
    pub(super) roll: u64,
    /// Attempts so far, without rivals.
    pub(super) tries: u32,
    /// An endpoint was asked a second time because a pooled connection had ended.
    pub(super) reconnected: bool,
}

impl ProxiedRequest {
    /// Room 3. The snapshot's guard is dropped before any await.
    pub(super) fn steer(&mut self) -> Result<Rc<Peer>, Refusal> {
        let replayable = is_idempotent(&self.record.method) && self.upload.replayable();
        let (local, record, tried) = (&self.local, &mut self.record, &mut self.tried);
        let roll = self.roll;
        local.with_live(|live, view| {
            let snapshot = &live.snapshot;
            let slot = snapshot.layout.matcher.find(&record.host, &record.path).ok_or(Refusal::NoRoute)?;
            let client = record.conn.client_addr.ip();
            let facts = Facts { host: &record.host, path: &record.path, client, tried, replayable };
            (record.generation, record.revision) = (snapshot.generation, snapshot.revision);
            let Decision { pool, endpoint, reason, .. } = steer_on(snapshot, view, slot, &facts, roll)?;
            let Some(peer) = view.peer(endpoint) else { return Err(Refusal::NoEndpoint) };
            let route = Rc::clone(view.route(slot));
            route.count_decision((pool, &peer.pool), reason, local.meters());
            record.steered = Some(Steered { route, pool, reason, peer: Rc::clone(peer) });
            record.attempts += 1;
            view.take_room(pool);
            if reason == Reason::Probation {
                peer.trickle();
            }
            tried.push(Tried { endpoint: peer.id, pool, leave: false });
            Ok(Rc::clone(peer))
        })
    }

    pub(super) fn may_retry(&mut self, failure: retry::Failure) -> bool {
        let now = self.local.now();
        let situation = Situation {
            failure,
            attempts: self.tries,
            idempotent: is_idempotent(&self.record.method),
            replayable: self.upload.replayable(),
            answered: false,
            remaining: self.remaining(now),
        };
        let verdict = self
            .record
            .route()
            .budget()
            .retries(now, |budget| retry::verdict(&self.rules.retry, &situation, budget, now));
        if verdict == RetryVerdict::OverBudget {
            self.record.route().count_over_budget(self.local.meters());
        }
        self.roll = mix(self.roll) & ((1 << 53) - 1);
        verdict == RetryVerdict::Retry
    }

    /// The rest of `total`, which starts at the end of the request.
    pub(super) fn remaining(&self, now: Tick) -> Duration {
        let from = self.upload.ended.get().unwrap_or(now);
        self.rules.timeouts.total.saturating_sub(now.since(from))
    }

    /// The head for one attempt, cloned only if another attempt may need it after bytes were sent. `None` if it was
    /// sent for good.
    pub(super) fn request(&mut self, peer: &Peer) -> Option<Request<UploadBody>> {
        let rules = &self.rules.retry;
        let again = (rules.attempts > 0 || rules.hedge)
            && is_idempotent(&self.record.method)
            && self.upload.replayable();
        let mut head = match &mut self.head {
            Some(head) if again => head.clone(),
            head => head.take()?,
        };
        let settings = peer.settings.borrow();
        let named = head.headers.get(header::HOST).is_some_and(|host| !host.is_empty());
        if let Some(host) = settings.host.as_ref().or((!named).then_some(&settings.own_host)) {
            head.headers.insert(header::HOST, host.clone());
        }
        let body = self.upload.attempt();
        // Without this field, hyper takes a GET or HEAD with a body of unknown length for one without a body.
        if body.size_hint().exact().is_none() {
            head.headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        Some(Request::from_parts(head, body))
    }

    /// Takes an unsent request back and restores the client's Host, because the next pool may not set its own.
    pub(super) fn take_back(&mut self, unsent: Request<UploadBody>) {
        let mut head = unsent.into_parts().0;
        let host = head.headers.get(X_FORWARDED_HOST).cloned();
        head.headers.insert(header::HOST, host.unwrap_or_else(|| HeaderValue::from_static("")));
        self.head = Some(head);
    }
}

/// Methods that may be sent twice (RFC 9110 section 9.2.2). TRACE is refused earlier.
pub(super) fn is_idempotent(method: &http::Method) -> bool {
    use http::Method;
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE)
}
