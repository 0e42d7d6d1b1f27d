//! "Where would this request go, and why?": the core's explanation as JSON, for a running edge and for a file alike.
//! Decides nothing itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};

use serde_json::{Value, json};
use thalweg_config::Config;
use thalweg_core::{
    EndpointSlot, EndpointView, Event, Explained, Facts, Home, NoLoads, PoolEndpoint, PoolSlot, ProbeCounts,
    RouteSlot, Scale, Snapshot, Stage, Tick, World, explain,
};

use super::{cookie, geo, returns};
use crate::{
    control::order_json,
    shared::{client_cookie::CookieSigner, geo::GeoDatabase, host, path},
};

/// A request as far as steering knows it.
#[derive(Clone, Debug)]
pub struct ExplainRequest {
    /// The host as sent; port and final dot do not matter.
    pub host: String,
    /// The path, with or without a query.
    pub path: String,
    /// The client's address.
    pub client: IpAddr,
    /// The method.
    pub method: String,
    /// The roll of the draw.
    pub roll: u64,
    /// The client's cookie, as a `Cookie` field has it.
    pub cookie: Option<String>,
}

impl ExplainRequest {
    /// The client's address if none is given.
    pub const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    /// Reads the parameters of a call.
    ///
    /// # Errors
    /// The missing or invalid parameter.
    pub fn from_query(query: &BTreeMap<String, String>) -> Result<Self, String> {
        let given = |name: &str| query.get(name).filter(|value| !value.is_empty());
        let client = given("client").map_or(Ok(Self::CLIENT), |text| text.parse());
        let roll = given("roll").map_or(Ok(0), |text| text.parse());
        Ok(Self {
            host: given("host").ok_or("`host` is missing")?.clone(),
            path: given("path").ok_or("`path` is missing")?.clone(),
            client: client.map_err(|_| "`client` is no address")?,
            method: given("method").map_or_else(|| "GET".into(), Clone::clone),
            roll: roll.map_err(|_| "`roll` is no number")?,
            cookie: given("cookie").cloned(),
        })
    }
}

/// What an explanation stands on beside the snapshot.
#[derive(Clone, Copy, Debug)]
pub struct ExplainBasis<'a> {
    /// What the health of endpoints is based on.
    pub health: &'a str,
    /// The moment of the answer.
    pub now: Tick,
    /// Where clients are; `None` = unknown.
    pub geo: Option<&'a GeoDatabase>,
    /// Who reads the cookies of each route.
    pub signers: &'a [Option<Arc<CookieSigner>>],
}

/// The answer by a snapshot.
#[must_use]
pub fn answer(snapshot: &Snapshot, asked: &ExplainRequest, basis: &ExplainBasis<'_>) -> Value {
    let ExplainBasis { health, now, geo, signers } = *basis;
    let Some(host) = host::steering_host(&asked.host) else {
        return refused_early(snapshot, asked, health, "bad_request");
    };
    let path = asked.path.split(['?', '#']).next().unwrap_or_default();
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let Ok(path) = path::normalise(&path) else {
        return refused_early(snapshot, asked, health, "bad_request");
    };
    if ["CONNECT", "TRACE"].contains(&&*asked.method.to_ascii_uppercase()) {
        return refused_early(snapshot, asked, health, "method_not_allowed");
    }
    let location = geo.map(|database| database.locate(asked.client)).unwrap_or_default();
    let read =
        asked.cookie.as_deref().zip(snapshot.layout.matcher.find(&host, &path)).map(|(given, slot)| {
            let serving =
                snapshot.route(slot).map_or(slot, |route| route.serving(slot, asked.client, location));
            cookie::read(snapshot, signers, (slot, serving), given)
        });
    let (bound, cookie) = read.map_or((None, Value::Null), |(bound, shown)| (bound, shown));
    let facts = Facts {
        host: &host,
        path: &path,
        client: asked.client,
        location,
        tried: &[],
        replayable: true,
        bound,
    };
    let explained = explain(snapshot, &NoLoads, &facts, asked.roll);
    let route = explained.route.and_then(|slot| snapshot.route(slot)).map(|route| &*route.name);
    let mut answer = json!({
        "host": &*host, "path": path, "client": asked.client.to_string(), "method": asked.method,
        "health": health, "roll": asked.roll,
        "generation": snapshot.generation, "revision": snapshot.revision,
        "route": route, "stage": route.map(|_| stage_name(explained.stage)),
        "geo": geo::shown(snapshot, &explained, &facts),
        "pools": pools(snapshot, &explained, now),
        "orders": explained.serving.map(|route| orders(snapshot, route)),
        "affinity": explained.home.map(|home| belongs(snapshot, home)), "cookie": cookie,
    });
    let decision = match explained.outcome {
        Ok(decision) => json!({ "decision": {
            "pool": pool_name(snapshot, decision.pool),
            "endpoint": address(snapshot, decision.endpoint),
            "reason": decision.reason.as_str(),
            "roll": asked.roll, "revision": snapshot.revision, "generation": snapshot.generation,
        }}),
        Err(refusal) => json!({ "refusal": refusal.as_str() }),
    };
    if let (Value::Object(answer), Value::Object(decision)) = (&mut answer, decision) {
        answer.extend(decision);
    }
    answer
}

