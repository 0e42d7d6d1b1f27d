//! The commonest mistakes and the exact lines that each prints. Change a text here only on purpose.
#![expect(clippy::too_many_lines, reason = "tables of cases")]

mod support;

use support::{MINIMAL, complaints, minimal};

fn check(text: &str, expected: &[&str]) {
    assert_eq!(complaints(text), expected, "\n{text}");
}

#[test]
fn an_empty_file_names_what_it_lacks() {
    check(
        "",
        &[
            "t.toml:1:1: `version` is missing (the first line is `version = 1`)",
            "t.toml:1:1 listener: there is no listener (write [[listener]])",
            "t.toml:1:1 pool: there is no pool (write [pool.NAME])",
            "t.toml:1:1 route: there is no route (write [route.NAME])",
        ],
    );
}

#[test]
fn a_header_without_anything_under_it_is_none() {
    check(
        "version = 1\n[pool]\n[route]\n[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:80\"\n",
        &[
            "t.toml:7:1 pool: there is no pool (write [pool.NAME])",
            "t.toml:7:1 route: there is no route (write [route.NAME])",
        ],
    );
}

#[test]
fn one_edit_of_the_least_config() {
    let cases: &[(&str, &str, &[&str])] = &[
        ("version = 1\n", "", &["t.toml:1:1: `version` is missing (the first line is `version = 1`)"]),
        (
            "policy = \"failover\"\n",
            "",
            &["t.toml:7:1 route.r: `policy` is missing (\"failover\", \"weighted\", \"latency\", \"geo\")"],
        ),
        (
            "pool = \"a\"",
            "pool = \"b\"",
            &["t.toml:9:19 route.r.pools[0].pool: there is no pool \"b\" (did you mean `a`?)"],
        ),
        (
            "[pool.a]",
            "[pools.a]",
            &[
                "t.toml:5:2 pools: unknown key (did you mean `pool`?)",
                "t.toml:9:19 route.r.pools[0].pool: there is no pool \"a\" (write [pool.a], or name one that exists)",
                "t.toml:10:1 pool: there is no pool (write [pool.NAME])",
            ],
        ),
        (
            "127.0.0.1:8080",
            "localhost:8080",
            &[
                "t.toml:4:8 listener.web.bind: \"localhost:8080\" is not an IP address and a port (\"127.0.0.1:8080\")",
            ],
        ),
        (
            "\"127.0.0.1:8080\"",
            "8080",
            &["t.toml:4:8 listener.web.bind: must be a string, not an integer (in quotes: \"8080\")"],
        ),
        (
            "10.0.0.1:8000",
            "10.0.0.1",
            &[
                "t.toml:6:26 pool.a.endpoints[0].address: \"10.0.0.1\" has no port (the port is mandatory: \"10.0.0.1:8000\")",
            ],
        ),
        (
            "10.0.0.1:8000",
            "http://10.0.0.1:8000/",
            &["t.toml:6:26 pool.a.endpoints[0].address: is a URL (host and port only: \"10.0.0.1:8000\")"],
        ),
        (
            "10.0.0.1:8000",
            "10.0.1:80",
            &[
                "t.toml:6:26 pool.a.endpoints[0].address: \"10.0.1\" is not a host name: its last part is a number, and it is no IP address",
            ],
        ),
        (
            "{ address = \"10.0.0.1:8000\" }",
            "\"10.0.0.1:8000\"",
            &[
                "t.toml:6:14 pool.a.endpoints[0]: must be a table, not a string ({ address = \"10.0.0.1:8000\" })",
            ],
        ),
        (
            "{ address = \"10.0.0.1:8000\" }",
            "{ address = \"10.0.0.1:8000\", family = \"ipv6\" }",
            &[
                "t.toml:6:52 pool.a.endpoints[0].family: 10.0.0.1 has another family (an IP address needs no `family`)",
            ],
        ),
        (
            "[{ pool = \"a\" }]",
            "[\"a\"]",
            &["t.toml:9:10 route.r.pools[0]: must be a table, not a string ({ pool = \"a\" })"],
        ),
        (
            "\"failover\"",
            "\"fail-over\"",
            &[
                "t.toml:8:10 route.r.policy: \"fail-over\" is not one of the choices (did you mean `failover`?)",
            ],
        ),
        (
            "\"failover\"",
            "failover",
            &["t.toml:8:10: is not a TOML value (a string stands in quotes: \"…\")"],
        ),
        (
            "\"web\"",
            "\"\"",
            &[
                "t.toml:3:8 listener[0].name: is blank (1–63 of [A-Za-z0-9._-], first a letter, digit or _, or leave the key out)",
            ],
        ),
        (
            "{ pool = \"a\" }",
            "{ pool = \"a\" }, { pool = \"a\" }",
            &[
                "t.toml:9:35 route.r.pools[1].pool: the pool is written twice in this route, first at t.toml:9:19 (each pool at most once)",
            ],
        ),
        (
            "[route.r]",
            "[route.r]\nhosts = []",
            &[
                "t.toml:8:9 route.r.hosts: is empty (write at least one, or leave the key out where it is optional)",
            ],
        ),
        (
            "10.0.0.1",
            "${BACKEND}",
            &[
                "t.toml:6:26 pool.a.endpoints[0].address: the environment variable BACKEND is not set (set it, or write ${BACKEND:-default})",
            ],
        ),
        (
            "10.0.0.1",
            "${EVIL}",
            &[
                "t.toml:6:26 pool.a.endpoints[0].address: \"\\\"\\n[admin]\\n${REGION}\" is not a host name: it holds the character '\\\"'",
            ],
        ),
        (
            "bind = ",
            "protocols = [\"h2\"]\nbind = ",
            &[
                "t.toml:4:14 listener.web.protocols[0]: \"h2\" needs TLS, on a listener without (\"h2c\", or add [listener.tls])",
            ],
        ),
    ];
    for (from, to, expected) in cases {
        check(&MINIMAL.replace(from, to), expected);
    }
}

