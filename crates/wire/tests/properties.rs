//! What holds for any input: no division into reads changes what is read, nothing panics or grows beyond its bounds, and
//! what a writer makes a reader reads.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use common::{Seen, Transcript, answer, bytewise, cut, generate::message, requests, whole};
use proptest::{collection::vec, prelude::*, sample::select};
use thalweg_wire::{
    AnswerHead, AnswerReader, AnswerStep, AnswerTo, BodyEvent, FieldRef, Framing, HeadWriter, Limits,
    RequestHead, RequestReader, RequestStep, Version,
};

const LIMITS: Limits = Limits { head_bytes: 300, fields: 6 };

/// What a reader may hold beside itself: its limits with the growth of a vector, and the head's own words.
const MEMORY: usize = 2 * (300 + 6 * 20) + 512;

fn bounded(read: &Transcript) {
    assert!(read.memory <= MEMORY, "{} bytes are held", read.memory);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn no_division_into_reads_changes_what_is_read(
        input in message(),
        places in vec(any::<usize>(), 0..6),
        head: bool,
        upgrade: bool,
    ) {
        let read = requests(&whole(&input), LIMITS);
        for other in [requests(&cut(&input, &places), LIMITS), requests(&bytewise(&input), LIMITS)] {
            prop_assert_eq!(&other.seen, &read.seen);
            bounded(&other);
        }
        let to = AnswerTo { head, upgrade };
        let read = answer(&whole(&input), to, LIMITS);
        for other in [answer(&cut(&input, &places), to, LIMITS), answer(&bytewise(&input), to, LIMITS)] {
            prop_assert_eq!(&other.seen, &read.seen);
            bounded(&other);
        }
    }

    #[test]
    fn a_request_that_was_read_and_is_written_again_is_read_the_same(input in message()) {
        let read = requests(&whole(&input), LIMITS);
        let written = rewrite(&input);
        let again = requests(&whole(&written), Limits { head_bytes: 4096, ..LIMITS });
        prop_assert_eq!(heads(&again), heads(&read).into_iter().take(heads(&again).len()).collect::<Vec<_>>());
        prop_assert_eq!(again.content(), read.content());
        prop_assert_eq!(again.refusal().filter(|error| error.as_str() != "truncated"), None);
    }

    #[test]
    fn an_answer_that_was_read_and_is_written_again_is_read_the_same(
        input in message(),
        head: bool,
        http10: bool,
    ) {
        let to = AnswerTo { head, upgrade: true };
        let read = answer(&whole(&input), to, LIMITS);
        let client = if http10 { Version::Http10 } else { Version::Http11 };
        let Some(written) = rewrite_answer(&input, to, client) else { return Ok(()) };
        let again = answer(&whole(&written), to, Limits { head_bytes: 4096, ..LIMITS });
        prop_assert_eq!(again.content(), read.content());
        prop_assert_eq!(statuses(&again), statuses(&read));
        prop_assert_eq!(again.refusal(), None);
    }

    #[test]
    fn a_request_that_a_writer_makes_a_reader_reads(
        method in word("GET|POST|OPTIONS|M-SEARCH"),
        target in prop_oneof![4 => "/[!-\"$-~]{0,12}", 1 => "[ -~]{0,6}", 1 => "\\*|http://[a-z@:]{1,5}/"],
        host in prop_oneof![4 => "[a-z0-9.-]{1,12}(:[0-9]{1,4})?", 1 => "\\PC{0,3}"],
        fields in fields(),
        body in body(),
    ) {
        let mut out = Vec::new();
        let mut writer = HeadWriter::request(&mut out, &method, &target, &host, body.framing);
        for (name, value) in &fields {
            writer.field(name, value);
        }
        let Ok(mut writer) = writer.finish() else {
            prop_assert!(out.is_empty());
            return Ok(());
        };
        body.pieces.iter().try_for_each(|data| writer.data(data, &mut out)).expect("the body fits");
        writer.end(None, |_| true, &mut out).expect("the body is whole");
        let read = requests(&whole(&out), Limits::default());
        let line = format!("{method} {target} {:?}", body.framing);
        prop_assert_eq!(&read.seen, &body.seen(Seen::Request(line), Some(&host), &fields));
    }

    #[test]
    fn an_answer_that_a_writer_makes_a_reader_reads(
        status in prop_oneof![4 => select(&[200_u16, 404, 503, 999][..]), 1 => 0..1100_u16],
        reason in "[ -~]{0,8}|\\PC{0,4}|.{0,2}",
        fields in fields(),
        body in body(),
    ) {
        let mut out = Vec::new();
        let mut writer = HeadWriter::answer(&mut out, status, reason.as_bytes(), body.framing);
        for (name, value) in &fields {
            writer.field(name, value);
        }
        let Ok(mut writer) = writer.finish() else {
            prop_assert!(out.is_empty());
            return Ok(());
        };
        body.pieces.iter().try_for_each(|data| writer.data(data, &mut out)).expect("the body fits");
        writer.end(None, |_| true, &mut out).expect("the body is whole");
        if status < 200 {
            out.extend_from_slice(b"HTTP/1.1 204 \r\n\r\n");
        }
        let to = AnswerTo { head: body.framing == Framing::None, upgrade: true };
        let read = answer(&whole(&out), to, Limits::default());
        let line = Seen::Answer(format!("{status} {:?}", body.framing));
        let expected = body.seen(line, None, &fields);
        let shown = expected.len() - 1;
        prop_assert_eq!(&read.seen[..shown], &expected[..shown]);
        prop_assert_eq!(read.refusal(), None);
    }
}

fn word(usual: &'static str) -> impl Strategy<Value = String> {
    prop_oneof![6 => usual, 1 => "[!-~]{0,5}|\\PC{0,3}"]
}

fn fields() -> impl Strategy<Value = Vec<(String, String)>> {
    let value = prop_oneof![6 => "[!-~]([ -~]{0,10}[!-~])?", 1 => "\\PC{0,4}|.{0,3}|[ -~]{0,3}"];
    vec((word("X-[A-Z]|[a-z]{1,6}"), value), 0..4)
}

#[derive(Clone, Debug)]
struct Body {
    framing: Framing,
    pieces: Vec<Vec<u8>>,
}

fn body() -> impl Strategy<Value = Body> {
    (vec(vec(any::<u8>(), 0..40), 0..4), 0..9_u8).prop_map(|(pieces, kind)| match kind {
        0..=2 => Body { framing: Framing::None, pieces: Vec::new() },
        3..=5 => Body { framing: Framing::Length(pieces.concat().len() as u64), pieces },
        6 | 7 => Body { framing: Framing::Chunked, pieces },
        _ => Body { framing: Framing::UntilClose, pieces },
    })
}

impl Body {
    /// What a reader says about a message of these parts.
    fn seen(&self, line: Seen, host: Option<&str>, fields: &[(String, String)]) -> Vec<Seen> {
        let field = |(name, value): &(String, String)| Seen::Field(format!("{name}: {value}"));
        let framing = match self.framing {
            Framing::Length(length) => Some(format!("Content-Length: {length}")),
            Framing::Chunked => Some("Transfer-Encoding: chunked".to_owned()),
            Framing::None | Framing::UntilClose => None,
        };
        let mut seen = vec![line];
        seen.extend(host.map(|host| Seen::Field(format!("Host: {host}"))));
        seen.extend(fields.iter().map(field));
        seen.extend(framing.map(Seen::Field));
        let content = self.pieces.concat();
        seen.extend((!content.is_empty()).then_some(Seen::Data(content)));
        seen.push(Seen::End);
        seen
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
