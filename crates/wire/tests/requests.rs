//! What is a request and what is none: a table for every rule. Each input is read at once, byte by byte, and cut in two
//! at every place; the events are the same.
#![allow(clippy::indexing_slicing, reason = "tests")]

mod common;

use common::{bytewise, cut, requests, whole};
use thalweg_wire::{FieldName, Limits, ProtocolError, RequestHead, RequestReader, RequestStep};

const LIMITS: Limits = Limits { head_bytes: 512, fields: 8 };

#[track_caller]
fn check(input: impl AsRef<[u8]>, expected: &[&str]) {
    let input = input.as_ref();
    let read = requests(&whole(input), LIMITS);
    assert_eq!(read.brief(), expected, "{}", String::from_utf8_lossy(input));
    assert_eq!(requests(&bytewise(input), LIMITS).seen, read.seen, "byte by byte");
    for place in 0..input.len() {
        assert_eq!(requests(&cut(input, &[place]), LIMITS).seen, read.seen, "cut at {place}");
    }
}

#[track_caller]
fn refused(input: impl AsRef<[u8]>, error: ProtocolError) {
    check(input, &[error.as_str()]);
}

/// A GET with these lines behind its `Host`.
fn get(lines: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
}

/// A chunked POST with this body.
fn chunked(body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}")
}

#[test]
fn requests_follow_each_other_on_one_connection() {
    check("", &[]);
    check(get(""), &["GET / None"]);
    check(get("").repeat(3), &["GET / None"; 3]);
    check(
        "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET /b HTTP/1.1\r\nHost: a\r\n\r\n",
        &["POST /a Length(5)", "[hello]", "GET /b None"],
    );
    check(
        chunked("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n") + &get(""),
        &["POST / Chunked", "[hello world]", "GET / None"],
    );
    check("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", &["POST / Length(0)"]);
    check("GET / HTTP/1.0\r\n\r\n", &["GET / None"]);
    check("POST / HTTP/1.0\r\nContent-Length: 1\r\n\r\nx", &["POST / Length(1)", "[x]"]);
}

#[test]
fn one_empty_line_may_come_before_a_request() {
    check(format!("\r\n{}", get("")), &["GET / None"]);
    check(format!("{}\r\n{}", get(""), get("")), &["GET / None", "GET / None"]);
    check("\r\n", &[]);
    refused(format!("\r\n\r\n{}", get("")), ProtocolError::BadMethod);
    refused(format!("\n{}", get("")), ProtocolError::BadMethod);
    refused("\rGET / HTTP/1.1\r\n\r\n", ProtocolError::BareCr);
}

#[test]
fn a_method_is_a_token_of_reasonable_length() {
    let line = |method: &str| format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n");
    check(line("M-SEARCH"), &["M-SEARCH / None"]);
    check(line("get"), &["get / None"]);
    for bad in ["", " GET", "G(T", "GET\t", "G\u{e9}T", "GET:", "\0", "\x16\x03\x01"] {
        refused(line(bad), ProtocolError::BadMethod);
    }
    check(line(&"M".repeat(32)), &[&format!("{} / None", "M".repeat(32))]);
    refused(line(&"M".repeat(33)), ProtocolError::MethodTooLong);
}

