//! Two framing fields, or one that is spelled oddly, in every position of the head.

use super::{
    attempt::{Attempt, hidden, host_line, push},
    spelling::{Spelled, Spelling, codings, lengths, spellings},
};

/// How the fields of a template go together.
struct Template {
    name: &'static str,
    /// The other framing field, well spelled.
    other: Option<String>,
    spellings: Vec<Spelling>,
    body: Vec<u8>,
    /// The message is certain where the spelling is good.
    good_if_well: bool,
}

fn templates(host: &str) -> Vec<Template> {
    let hidden = hidden(host);
    let in_chunk = format!("{:x}\r\n{hidden}\r\n0\r\n\r\n", hidden.len());
    let behind_last = format!("0\r\n\r\n{hidden}");
    let coded = || spellings("Transfer-Encoding", &codings());
    let sized = |length: usize| spellings("Content-Length", &lengths(length));
    let length = |length: usize| Some(format!("Content-Length: {length}\r\n"));
    let chunked = || Some("Transfer-Encoding: chunked\r\n".to_owned());
    let template = |name, other, spellings, body: &str, good_if_well| Template {
        name,
        other,
        spellings,
        body: body.as_bytes().to_vec(),
        good_if_well,
    };
    vec![
        template("CL.TE", length(behind_last.len()), coded(), &behind_last, false),
        template("TE.CL", chunked(), sized(4), &in_chunk, false),
        template("TE.TE", chunked(), coded(), &in_chunk, false),
        template("CL.CL", length(hidden.len()), sized(12), &hidden, false),
        template("CL.0", None, sized(hidden.len()), &hidden, true),
        template("TE.0", None, coded(), &in_chunk, true),
    ]
}

pub(super) fn attempts(host: &str, made: &mut Vec<Attempt>) {
    for template in templates(host) {
        for (nth, spelling) in template.spellings.iter().enumerate() {
            for (position, at) in [("first", 0), ("before the other", 1), ("last", 3)] {
                let other = template.other.clone().unwrap_or_default().into_bytes();
                let mut lines = vec![host_line(host), other, b"A: b\r\n".to_vec()];
                lines.insert(at, spelling.line.clone());
                lines.insert(0, b"POST /attempt HTTP/1.1\r\n".to_vec());
                let good = template.good_if_well && spelling.spelled == Spelled::Well;
                let name = format!("{} {nth} {position}", template.name);
                push(made, host, name, &[&lines.concat(), b"\r\n", &template.body], good);
            }
        }
    }
}
