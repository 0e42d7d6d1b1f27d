//! A real NATS server on a port of its own, with its store in a scratch folder: killed, started again, wiped. Values are
//! put over the plain protocol, so that a scenario can write what no publisher would.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::{Scratch, eventually, free_port, repository, skip};

/// Longest wait for a server that starts.
const START: Duration = Duration::from_secs(20);

/// The server's binary, if there is one. Without one the scenario is skipped loudly.
pub fn nats_server(scenario: &str) -> Option<PathBuf> {
    let named = std::env::var_os("THALWEG_NATS_SERVER").map(PathBuf::from);
    let path = named.unwrap_or_else(|| repository().join(".venv/bin/nats-server"));
    if path.is_file() {
        return Some(path);
    }
    skip(scenario, "no nats-server (make setup; THALWEG_NATS_SERVER names another)");
    None
}

/// What distinguishes a server from others: its name and address, and lines of its configuration.
#[derive(Clone, Debug)]
pub struct NatsPlan {
    /// Its name.
    pub name: String,
    /// The address at which it listens.
    pub ip: IpAddr,
    /// The port for clients.
    pub port: u16,
    /// Further lines of its block `jetstream`.
    pub jetstream: String,
    /// Further lines.
    pub lines: String,
}

impl Default for NatsPlan {
    /// A server of its own on loopback.
    fn default() -> Self {
        let (jetstream, lines) = Default::default();
        Self { name: "a".into(), ip: Ipv4Addr::LOCALHOST.into(), port: free_port(), jetstream, lines }
    }
}

/// One server with JetStream; ended when dropped.
#[derive(Debug)]
pub struct NatsServer {
    binary: PathBuf,
    child: Option<Child>,
    plan: NatsPlan,
    scratch: Scratch,
}

impl NatsServer {
    /// Starts one, if this machine has the binary.
    pub fn start(scenario: &str) -> Option<Self> {
        Self::start_as(scenario, NatsPlan::default())
    }

    /// Starts one with these lines in its config, perhaps such that it lets in only those with credentials.
    pub fn start_with(scenario: &str, lines: &str) -> Option<Self> {
        Self::start_as(scenario, NatsPlan { lines: lines.to_owned(), ..NatsPlan::default() })
    }

    /// Starts one by this plan, if this machine has the binary.
    pub fn start_as(scenario: &str, plan: NatsPlan) -> Option<Self> {
        let binary = nats_server(scenario)?;
        let mut server = Self { binary, child: None, plan, scratch: Scratch::new() };
        server.revive();
        Some(server)
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("nats://{}", self.addr())
    }

    /// Where clients reach it.
    pub fn addr(&self) -> SocketAddr {
        SocketAddr::new(self.plan.ip, self.plan.port)
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Kills it.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Loses everything that it has stored. It must be dead.
    pub fn wipe(&self) {
        assert!(self.child.is_none(), "a store is wiped while its server is dead");
        let _ = fs::remove_dir_all(self.scratch.join("store"));
    }

    /// Starts it again on its port and store.
    pub fn revive(&mut self) {
        let store = self.scratch.join("store");
        let NatsPlan { name, ip, port, jetstream, lines } = &self.plan;
        let config = format!(
            "host: {ip}\nport: {port}\nserver_name: {name}\nmax_payload: 8MB\n\
             jetstream {{\n  store_dir: \"{}\"\n  sync_interval: always\n{jetstream}\n}}\n{lines}\n",
            store.display()
        );
        let path = self.scratch.write("nats.conf", config);
        let log = fs::File::create(self.scratch.join("nats.log")).expect("a log can be made");
        let child = Command::new(&self.binary)
            .arg("-c")
            .arg(path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        self.child = Some(child.expect("the server can be started"));
        eventually("a NATS server that answers", START, || {
            if self.plan.lines.is_empty() { self.ask(&[]).is_some() } else { self.greets().is_some() }
        });
    }

    /// Writes a value under a key of a bucket, as it is.
    pub fn put(&self, bucket: &str, key: &str, value: &[u8]) {
        self.publish(&format!("$KV.{bucket}.{key}"), &[value]);
    }

    /// Sends messages to whatever listens to this subject.
    pub fn publish(&self, subject: &str, values: &[&[u8]]) {
        let mut all = Vec::new();
        for value in values {
            all.extend_from_slice(format!("PUB {subject} {}\r\n", value.len()).as_bytes());
            all.extend_from_slice(value);
            all.extend_from_slice(b"\r\n");
        }
        self.ask(&all).expect("the server takes the messages");
    }

    /// Whether it sends the first line of the protocol.
    fn greets(&self) -> Option<()> {
        let stream = TcpStream::connect(self.addr()).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        BufReader::new(stream).lines().next()?.ok().map(drop)
    }

    /// Sends bytes of the protocol; answers when the server has read them.
    fn ask(&self, message: &[u8]) -> Option<()> {
        let mut stream = TcpStream::connect(self.addr()).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
        lines.next()?.ok()?;
        stream.write_all(b"CONNECT {\"verbose\":false}\r\n").ok()?;
        stream.write_all(message).ok()?;
        stream.write_all(b"PING\r\n").ok()?;
        loop {
            let line = lines.next()?.ok()?;
            if line == "PONG" {
                return Some(());
            }
            assert!(!line.starts_with("-ERR"), "{line}");
        }
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.kill();
    }
}
