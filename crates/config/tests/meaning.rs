//! What an accepted config means: defaults, policies as numbers, normal forms, warnings.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic, reason = "a test")]

mod support;

use std::{path::Path, time::Duration};

use support::{MINIMAL, complaints, env, minimal, named_files, read, warnings};
use thalweg_config::{AccessLog, Config, CookieKey, Level, QueueSettings, TlsVersion, load_with};
use thalweg_core::{Affinity, ClientMark, DampingRules, Failback, OnFailure, PoolSlot, Route, RoutePool};

fn accepted(text: &str) -> Config {
    read(text).unwrap_or_else(|errors| panic!("{errors}\n{text}"))
}

/// A route over three pools with these further lines.
fn route(policy: &str, pools: &str, more: &str) -> Route {
    let text = format!(
        "[pool.b]\nendpoints = [{{ address = \"b:1\" }}]\n[pool.c]\nendpoints = [{{ address = \"c:1\" }}]\n\
         [route.x]\nhosts = [\"x\"]\npolicy = \"{policy}\"\npools = [{pools}]\n{more}"
    );
    accepted(&minimal(&text)).topology.routes[1].clone()
}

const THREE: &str = "{ pool = \"c\" }, { pool = \"a\" }, { pool = \"b\" }";

fn at(pool: u32, tier: u32, weight: u32, dial: u8) -> RoutePool {
    RoutePool { pool: PoolSlot(pool), tier, weight, dial }
}

#[test]
fn the_defaults_are_those_of_the_contract() {
    let config = accepted(MINIMAL);
    assert!(!config.edge.name.is_empty());
    assert_eq!((config.edge.workers, config.edge.drain_delay), (0, Duration::ZERO));
    assert_eq!(config.edge.drain_timeout, Duration::from_secs(25));
    assert_eq!(config.admin.bind.to_string(), "127.0.0.1:9900");
    assert_eq!((config.admin.tokens.len(), config.admin.anonymous_read), (0, true));
    assert_eq!(config.resolver.ttl_max, Duration::from_secs(300));
    assert_eq!((config.limits.header_bytes, config.limits.header_count), (16 << 10, 100));
    assert_eq!(config.limits.answer_fields, 200);
    assert_eq!((config.log.access, config.log.level), (AccessLog::Json, Level::Info));
    let listener = &config.listeners[0];
    assert_eq!((listener.http1, listener.http2, &listener.tls), (true, false, &None));
    let pool = &config.topology.pools[0];
    assert_eq!((pool.probe.as_ref(), pool.max_in_flight, pool.panic_threshold), (None, 0, 0.5));
    assert_eq!(pool.endpoints[0].weight, 1);
    assert_eq!(config.pools[0].keepalive.idle, Duration::from_secs(4));
    let route = &config.topology.routes[0];
    assert!(route.hosts.is_empty() && &*route.path_prefix == "/");
    assert_eq!((route.overprovision, route.retry.attempts, route.retry.buffer), (1.4, 2, 64 << 10));
    assert!(route.retry.on_connect && route.retry.on_reset && route.retry.on_5xx);
    assert_eq!(config.routes[0].body_bytes, Some(10 << 20));
    assert_eq!(config.warnings, []);
}

#[test]
fn failover_counts_tiers_by_position_unless_given() {
    assert_eq!(route("failover", THREE, "").pools, [at(2, 0, 1, 100), at(0, 1, 1, 100), at(1, 2, 1, 100)]);
    let given =
        "{ pool = \"c\", tier = 7 }, { pool = \"a\", weight = 3 }, { pool = \"b\", tier = 0, dial = 20 }";
    assert_eq!(route("failover", given, "").pools, [at(2, 7, 1, 100), at(0, 1, 3, 100), at(1, 0, 1, 20)]);
}

#[test]
fn other_policies_put_every_pool_into_tier_0_unless_given() {
    for policy in ["weighted", "latency"] {
        assert!(route(policy, THREE, "").pools.iter().all(|pool| pool.tier == 0));
        assert_eq!(route(policy, "{ pool = \"a\" }, { pool = \"b\", tier = 2 }", "").pools[1].tier, 2);
    }
}

