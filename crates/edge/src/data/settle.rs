//! Room 6, SETTLE: how a request ended, told once to counters, histograms and the access log. Also when it is
//! dropped half-way. Counters move before the last byte of an answer is handed to the socket.

use std::{cell::Cell, rc::Rc, sync::Arc, time::Duration};

use http::{HeaderValue, Method, Version};
use thalweg_core::{Fault, PoolSlot, Reason, Tick};

use crate::data::{
    access_line::{self, AccessRecord},
    conn::ClientConn,
    local::Local,
    outcome::Outcome,
    peer::Peer,
    upload::Upload,
    view::RouteStats,
};

/// One attempt's account with its endpoint. Dropped without a verdict, it was the client who left.
#[derive(Debug)]
pub struct Attempt {
    /// Where.
    pub peer: Rc<Peer>,
    /// When it began.
    pub started: Tick,
    /// When its request was handed to a connection: what came before is the distance, not the endpoint.
    ready: Cell<Tick>,
    /// How long the worker had stood still by then.
    stalled: Cell<Duration>,
    answered: Cell<bool>,
    /// How long the endpoint took to answer; unknown if it did so before the end of the upload.
    took: Cell<Option<Duration>>,
    open: Cell<bool>,
    /// It counts as a request under way there.
    holds_slot: Cell<bool>,
    /// The keeper has been told about this attempt: each attempt is evidence once.
    judged: Cell<bool>,
    presumed: Cell<Outcome>,
}

