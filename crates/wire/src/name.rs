//! Field names that this engine or the edge gives a meaning to. A reader classifies each name once, so that the code
//! behind it compares small numbers instead of text. Holds no field.

/// Declares the known names with their usual spelling.
macro_rules! field_names {
    ($($(#[doc = $doc:literal])+ $name:ident = $spelling:literal,)+) => {
        /// Which field a name means.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum FieldName {
            $($(#[doc = $doc])+ $name,)+
            /// A name that looks like `Content-Length` or `Transfer-Encoding` once its punctuation is changed
            /// (`Content_Length`, `Transfer.Encoding`). A gateway interface that maps punctuation to one character
            /// takes it for the real one. The caller decides what happens to such a request.
            LookAlike,
            /// Any other.
            Other,
        }

        impl FieldName {
            /// The usual spelling; empty for [`LookAlike`](Self::LookAlike) and [`Other`](Self::Other).
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $spelling,)+ Self::LookAlike | Self::Other => "" }
            }

            /// The usual spelling with the colon and the space behind it.
            pub(crate) const fn line_start(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($spelling, ": "),)+
                    Self::LookAlike | Self::Other => "",
                }
            }

            #[cfg(test)]
            const KNOWN: &[Self] = &[$(Self::$name,)+];
        }
    };
}

field_names! {
    /// The authority that the request is for.
    Host = "Host",
    /// Framing: how long the body is.
    ContentLength = "Content-Length",
    /// Framing: how the body is coded.
    TransferEncoding = "Transfer-Encoding",
    /// Options of this connection, and names of further fields that concern only this connection.
    Connection = "Connection",
    /// Of this connection only.
    KeepAlive = "Keep-Alive",
    /// Of this connection only; a `Connection` for proxies that old clients sent.
    ProxyConnection = "Proxy-Connection",
    /// Of this connection only: what the sender can decode.
    Te = "TE",
    /// Which fields the trailer section has.
    Trailer = "Trailer",
    /// Of this connection only: another protocol.
    Upgrade = "Upgrade",
    /// What the client waits for before it sends the body.
    Expect = "Expect",
    /// Of this connection only: an upgrade to HTTP/2.
    Http2Settings = "HTTP2-Settings",
    /// Credentials for the next proxy.
    ProxyAuthorization = "Proxy-Authorization",
    /// The proxies on the way.
    Via = "Via",
    /// A claim about the client (RFC 7239).
    Forwarded = "Forwarded",
    /// A claim about the client; `X_Forwarded_For` is the same claim to a gateway interface. So for the next three.
    XForwardedFor = "X-Forwarded-For",
    /// A claim about the client's protocol.
    XForwardedProto = "X-Forwarded-Proto",
    /// A claim about the client's `Host`.
    XForwardedHost = "X-Forwarded-Host",
    /// A claim about the client's address.
    XRealIp = "X-Real-IP",
    /// A claim about the client's certificate (RFC 9440).
    ClientCert = "Client-Cert",
    /// A claim about the chain of the client's certificate (RFC 9440).
    ClientCertChain = "Client-Cert-Chain",
    /// A claim about the client's certificate, as Envoy spells it.
    XForwardedClientCert = "X-Forwarded-Client-Cert",
    /// The request's id.
    XRequestId = "X-Request-Id",
    /// Cookies; HTTP/2 splits them.
    Cookie = "Cookie",
    /// The media type of the body.
    ContentType = "Content-Type",
    /// Credentials for the endpoint.
    Authorization = "Authorization",
    /// The trace that the request belongs to (W3C Trace Context).
    Traceparent = "traceparent",
}

impl FieldName {
    /// Classifies a name, which must be a token.
    #[must_use]
    pub fn of(name: &[u8]) -> Self {
        let Some(first) = name.first() else { return Self::Other };
        // No two known names share length and first letter, so one comparison decides.
        let candidate = match (name.len(), first.to_ascii_lowercase()) {
            (2, b't') => Self::Te,
            (3, b'v') => Self::Via,
            (4, b'h') => Self::Host,
            (6, b'c') => Self::Cookie,
            (6, b'e') => Self::Expect,
            (7, b'u') => Self::Upgrade,
            (7, b't') => Self::Trailer,
            (9, b'x') => Self::XRealIp,
            (9, b'f') => Self::Forwarded,
            (10, b'c') => Self::Connection,
            (10, b'k') => Self::KeepAlive,
            (11, b'c') => Self::ClientCert,
            (11, b't') => Self::Traceparent,
            (12, b'c') => Self::ContentType,
            (12, b'x') => Self::XRequestId,
            (13, b'a') => Self::Authorization,
            (14, b'c') => Self::ContentLength,
            (14, b'h') => Self::Http2Settings,
            (15, b'x') => Self::XForwardedFor,
            (16, b'p') => Self::ProxyConnection,
            (16, b'x') => Self::XForwardedHost,
            (17, b'c') => Self::ClientCertChain,
            (17, b't') => Self::TransferEncoding,
            (17, b'x') => Self::XForwardedProto,
            (19, b'p') => Self::ProxyAuthorization,
            (23, b'x') => Self::XForwardedClientCert,
            _ => Self::Other,
        };
        if candidate != Self::Other && candidate.is_spelled(name) {
            return candidate;
        }
        if looks_like_framing(name) { Self::LookAlike } else { Self::Other }
    }

