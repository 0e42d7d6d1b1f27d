//! An edge that answers for the zone `glb.test`, and the clients that ask it.

use std::{
    net::{SocketAddr, UdpSocket},
    process::Command,
    time::Duration,
};

use thalweg_testkit::{Conf, Edge, Endpoint, eventually_some, skip};

/// Longest wait for what happens soon.
pub(crate) const SOON: Duration = Duration::from_secs(15);
/// The names of the zone, but for those of a scenario.
const ZONE: &str = "zone = \"glb.test\"\nnameservers = [\"ns1.glb.test\", \"ns2.other.test\"]\n\
    contact = \"host.master@glb.test\"\nttl = \"3s\"\n\
    [dns.name.\"ns1.glb.test\"]\naddresses = [\"192.0.2.53\"]\n\
    [dns.name.\"www.glb.test\"]\nroute = \"all\"\n\
    [dns.name.\"A.deep.glb.test.\"]\naddresses = [\"192.0.2.60\", \"2001:db8::60\"]\n";

/// An edge and the endpoints of its pools `a` and `b`.
pub(crate) struct DnsSite {
    pub(crate) edge: Edge,
    pub(crate) a: Endpoint,
    pub(crate) b: Endpoint,
}

/// The part of a config that makes an edge answer, at this address.
pub(crate) fn dns(listen: &str, lines: &str) -> String {
    format!("[dns]\nlisten = [\"{listen}\"]\n{lines}\n{ZONE}")
}

impl DnsSite {
    /// With this policy, these entries for the pools, and these lines in `[dns]`.
    pub(crate) fn start(policy: &str, pools: [&str; 2], lines: &str) -> Self {
        Self::start_on("127.0.0.1:0", policy, pools, lines)
    }

    pub(crate) fn start_on(listen: &str, policy: &str, pools: [&str; 2], lines: &str) -> Self {
        let (a, b) = (Endpoint::start("a"), Endpoint::start("b"));
        let conf = Self::conf(&a, &b).route("all", policy, &pools, "").raw(&dns(listen, lines));
        let edge = Edge::start(&conf);
        edge.until_up(2);
        Self { edge, a, b }
    }

    /// A listener and the two pools.
    pub(crate) fn conf(a: &Endpoint, b: &Endpoint) -> Conf {
        let addresses = "dns = [\"192.0.2.1\", \"2001:db8::1\"]";
        Conf::new().listener("web", "").pool("a", &[a.addr()], addresses).pool(
            "b",
            &[b.addr()],
            "dns = [\"192.0.2.2\", \"2001:db8::2\"]",
        )
    }

    /// Where it answers.
    pub(crate) fn at(&self) -> SocketAddr {
        at(&self.edge)
    }
}

/// Where an edge answers.
pub(crate) fn at(edge: &Edge) -> SocketAddr {
    eventually_some("an address at which DNS is answered", SOON, || {
        edge.status()["dns"]["listen"][0]["bound"].as_str().and_then(|bound| bound.parse().ok())
    })
}

/// Whether this machine has `dig`; without it the scenario is skipped.
pub(crate) fn has_dig(scenario: &str) -> bool {
    let found = Command::new("dig").arg("-v").output().is_ok();
    if !found {
        skip(scenario, "no dig (bind9-dnsutils)");
    }
    found
}

/// What `dig` says.
#[derive(Debug)]
pub(crate) struct Dug(pub(crate) String);

/// Asks with dig: one try, EDNS unless the arguments say otherwise.
pub(crate) fn dig(at: SocketAddr, words: &str) -> Dug {
    let server = format!("@{}", at.ip());
    let port = at.port().to_string();
    let done = Command::new("dig")
        .args([&*server, "-p", &*port, "+tries=1", "+time=5", "+nocookie", "+norecurse"])
        .args(words.split(' '))
        .output()
        .expect("dig runs");
    Dug(String::from_utf8_lossy(&done.stdout).into_owned())
}

impl Dug {
    /// The code: NOERROR, NXDOMAIN, …
    pub(crate) fn code(&self) -> &str {
        self.0.split("status: ").nth(1).and_then(|rest| rest.split(',').next()).unwrap_or("nothing")
    }

    /// Whether a flag of the header is set.
    pub(crate) fn flag(&self, flag: &str) -> bool {
        let flags = self.0.split(";; flags: ").nth(1).and_then(|rest| rest.split(';').next());
        flags.unwrap_or_default().split(' ').any(|one| one == flag)
    }

    /// The records of a section, `ANSWER`, `AUTHORITY` or `ADDITIONAL`: each with single spaces.
    pub(crate) fn section(&self, name: &str) -> Vec<String> {
        let head = format!(";; {name} SECTION:");
        let lines = self.0.lines().skip_while(|line| *line != head).skip(1);
        let lines = lines.take_while(|line| !line.is_empty());
        lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    }

    /// The data of the answers, in order.
    pub(crate) fn data(&self) -> Vec<String> {
        let mut data: Vec<String> = self
            .section("ANSWER")
            .iter()
            .filter_map(|line| line.rsplit(' ').next().map(str::to_owned))
            .collect();
        data.sort();
        data
    }
}

/// A query without EDNS.
pub(crate) fn query(id: u16, name: &str, kind: u16) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    message.extend([0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).expect("a short label"));
        message.extend(label.as_bytes());
    }
    message.push(0);
    message.extend(kind.to_be_bytes());
    message.extend([0, 1]);
    message
}

/// A client that sends datagrams as they are.
pub(crate) struct Datagrams(pub(crate) UdpSocket);

impl Datagrams {
    pub(crate) fn to(at: SocketAddr) -> Self {
        let socket = UdpSocket::bind(("127.0.0.1", 0)).expect("a port");
        socket.connect(at).expect("an address");
        socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
        Self(socket)
    }

    /// The answer to a query: the last byte of each A record in it.
    pub(crate) fn ask(&self, id: u16, name: &str) -> Option<Vec<u8>> {
        let sent = query(id, name, 1);
        self.0.send(&sent).ok()?;
        let mut buffer = [0; 2048];
        loop {
            let length = self.0.recv(&mut buffer).ok()?;
            let answer = buffer.get(..length)?;
            // Answers to what was sent before may still come.
            if answer.get(..2)? == id.to_be_bytes() {
                let records = answer.get(sent.len()..)?;
                return Some(records.chunks(16).filter_map(|record| record.get(15).copied()).collect());
            }
        }
    }
}
