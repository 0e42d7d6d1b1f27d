//! Room 6, SETTLE: how a request ended, reported once to counters, histograms and the access log, also when the request
//! is dropped half-way. Counters move before the last byte of an answer is handed to the socket.

use std::{borrow::Cow, cell::Cell, rc::Rc, sync::Arc, time::Duration};

use thalweg_core::{Fault, PoolSlot, Reason, Tick};
use thalweg_wire::Version;

use crate::data::{
    access_line::{self, AccessRecord},
    conn::ClientConn,
    failure::Failure,
    local::Local,
    outcome::Outcome,
    peer::Peer,
    request_id::RequestId,
    upload::Upload,
    view::RouteStats,
};

/// One attempt at an endpoint, and what it reports to the endpoint's statistics. An attempt that is dropped before it
/// ends counts as [`Outcome::ClientGone`], unless [`Attempt::presume`] says otherwise.
#[derive(Debug)]
pub struct Attempt {
    /// The endpoint.
    pub peer: Rc<Peer>,
    /// When the attempt began.
    pub started: Tick,
    /// When the request got a connection. Time before that measures the distance, not the endpoint.
    ready: Cell<Tick>,
    /// The worker's total stall time at that moment.
    stalled: Cell<Duration>,
    answered: Cell<bool>,
    /// The endpoint's time to its answer; `None` if it answered before the end of the upload.
    took: Cell<Option<Duration>>,
    open: Cell<bool>,
    /// The attempt counts as a request in flight at the endpoint.
    holds_slot: Cell<bool>,
    /// The keeper has been told about this attempt: each attempt is evidence once.
    judged: Cell<bool>,
    /// The answer is a 5xx that says nothing against the endpoint.
    acquitted: Cell<bool>,
    presumed: Cell<Outcome>,
}

impl Attempt {
    /// Begins an attempt, which counts as in flight from now on.
    #[must_use]
    pub fn new(peer: Rc<Peer>, now: Tick) -> Self {
        peer.enter();
        Self {
            started: now,
            ready: Cell::new(now),
            stalled: Cell::new(peer.stalled()),
            peer,
            answered: Cell::new(false),
            took: Cell::new(None),
            open: Cell::new(true),
            holds_slot: Cell::new(true),
            judged: Cell::new(false),
            acquitted: Cell::new(false),
            presumed: Cell::new(Outcome::ClientGone),
        }
    }

    /// The attempt has got a connection.
    pub fn ready(&self, now: Tick) {
        self.ready.set(now);
        self.stalled.set(self.peer.stalled());
    }

    /// When the endpoint became the one that is waited for: the attempt has a connection, and the upload has ended.
    /// Moved later by the time in which this edge itself stood still.
    #[must_use]
    pub fn waiting_since(&self, upload_ended: Tick) -> Tick {
        upload_ended.max(self.ready.get()).after(self.stood_still())
    }

    fn stood_still(&self) -> Duration {
        self.peer.stalled_since(self.stalled.get())
    }

    /// The head of the answer has come.
    pub fn head(&self, upload_ended: Option<Tick>, now: Tick) {
        self.answered.set(true);
        self.peer.meters.first_byte.record(now.since(self.started));
        // Before the end of the upload the wait may be the client's.
        let Some(ended) = upload_ended else { return };
        let took = now.since(self.waiting_since(ended));
        self.took.set(Some(took));
        self.peer.stats().took(took);
        if self.peer.late_after().is_some_and(|late| took > late) {
            self.blame(Fault::Late, now);
        }
    }

    /// When the first byte will be late; `None` if the usual time is not known, or the attempt was already answered or
    /// judged.
    #[must_use]
    pub fn late_at(&self, upload_ended: Tick) -> Option<Tick> {
        let known = !self.judged.get() && !self.answered.get();
        let late = self.peer.late_after().filter(|_| known)?;
        Some(self.waiting_since(upload_ended).after(late))
    }

    /// Reports evidence against the endpoint now, not when the attempt ends.
    pub fn blame(&self, fault: Fault, now: Tick) {
        // A timeout during which this edge stood still is no evidence either.
        let local = fault == Fault::Local
            || (fault == Fault::Timeout && self.stood_still() > now.since(self.started) / 2);
        if local || self.judged.replace(true) {
            return;
        }
        let account = self.peer.stats();
        let count = if fault == Fault::Late { &account.late } else { &account.failed };
        if fault.is_evidence() {
            count.bump();
        }
        self.peer.suspect(fault, self.started, now);
    }

    /// The answer is a 5xx: reports it, if its status says something against the endpoint.
    pub fn server_error(&self, status: u16, now: Tick) {
        match Fault::of_status(status) {
            Some(fault) => self.blame(fault, now),
            None => self.acquitted.set(true),
        }
    }

