//! What counts against an endpoint and what does not: errors that every region gives, answers about the request, and
//! endpoints of which one instance fails.

mod common;

use std::{
    fmt::Write as _,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use common::{assert_ours, hammer, regions};
use thalweg_testkit::{Behaviour, Client, Conf, Edge, Endpoint, eventually};

const SOON: Duration = Duration::from_secs(20);

/// The first failure ejects, for good.
const STRICT: &str = "[eject]\nconsecutive_failures = 1\nbase = \"60s\"";

/// Asks `count` times; one request in five, in no order, asks for an error. Returns how often each endpoint answered.
fn ask(client: &mut Client, count: u32, turn: &mut u32) -> [u32; 2] {
    let mut by = [0, 0];
    for _ in 0..count {
        *turn = turn.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let path = if (*turn >> 16).is_multiple_of(5) { "/status/500" } else { "/" };
        let reply = client.ask("POST", path, "", b"x").expect("an answer");
        by[usize::from(reply.endpoint() == "b")] += 1;
    }
    by
}

#[test]
fn errors_that_both_regions_answer_keep_neither_out() {
    let endpoints = [Endpoint::start("a"), Endpoint::start("b")];
    endpoints[1].refuse();
    let edge = Edge::start(&Conf::simple_with("weighted", &endpoints.each_ref().map(Endpoint::addr), ""));
    edge.until_up(1);
    let (mut client, mut turn) = (Client::connect(edge.web()), 1);
    assert_eq!(ask(&mut client, 64, &mut turn), [64, 0]);
    endpoints[1].revive();
    edge.until_up(2);
    let by = ask(&mut client, 600, &mut turn);
    assert!(by.iter().all(|by| *by >= 250), "both serve: {by:?} {:?}", edge.events_of("ejected"));
    eventually("the endpoint is reported as spared", SOON, || {
        ask(&mut client, 20, &mut turn);
        let told = edge.events_of("spared");
        told.iter().any(|event| event["detail"].as_str().is_some_and(|text| text.contains("fail as often")))
    });
    let told = edge.events_of("spared").remove(0);
    assert!(told["detail"].as_str().is_some_and(|detail| detail.contains("others fail as ")), "{told}");
}

#[test]
fn answers_about_the_request_eject_no_endpoint() {
    let (edge, endpoints) = regions(2, "failover", "", STRICT);
    let mut client = Client::connect(edge.web());
    for status in [501, 505, 506, 508, 510, 511] {
        endpoints[0].behave(Behaviour::Status(status));
        let reply = client.ask("POST", "/", "", b"x").expect("an answer");
        assert_eq!((reply.status, reply.endpoint()), (status, "a"));
    }
    assert!(edge.events_of("ejected").is_empty(), "{:?}", edge.events_of("ejected"));
    endpoints[0].behave(Behaviour::Status(500));
    client.ask("POST", "/", "", b"x").expect("an answer");
    eventually("an error of its own does", SOON, || !edge.events_of("ejected").is_empty());
}

#[test]
fn an_answer_with_too_many_fields_has_its_own_name_and_ejects_no_endpoint() {
    let (edge, endpoints) = regions(2, "failover", "", STRICT);
    let mut head = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n".to_owned();
    for nth in 0..1000 {
        let _ = write!(head, "link: </{nth}>\r\n");
    }
    endpoints[0].behave(Behaviour::Raw(Bytes::from(head + "\r\n")));
    for nth in 1..=5 {
        let mut client = Client::connect(edge.web());
        assert_ours(&client.get("/"), 502, "answer_fields");
        assert_eq!((endpoints[0].hits(), endpoints[1].hits()), (nth, 0), "not tried again");
    }
    assert!(edge.events_of("ejected").is_empty(), "{:?}", edge.events_of("ejected"));
}

/// An endpoint whose answers are made from the request's head.
fn scripted(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("an address");
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            std::thread::spawn(move || {
                while let Some(head) = read_head(&mut client) {
                    if client.write_all(answer(&head).as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    addr
}

/// The next head on a connection; nothing at its end.
fn read_head(client: &mut TcpStream) -> Option<String> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        match client.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return None,
        }
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}

fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nx-endpoint: a\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// Two weighted pools, the second of them an ordinary endpoint; probes every 100 ms, with these keys besides.
fn beside(first: SocketAddr, policy: &str, keys: &str) -> (Edge, Endpoint) {
    let other = Endpoint::start("b");
    let probe =
        format!("[probe.quick]\ninterval = \"100ms\"\ntimeout = \"100ms\"\nconfirm = \"50ms\"\n{keys}\n");
    let conf = Conf::new()
        .raw(&probe)
        .listener("web", "")
        .pool("pa", &[first], "probe = \"quick\"")
        .pool("pb", &[other.addr()], "probe = \"quick\"")
        .route("all", policy, &["pa", "pb"], "failback = { mode = \"immediate\" }");
    let edge = Edge::start(&conf);
    edge.until_up(2);
    (edge, other)
}

fn downs(edge: &Edge, addr: SocketAddr) -> usize {
    let addr = addr.to_string();
    edge.events_of("endpoint")
        .iter()
        .filter(|event| event["to"] == "down" && event["endpoint"] == addr)
        .count()
}

#[test]
fn an_address_with_one_failing_instance_of_three_keeps_a_part_of_its_share() {
    static SICK: AtomicU64 = AtomicU64::new(0);
    let asked = AtomicU64::new(0);
    let behind = move |head: &str| {
        if !head.contains(" /health ") {
            return answer("200 OK", "");
        }
        // 0: all three instances are healthy; 1: one fails; 3: all fail.
        let nth = asked.fetch_add(1, Ordering::SeqCst) % 3;
        let sick = nth < SICK.load(Ordering::SeqCst);
        if sick { answer("503 Sick", "") } else { answer("200 OK", "") }
    };
    let addr = scripted(behind);
    let (edge, _other) = beside(addr, "weighted", "");
    SICK.store(1, Ordering::SeqCst);
    eventually("its probes contradict each other", SOON, || edge.endpoint(addr)["probe"] == "flapping");
    let told = edge.events_of("flapping");
    assert!(told.iter().any(|event| event["on"] == true && event["of"].as_u64() > Some(0)), "{told:?}");
    eventually("its share is scaled", SOON, || {
        let seen = edge.endpoint(addr);
        let (good, of) = (seen["flapping"]["good"].as_u64(), seen["flapping"]["of"].as_u64());
        let part = seen["scale"].as_f64().unwrap_or(1.0);
        good.zip(of).is_some_and(|(good, of)| of >= 8 && good < of) && (0.5..0.9).contains(&part)
    });
    let said = edge.explain("host=api.test&path=/");
    let reduced = &said["pools"][0]["reduced"][0];
    assert_eq!(
        (&reduced["endpoint"], &reduced["probe"]),
        (&addr.to_string().into(), &"flapping".into()),
        "{said}"
    );
    assert!(said["pools"][0]["share"].as_f64().is_some_and(|share| (0.2..0.49).contains(&share)), "{said}");
    let by = hammer(edge.web(), 2, 200);
    assert!(by["a"] > 80 && by["a"] < by["b"], "{by:?}");
    assert_eq!(downs(&edge, addr), 0, "{:?}", edge.events_of("endpoint"));
    SICK.store(3, Ordering::SeqCst);
    eventually("the endpoint is down", SOON, || !edge.is_up(addr));
    SICK.store(0, Ordering::SeqCst);
    eventually("the endpoint is healthy", SOON, || {
        edge.is_up(addr) && edge.endpoint(addr)["probe"] == "healthy"
    });
}

#[test]
fn a_health_answer_scales_the_share_of_its_endpoint() {
    static BODY: Mutex<&str> = Mutex::new(r#"{"status":"ok"}"#);
    let say = |body: &'static str| *BODY.lock().expect("the body") = body;
    let addr = scripted(|head: &str| {
        let health = head.contains(" /health ");
        answer("200 OK", if health { *BODY.lock().expect("the body") } else { "" })
    });
    let (edge, _other) = beside(addr, "failover", "weight_from_body = true");
    let share = || edge.explain("host=api.test&path=/")["pools"][0]["share"].as_f64().unwrap_or(-1.0);
    let takes = |part: f64| (share() - part).abs() < 0.001;
    eventually("all", SOON, || takes(1.0));
    for (body, part, weight) in [
        (r#"{"status":"degraded"}"#, 0.5, 50),
        (r#"{"status":"degraded","weight":20}"#, 0.2, 20),
        (r#"{"status":"ok","weight":70}"#, 0.7, 70),
        (r#"{"status":"degraded","weight":0}"#, 0.0, 0),
        (r#"{"status":"degraded","weight":-5}"#, 1.0, 100),
        (r#"{"status":"degraded","weight":40}"#, 0.4, 40),
        (r#"{"status":"degraded","weight":"40"}"#, 1.0, 100),
        ("fine", 1.0, 100),
    ] {
        say(body);
        eventually(&format!("{body} is {part}"), SOON, || {
            takes(part) && edge.endpoint(addr)["weight_from_body"] == weight
        });
        assert_eq!(downs(&edge, addr), 0, "{body}");
    }
    for trouble in ["`weight` is -5", r#"`weight` is "40""#, "no JSON"] {
        let tells =
            |event: &serde_json::Value| event["trouble"].as_str().is_some_and(|text| text.contains(trouble));
        eventually(&format!("told: {trouble}"), SOON, || edge.events_of("weighed").iter().any(tells));
    }
    let note = edge.endpoint(addr)["last_probe"]["note"].clone();
    assert!(note.as_str().is_some_and(|note| note.contains("no JSON")), "{note}");
    say(r#"{"weight":0}"#);
    eventually("the endpoint drains", SOON, || edge.endpoint(addr)["availability"] == "affinity_only");
    assert_eq!(hammer(edge.web(), 1, 20)["b"], 20);
    say(r#"{}"#);
    eventually("the endpoint has its whole share again", SOON, || takes(1.0));
}

/// An endpoint that answers a POST with 413 as soon as it has read the head, and closes with the upload unread: the kernel
/// resets the connection. GETs are fine.
fn slamming() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("an address");
    let serve = |mut client: TcpStream| {
        let mut seen = Vec::new();
        let mut piece = [0; 4096];
        while !seen.windows(4).any(|end| end == b"\r\n\r\n") {
            match client.read(&mut piece) {
                Ok(count @ 1..) => seen.extend_from_slice(&piece[..count]),
                _ => return,
            }
        }
        let status = if seen.starts_with(b"POST") { "413 Too Large" } else { "200 OK" };
        let answer =
            format!("HTTP/1.1 {status}\r\nx-endpoint: a\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
        let _ = client.write_all(answer.as_bytes());
    };
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            std::thread::spawn(move || serve(client));
        }
    });
    addr
}

#[test]
fn refused_uploads_eject_no_endpoint() {
    let (slamming, other) = (slamming(), Endpoint::start("b"));
    let route = "body_bytes = \"64MiB\"";
    let conf = Conf::simple_with("failover", &[slamming, other.addr()], route).raw(STRICT);
    let edge = Edge::start(&conf);
    edge.until_up(2);
    let body = vec![b'x'; 5 << 20];
    let outcome = |outcome| {
        let labels = [("pool", "p0"), ("outcome", outcome)];
        edge.metric("thalweg_endpoint_requests_total", &labels)
    };
    for _ in 0..20 {
        // The answer itself may be lost with the connection.
        let _ = Client::connect(edge.web()).ask("POST", "/upload", "", &body);
    }
    eventually("all uploads have ended", SOON, || {
        outcome("ok") + outcome("reset") + outcome("client_gone") >= 20.0
    });
    assert!(edge.events_of("ejected").is_empty(), "{:?}", edge.events_of("ejected"));
    assert_eq!(Client::connect(edge.web()).get("/").endpoint(), "a");
}