impl Attempt {
    /// Begins.
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
            presumed: Cell::new(Outcome::ClientGone),
        }
    }

    /// There is a connection for it.
    pub fn ready(&self, now: Tick) {
        self.ready.set(now);
        self.stalled.set(self.peer.stalled());
    }

    /// Since when its endpoint has been the one that is waited for: it has a connection, and the upload ended then.
    /// Later by the time in which this edge itself stood still.
    #[must_use]
    pub fn waiting_since(&self, upload_ended: Tick) -> Tick {
        upload_ended.max(self.ready.get()).after(self.stood_still())
    }

    fn stood_still(&self) -> Duration {
        self.peer.stalled_since(self.stalled.get())
    }

    /// The head of the answer came.
    pub fn head(&self, upload_ended: Option<Tick>, now: Tick) {
        self.answered.set(true);
        self.peer.meters.first_byte.record(now.since(self.started));
        // Before the end of the upload nobody can say for whom it was waited.
        let Some(ended) = upload_ended else { return };
        let took = now.since(self.waiting_since(ended));
        self.took.set(Some(took));
        self.peer.stats().took(took);
        if self.peer.late_after().is_some_and(|late| took > late) {
            self.blame(Fault::Late, now);
        }
    }

    /// When its first byte will be late, if one can say.
    #[must_use]
    pub fn late_at(&self, upload_ended: Tick) -> Option<Tick> {
        let known = !self.judged.get() && !self.answered.get();
        let late = self.peer.late_after().filter(|_| known)?;
        Some(self.waiting_since(upload_ended).after(late))
    }

    /// It speaks against the endpoint: the keeper hears it now, not when the attempt ends.
    pub fn blame(&self, fault: Fault, now: Tick) {
        // A time that ran out while this edge stood still says nothing either.
        let local = fault == Fault::Local
            || (fault == Fault::Timeout && self.stood_still() > now.since(self.started) / 2);
        if local || self.judged.replace(true) {
            return;
        }
        let account = self.peer.stats();
        let count = if fault == Fault::Late { &account.late } else { &account.failed };
        count.bump();
        self.peer.suspect(fault, self.started, now);
    }

    /// There is no connection. One that was cut short speaks against nobody.
    pub fn unreached(&self, fault: Fault, cut_short: bool, now: Tick) {
        if cut_short {
            return self.end(Outcome::Cancelled, now);
        }
        self.blame(fault, now);
        self.end(Outcome::ConnectFailed, now);
    }

    /// It goes on, nothing speaks against it, and nobody can say that it is late.
    #[must_use]
    pub fn is_undecided(&self, upload_ended: Tick, now: Tick) -> bool {
        let late = self.late_at(upload_ended).is_some_and(|late| late <= now);
        self.open.get() && !self.judged.get() && !late
    }

    /// Its rival answered first: no error, but evidence.
    pub fn lost_race(&self, upload_ended: Option<Tick>, now: Tick) {
        self.blame(Fault::Late, now);
        self.cancel(upload_ended, now);
    }

    /// Nobody waits for it any more: it is as slow as it has been waited for, at least.
    pub fn cancel(&self, upload_ended: Option<Tick>, now: Tick) {
        self.took.set(upload_ended.map(|ended| now.since(self.waiting_since(ended))));
        self.end(Outcome::Cancelled, now);
    }

    /// Its request has gone elsewhere: what goes on of it takes no place under `max_in_flight`.
    pub fn release_slot(&self) {
        if self.holds_slot.replace(false) {
            self.peer.exit();
        }
    }

    /// What it counts as if nobody says otherwise.
    pub fn presume(&self, outcome: Outcome) {
        self.presumed.set(outcome);
    }

    /// Ends; only the first verdict counts.
    pub fn end(&self, outcome: Outcome, now: Tick) {
        if !self.open.replace(false) {
            return;
        }
        match outcome {
            Outcome::Ok if !self.judged.replace(true) => self.good(now),
            Outcome::ServerError => self.blame(Fault::Status, now),
            Outcome::Reset => self.blame(Fault::Reset, now),
            Outcome::Timeout => self.blame(Fault::Timeout, now),
            Outcome::Ok | Outcome::ConnectFailed | Outcome::ClientGone | Outcome::Cancelled => {}
        }
        self.release_slot();
        self.peer.learn(outcome, self.took.get());
    }

    /// However it was chosen, it is of the probation that had begun before it, and of no other: a long download that
    /// ends in one proves what was.
    fn good(&self, now: Tick) {
        let account = self.peer.stats();
        if self.peer.tried_since().is_some_and(|since| self.started >= since) {
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

/// Where a request went, for its account.
#[derive(Clone, Debug)]
pub struct Steered {
    /// Its route, in the layout that decided.
    pub route: Rc<RouteStats>,
    /// The pool's slot in that layout.
    pub pool: PoolSlot,
    /// Why.
    pub reason: Reason,
    /// Which endpoint.
    pub peer: Rc<Peer>,
}

/// One request's account: everything its log line and its counters need.
#[derive(Debug)]
pub struct RequestRecord {
    local: Rc<Local>,
    /// The client's connection.
    pub conn: Rc<ClientConn>,
    /// End of the request's head.
    pub started: Tick,
    /// As sent to the endpoint and back to the client.
    pub request_id: HeaderValue,
    /// The method.
    pub method: Method,
    /// Lower case, without port; of what intake refused, as far as it can be told.
    pub host: Box<str>,
    /// Normalised, without query; likewise.
    pub path: Box<str>,
    /// Of the request.
    pub version: Version,
    /// Its route when it came.
    pub entry: Rc<RouteStats>,
    /// Where its last attempt went.
    pub steered: Option<Steered>,
    /// How many attempts were made.
    pub attempts: u32,
    /// Of the config and snapshot that decided last.
    pub generation: u64,
    /// See `generation`.
    pub revision: u64,
    /// Of the first attempt: replays the decision.
    pub roll: u64,
    /// The upload, for its size.
    pub upload: Option<Rc<Upload>>,
    /// Sent to the client; 0 = nothing yet.
    pub status: u16,
    /// Bytes from the client after an upgrade.
    pub bytes_up: u64,
    /// Body bytes sent to the client.
    pub bytes_out: u64,
    /// From the start to the head of the answer.
    pub first_byte: Option<Duration>,
    /// Spelling of our refusal, if this edge answered itself without an endpoint failing.
    pub refusal: Option<&'static str>,
    /// Spelling of what went wrong at an endpoint.
    pub error: Option<&'static str>,
    open: bool,
}

impl RequestRecord {
    /// Opens the account of a request that has just arrived.
    #[must_use]
    pub fn new(local: &Rc<Local>, conn: &Rc<ClientConn>, now: Tick, version: Version) -> Self {
        conn.begin();
        let entry = Rc::clone(&local.view().unmatched);
        Self {
            local: Rc::clone(local),
            conn: Rc::clone(conn),
            started: now,
            request_id: HeaderValue::from_static("-"),
            method: Method::GET,
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
            open: true,
        }
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Tick {
        self.local.now()
    }

    /// The worker.
    #[must_use]
    pub fn local(&self) -> &Rc<Local> {
        &self.local
    }

    /// Its route as of the last decision: a retry may cross a reload, and slots mean something in one layout only.
    #[must_use]
    pub fn route(&self) -> &Rc<RouteStats> {
        self.steered.as_ref().map_or(&self.entry, |steered| &steered.route)
    }

    /// The answer is complete.
    pub fn finish(&mut self, now: Tick) {
        self.close(self.status, now);
    }

    /// The answer was cut after its head: counted under the status that was sent, logged with what cut it.
    pub fn cut(&mut self, error: &'static str) {
        self.error = Some(error);
        self.close(self.status, self.now());
    }

    /// An upgraded stream ended, of itself or because of `error`.
    pub fn finish_tunnel(&mut self, (up, down): (u64, u64), error: Option<&'static str>) {
        (self.bytes_up, self.bytes_out, self.error) = (up, down, error);
        self.close(self.status, self.now());
    }

    fn access_record(&self, status: u16, duration: Duration) -> AccessRecord<'_> {
        let steered = self.steered.as_ref();
        AccessRecord {
            request_id: self.request_id.to_str().unwrap_or("-"),
            client: self.conn.client_field.as_bytes(),
            method: self.method.as_str(),
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
        // Nobody settled it: hyper dropped the request because the client's connection or stream is gone.
        self.close(0, self.now());
    }
}
