//! The data plane, one room at a time, over real sockets and without a control plane.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test says what it expects by failing"
)]

mod support;

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::mpsc,
    time::Duration,
};

use support::{DataPlane, soon};
use thalweg_core::Fault;
use thalweg_edge::telemetry::{DECISIONS, ENDPOINT_REQUESTS, HEDGES, IN_FLIGHT, REQUESTS};
use thalweg_testkit::{Authority, Behaviour, Blackhole, Endpoint, Scratch, server_config};

/// Answers each connection's requests with `answer`, and reports what it received.
fn endpoint(answer: &'static str) -> (u16, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (seen, received) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, seen) = (stream.unwrap(), seen.clone());
            std::thread::spawn(move || {
                let mut buffer = [0; 65536];
                while let Ok(n) = stream.read(&mut buffer) {
                    if n == 0 {
                        break;
                    }
                    let _ = seen.send(String::from_utf8_lossy(&buffer[..n]).into_owned());
                    if stream.write_all(answer.as_bytes()).is_err() {
                        break;
                    }
                }
            });
        }
    });
    (port, received)
}

fn one_pool(ports: &[u16], route: &str) -> String {
    let endpoints: Vec<String> =
        ports.iter().map(|port| format!("{{ address = \"127.0.0.1:{port}\" }}")).collect();
    format!(
        "[pool.a]\nendpoints = [{}]\n[route.r]\npolicy = \"failover\"\npools = [{{ pool = \"a\" }}]\n{route}\n",
        endpoints.join(", ")
    )
}

