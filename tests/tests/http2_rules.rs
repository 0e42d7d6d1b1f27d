//! RFC 9113 and RFC 7541 as a client without manners meets them: one table of broken connections and streams, over
//! cleartext and TLS. Whatever breaks the connection ends it with the RFC's code or closes it; whatever breaks a stream
//! ends that stream, and the connection goes on or is closed. Where the library says PROTOCOL_ERROR in place of a more
//! exact code, the table has both.

#[path = "http2_rules/site.rs"]
mod site;

use std::io::Write as _;

use site::*;

#[test]
fn frames_are_read_by_the_rules_of_sections_3_to_5() {
    use Meets::{Connection, Nothing, Stream};
    let site = Site::start();
    let big = vec![0; 16_385];
    for (what, bytes, meets) in [
        ("a frame of an unknown type", frame(0x16, 0, 0, &[0; 8]), Nothing),
        ("undefined flags", frame(PING, 0xfe & !ACK, 0, &[0; 8]), Nothing),
        ("the reserved bit", frame(PING, 0, 0x8000_0000, &[0; 8]), Nothing),
        (
            "DATA over the largest frame",
            [upload(1), frame(DATA, END_STREAM, 1, &big)].concat(),
            Stream(&[SIZE]),
        ),
        ("HEADERS over the largest frame", frame(HEADERS, WHOLE, 1, &big), Connection(&[SIZE, PROTOCOL])),
        (
            "an index outside the table",
            frame(HEADERS, WHOLE, 1, &[0xff, 0xff, 0x7f]),
            Connection(&[COMPRESSION, PROTOCOL]),
        ),
        ("a broken representation", frame(HEADERS, WHOLE, 1, &[0x80]), Connection(&[COMPRESSION, PROTOCOL])),
        (
            "a table larger than agreed",
            frame(HEADERS, WHOLE, 1, &[0x3f, 0xff, 0xff, 0x7f]),
            Connection(&[COMPRESSION, PROTOCOL]),
        ),
        (
            "Huffman padding over 7 bits",
            frame(
                HEADERS,
                WHOLE,
                1,
                &[get(), vec![0, 0x85, 0xf2, 0xb2, 0x4a, 0x84, 0xff, 0x84, 0x49, 0x50, 0x9f, 0xff]].concat(),
            ),
            Connection(&[COMPRESSION, PROTOCOL]),
        ),
        (
            "a size update behind a field",
            frame(HEADERS, WHOLE, 1, &[get(), vec![0x20]].concat()),
            Connection(&[COMPRESSION, PROTOCOL]),
        ),
        (
            "PRIORITY inside a head",
            [frame(HEADERS, END_STREAM, 1, &get()), frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 9])].concat(),
            Connection(&[PROTOCOL]),
        ),
        (
            "another head inside a head",
            [frame(HEADERS, END_STREAM, 1, &get()), ask(3)].concat(),
            Connection(&[PROTOCOL]),
        ),
        (
            "an unknown frame inside a head",
            [frame(HEADERS, END_STREAM, 1, &get()), frame(0x16, 0, 1, &[])].concat(),
            Connection(&[PROTOCOL]),
        ),
        ("DATA on an idle stream", frame(DATA, END_STREAM, 1, b"x"), Connection(&[PROTOCOL])),
        ("RST_STREAM on an idle stream", frame(RST, 0, 1, &[0, 0, 0, 8]), Connection(&[PROTOCOL])),
        ("WINDOW_UPDATE on an idle stream", frame(WINDOW, 0, 1, &[0, 0, 0, 9]), Connection(&[PROTOCOL])),
        (
            "CONTINUATION on an idle stream",
            frame(CONTINUATION, END_HEADERS, 1, &get()),
            Connection(&[PROTOCOL]),
        ),
        (
            "DATA on a half-closed stream",
            [ask(1), frame(DATA, END_STREAM, 1, b"x")].concat(),
            Stream(&[CLOSED, PROTOCOL]),
        ),
        ("HEADERS on a half-closed stream", [ask(1), ask(1)].concat(), Stream(&[CLOSED, PROTOCOL])),
        (
            "CONTINUATION on a half-closed stream",
            [ask(1), frame(CONTINUATION, END_HEADERS, 1, &get())].concat(),
            Connection(&[CLOSED, PROTOCOL]),
        ),
        (
            "DATA on a reset stream",
            [upload(1), frame(RST, 0, 1, &[0, 0, 0, 8]), frame(DATA, END_STREAM, 1, b"x")].concat(),
            Stream(&[CLOSED]),
        ),
        (
            "HEADERS on a reset stream",
            [upload(1), frame(RST, 0, 1, &[0, 0, 0, 8]), ask(1)].concat(),
            Stream(&[CLOSED, PROTOCOL]),
        ),
        ("an even stream", ask(2), Connection(&[PROTOCOL])),
        ("a lower stream", [ask(5), ask(3)].concat(), Connection(&[PROTOCOL, CLOSED])),
        ("a stream that depends on itself", frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 9]), Stream(&[PROTOCOL])),
        (
            "more streams than allowed",
            (0..101).flat_map(|nth| upload(1 + 2 * nth)).collect(),
            Stream(&[REFUSED, PROTOCOL]),
        ),
    ] {
        site.check(what, &bytes, meets);
    }
}

