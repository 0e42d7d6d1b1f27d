//! What one worker keeps of requests that have ended, for "why did that request go there?": two rings of decision
//! records, one for ordinary requests and one for failed, retried and slow ones, so that a flood of good requests does
//! not push the interesting ones out. Never shared with another worker; the admin server asks by a command.
//!
//! Why bytes in one block, and not a list of structs with their strings: a record is one write of about 200 bytes
//! behind the one before it. Nothing is allocated or freed per request, and no old memory is touched to forget an old
//! record. Candidates and verdicts are not kept: the funnel is run again on the snapshot of that revision.

mod codec;

use std::{cell::RefCell, collections::VecDeque, rc::Rc, time::Duration};

use thalweg_core::Tick;

use crate::{
    data::{access_line::AccessRecord, notes::AttemptNotes},
    shared::decision::{DecisionRecord, RecordAnswer, RecordQuery},
};

/// Bytes that a record may take on average. Where paths are longer, fewer records are kept.
const RECORD: usize = 320;
/// The smallest ring: several of the longest records.
const SMALLEST: usize = 16 * 1024;
/// One place in so many is for notable requests.
const NOTABLE_PART: usize = 4;
/// A first byte after this time is slow, whatever is usual.
const SLOW: Duration = Duration::from_secs(1);
/// Notes that are kept for later requests.
const SPARE: usize = 64;

/// One worker's decision records.
#[derive(Debug)]
pub struct DecisionLog {
    workers: usize,
    rings: RefCell<Option<Rings>>,
    spare: RefCell<Vec<Rc<AttemptNotes>>>,
}

#[derive(Debug)]
struct Rings {
    /// The configured number, over all workers.
    keep: usize,
    ordinary: ByteRing,
    notable: ByteRing,
    scratch: Vec<u8>,
}

impl DecisionLog {
    /// The records of one of `workers` workers that keep `keep` records together.
    #[must_use]
    pub fn new(keep: usize, workers: usize) -> Self {
        let log = Self { workers: workers.max(1), rings: RefCell::default(), spare: RefCell::default() };
        log.resize(keep);
        log
    }

    /// Takes another number of records into force; what fits of the records so far stays.
    pub fn resize(&self, keep: usize) {
        let mut rings = self.rings.borrow_mut();
        if rings.as_ref().map_or(0, |rings| rings.keep) == keep {
            return;
        }
        let before = rings.take();
        if keep == 0 {
            return;
        }
        let here = keep.div_ceil(self.workers);
        let notable = (here / NOTABLE_PART).max(1);
        let ordinary = here.saturating_sub(notable).max(1);
        let mut after = Rings {
            keep,
            ordinary: ByteRing::new(ordinary),
            notable: ByteRing::new(notable),
            scratch: Vec::new(),
        };
        if let Some(before) = before {
            after.ordinary.take_over(&before.ordinary);
            after.notable.take_over(&before.notable);
        }
        *rings = Some(after);
    }

    /// Notes for a new request; `None` if nothing is kept and nothing is traced.
    #[must_use]
    pub fn lend(&self, traced: bool) -> Option<Rc<AttemptNotes>> {
        if self.rings.borrow().is_none() && !traced {
            return None;
        }
        Some(self.spare.borrow_mut().pop().unwrap_or_default())
    }

    /// The record of a request, for its trace.
    #[must_use]
    pub fn record(request: &AccessRecord<'_>, started: Tick, notes: &AttemptNotes) -> Option<DecisionRecord> {
        let mut bytes = Vec::new();
        notes.read(|noted, more| codec::write(&mut bytes, request, started, (noted, more)));
        codec::read(&bytes)
    }

    /// Keeps the record of a request that has ended, and the memory of its notes.
    pub fn keep(&self, request: &AccessRecord<'_>, started: Tick, notes: Rc<AttemptNotes>) {
        if let Some(rings) = &mut *self.rings.borrow_mut() {
            let Rings { ordinary, notable, scratch, .. } = rings;
            scratch.clear();
            let late = notes.read(|noted, more| {
                codec::write(scratch, request, started, (noted, more));
                noted.iter().any(|note| note.late)
            });
            let ring = if late || is_notable(request) { notable } else { ordinary };
            ring.push(tag(request.request_id), scratch);
        }
        // A loser of a race still writes into notes that it holds.
        let mut spare = self.spare.borrow_mut();
        if Rc::strong_count(&notes) == 1 && spare.len() < SPARE {
            notes.clear();
            spare.push(notes);
        }
    }

    /// Answers a question for a record.
    pub fn answer(&self, query: RecordQuery) {
        // The call that asked may have ended.
        let _ = query.reply.send(self.find(&query.id));
    }

