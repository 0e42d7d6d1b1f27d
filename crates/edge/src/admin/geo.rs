//! How `explain` tells where a client is, and which entry of a geo route serves it. Pure.

use std::net::IpAddr;

use serde_json::{Value, json};
use thalweg_core::{Explained, Facts, Geo, Origin, PlaceCode, RouteSlot, Snapshot};

/// The client's place and the entry that serves it; `null` on a route without geo rules.
pub(super) fn shown(snapshot: &Snapshot, explained: &Explained, facts: &Facts<'_>) -> Value {
    let route = explained.route.and_then(|slot| snapshot.route(slot));
    let Some(geo) = route.and_then(|route| route.geo.as_ref()) else { return Value::Null };
    let places = geo.places(facts.client, facts.location);
    let networks = places.iter().filter_map(|(origin, _)| match origin {
        Origin::Network { name, .. } => Some(&**name),
        Origin::Country(_) | Origin::Continent(_) => None,
    });
    let networks: Vec<&str> = networks.collect();
    let code = |code: Option<PlaceCode>| code.map(|code| code.as_str().to_owned());
    let (country, continent) = (code(facts.location.country), code(facts.location.continent));
    let serving = explained.serving.and_then(|slot| snapshot.route(slot));
    json!({
        "country": country, "continent": continent, "networks": networks,
        "entry": places.first().map(|(_, slot)| from(geo, *slot)),
        "place": places.first().map(|(origin, _)| origin.to_string()),
        "residency": serving.is_some_and(|route| route.residency),
        "because": because(geo, places.first().map(|(origin, _)| origin), facts.client),
    })
}

/// The places of an entry.
fn from(geo: &Geo, sub_route: RouteSlot) -> Vec<String> {
    let rule = geo.rules().iter().find(|rule| rule.route == sub_route);
    rule.into_iter().flat_map(|rule| &rule.from).map(ToString::to_string).collect()
}

fn because(geo: &Geo, place: Option<&Origin>, client: IpAddr) -> String {
    match place {
        Some(Origin::Network { name, cidrs }) => {
            let longest = cidrs.iter().filter(|cidr| cidr.contains(client)).max_by_key(|cidr| cidr.bits());
            let longest = longest.map(ToString::to_string).unwrap_or_default();
            format!("{longest} in network {name} is the longest that holds the client")
        }
        Some(Origin::Country(_)) => "no network holds the client, and its country has an entry".to_owned(),
        Some(Origin::Continent(_)) => {
            "neither a network nor a country of an entry fits, and the client's continent has an entry"
                .to_owned()
        }
        None if geo.asks_location() => {
            "no entry names the client's networks, country or continent".to_owned()
        }
        None => "no network of an entry holds the client".to_owned(),
    }
}
