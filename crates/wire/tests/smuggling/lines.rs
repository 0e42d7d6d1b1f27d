//! The framing is certain, the lines around it are not: start line, `Host`, other fields.

use super::attempt::{Attempt, hidden, push};

/// Request lines, with `M` for the method.
const START_LINES: &[&str] = &[
    "M /attempt HTTP/1.1 \r\n",
    "M  /attempt HTTP/1.1\r\n",
    "M /attempt  HTTP/1.1\r\n",
    "M\t/attempt HTTP/1.1\r\n",
    "M /attempt\tHTTP/1.1\r\n",
    " M /attempt HTTP/1.1\r\n",
    "M /attempt HTTP/1.1\n",
    "M /attempt HTTP/1.1\r",
    "M /attempt HTTP/1.1\r\r\n",
    "\nM /attempt HTTP/1.1\r\n",
    "\r\n\r\nM /attempt HTTP/1.1\r\n",
    "M /attempt http/1.1\r\n",
    "M /attempt HTTP/1.2\r\n",
    "M /attempt HTTP/2.0\r\n",
    "M /attempt HTTP/0.9\r\n",
    "M /attempt HTTP/1.10\r\n",
    "M /attempt HTTP/01.1\r\n",
    "M /attempt HTTP/1,1\r\n",
    "M /attempt HTTP/1.1x\r\n",
    "M /attempt\r\n",
    "M /attempt \r\n",
    "M /att empt HTTP/1.1\r\n",
    "M /attempt\0 HTTP/1.1\r\n",
    "M\0 /attempt HTTP/1.1\r\n",
    "M /attempt HTTP/1.1 HTTP/1.1\r\n",
    "M /attempt#x HTTP/1.1\r\n",
    "M /\u{e9} HTTP/1.1\r\n",
    "M attempt HTTP/1.1\r\n",
    "M /attempt HTTP/1.1\r\n X: y\r\n",
    "M /attempt HTTP/1.1\r\n\tX: y\r\n",
    "M /attempt HTTP/1.1\r\n \r\n",
    "M ftp://a/attempt HTTP/1.1\r\n",
    "M http://u@a/attempt HTTP/1.1\r\n",
    "M http:///attempt HTTP/1.1\r\n",
    "M: /attempt HTTP/1.1\r\n",
    "\u{feff}M /attempt HTTP/1.1\r\n",
    "\x16\x03\x01M /attempt HTTP/1.1\r\n",
];

/// In the place of `Host`.
const HOSTS: &[&str] = &[
    "",
    "Host: a\r\nHost: a\r\n",
    "Host: a\r\nHost: b\r\n",
    "Host:\r\n",
    "Host: a b\r\n",
    "Host: a, b\r\n",
    "Host: u@a\r\n",
    "Host: a\r\nhost: a\r\n",
    "Host: a/b\r\n",
    "Host: a:b\r\n",
    "Host : a\r\n",
    "Host: a\0\r\n",
    "Host: a\n",
    "Host: a\r",
    "Host\r\n",
    "Host: a\r\n b\r\n",
    "Host: a:99999\r\n",
    "Host: a\\b\r\n",
    "Host: a#b\r\n",
    "Host: a?b\r\n",
    "Host: [a]\r\n",
];

/// One more line behind `Host`.
const FIELDS: &[&str] = &[
    "X\r\n",
    ": y\r\n",
    "X: y\0\r\n",
    "X: \x08\r\n",
    "X\0: y\r\n",
    "X : y\r\n",
    "X: y\n",
    "X: y\rZ: a\r\n",
    "X: y\n\r\n",
    "\n",
    "\r",
];

pub(super) fn attempts(host: &str, made: &mut Vec<Attempt>) {
    let hidden = hidden(host);
    let in_chunk = format!("{:x}\r\n{hidden}\r\n0\r\n\r\n", hidden.len());
    let sized = format!("Content-Length: {}\r\n", hidden.len());
    let bodies = [(sized, hidden, true), ("Transfer-Encoding: chunked\r\n".to_owned(), in_chunk, false)];
    for method in ["POST", "PUT", "GET", "HEAD", "DELETE", "OPTIONS", "PATCH"] {
        for (framing, body, in_http10) in &bodies {
            let mut head = |name: &str, line: &str, lines: &str, good: bool| {
                let head = format!("{line}{lines}{framing}\r\n");
                push(
                    made,
                    host,
                    format!("{name} {method} {in_http10}"),
                    &[head.as_bytes(), body.as_bytes()],
                    good,
                );
            };
            let usual = format!("{method} /attempt HTTP/1.1\r\n");
            let named = format!("Host: {host}\r\n");
            for option in ["Content-Length", "Transfer-Encoding", "Host", "close, content-length"] {
                head("option", &usual, &format!("{named}Connection: {option}\r\n"), true);
            }
            head("empty line first", &format!("\r\n{usual}"), &named, true);
            head("1.0", &format!("{method} /attempt HTTP/1.0\r\n"), &named, *in_http10);
            for line in START_LINES {
                head("line", &line.replace('M', method), &named, false);
            }
            for lines in HOSTS {
                head("host", &usual, lines, false);
            }
            for line in FIELDS {
                head("field", &usual, &format!("{named}{line}"), false);
            }
        }
    }
}