/// The answer with what the edges of a fleet disagree about in the pools that it names.
#[must_use]
pub(super) fn with_disagreements(mut answer: Value, all: Vec<Value>) -> Value {
    let pools: BTreeSet<&str> = answer
        .get("pools")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|pool| pool.get("pool")?.as_str())
        .collect();
    let concerns = |one: &Value| {
        let endpoint = one.get("endpoint").and_then(Value::as_str).unwrap_or_default();
        // An address holds no slash.
        endpoint.rsplit_once('/').is_some_and(|(pool, _)| pools.contains(pool))
    };
    let found: Vec<Value> = all.into_iter().filter(concerns).collect();
    if let Value::Object(fields) = &mut answer {
        fields.insert("disagreements".into(), found.into());
    }
    answer
}

/// Where a client belongs on a route with affinity, and whether its endpoint takes it now.
fn belongs(snapshot: &Snapshot, (home, kept): (Home, bool)) -> Value {
    let endpoint = home.endpoint.and_then(|slot| address(snapshot, slot));
    json!({ "pool": pool_name(snapshot, home.pool), "endpoint": endpoint, "kept": kept })
}

/// The answer for a request that is refused before steering.
fn refused_early(snapshot: &Snapshot, asked: &ExplainRequest, health: &str, refusal: &str) -> Value {
    json!({
        "host": asked.host, "path": asked.path, "client": asked.client.to_string(), "method": asked.method,
        "health": health, "roll": asked.roll,
        "generation": snapshot.generation, "revision": snapshot.revision,
        "route": null, "stage": null, "pools": [], "affinity": null, "refusal": refusal,
    })
}

/// The snapshot of a config whose endpoints are all healthy, for `explain --config`. Each name stands for one address
/// of its own, because no server was asked.
#[must_use]
pub fn offline(config: &Config) -> Snapshot {
    let mut topology = config.topology.clone();
    // Without probes an endpoint counts as healthy, which is the assumption here.
    for pool in &mut topology.pools {
        pool.probe = None;
    }
    let mut world = World::default();
    let mut names: Vec<Box<str>> =
        topology.pools.iter().flat_map(|pool| &pool.endpoints).map(|spec| spec.host.clone()).collect();
    names.retain(|host| host.parse::<IpAddr>().is_err());
    names.sort_unstable();
    names.dedup();
    world.apply(Event::Adopted { topology: Arc::new(topology), generation: 1 }, Tick(0));
    // One address for all names would make two names of a pool on one port the same endpoint.
    for (host, nth) in names.into_iter().zip(NOWHERE.to_bits()..) {
        let addresses = vec![IpAddr::from(Ipv6Addr::from_bits(nth))];
        world.apply(Event::Resolved { host, addresses }, Tick(0).after(Duration::ZERO));
    }
    world.snapshot()
}

/// The 64-bit prefix for packets to be discarded (RFC 6666): no endpoint has an address in it.
const NOWHERE: Ipv6Addr = Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 0);

