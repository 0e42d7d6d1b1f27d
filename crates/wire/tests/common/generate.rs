//! Messages for properties: pieces in any order, good messages with a few bytes changed, and noise.
#![allow(missing_docs, unreachable_pub, clippy::indexing_slicing, reason = "test code")]

use proptest::{collection::vec, prelude::*, sample::select};

/// Pieces of messages, good and bad: their neighbours make the difference.
const PIECES: &[&str] = &[
    "GET / HTTP/1.1\r\n",
    "POST /a?b HTTP/1.1\r\n",
    "GET http://b/ HTTP/1.0\r\n",
    "HEAD * HTTP/1.1\r\n",
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.0 304\r\n",
    "HTTP/1.1 103 Early Hints\r\n",
    "HTTP/1.1 101 Go\r\n",
    "Host: a\r\n",
    "Host:b:80 \r\n",
    "Content-Length: 3\r\n",
    "Content-Length: 3, 3\r\n",
    "content-length:0\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "Transfer_Encoding: chunked\r\n",
    "Connection: close, x\r\n",
    "Connection: keep-alive\r\n",
    "X: \t y \t\r\n",
    "X:\r\n",
    "Upgrade: x\r\n",
    " folded\r\n",
    "\r\n",
    "\r\n\r\n",
    "\r",
    "\n",
    " ",
    "\t",
    ":",
    "\0",
    "abc",
    "3\r\nabc\r\n",
    "3;a=\"b\"\r\nabc\r\n",
    "0\r\n\r\n",
    "0\r\nX: y\r\n\r\n",
    "0\r\nHost: a\r\n\r\n",
    "fffffffffffffffff",
    "\u{e9}",
    "#",
    "\x7f",
];

pub fn message() -> impl Strategy<Value = Vec<u8>> {
    let pieces = vec(select(PIECES), 0..12).prop_map(|pieces| pieces.concat().into_bytes());
    let good = select(
        &[
            "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /b HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n",
            "HTTP/1.1 103 x\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a\r\nabc\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
        ][..],
    );
    let mutated = (good, vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 0..4)).prop_map(
        |(text, changes)| {
            let mut bytes = text.as_bytes().to_vec();
            for (at, byte, kind) in changes {
                let at = at.index(bytes.len());
                match kind {
                    0 => bytes[at] = byte,
                    1 => bytes.insert(at, byte),
                    2 if bytes.len() > 1 => drop(bytes.remove(at)),
                    _ => bytes.insert(at, b"\r\n :,;\t0"[usize::from(byte % 8)]),
                }
            }
            bytes
        },
    );
    prop_oneof![pieces, mutated, vec(any::<u8>(), 0..200)]
}
