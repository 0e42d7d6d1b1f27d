//! Positions in one layout, and the names that outlive it. Plain values; nothing here knows what they stand for.

use std::{net::SocketAddr, sync::Arc};

/// Position of an endpoint in its [`crate::Layout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointSlot(pub u32);

/// Position of a pool in [`crate::Topology::pools`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolSlot(pub u32);

/// Position of a route in [`crate::Topology::routes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteSlot(pub u32);

/// The short name of an [`EndpointKey`] in this process; given once, never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId(pub u32);

/// An endpoint's identity: all that is learnt is kept by it, across reloads. Weight is not part of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointKey {
    /// The pool's name.
    pub pool: Arc<str>,
    /// The resolved address.
    pub address: SocketAddr,
}