#[test]
fn a_target_is_graphic_ascii_without_a_fragment() {
    let line = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
    for good in ["/", "/a?b=\"c\"", "/<>{}|\\^`", "/?q=100%", "/a[0]?b[]=1", "/%zz", "//", "/;a=b,c"] {
        check(line(good), &[&format!("GET {good} None")]);
    }
    for bad in ["", "/\u{e9}", "/a\tb", "/\0", "/a#b", "/\x7f", "/\x0b"] {
        refused(line(bad), ProtocolError::BadTarget);
    }
    for spaced in ["/a b", "/ ", "/a  ", "/a HTTP/1.1 x /b"] {
        let error = requests(&whole(line(spaced).as_bytes()), LIMITS).refusal();
        let spaces = [Some(ProtocolError::SpaceInTarget), Some(ProtocolError::BadVersion)];
        assert!(spaces.contains(&error), "{spaced}: {error:?}");
    }
    refused(line(" /"), ProtocolError::BadTarget);
    refused(line("/ /"), ProtocolError::SpaceInTarget);
    refused(line("ftp://a/"), ProtocolError::TargetForm);
    refused(line("*"), ProtocolError::TargetForm);
    refused(line("http://u@a/"), ProtocolError::BadAuthority);
    check("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", &["OPTIONS * None"]);
    check("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", &["CONNECT a:443 None"]);
    check("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", &["TRACE / None"]);
    check("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", &["GET http://b/ None"]);
}

#[test]
fn a_version_is_one_of_two() {
    let line = |version: &str| format!("GET / {version}\r\nHost: a\r\n\r\n");
    check(line("HTTP/1.0"), &["GET / None"]);
    for other in ["HTTP/1.2", "HTTP/1.9", "HTTP/2.0", "HTTP/0.9", "HTTP/3.0"] {
        refused(line(other), ProtocolError::UnsupportedVersion);
    }
    for bad in [
        "HTTP/1.1 ",
        "HTTP/1.",
        "HTTP/1",
        "HTTP/11",
        "HTTP/1.10",
        "Http/1.1",
        "HTTPS/1.1",
        "HTTP /1.1",
        "HTTP/x.1",
    ] {
        refused(line(bad), ProtocolError::BadVersion);
    }
    refused(line(" HTTP/1.1"), ProtocolError::SpaceInTarget);
    refused(line("http/1.1"), ProtocolError::SpaceInTarget);
    refused("GET /\r\n", ProtocolError::BadVersion);
    refused("GET / \r\n", ProtocolError::BadVersion);
    refused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ProtocolError::UnsupportedVersion);
}

#[test]
fn lines_end_with_cr_lf_and_nothing_else() {
    refused("GET / HTTP/1.1\nHost: a\r\n\r\n", ProtocolError::BadVersion);
    refused("GET / HTTP/1.1\r\nHost: a\n\r\n", ProtocolError::BareLf);
    refused("GET / HTTP/1.1\r\nHost: a\r\n\n", ProtocolError::BareLf);
    refused("GET / HTTP/1.1\r\rHost: a\r\n\r\n", ProtocolError::BareCr);
    refused(get("A: b\rc\r\n"), ProtocolError::BareCr);
    refused(get("A: b\r\r\n"), ProtocolError::BareCr);
    refused("GET / HTTP/1.1\r\nHost: a\r\n\rX", ProtocolError::BareCr);
}

#[test]
fn a_field_is_a_token_a_colon_and_a_value() {
    check(get("A:b\r\nA: \tb \t\r\nA:\r\nA: \u{e9}\"\\(\r\n"), &["GET / None"]);
    let fields = requests(&whole(get("X-a:\t b  c \t\r\nx-A:\r\n").as_bytes()), LIMITS).seen;
    let shown = [common::Seen::Field("X-a: b  c".into()), common::Seen::Field("x-A: ".into())];
    assert!(fields.ends_with(&[&shown[..], &[common::Seen::End]].concat()), "{fields:?}");
    for (line, error) in [
        (" A: b", ProtocolError::ObsFold),
        ("\tb", ProtocolError::ObsFold),
        (" ", ProtocolError::ObsFold),
        ("A : b", ProtocolError::SpaceBeforeColon),
        ("A\t: b", ProtocolError::SpaceBeforeColon),
        ("A b: c", ProtocolError::SpaceBeforeColon),
        ("A", ProtocolError::MissingColon),
        (": b", ProtocolError::BadFieldName),
        ("\u{e9}: b", ProtocolError::BadFieldName),
        ("A\0: b", ProtocolError::BadFieldName),
        ("\x0bTransfer-Encoding: chunked", ProtocolError::BadFieldName),
        ("A(b): c", ProtocolError::BadFieldName),
        ("A: b\0", ProtocolError::BadFieldValue),
        ("A: \x0b", ProtocolError::BadFieldValue),
        ("A: b\x7f", ProtocolError::BadFieldValue),
        ("A: \x1b[0m", ProtocolError::BadFieldValue),
    ] {
        refused(get(&format!("{line}\r\n")), error);
    }
    refused("GET / HTTP/1.1\r\n Host: a\r\n\r\n", ProtocolError::LeadingWhitespace);
    refused("GET / HTTP/1.1\r\n\tX\r\nHost: a\r\n\r\n", ProtocolError::LeadingWhitespace);
}

