//! Races for a connection and for a first byte: what they cost, and what the loser says about its endpoint where nothing is
//! known about that yet.

use std::{thread, time::Duration};

use thalweg_core::bucket_of;
use thalweg_edge::shared::stats::EndpointStats;

use super::*;

const LATE: &str = "retry = { hedge = true }\ntimeouts = { first_byte = \"4s\" }";

/// An endpoint that behaves like this beside a fast one; `asked` GETs at once, all of which the fast one answers.
fn beside_a_fast_one(behaviour: Behaviour, route: &str, asked: usize) -> (DataPlane, Endpoint, Endpoint) {
    race([behaviour, Behaviour::Serve], route, ("/", asked))
}

/// Two that behave like this; GETs for one target at once, all of which the second one answers.
fn race(
    behaviours: [Behaviour; 2],
    route: &str,
    (target, asked): (&str, usize),
) -> (DataPlane, Endpoint, Endpoint) {
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    for (endpoint, behaviour) in [&first, &second].into_iter().zip(behaviours) {
        endpoint.behave(behaviour);
    }
    let plane = DataPlane::start(&in_order(&[first.addr(), second.addr()], "", route));
    let get = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
    thread::scope(|scope| {
        let asking: Vec<_> = (0..asked).map(|_| scope.spawn(|| ask(&plane, &get))).collect();
        asking.into_iter().for_each(|asking| assert!(asking.join().unwrap().starts_with("HTTP/1.1 200")));
    });
    assert_eq!((plane.counted(&HEDGES, &["won"]), second.hits()), (asked as u64, asked));
    (plane, first, second)
}

fn evidence(plane: &DataPlane) -> [u64; 3] {
    let counts: [fn(&EndpointStats) -> u64; 3] =
        [|at| at.good.get(), |at| at.failed.get(), |at| at.late.get()];
    counts.map(|count| plane.accounts(count))
}

/// The faults that were reported to the keeper, without those of this edge itself.
fn faults(plane: &mut DataPlane) -> Vec<Fault> {
    let told = std::iter::from_fn(|| plane.suspects.try_recv().ok()).map(|hint| hint.fault);
    told.filter(|fault| *fault != Fault::Local).collect()
}

#[test]
fn a_slow_endpoint_that_loses_its_races_builds_a_baseline_and_is_not_late() {
    let slow = Behaviour::Slow(Duration::from_millis(800));
    let (mut plane, _first, _second) = beside_a_fast_one(slow, LATE, 4);
    soon("the losers answer", || evidence(&plane) == [8, 0, 0]);
    assert_eq!(faults(&mut plane), []);
    let from = bucket_of(Duration::from_millis(800));
    let slow = |account: &EndpointStats| account.spans.read()[from..].iter().sum::<u32>().into();
    assert_eq!(plane.accounts(slow), 4);
    assert_eq!(plane.counted(&ENDPOINT_REQUESTS, &["cancelled"]), 0);
    plane.drain();
}

#[test]
fn a_loser_has_as_long_again_as_its_race_took() {
    let slow = [3_600, 1_900].map(|ms| Behaviour::Slow(Duration::from_millis(ms)));
    let (mut plane, _first, _second) = race(slow, "retry = { hedge = true }", ("/", 1));
    soon("the loser answers", || evidence(&plane) == [2, 0, 0]);
    assert_eq!(faults(&mut plane), []);
    plane.drain();
}

#[test]
fn a_long_answer_of_a_loser_is_good_although_it_is_not_read_to_its_end() {
    let slow = [Behaviour::Slow(Duration::from_millis(800)), Behaviour::Serve];
    let (plane, _first, _second) = race(slow, LATE, ("/bytes/300000", 1));
    soon("the loser answers", || evidence(&plane) == [2, 0, 0]);
    plane.drain();
}

#[test]
fn an_endpoint_that_never_answers_is_late_although_all_its_requests_were_raced() {
    let (mut plane, _first, _second) = beside_a_fast_one(Behaviour::Hang, LATE, 4);
    assert_eq!(evidence(&plane), [4, 0, 0], "the race has no verdict yet");
    assert_eq!((plane.counted(&IN_FLIGHT, &[]), faults(&mut plane).len()), (0, 0), "the loser takes no slot");
    soon("they are late", || evidence(&plane) == [4, 0, 4]);
    assert_eq!(faults(&mut plane), [Fault::Late; 4]);
    assert_eq!(plane.counted(&ENDPOINT_REQUESTS, &["cancelled"]), 4);
    plane.drain();
}

#[test]
fn losers_beyond_the_limit_are_no_evidence() {
    let (plane, _first, _second) = beside_a_fast_one(Behaviour::Hang, LATE, 20);
    soon("they are late", || evidence(&plane) == [20, 0, 16]);
    assert_eq!(plane.counted(&ENDPOINT_REQUESTS, &["cancelled"]), 20);
    plane.drain();
}

#[test]
fn a_loser_that_fails_is_counted_as_what_it_did() {
    let (mut plane, first, _second) = beside_a_fast_one(Behaviour::Hang, "retry = { hedge = true }", 1);
    first.cut();
    soon("the loser has failed", || evidence(&plane) == [1, 1, 0]);
    assert_eq!(faults(&mut plane), [Fault::Reset]);
    plane.drain();
}

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
    assert_eq!(plane.counted(&ENDPOINT_REQUESTS, &["connect_failed"]), 0, "the connects still go on");
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
