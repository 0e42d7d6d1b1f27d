//! TLS that passes through to real servers: the name that the client asks for chooses the route, and the certificate is the
//! endpoint's. On a listener with `tls` it ends here.

use std::process::Command;

use thalweg_testkit::{Authority, Client, Endpoint, Scratch, client_config, server_config, skip};

use super::{
    common::server::{Server, nginx, program},
    *,
};

/// Two TLS servers with certificates of their own, and an edge in front that does not have them.
struct Sites {
    root: Authority,
    edge: Edge,
    first: Endpoint,
    _second: Option<Server>,
    scratch: Scratch,
}

/// The edge in front of `a.test`, served by rustls, and `b.test`, served by nginx where there is one.
fn sites() -> Sites {
    let (root, scratch, port) = (Authority::new("root"), Scratch::new(), free_port());
    let first = Endpoint::start_tls("a", server_config(&root.leaf(&["a.test"])));
    root.leaf(&["b.test"]).write(&scratch, "site");
    let second = nginx(&scratch, port, "location / { return 200 b; }")
        .map(|command| Server::start(command, port, &scratch));
    if second.is_none() {
        skip("nginx behind a tcp listener", "nginx is not installed");
    }
    let other = second.as_ref().map_or_else(nothing, |server| server.addr);
    let conf = Conf::new()
        .listener("web", TCP)
        .pool("p", &[first.addr()], "# no probe")
        .pool("q", &[other], "# no probe")
        .route("a", "failover", &["p"], "hosts = [\"a.test\"]")
        .route("b", "failover", &["q"], "hosts = [\"*.test\"]");
    Sites { edge: Edge::start(&conf), root, first, _second: second, scratch }
}

/// What curl gets for this host; it trusts the authority alone.
fn curl(sites: &Sites, host: &str) -> Option<String> {
    let curl = program("curl")?;
    let ca = sites.scratch.write("root.pem", &sites.root.pem);
    let output = Command::new(curl)
        .args(["-sS", "--noproxy", "*", "--max-time", "20", "--cacert"])
        .arg(ca)
        .args(["--connect-to", &format!("::{}", sites.edge.web()), &format!("https://{host}/")])
        .output()
        .expect("curl can be started");
    assert!(output.status.success(), "{host}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn curl_reaches_two_sites_by_their_names_and_sees_their_own_certificates() {
    let sites = sites();
    if curl(&sites, "a.test").is_none() {
        return skip("curl through a tcp listener", "curl is not installed");
    }
    assert_eq!(sites.first.hits(), 1);
    assert_eq!(sites.first.only().header("via"), None, "nothing of the stream is changed");
    let logged = line(&sites.edge);
    assert_eq!((&logged["host"], &logged["route"]), (&"a.test".into(), &"a".into()), "{logged}");
    assert_eq!(logged["tls"], Value::Null, "TLS does not end here");
    if sites._second.is_some() {
        assert_eq!(curl(&sites, "b.test").as_deref(), Some("b"));
        assert_eq!(lines(&sites.edge, 2)[1]["route"], "b");
    }
}

#[test]
fn openssl_sees_the_certificate_of_the_name_and_nothing_for_another() {
    let Some(openssl) = program("openssl") else {
        return skip("openssl s_client through a tcp listener", "openssl is not installed");
    };
    let sites = sites();
    let subject = |name: &str| {
        let mut command = Command::new(&openssl);
        command.args(["s_client", "-connect", &sites.edge.web().to_string(), "-servername", name]);
        let output = command.stdin(std::process::Stdio::null()).output().expect("openssl can be started");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(subject("a.test").contains("BEGIN CERTIFICATE"));
    assert!(subject("A.TEST").contains("BEGIN CERTIFICATE"), "names have no case");
    assert!(!subject("a.example").contains("BEGIN CERTIFICATE"));
    let lines = lines(&sites.edge, 3);
    let other = lines.iter().find(|line| line["host"] == "a.example").expect("a line");
    assert_eq!(other["refusal"], "no_route");
}

#[test]
fn a_hello_in_single_bytes_finds_its_way() {
    let sites = sites();
    let addr = sites.edge.web();
    // A relay that passes one byte at a time for the first 600.
    let slow = server(move |client| {
        let Ok(edge) = TcpStream::connect(addr) else { return };
        let _ = edge.set_nodelay(true);
        let (mut from, mut to) = (edge.try_clone().expect("shared"), client.try_clone().expect("shared"));
        thread::spawn(move || std::io::copy(&mut from, &mut to));
        let (mut client, mut edge, mut byte) = (client, edge, [0]);
        for _ in 0..600 {
            if client.read_exact(&mut byte).is_err() || edge.write_all(&byte).is_err() {
                return;
            }
        }
        let _ = std::io::copy(&mut client, &mut edge);
    });
    let config = client_config(&sites.root, &["http/1.1"], &[&rustls::version::TLS13]);
    let (mut client, ..) = Client::connect_tls(slow, "a.test", &config).expect("a handshake");
    let padding = format!("x-padding: {}\r\n", "0".repeat(400));
    assert_eq!(client.ask("GET", "/", &padding, b"").expect("an answer").endpoint(), "a");
}

#[test]
fn tls_ends_at_a_listener_that_has_a_certificate() {
    let root = Authority::new("root");
    let leaf = root.leaf(&["a.test", "b.test"]);
    let pair = "certificates = [{ cert = \"a.crt\", key = \"a.key\" }]";
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let conf = Conf::new()
        .file("a.crt", &leaf.cert_pem)
        .file("a.key", &leaf.key_pem)
        .listener("web", &format!("{TCP}\n[listener.tls]\n{pair}"))
        .pool("p", &[first.addr()], "# no probe")
        .pool("q", &[second.addr()], "# no probe")
        .route("a", "failover", &["p"], "hosts = [\"a.test\"]")
        .route("b", "failover", &["q"], "hosts = [\"b.test\"]");
    let edge = Edge::start(&conf);
    for (host, name) in [("a.test", "a"), ("b.test", "b")] {
        let config = client_config(&root, &[], &[&rustls::version::TLS13]);
        let (mut client, ..) = Client::connect_tls(edge.web(), host, &config).expect("a handshake");
        assert_eq!(client.get("/").endpoint(), name);
    }
    assert_eq!(first.only().header("via"), None, "plain bytes, and no HTTP of the edge");
    let line = &lines(&edge, 2)[0];
    assert_eq!((&line["tls"], &line["protocol"]), (&"TLSv1.3".into(), &"tcp".into()), "{line}");
}
