//! Probes that ask no HTTP: gRPC health checks of a real server, and TCP connects.

mod common;

use std::{net::TcpListener, process::Command, time::Duration};

use common::server::Server;
use thalweg_testkit::{
    Authority, Conf, Edge, Endpoint, Scratch, eventually, free_port, python, server_config, skip, thalweg,
};

const SOON: Duration = Duration::from_secs(15);
const PACE: &str = "interval = \"50ms\"\ntimeout = \"5s\"\nconfirm = \"10ms\"\nrise = 1\nfall = 1";

/// A gRPC server whose health follows a file with lines `SERVICE STATE`; without the file it serves no health service.
const GRPC: &str = r#"
import pathlib, sys, time
from concurrent import futures
import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

port, states, tls = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3] == "tls"
server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
known = health.HealthServicer()
if states.exists():
    health_pb2_grpc.add_HealthServicer_to_server(known, server)
if tls:
    read = lambda name: pathlib.Path(name).read_bytes()
    pairs = [(read("site.key"), read("site.crt"))]
    trust = grpc.ssl_server_credentials(pairs, read("clients.pem"), require_client_auth=True)
    server.add_secure_port(f"127.0.0.1:{port}", trust)
else:
    server.add_insecure_port(f"127.0.0.1:{port}")
server.start()
while True:
    if states.exists():
        for line in states.read_text().splitlines():
            service, state = line.split(" ")
            known.set(service, health_pb2.HealthCheckResponse.ServingStatus.Value(state))
    time.sleep(0.02)
"#;

/// Starts the server; `None`, and said so, if this machine cannot.
fn grpc(scratch: &Scratch, tls: &str) -> Option<Server> {
    let python = python("gRPC health checks")?;
    let has_grpc = Command::new(&python).args(["-c", "import grpc, grpc_health"]).output();
    if !has_grpc.is_ok_and(|done| done.status.success()) {
        skip("gRPC health checks", "no grpcio and grpcio-health-checking (make setup)");
        return None;
    }
    let port = free_port();
    let mut command = Command::new(python);
    command.arg(scratch.write("server.py", GRPC)).arg(port.to_string()).arg(scratch.join("states")).arg(tls);
    command.current_dir(scratch.path());
    Some(Server::start(command, port, scratch))
}

/// The state of the one endpoint of a pool, and what its last probe said.
fn probed(edge: &Edge, pool: &str) -> (String, String) {
    let status = edge.status();
    let pools = status["pools"].as_array().expect("pools").clone();
    let pool = pools.into_iter().find(|one| one["name"] == pool).expect("the pool");
    let endpoint = &pool["endpoints"][0];
    (endpoint["probe"].as_str().unwrap_or_default().to_owned(), endpoint["last_probe"].to_string())
}

fn until(edge: &Edge, pool: &str, state: &str, words: &str) {
    eventually(&format!("{pool} is {state} because of {words}"), SOON, || {
        let (now, said) = probed(edge, pool);
        now == state && said.contains(words)
    });
}

#[test]
fn only_a_serving_service_is_healthy() {
    let (scratch, bare) = (Scratch::new(), Scratch::new());
    scratch.write("states", " SERVING\nshop.Cart NOT_SERVING\nshop.Odd SERVICE_UNKNOWN\n");
    let (Some(server), Some(without)) = (grpc(&scratch, "clear"), grpc(&bare, "clear")) else { return };
    let web = Endpoint::start("web");
    let mut conf = Conf::new().listener("web", "").raw(common::PATIENT);
    let mut expected = Vec::new();
    for (pool, addr, service, state, words) in [
        ("whole", server.addr, "", "healthy", "ok"),
        ("cart", server.addr, "service = \"shop.Cart\"", "unhealthy", "gRPC health NOT_SERVING"),
        ("odd", server.addr, "service = \"shop.Odd\"", "unhealthy", "gRPC health SERVICE_UNKNOWN"),
        ("none", server.addr, "service = \"shop.None\"", "unhealthy", "gRPC status NOT_FOUND"),
        ("without", without.addr, "", "unhealthy", "gRPC status UNIMPLEMENTED"),
        ("http", web.addr(), "", "unhealthy", ""),
    ] {
        conf = conf
            .raw(&format!("[probe.{pool}]\nkind = \"grpc\"\n{service}\n{PACE}"))
            .pool(pool, &[addr], &format!("probe = \"{pool}\""))
            .route(pool, "failover", &[pool], &format!("path_prefix = \"/{pool}\""));
        expected.push((pool, state, words));
    }
    let edge = Edge::start(&conf);
    for (pool, state, words) in &expected {
        until(&edge, pool, state, words);
    }
    scratch.write("states", " NOT_SERVING\nshop.Cart SERVING\n");
    until(&edge, "cart", "healthy", "");
    until(&edge, "whole", "unhealthy", "gRPC health NOT_SERVING");
    drop(server);
    until(&edge, "cart", "unhealthy", "refused");
}

