//! The reader beside `http_desync_guardian`: no request that the guardian calls ambiguous or severe is accepted, and
//! every request that goes on to an endpoint is compliant or acceptable.
#![allow(clippy::indexing_slicing, clippy::expect_used, reason = "tests")]

#[path = "common/generate.rs"]
mod generate;
#[path = "smuggling/mod.rs"]
mod corpus;

use generate::message;
use http_desync_guardian::{
    ClassificationReason as Reason, RequestSafetyTier as Tier, request_analyzer::HttpRequestData,
};
use proptest::prelude::*;
use thalweg_wire::{FieldRef, HeadWriter, Limits, RequestHead, RequestReader, RequestStep};

const LIMITS: Limits = Limits { head_bytes: 8192, fields: 50 };

/// Reads the first head as the edge does: look-alikes of framing are refused.
fn accepted(input: &[u8]) -> Option<(RequestHead, usize)> {
    let mut head = RequestHead::default();
    match RequestReader::new(LIMITS).head(input, &mut head) {
        Ok(RequestStep::Head { consumed }) if !head.has_look_alike() => Some((head, consumed)),
        _ => None,
    }
}

/// The head as it goes on.
fn forwarded(head: &RequestHead) -> Vec<u8> {
    let mut out = Vec::new();
    let host = head.authority().unwrap_or("pool.example");
    let mut writer = HeadWriter::request(&mut out, head.method_name(), head.target(), host, head.framing());
    writer.fields(head.fields(), |field: &FieldRef<'_>| !field.is_hop_by_hop());
    writer.finish().expect("what was read can be written");
    out
}

fn judge(head: &RequestHead, bytes: &[u8]) -> Result<(), String> {
    let verdict = HttpRequestData::analyze_raw_request(bytes);
    let is_content = matches!(
        verdict.reason,
        Reason::UndefinedContentLengthSemantics | Reason::UndefinedTransferEncodingSemantics
    );
    match verdict.tier {
        Tier::Compliant | Tier::Acceptable => Ok(()),
        // RFC 9110 section 9.3.1 allows content in a GET and says that servers may misread it: the head tells the edge.
        _ if is_content && head.has_unexpected_content() => Ok(()),
        tier => Err(format!("{tier:?} {:?}: {:?}", verdict.reason, String::from_utf8_lossy(bytes))),
    }
}

fn check(input: &[u8]) -> Result<bool, String> {
    let Some((head, consumed)) = accepted(input) else { return Ok(false) };
    // An empty line before the request is not part of it.
    let raw = &input[..consumed];
    judge(&head, raw.strip_prefix(b"\r\n").unwrap_or(raw))?;
    judge(&head, &forwarded(&head))?;
    Ok(true)
}

#[test]
fn of_the_smuggling_attempts_only_certain_ones_are_accepted() {
    let attempts = corpus::attempts("a.example");
    let verdicts: Vec<_> = attempts.iter().map(|attempt| check(&attempt.bytes)).collect();
    let wrong: Vec<&String> = verdicts.iter().filter_map(|verdict| verdict.as_ref().err()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(verdicts.contains(&Ok(true)) && verdicts.contains(&Ok(false)));
}

#[test]
fn the_guardian_finds_known_smuggling() {
    let bad = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert!(!matches!(HttpRequestData::analyze_raw_request(bad).tier, Tier::Compliant | Tier::Acceptable));
    assert_eq!(check(bad), Ok(false));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn of_any_input_only_certain_requests_are_accepted(input in message()) {
        prop_assert_eq!(check(&input).err(), None);
    }
}
