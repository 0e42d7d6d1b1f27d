//! The part of the model that says which zone the edge answers for. Never read by steering.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use thalweg_core::RouteSlot;

/// The zone that this edge answers for: the table `[dns]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dns {
    /// Where it answers, over UDP and TCP.
    pub listen: Vec<SocketAddr>,
    /// The zone. Names here are in lower case, without the final dot.
    pub zone: String,
    /// The zone's servers; the first is the primary.
    pub nameservers: Vec<String>,
    /// Mail address of the zone's operator.
    pub contact: String,
    /// How long answers may be kept, seconds.
    pub ttl: u32,
    /// Queries per second and network of clients; 0 = no bound.
    pub rate: u32,
    /// The names of the zone.
    pub names: BTreeMap<String, DnsName>,
}

/// What is answered for a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DnsName {
    /// The addresses of a pool of this route, as the route would share a request.
    Route(RouteSlot),
    /// Addresses that never change.
    Addresses(Vec<IpAddr>),
}