fn is_nowhere(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.to_bits() >> 64 == NOWHERE.to_bits() >> 64)
}

/// How many of an endpoint's last probes succeeded, while they contradict each other.
pub(crate) fn flapping(view: &EndpointView) -> Value {
    view.flapping.map_or(Value::Null, |ProbeCounts { good, of }| json!({ "good": good, "of": of }))
}

/// The endpoints of a pool that take less than their share, and why.
fn reduced(snapshot: &Snapshot, pool: PoolSlot) -> Vec<Value> {
    let members = snapshot.endpoints_of(pool).filter(|member| member.view.scale < Scale::WHOLE);
    let entry = |member: PoolEndpoint<'_>| {
        json!({
            "endpoint": address(snapshot, member.slot), "scale": member.view.scale.as_f64(),
            "probe": member.view.probe.as_str(), "flapping": flapping(member.view),
            "weight_from_body": member.view.said_percent,
        })
    };
    members.map(entry).collect()
}

/// The spelling of a stage.
pub(crate) fn stage_name(stage: Stage) -> &'static str {
    match stage {
        Stage::Up => "up",
        Stage::Unproven => "unproven",
        Stage::Panic => "panic",
    }
}

/// The part of a route's traffic that each of its pools takes, 0–1, by position.
pub(crate) fn shares(snapshot: &Snapshot, route: RouteSlot) -> Vec<f64> {
    let members = snapshot.route(route).map_or(0, |route| route.pools.len());
    let mut shares = vec![0.0; members];
    let mut from = 0;
    for segment in snapshot.routes.get(route).into_iter().flat_map(|view| &view.shares.segments) {
        if let Some(share) = shares.get_mut(segment.entry.index()) {
            #[expect(clippy::cast_precision_loss, reason = "at most 2^32")]
            let part = (segment.end - from) as f64 / 4_294_967_296.0;
            *share += part;
        }
        from = segment.end;
    }
    shares
}

fn pools(snapshot: &Snapshot, explained: &Explained, now: Tick) -> Vec<Value> {
    let route = explained.serving.and_then(|slot| snapshot.route(slot));
    let view = explained.serving.and_then(|slot| snapshot.routes.get(slot));
    let one = |pool: &thalweg_core::ExplainedPool| {
        let member = route.and_then(|route| route.pools.get(pool.entry.entry.index()));
        let memory = view.and_then(|view| view.pools.get(pool.entry.entry)).copied().unwrap_or_default();
        json!({
            "pool": pool_name(snapshot, pool.entry.pool), "tier": pool.entry.tier,
            "weight": member.map(|member| member.weight), "dial": member.map(|member| member.dial),
            "latency_us": pool.entry.latency_us, "near": pool.entry.near,
            "verdict": pool.entry.verdict.as_str(), "share": pool.share, "cap": pool.entry.cap,
            "hold": returns::hold(&memory, now), "ramp": returns::ramp(&memory, now),
            "left_out": snapshot.pools.get(pool.entry.pool).map(|view| view.left_out),
            "orders": explained.serving.map(|route| orders_of(snapshot, route, pool.entry.pool)),
            "damped": returns::damped(memory.damped_until, now),
            "reduced": reduced(snapshot, pool.entry.pool),
        })
    };
    explained.pools.iter().map(one).collect()
}

/// The numbers of the orders that concern a pool on a route.
pub(crate) fn orders_of(snapshot: &Snapshot, route: RouteSlot, pool: PoolSlot) -> Vec<u64> {
    let (Some(route), Some(pool)) = (snapshot.route(route), snapshot.pool(pool)) else { return Vec::new() };
    let concerned = snapshot.orders.iter().filter(|order| order.action.concerns(&route.name, pool));
    concerned.map(|order| order.id.0).collect()
}

/// The orders that concern a route: what they are, whose, and why.
fn orders(snapshot: &Snapshot, slot: RouteSlot) -> Vec<Value> {
    let members = snapshot.route(slot).map(|route| route.pools.as_slice()).unwrap_or_default();
    let numbers: BTreeSet<u64> =
        members.iter().flat_map(|member| orders_of(snapshot, slot, member.pool)).collect();
    let concerned = snapshot.orders.iter().filter(|order| numbers.contains(&order.id.0));
    concerned.map(|order| Value::Object(order_json::fields(order))).collect()
}

