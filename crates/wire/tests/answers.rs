//! What is an answer and what is none: a table for every rule that answers do not share with requests. Each input is
//! read at once, byte by byte, and cut in two at every place; the events are the same.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use common::{answer, bytewise, cut, whole};
use thalweg_wire::{AnswerHead, AnswerReader, AnswerStep, AnswerTo, BodyEvent, Limits, ProtocolError};

const LIMITS: Limits = Limits { head_bytes: 512, fields: 8 };
const GET: AnswerTo = AnswerTo { head: false, upgrade: false };
const HEAD: AnswerTo = AnswerTo { head: true, upgrade: false };
const UPGRADE: AnswerTo = AnswerTo { head: false, upgrade: true };

#[track_caller]
fn check(to: AnswerTo, input: impl AsRef<[u8]>, expected: &[&str]) {
    let input = input.as_ref();
    let read = answer(&whole(input), to, LIMITS);
    assert_eq!(read.brief(), expected, "{}", String::from_utf8_lossy(input));
    assert_eq!(answer(&bytewise(input), to, LIMITS).seen, read.seen, "byte by byte");
    for place in 0..input.len() {
        assert_eq!(answer(&cut(input, &[place]), to, LIMITS).seen, read.seen, "cut at {place}");
    }
}

#[track_caller]
fn refused(input: impl AsRef<[u8]>, error: ProtocolError) {
    check(GET, input, &[error.as_str()]);
}

