//! What holds for any input. A test or a fuzz target gives the bytes; a panic says what does not hold.

use super::{Seen, Transcript, answer, bytewise, cut, requests, whole};
use thalweg_wire::{
    AnswerHead, AnswerReader, AnswerStep, AnswerTo, BodyEvent, FieldRef, HeadWriter, Limits, RequestHead,
    RequestReader, RequestStep, Version,
};

const LIMITS: Limits = Limits { head_bytes: 300, fields: 6 };

/// What a writer adds to a head may go beyond the limits that the head kept.
const ROOMY: Limits = Limits { head_bytes: 4096, fields: 10 };

/// What a reader may hold beside itself: its limits with the growth of a vector, and the head's own words.
const MEMORY: usize = 2 * (300 + 6 * 20) + 512;

fn bounded(read: &Transcript) {
    assert!(read.memory <= MEMORY, "{} bytes are held", read.memory);
}

/// No division into reads changes what is read, memory keeps its bounds, and what is forwarded is read the same again.
pub fn of_requests(input: &[u8], places: &[usize]) {
    let read = requests(&whole(input), LIMITS);
    for other in [requests(&cut(input, places), LIMITS), requests(&bytewise(input), LIMITS)] {
        assert_eq!(other.seen, read.seen);
        bounded(&other);
    }
    let again = requests(&whole(&rewrite(input)), ROOMY);
    let forwarded = heads(&again);
    assert_eq!(forwarded.as_slice(), &heads(&read)[..forwarded.len()]);
    assert_eq!(again.content(), read.content());
    assert_eq!(again.refusal().filter(|error| error.as_str() != "truncated"), None);
}

/// The same for the answer to one request, and for clients of both versions.
pub fn of_answers(input: &[u8], places: &[usize], to: AnswerTo) {
    let read = answer(&whole(input), to, LIMITS);
    for other in [answer(&cut(input, places), to, LIMITS), answer(&bytewise(input), to, LIMITS)] {
        assert_eq!(other.seen, read.seen);
        bounded(&other);
    }
    for client in [Version::Http10, Version::Http11] {
        let Some(written) = rewrite_answer(input, to, client) else { continue };
        let again = answer(&whole(&written), to, ROOMY);
        assert_eq!(again.content(), read.content());
        assert_eq!(statuses(&again), statuses(&read));
        assert_eq!(again.refusal(), None);
    }
}

fn heads(read: &Transcript) -> Vec<String> {
    let head = |seen: &Seen| if let Seen::Request(head) = seen { Some(head.clone()) } else { None };
    read.seen.iter().filter_map(head).collect()
}

/// Forwards every request whose head is whole, as a proxy does: head and content through the writers.
fn rewrite(input: &[u8]) -> Vec<u8> {
    let mut reader = RequestReader::new(LIMITS);
    let (mut head, mut out, mut rest) = (RequestHead::default(), Vec::new(), input);
    let keep = |field: &FieldRef<'_>| !field.is_hop_by_hop();
    while let Ok(RequestStep::Head { consumed }) = reader.head(rest, &mut head) {
        rest = &rest[consumed..];
        let host = head.authority().unwrap_or("pool").to_owned();
        let mut writer =
            HeadWriter::request(&mut out, head.method_name(), head.target(), &host, head.framing());
        writer.fields(head.fields(), keep);
        let mut body = writer.finish().expect("what was read can be written");
        loop {
            let Ok(step) = reader.body(rest) else { return out };
            let data = if let BodyEvent::Data(place) = &step.event { &rest[place.clone()] } else { &[] };
            body.data(data, &mut out).expect("a body has the length that was read");
            rest = &rest[step.consumed..];
            match step.event {
                BodyEvent::Data(_) => {}
                BodyEvent::More => return out,
                BodyEvent::End => break,
            }
        }
        body.end(reader.trailers(), |_| true, &mut out).expect("a body that was read is whole");
    }
    out
}

fn statuses(read: &Transcript) -> Vec<String> {
    let status = |seen: &Seen| match seen {
        Seen::Answer(head) => head.split(' ').next().map(str::to_owned),
        Seen::Switched(data) => Some(format!("switched {data:?}")),
        _ => None,
    };
    read.seen.iter().filter_map(status).collect()
}

/// Forwards an answer to a client of this version, with its interim answers, its body or what follows a 101. `None` if
/// it is not whole, or if more follows: a proxy closes both connections then.
fn rewrite_answer(input: &[u8], to: AnswerTo, client: Version) -> Option<Vec<u8>> {
    let mut reader = AnswerReader::new(to, LIMITS);
    let (mut head, mut out, mut rest) = (AnswerHead::default(), Vec::new(), input);
    let mut body = loop {
        let step = reader.head(rest, &mut head).ok()?;
        let (AnswerStep::Interim { consumed }
        | AnswerStep::Head { consumed }
        | AnswerStep::Switched { consumed }) = step
        else {
            return None;
        };
        rest = &rest[consumed..];
        let framing = head.framing().towards(client);
        let mut writer = HeadWriter::answer(&mut out, head.status(), head.reason(), framing);
        writer.fields(head.fields(), |field| !field.is_hop_by_hop());
        let body = writer.finish().expect("what was read can be written");
        match step {
            AnswerStep::Interim { .. } => {}
            AnswerStep::Switched { .. } => {
                out.extend_from_slice(rest);
                return Some(out);
            }
            _ => break body,
        }
    };
    loop {
        let step = reader.body(rest).ok()?;
        let data = if let BodyEvent::Data(place) = &step.event { &rest[place.clone()] } else { &[] };
        body.data(data, &mut out).expect("a body has the length that was read");
        rest = &rest[step.consumed..];
        match step.event {
            BodyEvent::Data(_) => {}
            BodyEvent::More => reader.end_of_input().ok()?,
            BodyEvent::End => break,
        }
    }
    body.end(reader.trailers(), |_| true, &mut out).expect("a body that was read is whole");
    rest.is_empty().then_some(out)
}