#[test]
fn frames_have_the_form_of_section_6() {
    use Meets::{Connection, Nothing, Stream};
    let site = Site::start();
    let most = 0x7fff_ffff_u32.to_be_bytes();
    for (what, bytes, meets) in [
        ("DATA on stream 0", frame(DATA, END_STREAM, 0, b"x"), Connection(&[PROTOCOL])),
        (
            "DATA with more padding than payload",
            [upload(1), frame(DATA, END_STREAM | PADDED, 1, &[9, b'x'])].concat(),
            Connection(&[PROTOCOL]),
        ),
        ("HEADERS on stream 0", ask(0), Connection(&[PROTOCOL])),
        (
            "HEADERS with more padding than payload",
            frame(HEADERS, WHOLE | PADDED, 1, &[255, 0x82]),
            Connection(&[PROTOCOL]),
        ),
        (
            "HEADERS with padding",
            frame(HEADERS, WHOLE | PADDED, 1, &[vec![2], get(), vec![0, 0]].concat()),
            Nothing,
        ),
        (
            "HEADERS with a priority",
            frame(HEADERS, WHOLE | PRIORITISED, 1, &[vec![0, 0, 0, 0, 9], get()].concat()),
            Nothing,
        ),
        ("PRIORITY on stream 0", frame(PRIORITY, 0, 0, &[0, 0, 0, 1, 9]), Connection(&[PROTOCOL])),
        ("PRIORITY of 4 bytes", frame(PRIORITY, 0, 1, &[0, 0, 0, 0]), Stream(&[SIZE, PROTOCOL])),
        ("RST_STREAM on stream 0", frame(RST, 0, 0, &[0, 0, 0, 8]), Connection(&[PROTOCOL])),
        (
            "RST_STREAM of 3 bytes",
            [upload(1), frame(RST, 0, 1, &[0, 0, 8])].concat(),
            Connection(&[SIZE, PROTOCOL]),
        ),
        ("RST_STREAM with an unknown code", [upload(1), frame(RST, 0, 1, &[0, 0, 0, 99])].concat(), Nothing),
        ("SETTINGS with ACK and content", frame(SETTINGS, ACK, 0, &[0]), Connection(&[SIZE, PROTOCOL])),
        ("SETTINGS on a stream", frame(SETTINGS, 0, 1, &[0, 3, 0, 0, 0, 9]), Connection(&[PROTOCOL])),
        ("SETTINGS of 3 bytes", frame(SETTINGS, 0, 0, &[0, 3, 0]), Connection(&[SIZE, PROTOCOL])),
        ("ENABLE_PUSH of 2", setting(2, 2), Connection(&[PROTOCOL])),
        ("INITIAL_WINDOW_SIZE over the limit", setting(4, 0x8000_0000), Connection(&[FLOW, PROTOCOL])),
        ("MAX_FRAME_SIZE too small", setting(5, 16_383), Connection(&[PROTOCOL])),
        ("MAX_FRAME_SIZE too large", setting(5, 16_777_216), Connection(&[PROTOCOL])),
        ("ENABLE_CONNECT_PROTOCOL of 2", setting(8, 2), Connection(&[PROTOCOL])),
        ("an unknown setting", setting(0xff, 1), Nothing),
        (
            "PUSH_PROMISE of a client",
            [upload(1), frame(PUSH_PROMISE, END_HEADERS, 1, &[vec![0, 0, 0, 2], get()].concat())].concat(),
            Connection(&[PROTOCOL]),
        ),
        ("PING with ACK", frame(PING, ACK, 0, b"unasked."), Nothing),
        ("PING on a stream", frame(PING, 0, 1, &[0; 8]), Connection(&[PROTOCOL])),
        ("PING of 6 bytes", frame(PING, 0, 0, &[0; 6]), Connection(&[SIZE, PROTOCOL])),
        ("GOAWAY on a stream", frame(GOAWAY, 0, 1, &[0; 8]), Connection(&[PROTOCOL])),
        ("WINDOW_UPDATE of 0 for the connection", frame(WINDOW, 0, 0, &[0; 4]), Connection(&[PROTOCOL])),
        (
            "WINDOW_UPDATE of 0 for a stream",
            [upload(1), frame(WINDOW, 0, 1, &[0; 4])].concat(),
            Stream(&[PROTOCOL]),
        ),
        ("WINDOW_UPDATE of 3 bytes", frame(WINDOW, 0, 0, &[0, 0, 1]), Connection(&[SIZE, PROTOCOL])),
        (
            "a window of the connection over 2^31 - 1",
            [frame(WINDOW, 0, 0, &most), frame(WINDOW, 0, 0, &most)].concat(),
            Connection(&[FLOW]),
        ),
        (
            "a window of a stream over 2^31 - 1",
            [upload(1), frame(WINDOW, 0, 1, &most), frame(WINDOW, 0, 1, &most)].concat(),
            Stream(&[FLOW]),
        ),
        (
            "CONTINUATION behind the end of a head",
            [upload(1), frame(CONTINUATION, END_HEADERS, 1, &field("a", "b"))].concat(),
            Connection(&[PROTOCOL]),
        ),
        (
            "CONTINUATION on stream 0",
            [frame(HEADERS, END_STREAM, 1, &get()), frame(CONTINUATION, END_HEADERS, 0, &field("a", "b"))]
                .concat(),
            Connection(&[PROTOCOL]),
        ),
        (
            "CONTINUATION in two frames",
            [
                frame(HEADERS, END_STREAM, 1, &get()),
                frame(CONTINUATION, 0, 1, &field("a", "b")),
                frame(CONTINUATION, END_HEADERS, 1, &field("c", "d")),
            ]
            .concat(),
            Nothing,
        ),
    ] {
        site.check(what, &bytes, meets);
    }
}

