//! A client keeps its endpoint: by its address, or by a cookie that the edge signs.

mod common;

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use common::alone;
use thalweg_testkit::{
    Authority, Client, Conf, Edge, Endpoint, H2, Reply, Scratch, client_config, eventually, thalweg,
};

const SOON: Duration = Duration::from_secs(10);

/// Keys of 32 bytes.
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const OTHER_KEY: &str = "//79/Pv6+fj39vX08/Lx8O/u7ezr6uno5+bl5OPi4eA=";

fn endpoints(count: usize) -> Vec<Endpoint> {
    (0..count).map(|nth| Endpoint::start(&format!("e{nth}"))).collect()
}

fn addrs(endpoints: &[Endpoint]) -> Vec<SocketAddr> {
    endpoints.iter().map(Endpoint::addr).collect()
}

/// One pool of these endpoints, with these lines in the route.
fn one_pool(endpoints: &[Endpoint], affinity: &str) -> Conf {
    Conf::new()
        .listener("web", "")
        .pool("p0", &addrs(endpoints), "")
        .route("all", "failover", &["p0"], &format!("affinity = {affinity}"))
        .file("affinity.key", format!("{KEY}\n"))
}

/// The endpoint of each of these clients, known by their addresses.
fn places(edge: &Edge, clients: u8) -> BTreeMap<IpAddr, String> {
    let one = |nth: u8| {
        let from = IpAddr::from([127, 9, nth / 16, 1 + nth % 16]);
        let reply = Client::connect_from(from, edge.web()).get("/");
        assert_eq!(reply.status, 200, "{from}");
        (from, reply.endpoint().to_owned())
    };
    (0..clients).map(one).collect()
}

#[test]
fn an_address_keeps_its_endpoint_and_two_edges_agree() {
    let _alone = alone();
    let endpoints = endpoints(10);
    let conf = one_pool(&endpoints, "{ mode = \"client-ip\" }");
    let edges = [Edge::start(&conf), Edge::start(&conf)];
    edges.iter().for_each(|edge| edge.until_up(10));
    let before = places(&edges[0], 100);
    assert_eq!(before, places(&edges[1], 100), "two edges");
    assert_eq!(before, places(&edges[0], 100), "a second request");
    let used: std::collections::BTreeSet<&String> = before.values().collect();
    assert!(used.len() > 7, "{used:?}");
    let lost = &endpoints[3];
    lost.die();
    for edge in &edges {
        eventually("the endpoint is down", SOON, || !edge.is_up(lost.addr()));
    }
    let meanwhile = places(&edges[0], 100);
    for (client, place) in &before {
        assert_eq!(meanwhile[client] != *place, place == lost.name(), "{client}");
    }
    assert_eq!(meanwhile, places(&edges[1], 100), "two edges, without one endpoint");
    lost.revive();
    for edge in &edges {
        edge.until_up(10);
    }
    assert_eq!(places(&edges[0], 100), before, "all clients return");
    let reasons = |reason| edges[0].metric("thalweg_decisions_total", &[("reason", reason)]);
    assert!(reasons("affinity") >= 400.0, "{}", reasons("affinity"));
    let (client, place) = before.iter().next().expect("a client");
    let explained = edges[0].explain(&format!("host=a&path=/&client={client}"));
    let name = endpoints.iter().find(|endpoint| endpoint.name() == place).expect("its endpoint").addr();
    assert_eq!(explained["decision"]["endpoint"], name.to_string());
    assert_eq!(explained["decision"]["reason"], "affinity");
    assert_eq!(explained["affinity"]["endpoint"], name.to_string());
    assert_eq!(explained["affinity"]["kept"], true);
    assert_eq!(edges[0].status()["routes"][0]["affinity"], "client-ip");
}

/// The cookie that an answer sets, as the client sends it back; without its attributes.
fn set(reply: &Reply) -> Option<String> {
    let field = reply.header("set-cookie")?;
    Some(field.split(';').next().unwrap_or_default().to_owned())
}

fn ask(edge: &Edge, cookie: &str) -> Reply {
    let field = if cookie.is_empty() { String::new() } else { format!("Cookie: {cookie}\r\n") };
    Client::connect(edge.web()).ask("GET", "/", &field, b"").expect("an answer")
}

/// A new client's cookie, and the endpoint that it names.
fn new_client<'e>(edge: &Edge, endpoints: &'e [Endpoint]) -> (String, &'e Endpoint) {
    let reply = ask(edge, "");
    let home = endpoints.iter().find(|endpoint| endpoint.name() == reply.endpoint()).expect("an endpoint");
    (set(&reply).expect("a new client gets a cookie"), home)
}

