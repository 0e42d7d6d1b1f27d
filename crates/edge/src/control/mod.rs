//! The control side, all on one thread: the edge's life, the keeper of the world, probes, names, reloads.
//! No request waits for any of it, and none of it imports a room of the data plane.

pub mod lifecycle;
pub mod begin;
pub mod keeper;
pub mod tally;
pub mod traffic_log;
pub mod rooms;
pub mod probe;
pub mod resolve;
pub mod unreached;
pub mod origin;
pub mod reload;
pub mod trial;
pub mod watch;
pub mod wiring;
pub mod tls;
pub mod trust;
pub mod x509;
pub mod listen;
pub mod state;
pub mod audit;
pub mod disk;
pub mod history;
pub mod history_file;
pub mod orders;
pub mod order_request;
pub mod order_json;
pub mod state_store;
pub mod state_file;
pub mod supervise;
pub mod events;
pub mod feed;
pub mod logging;
pub mod systemd;
pub mod jitter;
pub mod wall_clock;
