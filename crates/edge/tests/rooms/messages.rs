//! What goes over a connection to an endpoint: which one carries a request, and what makes a message whole.

use super::*;

#[test]
fn a_connection_begun_under_other_tls_settings_carries_no_further_request() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let far = Endpoint::start_tls("far", server_config(&ours.leaf(&["api.test", "other.test"])));
    let scratch = Scratch::new();
    scratch.write("ca.pem", &ours.pem);
    let config = |above: &str, tls: &str| {
        let endpoint = format!("{{ address = \"{}\", tls = {{ {tls} }} }}", far.addr());
        let route = "[route.r]\npolicy = \"failover\"\npools = [{ pool = \"p\" }]\n";
        format!("{above}[pool.p]\nendpoints = [{endpoint}]\n{route}")
    };
    let tls = "sni = \"api.test\", ca = \"ca.pem\"";
    let mut plane = DataPlane::start_with(scratch, &config("", tls));
    assert!(ask(&plane, GET).starts_with("HTTP/1.1 200"));
    plane.adopt(&config("# One line more.\n", tls));
    assert!(ask(&plane, GET).starts_with("HTTP/1.1 200"));
    assert_eq!(far.connections(), 1, "nothing has changed");
    let both = format!("{}{}", ours.pem, theirs.pem);
    // The settings, the content of the CA file, and whether the connection that is in use is kept.
    for (tls, ca, kept) in [
        (tls, &ours.pem, true),
        ("sni = \"other.test\", ca = \"ca.pem\"", &ours.pem, false),
        ("sni = \"other.test\", ca = \"ca.pem\", verify = false", &ours.pem, false),
        (tls, &ours.pem, false),
        (tls, &both, false),
    ] {
        plane.scratch.write("ca.pem", ca);
        let before = far.connections();
        far.behave(Behaviour::Slow(Duration::from_millis(500)));
        let mut client = TcpStream::connect(plane.address).unwrap();
        client.write_all(GET.as_bytes()).unwrap();
        soon("one is under way", || plane.counted(&IN_FLIGHT, &[]) == 1);
        plane.adopt(&config("", tls));
        let mut head = [0; 12];
        client.read_exact(&mut head).unwrap();
        assert_eq!(&head, b"HTTP/1.1 200", "in flight: {tls}");
        far.behave(Behaviour::Serve);
        for _ in 0..2 {
            assert!(ask(&plane, GET).starts_with("HTTP/1.1 200"));
        }
        assert_eq!(far.connections(), before + u64::from(!kept), "{tls}");
    }
    plane.drain();
}

#[test]
fn a_get_may_have_a_body_of_unknown_length() {
    let far = Endpoint::start("far");
    let plane = DataPlane::start(&format!("{BOTH}{}", one_pool(&[far.addr().port()], "")));
    let h2 = H2::connect_clear(plane.address).unwrap();
    for method in ["GET", "HEAD", "POST"] {
        let mut client = Client::connect(plane.address);
        let chunks = b"5\r\nhello\r\n7\r\n, world\r\n0\r\n\r\n";
        let reply = client.ask(method, "/upload", "transfer-encoding: chunked\r\n", chunks).unwrap();
        assert_eq!(reply.status, 200, "{method}");
        let asked = Request::builder().method(method).uri("http://a/upload").body("hello, world".into());
        assert_eq!(h2.ask_undeclared(asked.unwrap()).unwrap().status, 200, "{method}");
        let none = Request::builder().method(method).uri("http://a/upload").body(Default::default());
        assert_eq!(h2.ask(none.unwrap()).unwrap().status, 200, "{method}");
    }
    let seen: Vec<_> = far.requests().iter().map(|seen| (seen.method().to_owned(), seen.body_len)).collect();
    let both = |method: &str| [12, 12, 0].map(|bytes| (method.to_owned(), bytes));
    assert_eq!(seen, [both("GET"), both("HEAD"), both("POST")].concat());
    plane.drain();
}

#[test]
fn an_answer_with_trailers_is_complete() {
    let far = Endpoint::start("far");
    let plane = DataPlane::start(&format!("{BOTH}{}", one_pool(&[far.addr().port()], "")));
    let mut client = Client::connect(plane.address);
    let h2 = H2::connect_clear(plane.address).unwrap();
    for nth in 1..=3 {
        let reply = client.ask("GET", "/trailers", "te: trailers\r\n", b"").unwrap();
        assert!(reply.trailers.contains(&("x-sum".to_owned(), "42".to_owned())), "{:?}", reply.trailers);
        let reply = h2.get("http://a/trailers").unwrap();
        assert_eq!(reply.trailers.unwrap()["x-sum"], "42");
        soon("both have ended", || plane.counted(&REQUESTS, &[]) == 2 * nth);
        assert_eq!(plane.counted(&REQUESTS, &["2xx"]), 2 * nth);
        assert_eq!(plane.counted(&ENDPOINT_REQUESTS, &["ok"]), 2 * nth);
    }
    assert_eq!(plane.counted(&ENDPOINT_REQUESTS, &["client_gone"]), 0);
    assert_eq!(far.connections(), 1, "the connection is kept");
    plane.drain();
}

