//! The shell: listeners, TLS, forwarding, probing, reload, admin. The six rooms of a request are `accept`, `intake`,
//! the core's `steer`, `reach`, `relay` and `settle`; everything else is control.

pub mod accept;
pub mod access_line;
pub mod access_log;
pub mod answer;
pub mod conn;
pub mod forward;
pub mod intake;
pub mod meters;
pub mod path;
pub mod peer;
pub mod reach;
pub mod relay;
pub mod session;
pub mod settle;
pub mod shared;
pub mod telemetry;
pub mod tunnel;
pub mod upload;
pub mod view;
pub mod vigil;
pub mod worker;
