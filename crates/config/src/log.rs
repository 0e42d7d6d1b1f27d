//! What the event log and the access log may be set to. Writes no line.

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
