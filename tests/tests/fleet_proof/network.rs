//! The network of the proof: a backbone with three NATS servers and the regions, three edges, two routers and a client
//! behind each. Namespaces that this file makes and takes away again; nothing outside of them is touched.
//!
//! ```text
//! client 0 ── router 0 ──┬── edge 0 ──┐
//!                  ╲╱    ├── edge 1 ──┼── backbone: servers 0 to 2, regions, the test
//!                  ╱╲    └── edge 2 ──┘
//! client 1 ── router 1 ──(to each edge)
//! ```
//!
//! Each machine has a namespace. The test runs in that of the backbone, and enters another one with a thread.

use std::{
    collections::BTreeSet, fs, fs::File, net::Ipv4Addr, os::fd::AsFd, panic::resume_unwind, process::Command,
    thread,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::common::server::program;

/// The one address of all edges.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
/// Where the test, its regions and their relays are on the backbone.
pub const HUB: Ipv4Addr = Ipv4Addr::new(198, 18, 100, 1);
pub const EDGES: usize = 3;
pub const ROUTERS: usize = 2;
pub const SERVERS: usize = 3;

/// One machine's network namespace.
#[derive(Debug)]
pub struct Space {
    name: String,
}

impl Space {
    /// Moves the calling thread into it.
    pub fn enter(&self) {
        let space = File::open(format!("/run/netns/{}", self.name)).expect("the namespace is there");
        move_into_link_name_space(space.as_fd(), Some(LinkNameSpaceType::Network)).expect("root may enter");
    }

    /// Runs something inside. Processes that it starts and sockets that it opens stay there.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let inside = || {
            self.enter();
            work()
        };
        thread::scope(|scope| scope.spawn(inside).join()).unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// `ip` for this namespace.
    pub fn ip(&self, words: &str) -> String {
        ip(&format!("-n {} {words}", self.name))
    }

    /// A command that enters the namespace first.
    pub fn command(&self) -> Command {
        let mut command = Command::new(program("ip").expect("ip"));
        command.args(["netns", "exec", &self.name]);
        command
    }

    fn card(&self, card: &str, address: &str) {
        self.ip(&format!("addr add {address} dev {card}"));
        self.ip(&format!("link set {card} up"));
    }

    fn set(&self, key: &str, value: &str) {
        let path = format!("/proc/sys/net/ipv4/{key}");
        self.within(|| fs::write(&path, value).unwrap_or_else(|error| panic!("{path}: {error}")));
    }
}

/// All machines.
#[derive(Debug)]
pub struct Network {
    pub hub: Space,
    pub servers: Vec<Space>,
    pub edges: Vec<Space>,
    pub routers: Vec<Space>,
    pub clients: Vec<Space>,
}

/// The network, gone when dropped.
pub struct Built(pub Network);

impl Network {
    /// The machines of the network with this name.
    pub fn named(id: &str) -> Self {
        let some = |role: &'static str, count| {
            (0..count).map(move |nth| Space { name: format!("tw{id}{role}{nth}") }).collect()
        };
        Self {
            hub: Space { name: format!("tw{id}hub") },
            servers: some("n", SERVERS),
            edges: some("e", EDGES),
            routers: some("r", ROUTERS),
            clients: some("c", ROUTERS),
        }
    }

    fn all(&self) -> impl Iterator<Item = &Space> {
        let others = [&self.servers, &self.edges, &self.routers, &self.clients].into_iter().flatten();
        std::iter::once(&self.hub).chain(others)
    }

    /// Cuts an edge's cable to a router, or joins it again. The edge sees that its carrier is gone.
    pub fn join_router(&self, router: usize, edge: usize, yes: bool) {
        self.routers[router].ip(&format!("link set e{edge} {}", if yes { "up" } else { "down" }));
    }

    /// Cuts an edge off from the backbone, or joins it again.
    pub fn join_edge(&self, edge: usize, yes: bool) {
        self.hub.ip(&format!("link set e{edge} {}", if yes { "up" } else { "down" }));
    }

    /// Cuts a server off from everything, or joins it again.
    pub fn join_server(&self, server: usize, yes: bool) {
        self.hub.ip(&format!("link set n{server} {}", if yes { "up" } else { "down" }));
    }

    /// The edges to which a router has a path.
    pub fn paths(&self, router: usize) -> BTreeSet<usize> {
        let routes = self.routers[router].ip(&format!("route show {ADDRESS}"));
        let words: Vec<&str> = routes.split_whitespace().collect();
        (0..EDGES).filter(|edge| words.contains(&&*edge_at(router, *edge).to_string())).collect()
    }
}

