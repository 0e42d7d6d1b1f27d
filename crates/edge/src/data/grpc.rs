//! What a gRPC answer says about its endpoint, and the form that this edge's own answers have for gRPC clients. Never
//! looks into a message.
//!
//! # Which gRPC codes speak against an endpoint
//!
//! Those whose HTTP status in Envoy's table (`Grpc::Utility::grpcToHttpStatus`, which its outlier detection counts by) is
//! a 5xx that speaks against an endpoint: UNKNOWN, INTERNAL, UNAVAILABLE and DATA_LOSS. UNIMPLEMENTED is a 501 there, which
//! every other endpoint would answer. DEADLINE_EXCEEDED is a 504 there, and is left out here: the client sets that deadline
//! (`grpc-timeout`), and could take endpoints out with it. All others are answers of the application.

use thalweg_wire::{AnswerHead, FieldName, Fields};

use crate::data::outcome::Outcome;

const UNKNOWN: u32 = 2;
const PERMISSION_DENIED: u32 = 7;
const UNIMPLEMENTED: u32 = 12;
const INTERNAL: u32 = 13;
const UNAVAILABLE: u32 = 14;
const DATA_LOSS: u32 = 15;
const UNAUTHENTICATED: u32 = 16;

/// A gRPC answer that is being passed on.
#[derive(Clone, Copy, Debug)]
pub struct GrpcAnswer {
    /// The status, if it came in the head: then there are no trailers.
    in_head: Option<u32>,
}

impl GrpcAnswer {
    /// What the head says; `None` = the answer is not one of gRPC.
    #[must_use]
    pub fn of(head: &AnswerHead) -> Option<Self> {
        (head.status() == 200 && is_grpc(head.fields())).then(|| Self { in_head: status(head.fields()) })
    }

    /// How the attempt ended, once the answer has ended.
    #[must_use]
    pub fn outcome(self, trailers: Option<&Fields>) -> Outcome {
        match self.in_head.or_else(|| trailers.and_then(status)) {
            None => Outcome::NoGrpcStatus,
            Some(UNKNOWN | INTERNAL | UNAVAILABLE | DATA_LOSS) => Outcome::GrpcError,
            Some(_) => Outcome::Ok,
        }
    }
}

/// Whether a message is one of gRPC. gRPC-Web has its status in the body, and is HTTP like any other here.
#[must_use]
pub fn is_grpc(fields: &Fields) -> bool {
    const TYPE: &[u8] = b"application/grpc";
    let is_type = |value: &[u8]| {
        value.split_at_checked(TYPE.len()).is_some_and(|(start, rest)| {
            start.eq_ignore_ascii_case(TYPE) && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
        })
    };
    fields.get(FieldName::ContentType).is_some_and(is_type)
}

/// The code that this edge's own answers have for gRPC clients: what a client makes of such an HTTP status itself
/// (<https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md>).
#[must_use]
pub const fn code_of(status: u16) -> u32 {
    match status {
        400 => INTERNAL,
        401 => UNAUTHENTICATED,
        403 => PERMISSION_DENIED,
        404 => UNIMPLEMENTED,
        429 | 502 | 503 | 504 => UNAVAILABLE,
        _ => UNKNOWN,
    }
}

/// `grpc-status`; a value that is no number is UNKNOWN, as for a client.
fn status(fields: &Fields) -> Option<u32> {
    let field = fields.iter().find(|field| field.name.eq_ignore_ascii_case(b"grpc-status"))?;
    let code = std::str::from_utf8(field.value).ok().and_then(|code| code.parse().ok());
    Some(code.unwrap_or(UNKNOWN))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(all: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::default();
        for (name, value) in all {
            fields.push(name.as_bytes(), value.as_bytes()).unwrap();
        }
        fields
    }

    #[test]
    fn only_failures_of_the_endpoint_speak_against_it() {
        let answer = GrpcAnswer { in_head: None };
        for code in 0..=20_u32 {
            let expected = match code {
                2 | 13 | 14 | 15 => Outcome::GrpcError,
                _ => Outcome::Ok,
            };
            let trailers = fields(&[("grpc-status", &code.to_string())]);
            assert_eq!(answer.outcome(Some(&trailers)), expected, "in trailers: {code}");
            assert_eq!(GrpcAnswer { in_head: Some(code) }.outcome(None), expected, "in the head: {code}");
        }
        assert_eq!(answer.outcome(None), Outcome::NoGrpcStatus);
        assert_eq!(answer.outcome(Some(&fields(&[("x", "0")]))), Outcome::NoGrpcStatus);
        assert_eq!(answer.outcome(Some(&fields(&[("grpc-status", "x")]))), Outcome::GrpcError);
    }

    #[test]
    fn grpc_is_told_by_its_type_and_grpc_web_is_another() {
        for (value, expected) in [
            ("application/grpc", true),
            ("Application/gRPC+proto", true),
            ("application/grpc;charset=utf-8", true),
            ("application/grpc-web", false),
            ("application/grpc-web+proto", false),
            ("application/json", false),
            ("application", false),
        ] {
            assert_eq!(is_grpc(&fields(&[("content-type", value)])), expected, "{value}");
        }
        assert!(!is_grpc(&Fields::default()));
    }
}
