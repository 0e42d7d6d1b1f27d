//! What the writers make of what the readers read: the head that goes on, byte for byte.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use common::{answer, requests, whole};
use thalweg_wire::{
    AnswerHead, AnswerReader, AnswerStep, AnswerTo, FieldName, FieldRef, Framing, HeadWriter, Limits,
    RequestHead, RequestReader, RequestStep, Unwritable, Version,
};

fn request(input: &str) -> RequestHead {
    let mut head = RequestHead::default();
    let step = RequestReader::new(Limits::default()).head(input.as_bytes(), &mut head);
    assert_eq!(step, Ok(RequestStep::Head { consumed: input.len() }), "{input}");
    head
}

fn answered(input: &str, to: AnswerTo) -> AnswerHead {
    let mut head = AnswerHead::default();
    let step = AnswerReader::new(to, Limits::default()).head(input.as_bytes(), &mut head);
    assert_eq!(step, Ok(AnswerStep::Head { consumed: input.len() }), "{input}");
    head
}

/// As a proxy forwards: end-to-end fields pass, its own are added.
fn keep(field: &FieldRef<'_>) -> bool {
    !field.is_hop_by_hop() && !field.kind.is_client_claim()
}

#[track_caller]
fn forwarded(input: &str, expected: &str) {
    let head = request(input);
    let mut out = b"before".to_vec();
    let host = head.authority().unwrap_or("pool.example");
    let mut writer = HeadWriter::request(&mut out, head.method_name(), head.path(), host, head.framing());
    writer.fields(head.fields(), keep).field("X-Forwarded-For", "192.0.2.1");
    let body = writer.finish().expect("a head");
    assert!(!body.ends_with_close());
    assert_eq!(String::from_utf8_lossy(&out), format!("before{expected}"));
    let read = requests(&whole(&out[6..]), Limits::default());
    assert_eq!(read.requests(), 1, "{:?}", read.seen);
}

#[test]
fn a_request_goes_on_in_order_and_as_it_was_spelled() {
    forwarded(
        "GET /a HTTP/1.1\r\nuser-AGENT: x\r\nHost: A.example\r\nX-One: 1\r\nX-One: 2\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: A.example\r\nuser-AGENT: x\r\nX-One: 1\r\nX-One: 2\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n",
    );
    forwarded(
        "GET /a HTTP/1.1\r\nHost: a\r\nA:\tb \r\nC: d\r\nE:\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: a\r\nA: b\r\nC: d\r\nE: \r\nX-Forwarded-For: 192.0.2.1\r\n\r\n",
    );
    forwarded(
        "GET http://b.example/x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: b.example\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n",
    );
    forwarded(
        "GET /a HTTP/1.0\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: pool.example\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n",
    );
}

#[test]
fn fields_of_one_connection_stay_on_it() {
    forwarded(
        "GET /a HTTP/1.1\r\nHost: a\r\nConnection: close, X-Secret, Host, Cookie\r\nX-Secret: 1\r\nCookie: c=d\r\n\
         Keep-Alive: timeout=5\r\nTE: trailers\r\nUpgrade: x\r\nX_Forwarded_For: evil\r\nForwarded: for=evil\r\n\
         Proxy-Connection: close\r\nX-Real-IP: evil\r\nA: b\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: a\r\nCookie: c=d\r\nA: b\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n",
    );
}

#[test]
fn framing_is_made_anew_in_its_place() {
    forwarded(
        "POST /a HTTP/1.1\r\nHost: a\r\nA: b\r\ncontent-length: 007\r\nC: d\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: a\r\nA: b\r\nContent-Length: 7\r\nC: d\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n",
    );
    forwarded(
        "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: CHUNKED\r\nC: d\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: a\r\nC: d\r\nX-Forwarded-For: 192.0.2.1\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    forwarded(
        "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n",
    );
}

#[track_caller]
fn returned(to: AnswerTo, client: Version, input: &str, expected: &str) {
    let head = answered(input, to);
    let mut out = Vec::new();
    let framing = head.framing().towards(client);
    let mut writer = HeadWriter::answer(&mut out, head.status(), head.reason(), framing);
    writer.fields(head.fields(), keep);
    writer.finish().expect("a head");
    assert_eq!(String::from_utf8_lossy(&out), expected);
    let read = answer(&whole(&out), to, Limits::default());
    assert!(read.brief()[0].ends_with(&format!("{framing:?}")), "{:?}", read.seen);
}