/// Pools `p0`, `p1`… of one endpoint each with `pool`, failover over them.
fn in_order(addresses: &[SocketAddr], pool: &str, route: &str) -> String {
    let mut text = String::new();
    for (nth, address) in addresses.iter().enumerate() {
        text += &format!("[pool.p{nth}]\nendpoints = [{{ address = \"{address}\" }}]\n{pool}\n");
    }
    let names: Vec<String> = (0..addresses.len()).map(|nth| format!("{{ pool = \"p{nth}\" }}")).collect();
    format!("{text}[route.r]\npolicy = \"failover\"\npools = [{}]\n{route}\n", names.join(", "))
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Sends `request`, closes the sending side, and returns everything that comes back.
fn ask(plane: &DataPlane, request: &str) -> String {
    let mut stream = TcpStream::connect(plane.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-own: 1\r\n\r\nok";

#[test]
fn a_request_goes_through_all_rooms_and_its_head_is_clean_both_ways() {
    let (port, seen) = endpoint(OK);
    let plane = DataPlane::start(&one_pool(&[port], ""));
    let request = "GET /a/../b?q=1 HTTP/1.1\r\nHost: Example.com:80\r\nConnection: x-hop\r\nX-Hop: 1\r\n\
                   X-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX-Request-Id: abc\r\n\r\n";
    let answer = ask(&plane, request);
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("x-own: 1\r\n") && answer.contains("x-request-id: abc\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
    let seen = seen.recv().unwrap();
    assert!(seen.starts_with("GET /b?q=1 HTTP/1.1\r\n"), "{seen}");
    for (field, there) in [
        ("host: Example.com:80\r\n", true),
        ("x-forwarded-for: 127.0.0.1\r\n", true),
        ("x-forwarded-proto: http\r\n", true),
        ("x-forwarded-host: Example.com:80\r\n", true),
        ("via: 1.1 thalweg\r\n", true),
        ("6.6.6.6", false),
        ("x-hop", false),
    ] {
        assert_eq!(seen.contains(field), there, "{field}: {seen}");
    }
    plane.drain();
}

#[test]
fn a_refused_connection_is_tried_elsewhere_and_reported() {
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (port, _seen) = endpoint(OK);
    let mut plane = DataPlane::start(&one_pool(&[dead, port], ""));
    for _ in 0..20 {
        assert!(
            ask(&plane, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
                .starts_with("HTTP/1.1 200")
        );
    }
    assert_eq!(plane.suspects.try_recv().unwrap().fault, thalweg_core::Fault::Refused);
    plane.drain();
}

#[test]
fn what_is_answered_here_says_why() {
    let (port, _seen) = endpoint(OK);
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let plane = DataPlane::start(&one_pool(&[port], "hosts = [\"a\"]\nbody_bytes = \"10B\""));
    let check = |plane: &DataPlane, request: &str, status: &str, ours: &str| {
        let answer = ask(plane, request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request} -> {answer}");
        assert!(answer.contains(&format!("details=\"{ours}\"")), "{request} -> {answer}");
        assert!(
            answer.contains(&format!("{{\"error\":\"{ours}\",\"request_id\":\"")),
            "{request} -> {answer}"
        );
    };
    check(&plane, "GET / HTTP/1.1\r\nHost: b\r\n\r\n", "404", "no_route");
    check(&plane, "GET /%2f HTTP/1.1\r\nHost: a\r\n\r\n", "400", "bad_request");
    check(&plane, "GET / HTTP/1.1\r\n\r\n", "400", "bad_request");
    check(&plane, "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "400", "bad_request");
    check(&plane, "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", "405", "method_not_allowed");
    check(
        &plane,
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n01234567890",
        "413",
        "body_too_large",
    );
    let via = "GET / HTTP/1.1\r\nHost: a\r\nVia: 1.1 thalweg, 1.1 thalweg, 1.1 thalweg\r\n\r\n";
    check(&plane, via, "508", "loop");
    plane.drain();
    let plane = DataPlane::start(&one_pool(&[dead], ""));
    check(&plane, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "502", "connect_failed");
    plane.drain();
}

#[test]
fn an_upgraded_stream_is_passed_through_both_ways() {
    let (port, _seen) =
        endpoint("HTTP/1.1 101 Switching Protocols\r\nupgrade: echo\r\nconnection: upgrade\r\n\r\nhello");
    let plane = DataPlane::start(&one_pool(&[port], ""));
    let mut stream = TcpStream::connect(plane.address).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"hello") {
        let mut byte = [0; 1];
        stream.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "));
    stream.write_all(b"ping").unwrap();
    let mut back = [0; 8];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"HTTP/1.1", "the endpoint answers what it reads, on the upgraded stream");
    drop(stream);
    plane.drain();
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn a_connect_that_goes_on_without_its_request_takes_no_place_under_the_cap() {
    let hole = Blackhole::start();
    let (port, _seen) = endpoint(OK);
    let config =
        in_order(&[hole.addr(), local(port)], "max_in_flight = 1", "timeouts = { connect = \"2s\" }");
    let plane = DataPlane::start(&config);
    for nth in 1..=2 {
        assert!(ask(&plane, GET).starts_with("HTTP/1.1 200"), "request {nth}");
        assert_eq!(
            plane.counted(&HEDGES, &["connect_won"]),
            nth,
            "there was room at the first for request {nth}"
        );
        assert_eq!(
            (plane.counted(&IN_FLIGHT, &[]), plane.accounts(|account| account.in_flight.get())),
            (0, 0)
        );
    }
    assert_eq!(plane.counted(&ENDPOINT_REQUESTS, &["connect_failed"]), 0, "they still go on");
    soon("they end", || plane.counted(&ENDPOINT_REQUESTS, &["connect_failed"]) == 2);
    assert_eq!((plane.counted(&IN_FLIGHT, &[]), plane.accounts(|account| account.in_flight.get())), (0, 0));
    plane.drain();
}

/// A place where connects take about a second (the first of it is lost to a full queue) once `open` is told; then it
/// closes each connection on which a request has come.
fn slow_to_reach_and_no_answer() -> (SocketAddr, mpsc::Sender<()>) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&local(0).into()).unwrap();
    socket.listen(1).unwrap();
    let listener = TcpListener::from(socket);
    let address = listener.local_addr().unwrap();
    let mut fill = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        fill.push(stream);
    }
    let (open, opened) = mpsc::channel();
    std::thread::spawn(move || {
        if opened.recv().is_ok() {
            drop(fill);
            for stream in listener.incoming() {
                let _ = stream.unwrap().read(&mut [0; 4096]);
            }
        }
    });
    (address, open)
}

#[test]
fn a_rival_that_refused_is_not_asked_again_when_the_first_is_reached_after_all() {
    let (first, open) = slow_to_reach_and_no_answer();
    let config = in_order(&[first, local(free_port())], "", "timeouts = { connect = \"8s\" }");
    let plane = DataPlane::start(&config);
    let answer = std::thread::scope(|scope| {
        let asking = scope.spawn(|| ask(&plane, GET));
        soon("its rival refuses", || plane.counted(&HEDGES, &["connect_failed"]) == 1);
        open.send(()).unwrap();
        asking.join().unwrap()
    });
    assert!(answer.contains("details=\"reset\""), "the last that was asked is the first: {answer}");
    assert_eq!(plane.counted(&HEDGES, &["connect_lost"]), 0, "a race ends once");
    assert_eq!(plane.counted(&ENDPOINT_REQUESTS, &["connect_failed"]), 1);
    plane.drain();
}

#[test]
fn a_request_that_failed_for_its_client_is_counted_once() {
    let check = |answer: &'static str, given_up: u64| {
        let (port, _seen) = endpoint(answer);
        let plane = DataPlane::start(&one_pool(&[port], "timeouts = { idle = \"1s\" }"));
        let heard = ask(&plane, GET);
        assert_eq!(heard[..12], answer[..12]);
        soon("it has ended", || plane.counted(&REQUESTS, &[]) == 1);
        assert_eq!(plane.accounts(|account| account.given_up.get()), given_up, "{answer}");
        plane.drain();
    };
    check(OK, 0);
    check("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\ncut", 1);
    check("HTTP/1.1 503 No\r\ncontent-length: 3\r\n\r\nall", 1);
    check("HTTP/1.1 503 No\r\ncontent-length: 9\r\n\r\ncut", 1);
}

#[test]
fn an_upload_that_stands_still_is_the_fault_of_whoever_is_due() {
    let check = |reads: bool, length: usize, outcome: &str, fault: Option<Fault>| {
        let (reader, _seen) = endpoint("");
        let stuck = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = if reads { reader } else { stuck.local_addr().unwrap().port() };
        let route = "body_bytes = \"0\"\ntimeouts = { idle = \"1s\" }";
        let mut plane = DataPlane::start(&one_pool(&[port], route));
        let mut client = TcpStream::connect(plane.address).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        client.set_write_timeout(Some(Duration::from_millis(800))).unwrap();
        write!(client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n").unwrap();
        let mut sent = 0;
        while sent + 65536 < length && client.write(&[7; 65536]).inspect(|n| sent += n).is_ok() {}
        let mut heard = [0; 1024];
        let length = client.read(&mut heard).unwrap();
        let head = String::from_utf8_lossy(&heard[..length]);
        assert!(head.starts_with("HTTP/1.1 504 "), "{outcome}: {head}");
        assert!(head.contains("error=connection_write_timeout; details=\"timeout\""), "{outcome}: {head}");
        assert_eq!(plane.counted(&ENDPOINT_REQUESTS, &[outcome]), 1, "{outcome} after {sent} bytes");
        assert_eq!(plane.suspects.try_recv().ok().map(|hint| hint.fault), fault, "{outcome}");
        drop(client);
        plane.drain();
    };
    check(true, 10, "client_gone", None);
    check(true, 200_000, "client_gone", None);
    check(false, 1 << 28, "timeout", Some(Fault::Timeout));
}

/// Answers one request, and closes the connection after the next, when told.
fn fails_when_told() -> (SocketAddr, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let ((saw, seen), (tell, told)) = (mpsc::channel(), mpsc::channel());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).unwrap();
        stream.write_all(OK.as_bytes()).unwrap();
        let _ = stream.read(&mut request).unwrap();
        saw.send(()).unwrap();
        let _ = told.recv();
    });
    (address, seen, tell)
}

