//! What every answer of `steer` must respect, checked against the oracle.

use std::net::IpAddr;

use thalweg_core::{
    Admin, Availability, Binding, ClientMark, Decision, Ejection, EndpointSlot, Facts, Loads, OnFailure,
    PanicRank, PoolSlot, Reason, Refusal, Slot, Snapshot, Stage, Tried, explain, mix,
};

use crate::{oracle::Oracle, records::availability, subject::Subject};

/// In-flight counts that a seed decides: the same each time they are asked for.
pub(crate) struct SeededLoads {
    pub(crate) seed: u64,
    pub(crate) most: u64,
}

impl Loads for SeededLoads {
    fn in_flight(&self, slot: EndpointSlot) -> u32 {
        (mix(self.seed ^ u64::from(slot.0)) % (self.most + 1)) as u32
    }
    fn latency_us(&self, slot: EndpointSlot) -> u32 {
        (mix(!self.seed ^ u64::from(slot.0)) % 50_000) as u32
    }
    fn has_room(&self, pool: PoolSlot) -> bool {
        !mix(self.seed ^ u64::from(pool.0) << 11).is_multiple_of(3)
    }
    fn trickle_due(&self, slot: EndpointSlot, _: bool) -> bool {
        mix(self.seed ^ u64::from(slot.0) << 7).is_multiple_of(3)
    }
}

/// One attempt, which is asked twice, explained and checked.
pub(crate) struct Attempt<'a> {
    pub(crate) oracle: &'a Oracle,
    pub(crate) subject: &'a Subject,
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) busy: &'a SeededLoads,
    pub(crate) route: usize,
    pub(crate) tried: &'a [Tried],
    pub(crate) roll: u64,
}

/// One endpoint of the route, as the oracle sees it.
#[derive(Clone, Copy, Debug)]
struct Seen {
    slot: usize,
    pool: usize,
    up: Availability,
    enabled: bool,
    panic_rank: PanicRank,
    weight: u32,
    tried: bool,
    full: bool,
    damped: bool,
}