#[test]
fn a_request_has_one_host() {
    let hosts = |lines: &str| format!("GET / HTTP/1.1\r\n{lines}\r\n");
    refused(hosts(""), ProtocolError::MissingHost);
    refused(hosts("Host: a\r\nHost: a\r\n"), ProtocolError::RepeatedHost);
    refused(hosts("Host: a\r\nhost: b\r\n"), ProtocolError::RepeatedHost);
    for bad in
        ["", "a b", "a, b", "a/b", "u@a", "a:b", "a:70000", "[::1", "a:80:80", "\u{e9}", "a\tb", "http://a"]
    {
        refused(hosts(&format!("Host: {bad}\r\n")), ProtocolError::BadHost);
    }
    check(hosts("hOsT:a.example.:8080\r\n"), &["GET / None"]);
    refused("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", ProtocolError::RepeatedHost);
    refused("GET / HTTP/1.0\r\nHost:\r\n\r\n", ProtocolError::BadHost);
    refused("GET http://b/ HTTP/1.1\r\n\r\n", ProtocolError::MissingHost);
}

#[test]
fn framing_that_two_servers_could_read_differently_is_refused() {
    for (lines, error) in [
        ("Content-Length: 5\r\nContent-Length: 5\r\n", ProtocolError::RepeatedContentLength),
        ("Content-Length: 5\r\ncontent-length: 6\r\n", ProtocolError::RepeatedContentLength),
        ("Content-Length: 5, 5\r\n", ProtocolError::BadContentLength),
        ("Content-Length: +5\r\n", ProtocolError::BadContentLength),
        ("Content-Length: 0x5\r\n", ProtocolError::BadContentLength),
        ("Content-Length: 5 5\r\n", ProtocolError::BadContentLength),
        ("Content-Length: 99999999999999999999\r\n", ProtocolError::LengthTooLarge),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", ProtocolError::LengthWithCoding),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", ProtocolError::LengthWithCoding),
        ("Transfer-Encoding: gzip, chunked\r\n", ProtocolError::UnknownTransferCoding),
        ("Transfer-Encoding: chunked, gzip\r\n", ProtocolError::BadTransferCoding),
        ("Transfer-Encoding: identity\r\n", ProtocolError::BadTransferCoding),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
            ProtocolError::RepeatedTransferCoding,
        ),
        ("Transfer-Encoding : chunked\r\n", ProtocolError::SpaceBeforeColon),
        ("X: y\r\n Transfer-Encoding: chunked\r\n", ProtocolError::ObsFold),
        ("Transfer-Encoding: \x0bchunked\r\n", ProtocolError::BadFieldValue),
    ] {
        refused(get(lines), error);
    }
    refused("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", ProtocolError::CodingInHttp10);
}

