//! The budgets of a route over all workers. Requests are counted in their worker and told to the others a few times a
//! second; what a failure or a late answer may cost is asked of all of them at once.

use std::{
    cell::Cell,
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use thalweg_core::{Tick, retry::Budget};

/// Retries per second and route that are always allowed (CONTRACT "Retry").
const RETRY_FLOOR: f64 = 10.0;
/// Hedges ÷ requests of the last 10 s,
const HEDGES: f64 = 0.05;
/// and hedges per second that are always allowed: a burst of 20 in 10 s.
const HEDGE_FLOOR: f64 = 2.0;
/// Requests are told to the other workers this often: the width of a budget's buckets.
const TOLD_EVERY: Duration = Duration::from_millis(250);

/// A route's budgets.
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

/// The budgets of all routes, by name: what was spent survives a reload.
#[derive(Debug, Default)]
pub struct Budgets(Mutex<BTreeMap<Box<str>, Weak<RouteBudgets>>>);

impl Budgets {
    /// The budgets of this route, under these rules. They last as long as a worker holds them.
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
    /// Requests that the others do not know of yet: those that may retry, and of these those that may hedge.
    untold: Cell<(u32, u32)>,
    told: Cell<Tick>,
}

impl WorkerBudget {
    /// Of these budgets.
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

    /// Asks something of the budget of retries.
    pub fn retries<T>(&self, now: Tick, ask: impl FnOnce(&mut Budget) -> T) -> T {
        self.tell(now);
        ask(&mut lock(&self.budgets.retries))
    }

    /// Takes one hedge out, if there is one.
    pub fn take_hedge(&self, now: Tick) -> bool {
        self.tell(now);
        lock(&self.budgets.hedges).take(now)
    }

    /// Gives back a retry that had nowhere to go.
    pub fn return_retry(&self) {
        lock(&self.budgets.retries).give_back();
    }

    /// Gives back a hedge that had nowhere to go.
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
    fn a_worker_without_requests_may_spend_what_the_others_earned() {
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
    fn budgets_of_one_name_are_one_while_somebody_holds_them() {
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
