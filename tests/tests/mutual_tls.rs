//! Certificates that the edge shows to endpoints: to real servers that demand one, from requests and probes, and after
//! a reload.

mod common;

use std::{process::Command, time::Duration};

use common::{
    server::{self, Server, program},
    tls_site::{LONG, SOON},
};
use thalweg_testkit::{Authority, Conf, Edge, Scratch, eventually, free_port, get, skip, thalweg};

/// Starts a server that demands a certificate of `clients.pem` and answers with its subject.
type Start = fn(&Scratch, u16) -> Option<Command>;

fn nginx(scratch: &Scratch, port: u16) -> Option<Command> {
    let lines = "ssl_client_certificate clients.pem;\nssl_verify_client on;\n\
                 location / { add_header x-subject $ssl_client_s_dn always; return 200 nginx; }";
    server::nginx(scratch, port, lines)
}

fn haproxy(scratch: &Scratch, port: u16) -> Option<Command> {
    let conf = scratch.write(
        "haproxy.cfg",
        format!(
            "defaults\n  mode http\n  timeout client 30s\n  timeout connect 5s\n  timeout server 30s\nfrontend f\n  \
             bind 127.0.0.1:{port} ssl crt {0}/both.pem ca-file {0}/clients.pem verify required\n  \
             http-request return status 200 content-type text/plain string haproxy hdr x-subject %[ssl_c_s_dn]\n",
            scratch.path().display()
        ),
    );
    let mut command = Command::new(program("haproxy")?);
    command.arg("-db").arg("-f").arg(conf);
    Some(command)
}

fn python(scratch: &Scratch, port: u16) -> Option<Command> {
    let script = scratch.write(
        "server.py",
        format!(
            "import http.server, ssl\n\
             class Answer(http.server.BaseHTTPRequestHandler):\n    \
             protocol_version = 'HTTP/1.1'\n    \
             def do_GET(self):\n        \
             names = dict(pair for part in self.connection.getpeercert()['subject'] for pair in part)\n        \
             self.send_response(200)\n        \
             self.send_header('x-subject', 'CN=' + names['commonName'])\n        \
             self.send_header('content-length', '0')\n        \
             self.end_headers()\n\
             context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\n\
             context.load_cert_chain('site.crt', 'site.key')\n\
             context.load_verify_locations('clients.pem')\n\
             context.verify_mode = ssl.CERT_REQUIRED\n\
             server = http.server.ThreadingHTTPServer(('127.0.0.1', {port}), Answer)\n\
             server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)\n\
             server.serve_forever()\n"
        ),
    );
    let mut command = Command::new(program("python3")?);
    command.arg(script).current_dir(scratch.path());
    Some(command)
}