#[test]
fn heads_and_content_follow_section_8() {
    use Meets::{Nothing, Stream};
    let site = Site::start();
    let head = |fields: &[(&str, &str)]| frame(HEADERS, WHOLE, 1, &block(fields));
    let more = |fields: &[(&str, &str)]| frame(HEADERS, WHOLE, 1, &with(fields));
    let of_length = |length: &str| {
        frame(HEADERS, END_HEADERS, 1, &[block(&POST), field("content-length", length)].concat())
    };
    let [method, scheme, path, authority] = GET;
    const BAD: Meets = Meets::Stream(&[PROTOCOL]);
    for (what, bytes, meets) in [
        (
            "a second head without END_STREAM",
            [upload(1), frame(HEADERS, END_HEADERS, 1, &field("a", "b"))].concat(),
            BAD,
        ),
        ("an uppercase name", more(&[("X-Test", "ok")]), Stream(&[PROTOCOL, COMPRESSION])),
        ("an unknown pseudo-field", more(&[(":test", "ok")]), BAD),
        ("a pseudo-field of answers", more(&[(":status", "200")]), BAD),
        (
            "a pseudo-field in trailers",
            [upload(1), frame(HEADERS, WHOLE, 1, &block(&[(":method", "GET")]))].concat(),
            // The RFC has the stream reset; the library drops the field, and the request is as if it had not come.
            Nothing,
        ),
        ("a pseudo-field behind a field", head(&[method, scheme, ("x", "y"), path, authority]), BAD),
        ("Connection", more(&[("connection", "keep-alive")]), BAD),
        ("TE other than trailers", more(&[("te", "trailers, deflate")]), BAD),
        ("an empty path", head(&[method, scheme, (":path", ""), authority]), BAD),
        ("no method", head(&[scheme, path, authority]), BAD),
        ("no scheme", head(&[method, path, authority]), BAD),
        ("no path", head(&[method, scheme, authority]), BAD),
        ("two methods", head(&[method, method, scheme, path, authority]), BAD),
        ("two schemes", head(&[method, scheme, scheme, path, authority]), BAD),
        ("two paths", head(&[method, scheme, path, path, authority]), BAD),
        (
            ":protocol without CONNECT",
            more(&[])
                .into_iter()
                .chain(frame(
                    HEADERS,
                    WHOLE,
                    3,
                    &block(&[method, (":protocol", "websocket"), scheme, path, authority]),
                ))
                .collect(),
            BAD,
        ),
        (
            ":protocol without a path",
            head(&[(":method", "CONNECT"), (":protocol", "websocket"), scheme, authority]),
            BAD,
        ),
        ("more content than announced", [of_length("1"), frame(DATA, END_STREAM, 1, b"test")].concat(), BAD),
        (
            "more content than announced, in two",
            [of_length("1"), frame(DATA, 0, 1, b"te"), frame(DATA, END_STREAM, 1, b"st")].concat(),
            BAD,
        ),
        ("less content than announced", [of_length("9"), frame(DATA, END_STREAM, 1, b"test")].concat(), BAD),
        (
            "trailers behind content",
            [upload(1), frame(DATA, 0, 1, b"test"), frame(HEADERS, WHOLE, 1, &field("x-test", "ok"))]
                .concat(),
            Nothing,
        ),
        (
            "content in padded frames",
            [
                upload(1),
                frame(DATA, END_STREAM | PADDED, 1, &[vec![2], b"test".to_vec(), vec![0, 0]].concat()),
            ]
            .concat(),
            Nothing,
        ),
    ] {
        site.check(what, &bytes, meets);
    }
}

#[test]
fn a_connection_that_begins_with_another_preface_ends() {
    let site = Site::start();
    for tls in [false, true] {
        let mut wire = site.connect(tls);
        wire.write_all(b"PRI * HTTP/2.0\r\n\r\nINVALID!\r\n\r\n")
            .and_then(|()| wire.flush())
            .expect("the edge reads");
        let seen = watch(&mut *wire, Meets::Connection(&[PROTOCOL]));
        assert!(seen.is_ok(), "tls: {tls}: {seen:?}");
    }
}
