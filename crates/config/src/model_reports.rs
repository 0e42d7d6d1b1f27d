//! The part of the model that says what the edge keeps of its requests: log and decision records. Never read by steering.

/// What is logged and how: the table `[log]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// Access log format.
    pub access: AccessLog,
    /// Least severe level of the event log that is written.
    pub level: Level,
}

/// Access log formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessLog {
    /// One JSON object a line.
    Json,
    /// NCSA common log.
    Common,
    /// No access log.
    Off,
}

/// Levels of the event log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// An operator must act now.
    Error,
    /// An operator should look soon.
    Warn,
    /// State changes.
    Info,
    /// Details for a search for one fault.
    Debug,
    /// Every detail, at a cost.
    Trace,
}

/// What is kept of requests that have ended: the table `[decisions]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decisions {
    /// Records over all workers; 0 = none.
    pub keep: usize,
}
