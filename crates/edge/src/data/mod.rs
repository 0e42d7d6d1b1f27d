//! The data plane of one worker: the six rooms in the order in which a request passes them (room 3, STEER, is
//! `thalweg_core::steer`), then what the rooms stand on. Never imports the control side.

// The six rooms.
pub mod accept;
pub mod quic;
pub mod proxy_protocol;
pub mod session;
pub mod tcp;
pub mod intake;
pub mod forwarding;
pub mod forward;
pub mod reach;
pub mod exchange;
pub mod queue;
pub mod relay;
pub mod settle;
pub mod affinity;
pub mod answer;

// What they stand on.
pub mod access_line;
pub mod allowance;
pub mod attempt;
pub mod client;
mod coalesce;
pub mod conn;
pub mod source;
pub mod decisions;
pub mod failure;
pub mod handshake;
pub mod grpc;
pub mod frame_batch;
pub mod headers;
pub mod inbox;
pub mod worker_base;
pub mod link;
pub mod local;
pub mod notes;
pub mod outbox;
pub mod outcome;
pub mod pace;
pub mod peer;
pub mod request_id;
pub mod splice;
pub mod trace;
pub mod interim;
pub mod tunnel;
pub mod event_stream;
pub mod websocket;
pub mod leave;
pub mod upload;
pub mod upstream_io;
pub mod view;
pub mod deadline;
pub mod worker;