    fn find(&self, id: &str) -> RecordAnswer {
        let rings = self.rings.borrow();
        let Some(Rings { ordinary, notable, .. }) = &*rings else { return RecordAnswer::default() };
        let tag = tag(id);
        let mut found: Vec<DecisionRecord> =
            ordinary.of_tag(tag).chain(notable.of_tag(tag)).filter_map(codec::read).collect();
        found.retain(|record| record.request_id == id);
        let since = |ring: &ByteRing| ring.forgot.then(|| ring.oldest().and_then(codec::started)).flatten();
        RecordAnswer {
            same_id: found.len(),
            record: found.into_iter().max_by_key(|record| record.started),
            held: ordinary.spans.len() + notable.spans.len(),
            ordinary_since: since(ordinary),
            notable_since: since(notable),
        }
    }
}

/// Did something go wrong, or slowly?
fn is_notable(request: &AccessRecord<'_>) -> bool {
    let slow = request.first_byte.is_some_and(|span| span >= SLOW);
    request.status == 0 || request.status >= 500 || request.error.is_some() || request.attempts > 1 || slow
}

/// The last eight bytes of an id: enough to look at few records only.
fn tag(id: &str) -> u64 {
    let from = id.len().saturating_sub(8);
    id.as_bytes().iter().skip(from).fold(0, |tag, byte| tag << 8 | u64::from(*byte))
}

/// Byte strings in one block of fixed size, in the order in which they came; new ones replace the oldest.
#[derive(Debug)]
struct ByteRing {
    bytes: Box<[u8]>,
    /// Where each record stands, oldest first.
    spans: VecDeque<Span>,
    next: usize,
    most: usize,
    /// At least one record was replaced.
    forgot: bool,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    at: u32,
    len: u32,
    tag: u64,
}

impl Span {
    fn end(self) -> usize {
        self.at as usize + self.len as usize
    }
}

impl ByteRing {
    fn new(most: usize) -> Self {
        let room = most.saturating_mul(RECORD).clamp(SMALLEST, u32::MAX as usize);
        let bytes = vec![0; room].into_boxed_slice();
        Self { bytes, spans: VecDeque::new(), next: 0, most, forgot: false }
    }

    fn push(&mut self, tag: u64, record: &[u8]) {
        if record.is_empty() || record.len() > self.bytes.len() {
            return;
        }
        let wraps = self.next + record.len() > self.bytes.len();
        let at = if wraps { 0 } else { self.next };
        let end = at + record.len();
        while let Some(oldest) = self.spans.front() {
            let start = oldest.at as usize;
            // What stands between the last record and the end of the block is older than what stands at its start.
            let skipped = wraps && start >= self.next;
            let overlaps = start < end && oldest.end() > at;
            if !skipped && !overlaps && self.spans.len() < self.most {
                break;
            }
            self.spans.pop_front();
            self.forgot = true;
        }
        if let (Some(place), Ok(at), Ok(len)) =
            (self.bytes.get_mut(at..end), u32::try_from(at), u32::try_from(record.len()))
        {
            place.copy_from_slice(record);
            self.spans.push_back(Span { at, len, tag });
            self.next = end;
        }
    }

    fn take_over(&mut self, other: &Self) {
        for span in &other.spans {
            self.push(span.tag, other.record(*span));
        }
        self.forgot |= other.forgot;
    }

    fn record(&self, span: Span) -> &[u8] {
        self.bytes.get(span.at as usize..span.end()).unwrap_or_default()
    }

    fn oldest(&self) -> Option<&[u8]> {
        self.spans.front().map(|span| self.record(*span))
    }

