//! A fleet for scenarios: a NATS server, the keys of a publisher, and edges that follow it.

use std::time::Duration;

use serde_json::Value;
use thalweg_testkit::{Conf, Edge, Endpoint, Finished, NatsServer, Scratch, eventually, get};

use super::{publisher::Publisher, to};

const SOON: Duration = Duration::from_secs(20);

/// A server, and a publisher that publishes to it.
pub struct Fleet {
    /// The server.
    pub server: NatsServer,
    publisher: Publisher,
}

impl Fleet {
    /// Starts a server, if this machine has one, and makes keys.
    pub fn start(scenario: &str) -> Option<Self> {
        let server = NatsServer::start(scenario)?;
        let publisher = Publisher::new(vec![server.url()]);
        Some(Self { server, publisher })
    }

    /// Where a file of the publisher is.
    pub fn path(&self, name: &str) -> String {
        self.publisher.path(name)
    }

    /// A config with the fleet in it.
    pub fn of(&self, conf: Conf, more: &str) -> Conf {
        conf.raw(&self.publisher.table(more))
    }

    /// An edge that sends everything to this endpoint until a bundle says something else.
    pub fn edge(&self, endpoint: &Endpoint, state: &Scratch, more: &str) -> Edge {
        let folder = format!("state_dir = \"{}\"", state.path().display());
        Edge::start(&self.of(to(endpoint).edge(&folder), more))
    }

    /// An edge with two pools in failover order and these lines in its route, which has read the bucket.
    pub fn edge_of_two(&self, name: &str, pools: [&Endpoint; 2], state: &Scratch, route: &str) -> Edge {
        let conf = Conf::simple_with("failover", &pools.map(Endpoint::addr), route);
        let conf = conf.edge(&format!("state_dir = \"{}\"", state.path().display()));
        let edge = Edge::start(&self.of(conf, &format!("name = \"{name}\"")));
        connected(&edge);
        edge
    }

    /// Publishes a config with these options.
    pub fn publish_with(&self, conf: &Conf, more: &[&str]) -> Finished {
        self.publisher.publish(&self.of(conf.clone(), "").text(), more, &[])
    }

    /// Makes the bucket, by a bundle for canaries alone. A server on a busy disk may need longer than one answer.
    pub fn make_bucket(&self) {
        let nowhere = Conf::simple("failover", &["127.0.0.1:9".parse().expect("an address")]);
        eventually("the bucket is made", SOON, || {
            self.publish_with(&nowhere, &["--bake", "0s", "--ring", "canary"]).code == 0
        });
    }

    /// Publishes a config without a bake time. Returns its number.
    pub fn publish(&self, conf: &Conf) -> u64 {
        let done = self.publish_with(conf, &["--bake", "0s"]);
        assert_eq!(done.code, 0, "{}", done.stderr);
        let said: Value = serde_json::from_str(&done.stdout).expect("JSON");
        said["bundle"].as_u64().expect("a number")
    }
}

/// The endpoint that answers a request.
pub fn serves(edge: &Edge) -> String {
    get(edge.web(), "/").endpoint().to_owned()
}

/// Waits until this endpoint answers.
pub fn until_serves(edge: &Edge, name: &str) {
    eventually(&format!("the edge sends to {name}: {}", edge.stderr()), SOON, || serves(edge) == name);
}

/// Waits until an edge has read the bucket.
pub fn connected(edge: &Edge) {
    eventually("the edge has read the bucket", SOON, || {
        let fleet = edge.status()["fleet"].clone();
        fleet["connected"] == true && fleet["trouble"].is_null() && !fleet["age_seconds"].is_null()
    });
}
