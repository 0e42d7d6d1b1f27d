//! Connection ids that name the worker which has the connection: the number of its socket, then random bytes. Says nothing
//! about the connection itself.
//!
//! The number is in clear, as in the plaintext form of QUIC-LB (draft-ietf-quic-load-balancers): an observer learns which
//! of a few workers serves a connection, and cannot tell two connections of a worker from one that moved.

use quinn::{ConnectionId, ConnectionIdGenerator};

/// Length of an id: the number, and eight random bytes.
const LENGTH: usize = 10;

/// Makes the ids of one socket.
pub(super) struct NumberedIds(pub(super) u16);

impl ConnectionIdGenerator for NumberedIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = [0; LENGTH];
        let (number, random) = id.split_at_mut(2);
        number.copy_from_slice(&self.0.to_be_bytes());
        // An error means that the process has no random numbers: then no handshake succeeds either.
        let _ = aws_lc_rs::rand::fill(random);
        ConnectionId::new(&id)
    }

    fn cid_len(&self) -> usize {
        LENGTH
    }

    fn cid_lifetime(&self) -> Option<std::time::Duration> {
        None
    }
}

/// The number of the socket that the connection of a datagram belongs to. Datagrams of a handshake (long headers) have
/// none: their client does not move before its end (RFC 9000 section 9), and may have chosen the id itself.
pub(super) fn owner(datagram: &[u8]) -> Option<u16> {
    match datagram {
        [first, high, low, ..] if first & 0x80 == 0 => Some(u16::from_be_bytes([*high, *low])),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_leads_back_to_its_socket() {
        for number in [0, 1, 255, 256, 65_535] {
            let (one, other) = (NumberedIds(number).generate_cid(), NumberedIds(number).generate_cid());
            assert_eq!((one.len(), one != other), (LENGTH, true));
            let short = [&[0x40][..], &one].concat();
            assert_eq!(owner(&short), Some(number));
            let long = [&[0xc0][..], &one].concat();
            assert_eq!(owner(&long), None, "a handshake");
        }
        assert_eq!((owner(&[]), owner(&[0x40, 1])), (None, None));
    }
}
