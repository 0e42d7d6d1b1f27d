//! Budgets for retries and hedges, one per route over all workers.
//!
//! Why this and not a budget per worker: traffic is not spread evenly over workers, so a worker without requests would
//! have nothing to spend when its one request fails. Each worker counts its requests by itself and adds them to the
//! shared budget a few times a second; a retry or a hedge, which is rare, takes the lock of the shared budget at once.
//! The algorithm of one budget is `thalweg_core::retry::Budget`.

use std::{
    cell::Cell,
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use thalweg_core::{Tick, retry::Budget};

/// Retries per second and route that are always allowed, beside the configured ratio.
const RETRY_FLOOR: f64 = 10.0;
/// Hedges divided by requests of the last 10 s.
const HEDGES: f64 = 0.05;
/// Hedges per second that are always allowed: a burst of 20 in 10 s.
const HEDGE_FLOOR: f64 = 2.0;
/// How often a worker adds its requests to the shared budget: the width of a budget's buckets.
const TOLD_EVERY: Duration = Duration::from_millis(250);

/// The budgets of one route.
#[derive(Debug)]
pub struct RouteBudgets {
    retries: Mutex<Budget>,
    hedges: Mutex<Budget>,
}

impl RouteBudgets {
    fn new(ratio: f64) -> Self {
        Self {
            retries: Mutex::new(Budget::new(ratio, RETRY_FLOOR)),
            hedges: Mutex::new(Budget::new(HEDGES, HEDGE_FLOOR)),
        }
    }
}

/// The budgets of all routes, by name. What was spent survives a reload.
#[derive(Debug, Default)]
pub struct Budgets(Mutex<BTreeMap<Box<str>, Weak<RouteBudgets>>>);

impl Budgets {
    /// The budgets of this route under these rules. They last as long as a worker holds them.
    pub fn open(&self, route: &str, ratio: f64) -> Arc<RouteBudgets> {
        let mut all = lock(&self.0);
        if let Some(known) = all.get(route).and_then(Weak::upgrade) {
            lock(&known.retries).adjust(ratio, RETRY_FLOOR);
            return known;
        }
        all.retain(|_, budgets| budgets.strong_count() > 0);
        let made = Arc::new(RouteBudgets::new(ratio));
        all.insert(route.into(), Arc::downgrade(&made));
        made
    }
}

/// One worker's access to the budgets of a route.
#[derive(Debug)]
pub struct WorkerBudget {
    budgets: Arc<RouteBudgets>,
    /// Requests that are not yet in the shared budget: those that may retry, and the part of them that may hedge.
    untold: Cell<(u32, u32)>,
    told: Cell<Tick>,
}

impl WorkerBudget {
    /// A worker's access to these budgets.
    #[must_use]
    pub fn new(budgets: Arc<RouteBudgets>) -> Self {
        Self { budgets, untold: Cell::new((0, 0)), told: Cell::new(Tick(0)) }
    }

    /// Counts a request.
    pub fn request(&self, hedges: bool, now: Tick) {
        let (requests, hedging) = self.untold.get();
        self.untold.set((requests + 1, hedging + u32::from(hedges)));
        if now.since(self.told.get()) >= TOLD_EVERY {
            self.tell(now);
        }
    }

    /// Runs `ask` on the shared retry budget.
    pub fn retries<T>(&self, now: Tick, ask: impl FnOnce(&mut Budget) -> T) -> T {
        self.tell(now);
        ask(&mut lock(&self.budgets.retries))
    }

    /// Takes one hedge if the budget has one.
    pub fn take_hedge(&self, now: Tick) -> bool {
        self.tell(now);
        lock(&self.budgets.hedges).take(now)
    }

    /// Gives back a retry for which no other endpoint was found.
    pub fn return_retry(&self) {
        lock(&self.budgets.retries).give_back();
    }

    /// Gives back a hedge for which no other endpoint was found.
    pub fn return_hedge(&self) {
        lock(&self.budgets.hedges).give_back();
    }

    fn tell(&self, now: Tick) {
        self.told.set(now);
        let (requests, hedging) = self.untold.take();
        if requests > 0 {
            lock(&self.budgets.retries).requests(requests, now);
        }
        if hedging > 0 {
            lock(&self.budgets.hedges).requests(hedging, now);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_without_requests_may_spend_the_shared_budget() {
        let budgets = Budgets::default();
        let [busy, idle] = [(); 2].map(|()| WorkerBudget::new(budgets.open("all", 0.1)));
        let now = Tick(5_000_000);
        (0..1000).for_each(|_| busy.request(true, now));
        busy.request(true, now.after(TOLD_EVERY));
        let now = now.after(TOLD_EVERY);
        // 5 % of 1,001 and the burst; 10 % and ten a second for ten seconds.
        assert_eq!((0..200).filter(|_| idle.take_hedge(now)).count(), 70);
        assert_eq!((0..300).filter(|_| idle.retries(now, |budget| budget.take(now))).count(), 200);
        assert!(!busy.take_hedge(now));
        idle.return_hedge();
        assert!(busy.take_hedge(now));
    }

    #[test]
    fn budgets_of_one_route_are_shared_while_a_worker_holds_them() {
        let budgets = Budgets::default();
        let first = budgets.open("all", 0.0);
        assert!(Arc::ptr_eq(&first, &budgets.open("all", 0.5)));
        assert!(!Arc::ptr_eq(&first, &budgets.open("other", 0.0)));
        drop(first);
        let now = Tick(0);
        let again = WorkerBudget::new(budgets.open("all", 0.0));
        assert_eq!((0..300).filter(|_| again.retries(now, |budget| budget.take(now))).count(), 100);
    }
}
