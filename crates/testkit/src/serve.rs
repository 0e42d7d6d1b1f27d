//! One connection of a fake endpoint: read a request, record it, answer as the behaviour says.

use std::{
    hash::Hasher,
    io,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use crate::{
    Behaviour, Head, Health, Seen,
    endpoint_state::EndpointState,
    lock,
    message::{Conn, Framing},
};

/// Whether the connection goes on after an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    Keep,
    Close,
}

/// Serves one connection to its end.
pub(crate) async fn connection(shared: &Arc<EndpointState>, mut conn: Conn, nth: u64) -> io::Result<()> {
    loop {
        let head = conn.head().await?;
        if head.word(1).split('?').next() == Some("/health") {
            shared.probes.fetch_add(1, Ordering::SeqCst);
            let health = lock(&shared.health).clone();
            probe(&mut conn, &health).await?;
            continue;
        }
        let after = request(shared, &mut conn, &head, nth).await;
        if let Err(error) = &after
            && matches!(
                error.kind(),
                io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
            )
        {
            shared.abandoned.fetch_add(1, Ordering::SeqCst);
        }
        if after? == After::Close {
            return Ok(());
        }
    }
}

async fn probe(conn: &mut Conn, health: &Health) -> io::Result<()> {
    if health.hang {
        return conn.pause(Duration::from_secs(3600)).await;
    }
    if !health.delay.is_zero() {
        conn.pause(health.delay).await?;
    }
    let head = format!(
        "HTTP/1.1 {} Status\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        health.status,
        health.body.len()
    );
    match health.trickle {
        None => {
            let mut whole = head.into_bytes();
            whole.extend_from_slice(&health.body);
            conn.write(&whole).await
        }
        Some(gap) => {
            conn.write(head.as_bytes()).await?;
            for byte in &health.body {
                conn.pause(gap).await?;
                conn.write(&[*byte]).await?;
            }
            Ok(())
        }
    }
}

