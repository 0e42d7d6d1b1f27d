//! A decision record as bytes: written once per request into a buffer that is hot, read only when an operator asks.
//! Numbers have a fixed width; a text has its length in front. Never leaves the process.

use std::time::Duration;

use thalweg_core::{Reason, Tick, micros};

use crate::{
    data::{access_line::AccessRecord, notes::AttemptNote, outcome::Outcome},
    shared::decision::{AttemptKind, AttemptRecord, DecisionRecord},
};

/// Longest host, path, and other text that is kept, in bytes.
const HOST: usize = 255;
const PATH: usize = 512;
const TEXT: usize = 128;
/// A time that is not known.
const UNKNOWN: u64 = u64::MAX;

/// Appends the record of `request` and its attempts.
pub(super) fn write(
    out: &mut Vec<u8>,
    request: &AccessRecord<'_>,
    started: Tick,
    (noted, more): (&[AttemptNote], u32),
) {
    number(out, started.0);
    number(out, request.roll);
    number(out, request.generation);
    number(out, request.revision);
    number(out, micros(request.duration));
    number(out, request.first_byte.map_or(UNKNOWN, micros));
    out.extend_from_slice(&request.status.to_le_bytes());
    out.extend_from_slice(&more.to_le_bytes());
    out.push(u8::from(request.host.len() > HOST || request.path.len() > PATH));
    text(out, request.request_id, TEXT);
    bytes(out, request.client);
    text(out, request.method, TEXT);
    text(out, request.host, HOST);
    text(out, request.path, PATH);
    text(out, request.route, TEXT);
    text(out, request.refusal.unwrap_or_default(), TEXT);
    text(out, request.error.unwrap_or_default(), TEXT);
    out.push(u8::try_from(noted.len()).unwrap_or(u8::MAX));
    for note in noted {
        attempt(out, note, started);
    }
}

fn attempt(out: &mut Vec<u8>, note: &AttemptNote, started: Tick) {
    // An attempt that goes on after its request has lost a race.
    let (outcome, took) = note.ended.unwrap_or((Outcome::Cancelled, Duration::ZERO));
    out.extend_from_slice(&[note.reason as u8, note.kind as u8, outcome as u8, u8::from(note.late)]);
    number(out, micros(note.started.since(started)));
    number(out, micros(took));
    number(out, note.first_byte.map_or(UNKNOWN, micros));
    number(out, note.roll);
    number(out, note.revision);
    text(out, &note.peer.pool, TEXT);
    text(out, &note.peer.label, TEXT);
}

fn number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_le_bytes());
}

/// Appends as much of a text as may be kept, up to a whole character.
fn text(out: &mut Vec<u8>, text: &str, most: usize) {
    bytes(out, text.get(..text.floor_char_boundary(most)).unwrap_or_default().as_bytes());
}

fn bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let len = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(bytes.get(..usize::from(len)).unwrap_or_default());
}

/// When the request of a record began.
pub(super) fn started(record: &[u8]) -> Option<Tick> {
    RecordReader(record).number().map(Tick)
}

/// The record as values; `None` if the bytes are none.
pub(super) fn read(record: &[u8]) -> Option<DecisionRecord> {
    let mut from = RecordReader(record);
    let from = &mut from;
    let (started, roll, generation) = (Tick(from.number()?), from.number()?, from.number()?);
    let (revision, duration_us, first_byte_us) = (from.number()?, from.number()?, from.time()?);
    let status = u16::from_le_bytes(from.array()?);
    let more_attempts = u32::from_le_bytes(from.array()?);
    let cut = from.byte()? != 0;
    let (request_id, client, method) = (from.text()?, from.text()?, from.text()?);
    let (host, path, route) = (from.text()?, from.text()?, from.text()?);
    let some = |text: String| (!text.is_empty()).then_some(text);
    let (refusal, error) = (some(from.text()?), some(from.text()?));
    let attempts = (0..from.byte()?).map(|_| from.attempt()).collect::<Option<Vec<_>>>()?;
    Some(DecisionRecord {
        request_id,
        started,
        client,
        method,
        host,
        path,
        cut,
        route,
        roll,
        generation,
        revision,
        status,
        duration_us,
        first_byte_us,
        refusal,
        error,
        attempts,
        more_attempts,
    })
}

