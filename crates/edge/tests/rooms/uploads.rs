//! Requests whose parts do not end in the usual order: answers before uploads, uploads without an end. Over real
//! sockets and without a control plane.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::Duration,
};

use thalweg_edge::shared::telemetry::{IN_FLIGHT, REQUESTS};
use thalweg_testkit::{Behaviour, Endpoint};

use crate::h2c::H2c;
use crate::support::{BOTH, DataPlane, OK, endpoint, free_port, one_pool, soon};

/// Answers each head with `answer`, whatever else comes, and reports all that it received, by connection.
pub(crate) fn answers_heads(answer: &'static str) -> (u16, mpsc::Receiver<(usize, String)>) {
    answers_each("X-Forwarded-For: ", answer)
}

/// The same, at this text.
pub(crate) fn answers_each(
    what: &'static str,
    answer: &'static str,
) -> (u16, mpsc::Receiver<(usize, String)>) {
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
pub(crate) fn connect(plane: &DataPlane) -> TcpStream {
    let stream = TcpStream::connect(plane.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

/// Reads one head (and the body of two bytes that [`OK`] has, if it is that).
pub(crate) fn head(client: &mut TcpStream) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        let mut byte = [0; 1];
        client.read_exact(&mut byte).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&text)));
        text.push(byte[0]);
    }
    String::from_utf8(text).unwrap()
}

/// For this long no byte comes and no connection ends.
fn hears_nothing(client: &TcpStream, span: Duration) {
    client.set_read_timeout(Some(span)).unwrap();
    let heard = (&*client).read(&mut [0; 1]).map_err(|error| error.kind());
    assert_eq!(heard, Err(std::io::ErrorKind::WouldBlock));
    client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
}

const NO: &str = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n";

#[test]
fn the_rest_of_an_upload_after_an_early_answer_is_not_parsed_as_a_request() {
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
    let all: String = seen.try_iter().map(|(_, text)| text).collect();
    let ours = |text: &str| all.matches(text).count();
    assert_eq!((ours("POST / HTTP"), ours("GET /next HTTP"), ours("Via:")), (2, 2, 4), "{all}");
    let early = |fields: &str| {
        let mut client = connect(&plane);
        write!(client, "POST / HTTP/1.1\r\nHost: a\r\n{fields}Content-Length: 5\r\n\r\n").unwrap();
        assert!(head(&mut client).starts_with("HTTP/1.1 401 "));
        client
    };
    let (clients, address) = ([early(""), early("Connection: close\r\n")], plane.address);
    let rest = std::thread::spawn(move || {
        soon("the worker drains", || TcpStream::connect(address).is_err());
        for mut client in clients {
            client.write_all(b"hello").unwrap();
            assert_eq!(client.read(&mut [0; 1]).unwrap(), 0, "closed after the upload");
        }
    });
    plane.drain();
    rest.join().unwrap();
    let rests = seen.try_iter().filter(|(_, text)| text.ends_with("hello")).count();
    assert_eq!(rests, 2, "their endpoints got it");
}