async fn request(shared: &Arc<EndpointState>, conn: &mut Conn, head: &Head, nth: u64) -> io::Result<After> {
    let behaviour = lock(&shared.behaviour).clone();
    let serial = shared.served.fetch_add(1, Ordering::SeqCst) + 1;
    let mut upload = Upload::new(shared, head, nth);
    if let Behaviour::EarlyAnswer(status) = behaviour {
        upload.remember(false);
        conn.write(&small(&shared.name, status, head, "connection: close\r\n")).await?;
        // Closed with bytes unread, the connection would be reset and the answer with it (RFC 9112 section 9.6).
        let rest = async { while let Ok(Some(_)) = upload.next(conn).await {} };
        let _enough_is_enough = tokio::time::timeout(Duration::from_secs(1), rest).await;
        return Ok(After::Close);
    }
    let path = head.word(1).split('?').next().unwrap_or_default();
    if path == "/echo" && behaviour == Behaviour::Serve {
        return echo(conn, head, upload).await;
    }
    while let Some(piece) = upload.next(conn).await? {
        drop(piece);
    }
    upload.remember(true);
    match behaviour {
        Behaviour::Serve | Behaviour::ResetOnAccept | Behaviour::EarlyAnswer(_) => {}
        Behaviour::Slow(span) => conn.pause(span).await?,
        Behaviour::Hang => conn.pause(Duration::from_secs(3600)).await?,
        Behaviour::ResetBeforeHead => {
            conn.wire.arm_reset();
            return Ok(After::Close);
        }
        Behaviour::CloseBeforeHead => return Ok(After::Close),
        Behaviour::ResetAfterHead => return reset_after_head(conn, &shared.name).await,
        Behaviour::Status(status) => {
            conn.write(&small(&shared.name, status, head, "")).await?;
            return Ok(After::Keep);
        }
        Behaviour::StatusAndClose(status) => {
            conn.write(&small(&shared.name, status, head, "connection: close\r\n")).await?;
            return Ok(After::Close);
        }
        Behaviour::EveryNth(n, status) if serial.is_multiple_of(n.max(1)) => {
            conn.write(&small(&shared.name, status, head, "")).await?;
            return Ok(After::Keep);
        }
        Behaviour::EveryNth(..) => {}
        Behaviour::Raw(bytes) => {
            conn.write(&bytes).await?;
            return Ok(After::Keep);
        }
        Behaviour::RawAndClose(bytes) => {
            conn.write(&bytes).await?;
            return Ok(After::Close);
        }
        Behaviour::SlowLoris(gap) => return slow_loris(conn, &shared.name, gap).await,
        Behaviour::CloseAfterEach => {
            by_path(shared, conn, head, path, upload.hash()).await?;
            return Ok(After::Close);
        }
        Behaviour::HintsFirst => {
            conn.write(b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n").await?;
        }
    }
    by_path(shared, conn, head, path, upload.hash()).await
}

/// A small answer of any status, without a body where the status forbids one.
fn small(name: &str, status: u16, head: &Head, extra: &str) -> Vec<u8> {
    let body = format!("{{\"endpoint\":\"{name}\",\"status\":{status}}}");
    if status == 204 || status == 304 {
        return format!("HTTP/1.1 {status} Status\r\nx-endpoint: {name}\r\netag: \"e\"\r\n{extra}\r\n")
            .into_bytes();
    }
    let mut answer = format!(
        "HTTP/1.1 {status} Status\r\nx-endpoint: {name}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{extra}\r\n",
        body.len()
    )
    .into_bytes();
    if head.word(0) != "HEAD" {
        answer.extend_from_slice(body.as_bytes());
    }
    answer
}

async fn reset_after_head(conn: &mut Conn, name: &str) -> io::Result<After> {
    let head = format!("HTTP/1.1 200 OK\r\nx-endpoint: {name}\r\ncontent-length: 1000\r\n\r\n0123456789");
    conn.write(head.as_bytes()).await?;
    // The edge must have read the ten bytes: a reset discards what is still in flight.
    tokio::time::sleep(Duration::from_millis(50)).await;
    conn.wire.arm_reset();
    Ok(After::Close)
}

async fn slow_loris(conn: &mut Conn, name: &str, gap: Duration) -> io::Result<After> {
    conn.write(format!("HTTP/1.1 200 OK\r\nx-endpoint: {name}\r\ncontent-length: 10\r\n\r\n").as_bytes())
        .await?;
    for digit in b"0123456789" {
        conn.pause(gap).await?;
        conn.write(&[*digit]).await?;
    }
    Ok(After::Keep)
}

async fn echo(conn: &mut Conn, head: &Head, mut upload: Upload<'_>) -> io::Result<After> {
    let name = upload.shared.name.clone();
    let chunked = matches!(upload.framing, Framing::Chunked(_));
    let framing = match upload.framing {
        Framing::Length(length) => format!("content-length: {length}"),
        Framing::Chunked(_) => "transfer-encoding: chunked".to_owned(),
    };
    let kind = head.header("content-type").unwrap_or("application/octet-stream");
    conn.write(
        format!("HTTP/1.1 200 OK\r\nx-endpoint: {name}\r\ncontent-type: {kind}\r\n{framing}\r\n\r\n")
            .as_bytes(),
    )
    .await?;
    while let Some(piece) = upload.next(conn).await? {
        if chunked {
            conn.write(format!("{:x}\r\n", piece.len()).as_bytes()).await?;
        }
        conn.write(&piece).await?;
        if chunked {
            conn.write(b"\r\n").await?;
        }
    }
    upload.remember(true);
    if chunked {
        conn.write(b"0\r\n\r\n").await?;
    }
    Ok(After::Keep)
}

async fn by_path(
    shared: &EndpointState,
    conn: &mut Conn,
    head: &Head,
    path: &str,
    upload: (u64, u64),
) -> io::Result<After> {
    let name = &shared.name;
    let mut parts = path.trim_start_matches('/').split('/');
    let first = parts.next().unwrap_or_default();
    let number = parts.next().and_then(|n| n.parse::<u64>().ok());
    let top = format!("HTTP/1.1 200 OK\r\nx-endpoint: {name}\r\n");
    match (first, number) {
        ("bytes", Some(n)) => {
            conn.write(format!("{top}content-length: {n}\r\n\r\n").as_bytes()).await?;
            if head.word(0) != "HEAD" {
                zeros(conn, n, false).await?;
            }
        }
        ("chunked", Some(n)) => {
            conn.write(format!("{top}transfer-encoding: chunked\r\n\r\n").as_bytes()).await?;
            zeros(conn, n, true).await?;
            conn.write(b"0\r\n\r\n").await?;
        }
        ("trailers", _) => {
            let body =
                "trailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 42\r\n\r\n";
            conn.write(format!("{top}{body}").as_bytes()).await?;
        }
        ("until-close", Some(n)) => {
            conn.write(format!("{top}connection: close\r\n\r\n").as_bytes()).await?;
            zeros(conn, n, false).await?;
            return Ok(After::Close);
        }
        ("status", Some(code)) => {
            conn.write(&small(name, u16::try_from(code).unwrap_or(500), head, "")).await?;
        }
        ("upload", _) => {
            let body = format!("{{\"bytes\":{},\"hash\":{}}}", upload.0, upload.1);
            conn.write(format!("{top}content-length: {}\r\n\r\n{body}", body.len()).as_bytes()).await?;
        }
        ("sse", _) => return events(conn, &top).await,
        ("ws", _) if head.header("upgrade").is_some() => return upgraded(conn, name).await,
        ("hop", _) => {
            let fields = "connection: x-secret, keep-alive\r\nx-secret: 1\r\nkeep-alive: timeout=5\r\nproxy-authenticate: Basic\r\nx-open: 1\r\n";
            conn.write(format!("{top}{fields}content-length: 2\r\n\r\nok").as_bytes()).await?;
        }
        _ => conn.write(&small(name, 200, head, "")).await?,
    }
    Ok(After::Keep)
}

/// Writes this many zero bytes; in chunks of their own framing if asked.
async fn zeros(conn: &mut Conn, total: u64, chunked: bool) -> io::Result<()> {
    static BLOCK: [u8; 256 * 1024] = [0; 256 * 1024];
    let mut left = total;
    while left > 0 {
        let take = usize::try_from(left).unwrap_or(usize::MAX).min(BLOCK.len());
        if chunked {
            conn.write(format!("{take:x}\r\n").as_bytes()).await?;
        }
        conn.write(&BLOCK[..take]).await?;
        if chunked {
            conn.write(b"\r\n").await?;
        }
        left -= take as u64;
    }
    Ok(())
}

async fn events(conn: &mut Conn, top: &str) -> io::Result<After> {
    conn.write(
        format!("{top}content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n").as_bytes(),
    )
    .await?;
    for nth in 0..5 {
        let event = format!("data: {nth}\n\n");
        conn.write(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).await?;
        conn.pause(Duration::from_millis(50)).await?;
    }
    conn.pause(Duration::from_secs(3600)).await?;
    Ok(After::Close)
}

async fn upgraded(conn: &mut Conn, name: &str) -> io::Result<After> {
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nx-endpoint: {name}\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    );
    conn.write(head.as_bytes()).await?;
    loop {
        match conn.any().await {
            Ok(bytes) => conn.write(&bytes).await?,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(After::Close),
            Err(error) => return Err(error),
        }
    }
}

