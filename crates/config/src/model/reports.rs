//! Whom the edge reports to, and what it tells BIRD: the tables `[notify]`, `[telemetry]`, `[announce]`.

use std::{path::PathBuf, time::Duration};

use crate::EndpointTls;

/// Who is told of state changes: the table `[notify]`.
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

/// Who gets traces of requests: the table `[telemetry]`.
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