    /// The connection ended before its exchange did: reports what that says against the endpoint.
    pub fn cut_off(&self, uploading: bool, now: Tick) {
        match Fault::of_reset(self.answered.get(), uploading) {
            Some(fault) => self.blame(fault, now),
            None => _ = self.judged.replace(true),
        }
    }

    /// No connection could be opened. A connect that earlier attempts cut short is no evidence.
    pub fn unreached(&self, fault: Fault, cut_short: bool, now: Tick) {
        if cut_short {
            return self.end(Outcome::Cancelled, now);
        }
        self.blame(fault, now);
        self.end(Outcome::ConnectFailed, now);
    }

    /// Whether the attempt goes on, has not been judged, and is not known to be late.
    #[must_use]
    pub fn is_undecided(&self, upload_ended: Tick, now: Tick) -> bool {
        let late = self.late_at(upload_ended).is_some_and(|late| late <= now);
        self.open.get() && !self.judged.get() && !late
    }

    /// Another endpoint answered first: no error, but evidence of lateness.
    pub fn lost_race(&self, upload_ended: Option<Tick>, now: Tick) {
        self.blame(Fault::Late, now);
        self.cancel(upload_ended, now);
    }

    /// Ends an attempt whose answer is no longer needed. Its time so far is a lower bound of its latency.
    pub fn cancel(&self, upload_ended: Option<Tick>, now: Tick) {
        self.took.set(upload_ended.map(|ended| now.since(self.waiting_since(ended))));
        self.end(Outcome::Cancelled, now);
    }

    /// Stops counting under `max_in_flight`: the request has gone elsewhere, and only the rest of the attempt goes on.
    pub fn release_slot(&self) {
        if self.holds_slot.replace(false) {
            self.peer.exit();
        }
    }

    /// Sets the outcome that a drop counts as.
    pub fn presume(&self, outcome: Outcome) {
        self.presumed.set(outcome);
    }

    /// Ends the attempt; only the first outcome counts.
    pub fn end(&self, outcome: Outcome, now: Tick) {
        if !self.open.replace(false) {
            return;
        }
        match outcome {
            Outcome::Ok if !self.judged.replace(true) => self.good(now),
            Outcome::ServerError if self.acquitted.get() => {
                if !self.judged.replace(true) {
                    self.good(now);
                }
            }
            Outcome::ServerError => self.blame(Fault::Status, now),
            Outcome::Reset => self.blame(Fault::Reset, now),
            Outcome::BadAnswer => self.blame(Fault::Protocol, now),
            Outcome::Timeout => self.blame(Fault::Timeout, now),
            Outcome::Ok | Outcome::ConnectFailed | Outcome::ClientGone | Outcome::Cancelled => {}
        }
        self.release_slot();
        self.peer.learn(outcome, self.took.get(), self.acquitted.get());
    }

    /// Counts a good answer. It proves something in a probation only if the attempt began after the probation did: the
    /// end of a long download proves what was before.
    fn good(&self, now: Tick) {
        let account = self.peer.stats();
        if self.peer.probation_since().is_some_and(|since| self.started >= since) {
            account.proof.bump();
        }
        account.good(now);
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if self.open.get() {
            self.end(self.presumed.get(), self.peer.now());
        }
    }
}

/// Where a request goes, or went.
#[derive(Clone, Debug)]
pub struct Steered {
    /// The statistics of its route, in the layout that decided.
    pub route: Rc<RouteStats>,
    /// The pool's slot in that layout.
    pub pool: PoolSlot,
    /// The reason of the decision.
    pub reason: Reason,
    /// The endpoint.
    pub peer: Rc<Peer>,
}

/// The record of one request: everything that its log line and its counters need. Settled exactly once, also when
/// dropped.
#[derive(Debug)]
pub struct RequestRecord {
    local: Rc<Local>,
    /// The client's connection.
    pub conn: Rc<ClientConn>,
    /// When the request's head ended.
    pub started: Tick,
    /// The request id, as sent to the endpoint and back to the client.
    pub request_id: RequestId,
    /// The method.
    pub method: Cow<'static, str>,
    /// The host in lower case, without port; of a refused head, as far as it can be told.
    pub host: Box<str>,
    /// The normalised path without query; of a refused head, as far as it can be told.
    pub path: Box<str>,
    /// The protocol version of the request.
    pub version: Version,
    /// The statistics of its route when it came.
    pub entry: Rc<RouteStats>,
    /// The last decision.
    pub steered: Option<Steered>,
    /// Number of attempts.
    pub attempts: u32,
    /// The generation of the config that decided last.
    pub generation: u64,
    /// The revision of the snapshot that decided last.
    pub revision: u64,
    /// The roll of the first attempt: replays its decision.
    pub roll: u64,
    /// The upload, for its size.
    pub upload: Option<Rc<Upload>>,
    /// The status sent to the client; 0 = none yet.
    pub status: u16,
    /// Bytes from the client after an upgrade.
    pub bytes_up: u64,
    /// Body bytes sent to the client.
    pub bytes_out: u64,
    /// Time from the request's head to the answer's head.
    pub first_byte: Option<Duration>,
    /// Our spelling of the refusal, if this edge answered itself and no endpoint failed.
    pub refusal: Option<&'static str>,
    /// Our spelling of the failure at an endpoint.
    pub error: Option<&'static str>,
    /// The rule that the request or the answer broke.
    pub rule: Option<&'static str>,
    open: bool,
}