#[test]
fn a_retry_that_crosses_a_reload_counts_for_the_pool_that_it_went_to() {
    let (first, seen, tell) = fails_when_told();
    let (port, _seen) = endpoint(OK);
    let second = format!("[pool.b]\nendpoints = [{{ address = \"127.0.0.1:{port}\" }}]\n");
    let both = format!("[pool.a]\nendpoints = [{{ address = \"{first}\" }}]\n{second}");
    let route = |pools: &str| format!("[route.r]\npolicy = \"failover\"\npools = [{pools}]\n");
    let mut plane = DataPlane::start(&format!("{both}{}", route("{ pool = \"a\" }, { pool = \"b\" }")));
    assert!(ask(&plane, GET).starts_with("HTTP/1.1 200"));
    assert_eq!((plane.counted(&REQUESTS, &["a"]), plane.counted(&REQUESTS, &["b"])), (1, 0));
    let mut client = TcpStream::connect(plane.address).unwrap();
    client.write_all(GET.as_bytes()).unwrap();
    seen.recv().unwrap();
    // The slot of the one is now that of the other.
    plane.adopt(&format!("{second}{}", route("{ pool = \"b\" }")));
    tell.send(()).unwrap();
    let mut head = [0; 15];
    client.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    soon("it counts there", || plane.counted(&REQUESTS, &["b", "2xx"]) == 1);
    assert_eq!(plane.counted(&DECISIONS, &["b"]), 1);
    drop(client);
    plane.drain();
}

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

