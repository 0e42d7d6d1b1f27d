//! The shell around the core. A request's six rooms come first, in the order in which it passes them (room 3, STEER,
//! is the core's); then what the rooms stand on; then the control side, which no request waits for.

// The six rooms.
pub mod accept;
pub mod session;
pub mod intake;
pub mod forward;
pub mod reach;
pub mod relay;
pub mod settle;
pub mod answer;

// What they stand on.
pub mod access_line;
pub mod access_log;
pub mod account;
pub mod budget;
mod coalesce;
pub mod conn;
pub mod home;
mod kernel;
pub mod link;
pub mod meters;
pub mod path;
pub mod peer;
pub mod shared;
pub mod telemetry;
pub mod tunnel;
pub mod upload;
pub mod view;
pub mod vigil;
pub mod worker;

// The control side.
pub mod admin;
pub mod cli;
pub mod control;
pub mod dice;
pub mod events;
pub mod keeper;
pub mod lifecycle;
pub mod listen;
pub mod logging;
pub mod probe;
pub mod reload;
pub mod resolve;
pub mod supervise;
pub mod teller;
pub mod systemd;
pub mod tls;
pub mod wall;
pub mod watch;
pub mod wiring;
pub mod x509;
