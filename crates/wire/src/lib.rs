//! A strict HTTP/1.1 engine without I/O: bytes in, events out.
//!
//! A proxy and the server behind it must agree where each message ends. Where they do not, an attacker hides a second
//! request in the body of a first one. Every proxy that repaired odd messages has shipped such a fault, and code above a
//! lax parser cannot see that a message was ambiguous. So this engine refuses, on the raw bytes, whatever two readers
//! could understand differently, and writes every head anew.
//!
//! What this crate does:
//!
//! - [`RequestReader`] and [`AnswerReader`] read heads and bodies over any number of reads. No division of the input
//!   into reads changes what they say, and they hold bytes only while a head is incomplete.
//! - [`RequestHead`] and [`AnswerHead`] keep the order, spelling and repetition of fields: one buffer and a table of
//!   places, no allocation per field, no map. A request of HTTP/2 becomes the same type
//!   ([`RequestHead::from_parts`]).
//! - [`HeadWriter`] copies a head once into the outgoing buffer and makes `Host` and the framing fields itself.
//!   [`BodyWriter`] says what goes around each piece of content; the content stays where it was read.
//! - [`ProtocolError`] is the closed list of refusals: each has its RFC section, its status, and one spelling.
//!
//! What it does not do: sockets, time, tasks, logs; normalising paths; deciding what a proxy adds or drops.
//!
//! In reading order: `error` and `grammar`; `name`, `fields` and `version`; `framing`; `scan` and `head`; `request` and
//! `answer`; `chunk` and `body`; `write`. `proxy` is the PROXY protocol, which comes before all of it;
//! `client_hello` is the beginning of a TLS connection that is passed through.
//!
//! # One request through a proxy
//!
//! ```
//! use thalweg_wire::{BodyEvent, HeadWriter, Limits, RequestHead, RequestReader, RequestStep};
//!
//! let input = b"POST /upload HTTP/1.1\r\nHost: api.example\r\nConnection: close\r\nX-Tag: a\r\n\
//!     Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
//! let mut reader = RequestReader::new(Limits::default());
//! let mut head = RequestHead::default();
//! let mut out = Vec::new();
//!
//! // The head: here it came in one read. `RequestStep::More` asks for another.
//! let RequestStep::Head { consumed } = reader.head(input, &mut head)? else { panic!("the head is whole") };
//! let mut rest = &input[consumed..];
//! let host = head.authority().unwrap_or("pool.example");
//! let mut writer = HeadWriter::request(&mut out, head.method_name(), head.path(), host, head.framing());
//! writer.fields(head.fields(), |field| !field.is_hop_by_hop());
//! writer.field("Via", "1.1 thalweg");
//! let mut body = writer.finish()?;
//!
//! // The body: content is found in place. A vectored write would send `frame.before()`, the content, `frame.after()`.
//! loop {
//!     let step = reader.body(rest)?;
//!     match step.event {
//!         BodyEvent::Data(place) => body.data(&rest[place], &mut out)?,
//!         BodyEvent::More => panic!("the body is whole"),
//!         BodyEvent::End => break body.end(reader.trailers(), |_| true, &mut out)?,
//!     }
//!     rest = &rest[step.consumed..];
//! }
//! assert_eq!(
//!     String::from_utf8_lossy(&out),
//!     "POST /upload HTTP/1.1\r\nHost: api.example\r\nX-Tag: a\r\nVia: 1.1 thalweg\r\n\
//!      Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
//! );
//! assert!(!head.keep_alive() && reader.is_idle());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # A message that two servers read differently
//!
//! ```
//! use thalweg_wire::{Limits, ProtocolError, RequestHead, RequestReader};
//!
//! let input = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n";
//! let refused = RequestReader::new(Limits::default()).head(input, &mut RequestHead::default());
//! assert_eq!(refused, Err(ProtocolError::LengthWithCoding));
//! assert_eq!(ProtocolError::LengthWithCoding.to_string(), "length_with_coding (RFC 9112 section 6.1)");
//! ```
//!
//! # Where this engine and the RFCs differ
//!
//! Stricter, where the RFCs let a recipient repair: an LF alone never ends a line; equal `Content-Length`s are not merged; an
//! obsolete line folding is not unfolded; a transfer coding is `chunked` alone; white space around a chunk's extension is
//! refused; a host is letters, digits, `.`, `-`, `_`, or an address; a 204 that announces a body is refused.
//!
//! Laxer, where every client or server depends on it and no second meaning exists: a target may hold
//! `" < > \ ^ { | }` and the backtick; one empty line may come before a request; the space behind a status may be missing
//! where no reason follows.
//!
//! Left to the caller, who knows the operator's will: names that look like framing
//! ([`FieldName::LookAlike`]), content in a GET or HEAD ([`RequestHead::has_unexpected_content`]), the methods CONNECT
//! and TRACE, and what an HTTP/1.0 request without `Host` is for.
#![forbid(unsafe_code)]

mod error;
mod grammar;
mod name;
mod version;
mod fields;
mod framing;
mod scan;
mod head;
mod request;
mod answer;
mod chunk;
mod body;
mod write;
mod proxy;
mod client_hello;

pub use answer::{AnswerHead, AnswerParts, AnswerReader, AnswerStep, AnswerTo};
pub use body::{BodyEvent, BodyReader, BodyStep};
pub use client_hello::{ClientHello, ClientHelloReader, HELLO_MAX, HelloError, HelloStep};
pub use error::ProtocolError;
pub use fields::{FieldRef, Fields};
pub use framing::Framing;
pub use name::FieldName;
pub use proxy::{
    ClientTls, LOCAL_HEADER, PROXY_START_MAX, PROXY_V1_MAX, PROXY_V2_MAX, ProxyError, ProxyFields,
    ProxyHeader, ProxyReader, ProxyStart, ProxyStep, ServiceLink, write_proxy_header,
};
pub use request::{Method, RequestHead, RequestParts, RequestReader, RequestStep, TargetForm};
pub use scan::Limits;
pub use version::Version;
pub use write::{BodyWriter, Frame, HeadWriter, Unwritable};