/// The line is the fifteenth.
#[test]
fn one_line_in_a_route() {
    let cases: &[(&str, &str)] = &[
        (
            "retries = 1",
            "t.toml:15:1 route.api.retries: unknown key (the keys here are hosts, path_prefix, policy, pools, geo, latency, timeouts, retry, failback, damping, affinity, overprovision, body_bytes)",
        ),
        ("retrys = {}", "t.toml:15:1 route.api.retrys: unknown key (did you mean `retry`?)"),
        (
            "timeouts = { connect = 1 }",
            "t.toml:15:24 route.api.timeouts.connect: must be a duration string, not an integer (with a unit: \"1ms\" or \"1s\")",
        ),
        (
            "timeouts = { connect = \"1\" }",
            "t.toml:15:24 route.api.timeouts.connect: \"1\" is not a duration (the unit is missing: \"1ms\" or \"1s\")",
        ),
        (
            "timeouts = { connect = \"1.5s\" }",
            "t.toml:15:24 route.api.timeouts.connect: \"1.5s\" is not a duration (a whole number and a unit: \"300ms\", \"1s\", \"5m\", \"1h\")",
        ),
        (
            "timeouts = { total = \"48h\" }",
            "t.toml:15:22 route.api.timeouts.total: is more than 24h (1ms to 24h)",
        ),
        (
            "timeouts = { conect = \"1s\" }",
            "t.toml:15:14 route.api.timeouts.conect: unknown key (did you mean `connect`?)",
        ),
        (
            "body_bytes = 1024",
            "t.toml:15:14 route.api.body_bytes: must be a size string, not an integer (with a unit: \"1024B\" or \"1024KiB\")",
        ),
        (
            "body_bytes = \"10MB\"",
            "t.toml:15:14 route.api.body_bytes: \"10MB\" is not a size (a whole number and a unit: \"512B\", \"16KiB\", \"10MiB\", \"1GiB\", or \"0\")",
        ),
        ("retry = { attempts = -1 }", "t.toml:15:22 route.api.retry.attempts: -1 is out of range (0 to 10)"),
        (
            "retry = { on = [\"5XX\"] }",
            "t.toml:15:17 route.api.retry.on[0]: \"5XX\" is not one of the choices (did you mean `5xx`?)",
        ),
        (
            "retry = { on = \"connect\" }",
            "t.toml:15:16 route.api.retry.on: must be a list, not a string (in brackets: [\"connect\"])",
        ),
        ("overprovision = 0.5", "t.toml:15:17 route.api.overprovision: 0.5 is out of range (1 to 100)"),
        (
            "path_prefix = \"api\"",
            "t.toml:15:15 route.api.path_prefix: \"api\" does not start with / (\"/api\")",
        ),
        (
            "path_prefix = \"/a?b\"",
            "t.toml:15:15 route.api.path_prefix: holds a query or fragment (the path only)",
        ),
        (
            "failback = \"hold\"",
            "t.toml:15:12 route.api.failback: must be a table, not a string (a table: { mode = … })",
        ),
        (
            "affinity = { mode = \"cookie\" }",
            "t.toml:15:21 route.api.affinity.mode: \"cookie\" needs `key_file` (key_file = \"affinity.key\")",
        ),
    ];
    for (line, expected) in cases {
        let route = "[route.api]\nhosts = [\"h\"]\npolicy = \"failover\"\npools = [{ pool = \"a\" }]";
        check(&minimal(&format!("{route}\n{line}")), &[expected]);
    }
}

