//! One request on its way through the rooms: what it may use, and the steps that every attempt shares: room 3, the
//! verdict on a retry, and the head for the endpoint.

use std::{rc::Rc, time::Duration};

use thalweg_config::{LookAlikes, PoolProtocol};
use thalweg_core::{
    Binding, Decision, Facts, Location, Reason, Refusal, Tick, Tried, mix,
    retry::{self, RetryVerdict, Situation},
    steer_on,
};
use thalweg_wire::{AnswerTo, Limits, RequestHead};

use crate::{
    data::{
        affinity::ClientCookie,
        attempt::Attempt,
        deadline::Deadline,
        exchange::{Ask, HeadOut},
        failure::Failure,
        headers::{Told, http2_request, write_request},
        interim::InterimTo,
        link::opening::ANSWER_HEAD,
        local::Local,
        notes::AttemptNote,
        outbox::Outbox,
        peer::Peer,
        settle::{RequestRecord, Steered},
        trace,
        upload::Upload,
        websocket,
    },
    shared::decision::AttemptKind,
};

/// Room for what this edge adds to a request's head.
const OWN_FIELDS: usize = 320;

/// The limits of this request, copied out of the snapshot that was current when it came.
#[derive(Clone, Copy)]
pub(super) struct Rules {
    pub(super) timeouts: thalweg_core::Timeouts,
    pub(super) retry: thalweg_core::RetryRules,
    pub(super) body_limit: Option<u64>,
    pub(super) look_alikes: LookAlikes,
    pub(super) answer_fields: u32,
}

/// One request on its way through the rooms.
pub(super) struct ProxiedRequest {
    pub(super) local: Rc<Local>,
    pub(super) record: Box<RequestRecord>,
    /// The client asks for an upgrade that this edge forwards.
    pub(super) upgrade: bool,
    /// A connection that is not HTTP: it needs one of its own at the endpoint.
    pub(super) is_stream: bool,
    pub(super) head: RequestHead,
    /// The target for endpoints, if it is not the client's.
    pub(super) target: Option<Box<str>>,
    /// Where interim answers go.
    pub(super) interim: InterimTo,
    pub(super) upload: Rc<Upload>,
    pub(super) deadline: Rc<Deadline>,
    pub(super) rules: Rules,
    /// The client's cookie, on a route with cookie affinity.
    pub(super) cookie: Option<Box<ClientCookie>>,
    pub(super) tried: Vec<Tried>,
    /// The roll of the next attempt; each roll is derived from the previous one.
    pub(super) roll: u64,
    /// Attempts so far, without rivals.
    pub(super) tries: u32,
    /// An endpoint was asked a second time because a pooled connection had ended.
    pub(super) reconnected: bool,
}

impl ProxiedRequest {
    /// Room 3. Changes nothing but the record's note of the snapshot: what is decided is booked when it is used. The
    /// snapshot's guard is dropped before any await.
    pub(super) fn steer(&mut self) -> Result<Steered, Refusal> {
        let (replayable, bound) = (self.may_be_sent_again(), self.bound());
        let (local, record, tried, roll) = (&self.local, &mut self.record, &self.tried, self.roll);
        local.with_live(|live, view| {
            let snapshot = &live.snapshot;
            let slot = snapshot.layout.matcher.find(&record.host, &record.path).ok_or(Refusal::NoRoute)?;
            let client = record.source.ip();
            let route = snapshot.route(slot).ok_or(Refusal::NoRoute)?;
            let location = local.locate(route, client);
            let (host, path) = (&*record.host, &*record.path);
            let facts = Facts { host, path, client, location, tried, replayable, bound };
            (record.generation, record.revision) = (snapshot.generation, snapshot.revision);
            let Decision { pool, endpoint, reason, .. } = steer_on(snapshot, view, slot, &facts, roll)?;
            let Some(peer) = view.peer(endpoint) else { return Err(Refusal::NoEndpoint) };
            Ok(Steered { route: Rc::clone(view.route(slot)), pool, reason, peer: Rc::clone(peer) })
        })
    }

    /// Must the request stay in certain pools?
    pub(super) fn is_resident(&self) -> bool {
        let (local, record) = (&self.local, &self.record);
        local.with_live(|live, _| {
            let snapshot = &live.snapshot;
            let Some(slot) = snapshot.layout.matcher.find(&record.host, &record.path) else { return false };
            let Some(route) = snapshot.route(slot) else { return false };
            let client = record.source.ip();
            let serving = route.serving(slot, client, local.locate(route, client));
            snapshot.route(serving).is_some_and(|route| route.residency)
        })
    }

