//! A route and its sub-routes, one for each of its geo rules: how they are found and called. Never looks at health.

use std::net::IpAddr;

use crate::{
    geo::Location,
    slot::{RouteSlot, entries},
    topology::{Route, Topology},
};

impl Topology {
    /// The routes that the operator wrote, without the sub-routes of geo rules.
    pub fn written_routes(&self) -> impl Iterator<Item = (RouteSlot, &Route)> {
        entries(&self.routes).filter(|(_, route)| route.parent.is_none())
    }

    /// A route and its sub-routes.
    pub fn with_sub_routes(&self, slot: RouteSlot) -> impl Iterator<Item = (RouteSlot, &Route)> {
        entries(&self.routes).filter(move |(other, route)| *other == slot || route.parent == Some(slot))
    }
}

/// What stands between a route's name and a place in the name of a sub-route: in no name that an operator may write.
const SUB_ROUTE: char = '[';

impl Route {
    /// The name of the sub-route that serves clients from this place and others of its rule.
    #[must_use]
    pub fn sub_route_name(route: &str, place: &str) -> Box<str> {
        format!("{route}{SUB_ROUTE}{place}]").into()
    }

    /// The configured name behind a route's name: its own, or that of a sub-route's parent.
    #[must_use]
    pub fn written_name(name: &str) -> &str {
        name.split(SUB_ROUTE).next().unwrap_or(name)
    }

    /// The route by whose order a request that matched this one is served: itself, or the sub-route of a geo rule.
    #[must_use]
    pub fn serving(&self, own: RouteSlot, client: IpAddr, location: Location) -> RouteSlot {
        let rule = self.geo.as_ref().and_then(|geo| geo.sub_route(client, location));
        rule.unwrap_or(own)
    }
}