/// Answers each head with `answer`, whatever else comes, and reports all that it received, by connection.
fn answers_heads(answer: &'static str) -> (u16, mpsc::Receiver<(usize, String)>) {
    answers_each("x-forwarded-for: ", answer)
}

/// The same, at this text.
fn answers_each(what: &'static str, answer: &'static str) -> (u16, mpsc::Receiver<(usize, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (seen, received) = mpsc::channel();
    std::thread::spawn(move || {
        for (nth, stream) in listener.incoming().enumerate() {
            let (mut stream, seen) = (stream.unwrap(), seen.clone());
            std::thread::spawn(move || {
                let mut buffer = [0; 65536];
                while let Ok(n @ 1..) = stream.read(&mut buffer) {
                    let text = String::from_utf8_lossy(&buffer[..n]).into_owned();
                    let due = text.matches(what).count();
                    let _ = seen.send((nth, text));
                    for _ in 0..due {
                        let _ = stream.write_all(answer.as_bytes());
                    }
                }
            });
        }
    });
    (port, received)
}

/// A client that waits at most ten seconds for anything.
fn connect(plane: &DataPlane) -> TcpStream {
    let stream = TcpStream::connect(plane.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

/// Reads one head (and the body of two bytes that [`OK`] has, if it is that).
fn head(client: &mut TcpStream) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        let mut byte = [0; 1];
        client.read_exact(&mut byte).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&text)));
        text.push(byte[0]);
    }
    String::from_utf8(text).unwrap()
}

/// Nothing comes, and nothing ends, for so long.
fn hears_nothing(client: &TcpStream, span: Duration) {
    client.set_read_timeout(Some(span)).unwrap();
    let heard = (&*client).read(&mut [0; 1]).map_err(|error| error.kind());
    assert_eq!(heard, Err(std::io::ErrorKind::WouldBlock));
    client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
}

const NO: &str = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n";