#[test]
fn a_cookie_keeps_its_client_and_stays_at_the_edge() {
    let endpoints = endpoints(3);
    let edge = Edge::start(&one_pool(&endpoints, "{ mode = \"cookie\", key_file = \"affinity.key\" }"));
    edge.until_up(3);
    let first = ask(&edge, "");
    let field = first.header("set-cookie").expect("a new client gets a cookie");
    assert!(field.starts_with("thalweg="), "{field}");
    assert!(field.ends_with("; Path=/; Max-Age=86400; HttpOnly; SameSite=Lax"), "{field}");
    let cookie = set(&first).expect("a cookie");
    endpoints.iter().for_each(Endpoint::forget);
    for _ in 0..20 {
        let reply = ask(&edge, &format!("a=b; {cookie}; c=d"));
        assert_eq!((reply.endpoint(), set(&reply)), (first.endpoint(), None));
    }
    let home = endpoints.iter().find(|endpoint| endpoint.name() == first.endpoint()).expect("its endpoint");
    for seen in home.requests() {
        assert_eq!(seen.header("cookie"), Some("a=b; c=d"));
    }
    let forged = format!("{}A", cookie.strip_suffix(|_: char| true).expect("a value"));
    for bad in ["thalweg=", "thalweg=x", &forged, &cookie[..cookie.len() - 4]] {
        let replaced = ask(&edge, bad);
        assert!(set(&replaced).is_some() || bad == cookie, "{bad}");
        assert_eq!(replaced.status, 200);
    }
    assert_eq!(edge.status()["routes"][0]["affinity"], "cookie");
}

#[test]
fn what_a_client_gets_while_its_endpoint_is_away_is_configured() {
    let _alone = alone();
    for on_failure in ["return", "stick", "none"] {
        let endpoints = endpoints(3);
        let affinity =
            format!("{{ mode = \"cookie\", key_file = \"affinity.key\", on_failure = \"{on_failure}\" }}");
        let edge = Edge::start(&one_pool(&endpoints, &affinity));
        edge.until_up(3);
        let (cookie, home) = new_client(&edge, &endpoints);
        home.die();
        eventually("the endpoint is down", SOON, || !edge.is_up(home.addr()));
        let meanwhile = ask(&edge, &cookie);
        if on_failure == "none" {
            common::assert_ours(&meanwhile, 503, "no_endpoint");
            assert!(meanwhile.header("retry-after").is_some());
        } else {
            assert_eq!(meanwhile.status, 200);
            assert_eq!(ask(&edge, &cookie).endpoint(), meanwhile.endpoint(), "the same endpoint stands in");
        }
        assert_eq!(set(&meanwhile).is_some(), on_failure == "stick", "{on_failure}");
        let kept = set(&meanwhile).unwrap_or(cookie);
        home.revive();
        edge.until_up(3);
        let after = ask(&edge, &kept);
        let expected = if on_failure == "stick" { meanwhile.endpoint() } else { home.name() };
        assert_eq!(after.endpoint(), expected, "{on_failure}");
    }
}

#[test]
fn an_endpoint_that_drains_keeps_the_clients_that_it_has() {
    let _alone = alone();
    let endpoints = endpoints(3);
    let edge = Edge::start(&one_pool(&endpoints, "{ mode = \"cookie\", key_file = \"affinity.key\" }"));
    edge.until_up(3);
    let (cookie, home) = new_client(&edge, &endpoints);
    let body = format!("{{\"endpoint\":\"p0/{}\"}}", home.addr());
    let drained = edge.admin_post("/api/v1/drain", &body);
    assert!(drained.status < 300, "{}", drained.text());
    eventually("the endpoint drains", SOON, || edge.endpoint(home.addr())["availability"] == "affinity_only");
    for _ in 0..20 {
        assert_eq!(ask(&edge, &cookie).endpoint(), home.name());
        assert_ne!(ask(&edge, "").endpoint(), home.name());
    }
}

#[test]
fn explain_says_where_a_cookie_sends_its_client() {
    let _alone = alone();
    let endpoints = endpoints(3);
    let edge = Edge::start(&one_pool(&endpoints, "{ mode = \"cookie\", key_file = \"affinity.key\" }"));
    edge.until_up(3);
    let (cookie, home) = new_client(&edge, &endpoints);
    let addr = home.addr().to_string();
    let ask = |cookie: &str| {
        let url = edge.admin_url();
        let asked = ["explain", "--admin", &url, "--host", "a", "--path", "/", "--cookie", cookie];
        let json = thalweg(&[&asked[..], &["--format", "json"]].concat());
        assert_eq!(json.code, 0, "{}", json.stderr);
        let said: serde_json::Value = serde_json::from_str(&json.stdout).expect("JSON");
        (said, thalweg(&asked).stdout)
    };
    let value = cookie.strip_prefix("thalweg=").expect("its name");
    for given in [cookie.as_str(), value, &format!("a=b; {cookie}; c=d")] {
        let (said, shown) = ask(given);
        assert_eq!(said["cookie"], serde_json::json!({ "counts": true, "endpoint": addr, "why": null }));
        assert_eq!(
            (&said["decision"]["endpoint"], &said["affinity"]["kept"]),
            (&addr.clone().into(), &true.into())
        );
        assert!(shown.contains(&format!("cookie    names {addr}")), "{shown}");
    }
    for given in ["thalweg=forged", "nothing"] {
        let (said, shown) = ask(given);
        assert_eq!((&said["cookie"]["counts"], &said["affinity"]), (&false.into(), &serde_json::Value::Null));
        assert!(shown.contains("cookie    does not count: not signed by a key of this route"), "{shown}");
    }
    home.die();
    eventually("it is down", SOON, || !edge.is_up(home.addr()));
    let (said, _) = ask(&cookie);
    let stands_in = ask_by(&edge, &endpoints, &cookie);
    assert_eq!((&said["affinity"]["kept"], &said["cookie"]["endpoint"]), (&false.into(), &addr.into()));
    assert_eq!(said["decision"]["endpoint"], stands_in);
    // Offline, by the key file that the config names: every endpoint is healthy.
    let config = edge.config().display().to_string();
    let offline =
        thalweg(&["explain", "--config", &config, "--host", "a", "--path", "/", "--cookie", &cookie]);
    assert!(offline.stdout.contains(&format!("cookie    names {}", home.addr())), "{}", offline.stdout);
}

