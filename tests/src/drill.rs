//! Drills: what an operator does to an edge that carries many streams or many connections, with its figures. The faults of
//! the cells come from outside and are judged request by request; here it counts how each connection ended, and when.

use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use thalweg_testkit::{Conf, Edge, Endpoint, Load, Report, Signal, runtime};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::{goal::Figure, record::failed};

/// A Close frame of a server: 1012, service restart.
const RESTART: [u8; 4] = [0x88, 0x02, 0x03, 0xf4];
/// The same from a client, masked with zeros.
const RESTART_BACK: [u8; 8] = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xf4];
/// A text frame of a client, masked with zeros.
const HELLO: [u8; 11] = [0x81, 0x85, 0, 0, 0, 0, b'h', b'e', b'l', b'l', b'o'];
const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
const EVENTS: &str = "GET /sse HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n";
const GET: &str = "GET /bytes/1 HTTP/1.1\r\nHost: x\r\n\r\n";

/// How long a stream may stay beyond the end of its drain before the drill gives it up.
const BEYOND: Duration = Duration::from_secs(20);

/// A drill that can be played.
#[derive(Clone, Copy, Debug)]
pub enum Drill {
    /// A region with this many WebSockets and event streams is drained by a deadline, under load.
    Streams {
        /// Open WebSockets.
        websockets: usize,
        /// Event streams.
        events: usize,
        /// The order's deadline.
        deadline: Duration,
    },
    /// An edge with this many idle and busy client connections gets SIGTERM.
    Ending {
        /// Connections with no request under way.
        idle: usize,
        /// Connections that ask without a pause.
        busy: usize,
        /// Its `drain_timeout`.
        within: Duration,
    },
}

/// The drills of `make chaos`.
pub const WHOLE: [Drill; 2] = [
    Drill::Streams { websockets: 500, events: 100, deadline: Duration::from_secs(10) },
    Drill::Ending { idle: 2000, busy: 200, within: Duration::from_secs(25) },
];

/// How a connection ended.
#[derive(Clone, Copy, Debug)]
struct End {
    at: Instant,
    /// As it should: said by the protocol, not by the loss of the connection.
    right: bool,
}

impl Drill {
    /// Its name, as the chaos suite prints it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Streams { .. } => "drain-streams",
            Self::Ending { .. } => "sigterm",
        }
    }

    /// Plays it, in real time.
    pub fn play(self) -> Vec<Figure> {
        match self {
            Self::Streams { websockets, events, deadline } => streams(websockets, events, deadline),
            Self::Ending { idle, busy, within } => ending(idle, busy, within),
        }
    }

    /// The line of the report, and whether every figure is within its limit.
    pub fn line(self, figures: &[Figure]) -> (String, bool) {
        let holds = figures.iter().all(Figure::holds);
        let word = match (holds, figures.iter().all(Figure::reached)) {
            (true, true) => "reached",
            (true, false) => "passed",
            (false, _) => "FAILED",
        };
        let shown = figures.iter().map(|figure| {
            let note = if figure.note.is_empty() { String::new() } else { format!(" [{}]", figure.note) };
            format!(" | {} {:.2} (<= {}){note}", figure.what, figure.value, figure.goal)
        });
        (format!("{word:<8}{:<34}{}", self.name(), shown.collect::<String>()), holds)
    }
}

fn streams(websockets: usize, events: usize, deadline: Duration) -> Vec<Figure> {
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let conf = Conf::new()
        .listener("web", "")
        .pool("near", &[first.addr()], "region = \"eu\"")
        .pool("far", &[second.addr()], "region = \"us\"")
        .route("all", "failover", &["near", "far"], "");
    let edge = Edge::start(&conf);
    edge.until_up(2);
    let watched: Vec<JoinHandle<End>> = runtime().block_on(async {
        let mut watched = Vec::new();
        for nth in 0..websockets + events {
            // In turn, so that neither kind has a part of the time for itself.
            let is_event = nth * events / (websockets + events) != (nth + 1) * events / (websockets + events);
            watched.push(if is_event { event_stream(edge.web()).await } else { websocket(edge.web()).await });
        }
        watched
    });
    let load = Load::to(edge.web()).rate(200.0).fresh(0.02).start();
    let began = Instant::now();
    let body = format!("{{\"region\":\"eu\",\"deadline\":\"{}ms\"}}", deadline.as_millis());
    let order = edge.admin_post("/api/v1/drain", &body);
    assert_eq!(order.status, 201, "{}", order.text());
    assert_eq!(order.json()["left"]["streams"], watched.len(), "{}", order.text());
    let ends = gather(watched, deadline);
    let report = load.stop();
    let wrong = ends.iter().filter(|end| !end.is_some_and(|end| end.right)).count();
    let early = ends.iter().flatten().filter(|end| end.at < began).count();
    let left = edge.metric("thalweg_endpoint_streams", &[("pool", "near")]);
    let mut figures = vec![
        refused(&report),
        Figure::count("streams without a proper end", wrong as f64, 0.0),
        Figure::count("streams cut before the drain", early as f64, 0.0),
        Figure::count("streams left, by the edge's count", left, 0.0),
    ];
    figures.extend(spread(&ends, began, deadline / 10, deadline));
    figures
}