#[test]
fn the_rest_of_an_upload_that_was_answered_early_is_no_request() {
    let (port, seen) = answers_heads(NO);
    let limits = "[limits]\nheader_timeout = \"500ms\"\n";
    let plane = DataPlane::start(&format!("{}{limits}", one_pool(&[port], "")));
    let inner = "GET /admin HTTP/1.1\r\nHost: a\r\n\r\n";
    // How much of the upload comes right behind the answer.
    for early in [0, 1000] {
        let before = plane.counted(&REQUESTS, &[]);
        let mut client = connect(&plane);
        client.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n").unwrap();
        assert!(head(&mut client).starts_with("HTTP/1.1 401 "));
        client.write_all(&vec![b'x'; early]).unwrap();
        // Longer than an idle connection keeps its buffers, and than a head may take.
        hears_nothing(&client, Duration::from_millis(900));
        client.write_all(inner.as_bytes()).unwrap();
        hears_nothing(&client, Duration::from_millis(100));
        client.write_all(&vec![b'x'; 5000 - early - inner.len()]).unwrap();
        client.write_all(b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert!(head(&mut client).starts_with("HTTP/1.1 401 "), "the connection goes on");
        soon("both are counted", || plane.counted(&REQUESTS, &[]) == before + 2);
        // At rest again: a head that stands still is told so.
        client.write_all(b"GET").unwrap();
        assert!(head(&mut client).starts_with("HTTP/1.1 408 "));
        assert_eq!(plane.counted(&REQUESTS, &[]), before + 3);
    }
    let seen: Vec<String> = seen.try_iter().map(|(_, text)| text).collect();
    let ours =
        |target: &str| seen.iter().filter(|text| text.starts_with(target) && text.contains("via:")).count();
    assert_eq!((ours("POST / "), ours("GET /next "), ours("")), (2, 2, 4), "{seen:?}");
    let mut client = connect(&plane);
    client.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n").unwrap();
    assert!(head(&mut client).starts_with("HTTP/1.1 401 "));
    let address = plane.address;
    let rest = std::thread::spawn(move || {
        soon("the worker drains", || TcpStream::connect(address).is_err());
        client.write_all(b"hello").unwrap();
        assert_eq!(client.read(&mut [0; 1]).unwrap(), 0, "closed after the upload");
    });
    plane.drain();
    rest.join().unwrap();
}

#[test]
fn an_upload_that_was_answered_early_holds_its_connection_no_longer_than_idle() {
    let (port, _seen) = answers_heads(NO);
    let plane = DataPlane::start(&one_pool(&[port], "timeouts = { idle = \"1s\" }"));
    let early = || {
        let mut client = connect(&plane);
        client.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\nabc").unwrap();
        assert!(head(&mut client).starts_with("HTTP/1.1 401 "));
        client
    };
    let (mut silent, mut leaving, moving) = (early(), early(), early());
    leaving.shutdown(std::net::Shutdown::Write).unwrap();
    for client in [&mut leaving, &mut silent] {
        assert_eq!(client.read(&mut [0; 1]).unwrap(), 0, "closed");
    }
    assert_eq!(plane.counted(&REQUESTS, &[]), 3);
    drop(moving);
    plane.drain();
}

#[test]
fn a_small_upload_that_nobody_took_costs_the_connection_nothing() {
    let limits = "[limits]\nheader_timeout = \"500ms\"\n";
    let plane = DataPlane::start(&format!("{}{limits}", one_pool(&[free_port()], "")));
    let mut client = connect(&plane);
    for upload in ["Content-Length: 3\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"]
    {
        write!(client, "POST / HTTP/1.1\r\nHost: a\r\n{upload}").unwrap();
        let answer = head(&mut client);
        assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
        let length = answer.split_once("content-length: ").unwrap().1.split_once('\r').unwrap().0;
        client.read_exact(&mut vec![0; length.parse().unwrap()]).unwrap();
        hears_nothing(&client, Duration::from_millis(900));
    }
    plane.drain();
}

#[test]
fn a_request_that_was_sent_whole_is_waited_for_however_its_upload_ended() {
    let (hangs, seen) = answers_heads("");
    let route = "timeouts = { first_byte = \"300ms\", idle = \"20s\" }";
    let plane = DataPlane::start(&format!("{H2C}{}", one_pool(&[hangs], route)));
    let started = std::time::Instant::now();
    for upload in [
        "Content-Length: 3\r\n\r\nabc",
        "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 1\r\n\r\n",
    ] {
        let mut client = connect(&plane);
        write!(client, "POST / HTTP/1.1\r\nHost: a\r\n{upload}").unwrap();
        let answer = head(&mut client);
        assert!(answer.starts_with("HTTP/1.1 504 "), "{upload}: {answer}");
    }
    for (length, data) in [("5", &[&b"hello"[..], b""][..]), ("5", &[b"hello"]), ("0", &[b""])] {
        let mut client = H2c::connect(&plane);
        client.post(1, length, data);
        assert_eq!(client.status(1), "504", "{length} {data:?}");
    }
    assert!(started.elapsed() < Duration::from_secs(10));
    drop(seen);
    plane.drain();
}

#[test]
fn a_connection_is_kept_however_the_upload_on_it_ended() {
    let check = |last: &'static str, ask: &dyn Fn(&DataPlane)| {
        let (port, seen) = answers_each(last, OK);
        let plane = DataPlane::start(&format!("{H2C}{}", one_pool(&[port], "")));
        ask(&plane);
        let seen: Vec<(usize, String)> = seen.try_iter().collect();
        let all: String = seen.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!((all.matches("POST / ").count(), all.matches(last).count()), (2, 2), "{all}");
        assert!(seen.iter().all(|(connection, _)| *connection == 0), "on one connection: {seen:?}");
        plane.drain();
    };
    check("hello", &|plane| {
        let mut client = H2c::connect(plane);
        for stream in [1, 3] {
            client.post(stream, "5", &[b"hello", b""]);
            assert_eq!(client.status(stream), "200");
        }
    });
    check("x-sum: 1", &|plane| {
        let mut client = connect(plane);
        let upload =
            "Transfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n";
        for _ in 0..2 {
            write!(client, "POST / HTTP/1.1\r\nHost: a\r\n{upload}").unwrap();
            assert!(head(&mut client).starts_with("HTTP/1.1 200 "));
            client.read_exact(&mut [0; 2]).unwrap();
        }
    });
}

