//! What the engine costs per message: both heads of one forwarded request read and written again, and the framing of its
//! bodies. Target: both heads in and out in 1.5 µs on an EPYC of the first generation.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "criterion's macros make public items without any; a bench"
)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use thalweg_wire::{
    AnswerHead, AnswerReader, AnswerStep, AnswerTo, BodyEvent, BodyReader, BodyWriter, FieldName, FieldRef,
    Framing, HeadWriter, Limits, RequestHead, RequestReader, RequestStep,
};

/// A load generator's request: three fields.
const SMALL: &[u8] =
    b"GET /hello HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: load/1.0\r\nAccept: */*\r\n\r\n";

/// A browser's request.
const BROWSER: &[u8] = b"GET /assets/app/main.js?v=20261130 HTTP/1.1\r\nHost: www.example.com\r\nConnection: keep-alive\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-GB,en;q=0.9,de;q=0.8\r\n\
    Referer: https://www.example.com/start?from=mail&campaign=autumn\r\nSec-Fetch-Dest: script\r\n\
    Sec-Fetch-Mode: no-cors\r\nSec-Fetch-Site: same-origin\r\nIf-None-Match: \"5f3c-61b2ef\"\r\n\
    Cookie: session=4c6f72656d20697073756d20646f6c6f722073697420616d6574; theme=dark; consent=yes\r\n\r\n";

/// An ASGI server's answer.
const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\ndate: Mon, 30 Nov 2026 08:49:51 GMT\r\nserver: uvicorn\r\ncontent-length: 100\r\n\
    content-type: application/json\r\n\r\n";

fn end_to_end(field: &FieldRef<'_>) -> bool {
    !field.is_hop_by_hop() && !field.kind.is_client_claim() && field.kind != FieldName::XRequestId
}

/// What the edge does with a request's head.
fn request(input: &[u8], head: &mut RequestHead, out: &mut Vec<u8>) {
    let step = RequestReader::new(Limits::default()).head(input, head).unwrap();
    assert!(matches!(step, RequestStep::Head { .. }));
    out.clear();
    let host = head.authority().unwrap();
    let mut writer = HeadWriter::request(out, head.method_name(), head.target(), host, head.framing());
    writer.fields(head.fields(), end_to_end);
    writer
        .field("X-Forwarded-For", "192.0.2.17")
        .field("X-Forwarded-Proto", "https")
        .field("X-Forwarded-Host", host)
        .field("Via", "1.1 thalweg")
        .field("X-Request-Id", "0123456789abcdef0123456789abcdef");
    black_box(writer.finish().unwrap());
}

/// What the edge does with an answer's head.
fn answer(input: &[u8], head: &mut AnswerHead, out: &mut Vec<u8>) {
    let step = AnswerReader::new(AnswerTo::default(), Limits::default()).head(input, head).unwrap();
    assert!(matches!(step, AnswerStep::Head { .. }));
    out.clear();
    let mut writer = HeadWriter::answer(out, head.status(), head.reason(), head.framing());
    writer.fields(head.fields(), end_to_end);
    writer.field("X-Request-Id", "0123456789abcdef0123456789abcdef");
    black_box(writer.finish().unwrap());
}

fn heads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("heads in and out");
    let (mut head, mut back, mut out) = (RequestHead::default(), AnswerHead::default(), Vec::new());
    for (name, input) in [("small request", SMALL), ("browser request", BROWSER)] {
        group.bench_function(name, |bencher| bencher.iter(|| request(black_box(input), &mut head, &mut out)));
    }
    group.bench_function("answer", |bencher| bencher.iter(|| answer(black_box(ANSWER), &mut back, &mut out)));
    group.bench_function("small request and answer", |bencher| {
        bencher.iter(|| {
            request(black_box(SMALL), &mut head, &mut out);
            answer(black_box(ANSWER), &mut back, &mut out);
        });
    });
    group.bench_function("small request, read alone", |bencher| {
        bencher.iter(|| RequestReader::new(Limits::default()).head(black_box(SMALL), &mut head).unwrap());
    });
    group.bench_function("browser request, read alone", |bencher| {
        bencher.iter(|| RequestReader::new(Limits::default()).head(black_box(BROWSER), &mut head).unwrap());
    });
    group.finish();
}

/// Reads a chunked body and frames each piece again, as between two connections.
fn reframe(mut input: &[u8]) -> usize {
    let mut reader = BodyReader::new(Framing::Chunked, Limits::default());
    let mut writer = BodyWriter::new(Framing::Chunked);
    let mut framed = 0;
    loop {
        let step = reader.read(input).unwrap();
        match step.event {
            BodyEvent::Data(place) => framed += black_box(writer.frame(place.len()).unwrap()).before().len(),
            BodyEvent::More | BodyEvent::End => return framed,
        }
        input = input.get(step.consumed..).unwrap_or_default();
    }
}

fn bodies(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("chunked body");
    for (name, size) in [("64 KiB in chunks of 16 KiB", 16 << 10), ("64 KiB in chunks of 64 B", 64)] {
        let chunk = format!("{size:x}\r\n{}\r\n", "x".repeat(size));
        let body = chunk.repeat((64 << 10) / size) + "0\r\n\r\n";
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(name, |bencher| bencher.iter(|| reframe(black_box(body.as_bytes()))));
    }
    group.finish();
}

criterion_group!(benches, heads, bodies);
criterion_main!(benches);