/// The body of one request on its way in, and its record, which is kept even when the connection breaks.
struct Upload<'a> {
    shared: &'a EndpointState,
    head: &'a Head,
    framing: Framing,
    hasher: std::hash::DefaultHasher,
    length: u64,
    connection: u64,
    at: Instant,
    noted: bool,
}

impl<'a> Upload<'a> {
    fn new(shared: &'a EndpointState, head: &'a Head, connection: u64) -> Self {
        let framing = Framing::of(head);
        let hasher = std::hash::DefaultHasher::new();
        Self { shared, head, framing, hasher, length: 0, connection, at: Instant::now(), noted: false }
    }

    async fn next(&mut self, conn: &mut Conn) -> io::Result<Option<bytes::Bytes>> {
        let piece = conn.piece(&mut self.framing).await?;
        if let Some(piece) = &piece {
            self.hasher.write(piece);
            self.length += piece.len() as u64;
        }
        Ok(piece)
    }

    fn hash(&self) -> (u64, u64) {
        (self.length, self.hasher.finish())
    }

    fn remember(&mut self, complete: bool) {
        self.noted = true;
        let (body_len, body_hash) = self.hash();
        let seen = Seen {
            head: self.head.clone(),
            body_len,
            body_hash,
            connection: self.connection,
            complete,
            at: self.at,
        };
        lock(&self.shared.seen).push(seen);
    }
}

impl Drop for Upload<'_> {
    fn drop(&mut self) {
        if !self.noted {
            self.remember(false);
        }
    }
}
