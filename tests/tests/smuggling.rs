//! The smuggling corpus of the wire engine, thousands of messages, through the real edge to an endpoint that records
//! every byte: nothing ambiguous arrives, and no smuggled request is seen as a request.

mod common;
#[path = "../../crates/wire/tests/smuggling/mod.rs"]
mod corpus;

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use corpus::{AFTER, Attempt, HIDDEN, attempts};
use http_desync_guardian::{
    ClassificationReason as Why, RequestSafetyTier as Tier, request_analyzer::HttpRequestData,
};
use thalweg_testkit::{Conf, Edge};
use thalweg_wire::{BodyEvent, Limits, RequestHead, RequestReader, RequestStep};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// What one connection brought: raw heads, and content.
#[derive(Debug, Default)]
struct Received {
    heads: Vec<Vec<u8>>,
    content: Vec<u8>,
    /// Why the strict reader could not go on.
    ambiguous: Option<String>,
}

/// An endpoint that answers each request and records what it was sent.
#[derive(Clone, Debug)]
struct Recorder {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Recorder {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let recorder = Self { address, received: Arc::default() };
        let told = recorder.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let told = told.clone();
                std::thread::spawn(move || {
                    let mut received = Received::default();
                    if let Err(problem) = serve(stream, &mut received) {
                        received.ambiguous = Some(problem);
                    }
                    told.received.lock().unwrap_or_else(PoisonError::into_inner).push(received);
                });
            }
        });
        recorder
    }
}

/// Serves a connection until it ends. An end within a request is no fault of it: a client may leave.
fn serve(mut stream: TcpStream, received: &mut Received) -> Result<(), String> {
    let mut reader = RequestReader::new(Limits::default());
    let mut head = RequestHead::default();
    let (mut buffer, mut unread) = ([0; 16384], Vec::new());
    let mut raw: Vec<u8> = Vec::new();
    let mut in_body = false;
    loop {
        let Ok(read @ 1..) = stream.read(&mut buffer) else { return Ok(()) };
        unread.extend_from_slice(&buffer[..read]);
        loop {
            if in_body {
                let step = reader.body(&unread).map_err(|error| format!("body: {error}"))?;
                if let BodyEvent::Data(place) = &step.event {
                    received.content.extend_from_slice(&unread[place.clone()]);
                }
                unread.drain(..step.consumed);
                match step.event {
                    BodyEvent::Data(_) => {}
                    BodyEvent::More => break,
                    BodyEvent::End => {
                        in_body = false;
                        if stream.write_all(ANSWER).is_err() {
                            return Ok(());
                        }
                    }
                }
            } else if unread.is_empty() {
                break;
            } else {
                let step = reader.head(&unread, &mut head);
                match step.map_err(|error| format!("{error}: {:?}", String::from_utf8_lossy(&unread)))? {
                    RequestStep::More => {
                        raw.append(&mut unread);
                        break;
                    }
                    RequestStep::Head { consumed } => {
                        raw.extend(unread.drain(..consumed));
                        received.heads.push(std::mem::take(&mut raw));
                        in_body = true;
                    }
                }
            }
        }
    }
}

/// Sends the bytes of one connection and reads all that comes back.
fn send(web: SocketAddr, attempt: &Attempt) -> Vec<u8> {
    let mut stream = TcpStream::connect(web).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    let _ = stream.write_all(&attempt.bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

fn target(head: &[u8]) -> &[u8] {
    head.split(|byte| *byte == b' ').nth(1).unwrap_or_default()
}

/// The finding of `http_desync_guardian`, and whether it is only content in a GET or HEAD (RFC 9110 section 9.3.1).
fn condemned(head: &[u8]) -> Option<(String, bool)> {
    let verdict = HttpRequestData::analyze_raw_request(head);
    let is_content = matches!(
        verdict.reason,
        Why::UndefinedContentLengthSemantics | Why::UndefinedTransferEncodingSemantics
    );
    let is_bad = !matches!(verdict.tier, Tier::Compliant | Tier::Acceptable);
    is_bad.then(|| (String::from_utf8_lossy(head).into_owned(), is_content))
}

#[test]
fn no_message_of_the_corpus_smuggles_a_request_through_the_edge() {
    let recorder = Recorder::start();
    let conf = Conf::new()
        .listener("web", "")
        .raw(&format!(
            "[pool.p]\nendpoints = [{{ address = \"{}\" }}]\n[eject]\nconsecutive_failures = 1000\n\
             [limits]\nheader_timeout = \"2s\"\n[log]\naccess = \"off\"\n",
            recorder.address
        ))
        .route("all", "failover", &["p"], "retry = { attempts = 0 }");
    let edge = Edge::start(&conf);
    let all = attempts("a.example");
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                while let Some(attempt) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let answer = String::from_utf8_lossy(&send(edge.web(), attempt)).into_owned();
                    let (refused, served) = (
                        answer.matches("\r\nProxy-Status: ").count(),
                        answer.matches("HTTP/1.1 200").count(),
                    );
                    // Some of the good ones close their connection, and the request behind them is not read.
                    let good = if attempt.must_be_refused {
                        (served, refused) == (0, 1)
                    } else {
                        (1..=2).contains(&served) && refused == 0
                    };
                    if !good {
                        let bytes = String::from_utf8_lossy(&attempt.bytes).into_owned();
                        wrong
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push(format!("{}: {bytes:?}: {answer:?}", attempt.name));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap_or_else(PoisonError::into_inner);
    assert!(
        wrong.is_empty(),
        "{} of {}: {:#?}",
        wrong.len(),
        all.len(),
        wrong.iter().take(5).collect::<Vec<_>>()
    );
    drop(edge);
    let received = recorder.received.lock().unwrap_or_else(PoisonError::into_inner);
    let ambiguous: Vec<&String> = received.iter().filter_map(|one| one.ambiguous.as_ref()).collect();
    assert!(ambiguous.is_empty(), "{} connections carried ambiguous bytes: {ambiguous:#?}", ambiguous.len());
    let heads: Vec<&Vec<u8>> = received.iter().flat_map(|one| &one.heads).collect();
    assert!(heads.iter().all(|head| target(head) != HIDDEN.as_bytes()), "a hidden request was served");
    assert!(heads.iter().any(|head| target(head) == AFTER.as_bytes()), "good messages arrive");
    let hidden = format!("GET {HIDDEN} ");
    let held = received.iter().any(|one| one.content.windows(hidden.len()).any(|w| w == hidden.as_bytes()));
    assert!(held, "the hidden request arrives as content");
    let others: BTreeSet<String> = heads
        .iter()
        .filter_map(|head| condemned(head))
        .filter(|(_, content)| !content)
        .map(|(text, _)| text)
        .collect();
    assert!(others.is_empty(), "http_desync_guardian objects to: {others:#?}");
    // Content in a GET is allowed, and some servers take it for the next request: nothing follows it.
    for one in received.iter() {
        let odd = one.heads.iter().position(|head| condemned(head).is_some());
        assert!(odd.is_none_or(|nth| nth + 1 == one.heads.len()), "something follows content in a GET");
    }
}
