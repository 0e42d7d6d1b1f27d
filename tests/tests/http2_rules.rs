//! RFC 9113 and RFC 7541 as a client without manners meets them: one table of broken connections and streams, over
//! cleartext and TLS. Whatever breaks the connection ends it with the RFC's code or closes it; whatever breaks a stream
//! ends that stream, and the connection goes on or is closed. Where the library says PROTOCOL_ERROR in place of a more
//! exact code, the table has both.

mod common;

use std::{
    cell::RefCell,
    io::{self, Read, Write},
    net::TcpStream,
    sync::Arc,
    time::Duration,
};

use rustls::{ClientConfig, ClientConnection, StreamOwned, pki_types::ServerName};
use thalweg_testkit::{Authority, Conf, Edge, Endpoint, client_config};

const SOON: Duration = Duration::from_secs(5);

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITISED: u8 = 0x20;
const WHOLE: u8 = END_STREAM | END_HEADERS;

const PROTOCOL: u32 = 1;
const FLOW: u32 = 3;
const CLOSED: u32 = 5;
const SIZE: u32 = 6;
const REFUSED: u32 = 7;
const COMPRESSION: u32 = 9;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

fn setting(id: u16, value: u32) -> Vec<u8> {
    let mut payload = id.to_be_bytes().to_vec();
    payload.extend(value.to_be_bytes());
    frame(SETTINGS, 0, 0, &payload)
}

/// A field without indexing and without Huffman coding (RFC 7541 section 6.2.2).
fn field(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0, name.len() as u8];
    bytes.extend(name.as_bytes());
    bytes.push(value.len() as u8);
    bytes.extend(value.as_bytes());
    bytes
}

fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| field(name, value)).collect()
}

const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a.test")];
const POST: [(&str, &str); 4] =
    [(":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "a.test")];

fn get() -> Vec<u8> {
    block(&GET)
}

/// A GET with these fields behind it.
fn with(fields: &[(&str, &str)]) -> Vec<u8> {
    [get(), block(fields)].concat()
}

fn ask(stream: u32) -> Vec<u8> {
    frame(HEADERS, WHOLE, stream, &get())
}

/// A POST whose content is to come.
fn upload(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &block(&POST))
}

trait Wire: Read + Write {}
impl<T: Read + Write> Wire for T {}

/// How the edge meets what it was sent.
#[derive(Clone, Copy, Debug)]
enum Meets {
    /// The connection ends, with one of these codes if it says one.
    Connection(&'static [u32]),
    /// The stream is reset with one of these codes, or is refused by an answer of 4xx; or the connection ends so.
    Stream(&'static [u32]),
    /// Nothing is wrong: the connection still answers a PING.
    Nothing,
}

struct Site {
    edge: Edge,
    _endpoint: Endpoint,
    tls: Arc<ClientConfig>,
    wrong: RefCell<Vec<String>>,
}

impl Drop for Site {
    fn drop(&mut self) {
        let wrong = self.wrong.take();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}

impl Site {
    fn start() -> Self {
        let authority = Authority::new("root");
        let leaf = authority.leaf(&["a.test"]);
        let endpoint = Endpoint::start("a");
        let tls = "protocols = [\"h2\"]\n[listener.tls]\ncertificates = [{ cert = \"tls/0.crt\", key = \"tls/0.key\" }]";
        let conf = Conf::simple("failover", &[endpoint.addr()])
            .file("tls/0.crt", &leaf.cert_pem)
            .file("tls/0.key", &leaf.key_pem)
            .listener("clear", "protocols = [\"h2c\"]")
            .listener("secure", tls);
        let edge = Edge::start(&conf);
        edge.until_up(1);
        Self {
            edge,
            _endpoint: endpoint,
            tls: client_config(&authority, &["h2"], &[]),
            wrong: RefCell::default(),
        }
    }

    fn connect(&self, tls: bool) -> Box<dyn Wire> {
        let addr = self.edge.addr(if tls { "secure" } else { "clear" });
        let socket = TcpStream::connect(addr).expect("the edge accepts");
        socket.set_read_timeout(Some(SOON)).expect("a socket");
        if !tls {
            return Box::new(socket);
        }
        let name = ServerName::try_from("a.test").expect("a name");
        let session = ClientConnection::new(Arc::clone(&self.tls), name).expect("a session");
        Box::new(StreamOwned::new(session, socket))
    }

    /// Sends the bytes behind preface and SETTINGS, a PING behind them, and looks what comes.
    fn check(&self, what: &str, bytes: &[u8], meets: Meets) {
        for tls in [false, true] {
            let mut wire = self.connect(tls);
            let opening = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(SETTINGS, 0, 0, &[])].concat();
            let ping = frame(PING, 0, 0, b"the end.");
            // A connection that the edge has closed takes nothing more.
            let _sent = wire.write_all(&[&opening, bytes, &ping].concat()).and_then(|()| wire.flush());
            let seen = watch(&mut *wire, meets);
            if let Err(seen) = seen {
                self.wrong.borrow_mut().push(format!("{what} (tls: {tls}): {meets:?}, but {seen}"));
            }
        }
    }
}

fn next(wire: &mut dyn Wire) -> io::Result<(u8, u8, Vec<u8>)> {
    let mut head = [0; 9];
    wire.read_exact(&mut head)?;
    let [a, b, c, kind, flags, ..] = head;
    let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
    wire.read_exact(&mut payload)?;
    Ok((kind, flags, payload))
}

fn code(payload: &[u8]) -> Option<u32> {
    payload.last_chunk::<4>().map(|code| u32::from_be_bytes(*code))
}

/// Reads until the matter is decided. Err = what came instead.
fn watch(wire: &mut dyn Wire, meets: Meets) -> Result<(), String> {
    let (codes, stream) = match meets {
        Meets::Connection(codes) => (codes, false),
        Meets::Stream(codes) => (codes, true),
        Meets::Nothing => (&[][..], false),
    };
    let mut seen = Vec::new();
    loop {
        let (kind, flags, payload) = match next(wire) {
            Ok(frame) => frame,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(format!("silence: {seen:?}"));
            }
            Err(_) if matches!(meets, Meets::Nothing) => return Err(format!("closed: {seen:?}")),
            Err(_) => return Ok(()),
        };
        match kind {
            GOAWAY => {
                let said = payload.get(4..8).and_then(code);
                return if said.is_some_and(|said| codes.contains(&said)) {
                    Ok(())
                } else {
                    Err(format!("goaway {said:?}"))
                };
            }
            RST if stream && code(&payload).is_some_and(|said| codes.contains(&said)) => return Ok(()),
            // `:status: 400` of the static table (RFC 7541, appendix A): the edge's own refusal.
            HEADERS if stream && payload.first() == Some(&0x8c) => return Ok(()),
            PING if flags & ACK != 0 && matches!(meets, Meets::Nothing) => return Ok(()),
            _ => seen.push((kind, payload.len())),
        }
    }
}

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
