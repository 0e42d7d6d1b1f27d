//! Three NATS servers in a cluster, each on a machine of its own.

use thalweg_testkit::{NatsPlan, NatsServer, get};

use crate::network::{Network, SERVERS, server_ip};

/// The port for clients, that for routes between servers, and that for questions about the server itself.
const CLIENTS: u16 = 4222;
const ROUTES: u16 = 6222;
const MONITOR: u16 = 8222;

/// The servers.
pub struct Cluster<'n> {
    network: &'n Network,
    servers: Vec<NatsServer>,
}

impl<'n> Cluster<'n> {
    /// Starts them, if this machine has the binary.
    pub fn start(network: &'n Network, scenario: &str) -> Option<Self> {
        let routes: Vec<String> =
            (0..SERVERS).map(|nth| format!("nats-route://{}:{ROUTES}", server_ip(nth))).collect();
        let start = |nth: usize| {
            let ip = server_ip(nth);
            let lines = format!(
                "http: \"{ip}:{MONITOR}\"\ncluster {{\n  name: c\n  host: {ip}\n  port: {ROUTES}\n  routes: {routes:?}\n}}"
            );
            let plan = NatsPlan {
                name: format!("n{nth}"),
                ip: ip.into(),
                port: CLIENTS,
                lines,
                ..NatsPlan::default()
            };
            network.servers[nth].within(|| NatsServer::start_as(scenario, plan))
        };
        let servers: Option<Vec<NatsServer>> = (0..SERVERS).map(start).collect();
        Some(Self { network, servers: servers? })
    }

    /// Their URLs.
    pub fn urls(&self) -> Vec<String> {
        self.servers.iter().map(NatsServer::url).collect()
    }

    /// Kills all of them.
    pub fn kill(&mut self) {
        self.servers.iter_mut().for_each(NatsServer::kill);
    }

    /// Takes away all that they have stored. They must be dead.
    pub fn wipe(&self) {
        self.servers.iter().for_each(NatsServer::wipe);
    }

    /// Starts all of them again.
    pub fn revive(&mut self) {
        for (space, server) in self.network.servers.iter().zip(&mut self.servers) {
            space.within(|| server.revive());
        }
    }

    /// Cuts these servers off, or joins them again.
    pub fn join(&self, servers: &[usize], yes: bool) {
        servers.iter().for_each(|nth| self.network.join_server(*nth, yes));
    }

    /// Writes a value under a key of the bucket, as it is.
    pub fn put(&self, key: &str, value: &[u8]) {
        self.servers[0].put("thalweg", key, value);
    }

    /// The server that leads the bucket, as the first one knows it.
    pub fn leader(&self) -> Option<usize> {
        let reply = get((server_ip(0), MONITOR).into(), "/jsz?streams=true&accounts=true").json();
        let streams = reply["account_details"][0]["stream_detail"].as_array()?.clone();
        let bucket = streams.into_iter().find(|one| one["name"] == "KV_thalweg")?;
        let leader = bucket["cluster"]["leader"].as_str().map(str::to_owned)?;
        leader.strip_prefix('n')?.parse().ok()
    }
}