/// The rest of a record.
struct RecordReader<'a>(&'a [u8]);

impl RecordReader<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn number(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn time(&mut self) -> Option<Option<u64>> {
        self.number().map(|time| (time != UNKNOWN).then_some(time))
    }

    fn text(&mut self) -> Option<String> {
        let len = u16::from_le_bytes(self.array()?);
        let (taken, rest) = self.0.split_at_checked(usize::from(len))?;
        self.0 = rest;
        Some(String::from_utf8_lossy(taken).into_owned())
    }

    fn attempt(&mut self) -> Option<AttemptRecord> {
        let [reason, kind, outcome, late] = self.array()?.map(usize::from);
        let (after_us, duration_us, first_byte_us) = (self.number()?, self.number()?, self.time()?);
        let (roll, revision) = (self.number()?, self.number()?);
        Some(AttemptRecord {
            reason: Reason::ALL.get(reason).copied()?,
            kind: AttemptKind::ALL.get(kind).copied()?,
            outcome: Outcome::ALL.get(outcome)?.as_str(),
            after_us,
            duration_us,
            first_byte_us,
            late: late != 0,
            roll,
            revision,
            pool: self.text()?,
            endpoint: self.text()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use thalweg_wire::Version;

    use super::*;

    fn check(host: &str, path: &str, cut: bool) {
        let request = AccessRecord {
            request_id: "an-id",
            client: b"2001:db8::1",
            method: "PROPFIND",
            host,
            path,
            status: 502,
            bytes_in: 1,
            bytes_out: 2,
            duration: Duration::from_micros(1234),
            first_byte: None,
            route: "api",
            pool: Some("p"),
            endpoint: Some("e"),
            attempts: 2,
            reason: Some("failover"),
            generation: 7,
            revision: 99,
            roll: (1 << 53) - 1,
            version: Version::Http2,
            tcp: false,
            tls: None,
            client_cert: None,
            refusal: None,
            error: Some("reset"),
            rule: None,
            proxy: None,
        };
        let mut out = Vec::new();
        write(&mut out, &request, Tick(55), (&[], 3));
        let record = read(&out).unwrap();
        let expected = DecisionRecord {
            request_id: "an-id".into(),
            started: Tick(55),
            client: "2001:db8::1".into(),
            method: "PROPFIND".into(),
            host: host.chars().take(HOST).collect(),
            path: record.path.clone(),
            cut,
            route: "api".into(),
            roll: (1 << 53) - 1,
            generation: 7,
            revision: 99,
            status: 502,
            duration_us: 1234,
            first_byte_us: None,
            refusal: None,
            error: Some("reset".into()),
            attempts: Vec::new(),
            more_attempts: 3,
        };
        assert_eq!(record, expected);
        assert!(path.starts_with(&record.path) && record.path.len() <= PATH);
        assert_eq!(cut, record.path != path || record.host != host);
        assert_eq!(started(&out), Some(Tick(55)));
        assert!((0..out.len()).all(|len| read(&out[..len]).is_none()), "no part of a record is one");
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        check("a.test", "/x", false);
        check("", "", false);
        check(&"h".repeat(300), "/", true);
        check("a.test", &format!("/{}", "p".repeat(600)), true);
        check("a.test", &format!("/{}", "é".repeat(300)), true);
    }

    #[test]
    fn discriminants_are_places_in_the_lists() {
        for (nth, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, nth);
        }
        for (nth, kind) in AttemptKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, nth);
        }
        for (nth, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, nth);
        }
    }
}
