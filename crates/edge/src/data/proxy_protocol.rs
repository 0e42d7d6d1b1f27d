//! The PROXY header at the beginning of a connection, read before TLS and HTTP: who may send one, who must, and what it
//! changes. The grammar is the wire engine's. Never reads a byte behind the header.

use std::{io, net::SocketAddr, rc::Rc, time::Duration};

use thalweg_config::ProxyProtocol;
use thalweg_wire::{
    PROXY_START_MAX, ProxyError, ProxyFields, ProxyHeader, ProxyReader, ProxyStart, ProxyStep, ServiceLink,
};
use tokio::{
    io::AsyncReadExt,
    net::TcpStream,
    time::{Instant, timeout_at},
};

use crate::data::{
    access_line,
    conn::{ClientConn, ClientIo},
    failure::Failure,
    local::Local,
    session,
    source::RequestSource,
};

/// Gap between looks at a first segment that is too short to tell a header from something else.
const PEEK_AGAIN: Duration = Duration::from_millis(5);

/// Bytes that one look at the socket takes.
const LOOK: usize = 256;

/// How a connection begins on a listener with balancers in front.
pub struct ProxyOpening<'a> {
    /// The rules of the listener.
    pub rules: &'a ProxyProtocol,
    /// When the client must have said what comes before HTTP.
    pub until: Instant,
    /// No answer can be sent: TLS follows, or what is not HTTP.
    pub mute: bool,
}

/// Reads the header, if one may come, and notes the client in `conn`. `None`: the connection was refused, or has ended.
pub async fn begin(
    local: &Rc<Local>,
    conn: &Rc<ClientConn>,
    mut stream: TcpStream,
    ProxyOpening { rules, until, mute }: ProxyOpening<'_>,
) -> Option<TcpStream> {
    let is_balancer = rules.from.contain(conn.source().ip());
    if !is_balancer && !mute {
        // A client may open a connection long before its first request.
        let io = ClientIo::plain(stream, Rc::clone(conn));
        session::first_byte(conn, &io).await?;
        stream = io.into_plain()?;
    }
    let until = if is_balancer || mute { until } else { Instant::now() + local.limits().header_timeout };
    let failure = match timeout_at(until, header(conn, &mut stream, is_balancer)).await {
        Ok(Ok(Some(header))) => {
            conn.head_ended();
            conn.introduce(source_of(conn, &header));
            return Some(stream);
        }
        Ok(Ok(None)) if is_balancer && rules.required => Failure::BadProxyHeader(ProxyError::Missing),
        Ok(Ok(None)) => {
            conn.head_ended();
            return Some(stream);
        }
        Ok(Err(ProxyEnd::Refused(error))) => Failure::BadProxyHeader(error),
        Ok(Err(ProxyEnd::Silent)) => return None,
        // A balancer's check, or a client that opened a connection and never used it.
        Err(_) if !conn.is_in_head() => return None,
        Err(_) => Failure::HeaderTimeout,
    };
    session::refuse(local, conn, (!mute).then(|| ClientIo::plain(stream, Rc::clone(conn))), failure).await;
    None
}

/// Why no header was read.
enum ProxyEnd {
    /// The connection ended before its first byte.
    Silent,
    Refused(ProxyError),
}

/// The header; `None` = the connection begins with something else, of which nothing was taken.
async fn header(
    conn: &ClientConn,
    stream: &mut TcpStream,
    is_balancer: bool,
) -> Result<Option<ProxyHeader>, ProxyEnd> {
    // One look serves for the start and for a header that is short.
    let mut look = [0; LOOK];
    loop {
        let seen = stream.peek(&mut look).await.unwrap_or(0);
        if seen == 0 {
            return Err(if conn.is_in_head() {
                ProxyEnd::Refused(ProxyError::Broken)
            } else {
                ProxyEnd::Silent
            });
        }
        conn.head_begins();
        match ProxyStart::of(look.get(..seen.min(PROXY_START_MAX)).unwrap_or_default()) {
            ProxyStart::Other => return Ok(None),
            ProxyStart::Header if !is_balancer => return Err(ProxyEnd::Refused(ProxyError::Untrusted)),
            ProxyStart::Header => {
                return read(stream, look, seen).await.map(Some).map_err(ProxyEnd::Refused);
            }
            // An immediate second look would spin: the kernel does not report a single further byte.
            ProxyStart::Undecided => tokio::time::sleep(PEEK_AGAIN).await,
        }
    }
}

/// The header, of which the first `seen` bytes are in `look` and still on the socket.
async fn read(
    stream: &mut TcpStream,
    mut look: [u8; LOOK],
    mut seen: usize,
) -> Result<ProxyHeader, ProxyError> {
    let mut reader = ProxyReader::default();
    loop {
        match reader.read(look.get(..seen).unwrap_or_default())? {
            ProxyStep::More => take(stream, &mut look, seen).await,
            ProxyStep::Header { consumed, header } => {
                return take(stream, &mut look, consumed)
                    .await
                    .map(|()| *header)
                    .map_err(|_| ProxyError::Broken);
            }
        }
        .map_err(|_| ProxyError::Broken)?;
        seen = stream.peek(&mut look).await.unwrap_or(0);
        if seen == 0 {
            return Err(ProxyError::Broken);
        }
    }
}

/// Takes so many bytes that were seen.
async fn take(stream: &mut TcpStream, scratch: &mut [u8], bytes: usize) -> io::Result<()> {
    let seen = scratch.get_mut(..bytes).unwrap_or_default();
    stream.read_exact(seen).await.map(|_| ())
}

/// The client as the header tells it. A balancer that speaks for itself is the client.
fn source_of(conn: &ClientConn, header: &ProxyHeader) -> RequestSource {
    let peer = conn.source().addr;
    let mut source = RequestSource::new(header.source.unwrap_or(peer));
    source.destination = header.destination;
    source.https = header.fields.tls.as_ref().is_some_and(|tls| tls.is_tls);
    source.proxy = Some(noted(peer, &header.fields));
    source
}

/// What the header tells, as a JSON object.
fn noted(peer: SocketAddr, fields: &ProxyFields) -> Box<str> {
    let mut out = Vec::new();
    let mut note = |name: &str, value: &str| {
        out.push(if out.is_empty() { b'{' } else { b',' });
        access_line::string(&mut out, name);
        out.push(b':');
        access_line::string(&mut out, value);
    };
    note("peer", &peer.ip().to_string());
    if let Some(authority) = &fields.authority {
        note("authority", authority);
    }
    if let Some(alpn) = &fields.alpn {
        note("alpn", &String::from_utf8_lossy(alpn));
    }
    if let Some(id) = &fields.unique_id {
        note("unique_id", &printable(id));
    }
    if let Some(tls) = fields.tls.as_ref().filter(|tls| tls.is_tls) {
        note("tls", tls.version.as_deref().unwrap_or("yes"));
        if let Some(name) = tls.common_name.as_deref().filter(|_| tls.is_verified) {
            note("client_name", name);
        }
    }
    match &fields.link {
        Some(ServiceLink::AwsVpcEndpoint(id)) => note("aws_vpc_endpoint", id),
        Some(ServiceLink::GooglePsc(id)) => note("google_psc_connection", &id.to_string()),
        Some(ServiceLink::AzureLink(id)) => note("azure_link", &id.to_string()),
        None => {}
    }
    out.push(b'}');
    String::from_utf8(out).unwrap_or_default().into()
}

/// Visible ASCII as it is, anything else in hex.
fn printable(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if bytes.iter().all(u8::is_ascii_graphic) => text.to_owned(),
        _ => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}
