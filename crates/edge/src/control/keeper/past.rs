//! The last published snapshots, by which a decision of the past is explained. Bounded by their size: a small edge
//! remembers many, one with ten thousand endpoints a few. Never read by steering.

use std::{cell::RefCell, collections::VecDeque, sync::Arc};

use crate::shared::Live;

/// Most snapshots.
const MOST: usize = 1024;
/// Endpoints over all kept snapshots: about 8 MiB.
const ENDPOINTS: usize = 32 * 1024;
/// What a snapshot counts for beside its endpoints: pools and routes.
const BASE: usize = 8;

/// The last published snapshots, oldest first.
#[derive(Debug, Default)]
pub(super) struct PastSnapshots(RefCell<Kept>);

#[derive(Debug, Default)]
struct Kept {
    all: VecDeque<Arc<Live>>,
    endpoints: usize,
}

fn size(live: &Live) -> usize {
    BASE + live.snapshot.endpoints.len()
}

impl PastSnapshots {
    /// Keeps a snapshot that is about to be published; forgets all if no decision is kept.
    pub(super) fn keep(&self, live: &Arc<Live>) {
        let kept = &mut *self.0.borrow_mut();
        if live.wiring.config.decisions.keep == 0 {
            *kept = Kept::default();
            return;
        }
        kept.endpoints += size(live);
        kept.all.push_back(Arc::clone(live));
        while kept.all.len() > MOST || (kept.endpoints > ENDPOINTS && kept.all.len() > 1) {
            kept.endpoints -= kept.all.pop_front().map_or(0, |oldest| size(&oldest));
        }
    }

    /// The snapshot of a revision, while it is known.
    pub(super) fn of(&self, revision: u64) -> Option<Arc<Live>> {
        let kept = self.0.borrow();
        let nth = kept.all.partition_point(|live| live.snapshot.revision < revision);
        kept.all.get(nth).filter(|live| live.snapshot.revision == revision).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{control::keeper::Keeper, shared::Wiring};

    const CONFIG: &str = "version = 1\n[[listener]]\nname = \"l\"\nbind = \"127.0.0.1:1\"\n[pool.p]\nendpoints = [{ address = \"127.0.0.1:9\" }]\n[route.r]\npolicy = \"failover\"\npools = [{ pool = \"p\" }]\n";

    fn wiring(more: &str) -> Arc<Wiring> {
        let config = thalweg_config::parse_str(&format!("{CONFIG}{more}"), "t.toml").unwrap();
        Arc::new(Wiring {
            config: Arc::new(config),
            upstream_tls: Vec::new(),
            listener_tls: Vec::new(),
            listener_quic: Vec::new(),
            cookies: Vec::new(),
            max_connections: 1,
            sends_proxy: false,
            webhook: None,
            otlp: None,
        })
    }

    fn live(wiring: &Arc<Wiring>, revision: u64) -> Arc<Live> {
        let snapshot = thalweg_core::Snapshot { revision, ..Keeper::nothing() };
        Arc::new(Live { snapshot, wiring: Arc::clone(wiring) })
    }

    #[test]
    fn the_last_snapshots_are_known_by_their_revision() {
        let past = PastSnapshots::default();
        assert!(past.of(1).is_none());
        // Revisions may have gaps.
        let usual = wiring("");
        (1..=3000).map(|nth| live(&usual, nth * 2)).for_each(|live| past.keep(&live));
        let known: Vec<u64> = (0..=6001).filter(|revision| past.of(*revision).is_some()).collect();
        let expected: Vec<u64> = (3000 - MOST as u64 + 1..=3000).map(|nth| nth * 2).collect();
        assert_eq!(known, expected);
        past.keep(&live(&wiring("[decisions]\nkeep = 0\n"), 6002));
        assert!(past.of(6000).is_none() && past.of(6002).is_none());
    }
}
