//! The reader beside `httparse` and hyper on generated input: what it accepts they read the same way. What they accept and
//! it refuses has a rule, named in a table; a rule that no input meets fails the test as well.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

mod common;
#[path = "common/generate.rs"]
mod generate;
#[path = "smuggling/mod.rs"]
mod corpus;

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, time::Duration};

use common::{requests, whole};
use generate::message;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, Response, body::Bytes, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use thalweg_wire::{
    AnswerHead, AnswerReader, AnswerStep, AnswerTo, Limits, RequestHead, RequestReader, RequestStep,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const LIMITS: Limits = Limits { head_bytes: 8192, fields: 64 };

/// The rules by which `httparse` accepts what this reader refuses. It reads heads alone, and leaves the meaning of target,
/// `Host` and framing to its caller.
const STRICTER_THAN_HTTPARSE: &[(&str, &str)] = &[
    ("bare_lf", "an LF alone ends a field line"),
    ("bad_version", "an LF alone ends the request line"),
    ("bad_method", "any number of empty lines may come first"),
    ("method_too_long", "a method has no limit"),
    ("bad_target", "a target may have a fragment, and bytes outside ASCII"),
    ("target_form", "a target is not read"),
    ("bad_authority", "a target is not read"),
    ("missing_host", "fields are not read"),
    ("repeated_host", "fields are not read"),
    ("bad_host", "fields are not read"),
    ("bad_content_length", "fields are not read"),
    ("repeated_content_length", "fields are not read"),
    ("length_too_large", "fields are not read"),
    ("length_with_coding", "fields are not read"),
    ("bad_transfer_coding", "fields are not read"),
    ("repeated_transfer_coding", "fields are not read"),
    ("unknown_transfer_coding", "fields are not read"),
    ("coding_in_http10", "fields are not read"),
];

/// The rules by which hyper accepts what this reader refuses.
const STRICTER_THAN_HYPER: &[(&str, &str)] = &[
    ("bare_lf", "an LF alone ends a field line and a chunk's size"),
    ("bad_version", "an LF alone ends the request line"),
    ("bad_method", "any number of empty lines may come first"),
    ("bad_target", "a fragment is cut off, bytes outside ASCII pass"),
    ("target_form", "a target need not fit its method; any scheme passes"),
    ("bad_authority", "user information passes"),
    ("missing_host", "a service may do without"),
    ("repeated_host", "a service may choose"),
    ("bad_host", "a service may choose"),
    ("repeated_content_length", "equal lengths pass as one"),
    ("length_with_coding", "the length is removed"),
    ("bad_transfer_coding", "the list may have empty members, and codings that are not registered"),
    ("repeated_transfer_coding", "the last one counts"),
    ("unknown_transfer_coding", "codings in front of `chunked` are left to the service"),
    ("bad_chunk_size", "white space may follow the size"),
    ("bad_chunk_extension", "extensions are not read"),
    ("forbidden_trailer", "trailer fields are not read"),
];

/// What random messages meet in long runs only.
const RARE: &[&str] = &[
    "METHODMETHODMETHODMETHODMETHODMETHODMETHOD",
    "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
];

/// The same inputs in every run: random messages, and a part of the smuggling attempts.
fn inputs(random: usize) -> Vec<Vec<u8>> {
    let mut runner = TestRunner::deterministic();
    let strategy = message();
    let mut sample = || strategy.new_tree(&mut runner).expect("a message").current();
    let mut inputs: Vec<Vec<u8>> = (0..random).map(|_| sample()).collect();
    inputs.extend(RARE.iter().map(|text| text.as_bytes().to_vec()));
    inputs.extend(corpus::attempts("a").into_iter().map(|attempt| attempt.bytes));
    inputs
}

/// Compares on every input; the differences must be those of the tables, each met at least once.
fn check(random: usize, stricter: &[(&str, &str)], compare: impl Fn(&[u8]) -> Result<(), String>) {
    let mut differences: BTreeMap<String, String> = BTreeMap::new();
    for input in inputs(random) {
        if let Err(rule) = compare(&input) {
            differences.entry(rule).or_insert_with(|| String::from_utf8_lossy(&input).into_owned());
        }
    }
    let is_named = |rule: &str| stricter.iter().any(|(named, _)| *named == rule);
    let unnamed: Vec<_> = differences.iter().filter(|(rule, _)| !is_named(rule)).collect();
    assert!(unnamed.is_empty(), "differences without a rule: {unnamed:#?}");
    let unmet: Vec<_> = stricter.iter().filter(|(rule, _)| !differences.contains_key(*rule)).collect();
    assert!(unmet.is_empty(), "rules without a difference: {unmet:?}");
}

fn beside_httparse(input: &[u8]) -> Result<(), String> {
    let mut head = RequestHead::default();
    let ours = RequestReader::new(LIMITS).head(input, &mut head);
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut theirs = httparse::Request::new(&mut fields);
    match (ours, theirs.parse(input)) {
        (Ok(RequestStep::Head { consumed }), Ok(httparse::Status::Complete(length))) => {
            let fields = head.fields().iter().map(|field| (field.name, field.value));
            let same = consumed == length
                && Some(head.method_name()) == theirs.method
                && Some(head.target()) == theirs.path
                && fields.eq(theirs.headers.iter().map(|field| (field.name.as_bytes(), field.value)));
            if same { Ok(()) } else { Err("the heads differ".to_owned()) }
        }
        (Ok(RequestStep::More), Ok(httparse::Status::Partial)) | (Err(_), Err(_)) => Ok(()),
        (Err(error), Ok(_)) => Err(error.as_str().to_owned()),
        (Ok(_), theirs) => Err(format!("httparse: {theirs:?}")),
    }
}

#[test]
fn differences_to_httparse_have_rules() {
    check(20_000, STRICTER_THAN_HTTPARSE, beside_httparse);
}

/// The rules by which `httparse` accepts an answer that this reader refuses.
const STRICTER_ANSWERS: &[(&str, &str)] = &[
    ("bare_lf", "an LF alone ends any line"),
    ("bad_status_line", "empty lines may come first"),
    ("bad_content_length", "fields are not read"),
    ("repeated_content_length", "fields are not read"),
    ("length_with_coding", "fields are not read"),
    ("repeated_transfer_coding", "fields are not read"),
    ("unknown_transfer_coding", "fields are not read"),
    ("coding_in_http10", "fields are not read"),
    ("body_forbidden", "fields are not read"),
];

fn answers_beside_httparse(input: &[u8]) -> Result<(), String> {
    let mut head = AnswerHead::default();
    let to = AnswerTo { head: false, upgrade: true };
    let ours = AnswerReader::new(to, LIMITS).head(input, &mut head);
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut theirs = httparse::Response::new(&mut fields);
    match (ours, theirs.parse(input)) {
        (
            Ok(
                AnswerStep::Head { consumed }
                | AnswerStep::Interim { consumed }
                | AnswerStep::Switched { consumed },
            ),
            Ok(httparse::Status::Complete(length)),
        ) => {
            let fields = head.fields().iter().map(|field| (field.name, field.value));
            let same = consumed == length
                && Some(head.status()) == theirs.code
                && fields.eq(theirs.headers.iter().map(|field| (field.name.as_bytes(), field.value)));
            if same { Ok(()) } else { Err("the heads differ".to_owned()) }
        }
        (Ok(AnswerStep::More), Ok(httparse::Status::Partial)) | (Err(_), Err(_)) => Ok(()),
        (Err(error), Ok(_)) => Err(error.as_str().to_owned()),
        (Ok(_), theirs) => Err(format!("httparse: {theirs:?}")),
    }
}

#[test]
fn differences_to_httparse_in_answers_have_rules() {
    check(40_000, STRICTER_ANSWERS, answers_beside_httparse);
}

/// What hyper handed on of one connection: its requests, and their content.
type Handed = (Vec<String>, Vec<u8>);

fn hyper(input: &[u8]) -> Handed {
    let seen = Rc::new(RefCell::new(Handed::default()));
    let book = Rc::clone(&seen);
    let service = service_fn(move |request: Request<Incoming>| {
        let book = Rc::clone(&book);
        async move {
            let (head, body) = request.into_parts();
            book.borrow_mut().0.push(format!("{} {}", head.method, head.uri));
            let body = body.collect().await?.to_bytes();
            book.borrow_mut().1.extend_from_slice(&body);
            Ok::<_, hyper::Error>(Response::new(Empty::<Bytes>::new()))
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        let (mut client, server) = tokio::io::duplex(64 << 10);
        client.write_all(input).await.expect("the pipe holds it");
        client.shutdown().await.expect("a half-close");
        let mut hyper = hyper::server::conn::http1::Builder::new();
        let serve = hyper.half_close(true).serve_connection(TokioIo::new(server), service);
        let _ends_in_any_way = tokio::time::timeout(Duration::from_secs(5), serve).await;
        let _what_came = client.read_to_end(&mut Vec::new()).await;
    });
    seen.take()
}

fn beside_hyper(input: &[u8]) -> Result<(), String> {
    let ours = requests(&whole(input), LIMITS);
    let (theirs, content) = hyper(input);
    let wanted = ours.requests_until_close();
    if wanted < theirs.len() {
        return Err(ours.refusal().map_or("fewer requests".to_owned(), |error| error.as_str().to_owned()));
    }
    if wanted > theirs.len() {
        return Err(format!("hyper refuses: {:?}", ours.brief()));
    }
    let whole = ours.refusal().is_none() && wanted == ours.requests();
    if whole && ours.content() != content { Err("the bodies differ".to_owned()) } else { Ok(()) }
}

#[test]
fn differences_to_hyper_have_rules() {
    check(3_000, STRICTER_THAN_HYPER, beside_hyper);
}
