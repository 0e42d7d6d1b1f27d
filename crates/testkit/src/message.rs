//! Reads HTTP/1.1 on the endpoint's side: heads as received, bodies piece by piece. Lenient on purpose: it shows
//! what the edge sent and does not validate it.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::wire::Wire;

/// The head of a request or of an answer, as it was on the wire.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// The first line, without its end.
    pub line: String,
    /// Fields in order, names as sent.
    pub headers: Vec<(String, String)>,
    /// Every byte up to and with the empty line.
    pub raw: Vec<u8>,
}

impl Head {
    /// Splits the raw bytes of a head.
    pub fn parse(raw: &[u8]) -> Self {
        let text = String::from_utf8_lossy(raw).into_owned();
        let mut lines = text.split('\n').map(|line| line.trim_end_matches('\r'));
        let line = lines.next().unwrap_or_default().to_owned();
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        Self { line, headers, raw: raw.to_vec() }
    }

    /// The first field of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Every field of this name.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers
            .iter()
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// The nth word of the first line.
    pub fn word(&self, nth: usize) -> &str {
        self.line.split(' ').nth(nth).unwrap_or_default()
    }
}

/// Finds the end of a head: the index after the empty line.
pub(crate) fn head_end(bytes: &[u8]) -> Option<usize> {
    let crlf = bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4);
    let bare = bytes.windows(2).position(|two| two == b"\n\n").map(|at| at + 2);
    match (crlf, bare) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// The framing of the rest of a message, and how many bytes are left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// This many bytes are left.
    Length(u64),
    /// Chunks; this many bytes are left of the current one (`None` = a size line comes next).
    Chunked(Option<u64>),
}

impl Framing {
    /// The framing that a request head declares.
    pub(crate) fn of(head: &Head) -> Self {
        let chunked =
            head.header("transfer-encoding").is_some_and(|value| value.to_lowercase().contains("chunked"));
        if chunked {
            return Self::Chunked(None);
        }
        let length = head.header("content-length").and_then(|value| value.parse().ok());
        Self::Length(length.unwrap_or(0))
    }
}

/// One connection, and the bytes that were read and not yet used.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) wire: Wire,
    buf: BytesMut,
}

impl Conn {
    pub(crate) fn new(wire: Wire) -> Self {
        Self { wire, buf: BytesMut::with_capacity(16 * 1024) }
    }

    /// Reads more; an error at the end of the stream.
    async fn more(&mut self) -> io::Result<()> {
        if self.buf.capacity() - self.buf.len() < 4096 {
            self.buf.reserve(64 * 1024);
        }
        match self.wire.read_buf(&mut self.buf).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Waits for the next head.
    pub(crate) async fn head(&mut self) -> io::Result<Head> {
        loop {
            if let Some(end) = head_end(&self.buf) {
                return Ok(Head::parse(&self.buf.split_to(end)));
            }
            self.more().await?;
        }
    }

    /// The next piece of the body, `None` at its end.
    pub(crate) async fn piece(&mut self, framing: &mut Framing) -> io::Result<Option<Bytes>> {
        loop {
            match framing {
                Framing::Length(0) => return Ok(None),
                Framing::Length(left) | Framing::Chunked(Some(left)) if *left > 0 => {
                    if self.buf.is_empty() {
                        self.more().await?;
                    }
                    let take = usize::try_from(*left).unwrap_or(usize::MAX).min(self.buf.len());
                    *left -= take as u64;
                    return Ok(Some(self.buf.split_to(take).freeze()));
                }
                Framing::Length(_) => return Ok(None),
                Framing::Chunked(Some(_)) => {
                    self.line().await?;
                    *framing = Framing::Chunked(None);
                }
                Framing::Chunked(None) => {
                    let line = self.line().await?;
                    let digits = line.split(';').next().unwrap_or_default().trim();
                    let size =
                        u64::from_str_radix(digits, 16).map_err(|_| io::Error::other("bad chunk size"))?;
                    if size == 0 {
                        while !self.line().await?.is_empty() {}
                        *framing = Framing::Length(0);
                    } else {
                        *framing = Framing::Chunked(Some(size));
                    }
                }
            }
        }
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.buf.iter().position(|&byte| byte == b'\n') {
                let line = self.buf.split_to(end + 1);
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            self.more().await?;
        }
    }

    /// The next bytes, for streams that are no longer HTTP.
    pub(crate) async fn any(&mut self) -> io::Result<Bytes> {
        if self.buf.is_empty() {
            self.more().await?;
        }
        let have = self.buf.remaining();
        Ok(self.buf.split_to(have).freeze())
    }

    /// Waits for this span, or until the other side closes.
    pub(crate) async fn pause(&mut self, span: std::time::Duration) -> io::Result<()> {
        let sleep = tokio::time::sleep(span);
        tokio::pin!(sleep);
        loop {
            tokio::select! {
                () = &mut sleep => return Ok(()),
                more = self.more() => more?,
            }
        }
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.wire.write_all(bytes).await?;
        self.wire.flush().await
    }
}