fn pool_name(snapshot: &Snapshot, pool: PoolSlot) -> &str {
    snapshot.pool(pool).map(|pool| &*pool.name).unwrap_or_default()
}

/// An address, or the name that stands for addresses that were not looked up.
pub(super) fn address(snapshot: &Snapshot, slot: EndpointSlot) -> Option<String> {
    let place = snapshot.layout.endpoints.get(slot)?;
    let spec = snapshot.pool(place.pool)?.endpoints.get(place.spec.index())?;
    if is_nowhere(place.address.ip()) && spec.host.parse::<IpAddr>().is_err() {
        return Some(format!("{}:{}", spec.host, spec.port));
    }
    Some(place.address.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"
        version = 1
        [[listener]]
        name = "web"
        bind = "127.0.0.1:8080"
        [probe.p]
        path = "/health"
        [pool.near]
        probe = "p"
        endpoints = [{ address = "127.0.0.1:9" }]
        [pool.far]
        probe = "p"
        endpoints = [{ address = "far.test:10" }]
        [route.api]
        hosts = ["api.test"]
        path_prefix = "/v1"
        policy = "weighted"
        pools = [{ pool = "near", weight = 3 }, { pool = "far" }]
    "#;

    fn ask(host: &str, path: &str, roll: u64) -> Value {
        let config = thalweg_config::parse_str(CONFIG, "t.toml").unwrap();
        let request = ExplainRequest {
            host: host.into(),
            path: path.into(),
            client: ExplainRequest::CLIENT,
            method: "GET".into(),
            roll,
            cookie: None,
        };
        let basis = ExplainBasis { health: "assumed", now: Tick(0), geo: None, signers: &[] };
        answer(&offline(&config), &request, &basis)
    }

    #[test]
    fn a_file_alone_answers_with_every_endpoint_assumed_healthy() {
        let said = ask("API.test.:80", "/v1/x?y", 0);
        assert_eq!((&said["route"], &said["stage"]), (&json!("api"), &json!("up")));
        assert_eq!(said["pools"][0]["share"], 0.75);
        assert_eq!(said["decision"]["endpoint"], "127.0.0.1:9");
        let last = ask("api.test", "/v1", u64::MAX >> 11);
        assert_eq!(last["decision"]["endpoint"], "far.test:10");
    }

    #[test]
    fn names_of_one_pool_on_one_port_are_endpoints_of_their_own() {
        let two = CONFIG.replace(r#""far.test:10" }"#, r#""b.test:10" }, { address = "a.test:10" }"#);
        let snapshot = offline(&thalweg_config::parse_str(&two, "t.toml").unwrap());
        let all = (0..snapshot.endpoints.len()).map(|slot| address(&snapshot, EndpointSlot(slot as u32)));
        let all: std::collections::BTreeSet<String> = all.flatten().collect();
        assert_eq!(all.into_iter().collect::<Vec<_>>(), ["127.0.0.1:9", "a.test:10", "b.test:10"]);
    }

    #[test]
    fn a_refusal_is_an_answer() {
        let said = ask("api.test", "/v2", 0);
        assert_eq!((&said["refusal"], &said["route"]), (&json!("no_route"), &Value::Null));
        assert_eq!(ask("api.test", "/x/../v1/%2e/y", 0)["path"], "/v1/y");
        assert_eq!(ask("api.test", "/v1%2Fx", 0)["refusal"], "bad_request");
    }

    #[test]
    fn explain_reads_hosts_like_requests() {
        for (given, expected) in
            [("api.TEST:80", "api.test"), ("api.test.", "api.test"), ("[::1]:80", "[::1]")]
        {
            assert_eq!(ask(given, "/v1", 0)["host"], expected);
        }
        for given in ["a b", "::1", "a:x", "user@api.test", "[::1"] {
            let said = ask(given, "/v1", 0);
            assert_eq!(
                (&said["refusal"], &said["decision"]),
                (&json!("bad_request"), &Value::Null),
                "{given}"
            );
        }
    }
}
