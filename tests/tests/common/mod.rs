//! Helpers of several test files: the usual edge, and the form of answers that the edge makes itself.

#![allow(dead_code, reason = "every test file uses another part")]

pub mod bird;
pub mod fleet;
pub mod publisher;
pub mod server;
pub mod tls_site;

use std::{
    collections::BTreeMap,
    fs::File,
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::Value;
use thalweg_testkit::{
    Authority, Client, Conf, Edge, Endpoint, Gone, Relay, Reply, Weather, eventually, server_config,
};

/// A config that sends everything to this endpoint, which has no probe.
pub fn to(endpoint: &Endpoint) -> Conf {
    Conf::new().listener("web", "").pool("p", &[endpoint.addr()], "# no probe").route(
        "all",
        "failover",
        &["p"],
        "",
    )
}

/// A lock for scenarios that measure time or memory: two at once on two cores would disturb each other. It holds among
/// the scenarios of one program, and among programs that run at the same time.
pub fn alone() -> Alone {
    static ALONE: Mutex<()> = Mutex::new(());
    let within = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("alone.lock");
    let among =
        File::create(path).and_then(|file| file.lock().map(|()| file)).expect("the lock of the machine");
    Alone { _among: among, _within: within }
}

/// The lock of [`alone`]; given back when dropped.
pub struct Alone {
    _among: File,
    _within: MutexGuard<'static, ()>,
}

/// One endpoint behind a listener `web`, everything else by default; the edge is ready and the endpoint is Up.
pub fn one() -> (Edge, Endpoint) {
    one_with("")
}

/// As above, with these lines in the route.
pub fn one_with(route: &str) -> (Edge, Endpoint) {
    let endpoint = Endpoint::start("a");
    let edge = Edge::start(&Conf::simple_with("failover", &[endpoint.addr()], route));
    edge.until_up(1);
    (edge, endpoint)
}

/// Two endpoints in two pools, failover from the first to the second.
pub fn two_with(route: &str) -> (Edge, Endpoint, Endpoint) {
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let edge = Edge::start(&Conf::simple_with("failover", &[first.addr(), second.addr()], route));
    edge.until_up(2);
    (edge, first, second)
}

/// Checks an answer that the edge made itself: the status, the reason in `details` of `Proxy-Status`, the JSON body.
pub fn assert_ours(reply: &Reply, status: u16, word: &str) {
    assert_eq!(reply.status, status, "{} {}", reply.head.line, reply.text());
    let proxy_status =
        reply.header("proxy-status").unwrap_or_else(|| panic!("no Proxy-Status: {:?}", reply.head));
    assert!(proxy_status.starts_with("thalweg; error="), "{proxy_status}");
    let token = proxy_status["thalweg; error=".len()..].split(';').next().unwrap_or_default().trim();
    assert!(REGISTERED.contains(&token), "not registered by RFC 9209: {token}");
    let details = proxy_status.split("details=").nth(1).unwrap_or_default().trim_matches('"');
    assert_eq!(details, word, "{proxy_status}");
    let body = reply.json();
    assert_eq!(body["error"], word, "{body}");
    let id = reply.header("x-request-id").unwrap_or_else(|| panic!("no X-Request-Id: {:?}", reply.head));
    assert_eq!(body["request_id"], id);
}

/// Checks that the request is refused with this status (answers of the HTTP parser have no fields of the edge),
/// and that the connection ends.
pub fn assert_refused(answer: Result<Reply, Gone>, allowed: &[u16], what: &str) {
    match answer {
        Ok(reply) => assert!(allowed.contains(&reply.status), "{what}: {} {}", reply.head.line, reply.text()),
        Err(gone) => assert!(gone.closed(), "{what}: silence"),
    }
}

/// Why a logged request was refused or failed: the value of `refusal`, else of `error`.
pub fn why(line: &Value) -> &str {
    line["refusal"].as_str().or_else(|| line["error"].as_str()).unwrap_or("-")
}

/// Sends this many requests over a client's connection. Returns how often each endpoint answered, or each status of an
/// answer without a name.
pub fn answers(mut client: Client, count: usize) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for _ in 0..count {
        let reply = client.get("/");
        let by = reply.header("x-endpoint").map_or_else(|| reply.status.to_string(), str::to_owned);
        *counts.entry(by).or_default() += 1;
    }
    counts
}

/// Sends this many requests over kept connections, from a few threads at once. Returns how often each endpoint answered,
/// or each status of an answer without a name. Panics when a request gets no answer.
pub fn hammer(addr: SocketAddr, threads: usize, each: usize) -> BTreeMap<String, usize> {
    let asking: Vec<_> =
        (0..threads).map(|_| std::thread::spawn(move || answers(Client::connect(addr), each))).collect();
    let mut sum = BTreeMap::new();
    for thread in asking {
        for (by, count) in thread.join().expect("every request is answered") {
            *sum.entry(by).or_default() += count;
        }
    }
    sum
}