    /// What steering may know about the request.
    pub(super) fn facts(&self, location: Location) -> Facts<'_> {
        Facts {
            host: &self.record.host,
            path: &self.record.path,
            client: self.record.source.ip(),
            location,
            tried: &self.tried,
            replayable: self.may_be_sent_again(),
            bound: self.bound(),
        }
    }

    fn bound(&self) -> Option<Binding> {
        self.cookie.as_ref().and_then(|cookie| cookie.bound())
    }

    /// A decision is used: counts it, and keeps its endpoint from being chosen again.
    pub(super) fn book(&mut self, steered: &Steered) {
        let Steered { route, pool, reason, peer } = steered;
        route.count_decision((*pool, &peer.pool), *reason, self.local.meters());
        self.record.attempts += 1;
        self.local.view().take_room(*pool);
        if *reason == Reason::Probation {
            peer.trickle();
        }
        self.tried.push(Tried { endpoint: peer.id, pool: *pool, leave: false });
    }

    /// Begins an attempt at an endpoint that was chosen for a reason.
    pub(super) fn begin(&self, (peer, reason): (Rc<Peer>, Reason), kind: AttemptKind, now: Tick) -> Attempt {
        let note = self.record.notes.as_ref().and_then(|notes| {
            notes.begin(AttemptNote {
                peer: Rc::clone(&peer),
                reason,
                kind,
                roll: self.roll,
                revision: self.record.revision,
                started: now,
                first_byte: None,
                ended: None,
                late: false,
            })
        });
        Attempt::new(peer, now, note)
    }

    pub(super) fn may_retry(&mut self, failure: retry::Failure) -> bool {
        let now = self.local.now();
        let situation = Situation {
            failure,
            attempts: self.tries,
            idempotent: self.head.method().is_idempotent(),
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

    pub(super) fn may_be_sent_again(&self) -> bool {
        self.head.method().is_idempotent() && self.upload.replayable()
    }

    /// The head for the attempt with this place, ready to be sent.
    ///
    /// # Errors
    /// The operator's Host for the pool cannot be written, or HTTP/2 has no form for what is asked.
    pub(super) fn ask(&self, peer: &Peer, nth: usize) -> Result<Ask, Failure> {
        let (head, record) = (&self.head, &self.record);
        let settings = peer.settings.borrow();
        let named = head.authority_bytes().is_some();
        let traceparent = record.trace.map(|ids| trace::written(&ids, nth));
        let client_cert = record.conn.certificate.get();
        let told = Told {
            target: self.target.as_deref(),
            host: settings.host.as_deref().or_else(|| (!named).then_some(&settings.own_host)),
            source: &record.source,
            https: record.is_https(),
            client_cert: client_cert.map(|certificate| &*certificate.field),
            id: record.request_id.as_str(),
            traceparent: traceparent.as_deref(),
            upgrade: self.upgrade,
            look_alikes: self.rules.look_alikes == LookAlikes::Pass,
            cookie: self.cookie.as_ref().map(|cookie| cookie.name()),
        };
        let is_http2 = settings.protocol == PoolProtocol::Http2;
        let accept = if is_http2 && self.upgrade { websocket::accept_of(head) } else { None };
        if is_http2 && self.upgrade && accept.is_none() {
            return Err(Failure::NoUpgrade);
        }
        let head_out = if is_http2 {
            let request = http2_request(head, &told, settings.tls.is_some()).map_err(Failure::BadMessage)?;
            HeadOut::Http2(Box::new(request))
        } else {
            let certificate_len = told.client_cert.map_or(0, str::len);
            let mut outbox = Outbox::with_room(head.fields().byte_len() + OWN_FIELDS + certificate_len);
            write_request(&mut outbox.bytes, head, &told)
                .map_err(|_| Failure::BadMessage(thalweg_wire::ProtocolError::BadHost))?;
            HeadOut::Http1(outbox)
        };
        Ok(Ask {
            head_out,
            framing: head.framing(),
            to: AnswerTo::of(head, self.upgrade),
            limits: Limits { head_bytes: ANSWER_HEAD, fields: self.rules.answer_fields },
            head: self.local.lend_answer_head(),
            interim: self.interim.clone(),
            accept,
            may_desync: head.has_unexpected_content(),
        })
    }
}
