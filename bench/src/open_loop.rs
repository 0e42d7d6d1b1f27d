//! Open-loop load: requests are due at fixed times whatever the answers do, and a latency counts from the time
//! its request was due, so a stalled proxy cannot hide behind a stalled generator (coordinated omission).
//! Sleeps on a timerfd, because the runtime's own timer is only good to a millisecond.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use serde::Serialize;
use tokio::io::unix::AsyncFd;
use tokio::sync::Semaphore;

use crate::lane::{Lane, Target};

/// The load to offer.
pub struct Plan {
    pub rate: f64,
    pub warmup: Duration,
    pub duration: Duration,
    pub connections: usize,
    pub streams: usize,
    pub seed: u64,
}

/// The results. Counts cover the whole run; latencies cover the requests due after the warm-up.
#[derive(Serialize)]
pub struct Summary {
    pub offered_rps: f64,
    pub achieved_rps: f64,
    pub due: usize,
    pub completed: u64,
    pub errors: u64,
    /// Still queued at the end, and sent but not answered: their wait so far is in the latencies, as a lower bound.
    pub unsent: usize,
    pub unanswered: usize,
    pub first_error: Option<String>,
    pub p50_us: u64,
    pub p90_us: u64,
    pub p99_us: u64,
    pub p999_us: u64,
    pub max_us: u64,
    /// How late the generator itself woke up: if this is large, the machine, not the proxy, is measured.
    pub lag_p99_us: u64,
}

struct Shared {
    due: Vec<Duration>,
    start: Instant,
    warmup: Duration,
    next: AtomicUsize,
    ready: Semaphore,
    tally: Mutex<Tally>,
}

struct Tally {
    latency: Histogram<u64>,
    completed: u64,
    measured: u64,
    errors: u64,
    first_error: Option<String>,
}

/// Runs the plan against the target.
pub async fn run(target: Target, plan: Plan) -> Result<Summary> {
    let mut lanes = Vec::new();
    for _ in 0..plan.connections {
        lanes.extend(target.open(plan.streams).await?);
    }
    let due = schedule(plan.rate, plan.warmup + plan.duration, plan.seed);
    let tally = Tally { latency: histogram()?, completed: 0, measured: 0, errors: 0, first_error: None };
    let shared = Arc::new(Shared {
        due,
        start: Instant::now() + Duration::from_millis(20),
        warmup: plan.warmup,
        next: AtomicUsize::new(0),
        ready: Semaphore::new(0),
        tally: Mutex::new(tally),
    });
    let tasks: Vec<_> = lanes
        .into_iter()
        .map(|lane| tokio::spawn(serve(lane, target.clone(), Arc::clone(&shared))))
        .collect();
    let lag = pace(&shared).await?;
    // Queued requests get one more second; after that they count as unsent, and the level was not held.
    let grace = Instant::now() + Duration::from_secs(1);
    while finished(&shared) < shared.due.len() as u64 && Instant::now() < grace {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let unsent = shared.due.len() - shared.next.load(Ordering::Relaxed).min(shared.due.len());
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    Ok(summary(&shared, &plan, unsent, &lag))
}

/// Poisson arrivals from a seed: every proxy gets the very same schedule.
fn schedule(rate: f64, span: Duration, seed: u64) -> Vec<Duration> {
    let mut state = seed | 1;
    let mut at = 0.0;
    let mut due = Vec::new();
    loop {
        // SplitMix64: enough for arrival times, and no dependency.
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let unit = ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64;
        at -= (1.0 - unit).ln() / rate;
        if at >= span.as_secs_f64() {
            return due;
        }
        due.push(Duration::from_secs_f64(at));
    }
}

/// Releases requests as they fall due; returns how late each release was.
async fn pace(shared: &Shared) -> Result<Histogram<u64>> {
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
    #[expect(
        deprecated,
        reason = "sound for an OwnedFd that is never replaced; `register` would need unsafe"
    )]
    let timer = AsyncFd::new(timer)?;
    let mut lag = histogram()?;
    let mut released = 0;
    while let Some(&next) = shared.due.get(released) {
        let now = shared.start_elapsed();
        if next > now {
            sleep(&timer, next - now).await?;
            continue;
        }
        let batch = shared.due.iter().skip(released).take_while(|&&at| at <= now).count();
        for at in shared.due.iter().skip(released).take(batch) {
            lag.saturating_record(micros(now.saturating_sub(*at)));
        }
        released += batch;
        shared.ready.add_permits(batch);
        tokio::task::yield_now().await;
    }
    Ok(lag)
}