/// The address of the endpoint that answers a client with this cookie.
fn ask_by(edge: &Edge, endpoints: &[Endpoint], cookie: &str) -> String {
    let reply = ask(edge, cookie);
    let by = endpoints.iter().find(|endpoint| endpoint.name() == reply.endpoint()).expect("an endpoint");
    by.addr().to_string()
}

#[test]
fn keys_are_replaced_without_losing_a_client() {
    let endpoints = endpoints(3);
    let edge = Edge::start(&one_pool(&endpoints, "{ mode = \"cookie\", key_file = \"affinity.key\" }"));
    edge.until_up(3);
    let (cookie, home) = new_client(&edge, &endpoints);
    for (keys, genuine) in [(format!("# new\n{OTHER_KEY}\n\n{KEY}\n"), true), (OTHER_KEY.to_owned(), false)] {
        let before = edge.generation();
        edge.scratch().write("affinity.key", &keys);
        let reloaded = edge.reload();
        assert_eq!(reloaded.status, 200, "{}", reloaded.text());
        eventually("the keys are in force", SOON, || edge.generation() > before);
        let reply = ask(&edge, &cookie);
        assert_eq!(set(&reply).is_none(), genuine, "{keys}");
        if genuine {
            assert_eq!(reply.endpoint(), home.name());
        }
    }
    edge.scratch().write("affinity.key", "");
    assert_eq!(edge.reload().status, 422);
    assert_eq!(ask(&edge, "").status, 200, "the keys that were in force stay");
}

#[test]
fn over_tls_the_cookie_is_secure_and_http2_carries_it() {
    let endpoints = endpoints(2);
    let scratch = Scratch::new();
    let ours = Authority::new("ours");
    let (cert, key) = ours.leaf(&["api.test"]).write(&scratch, "site");
    let tls = format!(
        "protocols = [\"h2\", \"http/1.1\"]\n[listener.tls]\ncertificates = [{{ cert = \"{}\", key = \"{}\" }}]",
        cert.display(),
        key.display()
    );
    let conf = one_pool(&endpoints, "{ mode = \"cookie\", key_file = \"affinity.key\", cookie = \"place\" }");
    let edge = Edge::start(&conf.listener("secure", &tls));
    edge.until_up(2);
    let config = client_config(&ours, &["h2"], &[]);
    let h2 = H2::connect_tls(edge.addr("secure"), "api.test", &config).expect("a connection");
    let first = h2.get("https://api.test/").expect("an answer");
    let field = first.headers["set-cookie"].to_str().expect("text").to_owned();
    assert!(field.starts_with("place=") && field.ends_with("; Secure"), "{field}");
    let cookie = field.split(';').next().unwrap_or_default();
    let by = |reply: &thalweg_testkit::H2Reply| reply.headers["x-endpoint"].clone();
    for _ in 0..10 {
        let request = http::Request::get("https://api.test/")
            .header("cookie", "a=b")
            .header("cookie", cookie)
            .body(Default::default())
            .expect("a request");
        let reply = h2.ask(request).expect("an answer");
        assert_eq!(by(&reply), by(&first));
        assert!(!reply.headers.contains_key("set-cookie"));
    }
}

#[test]
fn check_says_what_is_wrong_with_a_key_file() {
    use std::os::unix::fs::PermissionsExt;
    let endpoints = endpoints(1);
    let conf = one_pool(&endpoints, "{ mode = \"cookie\", key_file = \"affinity.key\" }");
    for (content, mode, code, part) in [
        (KEY, 0o600, 0, ""),
        (KEY, 0o644, 0, "every user may read"),
        ("", 0o600, 2, "holds no key"),
        ("# nothing\n", 0o600, 2, "holds no key"),
        ("AAEC", 0o600, 2, "line 1 of"),
        ("not base64 at all", 0o600, 2, "is not base64"),
    ] {
        let scratch = Scratch::new();
        let path = scratch.write("t.toml", conf.text());
        let file = scratch.write("affinity.key", content);
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(mode)).expect("a mode can be set");
        let done = thalweg(&["check", "--config", &path.display().to_string()]);
        let all = format!("{}{}", done.stdout, done.stderr);
        assert_eq!(done.code, code, "{content:?}: {all}");
        assert!(all.contains(part), "{content:?}: {all}");
        assert_eq!(all.contains("may read"), mode == 0o644, "{all}");
    }
}
