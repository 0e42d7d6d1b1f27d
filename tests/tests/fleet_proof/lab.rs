//! The whole of the proof on one machine: real FastAPI regions at distances, three NATS servers, three edges with their
//! BIRDs, two routers.

use std::{collections::BTreeSet, net::SocketAddr, path::Path, time::Duration};

use serde_json::Value;
use thalweg_testkit::{Behaviour, Conf, Endpoint, Region, Relay, Scratch, Weather, eventually};

use crate::{
    cluster::Cluster,
    common::{bird::BirdProcess, publisher::Publisher},
    network::{EDGES, HUB, Network, ROUTERS, edge_ip},
    node::Node,
    routing,
};

pub const SOON: Duration = Duration::from_secs(60);
/// The regions, and one way to each: our own relay adds it.
const REGIONS: [(&str, &str, u64); 3] =
    [("aws", "us-east-1", 1), ("gcp", "europe-west1", 8), ("azure", "southeastasia", 20)];
const RINGS: [&str; EDGES] = ["canary", "region", "all"];
/// What the environment of a machine says; the publisher has no BIRD.
const NO_BIRD: (&str, &str) = ("BIRD_SOCKET", "/nowhere");

/// All of it.
pub struct Lab<'n> {
    pub network: &'n Network,
    pub regions: Vec<Region>,
    /// Where the edges reach each region.
    pub far: Vec<SocketAddr>,
    pub cluster: Cluster<'n>,
    pub nodes: Vec<Node<'n>>,
    publisher: Publisher,
    /// Answers its probes and nothing else.
    broken: Endpoint,
    _routers: Vec<BirdProcess>,
    _folder: Scratch,
}

impl<'n> Lab<'n> {
    /// Builds it and waits until both routers have a path to each edge; `None` = this machine has no NATS server.
    pub fn start(network: &'n Network, python: &Path, scenario: &str) -> Option<Self> {
        let regions: Vec<Region> =
            REGIONS.iter().map(|(cloud, region, _)| Region::start(python, cloud, region)).collect();
        let far = regions.iter().zip(REGIONS).map(|(region, (.., one_way_ms))| {
            let delay = Duration::from_millis(one_way_ms);
            let relay = Relay::to(region.addr());
            relay.weather(Weather { delay, connect: delay * 2, ..Weather::default() });
            relay.open_on(HUB.into())
        });
        let far: Vec<SocketAddr> = far.collect();
        let cluster = Cluster::start(network, scenario)?;
        let broken = Endpoint::start_on("broken", HUB.into());
        broken.behave(Behaviour::Status(500));
        let folder = Scratch::new();
        let routers = (0..ROUTERS).map(|nth| routing::router_bird(network, nth, &folder)).collect();
        let mut lab = Self {
            network,
            regions,
            far,
            publisher: Publisher::new(cluster.urls()),
            cluster,
            nodes: (0..EDGES).map(|nth| Node::new(network, nth)).collect(),
            broken,
            _routers: routers,
            _folder: folder,
        };
        // The first bundle makes the bucket: the servers choose a leader first.
        eventually("the bucket is made", SOON, || lab.publish(&["canary"], &[0, 1, 2], "0s").is_ok());
        (0..EDGES).for_each(|nth| lab.begin(nth));
        lab.until_all_paths();
        eventually("every edge reads the bucket", SOON, || {
            lab.nodes.iter().all(|node| node.fleet()["age_seconds"].is_number())
        });
        Some(lab)
    }

    /// Starts the edge of a machine, again perhaps.
    pub fn begin(&mut self, nth: usize) {
        let ring = format!("name = \"edge-{nth}\"\nring = \"{}\"\n", RINGS[nth]);
        let conf = tables(&self.far, &[0, 1, 2])
            .edge(&format!("drain_timeout = \"5s\"\nregion = \"{}\"", edge_ip(nth)))
            .raw(&self.publisher.table(&ring));
        self.nodes[nth].begin(&conf);
    }

    /// Publishes the regions in this order, for this ring and with this bake time. Returns the bundle's number.
    pub fn publish(&self, ring: &[&str], order: &[usize], bake: &str) -> Result<u64, String> {
        self.publish_tables(tables(&self.far, order), ring, bake)
    }

    /// Publishes a config that is valid, and whose only endpoint answers each request with 500.
    pub fn publish_broken(&self, bake: &str) -> Result<u64, String> {
        self.publish_tables(tables(&[self.broken.addr()], &[0]), &["all"], bake)
    }

    fn publish_tables(&self, conf: Conf, ring: &[&str], bake: &str) -> Result<u64, String> {
        let text = conf.raw(&self.publisher.table("")).text();
        let options = [&["--bake", bake, "--replicas", "3", "--ring"], ring].concat();
        let done = self.publisher.publish(&text, &options, &[NO_BIRD]);
        let said: Value = serde_json::from_str(&done.stdout).map_err(|_| done.stderr.clone())?;
        said["bundle"].as_u64().filter(|_| done.code == 0).ok_or(done.stderr)
    }

    /// Waits until both routers have a path to each edge.
    pub fn until_all_paths(&self) -> Duration {
        let all: BTreeSet<usize> = (0..EDGES).collect();
        eventually("each router has a path to each edge", SOON, || {
            (0..ROUTERS).all(|router| self.network.paths(router) == all)
        })
    }

    /// Waits until no router has a path to this edge.
    pub fn until_no_path(&self, edge: usize) -> Duration {
        eventually("no router has a path to the edge", SOON, || {
            (0..ROUTERS).all(|router| !self.network.paths(router).contains(&edge))
        })
    }

    /// Waits until every edge counts its address as announced: its sessions have stood for ten seconds.
    pub fn until_all_announce(&self) {
        eventually("every edge announces", SOON, || self.nodes.iter().all(Node::announces));
    }

    /// The number of edges that have this bundle, and not on trial.
    pub fn settled(&self, number: u64) -> usize {
        let has = |status: Value| status["fleet"]["bundle"]["number"] == number && status["trial"].is_null();
        self.nodes.iter().filter(|node| has(node.ask(thalweg_testkit::Edge::status))).count()
    }

    /// The orders that stand on each edge.
    pub fn orders(&self) -> Vec<usize> {
        let standing = |node: &Node<'_>| {
            node.ask(|edge| edge.admin_get("/api/v1/orders").json().as_array().map_or(0, Vec::len))
        };
        self.nodes.iter().map(standing).collect()
    }
}

/// A whole config over these regions, in this order.
fn tables(far: &[SocketAddr], order: &[usize]) -> Conf {
    let mut conf = Conf::new()
        .raw("[probe.own]\npath = \"/health\"\ninterval = \"1s\"\ntimeout = \"300ms\"\nconfirm = \"100ms\"\n")
        .raw("[[listener]]\nname = \"web\"\nbind = \"0.0.0.0:80\"\n")
        .raw("[announce]\nbird = \"${BIRD_SOCKET}\"\nprotocol = \"anycast4\"\nafter = \"1s\"\nsettle = \"5s\"\n");
    for (addr, (cloud, region, _)) in far.iter().zip(REGIONS) {
        let place = format!("cloud = \"{cloud}\"\nregion = \"{region}\"\nprobe = \"own\"");
        conf = conf.pool(cloud, &[*addr], &place);
    }
    let pools: Vec<&str> = order.iter().map(|nth| REGIONS[*nth].0).collect();
    conf.route("all", "failover", &pools, "")
}
