//! Which endpoints do not count because their address family has never worked here. Changes nothing.
//!
//! A name often has addresses of both families although only one leads anywhere: the host has no IPv6 route, or nothing
//! listens there. Clients try the families and stay with the one that answers (RFC 8305). A pool that counted the other
//! one would look half dead for ever, and give a part of its traffic away. Once a family has worked, its failures are
//! failures.

use std::collections::BTreeSet;

use super::endpoints::EndpointState;
use crate::{axes::Availability, layout::Place, slot::SpecSlot};

/// For each endpoint of a pool, whether it does not count.
pub(super) fn left_out(places: &[Place], states: &[EndpointState]) -> Vec<bool> {
    let is_v6 = |place: &Place| place.address.is_ipv6();
    if places.iter().all(is_v6) || !places.iter().any(is_v6) {
        return vec![false; places.len()];
    }
    let members = || places.iter().zip(states);
    let worked: BTreeSet<(SpecSlot, bool)> = members()
        .filter(|(_, state)| state.health.worked)
        .map(|(place, _)| (place.spec, is_v6(place)))
        .collect();
    members()
        .map(|(place, state)| {
            let (own, other) = ((place.spec, is_v6(place)), (place.spec, !is_v6(place)));
            let serves = state.health.availability() == Availability::Up;
            !serves && !worked.contains(&own) && worked.contains(&other)
        })
        .collect()
}
