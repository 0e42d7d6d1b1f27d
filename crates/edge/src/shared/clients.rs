//! How many connections each client address holds, over all workers. Locked once per connection, never per request, and
//! only while a cap is set. Bounded by the number of open connections.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The counts. Cheap to clone; all clones share them.
#[derive(Clone, Debug, Default)]
pub struct ClientCounts(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One counted connection; it is counted until this is dropped.
#[derive(Debug)]
pub struct ClientPlace {
    counts: ClientCounts,
    client: IpAddr,
}

impl ClientCounts {
    /// Counts one more connection of a client; `None` if the client has `cap` already.
    #[must_use]
    pub fn enter(&self, client: IpAddr, cap: usize) -> Option<ClientPlace> {
        let client = network_of(client);
        let mut counts = self.lock();
        let count = counts.entry(client).or_default();
        if *count >= cap {
            return None;
        }
        *count += 1;
        Some(ClientPlace { counts: self.clone(), client })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ClientPlace {
    fn drop(&mut self) {
        let mut counts = self.counts.lock();
        if let Some(count) = counts.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.client);
            }
        }
    }
}

/// What counts as one client: an IPv4 address, or an IPv6 network of 64 bits, because a single host has all of it
/// (RFC 6177).
#[must_use]
pub fn network_of(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
        ip => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_a_cap_of_its_own_and_leaves_nothing_behind() {
        let counts = ClientCounts::default();
        let enter = |client: &str| counts.enter(client.parse().unwrap(), 2);
        let mut places = vec![enter("192.0.2.1"), enter("::ffff:192.0.2.1"), enter("192.0.2.2")];
        places.extend([enter("2001:db8::1"), enter("2001:db8::ffff:0:0:2"), enter("2001:db8:0:1::1")]);
        assert!(places.iter().all(Option::is_some));
        for full in ["192.0.2.1", "2001:db8::3"] {
            assert!(enter(full).is_none(), "{full}");
        }
        places.remove(0);
        assert!(enter("192.0.2.1").is_some());
        places.clear();
        assert!(counts.lock().is_empty());
    }
}