#[test]
fn a_policy_is_a_band_and_a_way_for_leftovers() {
    let band = |policy| route(policy, THREE, "latency = { band = \"5ms\", hysteresis = 0.5 }").band;
    assert!(band("failover").is_none() && band("weighted").is_none());
    let near = band("latency").unwrap();
    assert_eq!(
        (near.width, near.hysteresis, near.dwell),
        (Duration::from_millis(5), 0.5, Duration::from_secs(2))
    );
    for (policy, share) in [("failover", false), ("weighted", true), ("latency", false)] {
        assert_eq!(route(policy, THREE, "").share_leftover, share, "{policy}");
    }
}

#[test]
fn a_failback_mode_is_a_hold_a_ramp_or_a_slow_start() {
    let seconds = Duration::from_secs;
    let held = Failback::after(seconds(7));
    let latched = Failback { hold: None, ..Failback::IMMEDIATE };
    for (policy, mode, expected) in [
        ("failover", "immediate", Failback::IMMEDIATE),
        ("failover", "hold", held),
        ("failover", "ramp", Failback { ramp: seconds(9), ..held }),
        ("latency", "latched", latched),
        ("weighted", "hold", Failback::IMMEDIATE),
        ("weighted", "immediate", Failback::IMMEDIATE),
        ("weighted", "ramp", Failback { slow_start: seconds(9), ..Failback::IMMEDIATE }),
        ("weighted", "latched", latched),
    ] {
        let keys = format!("failback = {{ mode = \"{mode}\", hold = \"7s\", ramp = \"9s\" }}");
        assert_eq!(route(policy, THREE, &keys).failback, expected, "{policy} {mode}");
        let kept = "[edge]\nstate_dir = \"state\"\n";
        assert_eq!(warnings(&format!("{MINIMAL}{keys}\n{kept}")), [""; 0], "{keys}");
    }
    assert_eq!(route("failover", THREE, "").failback, Failback::after(seconds(10)));
}

