//! The front door: PROXY headers from balancers, forwarding fields of trusted proxies, and the address that everything
//! behind them uses. `peers` has real balancers in front of the edge and real servers behind it.

mod common;
#[path = "front_door/forwarders.rs"]
mod forwarders;
#[path = "front_door/greedy.rs"]
mod greedy;
#[path = "front_door/peers.rs"]
mod peers;
#[path = "front_door/proxies.rs"]
mod proxies;

use std::time::Duration;

use common::{assert_ours, to};
use serde_json::Value;
use thalweg_testkit::{Authority, Client, Conf, Edge, Endpoint, Reply, client_config, eventually};

const SOON: Duration = Duration::from_secs(8);

/// A listener that takes PROXY headers from loopback.
const BEHIND: &str = "proxy_protocol = { from = [\"127.0.0.0/8\"] }";

/// An edge in front of one endpoint, with these lines in its listener and these sections.
fn edge_with(listener: &str, more: &str) -> (Edge, Endpoint) {
    let endpoint = Endpoint::start("a");
    let conf = to(&endpoint).without_listener("web").listener("web", listener).raw(more);
    (Edge::start(&conf), endpoint)
}

/// The access log's lines, once there are so many.
fn lines(edge: &Edge, count: usize) -> Vec<Value> {
    eventually("the lines are written", SOON, || edge.access_log().len() >= count);
    edge.access_log()
}

/// A header of version 2 from this IPv4 client, with these fields behind its addresses.
fn v2(client: [u8; 4], fields: &[u8]) -> Vec<u8> {
    let mut out = b"\r\n\r\n\0\r\nQUIT\n\x21\x11".to_vec();
    out.extend(u16::try_from(12 + fields.len()).expect("a short header").to_be_bytes());
    out.extend(client);
    out.extend([198, 51, 100, 1, 0x30, 0x39, 0x01, 0xbb]);
    out.extend(fields);
    out
}

/// Sends these bytes first, then a request.
fn ask_after(edge: &Edge, before: &[u8]) -> Reply {
    let mut client = Client::connect(edge.web());
    client.send(before);
    client.get("/")
}