/// Ends each connection in the very segment that ends its TLS handshake (so of TLS 1.2, where the server has the last
/// word).
fn ends_with_its_handshake(leaf: &Leaf) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let chain = vec![CertificateDer::from_pem_slice(leaf.cert_pem.as_bytes()).unwrap()];
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_slice(leaf.key_pem.as_bytes()).unwrap())
        .unwrap();
    // Of a session that is resumed, the client would have it.
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    let config = Arc::new(config);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut tls = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            while tls.is_handshaking() {
                assert_ne!(tls.read_tls(&mut stream).unwrap(), 0, "the edge goes through with it");
                tls.process_new_packets().unwrap();
                let mut flight = Vec::new();
                while tls.wants_write() {
                    tls.write_tls(&mut flight).unwrap();
                }
                let held_back = if tls.is_handshaking() { 0 } else { libc::MSG_MORE };
                socket2::SockRef::from(&stream).send_with_flags(&flight, held_back).unwrap();
            }
        }
    });
    address
}

#[test]
fn a_new_connection_that_ends_before_a_byte_was_sent_counts_as_not_connected() {
    let authority = Authority::new("ours");
    let scratch = Scratch::new();
    scratch.write("ca.pem", &authority.pem);
    let first = ends_with_its_handshake(&authority.leaf(&["api.test"]));
    let (port, seen) = endpoint(OK);
    let tls = "tls = { sni = \"api.test\", ca = \"ca.pem\" }";
    let pools = format!(
        "[pool.p0]\nendpoints = [{{ address = \"{first}\", {tls} }}]\nhost = \"inner.test\"\n\
         [pool.p1]\nendpoints = [{{ address = \"127.0.0.1:{port}\" }}]\n"
    );
    let config = |names: &str| format!("{pools}[route.r]\npolicy = \"failover\"\npools = [{names}]\n");
    let mut plane = DataPlane::start_with(scratch, &config("{ pool = \"p0\" }, { pool = \"p1\" }"));
    for nth in 1..=10 {
        let answer = ask(&plane, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
        assert!(answer.starts_with("HTTP/1.1 200"), "{nth}: {answer}");
        assert!(seen.recv().unwrap().contains("Host: a\r\n"), "the first pool's host is its own");
        assert_eq!(plane.counted(&ENDPOINT_REQUESTS, &["connect_failed"]), nth);
    }
    assert_eq!(plane.counted(&ENDPOINT_REQUESTS, &["reset"]), 0);
    assert_eq!(plane.suspects.try_recv().unwrap().fault, Fault::Reset);
    plane.adopt(&config("{ pool = \"p0\" }"));
    let answer = ask(&plane, GET);
    assert!(answer.starts_with("HTTP/1.1 502") && answer.contains("details=\"connect_failed\""), "{answer}");
    assert_eq!(plane.counted(&ENDPOINT_REQUESTS, &["connect_failed"]), 11, "no endpoint is asked twice");
    plane.drain();
}

#[test]
fn an_upgrade_to_http_2_is_not_passed_on() {
    let (port, seen) = endpoint(OK);
    let plane = DataPlane::start(&one_pool(&[port], ""));
    let check = |fields: &str, passed: bool| {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}HTTP2-Settings: AAMAAABk\r\n\r\n");
        assert!(ask(&plane, &request).starts_with("HTTP/1.1 200"), "{fields}");
        let seen = seen.recv().unwrap();
        assert!(!seen.contains("HTTP2-Settings"), "{fields}: {seen}");
        for field in ["Upgrade: ", "Connection: "] {
            assert_eq!(seen.contains(field), passed, "{fields}: {seen}");
        }
    };
    check("", false);
    check("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n", false);
    check("Connection: Upgrade\r\nUpgrade: h2c\r\n", false);
    check("Connection: upgrade\r\nUpgrade: H2\r\n", false);
    check("Connection: upgrade\r\nUpgrade: websocket, H2C\r\n", false);
    check("Connection: upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n", false);
    check("Connection: upgrade\r\nUpgrade: h2c/1\r\n", false);
    check("Connection: upgrade\r\nUpgrade: \u{e9}, h2c\r\n", false);
    check("Connection: upgrade\r\nUpgrade: websocket\r\n", true);
    check("Connection: upgrade\r\nUpgrade: h2o/2\r\n", true);
    plane.drain();
}