#[test]
fn a_grpc_probe_shows_the_certificate_of_traffic() {
    let (root, clients, scratch) = (Authority::new("root"), Authority::new("clients"), Scratch::new());
    root.leaf(&["api.test"]).write(&scratch, "site");
    scratch.write("clients.pem", &clients.pem);
    scratch.write("states", " SERVING\n");
    let Some(server) = grpc(&scratch, "tls") else { return };
    let one = clients.client("one", 1, common::tls_site::LONG);
    let mut conf = Conf::new()
        .listener("web", "")
        .file("root.pem", &root.pem)
        .file("one.crt", &one.cert_pem)
        .file("one.key", &one.key_pem)
        .raw(&format!("[probe.g]\nkind = \"grpc\"\n{PACE}"));
    for (pool, pair) in [("with", ", cert = \"one.crt\", key = \"one.key\""), ("without", "")] {
        let tls = format!("probe = \"g\"\ntls = {{ sni = \"api.test\", ca = \"root.pem\"{pair} }}");
        conf = conf.pool(pool, &[server.addr], &tls);
        conf = conf.route(pool, "failover", &[pool], &format!("path_prefix = \"/{pool}\""));
    }
    let edge = Edge::start(&conf);
    until(&edge, "with", "healthy", "");
    until(&edge, "without", "unhealthy", "");
}

#[test]
fn a_connection_is_all_that_a_tcp_probe_wants() {
    let root = Authority::new("root");
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let tls = Endpoint::start_tls("a", server_config(&root.leaf(&["api.test"])));
    let other = Endpoint::start_tls("b", server_config(&Authority::new("others").leaf(&["api.test"])));
    let settings = "probe = \"t\"\ntls = { sni = \"api.test\", ca = \"root.pem\" }";
    let mut conf = Conf::new()
        .listener("web", "")
        .file("root.pem", &root.pem)
        .raw(&format!("[probe.t]\nkind = \"tcp\"\n{PACE}"));
    let silent_addr = silent.local_addr().expect("an address");
    for (pool, addr, lines) in [
        ("silent", silent_addr, "probe = \"t\""),
        ("tls", tls.addr(), settings),
        ("other", other.addr(), settings),
    ] {
        conf = conf.pool(pool, &[addr], lines);
        conf = conf.route(pool, "failover", &[pool], &format!("path_prefix = \"/{pool}\""));
    }
    let edge = Edge::start(&conf);
    until(&edge, "silent", "healthy", "");
    until(&edge, "tls", "healthy", "");
    until(&edge, "other", "unhealthy", "tls_certificate");
    drop(silent);
    until(&edge, "silent", "unhealthy", "refused");
    assert_eq!(tls.probes(), 0, "no request is sent");
}

#[test]
fn keys_that_mean_nothing_for_a_kind_are_refused() {
    let scratch = Scratch::new();
    for (kind, key, fine) in [
        ("grpc", "service = \"a.B\"", true),
        ("grpc", "host = \"a.test\"", true),
        ("grpc", "path = \"/x\"", false),
        ("grpc", "expect_status = [\"200\"]", false),
        ("tcp", "port = 9", true),
        ("tcp", "path = \"/x\"", false),
        ("tcp", "service = \"a.B\"", false),
        ("tcp", "headers = { a = \"b\" }", false),
        ("http", "path = \"/x\"", true),
        ("http", "service = \"a.B\"", false),
    ] {
        let text = format!(
            "version = 1\n[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:0\"\n[probe.x]\nkind = \"{kind}\"\n{key}\n\
             [pool.p]\nprobe = \"x\"\nendpoints = [{{ address = \"127.0.0.1:9\" }}]\n\
             [route.r]\npolicy = \"failover\"\npools = [{{ pool = \"p\" }}]\n"
        );
        let file = scratch.write("thalweg.toml", text);
        let done = thalweg(&["check", "--config", &file.display().to_string()]);
        let said = format!("{}{}", done.stdout, done.stderr);
        assert_eq!(done.code == 0, fine, "{kind} {key}: {said}");
        let place = format!(":7:{} probe.x.", key.find('=').map_or(0, |at| at + 3));
        assert!(
            fine || (said.contains(&place) && said.contains("means nothing for a probe of kind")),
            "{place} {said}"
        );
    }
}
