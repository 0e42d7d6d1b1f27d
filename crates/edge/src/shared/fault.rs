//! What an I/O error says about an endpoint, and when it is this edge's own lack instead. Requests and probes judge alike.

use std::{io, net::SocketAddr};

use socket2::{Domain, Socket, Type};
use thalweg_core::Fault;

/// What an I/O error says about the endpoint, once it is not [`is_own`].
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

/// A connect to `address` failed because this edge is out of descriptors, ports or memory: the endpoint has not even
/// been asked. Of requests and probes alike, that is evidence of nothing.
///
/// Linux says `EADDRNOTAVAIL` when the ports have run out, and says the same of an IPv6 address where this machine has
/// no IPv6. Only the first is of this edge and passes. The second is a fact about the endpoint as seen from here, as
/// `ENETUNREACH` is: taken for the edge's own, its probes would never end, so that a new endpoint would keep `/readyz`
/// at 503, and a known one would be held healthy for ever while no request reaches it. A datagram socket tells them
/// apart without a packet: to connect it takes the same route and source address, and none of TCP's ports.
#[must_use]
pub fn is_own(error: &io::Error, address: SocketAddr) -> bool {
    let way = || Socket::new(Domain::for_address(address), Type::DGRAM, None)?.connect(&address.into());
    match error.raw_os_error() {
        Some(libc::EADDRNOTAVAIL) => way().err().is_none_or(|error| is_short(&error)),
        _ => is_short(error),
    }
}

/// The same of a connection that is there: it has its port.
#[must_use]
pub fn is_short(error: &io::Error) -> bool {
    let short = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM, libc::EAGAIN];
    error.raw_os_error().is_some_and(|code| short.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lack_of_ports_is_our_own_and_an_address_that_we_have_no_way_to_is_not() {
        // Link-local without a link: no machine has a way there, with IPv6 or without.
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
