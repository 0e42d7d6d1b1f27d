//! The TLS handshake with a client: who the client is, and why a handshake fails. Reads no request.

use std::{io, rc::Rc, sync::Arc};

use quinn::{ConnectionError, VarInt};
use rustls::{CertificateError, HandshakeKind, ServerConfig};
use rustls_pki_types::CertificateDer;
use tokio::{
    net::TcpStream,
    time::{Instant, timeout_at},
};

use crate::{
    data::{
        conn::{ClientConn, ClientIo},
        local::Local,
    },
    shared::{calendar::unix_seconds, client_certificate::ClientCertificate},
};

/// What a QUIC connection is closed with when its client's certificate does not count after all (RFC 9114 section 8.1).
const HANDSHAKE_REFUSED: VarInt = VarInt::from_u32(0x101);

/// TLS alerts that QUIC reports, as codes (RFC 9001 section 4.8).
const ALERTS: std::ops::Range<u64> = 0x100..0x200;

/// Why a handshake failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HandshakeFailure {
    /// The listener demands a certificate, and the client has shown none.
    NoCertificate,
    /// The client's certificate is out of its time.
    CertificateExpired,
    /// A revocation list names the client's certificate.
    CertificateRevoked,
    /// No authority of `client_ca` has issued the client's certificate.
    UnknownAuthority,
    /// Anything else is wrong with the client's certificate.
    BadCertificate,
    /// Client and listener have no version, cipher suite or protocol in common.
    Incompatible,
    /// The client has refused what the edge presents, and said so.
    Alert,
    /// What the client sends is not TLS, or breaks its rules.
    Protocol,
    /// The client took longer than `header_timeout`, a PROXY header before the handshake included.
    Timeout,
    /// The client has closed the connection.
    ClientGone,
}

impl HandshakeFailure {
    const fn as_str(self) -> &'static str {
        match self {
            Self::NoCertificate => "no_certificate",
            Self::CertificateExpired => "certificate_expired",
            Self::CertificateRevoked => "certificate_revoked",
            Self::UnknownAuthority => "unknown_authority",
            Self::BadCertificate => "bad_certificate",
            Self::Incompatible => "incompatible",
            Self::Alert => "alert",
            Self::Protocol => "protocol",
            Self::Timeout => "timeout",
            Self::ClientGone => "client_gone",
        }
    }

    fn of(error: &io::Error) -> Self {
        use CertificateError as C;
        use rustls::Error as E;
        match error.get_ref().and_then(|inner| inner.downcast_ref::<E>()) {
            None => Self::ClientGone,
            Some(E::NoCertificatesPresented) => Self::NoCertificate,
            Some(E::InvalidCertificate(certificate)) => match certificate {
                C::Expired | C::ExpiredContext { .. } | C::NotValidYet | C::NotValidYetContext { .. } => {
                    Self::CertificateExpired
                }
                C::Revoked => Self::CertificateRevoked,
                C::UnknownIssuer => Self::UnknownAuthority,
                _ => Self::BadCertificate,
            },
            Some(E::PeerIncompatible(_) | E::NoApplicationProtocol) => Self::Incompatible,
            Some(E::AlertReceived(_)) => Self::Alert,
            Some(_) => Self::Protocol,
        }
    }

    /// QUIC keeps no more of an error than the alert that it was told as (RFC 8446 section 6).
    fn of_quic(error: &ConnectionError) -> Self {
        let code = match error {
            ConnectionError::TimedOut => return Self::Timeout,
            // The client's own words: an alert about what the edge presents, or another reason to leave.
            ConnectionError::ConnectionClosed(close) if ALERTS.contains(&u64::from(close.error_code)) => {
                return Self::Alert;
            }
            ConnectionError::TransportError(error) => u64::from(error.code),
            ConnectionError::VersionMismatch => return Self::Incompatible,
            _ => return Self::ClientGone,
        };
        match code.checked_sub(ALERTS.start) {
            Some(40 | 70 | 71 | 109 | 120) => Self::Incompatible,
            Some(42 | 43 | 46) => Self::BadCertificate,
            Some(44) => Self::CertificateRevoked,
            Some(45) => Self::CertificateExpired,
            Some(48) => Self::UnknownAuthority,
            Some(116) => Self::NoCertificate,
            _ => Self::Protocol,
        }
    }
}

