//! What one worker may still serve of each client's requests: taken from the buckets of all workers
//! (`crate::shared::rates`) a few at a time. Bounded, and never shared with another worker.

use std::{cell::RefCell, collections::HashMap, net::IpAddr, time::Duration};

use thalweg_config::RequestRate;
use thalweg_core::Tick;

use crate::shared::rates::RateTable;

/// Clients that a worker keeps in mind.
const CLIENTS: usize = 4096;

/// Requests that were taken and not made are lost after this time.
const KEPT: Duration = Duration::from_secs(1);

/// All workers together hold at most this part of a burst.
const HELD_PART: u32 = 8;

/// A worker takes no more requests at a time than come in this part of a second.
const PART_OF_A_SECOND: u32 = 20;

/// What one worker may still serve, by client.
#[derive(Debug, Default)]
pub struct Allowances(RefCell<HashMap<IpAddr, Allowance>>);

#[derive(Clone, Copy, Debug)]
struct Allowance {
    /// Requests that may be served until then.
    left: u32,
    /// What is left is lost then; with nothing left, no request is served before.
    until: Tick,
}

impl Allowances {
    /// Counts one request of a client.
    ///
    /// # Errors
    /// The client makes more than it may: the time until the next request.
    pub fn spend(
        &self,
        client: IpAddr,
        rate: RequestRate,
        (table, workers): (&RateTable, usize),
        now: Tick,
    ) -> Result<(), Duration> {
        let mut all = self.0.borrow_mut();
        if let Some(known) = all.get_mut(&client).filter(|known| now < known.until) {
            known.left = known.left.checked_sub(1).ok_or_else(|| known.until.since(now))?;
            // The bucket is asked again, not the clock.
            if known.left == 0 {
                all.remove(&client);
            }
            return Ok(());
        }
        let share = rate.burst / HELD_PART / u32::try_from(workers.max(1)).unwrap_or(u32::MAX);
        let most = share.min(rate.per_second / PART_OF_A_SECOND).max(1);
        let taken = table.take(client, rate, most, now);
        let next = match taken {
            Ok(1) => None,
            Ok(taken) => Some(Allowance { left: taken - 1, until: now.after(KEPT) }),
            Err(wait) => Some(Allowance { left: 0, until: now.after(wait) }),
        };
        match next {
            Some(next) => {
                if all.len() >= CLIENTS {
                    all.retain(|_, known| now < known.until);
                }
                if all.len() >= CLIENTS {
                    all.clear();
                }
                all.insert(client, next);
            }
            None => _ = all.remove(&client),
        }
        taken.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_together_serve_the_burst_and_then_the_rate() {
        let rate = RequestRate { per_second: 1_000, burst: 1_000 };
        let (table, workers) = (RateTable::default(), [Allowances::default(), Allowances::default()]);
        let client: IpAddr = [192, 0, 2, 1].into();
        let mut now = Tick(1_000_000);
        let mut serve = |span_ms: u64| {
            let mut served = 0;
            for _ in 0..span_ms {
                for nth in 0..20 {
                    let worker = &workers[nth % 2];
                    served += u64::from(worker.spend(client, rate, (&table, 2), now).is_ok());
                }
                now = now.after(Duration::from_millis(1));
            }
            served
        };
        let first = serve(1_000);
        assert!((1_875..=2_000).contains(&first), "{first}");
        let later = serve(1_000);
        assert!((950..=1_050).contains(&later), "{later}");
    }

    #[test]
    fn a_refusal_says_when_to_come_again_and_holds_until_then() {
        let rate = RequestRate { per_second: 2, burst: 1 };
        let (table, worker) = (RateTable::default(), Allowances::default());
        let client: IpAddr = [192, 0, 2, 1].into();
        let spend = |at_ms: u64| worker.spend(client, rate, (&table, 1), Tick(at_ms * 1_000));
        assert_eq!(spend(1_000), Ok(()));
        assert_eq!(spend(1_100), Err(Duration::from_millis(400)));
        assert_eq!(spend(1_499), Err(Duration::from_millis(1)));
        assert_eq!(spend(1_500), Ok(()));
    }

    #[test]
    fn a_worker_keeps_a_bounded_number_of_clients_in_mind() {
        let rate = RequestRate { per_second: 1, burst: 1 };
        let (table, worker) = (RateTable::default(), Allowances::default());
        for nth in 0..20_000 {
            let client = std::net::Ipv4Addr::from_bits(nth).into();
            let _served = worker.spend(client, rate, (&table, 1), Tick(1_000_000));
            let _refused = worker.spend(client, rate, (&table, 1), Tick(1_000_000));
        }
        assert!(worker.0.borrow().len() <= CLIENTS);
    }
}
