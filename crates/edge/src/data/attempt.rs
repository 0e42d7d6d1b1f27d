//! One attempt at an endpoint, from its start to its outcome, and what it reports about the endpoint. Moves no bytes.

use std::{cell::Cell, rc::Rc, time::Duration};

use thalweg_core::{Fault, Tick};

use crate::data::{notes::NotePlace, outcome::Outcome, peer::Peer};

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
    is_no_evidence: Cell<bool>,
    presumed: Cell<Outcome>,
    /// Its place in the notes of its request, if any are taken.
    note: Option<NotePlace>,
}

impl Attempt {
    /// Begins an attempt, which counts as in flight from now on.
    #[must_use]
    pub fn new(peer: Rc<Peer>, now: Tick, note: Option<NotePlace>) -> Self {
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
            is_no_evidence: Cell::new(false),
            presumed: Cell::new(Outcome::ClientGone),
            note,
        }
    }

    /// How many attempts of the request were noted before this one; of one that is not noted, all that can be.
    #[must_use]
    pub fn nth(&self) -> usize {
        self.note.as_ref().map_or(crate::data::notes::MOST, NotePlace::nth)
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
        let first_byte = now.since(self.started);
        self.peer.meters.first_byte.record(first_byte);
        if let Some(note) = &self.note {
            note.head(first_byte);
        }
        // Before the end of the upload the wait may be the client's.
        let Some(ended) = upload_ended else { return };
        let took = now.since(self.waiting_since(ended));
        self.took.set(Some(took));
        self.peer.stats().took(took);
        if self.peer.late_after().is_some_and(|late| took > late) {
            self.report_fault(Fault::Late, now);
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
    pub fn report_fault(&self, fault: Fault, now: Tick) {
        // A timeout during which this edge stood still is no evidence either.
        let local = fault == Fault::Local
            || (fault == Fault::Timeout && self.stood_still() > now.since(self.started) / 2);
        if local || self.judged.replace(true) {
            return;
        }
        if fault == Fault::Late
            && let Some(note) = &self.note
        {
            note.late();
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
            Some(fault) => self.report_fault(fault, now),
            None => self.is_no_evidence.set(true),
        }
    }

    /// The connection ended before its exchange did: reports what that says against the endpoint.
    pub fn cut_off(&self, uploading: bool, now: Tick) {
        match Fault::of_reset(self.answered.get(), uploading) {
            Some(fault) => self.report_fault(fault, now),
            None => _ = self.judged.replace(true),
        }
    }

    /// No connection could be opened. A connect that earlier attempts cut short is no evidence.
    pub fn unreached(&self, fault: Fault, cut_short: bool, now: Tick) {
        if cut_short {
            return self.end(Outcome::Cancelled, now);
        }
        self.report_fault(fault, now);
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
        self.report_fault(Fault::Late, now);
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
        if let Some(note) = &self.note {
            note.end(outcome, now);
        }
        match outcome {
            Outcome::Ok if !self.judged.replace(true) => self.good(now),
            Outcome::ServerError if self.is_no_evidence.get() => {
                if !self.judged.replace(true) {
                    self.good(now);
                }
            }
            Outcome::ServerError | Outcome::GrpcError => self.report_fault(Fault::Status, now),
            Outcome::Reset => self.report_fault(Fault::Reset, now),
            Outcome::BadAnswer | Outcome::NoGrpcStatus => self.report_fault(Fault::Protocol, now),
            Outcome::Timeout => self.report_fault(Fault::Timeout, now),
            // One refusal is no evidence; many in a row are.
            Outcome::Refused if self.peer.refused() => self.report_fault(Fault::Reset, now),
            Outcome::Ok
            | Outcome::ConnectFailed
            | Outcome::ClientGone
            | Outcome::Cancelled
            | Outcome::Refused => {}
        }
        self.release_slot();
        self.peer.learn(outcome, self.took.get(), self.is_no_evidence.get());
    }

    /// Counts a good answer. It proves something in a probation only if the attempt began after the probation did: the
    /// end of a long download proves what was before.
    fn good(&self, now: Tick) {
        self.peer.not_refused();
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
