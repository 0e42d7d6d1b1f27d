//! Sessions that are resumed: by every worker, after a reload, never under other demands on the client; and towards
//! endpoints.

mod common;

use common::{
    server::{self, Server},
    tls_site::{LONG, SOON, Site, ask},
};
use rustls::{
    HandshakeKind,
    version::{TLS12, TLS13},
};
use thalweg_testkit::{Authority, Conf, Edge, Scratch, eventually, free_port, get, skip};

const FULL: Result<(HandshakeKind, u16), String> = Ok((HandshakeKind::Full, 200));
const RESUMED: Result<(HandshakeKind, u16), String> = Ok((HandshakeKind::Resumed, 200));

#[test]
fn a_session_is_resumed_by_every_worker_and_after_a_reload() {
    let mut site = Site::start("");
    let leaf = site.clients.client("one", 7, LONG);
    for versions in [&[&TLS12], &[&TLS13]] {
        for (listener, config) in [("any", site.without(versions)), ("secure", site.with(&leaf, versions))] {
            let addr = site.edge.addr(listener);
            assert_eq!(ask(addr, &config, ""), FULL);
            // The kernel spreads connections over the sockets of both workers.
            for nth in 0..16 {
                assert_eq!(ask(addr, &config, ""), RESUMED, "{listener} {versions:?} {nth}");
            }
            let conf = site.conf.clone().raw(&format!("# {listener} {versions:?}\n[log]\nlevel = \"debug\""));
            let text = site.edge.render(&conf);
            site.edge.replace(&text);
            assert_eq!(site.edge.reload().status, 200);
            assert_eq!(ask(addr, &config, ""), RESUMED, "{listener} {versions:?} after a reload");
        }
    }
    // The endpoint is told of the certificate of a resumed session, too.
    assert!(site.endpoint.requests().last().is_some_and(|seen| seen.header("client-cert").is_some()));
}

#[test]
fn a_session_of_one_listener_counts_on_another_only_if_that_demands_the_same() {
    let site = Site::start("");
    let leaf = site.clients.client("one", 7, LONG);
    for versions in [&[&TLS12], &[&TLS13]] {
        for (from, to, resumes) in [
            ("secure", "second", true),
            ("any", "secure", false),
            ("open", "secure", false),
            ("secure", "open", false),
            ("secure", "any", false),
            ("any", "open", false),
        ] {
            let config = site.with(&leaf, versions);
            assert_eq!(ask(site.edge.addr(from), &config, ""), FULL);
            let expected = if resumes { RESUMED } else { FULL };
            assert_eq!(ask(site.edge.addr(to), &config, ""), expected, "{from} to {to}, {versions:?}");
        }
        for from in ["any", "open"] {
            let config = site.without(versions);
            assert_eq!(ask(site.edge.addr(from), &config, ""), FULL);
            ask(site.edge.addr("secure"), &config, "")
                .expect_err("a session without a certificate is none here");
        }
    }
}

#[test]
fn a_session_ends_with_the_trust_in_its_certificate() {
    let site = Site::start("");
    let (leaf, addr) = (site.clients.client("one", 7, LONG), site.edge.addr("secure"));
    let config = site.with(&leaf, &[&TLS13]);
    assert_eq!(ask(addr, &config, ""), FULL);
    site.edge.scratch().write("clients.pem", &Authority::new("others").pem);
    assert_eq!(site.edge.reload().status, 200);
    let refused = ask(addr, &config, "").expect_err("its authority is not listed any more");
    assert!(refused.contains("UnknownCA"), "{refused}");

    let site = Site::start("");
    let addr = site.edge.addr("secure");
    let config = site.with(&site.clients.client_for_seconds("brief", 8, 4), &[&TLS13]);
    assert_eq!(ask(addr, &config, ""), FULL);
    let mut answer = FULL;
    eventually("the certificate ends", SOON, || {
        answer = ask(addr, &config, "");
        answer.is_err()
    });
    let error = answer.expect_err("the certificate has ended");
    assert!(error.contains("Resumed"), "the session itself is refused: {error}");
    eventually("it is counted", SOON, || site.failures("secure", "certificate_expired") == 1.0);
}

/// An nginx that says whether the session of a request was resumed, and by which certificate the client is known.
fn nginx(scratch: &Scratch) -> Option<Server> {
    let port = free_port();
    let lines = "location / { add_header x-reused $ssl_session_reused always; return 200 nginx; }";
    Some(Server::start(server::nginx(scratch, port, lines)?, port, scratch))
}

#[test]
fn sessions_with_endpoints_are_resumed_apart_from_each_other_and_after_a_reload() {
    let root = Authority::new("root");
    let scratches = [Scratch::new(), Scratch::new()];
    let leaf = root.leaf(&["api.test"]);
    let mut servers = Vec::new();
    for scratch in &scratches {
        leaf.write(scratch, "site");
        let Some(server) = nginx(scratch) else {
            return skip("sessions with endpoints", "no nginx (apt-get install nginx-light)");
        };
        servers.push(server);
    }
    let tls = "tls = { sni = \"api.test\", ca = \"root.pem\" }";
    let mut conf = Conf::new().listener("web", "").file("root.pem", &root.pem);
    for (nth, server) in servers.iter().enumerate() {
        let lines = format!("{tls}\nkeepalive = {{ max_idle = 0 }}");
        let name = format!("p{nth}");
        let route = format!("path_prefix = \"/{nth}\"");
        conf =
            conf.pool(&name, &[server.addr], &lines).route(&format!("r{nth}"), "failover", &[&name], &route);
    }
    let mut edge = Edge::start(&conf.clone().edge("workers = 2"));
    let reused = |edge: &Edge, path: &str| {
        let reply = get(edge.web(), path);
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.header("x-reused").expect("nginx says it") == "r"
    };
    // The probes have begun a session with each server, whose keys the other does not have.
    for nth in 0..16 {
        assert!(reused(&edge, "/0") && reused(&edge, "/1"), "request {nth}");
    }
    let text = edge.render(&conf.edge("workers = 2").raw("[log]\nlevel = \"debug\""));
    edge.replace(&text);
    assert_eq!(edge.reload().status, 200);
    assert!(reused(&edge, "/0") && reused(&edge, "/1"), "a reload keeps the sessions");
}
