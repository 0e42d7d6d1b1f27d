//! Bounds of connections, idle sockets and streams, and of what a reload leaves behind.

mod common;

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    thread,
    time::Duration,
};

use common::{alone, assert_ours, hammer, one};
use rustls::{ClientConfig, ClientConnection};
use thalweg_testkit::{
    Authority, Behaviour, Client, Conf, Edge, Endpoint, H2, Load, client_config, eventually, get, runtime,
    stays,
};

const SOON: Duration = Duration::from_secs(8);

#[test]
fn connections_above_the_limit_are_answered_overloaded() {
    let endpoint = Endpoint::start("a");
    let conf = Conf::simple("failover", &[endpoint.addr()]).raw("[limits]\nmax_connections = 10");
    let edge = Edge::start(&conf);
    let mut kept: Vec<Client> = (0..10).map(|_| Client::connect(edge.web())).collect();
    // With a request on it, none of them makes room.
    endpoint.behave(Behaviour::Slow(Duration::from_secs(3)));
    kept.iter_mut().for_each(|client| client.send("GET / HTTP/1.1\r\nhost: a.test\r\n\r\n"));
    eventually("all are being served", SOON, || endpoint.hits() == 10);
    let mut surplus = Client::connect(edge.web());
    let reply = surplus.ask("GET", "/", "", b"").expect("an answer");
    assert_ours(&reply, 503, "overloaded");
    assert!(reply.header("retry-after").is_some());
    assert!(surplus.ends(SOON), "the surplus connection is closed");
    kept.iter_mut().for_each(|client| assert_eq!(client.reply("GET").expect("an answer").status, 200));
    endpoint.behave(Behaviour::Serve);
    kept.clear();
    eventually("a connection is free again", SOON, || get(edge.web(), "/").status == 200);
}

#[test]
fn idle_connections_are_closed_before_their_endpoint_closes_them() {
    let endpoint = Endpoint::start("a");
    let conf = Conf::new()
        .listener("web", "")
        .pool(
            "p",
            &[endpoint.addr()],
            "# no probe\nkeepalive = { idle = \"500ms\", max_idle = 4, age = \"10m\" }",
        )
        .route("all", "failover", &["p"], "");
    let edge = Edge::start(&conf);
    endpoint.behave(Behaviour::Slow(Duration::from_millis(100)));
    let asked: Vec<_> = (0..30)
        .map(|_| {
            let addr = edge.web();
            thread::spawn(move || get(addr, "/").status)
        })
        .collect();
    asked.into_iter().for_each(|thread| assert_eq!(thread.join().expect("an answer"), 200));
    // Each of the two workers keeps at most four.
    eventually("few stay", SOON, || endpoint.open_connections() <= 8);
    eventually("no idle connection stays", SOON, || endpoint.open_connections() == 0);
    assert_eq!(get(edge.web(), "/").status, 200);
}

#[test]
fn connections_to_endpoints_end_with_their_age() {
    let endpoint = Endpoint::start("a");
    let conf = Conf::new()
        .edge("workers = 1")
        .listener("web", "")
        .pool("p", &[endpoint.addr()], "# no probe\nkeepalive = { idle = \"4s\", age = \"1s\" }")
        .route("all", "failover", &["p"], "");
    let edge = Edge::start(&conf);
    let report = Load::to(edge.web()).rate(50.0).count(200).run();
    report.assert_none_failed("ageing connections");
    assert!(endpoint.connections() >= 3, "four seconds over {} connections", endpoint.connections());
}

#[test]
fn one_address_serves_both_families() {
    let endpoint = Endpoint::start("a");
    let conf = Conf::new().listener_on("web", "[::]", "").pool("p", &[endpoint.addr()], "# no probe").route(
        "all",
        "failover",
        &["p"],
        "",
    );
    let edge = Edge::start(&conf);
    assert_eq!(get(edge.web(), "/").status, 200, "IPv4");
    assert_eq!(get((std::net::Ipv6Addr::LOCALHOST, edge.port("web")).into(), "/").status, 200, "IPv6");
    let seen = endpoint.requests();
    assert_eq!(
        seen[0].header("x-forwarded-for"),
        Some("127.0.0.1"),
        "a mapped address is shown as what it is"
    );
    assert_eq!(seen[1].header("x-forwarded-for"), Some("::1"));
}