impl Built {
    /// Makes all of it.
    pub fn new(id: &str) -> Self {
        let built = Self(Network::named(id));
        let network = &built.0;
        for space in network.all() {
            ip(&format!("netns add {}", space.name));
            space.ip("link set lo up");
        }
        network.hub.ip("link add bb0 type bridge");
        network.hub.card("bb0", &format!("{HUB}/24"));
        for (nth, space) in network.servers.iter().enumerate() {
            network.plug(space, &format!("n{nth}"), server_ip(nth));
        }
        for (edge, space) in network.edges.iter().enumerate() {
            network.plug(space, &format!("e{edge}"), edge_ip(edge));
            space.ip(&format!("addr add {ADDRESS}/32 dev lo"));
        }
        for router in 0..ROUTERS {
            network.route(router);
        }
        built
    }
}

impl Network {
    /// Connects a machine with the backbone.
    fn plug(&self, space: &Space, port: &str, address: Ipv4Addr) {
        self.hub.ip(&format!("link add {port} type veth peer name bb netns {}", space.name));
        self.hub.ip(&format!("link set {port} master bb0"));
        self.hub.ip(&format!("link set {port} up"));
        space.card("bb", &format!("{address}/24"));
    }

    /// Connects a router with every edge and with its client.
    fn route(&self, router: usize) {
        let (space, client) = (&self.routers[router], &self.clients[router]);
        space.set("ip_forward", "1");
        // Flows of one client are spread over the paths by their ports.
        space.set("fib_multipath_hash_policy", "1");
        space.ip(&format!("link add c type veth peer name wan netns {}", client.name));
        space.card("c", &format!("198.18.20{router}.1/30"));
        client.card("wan", &format!("198.18.20{router}.2/30"));
        client.ip(&format!("route add default via 198.18.20{router}.1"));
        for (edge, of_edge) in self.edges.iter().enumerate() {
            let (ours, theirs) = (router_at(router, edge), edge_at(router, edge));
            space.ip(&format!("link add e{edge} type veth peer name up{router} netns {}", of_edge.name));
            space.card(&format!("e{edge}"), &format!("{ours}/30"));
            of_edge.card(&format!("up{router}"), &format!("{theirs}/30"));
            of_edge.ip(&format!("route add 198.18.20{router}.0/30 via {ours}"));
        }
    }
}

impl Drop for Built {
    fn drop(&mut self) {
        for space in self.0.all() {
            let done = Command::new("ip").args(["netns", "del", &space.name]).output();
            let _gone_already_is_fine = done;
        }
    }
}

/// A server's address on the backbone.
pub fn server_ip(nth: usize) -> Ipv4Addr {
    Ipv4Addr::new(198, 18, 100, 21 + number(nth))
}

/// An edge's address on the backbone.
pub fn edge_ip(nth: usize) -> Ipv4Addr {
    Ipv4Addr::new(198, 18, 100, 11 + number(nth))
}

/// The router's end of its cable to an edge.
pub fn router_at(router: usize, edge: usize) -> Ipv4Addr {
    Ipv4Addr::new(198, 18, 10 * (number(router) + 1) + number(edge), 1)
}

/// The edge's end of it.
pub fn edge_at(router: usize, edge: usize) -> Ipv4Addr {
    Ipv4Addr::new(198, 18, 10 * (number(router) + 1) + number(edge), 2)
}

fn number(nth: usize) -> u8 {
    u8::try_from(nth).expect("a small number")
}

fn ip(words: &str) -> String {
    let done = Command::new(program("ip").expect("ip")).args(words.split(' ')).output();
    let done = done.unwrap_or_else(|error| panic!("ip {words}: {error}"));
    assert!(done.status.success(), "ip {words}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).into_owned()
}
