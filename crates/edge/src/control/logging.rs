//! The event log: one compact line per event on stderr; the level follows the config. The access log is elsewhere.
//!
//! A client must not be able to fill the log. Libraries write a line for each odd frame or handshake, so only their
//! errors are written, whatever the level. Lines that a request or a connection can cause are rate-limited by the
//! place in the source that writes them; lines about decisions of the control side are not, because no client can
//! cause many of them.

use std::{
    collections::HashMap,
    io::stderr,
    panic,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use thalweg_config::Level;
use tracing::{Event, Subscriber, callsite::Identifier};
use tracing_subscriber::{
    Layer, Registry,
    filter::{LevelFilter, Targets},
    fmt,
    layer::{Context, SubscriberExt},
    reload,
    util::SubscriberInitExt,
};

/// What the targets of this product's crates begin with.
const OWN: &str = "thalweg";
/// What the targets of the control side begin with.
const CONTROL: &str = "thalweg_edge::control";
/// Lines that one place in the source may write at once.
const BURST: u32 = 20;
/// Time after which it may write one more.
const GAP: Duration = Duration::from_secs(1);

/// Lines that the limit has left out since the last report.
static LEFT_OUT: AtomicU64 = AtomicU64::new(0);

/// Changes the log level at run time.
#[derive(Clone, Debug)]
pub struct LogLevel(Option<reload::Handle<Targets, Registry>>);

impl LogLevel {
    /// Starts the event log at `info` and sends panics there. Only the first call in a process has an effect.
    #[must_use]
    pub fn start() -> Self {
        let (filter, handle) = reload::Layer::new(targets(LevelFilter::INFO));
        let lines = fmt::layer().compact().with_target(false).with_ansi(false).with_writer(stderr);
        let layers = tracing_subscriber::registry().with(filter).with(RateLimit::default()).with(lines);
        let started = layers.try_init().is_ok();
        if started {
            panic::set_hook(Box::new(|panic| {
                let place = panic.location().map(ToString::to_string).unwrap_or_default();
                let what = panic.payload_as_str().unwrap_or("?");
                // Each request may run into the same fault, so this line is limited, unlike others from here.
                tracing::error!(target: "panic", place, what, "panic");
            }));
        }
        Self(started.then_some(handle))
    }

    /// A handle without effect.
    #[must_use]
    pub fn none() -> Self {
        Self(None)
    }

    /// Sets the level of this product's own lines.
    pub fn set(&self, level: Level) {
        let filter = targets(match level {
            Level::Error => LevelFilter::ERROR,
            Level::Warn => LevelFilter::WARN,
            Level::Info => LevelFilter::INFO,
            Level::Debug => LevelFilter::DEBUG,
            Level::Trace => LevelFilter::TRACE,
        });
        if let Some(Err(error)) = self.0.as_ref().map(|handle| handle.reload(filter)) {
            tracing::warn!(%error, "log level unchanged");
        }
    }
}

/// Writes how many lines the rate limit has left out since the last report, if any.
pub fn report_left_out() {
    let lines = LEFT_OUT.swap(0, Ordering::Relaxed);
    if lines > 0 {
        tracing::warn!(lines, "log lines left out: too many of one kind");
    }
}

/// Own lines from this level on, errors of everything else.
fn targets(own: LevelFilter) -> Targets {
    Targets::new().with_default(LevelFilter::ERROR).with_target(OWN, own)
}

/// Leaves out the lines of a place in the source that writes too many. The table is bounded by the number of places.
#[derive(Debug, Default)]
struct RateLimit(Mutex<HashMap<Identifier, Bucket>>);

impl<S: Subscriber> Layer<S> for RateLimit {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        if !is_limited(metadata.target(), *metadata.level()) {
            return true;
        }
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let allowed = buckets.entry(metadata.callsite()).or_insert_with(|| Bucket::full(now)).take(now);
        LEFT_OUT.fetch_add(u64::from(!allowed), Ordering::Relaxed);
        allowed
    }
}

/// Whether a line is subject to the limit. Own lines below info are not: the operator has asked for them.
fn is_limited(target: &str, level: tracing::Level) -> bool {
    !target.starts_with(OWN) || (!target.starts_with(CONTROL) && level <= tracing::Level::INFO)
}

/// A token bucket of [`BURST`] lines that gains one line each [`GAP`].
#[derive(Debug)]
struct Bucket {
    lines: u32,
    /// Up to when the bucket has been filled.
    filled: Instant,
}

impl Bucket {
    fn full(now: Instant) -> Self {
        Self { lines: BURST, filled: now }
    }

    fn take(&mut self, now: Instant) -> bool {
        let gained = now.saturating_duration_since(self.filled).as_secs() / GAP.as_secs();
        let gained = u32::try_from(gained).unwrap_or(u32::MAX);
        self.lines = self.lines.saturating_add(gained).min(BURST);
        self.filled = if self.lines == BURST { now } else { self.filled + GAP * gained };
        let allowed = self.lines > 0;
        self.lines = self.lines.saturating_sub(1);
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_write_errors_only_whatever_the_level() {
        use tracing::Level as L;
        for own in [LevelFilter::ERROR, LevelFilter::INFO, LevelFilter::TRACE] {
            let targets = targets(own);
            for library in ["h2::proto::settings", "hyper::proto", "rustls::conn", "hickory_proto", "tokio"] {
                assert!(targets.would_enable(library, &L::ERROR), "{library}");
                assert!(!targets.would_enable(library, &L::WARN), "{library} at {own}");
            }
            for ours in ["thalweg_edge::control::reload", "thalweg_config"] {
                assert_eq!(targets.would_enable(ours, &L::INFO), own >= LevelFilter::INFO, "{ours} at {own}");
                assert_eq!(
                    targets.would_enable(ours, &L::TRACE),
                    own == LevelFilter::TRACE,
                    "{ours} at {own}"
                );
            }
        }
    }

    #[test]
    fn what_clients_can_cause_is_limited_and_decisions_are_not() {
        use tracing::Level as L;
        for (target, level, limited) in [
            ("h2::proto", L::ERROR, true),
            ("panic", L::ERROR, true),
            ("thalweg_edge::data::accept", L::WARN, true),
            ("thalweg_edge::data::forward", L::DEBUG, false),
            ("thalweg_edge::control::events", L::WARN, false),
        ] {
            assert_eq!(is_limited(target, level), limited, "{target} {level}");
        }
    }

    #[test]
    fn a_place_writes_a_burst_and_then_one_line_a_second() {
        let start = Instant::now();
        let mut bucket = Bucket::full(start);
        let mut written = |from: u64, to: u64, every: usize| {
            (from..to).step_by(every).filter(|ms| bucket.take(start + Duration::from_millis(*ms))).count()
        };
        assert_eq!(written(0, 1_000, 1), 20);
        assert_eq!(written(1_000, 11_000, 7), 10);
        assert_eq!(written(600_000, 600_100, 1), 20);
    }
}
