//! What an I/O error says about an endpoint, and when the error is this edge's own lack of resources. Requests and
//! probes classify errors alike.

use std::{io, net::SocketAddr};

use socket2::{Domain, Socket, Type};
use thalweg_core::Fault;

/// What an I/O error says about the endpoint. Call it only for errors that are not [`is_own`].
#[must_use]
pub fn fault_of(error: &io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Fault::Refused,
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::NotConnected
        | io::ErrorKind::UnexpectedEof => Fault::Reset,
        io::ErrorKind::TimedOut => Fault::Timeout,
        _ => Fault::Unreachable,
    }
}

/// What an error of a TLS handshake says, if TLS itself failed and not the connection under it.
#[must_use]
pub fn tls_fault(error: &io::Error) -> Option<Fault> {
    use rustls::Error as E;
    let tls = error.get_ref()?.downcast_ref::<E>()?;
    Some(match tls {
        E::InvalidCertificate(_) | E::NoCertificatesPresented => Fault::TlsCertificate,
        E::AlertReceived(_) => Fault::TlsAlert,
        _ => Fault::Tls,
    })
}

/// Whether a connect to `address` failed because this edge is out of descriptors, ports or memory. Such a failure is no
/// evidence about the endpoint, which was not even asked.
///
/// Linux reports `EADDRNOTAVAIL` both when the local ports have run out and when this machine has no IPv6 for an IPv6
/// address. Only the first is the edge's own and passes. The second is a fact about the endpoint as seen from here,
/// like `ENETUNREACH`: counted as the edge's own, it would keep a new endpoint's probe round open and `/readyz` at 503
/// for ever, and would hold a known endpoint healthy that no request can reach. A datagram socket tells the two apart
/// without a packet: its connect needs the same route and source address, and no TCP port.
#[must_use]
pub fn is_own(error: &io::Error, address: SocketAddr) -> bool {
    let way = || Socket::new(Domain::for_address(address), Type::DGRAM, None)?.connect(&address.into());
    match error.raw_os_error() {
        Some(libc::EADDRNOTAVAIL) => way().err().is_none_or(|error| is_short(&error)),
        _ => is_short(error),
    }
}

/// Whether an error on an open connection is this edge's own lack of resources. An open connection already has its
/// port.
#[must_use]
pub fn is_short(error: &io::Error) -> bool {
    let short = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM, libc::EAGAIN];
    error.raw_os_error().is_some_and(|code| short.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lack_of_ports_is_local_and_a_missing_route_is_not() {
        // A link-local address without a zone: no machine has a route to it, with IPv6 or without.
        let (here, nowhere) = ("127.0.0.1:9", "[fe80::1]:9");
        for (code, address, own) in [
            (libc::EMFILE, nowhere, true),
            (libc::EAGAIN, here, true),
            (libc::EADDRNOTAVAIL, here, true),
            (libc::EADDRNOTAVAIL, nowhere, false),
            (libc::ENETUNREACH, here, false),
            (libc::EAFNOSUPPORT, nowhere, false),
            (libc::ECONNREFUSED, here, false),
        ] {
            let error = io::Error::from_raw_os_error(code);
            assert_eq!(is_own(&error, address.parse().unwrap()), own, "{error} at {address}");
        }
    }
}
