//! DNS answers: the last good one for each name that the topology uses. Never asks a resolver.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use crate::topology::Topology;

/// The last good answer for each name. A name without an answer was not asked for yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    answers: BTreeMap<Box<str>, Vec<IpAddr>>,
}

impl Names {
    /// The addresses of a name, sorted; `None` if the name was never asked for.
    pub(crate) fn addresses(&self, name: &str) -> Option<&[IpAddr]> {
        self.answers.get(name).map(Vec::as_slice)
    }

    /// Takes an answer in. Says how many addresses the name has now, if that is news.
    pub(crate) fn learn(&mut self, name: &str, addresses: Vec<IpAddr>) -> Option<usize> {
        let addresses: Vec<IpAddr> = addresses.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
        let (count, known) = (addresses.len(), self.addresses(name));
        if known == Some(&*addresses) {
            return None;
        }
        self.answers.insert(name.into(), addresses);
        Some(count)
    }

    /// Forgets the names that a new topology does not use.
    pub(crate) fn keep(&mut self, topology: &Topology) {
        let hosts = topology.hosts();
        self.answers.retain(|name, _| hosts.contains(&**name));
    }
}