#[test]
fn an_answer_goes_back_with_the_framing_that_its_client_can_read() {
    let get = AnswerTo::default();
    let head = AnswerTo { head: true, ..get };
    let chunked = "HTTP/1.1 200 Fine\r\nTransfer-Encoding: chunked\r\nServer: x\r\n\r\n";
    returned(
        get,
        Version::Http11,
        chunked,
        "HTTP/1.1 200 Fine\r\nServer: x\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    returned(get, Version::Http10, chunked, "HTTP/1.1 200 Fine\r\nServer: x\r\n\r\n");
    let close = "HTTP/1.0 200 OK\r\nServer: x\r\n\r\n";
    returned(
        get,
        Version::Http11,
        close,
        "HTTP/1.1 200 OK\r\nServer: x\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    let sized = "HTTP/1.1 200 OK\r\nContent-Length: 12\r\nServer: x\r\n\r\n";
    returned(get, Version::Http10, sized, sized);
    returned(head, Version::Http11, sized, sized);
    returned(head, Version::Http11, chunked, "HTTP/1.1 200 Fine\r\nServer: x\r\n\r\n");
    let unchanged = "HTTP/1.1 304 \r\nContent-Length: 12\r\nETag: x\r\n\r\n";
    returned(get, Version::Http11, unchanged, unchanged);
    returned(get, Version::Http11, "HTTP/1.1 204\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 204 \r\n\r\n");
}

#[test]
fn nothing_is_written_that_would_be_read_as_something_else() {
    let request = |method: &str, target: &str, host: &str, framing, name: &str, value: &str| {
        let mut out = b"before".to_vec();
        let mut writer = HeadWriter::request(&mut out, method, target, host, framing);
        writer.field(name, value);
        let written = writer.finish();
        assert!(written.is_ok() || out == b"before", "{out:?}");
        written.err()
    };
    let none = Framing::None;
    assert_eq!(request("GET", "/", "a", none, "A", "b"), None);
    for method in ["", "G T", "GET\r\n", "GET:"] {
        assert_eq!(request(method, "/", "a", none, "A", "b"), Some(Unwritable::Method), "{method:?}");
    }
    for target in ["", "a", "/a b", "/\r\n", "*", "/#", "ftp://a/", "/\u{e9}"] {
        assert_eq!(request("GET", target, "a", none, "A", "b"), Some(Unwritable::Target), "{target:?}");
    }
    for host in ["", "a\r\nX: y", "a b", "a,b", "u@a"] {
        assert_eq!(request("GET", "/", host, none, "A", "b"), Some(Unwritable::Host), "{host:?}");
    }
    for name in ["", "A:", "A\r\nB", "A B", "Host", "content-length", "Transfer-Encoding"] {
        assert_eq!(request("GET", "/", "a", none, name, "b"), Some(Unwritable::FieldName), "{name:?}");
    }
    for value in ["b\r\nC: d", "b\n", "\rb", "b\0", " b", "b\t"] {
        assert_eq!(request("GET", "/", "a", none, "A", value), Some(Unwritable::FieldValue), "{value:?}");
    }
    assert_eq!(request("GET", "/", "a", Framing::UntilClose, "A", "b"), Some(Unwritable::Framing));

    let answer = |status, reason: &str, framing| {
        HeadWriter::answer(&mut Vec::new(), status, reason.as_bytes(), framing).finish().err()
    };
    assert_eq!(answer(200, "OK", Framing::UntilClose), None);
    for status in [0, 99, 1000] {
        assert_eq!(answer(status, "", none), Some(Unwritable::Status), "{status}");
    }
    assert_eq!(answer(200, "O\r\nK", none), Some(Unwritable::Status));
    for status in [100, 101, 103, 204, 304] {
        assert_eq!(answer(status, "", Framing::Length(0)), Some(Unwritable::Framing), "{status}");
    }
}

#[test]
fn a_head_from_parts_is_held_to_the_same_rules() {
    use thalweg_wire::{Fields, ProtocolError, RequestParts};
    let parts = |fields: &[(&str, &str)], parts: RequestParts<'_>| {
        let mut made = Fields::default();
        for (name, value) in fields {
            made.push(name.as_bytes(), value.as_bytes())?;
        }
        RequestHead::from_parts(&parts, made, Limits { head_bytes: 512, fields: 4 })
    };
    let get = RequestParts {
        version: Version::Http2,
        method: b"GET",
        protocol: None,
        https: true,
        authority: Some(b"a:1"),
        path: b"/p?q",
        has_body: false,
    };
    let head =
        parts(&[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2"), ("te", "trailers")], get).expect("a head");
    assert_eq!((head.path(), head.query(), head.authority()), ("/p", Some("q"), Some("a:1")));
    assert_eq!((head.version(), head.framing(), head.is_https()), (Version::Http2, Framing::None, true));
    assert!(head.keep_alive() && !head.asks_upgrade() && !head.expects_continue());
    let values: Vec<&[u8]> = head.fields().iter().map(|field| field.value).collect();
    assert_eq!(values, [&b"a=1; b=2"[..], b"y", b"trailers"]);
    let crumbs = [("cookie", "a=1"); 90];
    assert_eq!(parts(&crumbs, get).map(|head| head.fields().len()), Ok(1));

    let post = RequestParts { method: b"POST", has_body: true, ..get };
    assert_eq!(parts(&[], post).map(|head| head.framing()), Ok(Framing::Chunked));
    assert_eq!(parts(&[("content-length", "5")], post).map(|head| head.framing()), Ok(Framing::Length(5)));
    assert_eq!(parts(&[("Content_Length", "5")], post).map(|head| head.has_look_alike()), Ok(true));
    let options = RequestParts { method: b"OPTIONS", path: b"*", ..get };
    assert!(parts(&[], options).is_ok());
    let connect = RequestParts { method: b"CONNECT", path: b"", ..get };
    assert_eq!(parts(&[], connect).map(|head| head.method()), Ok(thalweg_wire::Method::Connect));

    let websocket = RequestParts { method: b"CONNECT", protocol: Some(b"websocket"), has_body: true, ..get };
    let head = parts(&[("sec-websocket-version", "13")], websocket).expect("a head");
    assert_eq!((head.method_name(), head.framing()), ("GET", Framing::None));
    assert!(head.opens_websocket() && head.asks_upgrade());
    assert_eq!(head.fields().get(thalweg_wire::FieldName::Upgrade), Some(&b"websocket"[..]));

    let udp = RequestParts { protocol: Some(b"connect-udp"), ..websocket };
    for (fields, changed, error) in [
        (&[][..], udp, ProtocolError::UnknownProtocol),
        (&[], RequestParts { method: b"GET", ..websocket }, ProtocolError::UnknownProtocol),
        (&[("content-length", "5")], websocket, ProtocolError::BadContentLength),
        (&[("upgrade", "h2c")], websocket, ProtocolError::ConnectionField),
        (&[("a", "b\r\nc: d")], get, ProtocolError::BadFieldValue),
        (&[("a b", "c")], get, ProtocolError::BadFieldName),
        (&[(":path", "/x")], get, ProtocolError::BadFieldName),
        (&[("transfer-encoding", "chunked")], get, ProtocolError::ConnectionField),
        (&[("connection", "close")], get, ProtocolError::ConnectionField),
        (&[("te", "gzip")], get, ProtocolError::ConnectionField),
        (&[("content-length", "5")], get, ProtocolError::BadContentLength),
        (&[("content-length", "+5")], get, ProtocolError::BadContentLength),
        (&[("content-length", "5"), ("content-length", "5")], get, ProtocolError::RepeatedContentLength),
        (&[("host", "b")], get, ProtocolError::BadHost),
        (&[("a", "b"); 5], get, ProtocolError::TooManyFields),
        (&[], RequestParts { authority: None, ..get }, ProtocolError::MissingHost),
        (&[], RequestParts { authority: Some(b"u@a"), ..get }, ProtocolError::BadAuthority),
        (&[], RequestParts { path: b"/a b", ..get }, ProtocolError::BadTarget),
        (&[], RequestParts { path: b"/a\r\n", ..get }, ProtocolError::BadTarget),
        (&[], RequestParts { path: b"", ..get }, ProtocolError::TargetForm),
        (&[], RequestParts { path: b"http://a/", ..get }, ProtocolError::TargetForm),
        (&[], RequestParts { method: b"G T", ..get }, ProtocolError::BadMethod),
    ] {
        assert_eq!(parts(fields, changed).err(), Some(error), "{fields:?}");
    }
    let long = "x".repeat(512);
    assert_eq!(parts(&[("a", &long)], get).err(), Some(ProtocolError::HeadTooLarge));
}

#[test]
fn what_a_head_says_about_its_connection() {
    let check = |lines: &str, keep_alive: bool, upgrade: bool, waits: bool| {
        let head = request(&format!("{lines}\r\nHost: a\r\n\r\n"));
        let seen = (head.keep_alive(), head.asks_upgrade(), head.expects_continue());
        assert_eq!(seen, (keep_alive, upgrade, waits), "{lines}");
    };
    check("GET / HTTP/1.1", true, false, false);
    check("GET / HTTP/1.1\r\nConnection: Close", false, false, false);
    check("GET / HTTP/1.1\r\nConnection: keep-alive\r\nConnection: x, CLOSE", false, false, false);
    check("GET / HTTP/1.0", false, false, false);
    check("GET / HTTP/1.0\r\nConnection: Keep-Alive", true, false, false);
    check("GET / HTTP/1.0\r\nConnection: keep-alive, close", false, false, false);
    check("GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: x", true, true, false);
    check("GET / HTTP/1.1\r\nUpgrade: x", true, false, false);
    check("GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: x", false, false, false);
    check("POST / HTTP/1.1\r\nExpect: 100-Continue", true, false, true);
    check("POST / HTTP/1.0\r\nExpect: 100-continue", false, false, false);
    let odd = request("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer.Encoding: x\r\n\r\n");
    assert!(odd.has_unexpected_content() && odd.has_look_alike());
    let plain = request("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nX-Request-ID: 7\r\n\r\n");
    assert!(!plain.has_unexpected_content() && !plain.has_look_alike());
    assert_eq!(plain.fields().get(FieldName::XRequestId), Some(&b"7"[..]));
}

#[test]
fn a_forwarded_head_is_what_was_read_with_known_fields_behind_it() {
    let head = request("POST /a?b HTTP/1.1\r\nX-a: 1\r\nHost: h:1\r\nContent-Length: 2\r\nx-A: 3\r\n\r\n");
    let forward = |target: Option<&str>, host: Option<&str>| {
        let mut out = Vec::new();
        let mut writer = HeadWriter::forward(&mut out, &head, target, host);
        writer.fields(head.fields(), |_| true).known(FieldName::Via, "1.1 x");
        writer.finish().map(|_| String::from_utf8_lossy(&out).into_owned())
    };
    let rest = "X-a: 1\r\nContent-Length: 2\r\nx-A: 3\r\nVia: 1.1 x\r\n\r\n";
    assert_eq!(forward(None, None), Ok(format!("POST /a?b HTTP/1.1\r\nHost: h:1\r\n{rest}")));
    assert_eq!(forward(Some("/c"), Some("b")), Ok(format!("POST /c HTTP/1.1\r\nHost: b\r\n{rest}")));
    assert_eq!(forward(Some("/a b"), None), Err(Unwritable::Target));
    assert_eq!(forward(None, Some("a b")), Err(Unwritable::Host));
    let anonymous = request("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(HeadWriter::forward(&mut Vec::new(), &anonymous, None, None).finish(), Err(Unwritable::Host));
    for own in [FieldName::Host, FieldName::ContentLength, FieldName::TransferEncoding, FieldName::Other] {
        let mut out = Vec::new();
        let mut writer = HeadWriter::answer(&mut out, 200, b"OK", Framing::None);
        writer.known(own, "x");
        assert_eq!(writer.finish(), Err(Unwritable::FieldName), "{own:?}");
    }
}
