//! Room 6, SETTLE: how a request ended, reported once to counters, histograms and the access log, also when the request
//! is dropped half-way. Counters move before the last byte of an answer is handed to the socket.

use std::{borrow::Cow, rc::Rc, sync::Arc, time::Duration};

use thalweg_core::{PoolSlot, Reason, Tick};
use thalweg_wire::Version;

use crate::{
    data::{
        access_line::{self, AccessRecord},
        conn::ClientConn,
        decisions::DecisionLog,
        failure::Failure,
        local::Local,
        notes::AttemptNotes,
        peer::Peer,
        request_id::RequestId,
        source::RequestSource,
        trace,
        upload::Upload,
        view::RouteStats,
    },
    shared::trace::{FinishedTrace, TraceIds},
};

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
    /// Where the request comes from.
    pub source: Rc<RequestSource>,
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
    /// The client speaks gRPC: this edge's own answers have its form.
    pub grpc: bool,
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
    /// The trace that it belongs to, if traces are reported.
    pub trace: Option<TraceIds>,
    /// The notes on its attempts, if decision records are kept or traces are reported.
    pub notes: Option<Rc<AttemptNotes>>,
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
            source: conn.source(),
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
            grpc: false,
            upload: None,
            status: 0,
            bytes_up: 0,
            bytes_out: 0,
            first_byte: None,
            refusal: None,
            error: None,
            rule: None,
            trace: None,
            notes: local.decisions().lend(false),
            open: true,
        }
    }

    /// The current tick.
    #[must_use]
    pub fn now(&self) -> Tick {
        self.local.now()
    }

    /// Whether the client speaks TLS.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.source.https || (self.conn.tls.get().is_some() && self.source.forwarded.is_none())
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
            client: self.source.text.as_bytes(),
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
            tcp: self.conn.tcp.get(),
            tls: self.conn.tls.get(),
            client_cert: self.conn.certificate.get().map(|certificate| &**certificate),
            refusal: self.refusal,
            error: self.error,
            rule: self.rule,
            proxy: self.source.proxy.as_deref(),
        }
    }

    /// The request belongs to this trace.
    pub fn belongs_to(&mut self, trace: TraceIds) {
        self.trace = Some(trace);
        self.notes = self.notes.take().or_else(|| self.local.decisions().lend(true));
    }

    /// Hands the request's trace over, if it is to be reported.
    fn report(&self, notes: &AttemptNotes, status: u16, duration: Duration) {
        let Some(ids) = self.trace else { return };
        let request = self.access_record(status, duration);
        if !trace::is_reported(&ids, &request) {
            return;
        }
        if let Some(record) = DecisionLog::record(&request, self.started, notes) {
            let attempts =
                (0..record.attempts.len()).map(|nth| trace::span_of_attempt(ids.span, nth)).collect();
            self.local.report_trace(FinishedTrace { ids, record, attempts });
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
        if let Some(notes) = self.notes.take() {
            self.report(&notes, status, duration);
            self.local.decisions().keep(&self.access_record(status, duration), self.started, notes);
        }
        self.conn.end();
    }
}

impl Drop for RequestRecord {
    fn drop(&mut self) {
        // Not settled yet: the client's connection or stream is gone.
        self.close(0, self.now());
    }
}
