//! The trace that a request belongs to (W3C Trace Context): kept from the client or begun here, passed on with each
//! attempt, and reported when the request was sampled or has failed. Never waits for a collector; without
//! `[telemetry] otlp`, trace fields are fields like any other.
//!
//! Why the spans are made of the decision record, and not while the request runs: both tell the same attempts, so a
//! request that is not sampled costs no more than its ids.

use thalweg_core::mix;
use thalweg_wire::{FieldName, Fields};

use crate::{
    data::{access_line::AccessRecord, local::Local},
    shared::trace::TraceIds,
};

/// The length of a `traceparent` of version 00.
const LENGTH: usize = 55;
/// The bit of the flags that says "sampled".
const SAMPLED: u8 = 1;

/// The trace of a request; `None` if traces are not reported.
#[must_use]
pub fn begin(local: &Local, fields: &Fields) -> Option<TraceIds> {
    let view = local.view();
    view.wiring.otlp.as_ref()?;
    let given = fields.get(FieldName::Traceparent).and_then(read);
    let fresh = || u128::from(local.random() | 1) << 64 | u128::from(local.random());
    let trace = given.map_or_else(fresh, |given| given.trace);
    let sampled =
        given.map_or_else(|| samples(trace, view.wiring.config.telemetry.sample), |given| given.sampled);
    Some(TraceIds { trace, parent: given.map(|given| given.parent), span: local.random() | 1, sampled })
}

/// Whether a request is to be reported: it was sampled when it came, or it has failed.
#[must_use]
pub fn is_reported(ids: &TraceIds, request: &AccessRecord<'_>) -> bool {
    ids.sampled || request.status >= 500 || request.error.is_some()
}

/// Every edge decides alike about one trace: by the id's low half.
fn samples(trace: u128, ratio: f64) -> bool {
    // The upper 53 bits of the half: exact as a float.
    let part = (trace as u64 >> 11) as f64 / (1_u64 << 53) as f64;
    part < ratio
}

/// The span of an attempt, by its place among the attempts of the request.
#[must_use]
pub fn span_of_attempt(request: u64, nth: usize) -> u64 {
    mix(request.wrapping_add(nth as u64 + 1)) | 1
}

/// What a client's `traceparent` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct GivenTrace {
    trace: u128,
    parent: u64,
    sampled: bool,
}

/// Reads a `traceparent`. Later versions begin like version 00.
fn read(value: &[u8]) -> Option<GivenTrace> {
    let text = std::str::from_utf8(value).ok()?;
    let (known, rest) = text.split_at_checked(LENGTH)?;
    let mut parts = known.split('-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let lengths = [version.len(), trace.len(), parent.len(), flags.len()];
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let is_version = version != "ff" && (rest.is_empty() || (version != "00" && rest.starts_with('-')));
    if lengths != [2, 32, 16, 2] || !is_version || ![version, trace, parent, flags].into_iter().all(digits) {
        return None;
    }
    let trace = u128::from_str_radix(trace, 16).ok().filter(|id| *id != 0)?;
    let parent = u64::from_str_radix(parent, 16).ok().filter(|id| *id != 0)?;
    let flags = u8::from_str_radix(flags, 16).ok()?;
    Some(GivenTrace { trace, parent, sampled: flags & SAMPLED != 0 })
}

/// The `traceparent` of an attempt.
#[must_use]
pub fn written(ids: &TraceIds, attempt: usize) -> String {
    let span = span_of_attempt(ids.span, attempt);
    format!("00-{:032x}-{span:016x}-{:02x}", ids.trace, u8::from(ids.sampled))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn check(value: &str, expected: Option<(u64, bool)>) {
        let read = read(value.as_bytes());
        assert_eq!(read.map(|given| (given.parent, given.sampled)), expected, "{value}");
        assert!(read.is_none_or(|given| format!("{:032x}", given.trace) == TRACE));
    }

    #[test]
    fn a_traceparent_is_read_as_the_recommendation_says() {
        let parent = 0x00f0_67aa_0ba9_02b7;
        check(&format!("00-{TRACE}-00f067aa0ba902b7-01"), Some((parent, true)));
        check(&format!("00-{TRACE}-00f067aa0ba902b7-00"), Some((parent, false)));
        check(&format!("cc-{TRACE}-00f067aa0ba902b7-03-what"), Some((parent, true)));
        for wrong in [
            "",
            "00",
            &format!("ff-{TRACE}-00f067aa0ba902b7-01"),
            &format!("00-{TRACE}-00f067aa0ba902b7-01-what"),
            &format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()),
            &format!("00-{TRACE}-0000000000000000-01"),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            &format!("00-{TRACE}-00f067aa0ba902b7-0x"),
            &format!("00-{TRACE}-00f067aa0ba902b7+01"),
            &format!("00{TRACE}--00f067aa0ba902b7-01"),
        ] {
            check(wrong, None);
        }
    }

    #[test]
    fn what_is_written_can_be_read() {
        let ids = TraceIds { trace: u128::MAX >> 3, parent: None, span: 7, sampled: true };
        let (first, second) = (written(&ids, 0), written(&ids, 1));
        let read = |text: &str| super::read(text.as_bytes()).unwrap();
        assert_eq!((read(&first).trace, read(&first).sampled), (ids.trace, true));
        assert_eq!(read(&first).parent, span_of_attempt(7, 0));
        assert_ne!(read(&first).parent, read(&second).parent);
    }

    #[test]
    fn the_ratio_is_that_of_the_ids() {
        let count = |ratio| (0..10_000_u64).filter(|nth| samples(u128::from(mix(*nth)), ratio)).count();
        assert_eq!((count(0.0), count(1.0)), (0, 10_000));
        assert!((900..1100).contains(&count(0.1)), "{}", count(0.1));
    }
}