fn ending(idle: usize, busy: usize, within: Duration) -> Vec<Figure> {
    let endpoint = Endpoint::start("a");
    let conf = Conf::simple("failover", &[endpoint.addr()])
        .edge(&format!("drain_timeout = \"{}ms\"", within.as_millis()));
    let edge = Edge::start(&conf);
    edge.until_up(1);
    let (idle, busy) = runtime().block_on(async {
        let (mut kept, mut asking) = (Vec::new(), Vec::new());
        for _ in 0..idle {
            kept.push(silent(edge.web()).await);
        }
        // By now the first connections have been idle for a while. A connection that was used a moment before the end
        // may have a request on its way: the edge lets it speak first.
        sleep(Duration::from_millis(1200)).await;
        for _ in 0..busy {
            asking.push(restless(edge.web()));
        }
        sleep(Duration::from_millis(300)).await;
        (kept, asking)
    });
    let began = Instant::now();
    edge.signal(Signal::TERM);
    let ends = gather(idle, within);
    let asked: Vec<io::Result<u64>> = runtime().block_on(async {
        let mut asked = Vec::new();
        for client in busy {
            asked.push(client.await.expect("no client panics"));
        }
        asked
    });
    let code = edge.exit_code(within + BEYOND);
    let lost = asked.iter().filter(|asked| asked.is_err()).count();
    let served: u64 = asked.iter().flatten().sum();
    let wrong = ends.iter().filter(|end| !end.is_some_and(|end| end.right)).count();
    let mut figures = vec![
        Figure::count("failed requests", lost as f64, 0.0).noted(format!("{served} served")),
        Figure::count("idle connections that were not closed in order", wrong as f64, 0.0),
        Figure::count("exit code", f64::from(code), 0.0),
    ];
    figures.extend(spread(&ends, began, Duration::from_millis(100), within));
    figures
}

fn refused(report: &Report) -> Figure {
    let failed = report.shots.iter().filter(|shot| failed(shot)).count();
    Figure::count("failed requests", failed as f64, 0.0).noted(format!("of {}", report.shots.len()))
}

/// Waits for the ends of all connections; `None` = it never ended.
fn gather(watched: Vec<JoinHandle<End>>, within: Duration) -> Vec<Option<End>> {
    runtime().block_on(async {
        let until = tokio::time::Instant::now() + within + BEYOND;
        let mut ends = Vec::new();
        for task in watched {
            ends.push(tokio::time::timeout_at(until, task).await.ok().and_then(Result::ok));
        }
        ends
    })
}

/// The fullest slot of this width, in multiples of the mean, and the last end. When a client notes an end is a matter of the
/// machine, too.
fn spread(ends: &[Option<End>], began: Instant, slot: Duration, within: Duration) -> Vec<Figure> {
    let since = |end: &End| end.at.saturating_duration_since(began);
    let mut at: Vec<Duration> = ends.iter().flatten().map(since).collect();
    at.sort_unstable();
    let (first, last) = (at.first().copied().unwrap_or_default(), at.last().copied().unwrap_or_default());
    let number = |at: &Duration| (*at - first).as_millis() / slot.as_millis();
    let slots = number(&last) + 1;
    let fullest = (0..slots).map(|slot| at.iter().filter(|at| number(at) == slot).count()).max().unwrap_or(0);
    let mean = at.len() as f64 / slots as f64;
    let note = format!("{fullest} of {} in {slots} slots of {} ms", at.len(), slot.as_millis());
    let late = (within + Duration::from_secs(1)).as_secs_f64() * 1000.0;
    let shown = format!("the first after {} ms", first.as_millis());
    vec![
        Figure::time("the fullest slot (means)", fullest as f64 / mean.max(1e-9), 2.0).noted(note),
        Figure::time("the last end (ms)", last.as_secs_f64() * 1000.0, late).noted(shown),
    ]
}