impl RequestRecord {
    /// Opens the record of a request that has just arrived.
    #[must_use]
    pub fn new(
        local: &Rc<Local>,
        conn: &Rc<ClientConn>,
        (now, version): (Tick, Version),
        request_id: RequestId,
    ) -> Self {
        conn.begin();
        let entry = Rc::clone(&local.view().unmatched);
        Self {
            local: Rc::clone(local),
            conn: Rc::clone(conn),
            started: now,
            request_id,
            method: Cow::Borrowed("-"),
            host: Box::default(),
            path: Box::default(),
            version,
            entry,
            steered: None,
            attempts: 0,
            generation: 0,
            revision: 0,
            roll: 0,
            upload: None,
            status: 0,
            bytes_up: 0,
            bytes_out: 0,
            first_byte: None,
            refusal: None,
            error: None,
            rule: None,
            open: true,
        }
    }

    /// The current tick.
    #[must_use]
    pub fn now(&self) -> Tick {
        self.local.now()
    }

    /// The worker.
    #[must_use]
    pub fn local(&self) -> &Rc<Local> {
        &self.local
    }

    /// The statistics of its route as of the last decision. A retry may cross a reload, and slots have a meaning in one
    /// layout only.
    #[must_use]
    pub fn route(&self) -> &Rc<RouteStats> {
        self.steered.as_ref().map_or(&self.entry, |steered| &steered.route)
    }

    /// This edge answers itself, for this reason.
    pub fn told(&mut self, failure: Failure) {
        let row = failure.row();
        let place = if row.upstream { &mut self.error } else { &mut self.refusal };
        *place = Some(row.ours);
        self.rule = failure.rule();
    }

    /// The answer is complete.
    pub fn finish(&mut self, now: Tick) {
        self.close(self.status, now);
    }

    /// The answer was cut after its head: counted under the status that was sent, logged with the error.
    pub fn cut(&mut self, error: &'static str) {
        self.error = Some(error);
        self.close(self.status, self.now());
    }

    /// An upgraded stream ended, by itself or because of `error`.
    pub fn finish_tunnel(&mut self, (up, down): (u64, u64), error: Option<&'static str>) {
        (self.bytes_up, self.bytes_out, self.error) = (up, down, error);
        self.close(self.status, self.now());
    }

    fn access_record(&self, status: u16, duration: Duration) -> AccessRecord<'_> {
        let steered = self.steered.as_ref();
        AccessRecord {
            request_id: self.request_id.as_str(),
            client: self.conn.client_field.as_bytes(),
            method: &self.method,
            host: &self.host,
            path: &self.path,
            status,
            bytes_in: self.bytes_up + self.upload.as_ref().map_or(0, |upload| upload.received.get()),
            bytes_out: self.bytes_out,
            duration,
            first_byte: self.first_byte,
            route: &self.route().name,
            pool: steered.map(|steered| &*steered.peer.pool),
            endpoint: steered.map(|steered| &*steered.peer.label),
            attempts: self.attempts,
            reason: steered.map(|steered| steered.reason.as_str()),
            generation: self.generation,
            revision: self.revision,
            roll: self.roll,
            version: self.version,
            tls: self.conn.tls.get(),
            refusal: self.refusal,
            error: self.error,
            rule: self.rule,
        }
    }

    fn close(&mut self, status: u16, now: Tick) {
        if !std::mem::take(&mut self.open) {
            return;
        }
        let duration = now.since(self.started);
        let meters = self.local.meters();
        let pool = self.steered.as_ref().map(|steered| (steered.pool, &steered.peer.pool));
        let listener: (u32, &Arc<str>) = (self.conn.listener_number, &self.conn.listener);
        let route = self.route();
        route.count_request(listener, pool, status, meters);
        if let Some(refusal) = self.refusal {
            route.count_refusal(refusal, meters);
        }
        route.duration.record(duration);
        self.local.log(|out, format| access_line::write(out, format, &self.access_record(status, duration)));
        self.conn.end();
    }
}

impl Drop for RequestRecord {
    fn drop(&mut self) {
        // Not settled yet: the client's connection or stream is gone.
        self.close(0, self.now());
    }
}