#[test]
fn the_body_ends_where_the_head_says() {
    check(GET, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", &["200 Length(5)", "[hello]"]);
    check(GET, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", &["200 Length(0)"]);
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n";
    check(GET, chunked, &["200 Chunked", "[hello]"]);
    check(GET, "HTTP/1.1 200 OK\r\n\r\nhello", &["200 UntilClose", "[hello]"]);
    check(GET, "HTTP/1.0 200 OK\r\n\r\nhello", &["200 UntilClose", "[hello]"]);
    check(GET, "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", &["200 Length(5)", "[hello]"]);
}

#[test]
fn some_answers_have_no_body_whatever_they_say() {
    check(HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", &["200 None"]);
    check(HEAD, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", &["200 None"]);
    check(HEAD, "HTTP/1.1 200 OK\r\n\r\n", &["200 None"]);
    check(GET, "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", &["304 None"]);
    check(GET, "HTTP/1.1 204 No Content\r\n\r\n", &["204 None"]);
    check(GET, "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", &["204 None"]);
    refused("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", ProtocolError::BodyForbidden);
    refused("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", ProtocolError::BodyForbidden);
    refused("HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n", ProtocolError::BodyForbidden);
    check(HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", &["200 None", "out_of_step"]);
    check(GET, "HTTP/1.1 304 Not Modified\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", &["304 None", "out_of_step"]);
}

#[test]
fn interim_answers_come_before_the_answer() {
    let last = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx";
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    let seen = ["100 None", "103 None", "103 None", "200 Length(1)", "[x]"];
    check(GET, format!("HTTP/1.1 100 Continue\r\n\r\n{hints}{hints}{last}"), &seen);
    let many =
        |times| answer(&whole(format!("{}{last}", hints.repeat(times)).as_bytes()), GET, LIMITS).refusal();
    assert_eq!((many(32), many(33)), (None, Some(ProtocolError::TooManyInterim)));
    check(GET, hints, &["103 None", "truncated"]);
}

#[test]
fn http_ends_at_a_101_that_was_asked_for() {
    let switch =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nHTTP/1.1 \0raw";
    check(UPGRADE, switch, &["101 None", "switched [HTTP/1.1 \0raw]"]);
    check(GET, switch, &["unsolicited_switch"]);
    check(UPGRADE, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", &["200 Length(1)", "[x]"]);
}

#[test]
fn a_status_line_has_a_version_and_three_digits() {
    let line = |line: &str| format!("{line}\r\nContent-Length: 0\r\n\r\n");
    for (good, status) in [
        ("HTTP/1.1 200 OK", "200 Length(0)"),
        ("HTTP/1.1 200 ", "200 Length(0)"),
        ("HTTP/1.1 200", "200 Length(0)"),
        ("HTTP/1.1 200 Very  good \u{e9}\t!", "200 Length(0)"),
        ("HTTP/1.1 999 Request denied", "999 Length(0)"),
    ] {
        check(GET, line(good), &[status]);
    }
    for bad in [
        "HTTP/1.1 20 OK",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 099 OK",
        "HTTP/1.1 2x0 OK",
        "HTTP/1.1  200 OK",
        "HTTP/1.1\t200 OK",
        "HTTP/1.1 200\tOK",
        "HTTP/1.1 200OK",
        "HTTP/1.1 200 O\0K",
        "HTTP/1.1",
        "ICY 200 OK",
        " HTTP/1.1 200 OK",
        "200 OK",
        "",
        "<html>",
    ] {
        refused(line(bad), ProtocolError::BadStatusLine);
    }
    for version in ["HTTP/2.0 200 OK", "HTTP/0.9 200 OK", "HTTP/1.2 200 OK"] {
        refused(line(version), ProtocolError::UnsupportedVersion);
    }
    for version in ["HTTP/x.1 200 OK", "HTTP1.1 200 OK", "HTTPS/1.1 200 OK"] {
        refused(line(version), ProtocolError::BadVersion);
    }
    refused("HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", ProtocolError::BareLf);
    refused("HTTP/1.1 200 OK\r\rContent-Length: 0\r\n\r\n", ProtocolError::BareCr);
}

#[test]
fn framing_that_is_ambiguous_is_refused() {
    for (lines, error) in [
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", ProtocolError::LengthWithCoding),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", ProtocolError::RepeatedContentLength),
        ("Content-Length: -1\r\n", ProtocolError::BadContentLength),
        ("Transfer-Encoding: gzip, chunked\r\n", ProtocolError::UnknownTransferCoding),
        ("Transfer-Encoding: identity\r\n", ProtocolError::BadTransferCoding),
        ("Content-Length : 5\r\n", ProtocolError::SpaceBeforeColon),
        ("X: y\r\n z\r\n", ProtocolError::ObsFold),
        ("X: y\n", ProtocolError::BareLf),
        ("X\r\n", ProtocolError::MissingColon),
        ("X: \0\r\n", ProtocolError::BadFieldValue),
    ] {
        refused(format!("HTTP/1.1 200 OK\r\n{lines}\r\nhello"), error);
        check(HEAD, format!("HTTP/1.1 200 OK\r\n{lines}\r\n"), &[error.as_str()]);
    }
    refused("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", ProtocolError::CodingInHttp10);
    refused(format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(9)), ProtocolError::TooManyFields);
    refused(format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "b".repeat(512)), ProtocolError::HeadTooLarge);
    refused(format!("HTTP/1.1 200 {}\r\n\r\n", "b".repeat(512)), ProtocolError::HeadTooLarge);
}

#[test]
fn a_reader_knows_whether_its_connection_may_carry_another_request() {
    let read = |input: &str, unread: &[u8]| {
        let mut reader = AnswerReader::new(GET, LIMITS);
        let mut head = AnswerHead::default();
        let step = reader.head(input.as_bytes(), &mut head).expect("a head");
        let AnswerStep::Head { consumed } = step else { return None };
        let body = reader.body(&input.as_bytes()[consumed..]).expect("a body");
        Some((head.keep_alive(), matches!(body.event, BodyEvent::End), reader.may_reuse(unread)))
    };
    let empty = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n";
    assert_eq!(read(&format!("{empty}\r\n"), b""), Some((true, true, true)));
    assert_eq!(read(&format!("{empty}\r\n"), b"H"), Some((true, true, false)));
    assert_eq!(read(&format!("{empty}Connection: close\r\n\r\n"), b""), Some((false, true, false)));
    assert_eq!(read("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", b""), Some((false, true, false)));
    let kept = "HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n";
    assert_eq!(read(kept, b""), Some((true, true, true)));
    assert_eq!(read("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nx", b""), Some((true, false, false)));
    assert_eq!(read("HTTP/1.1 200 OK\r\n\r\nx", b""), Some((false, false, false)));
}

#[test]
fn a_reader_knows_whether_an_answer_has_begun() {
    let mut reader = AnswerReader::new(GET, LIMITS);
    let mut head = AnswerHead::default();
    assert!(reader.is_fresh() && !reader.is_done());
    assert_eq!(reader.head(b"", &mut head), Ok(AnswerStep::More));
    assert!(reader.is_fresh());
    assert_eq!(reader.head(b"H", &mut head), Ok(AnswerStep::More));
    assert!(!reader.is_fresh() && reader.memory() > 0);
    assert_eq!(reader.head(b"TTP/1.1 103 \r\n\r\n", &mut head), Ok(AnswerStep::Interim { consumed: 16 }));
    assert!(!reader.is_fresh() && reader.memory() == 0);
    assert_eq!(reader.end_of_input(), Err(ProtocolError::Truncated));
    assert_eq!(reader.head(b"H", &mut head), Err(ProtocolError::Truncated), "a refusal is final");
}

#[test]
fn an_answer_that_is_cut_off_is_no_answer() {
    for part in ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r"] {
        refused(part, ProtocolError::Truncated);
    }
    check(GET, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", &["200 Length(5)", "[hell]", "truncated"]);
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    check(GET, chunked, &["200 Chunked", "[hello]", "truncated"]);
}
