//! A thousand edges on one real NATS server, beside one real edge: what suspicion costs each of them, the server and the
//! real edge. The others are simulated by tasks that speak the protocol of NATS, with the real messages, subject, keys and
//! pauses; each hears what all others say.

mod common;

use std::{
    fs,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use common::fleet::Fleet;
use thalweg_config::Ring;
use thalweg_edge::control::fleet::{
    gossip,
    rollout::{BundleReport, BundleState},
    sighting::{PoolSight, SeenEndpoint, Sighting},
};
use thalweg_testkit::{Conf, Edge, Endpoint, eventually, runtime};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::{Instant, interval, sleep, sleep_until},
};

const SOON: Duration = Duration::from_secs(60);
const EDGES: usize = 1_000;
const SUBJECT: &str = "thalweg.thalweg.seen";
/// The shortest pause between two messages of an edge that has taken nothing out.
const QUIET: Duration = Duration::from_secs(1);
/// How often an edge repeats its report.
const REPORT: Duration = Duration::from_secs(30);

/// What all simulated edges share.
#[derive(Debug, Default)]
struct Swarm {
    sent: AtomicU64,
    heard: AtomicU64,
    ready: AtomicU64,
    /// An endpoint is dead, and every edge says so.
    dead: AtomicBool,
}

/// One simulated edge, until the test ends.
async fn simulate(swarm: Arc<Swarm>, server: SocketAddr, nth: usize, seen: SeenEndpoint) -> Option<()> {
    // A hundred start in a second.
    sleep(Duration::from_millis(10 * nth as u64)).await;
    let stream = TcpStream::connect(server).await.ok()?;
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    let mut line = String::new();
    read.read_line(&mut line).await.ok()?;
    write.write_all(b"CONNECT {\"verbose\":false}\r\nSUB ").await.ok()?;
    write.write_all(format!("{SUBJECT} 1\r\nPING\r\n").as_bytes()).await.ok()?;
    let (pongs, mut asked) = tokio::sync::mpsc::unbounded_channel::<()>();
    let hears = Arc::clone(&swarm);
    tokio::spawn(async move { listen(&hears, read, pongs).await });
    swarm.ready.fetch_add(1, Ordering::AcqRel);
    let mut reports = interval(REPORT);
    let (mut number, mut due, mut said_dead) = (0, Instant::now(), false);
    loop {
        let dead = swarm.dead.load(Ordering::Acquire);
        if dead != said_dead || Instant::now() >= due {
            number += 1;
            said_dead = dead;
            let (word, pause) = word(nth, number, dead.then(|| seen.clone()));
            // The second word of each comes at another time, as if they had been there for long.
            let share = if number == 1 { nth as u32 } else { EDGES as u32 };
            due = Instant::now() + pause * share / EDGES as u32;
            publish(&mut write, &swarm, SUBJECT, &word).await?;
        }
        tokio::select! {
            _ = reports.tick() => {
                let report = BundleReport {
                    edge: format!("sim-{nth}"), ring: Ring::All, bundle: 0, state: BundleState::Good, good: 0,
                    reverted: Vec::new(),
                };
                let key = format!("$KV.thalweg.report.sim-{nth}");
                let text = report.to_json().to_string();
                publish(&mut write, &swarm, &key, text.as_bytes()).await?;
            }
            pong = asked.recv() => {
                pong?;
                write.write_all(b"PONG\r\n").await.ok()?;
            }
            () = sleep_until(due) => {}
            // News go out at once; a probe of its own lies between two edges that find the same.
            () = sleep(Duration::from_millis(100 + nth as u64 % 100)) => {}
        }
    }
}

