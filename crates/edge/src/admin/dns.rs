//! What DNS answers would say now, for the status.

use std::net::{IpAddr, SocketAddr};

use serde_json::{Value, json};
use thalweg_config::{Dns, DnsName};
use thalweg_core::RouteSlot;

use crate::{
    control::{dns::listening::DnsListenView, state::Control},
    shared::{Live, dns_draw::DnsDraw},
};

/// Null without a table `[dns]`.
pub(super) fn shown(control: &Control, live: &Live) -> Value {
    let Some(dns) = &live.wiring.config.dns else { return Value::Null };
    let views = control.dns.views.borrow();
    let listen = |address: &SocketAddr| {
        let view = views.iter().find(|view| view.configured == *address);
        let bound = |view: &DnsListenView| view.bound.as_ref().ok().map(ToString::to_string);
        json!({
            "address": address.to_string(), "bound": view.and_then(bound),
            "error": view.and_then(|view| view.bound.as_ref().err()),
        })
    };
    json!({
        "zone": dns.zone, "ttl_s": dns.ttl,
        "listen": dns.listen.iter().map(listen).collect::<Vec<_>>(),
        "names": names(dns, live),
    })
}

fn names(dns: &Dns, live: &Live) -> Vec<Value> {
    let one = |(name, answer): (&String, &DnsName)| match answer {
        DnsName::Addresses(all) => {
            json!({ "name": name, "route": null, "addresses": texts(all), "answers": [] })
        }
        DnsName::Route(route) => {
            let topology = &live.snapshot.layout.topology;
            let written = topology.route(*route).map(|route| &*route.name);
            let answers: Vec<Value> = topology
                .with_sub_routes(*route)
                .map(|(slot, _)| answer_of(live, slot, places_of(live, *route, slot)))
                .collect();
            json!({ "name": name, "route": written, "addresses": [], "answers": answers })
        }
    };
    dns.names.iter().map(one).collect()
}

/// The places of the geo rule behind a sub-route.
fn places_of(live: &Live, written: RouteSlot, slot: RouteSlot) -> Option<Vec<String>> {
    let geo = live.snapshot.route(written)?.geo.as_ref()?;
    let rule = geo.rules().iter().find(|rule| rule.route == slot)?;
    Some(rule.from.iter().map(ToString::to_string).collect())
}

/// What a route, or the sub-route for clients `from` some places, answers.
fn answer_of(live: &Live, slot: RouteSlot, from: Option<Vec<String>>) -> Value {
    let Some(draw) = DnsDraw::of_route(live, slot) else { return Value::Null };
    let ready = draw.is_ready();
    let name = |pool| live.snapshot.pool(pool).map(|pool| &*pool.name);
    let pools: Vec<Value> = if !ready {
        Vec::new()
    } else if draw.names_all() {
        let one =
            |pool| json!({ "pool": name(pool), "share": null, "addresses": texts(draw.addresses_of(pool)) });
        draw.all().map(one).collect()
    } else {
        let one = |(pool, share)| json!({ "pool": name(pool), "share": share, "addresses": texts(draw.addresses_of(pool)) });
        draw.shares().map(one).collect()
    };
    json!({ "from": from, "ready": ready, "names_all": ready && draw.names_all(), "pools": pools })
}

fn texts(all: &[IpAddr]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}
