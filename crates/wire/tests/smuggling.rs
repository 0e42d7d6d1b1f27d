//! The smuggling corpus against the reader: what is ambiguous is refused before its body, and no smuggled request is
//! seen as a request.

mod common;
#[path = "smuggling/mod.rs"]
mod corpus;

use std::collections::HashSet;

use common::{Seen, Transcript, bytewise, requests_without_look_alikes, whole};
use corpus::{AFTER, Attempt, HIDDEN, attempts};
use thalweg_wire::Limits;

fn sees(read: &Transcript, path: &str) -> bool {
    read.seen.iter().any(|seen| matches!(seen, Seen::Request(head) if head.split(' ').nth(1) == Some(path)))
}

fn check(attempt: &Attempt) -> Result<(), String> {
    let read = requests_without_look_alikes(&whole(&attempt.bytes), Limits::default());
    let again = requests_without_look_alikes(&bytewise(&attempt.bytes), Limits::default());
    let refused = read.refusal().is_some() || read.has_look_alike();
    let hidden = format!("GET {HIDDEN} ");
    let holds = read.content().windows(hidden.len()).any(|window| window == hidden.as_bytes());
    let problem = if sees(&read, HIDDEN) {
        "a hidden request is read as a request"
    } else if read.seen != again.seen {
        "two divisions into reads differ"
    } else if attempt.must_be_refused && (!refused || sees(&read, AFTER)) {
        "an ambiguous message is accepted"
    } else if !attempt.must_be_refused && (refused || !holds || !sees(&read, AFTER)) {
        "a certain message is refused"
    } else {
        return Ok(());
    };
    let bytes = String::from_utf8_lossy(&attempt.bytes).into_owned();
    Err(format!("{}: {problem}: {:?}\n{bytes:?}", attempt.name, read.brief()))
}

#[test]
fn no_attempt_smuggles_a_request() {
    let attempts = attempts("a.example");
    let different: HashSet<&[u8]> = attempts.iter().map(|attempt| &*attempt.bytes).collect();
    assert!(different.len() >= 3000, "{} attempts differ", different.len());
    let good = attempts.iter().filter(|attempt| !attempt.must_be_refused).count();
    assert!(good >= 100, "{good} attempts must pass: a reader that refuses all would not do");
    let wrong: Vec<String> = attempts.iter().filter_map(|attempt| check(attempt).err()).collect();
    let first = wrong.iter().take(12).map(String::as_str).collect::<Vec<_>>().join("\n\n");
    assert!(wrong.is_empty(), "{} of {}:\n{first}", wrong.len(), attempts.len());
}