/// Endpoints with one port on these addresses, each named by its address.
pub fn on_one_port(ips: &[IpAddr]) -> (Vec<Endpoint>, u16) {
    for _ in 0..50 {
        let first = Endpoint::start_on(&ips[0].to_string(), ips[0]);
        let port = first.addr().port();
        let free = |ip: &IpAddr| std::net::TcpListener::bind(SocketAddr::new(*ip, port)).is_ok();
        if ips[1..].iter().all(free) {
            let more = ips[1..]
                .iter()
                .map(|ip| Endpoint::start_at(&ip.to_string(), SocketAddr::new(*ip, port), None));
            let mut all = vec![first];
            all.extend(more);
            return (all, port);
        }
    }
    panic!("no port is free on all of {ips:?}");
}

/// The ejections of this endpoint so far, oldest first.
pub fn sentences(edge: &Edge, endpoint: &Endpoint) -> Vec<Value> {
    let addr = endpoint.addr().to_string();
    edge.events_of("ejected").into_iter().filter(|event| event["endpoint"] == addr).collect()
}

/// Waits for the first ejection of this endpoint.
pub fn until_ejected(edge: &Edge, endpoint: &Endpoint) -> Value {
    eventually("the endpoint is ejected", Duration::from_secs(10), || !sentences(edge, endpoint).is_empty());
    sentences(edge, endpoint).remove(0)
}

/// Sends enough requests that the edge has a latency baseline for each endpoint.
pub fn until_known(edge: &Edge, endpoints: &[Endpoint]) {
    eventually("the usual time of each is known", Duration::from_secs(20), || {
        hammer(edge.web(), 2, 50);
        endpoints.iter().all(|endpoint| !edge.endpoint(endpoint.addr())["p95_us"].is_null())
    });
}

/// The error types of RFC 9209, section 2.3.
const REGISTERED: [&str; 36] = [
    "dns_timeout",
    "dns_error",
    "destination_not_found",
    "destination_unavailable",
    "destination_ip_prohibited",
    "destination_ip_unroutable",
    "connection_refused",
    "connection_terminated",
    "connection_timeout",
    "connection_read_timeout",
    "connection_write_timeout",
    "connection_limit_reached",
    "tls_protocol_error",
    "tls_certificate_error",
    "tls_alert_received",
    "http_request_error",
    "http_request_denied",
    "http_response_incomplete",
    "http_response_header_section_size",
    "http_response_header_size",
    "http_response_body_size",
    "http_response_trailer_section_size",
    "http_response_trailer_size",
    "http_response_transfer_coding",
    "http_response_content_coding",
    "http_response_timeout",
    "http_upgrade_failed",
    "http_protocol_error",
    "proxy_internal_response",
    "proxy_internal_error",
    "proxy_configuration_error",
    "proxy_loop_detected",
    "http_response_header",
    "http_request_header",
    "connection_idle_timeout",
    "http_request_timeout",
];

/// Ejection only after a very large number of failures: for scenarios about single requests.
pub const PATIENT: &str =
    "[eject]\nconsecutive_failures = 10000\nfailure_ratio = 1.0\nmin_requests = 100000\n";

/// An ejection lasts longer than any scenario.
pub const FOR_GOOD: &str = "[eject]\nbase = \"60s\"";

/// An ejection ends within a scenario, and no hold hides the return.
pub const AT_ONCE: &str = "failback = { mode = \"immediate\" }";

/// Endpoints named `a`, `b`, `c`… in one pool each, `p0`, `p1`, `p2`…
pub fn regions(count: usize, policy: &str, route: &str, eject: &str) -> (Edge, Vec<Endpoint>) {
    let endpoints: Vec<Endpoint> =
        ["a", "b", "c", "d"].iter().take(count).map(|name| Endpoint::start(name)).collect();
    let addrs: Vec<SocketAddr> = endpoints.iter().map(Endpoint::addr).collect();
    let edge = Edge::start(&Conf::simple_with(policy, &addrs, route).raw(eject));
    edge.until_up(count);
    (edge, endpoints)
}

/// A TLS endpoint `far` at the end of a relay.
pub struct Far {
    pub endpoint: Endpoint,
    /// The address of the relay.
    pub addr: SocketAddr,
    _way: Relay,
}

impl Far {
    pub fn behind(weather: Weather) -> Self {
        let ours = Authority::new("ours");
        let endpoint = Endpoint::start_tls("far", server_config(&ours.leaf(&["api.test"])));
        let way = Relay::to(endpoint.addr());
        way.weather(weather);
        Self { addr: way.open(), endpoint, _way: way }
    }

    /// The pool `p0` of this endpoint, without certificate verification and with these further keys.
    pub fn pool(&self, keys: &str) -> String {
        let tls = "{ sni = \"api.test\", verify = false }";
        format!("[pool.p0]\n{keys}\nendpoints = [{{ address = \"{}\", tls = {tls} }}]", self.addr)
    }
}