#[test]
fn chunks_have_hexadecimal_sizes_and_cr_lf() {
    let body = |body: &str, data: &str| check(chunked(body), &["POST / Chunked", data]);
    body("a\r\n0123456789\r\n0\r\n\r\n", "[0123456789]");
    body("00000A\r\n0123456789\r\n000\r\n\r\n", "[0123456789]");
    body("1;a\r\nx\r\n1;a=b;c=\"d; \\\"e\"\r\ny\r\n0;z\r\n\r\n", "[xy]");
    check(chunked("0\r\n\r\n"), &["POST / Chunked"]);
    let bad = |body: &str, error: ProtocolError| {
        let seen = requests(&whole(chunked(body).as_bytes()), LIMITS).brief();
        let refs: Vec<&str> = seen.iter().map(String::as_str).collect();
        check(chunked(body), &refs);
        assert_eq!(refs.last(), Some(&error.as_str()), "{body:?}");
    };
    for size in ["", "g", " 5", "5 ", "+5", "-5", "0x5", "5_0", "5,5", "00000000000000005", "\t5", "5\0"] {
        bad(&format!("{size}\r\nhello\r\n0\r\n\r\n"), ProtocolError::BadChunkSize);
    }
    bad("ffffffffffffffff\r\nx", ProtocolError::LengthTooLarge);
    bad("8000000000000000\r\nx", ProtocolError::LengthTooLarge);
    bad("5\nhello\r\n0\r\n\r\n", ProtocolError::BareLf);
    bad("\nhello\r\n0\r\n\r\n", ProtocolError::BadChunkSize);
    bad("5\rhello\r\n0\r\n\r\n", ProtocolError::BareCr);
    bad("5\r\nhello0\r\n\r\n", ProtocolError::BadChunkEnd);
    bad("5\r\nhello\n0\r\n\r\n", ProtocolError::BadChunkEnd);
    bad("5\r\nhello\r0\r\n\r\n", ProtocolError::BadChunkEnd);
    bad("5\r\nhelloxx0\r\n\r\n", ProtocolError::BadChunkEnd);
    bad("0\r\n\n", ProtocolError::BareLf);
    bad("0\n\r\n", ProtocolError::BareLf);
    bad("0\r\n\rX", ProtocolError::BareCr);
    for extension in [
        "5;\r\n",
        "5;;a\r\n",
        "5;a=\r\n",
        "5; a\r\n",
        "5;a =b\r\n",
        "5;a=\"b\r\n",
        "5;a=\"b\"c\r\n",
        "5;a=b c\r\n",
        "5;a\0\r\n",
    ] {
        bad(&format!("{extension}hello\r\n0\r\n\r\n"), ProtocolError::BadChunkExtension);
    }
    bad("5;\nhello", ProtocolError::BareLf);
    bad("5;a=\"\n", ProtocolError::BareLf);
    bad("5;a=\"\\\n", ProtocolError::BareLf);
    bad("5;a=\"\\\0\"\r\n", ProtocolError::BadChunkExtension);
    body(&format!("1;{}\r\nx\r\n0\r\n\r\n", "a".repeat(255)), "[x]");
    bad(&format!("1;{}\r\nx\r\n0\r\n\r\n", "a".repeat(256)), ProtocolError::BadChunkExtension);
}

#[test]
fn trailers_pass_unless_they_would_change_what_was_said() {
    let seen = requests(&whole(chunked("0\r\nX-Sum: 1\r\nx-b:2\r\n\r\n").as_bytes()), LIMITS).seen;
    let expected =
        [common::Seen::Field("X-Sum: 1".into()), common::Seen::Field("x-b: 2".into()), common::Seen::End];
    assert!(seen.ends_with(&expected), "{seen:?}");
    check(chunked("0\r\nX-Sum: 1\r\n\r\n"), &["POST / Chunked"]);
    for (trailer, error) in [
        ("Content-Length: 1", ProtocolError::ForbiddenTrailer),
        ("transfer-encoding: chunked", ProtocolError::ForbiddenTrailer),
        ("Host: b", ProtocolError::ForbiddenTrailer),
        ("Content_Length: 1", ProtocolError::ForbiddenTrailer),
        ("A : b", ProtocolError::SpaceBeforeColon),
        ("A: b\0", ProtocolError::BadFieldValue),
        ("A", ProtocolError::MissingColon),
    ] {
        check(chunked(&format!("0\r\n{trailer}\r\n\r\n")), &["POST / Chunked", error.as_str()]);
    }
    check(chunked(&format!("0\r\n{}", "A: b\r\n".repeat(9))), &["POST / Chunked", "too_many_fields"]);
    check(chunked(&format!("0\r\nA: {}", "b".repeat(512))), &["POST / Chunked", "head_too_large"]);
}

