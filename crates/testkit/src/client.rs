//! A blocking HTTP/1.1 client at the level of bytes: it sends exactly what it is given, and tells an answer, a close, a
//! reset and a silence apart.

use std::{
    fmt, io,
    io::{Read, Write},
    net::{IpAddr, Shutdown, SocketAddr, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::{ClientConfig, ClientConnection, StreamOwned};
use rustls_pki_types::ServerName;

use crate::{Head, message::head_end};

/// How long an answer may take unless a scenario says otherwise.
const PATIENCE: Duration = Duration::from_secs(15);

/// Why there was no (whole) answer.
#[derive(Debug)]
pub struct Gone {
    /// `UnexpectedEof` = closed in order, `ConnectionReset`, `TimedOut`, …
    pub kind: io::ErrorKind,
    /// The head, if a whole one arrived.
    pub head: Option<Head>,
    /// The part of the body that arrived.
    pub body: Vec<u8>,
}

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let after = self.head.as_ref().map_or("before the head", |_| "after the head");
        write!(f, "{:?} {after}, {} bytes of body", self.kind, self.body.len())
    }
}

impl Gone {
    fn new(error: &io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut,
            kind => kind,
        };
        Self { kind, head: None, body: Vec::new() }
    }

    /// Whether the other side ended the connection, as opposed to staying silent.
    pub fn closed(&self) -> bool {
        self.kind != io::ErrorKind::TimedOut
    }
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// Its head.
    pub head: Head,
    /// Its body, chunks joined.
    pub body: Vec<u8>,
    /// Fields after the last chunk.
    pub trailers: Vec<(String, String)>,
    /// The 1xx answers before it.
    pub informational: Vec<Head>,
}

impl Reply {
    /// The first field of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {} {}", self.head.line, self.text()))
    }

    /// The endpoint that says it made this answer.
    pub fn endpoint(&self) -> &str {
        self.header("x-endpoint").unwrap_or("-")
    }
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// One connection.
pub struct Client {
    stream: Box<dyn Stream>,
    tcp: TcpStream,
    buf: Vec<u8>,
    addr: SocketAddr,
}

impl Client {
    /// Connects, or panics.
    pub fn connect(addr: SocketAddr) -> Self {
        Self::try_connect(addr).unwrap_or_else(|gone| panic!("{addr}: {gone}"))
    }

    /// Connects, or returns the error.
    pub fn try_connect(addr: SocketAddr) -> Result<Self, Gone> {
        let tcp = TcpStream::connect_timeout(&addr, PATIENCE).map_err(|error| Gone::new(&error))?;
        let ours = prepared(&tcp).map_err(|error| Gone::new(&error))?;
        Ok(Self { stream: Box::new(tcp), tcp: ours, buf: Vec::new(), addr })
    }

    /// Connects from this address of the machine; on loopback each of 127.0.0.0/8 is one.
    pub fn connect_from(source: IpAddr, addr: SocketAddr) -> Self {
        use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
        let family = if addr.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let socket = socket(family, SocketType::STREAM, None).expect("a socket can be made");
        bind(&socket, &SocketAddr::new(source, 0)).unwrap_or_else(|error| panic!("{source}: {error}"));
        connect(&socket, &addr).unwrap_or_else(|error| panic!("{source} to {addr}: {error}"));
        let tcp = TcpStream::from(socket);
        let ours = prepared(&tcp).expect("timeouts can be set");
        Self { stream: Box::new(tcp), tcp: ours, buf: Vec::new(), addr }
    }

