//! A client that writes frames by hand: their builders, an edge that speaks HTTP/2 in clear and over TLS, and what a
//! sequence of frames is met with. Holds no rule.

use std::{
    cell::RefCell,
    io::{self, Read, Write},
    net::TcpStream,
    sync::Arc,
    time::Duration,
};

use rustls::{ClientConfig, ClientConnection, StreamOwned, pki_types::ServerName};
use thalweg_testkit::{Authority, Conf, Edge, Endpoint, client_config};

pub(super) const SOON: Duration = Duration::from_secs(5);

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 1;
pub(super) const ACK: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
pub(super) const PADDED: u8 = 8;
pub(super) const PRIORITISED: u8 = 0x20;
pub(super) const WHOLE: u8 = END_STREAM | END_HEADERS;

pub(super) const PROTOCOL: u32 = 1;
pub(super) const FLOW: u32 = 3;
pub(super) const CLOSED: u32 = 5;
pub(super) const SIZE: u32 = 6;
pub(super) const REFUSED: u32 = 7;
pub(super) const COMPRESSION: u32 = 9;

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

pub(super) fn setting(id: u16, value: u32) -> Vec<u8> {
    let mut payload = id.to_be_bytes().to_vec();
    payload.extend(value.to_be_bytes());
    frame(SETTINGS, 0, 0, &payload)
}

/// A field without indexing and without Huffman coding (RFC 7541 section 6.2.2).
pub(super) fn field(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0, name.len() as u8];
    bytes.extend(name.as_bytes());
    bytes.push(value.len() as u8);
    bytes.extend(value.as_bytes());
    bytes
}

pub(super) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| field(name, value)).collect()
}

pub(super) const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a.test")];
pub(super) const POST: [(&str, &str); 4] =
    [(":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "a.test")];

pub(super) fn get() -> Vec<u8> {
    block(&GET)
}

/// A GET with these fields behind it.
pub(super) fn with(fields: &[(&str, &str)]) -> Vec<u8> {
    [get(), block(fields)].concat()
}

pub(super) fn ask(stream: u32) -> Vec<u8> {
    frame(HEADERS, WHOLE, stream, &get())
}

/// A POST whose content is to come.
pub(super) fn upload(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &block(&POST))
}

pub(super) trait Wire: Read + Write {}
impl<T: Read + Write> Wire for T {}

/// How the edge meets what it was sent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Meets {
    /// The connection ends, with one of these codes if it says one.
    Connection(&'static [u32]),
    /// The stream is reset with one of these codes, or is refused by an answer of 4xx; or the connection ends so.
    Stream(&'static [u32]),
    /// Nothing is wrong: the connection still answers a PING.
    Nothing,
}

pub(super) struct Site {
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
    pub(super) fn start() -> Self {
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

    pub(super) fn connect(&self, tls: bool) -> Box<dyn Wire> {
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
    pub(super) fn check(&self, what: &str, bytes: &[u8], meets: Meets) {
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

pub(super) fn next(wire: &mut dyn Wire) -> io::Result<(u8, u8, Vec<u8>)> {
    let mut head = [0; 9];
    wire.read_exact(&mut head)?;
    let [a, b, c, kind, flags, ..] = head;
    let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
    wire.read_exact(&mut payload)?;
    Ok((kind, flags, payload))
}

pub(super) fn code(payload: &[u8]) -> Option<u32> {
    payload.last_chunk::<4>().map(|code| u32::from_be_bytes(*code))
}

/// Reads until the matter is decided. Err = what came instead.
pub(super) fn watch(wire: &mut dyn Wire, meets: Meets) -> Result<(), String> {
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