/// Reads until these bytes have come; an error when the connection ends before.
async fn until(stream: &mut TcpStream, wanted: &[u8]) -> io::Result<Vec<u8>> {
    let (mut seen, mut some) = (Vec::new(), [0; 4096]);
    while !seen.windows(wanted.len()).any(|part| part == wanted) {
        match stream.read(&mut some).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => seen.extend_from_slice(&some[..count]),
        }
    }
    Ok(seen)
}

async fn opened(edge: SocketAddr, head: &str) -> TcpStream {
    let mut stream = TcpStream::connect(edge).await.expect("the edge accepts");
    stream.write_all(head.as_bytes()).await.expect("it can be sent");
    stream
}

/// An open WebSocket, through which a frame has passed both ways.
async fn websocket(edge: SocketAddr) -> JoinHandle<End> {
    let mut stream = opened(edge, UPGRADE).await;
    until(&mut stream, b"\r\n\r\n").await.expect("the endpoint upgrades");
    stream.write_all(&HELLO).await.expect("it can be sent");
    until(&mut stream, &HELLO).await.expect("the frame comes back");
    tokio::spawn(async move {
        let told = until(&mut stream, &RESTART).await.is_ok();
        let at = Instant::now();
        let answered = stream.write_all(&RESTART_BACK).await.is_ok();
        let closed = timeout(BEYOND, stream.read(&mut [0; 64])).await;
        End { at, right: told && answered && matches!(closed, Ok(Ok(0))) }
    })
}

/// An open event stream that has brought five events. Its right end is that of its chunked body.
async fn event_stream(edge: SocketAddr) -> JoinHandle<End> {
    let mut stream = opened(edge, EVENTS).await;
    until(&mut stream, b"data: 4\n\n\r\n").await.expect("events come");
    tokio::spawn(async move {
        let right = until(&mut stream, b"0\r\n\r\n").await.is_ok();
        End { at: Instant::now(), right }
    })
}

/// A kept connection with one answered request behind it.
async fn silent(edge: SocketAddr) -> JoinHandle<End> {
    let mut stream = opened(edge, GET).await;
    answer(&mut stream).await.expect("an answer");
    tokio::spawn(async move {
        let closed = stream.read(&mut [0; 64]).await;
        End { at: Instant::now(), right: matches!(closed, Ok(0)) }
    })
}

/// A client that asks again as soon as it has its answer, until an answer says that it was the last. Returns how many it
/// got, and an error when a request got none.
fn restless(edge: SocketAddr) -> JoinHandle<io::Result<u64>> {
    tokio::spawn(async move {
        let mut stream = TcpStream::connect(edge).await?;
        for count in 1.. {
            stream.write_all(GET.as_bytes()).await?;
            if answer(&mut stream).await? {
                return Ok(count);
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(0)
    })
}

/// Reads a whole answer of one byte; `true` = the connection ends behind it.
async fn answer(stream: &mut TcpStream) -> io::Result<bool> {
    let mut seen = Vec::new();
    let mut some = [0; 1024];
    let head = loop {
        if let Some(at) = seen.windows(4).position(|four| four == b"\r\n\r\n")
            && seen.len() > at + 4
        {
            break String::from_utf8_lossy(&seen[..at]).to_ascii_lowercase();
        }
        match stream.read(&mut some).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => seen.extend_from_slice(&some[..count]),
        }
    };
    if head.starts_with("http/1.1 200") {
        Ok(head.contains("connection: close"))
    } else {
        Err(io::Error::other(head))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_measured_in_means_and_a_heap_shows() {
        let began = Instant::now();
        let ends = |at: &dyn Fn(u64) -> u64| -> Vec<Option<End>> {
            let end = |nth| End { at: began + Duration::from_millis(at(nth)), right: true };
            (0..100).map(|nth| Some(end(nth))).collect()
        };
        let second = Duration::from_secs(1);
        let even = spread(&ends(&|nth| nth * 100), began, second, 10 * second);
        assert!(even.iter().all(Figure::reached), "{even:?}");
        let heap = spread(&ends(&|nth| if nth < 70 { 0 } else { nth * 100 }), began, second, 10 * second);
        assert!(!heap[0].reached() && !heap[0].holds(), "{heap:?}");
        let late = spread(&ends(&|nth| nth * 200), began, second, 10 * second);
        assert!(!late[1].reached(), "{late:?}");
    }
}
