//! The event log: one compact line per event on stderr; the level follows the config. The access log is elsewhere.

use std::{io::stderr, panic};

use thalweg_config::Level;
use tracing_subscriber::{
    Registry, filter::LevelFilter, fmt, layer::SubscriberExt, reload, util::SubscriberInitExt,
};

/// Changes the log level at run time.
#[derive(Clone, Debug)]
pub struct LogLevel(Option<reload::Handle<LevelFilter, Registry>>);

impl LogLevel {
    /// Starts the event log at `info` and sends panics there. Only the first call in a process has an effect.
    #[must_use]
    pub fn start() -> Self {
        let (filter, handle) = reload::Layer::new(LevelFilter::INFO);
        let lines = fmt::layer().compact().with_target(false).with_ansi(false).with_writer(stderr);
        let started = tracing_subscriber::registry().with(filter).with(lines).try_init().is_ok();
        if started {
            panic::set_hook(Box::new(|panic| {
                let place = panic.location().map(ToString::to_string).unwrap_or_default();
                tracing::error!(place, what = panic.payload_as_str().unwrap_or("?"), "panic");
            }));
        }
        Self(started.then_some(handle))
    }

    /// A handle without effect.
    #[must_use]
    pub fn none() -> Self {
        Self(None)
    }

    /// Sets the level.
    pub fn set(&self, level: Level) {
        let filter = match level {
            Level::Error => LevelFilter::ERROR,
            Level::Warn => LevelFilter::WARN,
            Level::Info => LevelFilter::INFO,
            Level::Debug => LevelFilter::DEBUG,
            Level::Trace => LevelFilter::TRACE,
        };
        if let Some(Err(error)) = self.0.as_ref().map(|handle| handle.reload(filter)) {
            tracing::warn!(%error, "log level unchanged");
        }
    }
}