    /// Fields that concern only one connection (RFC 9110 section 7.6.1). Those that a `Connection` field names are not
    /// known here: [`FieldRef::is_hop_by_hop`](crate::FieldRef::is_hop_by_hop) covers both.
    #[must_use]
    pub const fn is_hop_by_hop(self) -> bool {
        matches!(
            self,
            Self::Connection
                | Self::KeepAlive
                | Self::ProxyConnection
                | Self::Te
                | Self::TransferEncoding
                | Self::Upgrade
                | Self::Http2Settings
                | Self::ProxyAuthorization
        )
    }

    /// Claims about the client that only a trusted neighbour may make.
    #[must_use]
    pub const fn is_client_claim(self) -> bool {
        matches!(
            self,
            Self::Forwarded
                | Self::XForwardedFor
                | Self::XForwardedProto
                | Self::XForwardedHost
                | Self::XRealIp
                | Self::ClientCert
                | Self::ClientCertChain
                | Self::XForwardedClientCert
        )
    }

    /// Fields that a `Connection` field cannot remove, because the message has no meaning without them.
    pub(crate) const fn is_essential(self) -> bool {
        matches!(
            self,
            Self::Host
                | Self::ContentLength
                | Self::TransferEncoding
                | Self::ContentType
                | Self::Authorization
                | Self::Cookie
        )
    }

    /// Fields that mean something in front of a body only (RFC 9110 section 6.5.1).
    pub(crate) const fn is_forbidden_in_trailers(self) -> bool {
        matches!(self, Self::Host | Self::ContentLength | Self::TransferEncoding | Self::LookAlike)
    }

    pub(crate) const fn bit(self) -> u32 {
        1 << self as u32
    }

    fn is_spelled(self, name: &[u8]) -> bool {
        let usual = self.as_str().as_bytes();
        same_token(name, usual)
            || (self.is_client_claim() && name.len() == usual.len() && same_letters(name, usual))
    }
}

/// Whether a name has the letters of a framing field without being one. Two more names are suspicious: those with one
/// letter or digit in the place of the hyphen, and those whose last letters are punctuation instead.
#[inline]
fn looks_like_framing(name: &[u8]) -> bool {
    match name.iter().find(|byte| byte.is_ascii_alphanumeric()) {
        Some(b'c' | b'C') => resembles(name, b"content", b"length"),
        Some(b't' | b'T') => resembles(name, b"transfer", b"encoding"),
        _ => false,
    }
}

fn resembles(name: &[u8], first: &[u8], second: &[u8]) -> bool {
    let may_end_early = name.len() > first.len() + second.len();
    let mut rest = letters(name);
    for letter in first {
        match rest.next() {
            Some(found) if found == *letter => {}
            Some(_) => return false,
            None => return may_end_early,
        }
    }
    is_word(rest.clone(), second, may_end_early) || is_word(rest.skip(1), second, may_end_early)
}

fn is_word(mut found: impl Iterator<Item = u8>, word: &[u8], may_end_early: bool) -> bool {
    let mut missing = word.iter();
    found.all(|letter| missing.next() == Some(&letter)) && (may_end_early || missing.next().is_none())
}

/// Compares two tokens without regard to case. The case of a letter is one bit; `-`, digits and letters stay different
/// without it. One result for all bytes instead of a branch for each: most names that get here are equal.
#[inline]
fn same_token(one: &[u8], other: &[u8]) -> bool {
    const CASE: u8 = 0x20;
    one.len() == other.len()
        && one.iter().zip(other).fold(0, |differ, (one, other)| differ | ((one ^ other) & !CASE)) == 0
}

/// Compares two names by their letters and digits alone.
fn same_letters(one: &[u8], other: &[u8]) -> bool {
    letters(one).eq(letters(other))
}

fn letters(name: &[u8]) -> impl Iterator<Item = u8> + Clone {
    name.iter().filter(|byte| byte.is_ascii_alphanumeric()).map(u8::to_ascii_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, expected: FieldName) {
        assert_eq!(FieldName::of(name.as_bytes()), expected, "{name}");
    }

    #[test]
    fn known_names_are_recognised_in_any_case() {
        for known in FieldName::KNOWN {
            check(known.as_str(), *known);
            check(&known.as_str().to_ascii_uppercase(), *known);
            check(&known.as_str().to_ascii_lowercase(), *known);
            check(&format!("{}x", known.as_str()), FieldName::Other);
        }
    }

    #[test]
    fn names_that_a_gateway_could_take_for_framing_are_look_alikes() {
        for name in [
            "Content_Length",
            "content.length",
            "ContentLength",
            "Content--Length",
            "-Content-Length",
            "Content-Length-",
            "Con-tent-Length",
            "Transfer_Encoding",
            "TRANSFER.ENCODING",
            "TransferEncoding",
            "!Transfer~Encoding|",
            "TransferAEncoding",
            "Content0Length",
            "Transfer-Encodin#",
            "Content-------",
        ] {
            check(name, FieldName::LookAlike);
        }
        for name in [
            "X-Content-Length",
            "Content-Encoding",
            "Transfer-Encodings",
            "Content-Length-Limit",
            "C",
            "---",
            "Content-Language",
            "Content-Location",
            "Content-Disposition",
            "Content-Len",
            "Transfer-Enc",
            "C-",
        ] {
            check(name, FieldName::Other);
        }
    }

    #[test]
    fn a_claim_about_the_client_is_one_with_any_punctuation() {
        check("X_Forwarded_For", FieldName::XForwardedFor);
        check("x.forwarded_proto", FieldName::XForwardedProto);
        check("X_Real_IP", FieldName::XRealIp);
        check("Client_Cert", FieldName::ClientCert);
        check("client.cert_chain", FieldName::ClientCertChain);
        check("X_Forwarded-Client_Cert", FieldName::XForwardedClientCert);
        check("X_Request_Id", FieldName::Other);
    }
}
