//! What holds for any input: no division into reads changes what is read, nothing panics or grows beyond its bounds, and
//! what a writer makes a reader reads.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

mod common;
#[path = "common/generate.rs"]
mod generate;

use common::{Seen, answer, invariants, requests, whole};
use generate::message;
use proptest::{collection::vec, prelude::*, sample::select};
use thalweg_wire::{AnswerTo, Framing, HeadWriter, Limits};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn requests_are_read_the_same_in_any_division_and_when_they_are_forwarded(
        input in message(),
        places in vec(any::<usize>(), 0..6),
    ) {
        invariants::of_requests(&input, &places);
    }

    #[test]
    fn answers_are_read_the_same_in_any_division_and_when_they_are_forwarded(
        input in message(),
        places in vec(any::<usize>(), 0..6),
        head: bool,
        upgrade: bool,
    ) {
        invariants::of_answers(&input, &places, AnswerTo { head, upgrade });
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
