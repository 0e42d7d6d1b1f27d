//! One edge as a machine: the process, the BIRD beside it, its folder, and what systemd does for it by the packaged unit
//! with `thalweg-announce.conf`: end an edge whose watchdog is silent, and withdraw when the edge has ended in any way.

use std::{
    fs,
    os::unix::net::UnixDatagram,
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde_json::Value;
use thalweg_testkit::{Conf, Edge, Scratch, Signal};

use crate::{
    common::{bird::BirdProcess, server::program},
    network::{Network, Space},
    routing::{self, PROTOCOL},
};

/// `WatchdogSec`: the edge gives a sign of life each second.
pub const WATCHDOG: Duration = Duration::from_secs(2);

/// An edge with its surroundings.
pub struct Node<'n> {
    space: &'n Space,
    bird: BirdProcess,
    /// Its `state_dir`, and BIRD's files.
    pub folder: Scratch,
    process: Option<Process>,
}

struct Process {
    edge: Arc<Edge>,
    unit: JoinHandle<()>,
    /// The unit hangs, too: the whole machine does.
    hangs: Arc<AtomicBool>,
}

impl<'n> Node<'n> {
    /// The machine, without an edge yet.
    pub fn new(network: &'n Network, nth: usize) -> Self {
        let folder = Scratch::new();
        let bird = routing::edge_bird(network, nth, &folder);
        Self { space: &network.edges[nth], bird, folder, process: None }
    }

    /// Starts the edge; it is ready.
    pub fn begin(&mut self, conf: &Conf) {
        self.end();
        let path = self.folder.join("notify");
        let _none_is_fine = fs::remove_file(&path);
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(10))).expect("a timeout");
        let conf = conf
            .clone()
            .edge(&format!("state_dir = \"{}\"", self.folder.join("state").display()))
            .env("BIRD_SOCKET", &self.bird.control.display().to_string())
            .env("NOTIFY_SOCKET", &path.display().to_string())
            .env("WATCHDOG_USEC", &WATCHDOG.as_micros().to_string());
        let edge = Arc::new(self.space.within(|| Edge::start(&conf)));
        let hangs = Arc::new(AtomicBool::new(false));
        let (watched, hang, control) = (Arc::clone(&edge), Arc::clone(&hangs), self.bird.control.clone());
        let unit = thread::spawn(move || supervise(&watched, &socket, &hang, &control));
        self.process = Some(Process { edge, unit, hangs });
    }

    /// Asks or tells the edge something, from inside its namespace.
    pub fn ask<T: Send>(&self, question: impl FnOnce(&Edge) -> T + Send) -> T {
        let edge = self.edge();
        self.space.within(|| question(edge))
    }

    /// The edge's process.
    pub fn edge(&self) -> &Edge {
        &self.process.as_ref().expect("the edge was started").edge
    }

    /// The machine stands still: the edge, its BIRD and its service manager.
    pub fn hang(&self, yes: bool) {
        let signal = if yes { Signal::STOP } else { Signal::CONT };
        self.process.as_ref().expect("the edge was started").hangs.store(yes, Ordering::Release);
        self.bird.signal(signal);
        self.edge().signal(signal);
    }

    /// Whether the edge counts its address as announced.
    pub fn announces(&self) -> bool {
        self.ask(|edge| edge.metric("thalweg_announced", &[("protocol", PROTOCOL)]) == 1.0)
    }

    /// What the status says of the fleet.
    pub fn fleet(&self) -> Value {
        self.ask(|edge| edge.status()["fleet"].clone())
    }

    /// Processor time of the edge so far.
    pub fn processor_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.edge().pid())).expect("the edge runs");
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks: u64 = [11, 12].iter().filter_map(|nth| fields[*nth].parse::<u64>().ok()).sum();
        Duration::from_millis(ticks * 10)
    }

    fn end(&mut self) {
        if let Some(process) = self.process.take() {
            let _ended_already_is_fine = process.edge.ended().is_some() || {
                process.edge.signal(Signal::KILL);
                true
            };
            process.unit.join().expect("the unit ends with its edge");
        }
    }
}

impl Drop for Node<'_> {
    fn drop(&mut self) {
        self.end();
    }
}

/// Watches an edge until it has ended, and withdraws then.
fn supervise(edge: &Edge, socket: &UnixDatagram, hangs: &AtomicBool, control: &Path) {
    let mut last_sign = None;
    let mut word = [0; 256];
    while edge.ended().is_none() {
        if let Ok(length) = socket.recv(&mut word) {
            let word = String::from_utf8_lossy(&word[..length]);
            if word.contains("READY=1") || word.contains("WATCHDOG=1") {
                last_sign = Some(Instant::now());
            }
        }
        if hangs.load(Ordering::Acquire) {
            last_sign = None;
        }
        if last_sign.is_some_and(|sign: Instant| sign.elapsed() > WATCHDOG) {
            edge.signal(Signal::KILL);
            last_sign = None;
        }
    }
    let birdc = program("birdc").expect("birdc");
    let done = Command::new(birdc).arg("-s").arg(control).args(["disable", PROTOCOL]).output();
    done.expect("birdc runs");
}