async fn sleep(timer: &AsyncFd<std::os::fd::OwnedFd>, span: Duration) -> Result<()> {
    let it_value =
        Timespec { tv_sec: span.as_secs().try_into()?, tv_nsec: span.subsec_nanos().max(1).into() };
    let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value };
    timerfd_settime(timer.get_ref(), TimerfdTimerFlags::empty(), &once)?;
    let mut guard = timer.readable().await?;
    let mut ticks = [0_u8; 8];
    let read = guard.try_io(|fd| rustix::io::read(fd.get_ref(), &mut ticks).map_err(Into::into));
    if let Ok(result) = read {
        result.context("timerfd")?;
    }
    Ok(())
}

async fn serve(mut lane: Lane, target: Target, shared: Arc<Shared>) {
    loop {
        let Ok(permit) = shared.ready.acquire().await else { return };
        permit.forget();
        let slot = shared.next.fetch_add(1, Ordering::Relaxed);
        let Some(&due) = shared.due.get(slot) else { return };
        let result = lane.exchange().await;
        let failed = result.is_err();
        shared.settle(due, result);
        if failed {
            match target.open(1).await.map(|mut lanes| lanes.pop()) {
                Ok(Some(fresh)) => lane = fresh,
                _ => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }
}

impl Shared {
    fn start_elapsed(&self) -> Duration {
        Instant::now().saturating_duration_since(self.start)
    }

    fn settle(&self, due: Duration, result: Result<()>) {
        let latency = self.start_elapsed().saturating_sub(due);
        let Ok(mut tally) = self.tally.lock() else { return };
        match result {
            Ok(()) => {
                tally.completed += 1;
                if due >= self.warmup {
                    tally.measured += 1;
                    tally.latency.saturating_record(micros(latency));
                }
            }
            Err(error) => {
                tally.errors += 1;
                tally.first_error.get_or_insert_with(|| format!("{error:#}"));
            }
        }
    }
}

fn finished(shared: &Shared) -> u64 {
    shared.tally.lock().map_or(u64::MAX, |tally| tally.completed + tally.errors)
}

/// Microseconds up to a minute. Bounded, because a growing histogram does not grow on a saturating record.
fn histogram() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, 60_000_000, 3)?)
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

fn summary(shared: &Shared, plan: &Plan, unsent: usize, lag: &Histogram<u64>) -> Summary {
    // A poisoned tally still holds true counts; nothing here can leave it half-written.
    let mut tally = shared.tally.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let settled = usize::try_from(tally.completed + tally.errors).unwrap_or(usize::MAX);
    // Lanes take requests in order, so the unfinished ones are (but for a few lanes) those that fell due last.
    for due in shared.due.iter().skip(settled).filter(|&&due| due >= shared.warmup) {
        tally.latency.saturating_record(micros(shared.start_elapsed().saturating_sub(*due)));
    }
    let at = |quantile| tally.latency.value_at_quantile(quantile);
    Summary {
        offered_rps: plan.rate,
        achieved_rps: tally.measured as f64 / plan.duration.as_secs_f64(),
        due: shared.due.len(),
        completed: tally.completed,
        errors: tally.errors,
        unsent,
        unanswered: shared.due.len().saturating_sub(settled + unsent),
        first_error: tally.first_error.clone(),
        p50_us: at(0.5),
        p90_us: at(0.9),
        p99_us: at(0.99),
        p999_us: at(0.999),
        max_us: tally.latency.max(),
        lag_p99_us: lag.value_at_quantile(0.99),
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, histogram, schedule};

    #[test]
    fn a_long_latency_is_recorded_as_it_was() {
        let mut seen = histogram().unwrap();
        seen.saturating_record(5_000_000);
        assert!((4_990_000..5_010_000).contains(&seen.value_at_quantile(0.99)));
    }

    #[test]
    fn a_schedule_is_repeatable_ordered_and_at_its_rate() {
        let one = schedule(10_000.0, Duration::from_secs(2), 7);
        assert_eq!(one, schedule(10_000.0, Duration::from_secs(2), 7));
        assert!(one.is_sorted());
        assert!((19_000..21_000).contains(&one.len()), "{}", one.len());
    }
}