#[test]
fn heads_have_limits() {
    let target = |length: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(length));
    let room = 512 - target(0).len();
    check(target(room), &[&format!("GET /{} None", "a".repeat(room))]);
    refused(target(room + 1), ProtocolError::HeadTooLarge);
    refused(target(520), ProtocolError::TargetTooLong);
    refused(&target(600)[..512], ProtocolError::TargetTooLong);
    refused(&get(&format!("A: {}\r\n", "b".repeat(512)))[..512], ProtocolError::HeadTooLarge);
    refused(&get(&format!("A: {}\r\n", "b".repeat(512)))[..511], ProtocolError::Truncated);
    refused(get(&format!("A: {}\r\n", "b".repeat(512))), ProtocolError::HeadTooLarge);
    check(get(&"A: b\r\n".repeat(7)), &["GET / None"]);
    refused(get(&"A: b\r\n".repeat(8)), ProtocolError::TooManyFields);
    refused(get(&format!("Connection: {}\r\n", "a,".repeat(65))), ProtocolError::TooManyFields);
}

#[test]
fn a_reader_holds_bytes_only_while_a_head_is_incomplete() {
    let mut reader = RequestReader::new(LIMITS);
    let mut head = RequestHead::default();
    assert!(size_of::<RequestReader>() <= 64, "{} bytes per idle connection", size_of::<RequestReader>());
    assert_eq!(reader.head(get("").as_bytes(), &mut head), Ok(RequestStep::Head { consumed: get("").len() }));
    assert_eq!((reader.memory(), reader.is_idle()), (0, true));
    assert_eq!(reader.head(b"GET / HTTP/1.1\r\nHost: a\r\nX", &mut head), Ok(RequestStep::More));
    assert!(!reader.is_idle());
    let held = reader.memory() - size_of::<RequestHead>();
    assert!((28..=28 + 20).contains(&held), "{held} bytes for a head of 28 with one field");
    assert_eq!(reader.head(b": y\r\n\r\n", &mut head), Ok(RequestStep::Head { consumed: 7 }));
    assert_eq!((reader.memory(), head.fields().get(FieldName::Host)), (0, Some(&b"a"[..])));
}

#[test]
fn a_body_that_is_not_read_is_never_taken_for_a_request() {
    let input = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 19\r\n\r\nGET /x HTTP/1.1\r\n\r\n";
    let mut reader = RequestReader::new(LIMITS);
    let mut head = RequestHead::default();
    let step = reader.head(input, &mut head);
    assert_eq!(step, Ok(RequestStep::Head { consumed: input.len() - 19 }));
    assert_eq!(reader.head(&input[input.len() - 19..], &mut head), Err(ProtocolError::OutOfStep));
    assert_eq!(reader.body(b"x"), Err(ProtocolError::OutOfStep), "a refusal is final");
    assert_eq!(RequestReader::new(LIMITS).body(b"x"), Err(ProtocolError::OutOfStep));
}

#[test]
fn a_connection_that_ends_within_a_request_is_told_apart_from_one_that_ends_between() {
    for part in ["G", "GET / HTTP/1.1\r\nHost: a\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r"] {
        refused(part, ProtocolError::Truncated);
    }
    check(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhell",
        &["POST / Length(5)", "[hell]", "truncated"],
    );
    check(chunked("5\r\nhello"), &["POST / Chunked", "[hello]", "truncated"]);
    check(chunked("5\r\nhello\r\n0\r\n"), &["POST / Chunked", "[hello]", "truncated"]);
}