#[test]
fn a_listener_that_moves_is_bound_anew() {
    let endpoint = Endpoint::start("a");
    let mut edge = Edge::start(&Conf::simple("failover", &[endpoint.addr()]));
    let (old, port) = (edge.web(), thalweg_testkit::free_port());
    let text = edge
        .render(&Conf::simple("failover", &[endpoint.addr()]))
        .replace(&old.to_string(), &format!("127.0.0.1:{port}"));
    edge.replace(&text);
    assert_eq!(edge.reload().status, 200);
    eventually("the new one answers", SOON, || Client::try_connect(([127, 0, 0, 1], port).into()).is_ok());
    assert_eq!(get(([127, 0, 0, 1], port).into(), "/").status, 200);
    eventually("the old one is gone", SOON, || Client::try_connect(old).is_err());
}

#[test]
fn a_listener_or_pool_that_leaves_the_config_leaves_the_metrics_too() {
    let (gone, kept) = (Endpoint::start("gone"), Endpoint::start("kept"));
    let both = Conf::new()
        .listener("web", "")
        .pool("gone", &[gone.addr()], "")
        .pool("kept", &[kept.addr()], "")
        .route("all", "weighted", &["gone", "kept"], "");
    let one = Conf::new().listener("web", "").pool("kept", &[kept.addr()], "").route(
        "all",
        "weighted",
        &["kept"],
        "",
    );
    let mut edge = Edge::start(&both);
    edge.until_up(2);
    assert_eq!(hammer(edge.web(), 2, 50).len(), 2);
    let text = edge.render(&one);
    edge.replace(&text);
    assert_eq!(edge.reload().status, 200);
    eventually("no connection is left", SOON, || gone.open_connections() == 0);
    eventually("no gauge is left", SOON, || {
        let page = edge.metrics();
        page.samples.iter().all(|sample| {
            let of_it = sample.labels.get("pool").is_some_and(|pool| pool == "gone");
            !(of_it && ["thalweg_endpoint_available", "thalweg_pool_info"].contains(&sample.name.as_str()))
        })
    });
    let probes = gone.probes();
    stays("no probe reaches it", Duration::from_millis(500), || gone.probes() <= probes + 1);
    assert_eq!(hammer(edge.web(), 1, 20).get("kept"), Some(&20));
}

#[test]
fn an_h2_stream_that_is_reset_ends_at_the_endpoint_and_nowhere_else() {
    let authority = Authority::new("root");
    let leaf = authority.leaf(&["a.test"]);
    let endpoint = Endpoint::start("a");
    let tls = "protocols = [\"h2\"]\n[listener.tls]\ncertificates = [{ cert = \"a.crt\", key = \"a.key\" }]";
    let conf = Conf::simple("failover", &[endpoint.addr()])
        .listener("secure", tls)
        .file("a.crt", &leaf.cert_pem)
        .file("a.key", &leaf.key_pem);
    let edge = Edge::start(&conf);
    edge.until_up(1);
    let h2 =
        H2::connect_tls(edge.addr("secure"), "a.test", &client_config(&authority, &["h2"], &[])).expect("h2");
    endpoint.behave(Behaviour::Hang);
    let request =
        http::Request::get("https://a.test/").body(http_body_util::Full::default()).expect("a request");
    let stream = runtime().spawn(h2.clone().ask_async(request));
    eventually("the request is under way", SOON, || endpoint.hits() == 1);
    stream.abort();
    eventually("the endpoint sees the end", SOON, || endpoint.abandoned() == 1);
    endpoint.behave(Behaviour::Serve);
    assert_eq!(h2.get("https://a.test/").expect("an answer").status, 200);
    eventually("the request is counted", SOON, || {
        edge.metric("thalweg_requests_total", &[("code_class", "client_gone")]) == 1.0
    });
}

#[test]
fn h2_bodies_have_the_same_limits() {
    let endpoint = Endpoint::start("a");
    let conf = Conf::simple_with("failover", &[endpoint.addr()], "body_bytes = \"10KiB\"")
        .listener("clear", "protocols = [\"h2c\"]");
    let edge = Edge::start(&conf);
    let h2 = H2::connect_clear(edge.addr("clear")).expect("h2c");
    assert_eq!(h2.post("http://a.test/upload", vec![0; 10_240]).expect("an answer").status, 200);
    assert_eq!(h2.post("http://a.test/upload", vec![0; 20_000]).expect("an answer").status, 413);
    assert_eq!(h2.get("http://a.test/").expect("an answer").status, 200);
    let big = http::Request::get("http://a.test/").header("x-big", "a".repeat(30_000));
    match h2.ask(big.body(http_body_util::Full::default()).expect("a request")) {
        Ok(reply) => assert_eq!(reply.status, 431),
        Err(refused) => println!("refused: {refused}"),
    }
    let h2 = H2::connect_clear(edge.addr("clear")).expect("h2c");
    assert_eq!(h2.get("http://a.test/").expect("an answer").status, 200);
}

