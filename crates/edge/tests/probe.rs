//! Probes against raw sockets that answer byte by byte as told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use thalweg_core::{Evidence, Fault, ProbeRules};
use thalweg_edge::control::probe::{Plan, Prober};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::LocalSet,
};

/// The answer to the nth probe of a connection.
#[derive(Clone, Copy)]
enum Act {
    Say(&'static str),
    SayAndClose(&'static str),
    Hang,
    Reset,
}

async fn endpoint(act: impl Fn(usize) -> Act + 'static) -> (Plan, Arc<AtomicUsize>) {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    let act = std::rc::Rc::new(act);
    tokio::task::spawn_local(async move {
        loop {
            let (stream, _) = socket.accept().await.unwrap();
            count.fetch_add(1, Ordering::Relaxed);
            tokio::task::spawn_local(serve(stream, std::rc::Rc::clone(&act)));
        }
    });
    (plan(address), connections)
}

async fn serve(mut stream: TcpStream, act: std::rc::Rc<impl Fn(usize) -> Act>) {
    let mut seen = Vec::new();
    for question in 0.. {
        while !seen.windows(4).any(|end| end == b"\r\n\r\n") {
            match stream.read_buf(&mut seen).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
        seen.clear();
        match act(question) {
            Act::Say(text) => stream.write_all(text.as_bytes()).await.unwrap(),
            Act::SayAndClose(text) => return stream.write_all(text.as_bytes()).await.unwrap(),
            Act::Hang => std::future::pending().await,
            Act::Reset => return stream.set_zero_linger().unwrap(),
        }
    }
}

fn plan(address: std::net::SocketAddr) -> Plan {
    Plan {
        address,
        rules: ProbeRules {
            interval: Duration::from_secs(1),
            confirm: Duration::from_millis(100),
            timeout: Duration::from_millis(300),
            rise: 2,
            fall: 2,
            weight_from_body: false,
        },
        probe: thalweg_config::Probe {
            kind: thalweg_config::ProbeKind::Http,
            name: "p".into(),
            path: "/health?deep=1".into(),
            method: "GET".into(),
            expect_status: vec![(200, 299)],
            expect_json: Vec::new(),
            host: None,
            port: None,
            headers: vec![("x-probe".into(), "yes".into())],
        },
        host: "a.test:8000".into(),
        tls: None,
        send_proxy: false,
        idle: Duration::from_secs(4),
        age: Duration::from_secs(600),
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\n{\"status\":\"ok\"}";

async fn ask(prober: &mut Prober, plan: &Plan) -> Result<Duration, Evidence> {
    prober.ask(plan).await.expect("this machine can probe")
}

/// One probe of an endpoint that does this; `None` = the answer is good.
fn check(act: Act, json: bool, expected: Option<(Fault, &str)>) {
    run(async move {
        let (mut plan, _) = endpoint(move |_| act).await;
        if json {
            plan.probe.expect_json = vec![("status".into(), vec![json!("ok"), json!("degraded")])];
        }
        match (ask(&mut Prober::default(), &plan).await, expected) {
            (Ok(_), None) => {}
            (Err(seen), Some((fault, detail))) => {
                assert_eq!(seen.fault, fault, "{seen:?}");
                assert!(seen.detail.contains(detail), "{seen:?}");
            }
            (seen, _) => panic!("{seen:?}"),
        }
    });
}

fn run(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, work);
}

#[test]
fn a_probe_by_post_says_that_it_has_no_content() {
    run(async {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut plan = plan(socket.local_addr().unwrap());
        for (method, said) in [("POST", true), ("GET", false)] {
            plan.probe.method = method.into();
            let mut prober = Prober::default();
            let serving = async {
                let (mut stream, _) = socket.accept().await.unwrap();
                let mut seen = Vec::new();
                while !seen.ends_with(b"\r\n\r\n") {
                    assert_ne!(stream.read_buf(&mut seen).await.unwrap(), 0);
                }
                stream.write_all(OK.as_bytes()).await.unwrap();
                String::from_utf8(seen).unwrap()
            };
            let (seen, asked) = tokio::join!(serving, prober.ask(&plan));
            assert!(asked.unwrap().is_ok());
            assert_eq!(seen.contains("content-length: 0"), said, "{seen}");
        }
    });
}

#[test]
fn every_failure_is_told_apart() {
    check(Act::Say(OK), false, None);
    check(Act::Say(OK), true, None);
    check(Act::SayAndClose("HTTP/1.1 204 No Content\r\n\r\n"), false, None);
    let bad = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 9\r\n\r\nunhealthy";
    check(Act::Say(bad), false, Some((Fault::Status, "status 503, expected 200-299: unhealthy")));
    let ill = "HTTP/1.1 200 OK\r\ncontent-length: 16\r\n\r\n{\"status\":\"bad\"}";
    check(Act::Say(ill), true, Some((Fault::Body, "`status` is \"bad\"")));
    check(Act::Say(ill), false, None);
    check(Act::SayAndClose("HTTP/1.1 200 OK\r\n\r\nhello"), true, Some((Fault::Body, "no JSON")));
    check(Act::SayAndClose("SSH-2.0-OpenSSH_9\r\n"), false, Some((Fault::Protocol, "")));
    check(Act::SayAndClose("HTTP/1.1 200"), false, Some((Fault::Reset, "")));
    check(Act::SayAndClose("HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{"), true, Some((Fault::Reset, "")));
    check(Act::Reset, false, Some((Fault::Reset, "")));
    check(Act::Hang, false, Some((Fault::Timeout, "nothing within 300 ms while waiting for the head")));
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n";
    check(Act::Say(head), true, Some((Fault::Timeout, "reading the body")));
    check(Act::Say(head), false, None);
}

#[test]
fn a_closed_port_is_refused() {
    run(async {
        let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let seen = ask(&mut Prober::default(), &plan(address)).await.unwrap_err();
        assert_eq!(seen.fault, Fault::Refused);
        assert!(seen.detail.contains("111"), "{seen:?}");
    });
}

#[test]
fn one_connection_serves_many_probes() {
    run(async {
        let (plan, connections) = endpoint(|_| Act::Say(OK)).await;
        let mut prober = Prober::default();
        for _ in 0..5 {
            ask(&mut prober, &plan).await.unwrap();
        }
        assert_eq!(connections.load(Ordering::Relaxed), 1);
        let old = Plan { age: Duration::ZERO, ..plan };
        ask(&mut prober, &old).await.unwrap();
        assert_eq!(connections.load(Ordering::Relaxed), 2, "one that is too old is not used");
    });
}

#[test]
fn a_warm_connection_that_died_is_no_failure() {
    for death in [Act::Reset, Act::SayAndClose("")] {
        run(async move {
            let (plan, connections) = endpoint(move |nth| if nth == 0 { Act::Say(OK) } else { death }).await;
            let mut prober = Prober::default();
            for asked in 1..=4 {
                ask(&mut prober, &plan).await.unwrap();
                assert_eq!(connections.load(Ordering::Relaxed), asked);
            }
        });
    }
}

#[test]
fn a_late_answer_is_not_taken_for_the_next_one() {
    run(async {
        let (plan, connections) = endpoint(|_| Act::Hang).await;
        let mut prober = Prober::default();
        for asked in 1..=2 {
            let seen = ask(&mut prober, &plan).await.unwrap_err();
            assert_eq!((seen.fault, connections.load(Ordering::Relaxed)), (Fault::Timeout, asked));
        }
    });
}
