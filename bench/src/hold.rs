//! Many connections held open: silent first, then one request on each, or heads that never end, as told line by line on stdin.
//! Connects from many loopback addresses, so that 10,000 connections do not run out of ports. Never closes early.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};

/// Gap between two bytes of a slow head.
const DRIP: Duration = Duration::from_secs(10);

/// The connections to hold.
pub struct HoldPlan {
    pub address: SocketAddr,
    pub host: String,
    pub connections: usize,
    pub per_source: usize,
}

/// One line of progress, as JSON on stdout.
#[derive(Serialize)]
struct Progress {
    phase: &'static str,
    open: usize,
    answered: usize,
    failed: usize,
    first_error: Option<String>,
}

/// Opens the connections, then reads commands: `request` sends one request on each, `quit` ends.
pub async fn run(plan: HoldPlan, mut say: impl FnMut(String) -> Result<()>) -> Result<()> {
    let mut held = Vec::with_capacity(plan.connections);
    let mut progress = Progress { phase: "held", open: 0, answered: 0, failed: 0, first_error: None };
    for index in 0..plan.connections {
        match connect(&plan, index).await {
            Ok(stream) => held.push(stream),
            Err(error) => progress.fail(&error),
        }
    }
    progress.open = held.len();
    say(serde_json::to_string(&progress)?)?;
    let mut orders = BufReader::new(tokio::io::stdin()).lines();
    while let Some(order) = orders.next_line().await? {
        match order.trim() {
            "request" => {
                for stream in &mut held {
                    match request(stream, &plan.host).await {
                        Ok(()) => progress.answered += 1,
                        Err(error) => progress.fail(&error),
                    }
                }
                progress.phase = "answered";
                say(serde_json::to_string(&progress)?)?;
            }
            // The beginning of a head on each connection.
            "heads" => {
                let start = format!("GET / HTTP/1.1\r\nHost: {}\r\nX-Slow: ", plan.host);
                progress.answered = write_all(&mut held, start.as_bytes()).await;
                progress.phase = "begun";
                say(serde_json::to_string(&progress)?)?;
            }
            // Another byte of it, one connection after the other, over ten seconds.
            "drip" => {
                progress.answered = 0;
                let mut ticks = tokio::time::interval(DRIP / 1000);
                let share = held.len().div_ceil(1000).max(1);
                for some in held.chunks_mut(share) {
                    ticks.tick().await;
                    progress.answered += write_all(some, b"x").await;
                }
                progress.phase = "dripped";
                say(serde_json::to_string(&progress)?)?;
            }
            "quit" => break,
            other => anyhow::bail!("unknown order {other:?}"),
        }
    }
    Ok(())
}

impl Progress {
    fn fail(&mut self, error: &anyhow::Error) {
        self.failed += 1;
        self.first_error.get_or_insert_with(|| format!("{error:#}"));
    }
}

/// Writes to each; returns how many took it.
async fn write_all(streams: &mut [TcpStream], bytes: &[u8]) -> usize {
    let mut taken = 0;
    for stream in streams {
        taken += usize::from(stream.write_all(bytes).await.is_ok());
    }
    taken
}

async fn connect(plan: &HoldPlan, index: usize) -> Result<TcpStream> {
    let source = 2 + index / plan.per_source;
    let [high, low] = u16::try_from(source)?.to_be_bytes();
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, high, low)), 0)).context("bind")?;
    socket.connect(plan.address).await.context("connect")
}

/// One request; the answer is read up to its announced end.
async fn request(stream: &mut TcpStream, host: &str) -> Result<()> {
    stream.write_all(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).await?;
    let mut seen = Vec::new();
    loop {
        ensure!(stream.read_buf(&mut seen).await? > 0, "closed");
        if let Some((head_bytes, body_bytes)) = crate::lane::head(&seen)?
            && seen.len() >= head_bytes + body_bytes
        {
            return Ok(());
        }
    }
}
