//! The keys of the trust boundary: whose word about clients counts.

use crate::{
    table::{Default as D, Kind, Shape, boolean, list},
    text::Text,
};

/// Most networks in one list.
const NETWORKS: usize = 1_000;

/// A list of networks that has one at least.
pub(super) const SOME_NETWORKS: Kind = Kind::List { of: &Kind::Text(Text::Cidr), min: 1, max: NETWORKS };

/// The spellings of [`crate::ForwardingField`].
pub(super) const FORWARDING_FIELDS: &[&str] = &["x-forwarded-for", "forwarded"];

pub(crate) const PROXY_PROTOCOL: Shape = Shape {
    title: "[[listener]] proxy_protocol",
    doc: "Balancers that say who the client is before the connection's first byte (PROXY protocol, versions 1 and 2).",
    keys: &[
        list(
            "from",
            SOME_NETWORKS,
            D::Required,
            "Networks of the balancers. A PROXY header from anywhere else is a bad request.",
        ),
        boolean(
            "required",
            true,
            "Refuse connections of theirs without a header. If false, such a connection is served under its TCP address, so whoever can connect from these networks can choose to be seen as itself or as anyone.",
        ),
    ],
};