/// Counts a handshake that failed.
fn failed(local: &Local, conn: &ClientConn, failure: HandshakeFailure, detail: &dyn std::fmt::Display) {
    local.meters().handshake_failed(&conn.listener, failure.as_str());
    let (listener, client, reason) = (&conn.listener, conn.source().ip(), failure.as_str());
    tracing::debug!(%listener, %client, reason, %detail, "tls handshake failed");
}

/// The connection behind the handshake, which may last until `until`, and whether the client has chosen HTTP/2; `None` = the handshake failed, and is
/// counted.
pub(super) async fn secure(
    local: &Local,
    conn: &Rc<ClientConn>,
    stream: TcpStream,
    (config, until): (Arc<ServerConfig>, Instant),
) -> Option<(ClientIo, bool)> {
    let accepted = timeout_at(until, tokio_rustls::TlsAcceptor::from(config).accept(stream));
    let failed = |failure, detail: &dyn std::fmt::Display| failed(local, conn, failure, detail);
    let stream = match accepted.await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            failed(HandshakeFailure::of(&error), &error);
            return None;
        }
        Err(elapsed) => {
            failed(HandshakeFailure::Timeout, &elapsed);
            return None;
        }
    };
    let (_, tls) = stream.get_ref();
    conn.tls.set(Some(match tls.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
        _ => "TLSv1.2",
    }));
    if let Some(leaf) = tls.peer_certificates().and_then(|chain| chain.first()) {
        let Some(certificate) = ClientCertificate::read(leaf) else {
            failed(HandshakeFailure::BadCertificate, &"it cannot be read");
            return None;
        };
        // A resumed session brings the certificate of its first handshake, which nothing has verified since.
        if tls.handshake_kind() == Some(HandshakeKind::Resumed) && certificate.not_after < unix_seconds() {
            failed(HandshakeFailure::CertificateExpired, &"it has ended since the session began");
            return None;
        }
        let _ = conn.certificate.set(Box::new(certificate));
    }
    let is_http2 = tls.alpn_protocol() == Some(b"h2");
    Some((ClientIo::tls(stream, Rc::clone(conn)), is_http2))
}

/// Counts a QUIC handshake that failed.
pub(super) fn failed_quic(local: &Local, conn: &ClientConn, error: &ConnectionError) {
    failed(local, conn, HandshakeFailure::of_quic(error), error);
}

/// The QUIC connection behind the handshake, which may last until `until`; `None` = the handshake failed, and is counted.
pub(super) async fn secure_quic(
    local: &Local,
    conn: &ClientConn,
    connecting: quinn::Connecting,
    until: Instant,
) -> Option<quinn::Connection> {
    let quic = match timeout_at(until, connecting).await {
        Ok(Ok(quic)) => quic,
        Ok(Err(error)) => {
            failed_quic(local, conn, &error);
            return None;
        }
        Err(elapsed) => {
            failed(local, conn, HandshakeFailure::Timeout, &elapsed);
            return None;
        }
    };
    conn.tls.set(Some("TLSv1.3"));
    let chain = quic.peer_identity().and_then(|chain| chain.downcast::<Vec<CertificateDer<'static>>>().ok());
    if let Some(leaf) = chain.as_ref().and_then(|chain| chain.first()) {
        let refused = match ClientCertificate::read(leaf) {
            None => Some((HandshakeFailure::BadCertificate, "it cannot be read")),
            // Of a resumed session, perhaps: nothing has verified it since the session began.
            Some(certificate) if certificate.not_after < unix_seconds() => {
                Some((HandshakeFailure::CertificateExpired, "it has ended since the session began"))
            }
            Some(certificate) => {
                let _ = conn.certificate.set(Box::new(certificate));
                None
            }
        };
        if let Some((failure, detail)) = refused {
            failed(local, conn, failure, &detail);
            quic.close(HANDSHAKE_REFUSED, b"");
            return None;
        }
    }
    Some(quic)
}