#[test]
fn hosts_and_paths_have_one_normal_form() {
    let hosts = route("failover", THREE, "").hosts;
    assert_eq!(hosts, ["x".into()]);
    for (written, normal) in [
        ("API.Example.COM.", "api.example.com"),
        ("*.Example.com", "*.example.com"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("10.0.0.1", "10.0.0.1"),
        ("[2001:DB8:0::1]", "[2001:db8::1]"),
        ("a_b", "a_b"),
    ] {
        let config = accepted(&MINIMAL.replace("[route.r]", &format!("[route.r]\nhosts = [\"{written}\"]")));
        assert_eq!(&*config.topology.routes[0].hosts[0], normal);
    }
    for (written, normal) in [
        ("/", "/"),
        ("//", "/"),
        ("/api/", "/api"),
        ("/api", "/api"),
        ("/A/b%20c/", "/A/b%20c"),
        ("/caf%c3%a9", "/caf%C3%A9"),
        ("/%61pi/%7euser", "/api/~user"),
        ("/100%25/%2e.x", "/100%25/..x"),
        ("/%2561", "/%2561"),
    ] {
        let config =
            accepted(&MINIMAL.replace("[route.r]", &format!("[route.r]\npath_prefix = \"{written}\"")));
        assert_eq!(&*config.topology.routes[0].path_prefix, normal);
    }
}

#[test]
fn an_endpoint_is_a_host_and_a_port() {
    for (written, host, port) in [
        ("10.0.0.1:8000", "10.0.0.1", 8000),
        ("[2001:DB8::1]:80", "2001:db8::1", 80),
        ("API.example.com.:443", "api.example.com", 443),
        ("localhost:65535", "localhost", 65535),
    ] {
        let config = accepted(&MINIMAL.replace("10.0.0.1:8000", written));
        let endpoint = &config.topology.pools[0].endpoints[0];
        assert_eq!((&*endpoint.host, endpoint.port), (host, port));
    }
    for wrong in [
        "a", "a:", "a:0", "a:65536", "a:+1", ":80", "[::1]", "::1:80", "[::1:80", "a b:80", "-a:80",
        "a..b:1", "ä:1",
    ] {
        assert_eq!(complaints(&MINIMAL.replace("10.0.0.1:8000", wrong)).len(), 1, "{wrong}");
    }
}

#[test]
fn tls_towards_an_endpoint_defaults_to_its_name() {
    let tls = |tls: &str| {
        let text = MINIMAL.replace("\"10.0.0.1:8000\"", &format!("\"Api.example.com:443\", tls = {tls}"));
        accepted(&text).pools[0].tls[0].clone().unwrap()
    };
    assert_eq!((tls("{}").sni.as_str(), tls("{}").verify, tls("{}").ca), ("api.example.com", true, None));
    assert_eq!(tls("{ sni = \"other\" }").sni, "other");
    assert_eq!(tls("{ ca = \"tls/ca.pem\" }").ca.unwrap().value.to_str(), Some("tls/ca.pem"));
}

#[test]
fn a_listener_speaks_what_it_names() {
    let speaks = |more: &str| {
        let listener =
            accepted(&MINIMAL.replace("[pool.a]", &format!("{more}\n[pool.a]"))).listeners[0].clone();
        (listener.http1, listener.http2, listener.tls.map(|tls| tls.min_version))
    };
    let tls = "tls = { certificates = [{ cert = \"tls/site.crt\", key = \"tls/site.key\" }], min_version = \"1.3\" }";
    assert_eq!(speaks(""), (true, false, None));
    assert_eq!(speaks("protocols = [\"h2c\"]"), (false, true, None));
    assert_eq!(speaks("protocols = [\"http/1.1\", \"h2c\"]"), (true, true, None));
    assert_eq!(speaks(tls), (true, true, Some(TlsVersion::V1_3)));
    assert_eq!(speaks(&format!("protocols = [\"http/1.1\"]\n{tls}")), (true, false, Some(TlsVersion::V1_3)));
    let http3 = |protocols: &str| {
        let lines = format!("{protocols}\n{tls}\n[pool.a]");
        accepted(&MINIMAL.replace("[pool.a]", &lines)).listeners[0].http3
    };
    assert!(!http3("") && !http3("protocols = [\"h2\"]"), "only if named");
    assert!(http3("protocols = [\"h3\"]") && http3("protocols = [\"h3\", \"h2\", \"http/1.1\"]"));
}

#[test]
fn both_families_may_listen_on_one_port() {
    let bound = |a: &str, b: &str| {
        let text = MINIMAL.replace("127.0.0.1:8080", a);
        complaints(&format!("{text}[[listener]]\nname = \"other\"\nbind = \"{b}\"\n")).len()
    };
    assert_eq!(bound("[::]:80", "0.0.0.0:80"), 0);
    assert_eq!(bound("127.0.0.1:0", "127.0.0.1:0"), 0);
    assert_eq!(bound("[::]:80", "[::]:80"), 1);
}

#[test]
fn status_codes_are_ranges() {
    let codes = |list: &str| {
        let text = MINIMAL
            .replace("[pool.a]", &format!("[probe.p]\nexpect_status = {list}\n[pool.a]\nprobe = \"p\""));
        accepted(&text).pools[0].probe.clone().unwrap().expect_status
    };
    assert_eq!(codes("[\"200\", \"3xx\", \"400-404\"]"), [(200, 200), (300, 399), (400, 404)]);
}

#[test]
fn a_pool_overrides_single_keys_of_eject() {
    let text = minimal(
        "[pool.b]\nendpoints = [{ address = \"b:1\" }]\n[pool.b.eject]\nbase = \"90s\"\n[eject]\nmax = \"2m\"\nmin_requests = 7",
    );
    let pools = accepted(&text).topology.pools;
    let seen = |nth: usize| {
        (pools[nth].eject.base.as_secs(), pools[nth].eject.max.as_secs(), pools[nth].eject.min_requests)
    };
    assert_eq!([seen(0), seen(1)], [(2, 120, 7), (90, 120, 7)]);
}

#[test]
fn a_pool_overrides_the_panic_threshold() {
    let text = minimal(
        "[pool.b]\nendpoints = [{ address = \"b:1\" }]\n[pool.b.eject]\npanic_threshold = 0.25\n[eject]\npanic_threshold = 0.75",
    );
    let thresholds: Vec<_> = accepted(&text).topology.pools.iter().map(|pool| pool.panic_threshold).collect();
    assert_eq!(thresholds, [0.75, 0.25]);
}

#[test]
fn zero_is_no_limit_for_uploads() {
    let text = MINIMAL.replace("[route.r]", "[route.r]\nbody_bytes = \"0\"");
    assert_eq!(accepted(&text).routes[0].body_bytes, None);
}

#[test]
fn damping_is_on_unless_it_is_turned_off() {
    let damping = |keys: &str| route("failover", THREE, keys).damping;
    assert_eq!(damping(""), Some(DampingRules::default()));
    assert_eq!(damping("damping = { suppress = 0 }"), None);
    let given =
        damping("damping = { penalty = 2.0, suppress = 5, reuse = 0.5, half_life = \"1m\", max = \"1h\" }");
    let (half_life, max) = (Duration::from_secs(60), Duration::from_secs(3600));
    assert_eq!(given, Some(DampingRules { penalty: 2.0, suppress: 5.0, reuse: 0.5, half_life, max }));
}

#[test]
fn a_queue_is_for_the_shell_and_warns_without_a_cap() {
    let queue = |cap: u32| {
        minimal(&format!(
            "[pool.q]\nendpoints = [{{ address = \"q:1\" }}]\nmax_in_flight = {cap}\nqueue = {{ size = 9, timeout = \"2s\" }}"
        ))
    };
    let settings = QueueSettings { size: 9, timeout: Duration::from_secs(2) };
    assert_eq!(accepted(&queue(3)).pools[1].queue, settings);
    assert_eq!(accepted(MINIMAL).pools[0].queue.size, 0);
    let found = warnings(&queue(0));
    assert!(found.len() == 1 && found[0].contains("there is no `max_in_flight`"), "{found:?}");
}

#[test]
fn a_pool_with_a_capacity_has_a_queue_unless_it_says_otherwise() {
    let check = |queue: &str, size: u64, timeout_ms: u64| {
        let pool = format!("[pool.q]\nendpoints = [{{ address = \"q:1\" }}]\ncapacity = 305\n{queue}");
        let expected = QueueSettings { size, timeout: Duration::from_millis(timeout_ms) };
        assert_eq!(accepted(&minimal(&pool)).pools[1].queue, expected, "{queue}");
        assert_eq!(warnings(&minimal(&pool)), Vec::<String>::new(), "{queue}");
    };
    check("", 31, 150);
    check("queue = { size = 0 }", 0, 1000);
    check("queue = { size = 9 }", 9, 1000);
    check("queue = { timeout = \"70ms\" }", 31, 70);
}

#[test]
fn affinity_is_rules_for_the_core_and_keys_for_the_shell() {
    let with = |affinity: &str| accepted(&format!("{MINIMAL}affinity = {affinity}\n"));
    let rules = |affinity: &str| with(affinity).topology.routes[0].affinity;
    assert_eq!(rules("{ mode = \"none\", key_file = \"affinity.key\" }"), None);
    for (word, on_failure) in
        [("return", OnFailure::Return), ("stick", OnFailure::Stick), ("none", OnFailure::Refuse)]
    {
        let by_cookie =
            format!("{{ mode = \"cookie\", key_file = \"affinity.key\", on_failure = \"{word}\" }}");
        assert_eq!(rules(&by_cookie), Some(Affinity { by: ClientMark::Cookie, on_failure }));
    }
    let by_address = Affinity { by: ClientMark::Address, on_failure: OnFailure::Return };
    assert_eq!(rules("{ mode = \"client-ip\" }"), Some(by_address));
    let config = with("{ mode = \"cookie\", cookie = \"c\", key_file = \"affinity.key\", ttl = \"1h\" }");
    let cookie = config.routes[0].cookie.clone().unwrap();
    assert_eq!((&*cookie.name, cookie.ttl), ("c", Duration::from_secs(3600)));
    assert_eq!(cookie.keys, [CookieKey((0..32).collect())]);
    assert_eq!(format!("{:?}", cookie.keys), "[CookieKey(…)]", "no key in any log");
    assert!(config.files.iter().any(|file| file.ends_with("affinity.key")), "watched");
    assert_eq!(with("{ mode = \"client-ip\" }").routes[0].cookie, None);
}

#[test]
fn a_key_file_is_judged_line_by_line() {
    let one = |file: &str, expected: &str| {
        let text = MINIMAL.to_owned() + "affinity = { mode = \"cookie\", key_file = \"k\" }\n";
        let files = named_files().with("t.toml", text).with("k", file);
        let found: Vec<String> = match load_with(Path::new("t.toml"), &env, &files) {
            Ok(_) => Vec::new(),
            Err(errors) => errors.0.iter().map(ToString::to_string).collect(),
        };
        match expected {
            "" => assert_eq!(found, [""; 0], "{file:?}"),
            part => assert!(found.len() == 1 && found[0].contains(part), "{file:?}: {found:?}"),
        }
    };
    let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    one(key, "");
    one(&format!("# first\n\n  {key}  \r\n{key}\n"), "");
    one("", "route.r.affinity.key_file: the file k holds no key");
    one(&format!("{key}\nAAEC\n"), "line 2 of k has 3 bytes");
    one("secret", "line 1 of k is not base64");
    one(&format!("{key}\n").repeat(17), "holds more than 16 keys");
}

#[test]
fn what_is_worth_a_look_warns() {
    for (more, part) in [
        ("[probe.p]\ninterval = \"100ms\"", "probe.p.interval: `timeout` is longer"),
        (
            "[pool.b]\nendpoints = [{ address = \"b:1\", tls = { verify = false } }]",
            "tls.verify: anyone can pose",
        ),
        (
            "[route.w]\nhosts = [\"w\"]\npolicy = \"weighted\"\npools = [{ pool = \"a\", weight = 0 }]",
            "every weight is 0",
        ),
    ] {
        let found = warnings(&minimal(more));
        assert!(found.len() == 1 && found[0].contains(part), "{found:?}");
    }
}

#[test]
fn an_error_is_json_with_six_members() {
    let errors = read(&MINIMAL.replace("8080", "x")).unwrap_err();
    let json = serde_json::to_value(&errors).unwrap();
    assert_eq!(json, errors.to_json());
    let keys: Vec<_> = json[0].as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys, ["column", "file", "hint", "line", "path", "problem"]);
    assert_eq!((&json[0]["line"], &json[0]["file"]), (&4.into(), &"t.toml".into()));
}

#[test]
fn a_route_that_writes_no_key_is_the_default_of_the_core() {
    let config = accepted(MINIMAL);
    let Route { name, pools, .. } = config.topology.routes[0].clone();
    assert_eq!(config.topology.routes[0], Route { name, pools, ..Route::default() });
}

#[test]
fn a_latched_failover_without_a_state_dir_is_a_warning() {
    let latched = minimal("failback = { mode = \"latched\" }\n");
    let warning = "t.toml:11:21 route.r.failback.mode: a restart ends a latched failover while `state_dir` is empty \
        ([edge] state_dir = \"/var/lib/thalweg\")";
    assert_eq!(warnings(&latched), [warning]);
    assert_eq!(warnings(&format!("{latched}[edge]\nstate_dir = \"state\"\n")), [""; 0]);
}
