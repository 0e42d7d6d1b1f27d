//! The promises of the HTTP/1.1 engine, as `crates/wire/tests/common` states them: no division into reads changes what is
//! read, memory keeps its bounds, and what is forwarded is read the same again. `crates/wire/tests/fuzz_seeds.rs` runs
//! the same functions over the committed seeds.

use thalweg_wire::{
    AnswerTo, ClientHelloReader, HELLO_MAX, HelloError, HelloStep, PROXY_V2_MAX, ProxyError, ProxyHeader,
    ProxyReader, ProxyStart, ProxyStep,
};

#[path = "../../crates/wire/tests/common/mod.rs"]
mod driver;

/// The first two bytes say where the reads end; the others come from a client.
pub fn requests(bytes: &[u8]) {
    let [first, second, input @ ..] = bytes else { return };
    driver::invariants::of_requests(input, &[usize::from(*first), usize::from(*second)]);
}

/// The first two bytes say where the reads end, the third what was asked for; the others come from an endpoint.
pub fn answers(bytes: &[u8]) {
    let [first, second, asked, input @ ..] = bytes else { return };
    let to = AnswerTo { head: asked & 1 != 0, upgrade: asked & 2 != 0 };
    driver::invariants::of_answers(input, &[usize::from(*first), usize::from(*second)], to);
}

/// The first two bytes say where the reads end; the others come from a balancer. A PROXY header is read the same in any
/// reads, ends within its bound, takes no byte behind it, and what it says of TCP is read back from what is written.
pub fn proxy_headers(bytes: &[u8]) {
    let [first, second, input @ ..] = bytes else { return };
    let whole = proxy_header(input, &[input.len()]);
    assert_eq!(
        whole,
        proxy_header(input, &[usize::from(*first), usize::from(*second), input.len()]),
        "three reads"
    );
    assert_eq!(whole, proxy_header(input, &vec![1; input.len()]), "byte by byte");
    let start = ProxyStart::of(input.get(..12).unwrap_or(input));
    match whole {
        Ok(Some((taken, header))) => {
            assert!(start == ProxyStart::Header && taken <= PROXY_V2_MAX.min(input.len()));
            if let (Some(source), Some(destination)) = (header.source, header.destination) {
                let mut out = Vec::new();
                thalweg_wire::write_proxy_header(&mut out, source, destination);
                let (taken, again) = proxy_header(&out, &[out.len()]).expect("our own").expect("whole");
                assert_eq!(taken, out.len());
                let plain = |address: std::net::SocketAddr| (address.ip().to_canonical(), address.port());
                assert_eq!(again.source.map(plain), Some(plain(source)));
                assert_eq!(again.destination.map(plain), Some(plain(destination)));
            }
        }
        Ok(None) => assert!(start != ProxyStart::Other && input.len() < PROXY_V2_MAX),
        Err(ProxyError::Missing) => assert_eq!(start, ProxyStart::Other),
        Err(_) => assert_eq!(start, ProxyStart::Header),
    }
}

/// The header at the start of `input`, read in reads of these lengths, and the bytes that it took; `None` = it is not
/// whole.
fn proxy_header(input: &[u8], reads: &[usize]) -> Result<Option<(usize, ProxyHeader)>, ProxyError> {
    let (mut reader, mut at) = (ProxyReader::default(), 0);
    for read in reads {
        let piece = &input[at..input.len().min(at + read)];
        match reader.read(piece)? {
            ProxyStep::More => at += piece.len(),
            ProxyStep::Header { consumed, header } => return Ok(Some((at + consumed, *header))),
        }
    }
    Ok(None)
}

/// The first two bytes say where the reads end; the others come from a client. A ClientHello is read the same in any reads
/// and whatever comes behind it, within its bound; a name in it is one that hosts are matched by.
pub fn client_hellos(bytes: &[u8]) {
    let [first, second, input @ ..] = bytes else { return };
    let whole = client_hello(input, &[input.len()]);
    let three = [usize::from(*first), usize::from(*second), input.len()];
    assert_eq!(whole, client_hello(input, &three), "three reads");
    assert_eq!(whole, client_hello(input, &vec![1; input.len()]), "byte by byte");
    if whole == Ok(HelloStep::More) {
        assert!(input.len() <= HELLO_MAX, "{} bytes and no end", input.len());
    } else {
        let more = [input, b"\x16\x03\x01\0\x01\x01"].concat();
        assert_eq!(whole, client_hello(&more, &[more.len()]), "with more behind");
    }
    match whole {
        Ok(HelloStep::Hello(hello)) => {
            assert!(input.starts_with(b"\x16\x03"));
            if let Some(name) = hello.server_name {
                let is_good = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_');
                assert!((1..=255).contains(&name.len()) && name.bytes().all(is_good), "{name:?}");
            }
        }
        Ok(HelloStep::Other) => assert!(!input.is_empty()),
        Ok(HelloStep::More) => {}
        Err(_) => assert!(input.starts_with(b"\x16\x03")),
    }
}

/// What the beginning of `input` is, read in reads of these lengths.
fn client_hello(input: &[u8], reads: &[usize]) -> Result<HelloStep, HelloError> {
    let (mut reader, mut at) = (ClientHelloReader::default(), 0);
    for read in reads {
        let end = input.len().min(at + read);
        match reader.read(&input[at..end])? {
            HelloStep::More => at = end,
            step => return Ok(step),
        }
    }
    Ok(HelloStep::More)
}
