//! The shell: listeners, TLS, forwarding, probing, reload, admin. The six rooms of a request are `accept`, `intake`,
//! the core's `steer`, `reach`, `relay` and `settle`; everything else is control.

pub mod access_log;
pub mod admin;
pub mod cli;
pub mod control;
pub mod dice;
pub mod events;
pub mod keeper;
pub mod lifecycle;
pub mod listen;
pub mod logging;
pub mod meters;
pub mod probe;
pub mod reload;
pub mod resolve;
pub mod shared;
pub mod supervise;
pub mod systemd;
pub mod telemetry;
pub mod tls;
pub mod wall;
pub mod watch;
pub mod wiring;
pub mod worker;
pub mod x509;