    /// Connects over TLS to this server name; gives the client, the ALPN choice and the leaf certificate.
    pub fn connect_tls(
        addr: SocketAddr,
        name: &str,
        config: &Arc<ClientConfig>,
    ) -> io::Result<(Self, Option<String>, Vec<u8>)> {
        let mut tcp = TcpStream::connect_timeout(&addr, PATIENCE)?;
        let ours = prepared(&tcp)?;
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        let mut tls = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut tcp)?;
        }
        let alpn = tls.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned());
        let leaf = tls.peer_certificates().and_then(|certs| certs.first()).map(|cert| cert.to_vec());
        let stream = Box::new(StreamOwned::new(tls, tcp));
        Ok((Self { stream, tcp: ours, buf: Vec::new(), addr }, alpn, leaf.unwrap_or_default()))
    }

    /// Waits no longer than this for each read and each write from now on.
    pub fn patience(&self, span: Duration) {
        self.tcp.set_read_timeout(Some(span)).expect("a timeout can be set");
        self.tcp.set_write_timeout(Some(span)).expect("a timeout can be set");
    }

    /// Sends these bytes. A closed connection shows later, when the answer is read.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _shows_at_the_read = self.try_send(bytes);
    }

    /// Sends these bytes.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())?;
        self.stream.flush()
    }

    /// Sends a request with a `Host` and these header lines (each ended by `\r\n`), and reads the answer.
    pub fn ask(&mut self, method: &str, target: &str, headers: &str, body: &[u8]) -> Result<Reply, Gone> {
        let length = match (method, body.len()) {
            ("GET" | "HEAD" | "DELETE" | "OPTIONS" | "CONNECT" | "TRACE", 0) => String::new(),
            (_, length) if !headers.to_lowercase().contains("transfer-encoding") => {
                format!("content-length: {length}\r\n")
            }
            _ => String::new(),
        };
        let host = if headers.to_lowercase().contains("host:") { String::new() } else { self.host() };
        self.send(
            [format!("{method} {target} HTTP/1.1\r\n{host}{length}{headers}\r\n").as_bytes(), body].concat(),
        );
        self.reply(method)
    }

    /// `GET` this target.
    pub fn get(&mut self, target: &str) -> Reply {
        self.ask("GET", target, "", b"").unwrap_or_else(|gone| panic!("GET {target}: {gone}"))
    }

    /// Reads the next answer to this method.
    pub fn reply(&mut self, method: &str) -> Result<Reply, Gone> {
        let mut informational = Vec::new();
        loop {
            let head = self.head()?;
            let status = head.word(1).parse().unwrap_or(0);
            if (100..200).contains(&status) && status != 101 {
                informational.push(head);
                continue;
            }
            let mut reply = Reply { status, head, body: Vec::new(), trailers: Vec::new(), informational };
            let bare = method == "HEAD" || status == 204 || status == 304 || status == 101;
            let read = if bare { Ok(()) } else { self.body(&mut reply) };
            return match read {
                Ok(()) => Ok(reply),
                Err(error) => Err(Gone { head: Some(reply.head), body: reply.body, ..Gone::new(&error) }),
            };
        }
    }

    /// Reads the next head, 1xx or not.
    pub fn head(&mut self) -> Result<Head, Gone> {
        loop {
            if let Some(end) = head_end(&self.buf) {
                return Ok(Head::parse(&self.buf.drain(..end).collect::<Vec<_>>()));
            }
            self.more().map_err(|error| Gone { body: self.buf.clone(), ..Gone::new(&error) })?;
        }
    }

    /// Reads and discards this many bytes, whatever their framing; fewer if the stream ends before.
    pub fn discard(&mut self, count: u64) -> u64 {
        let mut left = count.saturating_sub(std::mem::take(&mut self.buf).len() as u64);
        let mut block = vec![0_u8; 256 * 1024];
        while left > 0 {
            let take = usize::try_from(left).unwrap_or(usize::MAX).min(block.len());
            match self.stream.read(&mut block[..take]) {
                Ok(0) | Err(_) => break,
                Ok(read) => left -= read as u64,
            }
        }
        count - left
    }

    /// The next bytes, whatever they are.
    pub fn some(&mut self) -> Result<Vec<u8>, Gone> {
        if self.buf.is_empty() {
            self.more().map_err(|error| Gone::new(&error))?;
        }
        Ok(std::mem::take(&mut self.buf))
    }

    /// Reads until these bytes have arrived.
    pub fn until(&mut self, wanted: &[u8]) -> Vec<u8> {
        while !self.buf.windows(wanted.len()).any(|window| window == wanted) {
            self.more()
                .unwrap_or_else(|error| panic!("{error} before {:?} came", String::from_utf8_lossy(wanted)));
        }
        std::mem::take(&mut self.buf)
    }

    /// Whether the other side ends the connection within this time; bytes that still arrive are discarded.
    pub fn ends(&mut self, within: Duration) -> bool {
        let began = Instant::now();
        while let Some(left) = within.checked_sub(began.elapsed()).filter(|left| !left.is_zero()) {
            self.patience(left);
            match self.more() {
                Ok(()) => self.buf.clear(),
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    break;
                }
                Err(_) => return true,
            }
        }
        false
    }

    /// Closes the sending half and keeps the receiving half.
    pub fn half_close(&self) {
        self.tcp.shutdown(Shutdown::Write).expect("a connected socket can be half closed");
    }

    /// Closes with a reset: a plain close looks like a half-close to the other side, a reset does not.
    pub fn reset(self) {
        rustix::net::sockopt::set_socket_linger(&self.tcp, Some(Duration::ZERO))
            .expect("SO_LINGER can be set");
    }

    /// The local port of this connection, to find it in the edge's log.
    pub fn local(&self) -> SocketAddr {
        self.tcp.local_addr().expect("a connected socket has an address")
    }

    fn host(&self) -> String {
        format!("host: {}\r\n", self.addr)
    }

    fn more(&mut self) -> io::Result<()> {
        let mut block = [0_u8; 64 * 1024];
        match self.stream.read(&mut block)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                self.buf.extend_from_slice(&block[..read]);
                Ok(())
            }
        }
    }

    fn body(&mut self, reply: &mut Reply) -> io::Result<()> {
        if reply.head.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
            return self.chunks(reply);
        }
        let length = reply.head.header("content-length").and_then(|length| length.parse::<usize>().ok());
        let wanted = length.unwrap_or(usize::MAX);
        loop {
            let take = (wanted - reply.body.len()).min(self.buf.len());
            reply.body.extend(self.buf.drain(..take));
            if reply.body.len() == wanted {
                return Ok(());
            }
            match self.more() {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && length.is_none() => {
                    return Ok(());
                }
                other => other?,
            }
        }
    }

    fn chunks(&mut self, reply: &mut Reply) -> io::Result<()> {
        loop {
            let line = self.line()?;
            let digits = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(digits, 16)
                .map_err(|_| io::Error::other(format!("bad chunk {line:?}")))?;
            if size == 0 {
                break;
            }
            while self.buf.len() < size + 2 {
                if let Err(error) = self.more() {
                    reply.body.append(&mut self.buf);
                    return Err(error);
                }
            }
            reply.body.extend(self.buf.drain(..size));
            self.buf.drain(..2);
        }
        loop {
            let line = self.line()?;
            match line.split_once(':') {
                Some((name, value)) => reply.trailers.push((name.to_lowercase(), value.trim().to_owned())),
                None => return Ok(()),
            }
        }
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.buf.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.buf.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            self.more()?;
        }
    }
}

/// One `GET` on a connection of its own.
pub fn get(addr: SocketAddr, target: &str) -> Reply {
    let mut client = Client::connect(addr);
    client
        .ask("GET", target, "connection: close\r\n", b"")
        .unwrap_or_else(|gone| panic!("GET http://{addr}{target}: {gone}"))
}

fn prepared(tcp: &TcpStream) -> io::Result<TcpStream> {
    tcp.set_nodelay(true)?;
    tcp.set_read_timeout(Some(PATIENCE))?;
    tcp.set_write_timeout(Some(PATIENCE))?;
    tcp.try_clone()
}