#[test]
fn an_h2_stream_that_stands_still_ends_although_others_move() {
    let endpoint = Endpoint::start("a");
    let conf = Conf::simple_with("failover", &[endpoint.addr()], "timeouts = { idle = \"1s\" }")
        .listener("clear", "protocols = [\"h2c\"]");
    let edge = Edge::start(&conf);
    let h2 = H2::connect_clear(edge.addr("clear")).expect("h2c");
    thread::scope(|scope| {
        // Five events, then silence.
        let stuck = scope.spawn(|| h2.get("http://a.test/sse"));
        eventually("the stream ends while others are served", SOON, || {
            assert_eq!(h2.get("http://a.test/bytes/5").expect("an answer").status, 200);
            stuck.is_finished()
        });
        assert!(stuck.join().expect("a thread").is_err(), "the answer was cut");
    });
    assert_eq!(h2.get("http://a.test/").expect("an answer").status, 200, "the connection goes on");
}

#[test]
fn two_thousand_idle_connections_cost_little() {
    let _alone = alone();
    let (edge, _endpoint) = one();
    let before = edge.rss();
    let mut clients: Vec<Client> = (0..2000).map(|_| Client::connect(edge.web())).collect();
    clients.iter_mut().for_each(|client| drop(client.get("/")));
    eventually("all connections are counted", SOON, || {
        ["web", "secure"]
            .map(|listener| edge.metric("thalweg_connections", &[("listener", listener)]))
            .iter()
            .sum::<f64>()
            >= 2000.0
    });
    let each = edge.rss().saturating_sub(before) / 2000;
    println!("{each} bytes per connection");
    assert!(each < 40 * 1024, "{each} bytes per connection");
    drop(clients);
    eventually("all connections are gone", SOON, || {
        ["web", "secure"]
            .map(|listener| edge.metric("thalweg_connections", &[("listener", listener)]))
            .iter()
            .sum::<f64>()
            <= 1.0
    });
}

#[test]
fn a_storm_of_silent_connections_stops_no_other_client() {
    let _alone = alone();
    let (edge, _endpoint) = one();
    let load = Load::to(edge.web()).rate(100.0).fresh(0.5).start();
    for _ in 0..20 {
        let silent: Vec<_> = (0..100).map(|_| Client::connect(edge.web())).collect();
        silent.into_iter().for_each(Client::reset);
    }
    eventually("traffic flows", SOON, || load.done() > 100);
    load.stop().assert_none_failed("beside a storm");
}

#[test]
fn uploads_that_stand_still_do_not_stop_another_on_their_connection() {
    // The kernel accepts, and the process does not read.
    let deaf = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let fine = Endpoint::start("a");
    let conf = Conf::new()
        .listener("web", "protocols = [\"h2c\"]")
        .pool("deaf", &[deaf.local_addr().expect("an address")], "# no probe")
        .pool("fine", &[fine.addr()], "")
        .route("stuck", "failover", &["deaf"], "path_prefix = \"/stuck\"\nbody_bytes = \"64MiB\"")
        .route("fine", "failover", &["fine"], "");
    let edge = Edge::start(&conf);
    edge.until_up(1);
    let client = H2::connect_clear(edge.web()).expect("a connection");
    for nth in 0..5 {
        let client = client.clone();
        // Ends with the edge.
        thread::spawn(move || client.post(&format!("http://a/stuck/{nth}"), vec![b'x'; 24 << 20]));
    }
    let in_flight = || edge.metric("thalweg_endpoint_in_flight", &[("pool", "deaf")]);
    eventually("all requests are under way", SOON, || in_flight() == 5.0);
    // The socket buffers towards the endpoint that reads nothing are full.
    let mut before = edge.metric("process_cpu_seconds_total", &[]);
    eventually("the uploads stand still", SOON, || {
        thread::sleep(Duration::from_millis(300));
        let now = edge.metric("process_cpu_seconds_total", &[]);
        now - std::mem::replace(&mut before, now) < 0.02
    });
    for _ in 0..10 {
        let reply = client.post("http://a/", vec![b'x'; 100_000]).expect("an answer");
        assert_eq!(reply.status, 200);
    }
    assert_eq!(in_flight(), 5.0);
}