/// The listener speaks HTTP/2, too.
const H2C: &str = "protocols = [\"http/1.1\", \"h2c\"]\n";

/// An HTTP/2 client that says exactly what it is told, and never gives flow control back.
struct H2c(TcpStream);

impl H2c {
    fn connect(plane: &DataPlane) -> Self {
        let mut client = Self(connect(plane));
        client.0.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
        client.send(4, 0, 0, &[]);
        client
    }

    fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.0.write_all(&frame).unwrap();
    }

    /// A head; its fields are literals without indexing (RFC 7541 section 6.2.2).
    fn head(&mut self, stream: u32, ends: bool, fields: &[(&str, &str)]) {
        let mut block = Vec::new();
        for (name, value) in fields {
            for text in [name, value] {
                block.extend((text == name).then_some(0));
                block.push(u8::try_from(text.len()).unwrap());
                block.extend(text.as_bytes());
            }
        }
        self.send(1, 4 | u8::from(ends), stream, &block);
    }

    fn get(&mut self, stream: u32, path: &str) {
        let fields = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", path)];
        self.head(stream, true, &fields);
    }

    /// The pieces as one DATA frame each, the last of which ends the stream.
    fn post(&mut self, stream: u32, length: &str, pieces: &[&[u8]]) {
        let fields = [
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "/"),
            ("content-length", length),
        ];
        self.head(stream, false, &fields);
        for (nth, piece) in pieces.iter().enumerate() {
            // So that it is not there yet when what came before is looked at.
            std::thread::sleep(Duration::from_millis(30));
            self.send(0, u8::from(nth + 1 == pieces.len()), stream, piece);
        }
    }

    /// The next frame: type, stream, payload.
    fn frame(&mut self) -> (u8, u32, Vec<u8>) {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).unwrap();
        let [a, b, c, kind, _, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.0.read_exact(&mut payload).unwrap();
        (kind, u32::from_be_bytes(stream), payload)
    }

    /// The status on a stream: its field comes first, from the static table or with its digits.
    fn status(&mut self, stream: u32) -> String {
        loop {
            let (kind, on, block) = self.frame();
            assert_ne!((kind, on), (3, stream), "reset");
            if (kind, on) == (1, stream) {
                return match block[0] {
                    0x88 => "200".to_owned(),
                    0x8d => "404".to_owned(),
                    0x8e => "500".to_owned(),
                    // A literal under the name ":status", perhaps in Huffman's code: three digits are two bytes then.
                    _ if block[1] & 0x80 == 0 => String::from_utf8_lossy(&block[2..5]).into_owned(),
                    _ => huffman_digits(&block[2..2 + usize::from(block[1] & 0x7f)]),
                };
            }
        }
    }
}

