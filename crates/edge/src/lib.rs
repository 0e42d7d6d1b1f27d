//! The shell: listeners, TLS, forwarding, probing, reload, admin. The six rooms of a request are `accept`, `intake`,
//! the core's `steer`, `reach`, `relay` and `settle`; everything else is control.

pub mod access_log;
pub mod meters;
pub mod shared;
pub mod telemetry;
pub mod worker;
