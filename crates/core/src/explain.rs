//! "Why did that request go there?": the same funnel and the same draw that steer, with every step kept.
//! Never decides anything itself.

use crate::{
    affinity::{Affine, Home},
    facts::{Decision, Facts, Loads},
    funnel::{Entry, funnel},
    reason::Refusal,
    shares::Stage,
    slot::RouteSlot,
    snapshot::Snapshot,
    steer::steer,
};

/// The funnel step by step for one request.
#[derive(Clone, Debug)]
pub struct Explained {
    /// The route that matched.
    pub route: Option<RouteSlot>,
    /// The route in whose order the request is served: the one that matched, or a sub-route of it.
    pub serving: Option<RouteSlot>,
    /// What an endpoint needed to be a candidate.
    pub stage: Stage,
    /// The pools of the route, in its order.
    pub pools: Vec<ExplainedPool>,
    /// Where the client belongs, and whether its endpoint takes it now; `None` for a route without affinity, and for a
    /// client that has no place yet.
    pub home: Option<(Home, bool)>,
    /// What `steer` answers.
    pub outcome: Result<Decision, Refusal>,
}

/// One pool's way through the funnel.
#[derive(Clone, Copy, Debug)]
pub struct ExplainedPool {
    /// What the sieves concluded.
    pub entry: Entry,
    /// Its part of the traffic, 0–1.
    pub share: f64,
}

/// Explains what [`steer`] answers for these inputs.
#[must_use]
pub fn explain(snapshot: &Snapshot, loads: &impl Loads, facts: &Facts<'_>, roll: u64) -> Explained {
    let outcome = steer(snapshot, loads, facts, roll);
    let slot = snapshot.layout.matcher.find(facts.host, facts.path);
    let serving =
        slot.and_then(|slot| Some(snapshot.route(slot)?.serving(slot, facts.client, facts.location)));
    let mut explained =
        Explained { route: slot, serving, stage: Stage::Up, pools: Vec::new(), home: None, outcome };
    let Some((route, view)) =
        serving.and_then(|slot| Some((snapshot.route(slot)?, snapshot.routes.get(slot)?)))
    else {
        return explained;
    };
    let found = funnel(route, &view.pools, &snapshot.pools, &|pool, stage| {
        snapshot.pools.get(pool).is_some_and(|view| view.can_serve(stage))
    });
    explained.stage = found.shares.stage;
    if let Some(slot) = serving {
        let affine = Affine { snapshot, loads, route: slot, view, facts };
        explained.home = affine.home().map(|home| (home, affine.is_kept(home)));
    }
    for entry in found.entries {
        let mut from = 0;
        let mut share = 0;
        for segment in &view.shares.segments {
            share += if segment.entry == entry.entry { segment.end - from } else { 0 };
            from = segment.end;
        }
        #[expect(clippy::cast_precision_loss, reason = "at most 2^32")]
        explained.pools.push(ExplainedPool { entry, share: share as f64 / 4_294_967_296.0 });
    }
    explained
}
