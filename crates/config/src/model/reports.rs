//! The part of the model that says what the edge tells of its requests and changes, and what it tells BIRD: `[log]`,
//! `[decisions]`, `[notify]`, `[announce]`, `[telemetry]`. Never read by steering.

use std::{path::PathBuf, time::Duration};

use crate::{AccessLog, EndpointTls, Level};

/// What is logged and how: the table `[log]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// Access log format.
    pub access: AccessLog,
    /// Least severe level of the event log that is written.
    pub level: Level,
}

/// The records of requests that have ended: the table `[decisions]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decisions {
    /// Records over all workers; 0 = none.
    pub keep: usize,
}

/// The webhook for state changes: the table `[notify]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Notify {
    /// Gets each change of a pool or route as JSON.
    pub webhook: Option<ReportServer>,
}

/// What a BIRD on this machine is told: the table `[announce]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announce {
    /// BIRD's control socket.
    pub bird: PathBuf,
    /// The protocols that are enabled while the edge is ready.
    pub protocols: Vec<String>,
    /// Readiness without a break before the edge announces.
    pub after: Duration,
    /// Longest wait between the withdrawal and the closing of listeners.
    pub settle: Duration,
}

/// The collector of traces of requests: the table `[telemetry]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Telemetry {
    /// The collector, with the path for traces.
    pub otlp: Option<ReportServer>,
    /// The part of the requests that is traced, 0–1.
    pub sample: f64,
}

/// An HTTP server of the operator that the edge reports to.
#[derive(Clone, Debug, PartialEq)]
pub struct ReportServer {
    /// A DNS name or an IP address, without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Path and query.
    pub path: String,
    /// TLS settings; `None` for plaintext.
    pub tls: Option<EndpointTls>,
}
