//! How a probe or an attempt failed, what was seen, and whether that speaks against the endpoint.
//!
//! # Which answers speak against an endpoint
//!
//! Not every 5xx does. 501 (not implemented), 505 (version), 506, 508, 510 and 511 answer the request: a healthy endpoint
//! gives them, and so would every other. HAProxy's `observe layer7` takes 501 and 505 for healthy; nginx tries the next
//! server after 500, 502, 503 and 504 alone; Envoy and linkerd count every 5xx. Here all count but those six.

/// How a probe (or an attempt) failed. Each is something on which an operator acts differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No process listens there.
    Refused,
    /// The connection ended before the answer did.
    Reset,
    /// No answer came in time.
    Timeout,
    /// No way leads there (no route, network or host unreachable, no permission).
    Unreachable,
    /// The TLS handshake failed.
    Tls,
    /// The certificate is not accepted: not trusted, another name, not in force, no proof of its key.
    TlsCertificate,
    /// The endpoint ended the TLS handshake with an alert.
    TlsAlert,
    /// What came back is not HTTP.
    Protocol,
    /// The status is not the expected one.
    Status,
    /// The body is not the expected one.
    Body,
    /// The first byte came late, or had not come when it was late.
    Late,
    /// The connection ended without an answer while the upload was under way. The endpoint may have refused the upload
    /// with an answer that was lost (RFC 9112 section 9.5): the next probe comes soon, and decides.
    Upload,
    /// The head of the answer is larger than `[limits] answer_fields` allows: every other endpoint would answer alike.
    AnswerFields,
    /// This edge's own trouble (no descriptor, port or memory): says nothing about the endpoint.
    Local,
}

impl Fault {
    /// What an answer's status says against its endpoint: [`Fault::Status`], or nothing.
    #[must_use]
    pub fn of_status(status: u16) -> Option<Self> {
        let of_request = matches!(status, 501 | 505 | 506 | 508 | 510 | 511);
        (status >= 500 && !of_request).then_some(Self::Status)
    }

    /// What the end of a connection before the end of its exchange says against the endpoint. An endpoint that has
    /// answered while the upload was under way may close: it wants no more of it.
    #[must_use]
    pub fn of_reset(answered: bool, uploading: bool) -> Option<Self> {
        match (answered, uploading) {
            (true, true) => None,
            (false, true) => Some(Self::Upload),
            (_, false) => Some(Self::Reset),
        }
    }

    /// Does the fault count as a failure of the endpoint? Others are at most a reason to look.
    #[must_use]
    pub fn is_evidence(self) -> bool {
        !matches!(self, Self::Upload | Self::AnswerFields | Self::Local)
    }

    /// The spelling in log, metric and API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::Tls => "tls",
            Self::TlsCertificate => "tls_certificate",
            Self::TlsAlert => "tls_alert",
            Self::Protocol => "protocol",
            Self::Status => "status",
            Self::Body => "body",
            Self::Late => "late",
            Self::Upload => "upload",
            Self::AnswerFields => "answer_fields",
            Self::Local => "local",
        }
    }
}

/// What was seen, in a form that an operator can read: the kind and the particulars (errno, status, body, how late).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// How it failed.
    pub fault: Fault,
    /// The particulars in at most 200 bytes.
    pub detail: Box<str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_speaks_against_its_endpoint_if_the_endpoint_is_the_cause() {
        for status in [200, 304, 404, 413, 429, 499, 501, 505, 506, 508, 510, 511] {
            assert_eq!(Fault::of_status(status), None, "{status}");
        }
        for status in [500, 502, 503, 504, 507, 509, 520, 599] {
            assert_eq!(Fault::of_status(status), Some(Fault::Status), "{status}");
        }
    }

    #[test]
    fn a_reset_counts_only_when_the_upload_had_ended() {
        let evidence = |answered, uploading| Fault::of_reset(answered, uploading).map(Fault::is_evidence);
        assert_eq!(evidence(false, false), Some(true));
        assert_eq!(evidence(true, false), Some(true), "in the middle of the answer");
        assert_eq!(evidence(false, true), Some(false), "a reason to look");
        assert_eq!(evidence(true, true), None);
    }
}