#[test]
fn an_upload_after_an_early_answer_holds_its_connection_at_most_for_idle() {
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
fn a_small_unread_upload_keeps_the_connection_usable() {
    let limits = "[limits]\nheader_timeout = \"500ms\"\n";
    let plane = DataPlane::start(&format!("{}{limits}", one_pool(&[free_port()], "")));
    let mut client = connect(&plane);
    for upload in ["Content-Length: 3\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"]
    {
        write!(client, "POST / HTTP/1.1\r\nHost: a\r\n{upload}").unwrap();
        let answer = head(&mut client);
        assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
        let length = answer.split_once("Content-Length: ").unwrap().1.split_once('\r').unwrap().0;
        client.read_exact(&mut vec![0; length.parse().unwrap()]).unwrap();
        hears_nothing(&client, Duration::from_millis(900));
    }
    plane.drain();
}

#[test]
fn a_complete_request_is_waited_for_however_its_upload_ended() {
    let (hangs, seen) = answers_heads("");
    let route = "timeouts = { first_byte = \"300ms\", idle = \"20s\" }";
    let plane = DataPlane::start(&format!("{BOTH}{}", one_pool(&[hangs], route)));
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
        let plane = DataPlane::start(&format!("{BOTH}{}", one_pool(&[port], "")));
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

#[test]
fn an_upgrade_that_comes_with_an_upload_is_no_upgrade() {
    let (port, seen) = answers_heads(OK);
    let plane = DataPlane::start(&one_pool(&[port], ""));
    let mut client = connect(&plane);
    let fields = "Connection: upgrade\r\nUpgrade: echo\r\nContent-Length: 3";
    write!(client, "POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\nabc").unwrap();
    assert!(head(&mut client).starts_with("HTTP/1.1 200 "));
    let seen = seen.recv().unwrap().1;
    assert!(!seen.contains("Upgrade:") && seen.ends_with("abc"), "{seen}");
    drop(client);
    plane.drain();
}

#[test]
fn an_early_answer_reaches_a_client_that_is_still_sending() {
    let (port, _seen) = endpoint(OK);
    let limits = "[limits]\nheader_bytes = \"8KiB\"\n";
    let plane = DataPlane::start(&format!(
        "{}{limits}",
        one_pool(&[port], "hosts = [\"a\"]\nbody_bytes = \"10KiB\"")
    ));
    for (host, status) in [("a", "413"), ("b", "404")] {
        let mut client = connect(&plane);
        write!(client, "POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5000000\r\n\r\n").unwrap();
        soon("the request is answered", || plane.counted(&REQUESTS, &["4xx"]) >= 1);
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
fn a_stream_whose_client_reads_nothing_ends_alone() {
    let far = Endpoint::start("far");
    let route = "timeouts = { idle = \"1s\" }";
    let plane = DataPlane::start(&format!("{BOTH}{}", one_pool(&[far.addr().port()], route)));
    let stuck = || {
        far.behave(Behaviour::Serve);
        let mut client = H2c::connect(&plane);
        // Room on the connection, but no more than 65535 bytes on any stream.
        client.send(8, 0, 0, &(1_u32 << 20).to_be_bytes());
        client.get(1, "/bytes/1000000");
        soon("the request is under way", || plane.counted(&IN_FLIGHT, &[]) == 1);
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
    let plane = DataPlane::start(&format!("{BOTH}{}", one_pool(&[port], "timeouts = { idle = \"1s\" }")));
    let mut client = H2c::connect(&plane);
    client.head(1, false, &[(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/")]);
    client.send(0, 0, 1, b"abc");
    while client.frame().0 != 3 {}
    client.get(3, "/");
    while !matches!(client.frame(), (1, 3, _)) {}
    drop(client);
    plane.drain();
}

/// Answers `POST /n` and `GET /n` with so many bytes at once; then waits for more, or hangs up, owing so many.
pub(crate) fn answers_at_length(owes: Option<usize>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = move |mut stream: TcpStream| {
        let mut request = [0; 4096];
        while let Ok(read @ 1..) = stream.read(&mut request) {
            let text = String::from_utf8_lossy(&request[..read]);
            let length = text.split_once(" /").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
            let Some(length) = length else { continue };
            let all: usize = length + owes.unwrap_or(0);
            let _ = write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {all}\r\n\r\n");
            let _ = stream.write_all(&vec![7; length]);
            if owes.is_some() {
                return;
            }
        }
    };
    std::thread::spawn(move || {
        listener.incoming().for_each(|stream| {
            let stream = stream.unwrap();
            std::thread::spawn(move || serve(stream));
        })
    });
    port
}

#[test]
fn a_long_answer_that_leaves_its_upload_unread_arrives_whole() {
    let port = answers_at_length(Some(0));
    let plane = DataPlane::start(&one_pool(&[port], ""));
    // Of one of these lengths the socket takes all but the last bytes, which wait here. Hyper ends otherwise where an
    // upgrade was asked for.
    let check = |nth: usize| {
        let (length, asks) = (nth * 50_000, ["", "Connection: upgrade\r\nUpgrade: h2c\r\n"][nth % 2]);
        let mut client = connect(&plane);
        write!(client, "POST /{length} HTTP/1.1\r\nHost: a\r\n{asks}Content-Length: 9000000\r\n\r\n")
            .unwrap();
        assert!(head(&mut client).starts_with("HTTP/1.1 200 "));
        std::thread::sleep(Duration::from_millis(40));
        let mut body = Vec::new();
        client.read_to_end(&mut body).unwrap();
        assert_eq!(body.len(), length);
    };
    // The edge waits a second for the rest of each upload before it closes: eight at a time.
    std::thread::scope(|scope| {
        for lane in 0..8 {
            scope.spawn(move || (1..160).filter(|nth| nth % 8 == lane).for_each(check));
        }
    });
    plane.drain();
}