#[test]
fn clients_that_read_slowly_cost_one_buffer_each() {
    let _alone = alone();
    let (edge, _endpoint) = one();
    edge.until_up(1);
    let before = edge.rss();
    let clients: Vec<Client> = (0..200)
        .map(|_| {
            let mut client = Client::connect(edge.web());
            client.send("GET /bytes/8000000 HTTP/1.1\r\nhost: a\r\n\r\n");
            client
        })
        .collect();
    let in_flight = || edge.metric("thalweg_endpoint_in_flight", &[("pool", "p0")]);
    eventually("all requests are under way", SOON, || in_flight() == 200.0);
    thread::sleep(Duration::from_millis(500));
    let each = edge.rss().saturating_sub(before) / 200;
    assert!(each <= 80 * 1024, "{each} bytes each");
    drop(clients);
}

/// Opens a connection and leaves it unfinished.
type Open = fn(&Edge, &Arc<ClientConfig>) -> TcpStream;

fn sent(addr: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut tcp = TcpStream::connect(addr).expect("a connection");
    tcp.write_all(bytes).expect("room in the socket");
    tcp
}

fn tls(config: &Arc<ClientConfig>) -> ClientConnection {
    ClientConnection::new(Arc::clone(config), "a.test".try_into().expect("a name")).expect("a client")
}

/// The first message of a TLS client.
fn hello(config: &Arc<ClientConfig>) -> Vec<u8> {
    let mut bytes = Vec::new();
    tls(config).write_tls(&mut bytes).expect("a ClientHello");
    bytes
}

/// A connection after its handshake. The client reads the session tickets that come behind it.
fn shaken(addr: SocketAddr, config: &Arc<ClientConfig>) -> TcpStream {
    let (mut tcp, mut tls) = (TcpStream::connect(addr).expect("a connection"), tls(config));
    while tls.is_handshaking() {
        tls.complete_io(&mut tcp).expect("a handshake");
    }
    let _ = tcp.set_read_timeout(Some(Duration::from_millis(1)));
    let _ = tcp.read(&mut [0; 4096]);
    tcp
}

/// Bounds that docs/operations.md states; measured figures are about half of them.
#[test]
fn unfinished_connections_stay_within_their_bounds() {
    let kinds: [(&str, Open, u64); 5] = [
        ("silent", |edge, _| sent(edge.web(), b""), 3),
        ("slow head", |edge, _| sent(edge.web(), b"GET / HTTP/1.1\r\nhost: a.test\r\nx-slow: "), 6),
        (
            "slow body",
            |edge, _| sent(edge.web(), b"POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 99999\r\n\r\nx"),
            12,
        ),
        ("half a handshake", |edge, config| sent(edge.addr("secure"), &hello(config)), 20),
        ("idle TLS", |edge, config| shaken(edge.addr("secure"), config), 20),
    ];
    for (kind, open, bound) in kinds {
        let _alone = alone();
        let (root, endpoint) = (Authority::new("root"), Endpoint::start("a"));
        let leaf = root.leaf(&["a.test", "127.0.0.1"]);
        let conf = Conf::simple("failover", &[endpoint.addr()])
            .file("a.crt", &leaf.cert_pem)
            .file("a.key", &leaf.key_pem)
            .listener("secure", "[listener.tls]\ncertificates = [{ cert = \"a.crt\", key = \"a.key\" }]");
        let edge = Edge::start(&conf);
        edge.until_up(1);
        let config = client_config(&root, &[], &[]);
        let few: Vec<_> = (0..50).map(|_| open(&edge, &config)).collect();
        thread::sleep(Duration::from_millis(300));
        let before = edge.rss();
        let many: Vec<_> = (0..400).map(|_| open(&edge, &config)).collect();
        let open_now = || {
            ["web", "secure"]
                .map(|listener| edge.metric("thalweg_connections", &[("listener", listener)]))
                .iter()
                .sum::<f64>()
        };
        eventually("all are open", SOON, || open_now() >= 450.0);
        thread::sleep(Duration::from_millis(500));
        let each = edge.rss().saturating_sub(before) / 400;
        assert!(each <= bound * 1024, "{kind}: {each} bytes each");
        drop((few, many));
    }
}