impl Attempt<'_> {
    pub(crate) fn judge(&self) -> Result<Option<Decision>, String> {
        let path = self.oracle.topology.routes[self.route].path_prefix.clone();
        let facts = self.facts(&path);
        let answer = self.subject.steer(self.snapshot, self.busy, &facts, self.roll);
        let again = self.subject.steer(self.snapshot, self.busy, &facts, self.roll);
        if answer != again {
            return Err(format!("asked twice: {answer:?}, {again:?}"));
        }
        let judged = match &answer {
            Ok(decision) => {
                self.judge_decision(decision).and_then(|()| self.judge_affinity(decision, &facts))
            }
            Err(refusal) => self.judge_refusal(*refusal),
        };
        judged.map_err(|what| format!("{what}: {answer:?} after {:?}", self.tried))?;
        Ok(answer.ok())
    }

    /// A client by the roll: its address, and often a cookie for some endpoint of the layout.
    fn facts<'f>(&'f self, path: &'f str) -> Facts<'f> {
        let seed = mix(self.roll);
        let client = IpAddr::from((seed as u32).to_be_bytes());
        let slot = Slot::at(seed as usize % (self.snapshot.endpoints.len() + 3));
        let place = self.snapshot.layout.endpoints.get(slot);
        let bound = place.map(|place| Binding { client: seed, endpoint: place.hash });
        Facts {
            host: "any.test",
            path,
            client,
            location: Default::default(),
            tried: self.tried,
            replayable: true,
            bound,
        }
    }

    /// Checks that `explain` says what `steer` does.
    pub(crate) fn judge_explained(&self) -> Result<(), String> {
        let path = self.oracle.topology.routes[self.route].path_prefix.clone();
        let facts = self.facts(&path);
        let told = explain(self.snapshot, self.busy, &facts, self.roll);
        let sum: f64 = told.pools.iter().map(|pool| pool.share).sum();
        let serves = !self.snapshot.routes[self.route].shares.segments.is_empty();
        let whole = (sum - f64::from(u8::from(serves))).abs() < 1e-9;
        let same = told.outcome == thalweg_core::steer(self.snapshot, self.busy, &facts, self.roll);
        if same && whole { Ok(()) } else { Err(format!("explained otherwise: {told:?}")) }
    }

    /// Where affinity decides, chance does not.
    fn judge_affinity(&self, decision: &Decision, facts: &Facts<'_>) -> Result<(), String> {
        let known = self.oracle.topology.routes[self.route].affinity.is_some();
        if decision.reason != Reason::Affinity {
            return Ok(());
        }
        let other = self.subject.steer(self.snapshot, self.busy, facts, !self.roll);
        let fair = known && self.tried.is_empty() && other == Ok(*decision);
        if fair { Ok(()) } else { Err(format!("affinity by chance: {other:?}")) }
    }

    /// The client's home, whether it is kept there, and whether no other endpoint may serve the client.
    fn home(&self) -> Option<(EndpointSlot, bool, bool)> {
        let route = &self.oracle.topology.routes[self.route];
        let facts = self.facts(&route.path_prefix);
        let (home, kept) = explain(self.snapshot, self.busy, &facts, self.roll).home?;
        Some((home.endpoint?, kept, route.affinity?.on_failure == OnFailure::Refuse))
    }

    /// Is the endpoint the client's own, so that it may serve although no new client gets it? It drains, or has weight 0,
    /// or the client belongs there or nowhere.
    fn is_own(&self, chosen: &Seen, reason: Reason) -> bool {
        let Some((home, true, strict)) = self.home() else { return false };
        let by = self.oracle.topology.routes[self.route].affinity.map(|rules| rules.by);
        let bound = by == Some(ClientMark::Cookie);
        let drains = chosen.up == Availability::AffinityOnly && (bound || strict);
        let stage = self.snapshot.routes[self.route].shares.stage;
        let up = chosen.up == Availability::Up
            || (stage == Stage::Unproven && chosen.up == Availability::Unproven);
        let reserve = bound && chosen.weight == 0 && chosen.enabled && up;
        let alive = chosen.up != Availability::Down || reason == Reason::Panic;
        let disabled = self.oracle.records[chosen.slot].admin == Admin::Disabled;
        home.index() == chosen.slot
            && (drains || reserve || (strict && alive && !disabled))
            && !chosen.tried
            && !chosen.full
    }

    fn seen(&self) -> Vec<Seen> {
        let pools = &self.oracle.topology.routes[self.route].pools;
        let slots = self.oracle.slots.iter().zip(&self.oracle.records).enumerate();
        slots
            .filter(|(_, ((_, at), _))| pools.iter().any(|member| member.pool.index() == at.0))
            .map(|(slot, ((_, (pool, _, weight)), record))| {
                let cap = self.oracle.topology.pools[*pool].max_in_flight;
                let id = self.snapshot.layout.endpoints[slot].id;
                Seen {
                    slot,
                    pool: *pool,
                    up: availability(record),
                    enabled: record.admin == Admin::Enabled,
                    panic_rank: match record.ejection {
                        Ejection::Clear if !record.refusing => PanicRank::Answering,
                        Ejection::Probation if !record.refusing => PanicRank::Proving,
                        _ => PanicRank::Last,
                    },
                    weight: *weight,
                    tried: self.tried.iter().any(|tried| tried.endpoint == id),
                    damped: self.snapshot.endpoints[slot].damped,
                    full: (cap > 0 && self.busy.in_flight(EndpointSlot::at(slot)) >= cap)
                        || (self.oracle.topology.pools[*pool].capacity > 0
                            && !self.busy.has_room(Slot::at(*pool))),
                }
            })
            .collect()
    }

    fn judge_decision(&self, decision: &Decision) -> Result<(), String> {
        let seen = self.seen();
        let view = &self.snapshot.routes[self.route];
        let below = |pool: usize| self.oracle.tallies[pool].below_threshold;
        let found = seen.iter().find(|seen| seen.slot == decision.endpoint.index());
        let Some(chosen) = found else { return Err("an endpoint of another route".into()) };
        if decision.reason == Reason::Probation {
            let proves = self.oracle.records[chosen.slot].ejection == Ejection::Probation;
            let in_panic = view.shares.stage == Stage::Panic && chosen.enabled && proves;
            let proves = chosen.up == Availability::Trickle || in_panic;
            let fair = self.tried.is_empty() && proves && !chosen.full;
            return if fair { Ok(()) } else { Err("a trickle to one that is not in probation".into()) };
        }
        if self.is_own(chosen, decision.reason) {
            return Ok(());
        }
        let free = |seen: &&Seen| !seen.tried && !seen.full;
        let fit = |seen: &&Seen| free(seen) && seen.up == Availability::Up && !below(seen.pool);
        let panics = decision.reason == Reason::Panic;
        let unproven = view.shares.stage == Stage::Unproven;
        let same_kind = |seen: &&Seen| {
            seen.pool == chosen.pool
                && free(seen)
                && (panics || seen.damped <= chosen.damped)
                && (panics || seen.up == chosen.up || (unproven && seen.up == Availability::Unproven))
        };
        let check = [
            (chosen.pool == decision.pool.index(), "the pool of another endpoint"),
            (!chosen.tried, "tried before"),
            (!chosen.full, "over its cap"),
            (chosen.enabled, "taken out by the operator"),
            (
                panics || chosen.up == Availability::Up || (unproven && chosen.up == Availability::Unproven),
                "not up, without panic",
            ),
            (panics || unproven || !below(chosen.pool), "below its threshold, without panic"),
            (
                !panics || view.shares.stage == Stage::Panic || !seen.iter().any(|seen| fit(&seen)),
                "panic while another endpoint is fit",
            ),
            (
                !panics || !seen.iter().any(|s| free(&s) && s.enabled && s.panic_rank < chosen.panic_rank),
                "a worse panic rank than another's",
            ),
            (
                panics || chosen.weight > 0 || !seen.iter().any(|seen| same_kind(&seen) && seen.weight > 0),
                "a reserve endpoint, while the pool has others",
            ),
            (
                panics
                    || !chosen.damped
                    || self.tried.len() > 1
                    || !seen.iter().any(|seen| {
                        fit(&seen)
                            && !seen.damped
                            && seen.pool == chosen.pool
                            && (seen.weight > 0) >= (chosen.weight > 0)
                    }),
                "what flaps serves before what does not",
            ),
            (panics || self.is_in_turn(chosen, &seen), "held or in reserve, while another is open"),
            (panics || self.leaves_pools(chosen, &seen), "a later retry stays in a pool that failed"),
        ];
        match check.iter().find(|(holds, _)| !holds) {
            Some((_, what)) => Err((*what).into()),
            None => Ok(()),
        }
    }

    /// Is the pool not of weight 0 while an open pool has a candidate, nor held while another stands in?
    fn is_in_turn(&self, chosen: &Seen, seen: &[Seen]) -> bool {
        let view = &self.snapshot.routes[self.route];
        let pools = &self.oracle.topology.routes[self.route].pools;
        if view.shares.stage != Stage::Up || self.tried.len() >= 2 {
            return true;
        }
        let member =
            |pool: usize| pools.iter().zip(&view.pools).find(|(member, _)| member.pool.index() == pool);
        let Some((own, memory)) = member(chosen.pool) else { return true };
        let before = |pool: usize| {
            member(pool).is_some_and(|(other, memory)| {
                let open = other.weight > 0 && !memory.held && memory.damped_until.is_none();
                open && (own.weight == 0 || self.oracle.stands_in(self.snapshot, self.route, own, other))
            })
        };
        let open = seen.iter().any(|seen| {
            !seen.tried
                && (chosen.damped || !seen.damped)
                && !seen.full
                && seen.up == Availability::Up
                && !self.oracle.tallies[seen.pool].below_threshold
                && before(seen.pool)
        });
        (own.weight > 0 && !memory.held && memory.damped_until.is_none()) || !open
    }

    fn leaves_pools(&self, chosen: &Seen, seen: &[Seen]) -> bool {
        if self.tried.len() < 2 {
            return true;
        }
        // An endpoint that has vanished meanwhile still counts against the pool that it was in.
        let gone = |tried: &&Tried| self.snapshot.layout.endpoints.iter().all(|at| at.id != tried.endpoint);
        let failed = |pool: usize| {
            seen.iter().any(|seen| seen.pool == pool && seen.tried)
                || self.tried.iter().filter(gone).any(|tried| tried.pool.index() == pool)
        };
        let fresh = seen.iter().any(|seen| {
            !failed(seen.pool)
                && (chosen.damped || !seen.damped)
                && !seen.full
                && seen.up == Availability::Up
                && !self.oracle.tallies[seen.pool].below_threshold
        });
        !failed(chosen.pool) || !fresh
    }

    fn judge_refusal(&self, refusal: Refusal) -> Result<(), String> {
        if refusal != Refusal::NoRoute && matches!(self.home(), Some((_, false, true))) {
            return Ok(());
        }
        let seen = self.seen();
        let left = seen.iter().filter(|seen| seen.enabled && !seen.tried);
        let resident = self.oracle.topology.routes[self.route].residency;
        let fit = |seen: &&Seen| {
            !seen.full && seen.up == Availability::Up && !self.oracle.tallies[seen.pool].below_threshold
        };
        let holds = match refusal {
            Refusal::NoRoute => false,
            Refusal::NoEndpoint => left.count() == 0 && !resident,
            Refusal::Residency => left.count() == 0 && resident,
            Refusal::Overloaded => left.clone().any(|seen| seen.full) && !left.clone().any(|seen| fit(&seen)),
        };
        if holds { Ok(()) } else { Err("refused without need".into()) }
    }
}