/// One pool per server: `with` shows a certificate, `without` has none, `other` shows one that the server does not know.
fn check(name: &str, start: Start) {
    let (root, clients, scratch) = (Authority::new("root"), Authority::new("clients"), Scratch::new());
    let site = root.leaf(&["api.test"]);
    site.write(&scratch, "site");
    scratch.write("both.pem", format!("{}{}", site.cert_pem, site.key_pem));
    scratch.write("clients.pem", &clients.pem);
    let port = free_port();
    let Some(command) = start(&scratch, port) else {
        return skip(&format!("mutual TLS with {name}"), &format!("no {name} (apt-get install {name})"));
    };
    let server = Server::start(command, port, &scratch);
    let (one, two) = (clients.client("one", 1, LONG), clients.client("two", 2, LONG));
    let stranger = Authority::new("others").client("stranger", 3, LONG);
    let mut conf = Conf::new().listener("web", "").file("root.pem", &root.pem);
    for (file, leaf) in [("one", &one), ("other", &stranger)] {
        conf = conf.file(&format!("{file}.crt"), &leaf.cert_pem).file(&format!("{file}.key"), &leaf.key_pem);
    }
    let trust = "sni = \"api.test\", ca = \"root.pem\"";
    for (pool, pair) in [
        ("with", ", cert = \"one.crt\", key = \"one.key\""),
        ("without", ""),
        ("other", ", cert = \"other.crt\", key = \"other.key\""),
    ] {
        let route = format!("path_prefix = \"/{pool}\"");
        conf = conf.pool(pool, &[server.addr], &format!("tls = {{ {trust}{pair} }}\nprobe = \"p\""));
        conf = conf.route(pool, "failover", &[pool], &route);
    }
    let probe = "[probe.p]\npath = \"/\"\ninterval = \"100ms\"\ntimeout = \"5s\"\nrise = 1\nfall = 1";
    let edge = Edge::start(&conf.raw(probe).raw(common::PATIENT));
    let subject = || {
        let reply = get(edge.web(), "/with");
        assert_eq!(reply.status, 200, "{name}: {} {:?}", reply.text(), reply.header("proxy-status"));
        reply.header("x-subject").expect("a subject").to_owned()
    };
    assert!(subject().contains("CN=one"), "{name}: {}", subject());
    let probed = |pool: &str| {
        let status = edge.status();
        let pools = status["pools"].as_array().expect("pools").clone();
        let pool = pools.into_iter().find(|one| one["name"] == pool).expect("the pool");
        pool["endpoints"][0]["probe"].clone()
    };
    for (pool, expected) in [("with", "healthy"), ("without", "unhealthy"), ("other", "unhealthy")] {
        eventually(&format!("{name}: probes of {pool}"), SOON, || probed(pool) == expected);
    }
    for pool in ["without", "other"] {
        let reply = get(edge.web(), &format!("/{pool}"));
        // nginx finishes the handshake and says in HTTP what it misses.
        let said = reply.header("proxy-status").unwrap_or_default().to_owned();
        assert!(matches!(reply.status, 400 | 502), "{name} {pool}: {} {said}", reply.status);
        assert_ne!(
            reply.header("x-subject").map(|subject| subject.contains("CN=")),
            Some(true),
            "{name} {pool}"
        );
    }
    edge.scratch().write("one.crt", &two.cert_pem);
    edge.scratch().write("one.key", &two.key_pem);
    assert_eq!(edge.reload().status, 200);
    eventually(&format!("{name}: the new certificate is shown"), SOON, || subject().contains("CN=two"));
    for _ in 0..8 {
        assert!(subject().contains("CN=two"), "{name}: an old connection was pooled");
    }
    eventually(&format!("{name}: probes go on"), Duration::from_secs(10), || probed("with") == "healthy");
}

#[test]
fn nginx_gets_the_certificate_that_it_demands() {
    check("nginx", nginx);
}

#[test]
fn haproxy_gets_the_certificate_that_it_demands() {
    check("haproxy", haproxy);
}

#[test]
fn python_gets_the_certificate_that_it_demands() {
    check("python3", python);
}

#[test]
fn an_endpoint_overrides_single_keys_of_its_pool_and_mistakes_are_placed() {
    let scratch = Scratch::new();
    let authority = Authority::new("clients");
    authority.client("one", 1, LONG).write(&scratch, "one");
    authority.client("two", 2, LONG).write(&scratch, "two");
    let check = |pool: &str, endpoint: &str| {
        let text = format!(
            "version = 1\n[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:0\"\n[pool.p]\n{pool}\n\
             endpoints = [{{ address = \"127.0.0.1:9\"{endpoint} }}, {{ address = \"127.0.0.1:8\" }}]\n\
             [route.r]\npolicy = \"failover\"\npools = [{{ pool = \"p\" }}]\n"
        );
        let file = scratch.write("thalweg.toml", text);
        let done = thalweg(&["check", "--config", &file.display().to_string()]);
        format!("{}{}", done.stdout, done.stderr)
    };
    let pair = "cert = \"one.crt\", key = \"one.key\"";
    assert!(check(&format!("tls = {{ {pair} }}"), ", tls = { verify = false }").contains("is fine"));
    let mixed = check("tls = { cert = \"one.crt\", key = \"two.key\" }", "");
    assert_eq!(mixed.matches("does not fit its certificate").count(), 1, "once for the pool: {mixed}");
    assert!(mixed.contains(":6:") && mixed.contains("pool.p.tls.key"), "{mixed}");
    for (pool, endpoint, place) in [
        ("tls = { cert = \"one.crt\" }", "", "pool.p.tls.cert: `cert` is of no use without `key`"),
        (
            "",
            ", tls = { key = \"one.key\" }",
            "pool.p.endpoints[0].tls.key: `key` is of no use without `cert`",
        ),
        ("tls = { ca = \"none.pem\" }", "", "pool.p.tls.ca: "),
    ] {
        let said = check(pool, endpoint);
        assert_eq!(said.matches(place).count(), 1, "{said}");
    }
}