async fn publish(
    write: &mut tokio::net::tcp::OwnedWriteHalf,
    swarm: &Swarm,
    subject: &str,
    payload: &[u8],
) -> Option<()> {
    let mut bytes = format!("PUB {subject} {}\r\n", payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes.extend_from_slice(b"\r\n");
    swarm.sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    write.write_all(&bytes).await.ok()
}

async fn listen(
    swarm: &Swarm,
    mut read: BufReader<tokio::net::tcp::OwnedReadHalf>,
    pongs: tokio::sync::mpsc::UnboundedSender<()>,
) -> Option<()> {
    let (mut line, mut payload) = (String::new(), Vec::new());
    loop {
        line.clear();
        if read.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let mut heard = line.len();
        if line.starts_with("PING") {
            pongs.send(()).ok()?;
        } else if line.starts_with("MSG") {
            let length: usize = line.trim_end().rsplit(' ').next()?.parse().ok()?;
            payload.resize(length + 2, 0);
            read.read_exact(&mut payload).await.ok()?;
            heard += payload.len();
        }
        swarm.heard.fetch_add(heard as u64, Ordering::Relaxed);
    }
}

/// What an edge with three pools says, and its pause after that.
fn word(nth: usize, number: u64, out: Option<SeenEndpoint>) -> (Vec<u8>, Duration) {
    let pool = |nth| PoolSight { pool: format!("p{nth}").into(), up: 1, of: 1 };
    let shortest = if out.is_some() { Duration::from_millis(500) } else { QUIET };
    let mut said = Sighting {
        edge: format!("sim-{nth}").into(),
        process: nth as u64,
        number,
        ttl_ms: 3_000,
        next_ms: 0,
        pools: (0..3).map(pool).collect(),
        out: out.into_iter().collect(),
    };
    let pause = gossip::pause(shortest, EDGES, said.to_bytes().len());
    said.next_ms = u64::try_from(pause.as_millis()).expect("a short pause");
    (said.to_bytes(), pause)
}

/// Processor time of a process so far.
fn processor_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process runs");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u64 = [11, 12].iter().filter_map(|nth| fields[*nth].parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// What a while costs: bytes a second that an edge hears and sends, and the shares of a core of the server and the edge.
#[derive(Clone, Copy, Debug)]
struct Cost {
    heard: f64,
    sent: f64,
    server: f64,
    edge: f64,
}

#[expect(clippy::cast_precision_loss, reason = "figures of a report")]
fn cost(swarm: &Swarm, server: u32, edge: u32, span: Duration) -> Cost {
    let now = || (swarm.heard.load(Ordering::Relaxed), swarm.sent.load(Ordering::Relaxed));
    let (before, busy) = (now(), [processor_time(server), processor_time(edge)]);
    thread::sleep(span);
    let (after, later) = (now(), [processor_time(server), processor_time(edge)]);
    let each = |bytes: u64| bytes as f64 / EDGES as f64 / span.as_secs_f64();
    let share = |nth: usize| (later[nth] - busy[nth]).as_secs_f64() / span.as_secs_f64() * 100.0;
    Cost { heard: each(after.0 - before.0), sent: each(after.1 - before.1), server: share(0), edge: share(1) }
}

#[test]
#[ignore = "two minutes on both cores: make fleet"]
fn a_thousand_edges_cost_each_other_little() {
    let Some(fleet) = Fleet::start("the fleet of a thousand") else { return };
    fleet.make_bucket();
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let probe = "[probe.own]\npath = \"/health\"\ninterval = \"1s\"\n";
    let conf = Conf::new().listener("web", "").raw(probe);
    let conf =
        conf.pool("p0", &[first.addr()], "probe = \"own\"").pool("p1", &[second.addr()], "probe = \"own\"");
    let conf = conf.route("all", "failover", &["p0", "p1"], "");
    let edge = Edge::start(&fleet.of(conf.clone(), "name = \"real\""));
    let swarm = Arc::<Swarm>::default();
    let seen: SeenEndpoint = ("p0".into(), first.addr().to_string().into());
    for nth in 0..EDGES {
        runtime().spawn(simulate(Arc::clone(&swarm), fleet.server.addr(), nth, seen.clone()));
    }
    eventually("every edge is connected", SOON, || swarm.ready.load(Ordering::Acquire) == EDGES as u64);
    eventually("the real edge knows them", SOON, || edge.metric("thalweg_fleet_neighbours", &[]) >= 990.0);
    let (server, pid) = (fleet.server.pid().expect("it runs"), edge.pid().unsigned_abs());
    // What was said at the start is over.
    thread::sleep(Duration::from_secs(5));
    println!(
        "| a thousand edges on one server | heard by each | sent by each | server | real edge |\n|---|---|---|---|---|"
    );
    let line = |what: &str, cost: Cost| {
        let Cost { heard, sent, server, edge } = cost;
        println!("| {what} | {heard:.0} B/s | {sent:.1} B/s | {server:.1} % of a core | {edge:.1} % |");
    };
    let quiet = cost(&swarm, server, pid, Duration::from_secs(20));
    line("nothing changes", quiet);
    fleet.publish(&conf);
    eventually("the real edge has a bundle", SOON, || edge.metric("thalweg_fleet_bundle", &[]) > 0.0);
    line(
        "the real edge has a bundle, and reads all reports",
        cost(&swarm, server, pid, Duration::from_secs(20)),
    );
    let before = edge.metric("thalweg_fleet_extra_probes_total", &[]);
    swarm.dead.store(true, Ordering::Release);
    line(
        "all say at once that an endpoint is out: the 5 s after",
        cost(&swarm, server, pid, Duration::from_secs(5)),
    );
    let extra = edge.metric("thalweg_fleet_extra_probes_total", &[]) - before;
    assert!(edge.is_up(first.addr()), "a thousand words take nothing out");
    assert!(extra <= 7.0, "{extra} extra probes in five seconds");
    line("and the 20 s after that", cost(&swarm, server, pid, Duration::from_secs(20)));
    assert!(quiet.heard + quiet.sent <= 1_000.0, "{quiet:?}");
}
