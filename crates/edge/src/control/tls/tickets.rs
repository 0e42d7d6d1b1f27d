//! Tickets with which clients resume their sessions. One set of keys for the whole process: all workers and listeners
//! share it, a reload keeps it, and it is in no file. A key makes tickets for six hours and reads them for six more.
//!
//! A session under one listener's demands on clients must not be resumed under another's: a client without a certificate
//! would pass where one is required (as in CVE-2025-23419 of nginx). So each ticket holds the policy that it was made
//! under, and is read under this policy only. Rejected: keys per listener, because a site that listens on two addresses
//! would lose what they share.

use std::sync::Arc;

use rustls::server::ProducesTickets;

use super::client_auth::Policy;

/// Tickets that count under one policy only.
pub(super) fn bound_to(policy: Policy, tickets: Arc<dyn ProducesTickets>) -> Arc<dyn ProducesTickets> {
    Arc::new(BoundTickets { policy, tickets })
}

#[derive(Debug)]
struct BoundTickets {
    policy: Policy,
    tickets: Arc<dyn ProducesTickets>,
}

impl ProducesTickets for BoundTickets {
    fn enabled(&self) -> bool {
        self.tickets.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.tickets.lifetime()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.tickets.encrypt(&[&self.policy, plain].concat())
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        let mut plain = self.tickets.decrypt(cipher)?;
        plain.starts_with(&self.policy).then(|| plain.split_off(self.policy.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_counts_under_its_own_policy_only() {
        let keys = rustls::crypto::aws_lc_rs::Ticketer::new().unwrap();
        let under = |policy| bound_to(policy, Arc::clone(&keys));
        let (none, one, other) = (under([0; 32]), under([1; 32]), under([2; 32]));
        for (made, read, counts) in [
            (&none, &none, true),
            (&one, &under([1; 32]), true),
            (&none, &one, false),
            (&one, &none, false),
            (&one, &other, false),
        ] {
            let ticket = made.encrypt(b"session").unwrap();
            assert_eq!(read.decrypt(&ticket), counts.then(|| b"session".to_vec()), "{made:?} {read:?}");
        }
        assert_eq!(none.decrypt(b"made up"), None);
    }
}