    fn of_tag(&self, tag: u64) -> impl Iterator<Item = &[u8]> {
        self.spans.iter().filter(move |span| span.tag == tag).map(|span| self.record(*span))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All records that a ring holds, oldest first.
    fn held(ring: &ByteRing) -> Vec<Vec<u8>> {
        ring.spans.iter().map(|span| ring.record(*span).to_vec()).collect()
    }

    #[test]
    fn a_ring_holds_the_newest_records_whatever_their_lengths() {
        for (most, room) in [(1, 64), (3, 64), (7, 100), (1000, 100), (1000, 1000)] {
            let mut ring = ByteRing::new(most);
            ring.bytes = vec![0; room].into_boxed_slice();
            let mut all: Vec<Vec<u8>> = Vec::new();
            for nth in 0..2000_usize {
                let record = vec![nth as u8; 1 + nth * 7 % 61 % room];
                ring.push(nth as u64, &record);
                all.push(record);
                let held = held(&ring);
                assert!(held.len() <= most && !held.is_empty());
                assert_eq!(held, all[all.len() - held.len()..], "{most} {room} {nth}");
                let bytes: usize = held.iter().map(Vec::len).sum();
                let room_left = room - bytes;
                assert!(
                    held.len() == all.len() || held.len() == most || room_left < 62 * 2,
                    "{room_left} of {room} bytes are left although records were forgotten"
                );
            }
            assert!(ring.forgot);
        }
    }

    #[test]
    fn a_record_that_is_longer_than_the_ring_is_not_kept() {
        let mut ring = ByteRing::new(1);
        ring.push(1, b"kept");
        ring.push(2, &vec![0; SMALLEST + 1]);
        assert_eq!(held(&ring), [b"kept"]);
    }

    fn request(id: &str) -> AccessRecord<'_> {
        AccessRecord {
            request_id: id,
            client: b"192.0.2.1",
            method: "GET",
            host: "a.test",
            path: "/",
            status: 200,
            bytes_in: 0,
            bytes_out: 0,
            duration: Duration::from_millis(3),
            first_byte: Some(Duration::from_millis(2)),
            route: "all",
            pool: None,
            endpoint: None,
            attempts: 1,
            reason: None,
            generation: 1,
            revision: 2,
            roll: 3,
            version: thalweg_wire::Version::Http11,
            tcp: false,
            tls: None,
            client_cert: None,
            refusal: None,
            error: None,
            rule: None,
            proxy: None,
        }
    }

    fn kept(log: &DecisionLog, id: &str) -> bool {
        log.find(id).record.is_some()
    }

    fn keep(log: &DecisionLog, request: &AccessRecord<'_>, at: u64) {
        if let Some(notes) = log.lend(false) {
            log.keep(request, Tick(at), notes);
        }
    }

    #[test]
    fn failed_retried_and_slow_requests_outlive_ordinary_ones() {
        let log = DecisionLog::new(100, 1);
        let good = request("good");
        let notable = [
            ("gone", AccessRecord { status: 0, ..good }),
            ("failed", AccessRecord { status: 503, ..good }),
            ("cut", AccessRecord { error: Some("reset"), ..good }),
            ("retried", AccessRecord { attempts: 2, ..good }),
            ("slow", AccessRecord { first_byte: Some(Duration::from_secs(1)), ..good }),
        ];
        keep(&log, &good, 0);
        keep(
            &log,
            &AccessRecord { request_id: "unknown", status: 404, refusal: Some("no_route"), ..good },
            0,
        );
        for (id, request) in &notable {
            keep(&log, &AccessRecord { request_id: id, ..*request }, 0);
        }
        for nth in 0..1000 {
            keep(&log, &AccessRecord { request_id: &format!("more-{nth}"), ..good }, 1 + nth);
        }
        assert!(!kept(&log, "good") && !kept(&log, "unknown") && kept(&log, "more-999"));
        for (id, _) in &notable {
            assert!(kept(&log, id), "{id}");
        }
        let answer = log.find("none");
        assert_eq!((answer.ordinary_since, answer.notable_since), (Some(Tick(1000 - 74)), None));
        assert_eq!((answer.held, answer.record), (75 + 5, None));
    }

    #[test]
    fn the_newest_of_several_requests_with_one_id_is_found() {
        let log = DecisionLog::new(10, 1);
        keep(&log, &request("twice"), 5);
        keep(&log, &AccessRecord { status: 500, ..request("twice") }, 9);
        keep(&log, &request("other-twice"), 11);
        let answer = log.find("twice");
        assert_eq!((answer.same_id, answer.record.map(|record| record.status)), (2, Some(500)));
    }

    #[test]
    fn a_reload_keeps_what_fits_and_zero_keeps_nothing() {
        let log = DecisionLog::new(100, 4);
        (0..10).for_each(|nth| keep(&log, &request(&format!("r{nth}")), nth));
        log.resize(8);
        assert!(
            kept(&log, "r9") && !kept(&log, "r8"),
            "two workers of four keep two each, one of them notable"
        );
        log.resize(0);
        assert!(log.lend(false).is_none() && log.lend(true).is_some() && !kept(&log, "r9"));
        log.resize(8);
        assert!(!kept(&log, "r9"));
    }

    #[test]
    fn the_memory_of_notes_is_used_again_unless_an_attempt_still_holds_them() {
        let log = DecisionLog::new(10, 1);
        let (first, held) = (log.lend(false).unwrap(), log.lend(false).unwrap());
        let (address, loser) = (Rc::as_ptr(&first), Rc::clone(&held));
        log.keep(&request("a"), Tick(0), held);
        log.keep(&request("b"), Tick(0), first);
        assert_eq!(Rc::as_ptr(&log.lend(false).unwrap()), address);
        assert_ne!(Rc::as_ptr(&log.lend(false).unwrap()), Rc::as_ptr(&loser));
    }
}
