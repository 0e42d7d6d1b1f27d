//! The keys of DNS answers: the zone, its names, and where the edge answers. Only declarations, as in the parent.

use super::MANY;
use crate::{
    table::{DAY, Default as D, Kind, SECOND, Shape, int, list, text, time},
    text::Text,
};

/// Addresses in one answer. Those of 64 pools in panic still fit into one message over TCP.
pub(super) const SOME_ADDRESSES: Kind = Kind::List { of: &Kind::Text(Text::Ip), min: 1, max: 64 };

pub(crate) const DNS: Shape = Shape {
    title: "[dns]",
    doc: "DNS answers by the same steering, for those who cannot announce an address: this edge is an authoritative server of one zone, without DNSSEC and without transfers.",
    keys: &[
        list(
            "listen",
            Kind::List { of: &Kind::Text(Text::Socket), min: 1, max: 16 },
            D::Required,
            "IP addresses and ports, each over UDP and TCP; \"[::]:53\" serves both families.",
        ),
        text(
            "zone",
            Text::DnsName,
            D::Required,
            "The zone: the parent zone delegates it to the `nameservers`.",
        ),
        list(
            "nameservers",
            Kind::List { of: &Kind::Text(Text::DnsName), min: 1, max: 13 },
            D::Required,
            "Names of the zone's servers (NS), usually of several edges; the first is the primary of the SOA record. One that is in the zone needs a `[dns.name]` with its addresses.",
        ),
        text("contact", Text::Mail, D::Required, "Mail address of the zone's operator, for the SOA record."),
        time(
            "ttl",
            (SECOND, DAY),
            "15s",
            "How long resolvers may keep an answer, also a negative one; whole seconds, the rest is cut off. Clients learn of a failover this much later than the edge.",
        ),
        int(
            "rate",
            (0, 1_000_000),
            D::Int(200),
            "Queries per second from one network of clients (IPv4 /24, IPv6 /56), as many again in a burst. Beyond it, every second query over UDP gets an empty answer that says to ask over TCP, the others get none; a connection is closed. 0 = no bound.",
        ),
        list(
            "name",
            Kind::Map { keys: Text::DnsName, of: &Kind::Table(&DNS_NAME), max: MANY },
            D::Required,
            "The names of the zone, whole: `[dns.name.\"www.example.com\"]`. The zone's own name may be among them.",
        ),
    ],
};

pub(crate) const DNS_NAME: Shape = Shape {
    title: "[dns.name.NAME]",
    doc: "What is answered for a name: either the addresses of the pools of a route, as the route would share a request, or addresses that never change.",
    keys: &[
        text(
            "route",
            Text::Name,
            D::Absent("the name has `addresses`"),
            "The route. Each of its pools needs `dns` addresses. An answer names one pool, drawn by the route's shares at this edge; geo rules look at the client subnet of the query (RFC 7871), or else at the resolver. In panic it names all pools.",
        ),
        list("addresses", SOME_ADDRESSES, D::Absent("the name has a `route`"), "Addresses of the name."),
    ],
};
