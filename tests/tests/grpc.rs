//! gRPC through the edge: all four kinds of calls with real servers and clients, what a status says about its endpoint, a
//! region that is killed, and answers that the edge makes itself.

mod common;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::Full;
use thalweg_testkit::{
    Conf, Edge, H2, H2Endpoint, H2Reply, Reserved, Scratch, eventually, python, repository, skip,
};

const SOON: Duration = Duration::from_secs(20);

fn conf(endpoints: &[SocketAddr], policy: &str) -> Conf {
    let mut conf = Conf::new().listener("web", "").listener("clear", "protocols = [\"h2c\"]");
    let names: Vec<String> = (0..endpoints.len()).map(|nth| format!("p{nth}")).collect();
    for (name, addr) in names.iter().zip(endpoints) {
        conf = conf.pool(name, &[*addr], "# no probe\nprotocol = \"h2\"");
    }
    conf.route("all", policy, &names.iter().map(String::as_str).collect::<Vec<_>>(), "")
}

fn call(edge: &Edge, path: &str) -> H2Reply {
    let request = Request::post(format!("http://a.test{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(Bytes::from_static(b"\0\0\0\0\0")))
        .expect("a request");
    H2::connect_clear(edge.addr("clear")).and_then(|h2| h2.ask(request)).expect("an answer")
}

fn status(fields: &HeaderMap) -> Option<&str> {
    fields.get("grpc-status").map(|status| status.to_str().expect("text"))
}

/// The Python that has grpcio, if there is one.
fn grpc_python(scenario: &str) -> Option<PathBuf> {
    let path = python(scenario)?;
    let has = Command::new(&path).args(["-c", "import grpc"]).stderr(Stdio::null()).status();
    if has.is_ok_and(|status| status.success()) {
        return Some(path);
    }
    skip(scenario, "no Python with grpcio (make setup; THALWEG_PYTHON names another)");
    None
}

/// A server of `tests/grpc/server.py`.
struct Server {
    child: Child,
    reserved: Reserved,
    scratch: Scratch,
}

impl Server {
    fn start(python: &Path, name: &str) -> Self {
        let (reserved, scratch) = (Reserved::new(), Scratch::new());
        let child = Command::new(python)
            .arg(repository().join("tests/grpc/server.py"))
            .args([&reserved.addr().port().to_string(), name])
            .arg(scratch.join("calls.log"))
            .stdin(Stdio::null())
            .spawn()
            .expect("python can be started");
        let addr = reserved.addr();
        eventually("the server listens", SOON, || std::net::TcpStream::connect(addr).is_ok());
        Self { child, reserved, scratch }
    }

    fn kill(&mut self) {
        let _ended_already_is_fine = self.child.kill();
        let _status = self.child.wait();
    }

    fn calls(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.scratch.join("calls.log")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn client(python: &Path, edge: &Edge, args: &[&str]) -> Child {
    Command::new(python)
        .arg(repository().join("tests/grpc/client.py"))
        .arg(edge.addr("clear").to_string())
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python can be started")
}

/// What a client printed; panics if it failed.
fn said(child: Child) -> String {
    let out = child.wait_with_output().expect("our own child can be waited for");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(out.status.success(), "{}{}", text(&out.stdout), text(&out.stderr));
    text(&out.stdout)
}

#[test]
fn all_four_kinds_of_calls_pass() {
    let Some(python) = grpc_python("all_four_kinds_of_calls_pass") else { return };
    let server = Server::start(&python, "a");
    let edge = Edge::start(&conf(&[server.reserved.addr()], "failover"));
    let said = said(client(&python, &edge, &["kinds"]));
    for kind in [
        "unary",
        "server_stream",
        "client_stream",
        "bidi",
        "big",
        "not_found",
        "metadata",
        "cancel",
        "deadline",
    ] {
        assert!(said.contains(&format!("{kind} ok")), "{kind}: {said}");
    }
}

#[test]
fn a_killed_region_costs_no_call_that_may_be_sent_again() {
    let Some(python) = grpc_python("a_killed_region_costs_no_call_that_may_be_sent_again") else { return };
    let mut servers: Vec<Server> = ["a", "b", "c"].iter().map(|name| Server::start(&python, name)).collect();
    let addrs: Vec<SocketAddr> = servers.iter().map(|server| server.reserved.addr()).collect();
    let edge = Edge::start(&conf(&addrs, "weighted"));
    let calling = client(&python, &edge, &["load", "4", "600"]);
    eventually("all regions are called", SOON, || servers.iter().all(|server| server.calls().len() > 50));
    servers[0].kill();
    let said = said(calling);
    let figures: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    let failed = figures["failed"].as_array().expect("a list").clone();
    assert_eq!(figures["calls"], 2400);
    // Each of the four callers has one call in flight, and only those at the killed region may fail.
    assert!(failed.len() <= 4, "{said}");
    let reached: Vec<String> = servers.iter().flat_map(Server::calls).collect();
    let unique: std::collections::BTreeSet<&String> = reached.iter().collect();
    assert_eq!(unique.len(), reached.len(), "no call reached two servers");
    assert!(unique.len() + failed.len() >= 2400, "every other call was answered");
}

#[test]
fn a_status_speaks_against_its_endpoint_only_if_the_endpoint_is_the_cause() {
    for (path, speaks) in [
        ("/grpc/14", true),
        ("/grpc-only/14", true),
        ("/grpc/13", true),
        ("/grpc-none", true),
        ("/grpc/5", false),
        ("/grpc-only/3", false),
        ("/grpc/4", false),
        ("/grpc/12", false),
        ("/grpc/0", false),
    ] {
        let (first, second) = (H2Endpoint::start("a"), H2Endpoint::start("b"));
        let edge = Edge::start(&conf(&[first.addr(), second.addr()], "failover"));
        for _ in 0..12 {
            let reply = call(&edge, path);
            assert_eq!(reply.status, 200);
        }
        if speaks {
            eventually(&format!("{path} ejects"), SOON, || {
                let _any = call(&edge, path);
                !edge.events_of("ejected").is_empty()
            });
        } else {
            assert_eq!(first.seen().len(), 12, "{path}: all calls stay where they were");
            assert!(edge.events_of("ejected").is_empty(), "{path}");
        }
        let outcome = match path {
            "/grpc-none" => "no_grpc_status",
            _ if speaks => "grpc_error",
            _ => "ok",
        };
        assert!(edge.metric("thalweg_endpoint_requests_total", &[("outcome", outcome)]) >= 3.0, "{path}");
    }
}

#[test]
fn a_status_comes_as_the_endpoint_sent_it() {
    let endpoint = H2Endpoint::start("a");
    let edge = Edge::start(&conf(&[endpoint.addr()], "failover"));
    let reply = call(&edge, "/grpc/5");
    assert_eq!((status(&reply.headers), reply.trailers.as_ref().and_then(status)), (None, Some("5")));
    let reply = call(&edge, "/grpc-only/5");
    assert_eq!((status(&reply.headers), reply.trailers), (Some("5"), None));
    let reply = call(&edge, "/grpc-none");
    assert_eq!((status(&reply.headers), reply.trailers), (None, None));
    eventually("a missing status is in the log", SOON, || edge.stdout().contains("no_grpc_status"));
}

#[test]
fn the_edges_own_answers_to_grpc_clients_are_trailers_alone() {
    let reserved = Reserved::new();
    let edge = Edge::start(&conf(&[reserved.addr()], "failover"));
    let reply = call(&edge, "/x");
    assert_eq!((reply.status, status(&reply.headers)), (200, Some("14")));
    assert_eq!(reply.headers["content-type"], "application/grpc");
    assert_eq!(reply.headers["grpc-message"], "connect_failed");
    assert!(reply.headers["proxy-status"].to_str().expect("text").contains("connect_failed"));
    assert!(
        reply.body.is_empty() && reply.trailers.is_none() && !reply.headers.contains_key("content-length")
    );
    eventually("log and metrics have the status of the failure", SOON, || {
        edge.stdout().contains("\"status\":502")
    });
}

#[test]
fn the_application_is_served_by_hypercorn_over_http_2() {
    let scenario = "the_application_is_served_by_hypercorn_over_http_2";
    let Some(python) = python(scenario) else { return };
    let has = Command::new(&python).args(["-c", "import hypercorn"]).stderr(Stdio::null()).status();
    if !has.is_ok_and(|status| status.success()) {
        return skip(scenario, "no Python with hypercorn (make setup; THALWEG_PYTHON names another)");
    }
    let reserved = Reserved::new();
    let child = Command::new(&python)
        .args(["-m", "hypercorn", "app.main:app", "--bind", &reserved.addr().to_string()])
        .current_dir(repository().join("app"))
        .env("REGION", "us-east-1")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("python can be started");
    let server = Server { child, reserved, scratch: Scratch::new() };
    let addr = server.reserved.addr();
    eventually("hypercorn listens", SOON, || std::net::TcpStream::connect(addr).is_ok());
    // Probes speak HTTP/1.1, which hypercorn does beside HTTP/2.
    let pool =
        format!("[pool.p0]\nprotocol = \"h2\"\nprobe = \"fast\"\nendpoints = [{{ address = \"{addr}\" }}]");
    let conf = Conf::new().listener("web", "").raw(&pool).route("all", "failover", &["p0"], "");
    let edge = Edge::start(&conf);
    edge.until_up(1);
    let mut client = thalweg_testkit::Client::connect(edge.web());
    for _ in 0..50 {
        let reply = client.get("/");
        assert_eq!((reply.status, reply.json()["region"].as_str()), (200, Some("us-east-1")));
    }
    assert_eq!(client.get("/nothing-there").status, 404);
    let posted = client.ask("POST", "/hello", "content-type: text/plain\r\n", &[b'x'; 100_000]);
    assert_eq!(posted.expect("an answer").status, 405);
}
