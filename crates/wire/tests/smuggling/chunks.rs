//! The framing is certain, the chunks are not: sizes, extensions, line ends, trailers.

use super::{
    attempt::{Attempt, hidden, push},
    spelling::{Spelled, names},
};

/// Before and behind a chunk's size.
const AROUND_SIZE: &[(&str, &str)] = &[
    ("+", ""),
    ("-", ""),
    ("0x", ""),
    ("0X", ""),
    (" ", ""),
    ("\t", ""),
    ("", " "),
    ("", "\t"),
    ("", ","),
    ("", ",1"),
    ("", ".0"),
    ("", "h"),
    ("", "_"),
    ("_", ""),
    ("\"", "\""),
    ("", "\0"),
    ("\0", ""),
    ("", "\x0b"),
    ("\x0b", ""),
    ("", "\u{a0}"),
    ("1000000000000000", ""),
    ("10000000000000000", ""),
    ("ffffffffffffffff", ""),
    ("00000000000000000", ""),
    ("", ";"),
    ("", ";;a"),
    ("", ";a="),
    ("", "; a"),
    ("", " ;a"),
    ("", ";a =b"),
    ("", ";a= b"),
    ("", ";a=\"b"),
    ("", ";a=\"b\"c"),
    ("", ";a\0"),
    ("", ";\x0b"),
    ("", ";a\n"),
    ("", ";\n"),
    ("", "\n"),
    ("", "\r"),
    ("\n", ""),
    ("\r\n", ""),
    ("\r", ""),
    ("", ";a=\"\n\""),
    ("", ";a=\"\r\n\""),
    ("", ";\u{e9}"),
    ("", " 0"),
    ("0 ", ""),
    ("(", ")"),
    ("", "\x7f"),
    ("", ":"),
];

/// Ends of the line of a chunk's size.
const SIZE_ENDS: &[&str] = &["\n", "\r", "\r\r\n", "\n\r", ";\n", " \n"];

/// Behind a chunk's data.
const CHUNK_ENDS: &[&str] = &[
    "", "\n", "\r", "\n\r", "x", "xx", "x\r\n", " \r\n", "\t\r\n", "\r\n\r\n", "\r\n\n", "\n\n", "\r\r\n",
    "\0\r\n",
];

/// Behind the last chunk.
const BODY_ENDS: &[&str] = &["\n", "\r\r\n", " \r\n", "\t\r\n", "\0\r\n", "x\r\n\r\n", "\r\t\n", ":\r\n\r\n"];

pub(super) fn attempts(host: &str, made: &mut Vec<Attempt>) {
    let hidden = hidden(host);
    let size = format!("{:x}", hidden.len());
    let mut bodies: Vec<(String, String, bool)> = Vec::new();
    let mut body = |name: &str, text: String, good: bool| bodies.push((name.to_owned(), text, good));
    for line in [
        &*size,
        &size.to_ascii_uppercase(),
        &format!("000{size}"),
        &format!("{size};a"),
        &format!("{size};a=b;c=\"d\""),
    ] {
        body("good size", format!("{line}\r\n{hidden}\r\n0\r\n\r\n"), true);
    }
    for (before, behind) in AROUND_SIZE {
        body("size", format!("{before}{size}{behind}\r\n{hidden}\r\n0\r\n\r\n"), false);
        body("last size", format!("{size}\r\n{hidden}\r\n{before}0{behind}\r\n\r\n"), false);
    }
    let long = "a".repeat(5000);
    body("long extension", format!("{size};{long}\r\n{hidden}\r\n0\r\n\r\n"), false);
    for end in SIZE_ENDS {
        body("size line end", format!("{size}{end}{hidden}\r\n0\r\n\r\n"), false);
        body("last size line end", format!("{size}\r\n{hidden}\r\n0{end}\r\n"), false);
    }
    for end in CHUNK_ENDS {
        body("chunk end", format!("{size}\r\n{hidden}{end}0\r\n\r\n"), false);
    }
    for end in BODY_ENDS {
        body("body end", format!("{size}\r\n{hidden}\r\n0\r\n{end}"), false);
    }
    for (name, spelled) in [names("Content-Length"), names("Transfer-Encoding"), names("Host")].concat() {
        // Without its hyphen `Host` has no look-alikes: another name is another field.
        let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
        let is_host =
            name.to_ascii_lowercase().starts_with(b"host") || name.to_ascii_lowercase().ends_with(b"host");
        if spelled == Spelled::Badly && is_host && name.iter().all(token) {
            continue;
        }
        let Ok(name) = String::from_utf8(name) else { continue };
        body("trailer", format!("{size}\r\n{hidden}\r\n0\r\n{name}: 4\r\n\r\n"), false);
    }
    body("good trailer", format!("{size}\r\n{hidden}\r\n0\r\nX-Sum: 4\r\n\r\n"), true);
    for (nth, (name, body, good)) in bodies.into_iter().enumerate() {
        for method in ["POST", "PUT", "DELETE"] {
            let head =
                format!("{method} /attempt HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n");
            push(made, host, format!("{name} {nth} {method}"), &[head.as_bytes(), body.as_bytes()], good);
        }
    }
}