/// The first of the lines is the eleventh.
#[test]
fn some_lines_at_the_end() {
    let cases: &[(&str, &[&str])] = &[
        (
            "[pool.a]\nendpoints = [{ address = \"10.0.0.2:80\" }]",
            &["t.toml:11:7: `pool.a` is written twice (the first is in line 5)"],
        ),
        (
            "[pool.b]\nprobe = \"x\"\nendpoints = [{ address = \"10.0.0.2:80\" }]",
            &["t.toml:12:9 pool.b.probe: there is no probe \"x\" (write [probe.x], or name one that exists)"],
        ),
        (
            "[probe.fastapi]\n[pool.b]\nprobe = \"fast-api\"\nendpoints = [{ address = \"10.0.0.2:80\" }]",
            &["t.toml:13:9 pool.b.probe: there is no probe \"fast-api\" (did you mean `fastapi`?)"],
        ),
        (
            "[pool.b]\nendpoints = [{ address = \"a:80\" }, { address = \"A.:80\" }]",
            &[
                "t.toml:12:48 pool.b.endpoints[1].address: is written twice in this pool, first at t.toml:12:26 (use `weight` to give an endpoint more)",
            ],
        ),
        ("[pool.b]", &["t.toml:11:1 pool.b: `endpoints` is missing (a list: [{ address = … }, …])"]),
        (
            "[pool.b]\nendpoints = [{ address = \"a:443\", tls = true }]",
            &["t.toml:12:41 pool.b.endpoints[0].tls: must be a table, not a boolean ({} for all defaults)"],
        ),
        (
            "[pool.b]\nendpoints = [{ address = \"a:443\", tls = { ca = \"nope.pem\" } }]",
            &[
                "t.toml:12:48 pool.b.endpoints[0].tls.ca: the file nope.pem does not exist (paths are relative to the file that names them)",
            ],
        ),
        (
            "[probe.x]\nexpect_status = [200]",
            &["t.toml:12:18 probe.x.expect_status[0]: must be a string, not an integer (in quotes: \"200\")"],
        ),
        (
            "[probe.x]\nexpect_status = [\"2x\"]",
            &[
                "t.toml:12:18 probe.x.expect_status[0]: \"2x\" is not a status code, class or range (\"204\", \"2xx\" or \"200-299\")",
            ],
        ),
        (
            "[probe.x]\nexpect_status = [\"299-200\"]",
            &["t.toml:12:18 probe.x.expect_status[0]: \"299-200\" is an empty range (\"200-299\")"],
        ),
        (
            "[probe.x]\nheaders = { Host = \"a\" }",
            &["t.toml:12:13 probe.x.headers.Host: this header is not yours to set (the key `host` sets it)"],
        ),
        (
            "[probe.x]\nmethod = \"HEAD\"\nexpect_json = { a = 1 }",
            &["t.toml:13:15 probe.x.expect_json: an answer to HEAD has no body (method = \"GET\")"],
        ),
        (
            "[probe.x]\nmethod = \"HEAD\"\nweight_from_body = true",
            &["t.toml:13:20 probe.x.weight_from_body: an answer to HEAD has no body (method = \"GET\")"],
        ),
        (
            "[probe.x]\nexpect_json = { a = { b = 1 } }",
            &[
                "t.toml:12:21 probe.x.expect_json.a: must be a string, number or boolean, not a table (a string, number or boolean, or a list of such)",
            ],
        ),
        (
            "[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:8080\"",
            &[
                "t.toml:12:8 listener.web.name: the name \"web\" is taken at t.toml:3:8 (names are unique)",
                "t.toml:13:8 listener.web.bind: 127.0.0.1:8080 is taken by listener web at t.toml:4:8 (one listener per address)",
            ],
        ),
        (
            "[[listener]]\nname = \"s\"\nbind = \"127.0.0.1:9900\"",
            &[
                "t.toml:13:8 listener.s.bind: 127.0.0.1:9900 is taken by the admin API by default (one listener per address)",
            ],
        ),
        (
            "[[listener]]\nname = \"s\"\nbind = \"127.0.0.1:1\"\nprotocols = [\"h2\"]",
            &[
                "t.toml:14:14 listener.s.protocols[0]: \"h2\" needs TLS, on a listener without (\"h2c\", or add [listener.tls])",
            ],
        ),
        (
            "[[listener]]\nname = \"s\"\nbind = \"127.0.0.1:1\"\nprotocols = [\"h2c\"]\ntls = { certificates = [{ cert = \"tls/site.crt\", key = \"nope.key\" }] }",
            &[
                "t.toml:14:14 listener.s.protocols[0]: \"h2c\" is HTTP/2 without TLS, on a listener with TLS (\"h2\")",
                "t.toml:15:56 listener.s.tls.certificates[0].key: the file nope.key does not exist (paths are relative to the file that names them)",
            ],
        ),
        (
            "[[listener]]\nname = \"s\"\nbind = \"127.0.0.1:1\"\ntls = {}",
            &["t.toml:14:7 listener.s.tls: `certificates` is missing (a list: [{ cert = … }, …])"],
        ),
        (
            "[route.s]\npolicy = \"failover\"\npools = [{ pool = \"a\" }]",
            &[
                "t.toml:11:8 route.s: any host with / is taken by route r at t.toml:7:8 (one of the two could never match: change a host or a path_prefix)",
            ],
        ),
        (
            "[route.s]\nhosts = [\"A.com\", \"a.com.\"]\npolicy = \"failover\"\npools = [{ pool = \"a\" }]",
            &["t.toml:12:19 route.s.hosts[1]: the host a.com is written twice, first at t.toml:12:10"],
        ),
        (
            "[admin]\ntoken_file = \"nope\"",
            &[
                "t.toml:12:14 admin.token_file: the file nope does not exist (paths are relative to the file that names them)",
            ],
        ),
        (
            "[resolver]\nttl_min = \"10m\"",
            &["t.toml:12:11 resolver.ttl_min: `ttl_min` is longer than `ttl_max` (a floor under a ceiling)"],
        ),
        (
            "[resolver]\nnameservers = [\"dns.example.com\"]",
            &[
                "t.toml:12:16 resolver.nameservers[0]: \"dns.example.com\" is not an IP address (\"9.9.9.9\", \"9.9.9.9:53\", \"[2620:fe::fe]:53\")",
            ],
        ),
        (
            "[edge]\nregion = \"eu west\"",
            &["t.toml:12:10 edge.region: \"eu west\" holds the character ' ' (1–63 of [A-Za-z0-9._-])"],
        ),
        (
            "[log]\nlevel = \"warning\"",
            &["t.toml:12:9 log.level: \"warning\" is not one of the choices (did you mean `warn`?)"],
        ),
        (
            "[limits]\nheader_bytes = \"0\"",
            &["t.toml:12:16 limits.header_bytes: is less than 1KiB (1KiB to 1MiB)"],
        ),
        (
            "[eject]\nbase = \"2m\"",
            &["t.toml:12:8 eject.base: `base` is longer than `max` (the first ejection within the longest)"],
        ),
        (
            "[route.d]\nhosts = [\"d\"]\npolicy = \"failover\"\npools = [{ pool = \"a\" }]\ndamping = { suppress = 1.0 }",
            &[
                "t.toml:15:24 route.d.damping.suppress: `reuse` is not below `suppress` (a penalty must fall before a pool is used again)",
            ],
        ),
        (
            "include = [\"x.toml\"]",
            &[
                "t.toml:11:1 route.r.include: unknown key (`include` stands at the top of the file, before the first table)",
            ],
        ),
        (
            "[edge]\ninclude = 1",
            &[
                "t.toml:12:1 edge.include: unknown key (`include` stands at the top of the file, before the first table)",
            ],
        ),
    ];
    for (more, expected) in cases {
        check(&minimal(more), expected);
    }
}