/// Digits in the code of RFC 7541, appendix B: "0" to "2" have five bits, the others six.
fn huffman_digits(bytes: &[u8]) -> String {
    let bits: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
    let (mut rest, mut text) = (bits.as_str(), String::new());
    while rest.len() >= 5 && text.len() < 3 {
        let five = u8::from_str_radix(&rest[..5], 2).unwrap();
        let (digit, length) = match five {
            0..=2 => (five, 5),
            _ => (u8::from_str_radix(&rest[..6], 2).unwrap() - 0b01_1001 + 3, 6),
        };
        text.push(char::from(b'0' + digit));
        rest = &rest[length..];
    }
    text
}

#[test]
fn an_upgrade_whose_upload_never_ends_is_settled_when_its_client_is_done_with_it() {
    let (port, seen) =
        answers_heads("HTTP/1.1 101 Switching Protocols\r\nupgrade: echo\r\nconnection: upgrade\r\n\r\n");
    let plane = DataPlane::start(&one_pool(&[port], "timeouts = { idle = \"1s\" }"));
    for leaves in [true, false] {
        let before = plane.counted(&REQUESTS, &[]);
        let mut client = connect(&plane);
        client
            .write_all(
                b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\nContent-Length: 10\r\n\r\nabc",
            )
            .unwrap();
        seen.recv().unwrap();
        assert!(head(&mut client).starts_with("HTTP/1.1 101 "));
        assert_eq!(plane.counted(&IN_FLIGHT, &[]), 1);
        if leaves {
            client.shutdown(std::net::Shutdown::Write).unwrap();
        }
        soon("it is settled", || plane.counted(&REQUESTS, &["client_gone"]) == before + 1);
        soon("its place is free", || plane.counted(&IN_FLIGHT, &[]) == 0);
        assert_eq!(plane.accounts(|account| account.in_flight.get()), 0);
    }
    plane.drain();
}

