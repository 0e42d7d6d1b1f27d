//! Uploads whose attempts wait for a connect: the client is not taken for gone, and its bytes stay its own.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use thalweg_testkit::Blackhole;

use crate::{
    support::{DataPlane, GET, ask, in_order},
    uploads::{connect, head},
};

/// Closes each connection on which a request has come.
fn closes_on_a_request() -> SocketAddr {
    let closes = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = closes.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in closes.incoming() {
            let _ = stream.unwrap().read(&mut [0; 4096]);
        }
    });
    address
}

#[test]
fn a_retry_that_takes_its_time_to_connect_is_waited_for() {
    let hole = Blackhole::start();
    let route = "retry = { attempts = 1 }\ntimeouts = { connect = \"2500ms\" }";
    let plane = DataPlane::start(&in_order(&[closes_on_a_request(), hole.addr()], "", route));
    let answer = ask(&plane, GET);
    assert!(answer.contains("details=\"connect_failed\""), "{answer:?}");
    plane.drain();
}

#[test]
fn a_client_that_sent_its_upload_whole_and_ended_is_waited_for() {
    let hole = Blackhole::start();
    let route = "timeouts = { connect = \"2500ms\" }";
    let plane = DataPlane::start(&in_order(&[hole.addr()], "", route));
    for upload in
        ["Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"]
    {
        let answer = ask(&plane, &format!("POST / HTTP/1.1\r\nHost: a\r\n{upload}"));
        assert!(answer.contains("details=\"connect_failed\""), "{upload}: {answer:?}");
    }
    plane.drain();
}

#[test]
fn a_retry_that_connects_for_longer_than_an_upload_may_be_silent_is_waited_for() {
    let hole = Blackhole::start();
    let route = "retry = { attempts = 1 }\ntimeouts = { connect = \"3500ms\", idle = \"1s\" }";
    let plane = DataPlane::start(&in_order(&[closes_on_a_request(), hole.addr()], "", route));
    let mut client = connect(&plane);
    client.write_all(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc").unwrap();
    let answer = head(&mut client);
    assert!(answer.contains("details=\"connect_failed\""), "{answer:?}");
    plane.drain();
}

#[test]
fn the_rest_of_an_upload_does_not_count_towards_the_next_target() {
    let hole = Blackhole::start();
    let limits = "[limits]\nheader_bytes = \"8KiB\"\n";
    let route = "timeouts = { connect = \"500ms\" }";
    let plane = DataPlane::start(&format!("{}{limits}", in_order(&[hole.addr()], "", route)));
    let mut client = connect(&plane);
    let (first, rest) = (vec![b'x'; 1000], vec![b'x'; 7000]);
    client.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8000\r\n\r\n").unwrap();
    client.write_all(&first).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    client.write_all(&rest).unwrap();
    for target in ["", &"y".repeat(2000)] {
        if !target.is_empty() {
            write!(client, "GET /{target} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        }
        let answer = head(&mut client);
        assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
        let length = answer.split_once("Content-Length: ").unwrap().1.split_once('\r').unwrap().0;
        client.read_exact(&mut vec![0; length.parse().unwrap()]).unwrap();
    }
    plane.drain();
}