#[test]
fn what_is_answered_before_its_upload_reaches_a_client_that_is_still_sending() {
    let (port, _seen) = endpoint(OK);
    let limits = "[limits]\nheader_bytes = \"8KiB\"\n";
    let plane = DataPlane::start(&format!(
        "{}{limits}",
        one_pool(&[port], "hosts = [\"a\"]\nbody_bytes = \"10KiB\"")
    ));
    for (host, status) in [("a", "413"), ("b", "404")] {
        let mut client = connect(&plane);
        write!(client, "POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5000000\r\n\r\n").unwrap();
        soon("it is answered", || plane.counted(&REQUESTS, &["4xx"]) >= 1);
        for nth in 0..3 {
            client.write_all(&[0; 65536]).unwrap_or_else(|error| panic!("{status} {nth}: {error}"));
            std::thread::sleep(Duration::from_millis(50));
        }
        let answer = head(&mut client);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
    plane.drain();
}

#[test]
fn a_stream_whose_client_takes_nothing_ends_alone() {
    let far = Endpoint::start("far");
    let route = "timeouts = { idle = \"1s\" }";
    let plane = DataPlane::start(&format!("{H2C}{}", one_pool(&[far.addr().port()], route)));
    let stuck = || {
        far.behave(Behaviour::Serve);
        let mut client = H2c::connect(&plane);
        // Room on the connection, but no more than 65535 bytes on any stream.
        client.send(8, 0, 0, &(1_u32 << 20).to_be_bytes());
        client.get(1, "/bytes/1000000");
        soon("it is under way", || plane.counted(&IN_FLIGHT, &[]) == 1);
        client
    };
    let mut asking = stuck();
    std::thread::sleep(Duration::from_secs(1));
    far.behave(Behaviour::Slow(Duration::from_millis(1500)));
    asking.get(3, "/");
    assert_eq!(asking.status(3), "200", "the other had its own time");
    soon("the first is given up", || plane.counted(&REQUESTS, &["client_gone"]) == 1);
    let mut pinging = stuck();
    soon("pings are no answer taken", || {
        pinging.send(6, 0, 0, &[0; 8]);
        plane.counted(&IN_FLIGHT, &[]) == 0
    });
    drop((asking, pinging));
    plane.drain();
}

#[test]
fn a_stream_that_was_answered_early_and_sends_nothing_more_ends_alone() {
    let (port, _seen) = answers_heads(NO);
    let plane = DataPlane::start(&format!("{H2C}{}", one_pool(&[port], "timeouts = { idle = \"1s\" }")));
    let mut client = H2c::connect(&plane);
    client.head(1, false, &[(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/")]);
    client.send(0, 0, 1, b"abc");
    while client.frame().0 != 3 {}
    client.get(3, "/");
    while !matches!(client.frame(), (1, 3, _)) {}
    drop(client);
    plane.drain();
}

#[test]
fn a_retry_that_takes_its_time_to_connect_is_waited_for() {
    // Closes each connection on which a request has come.
    let closes = TcpListener::bind("127.0.0.1:0").unwrap();
    let first = closes.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in closes.incoming() {
            let _ = stream.unwrap().read(&mut [0; 4096]);
        }
    });
    let hole = Blackhole::start();
    let route = "retry = { attempts = 1 }\ntimeouts = { connect = \"2500ms\" }";
    let plane = DataPlane::start(&in_order(&[first, hole.addr()], "", route));
    let answer = ask(&plane, GET);
    assert!(answer.contains("details=\"connect_failed\""), "{answer:?}");
    plane.drain();
}

#[test]
fn a_long_answer_that_leaves_its_upload_unread_arrives_whole() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, mut request) = (stream.unwrap(), [0; 4096]);
            let read = stream.read(&mut request).unwrap();
            let target = String::from_utf8_lossy(&request[..read]);
            let length: usize = target[6..].split(' ').next().unwrap().parse().unwrap();
            let _ = write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
            let _ = stream.write_all(&vec![7; length]);
        }
    });
    let plane = DataPlane::start(&one_pool(&[port], ""));
    // Of one of these lengths the socket takes all but the last bytes, which wait here.
    for length in (1..160).map(|nth| nth * 50_000) {
        let mut client = connect(&plane);
        write!(client, "POST /{length} HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n").unwrap();
        assert!(head(&mut client).starts_with("HTTP/1.1 200 "));
        std::thread::sleep(Duration::from_millis(40));
        let mut body = Vec::new();
        client.read_to_end(&mut body).unwrap();
        assert_eq!(body.len(), length);
    }
    plane.drain();
}
