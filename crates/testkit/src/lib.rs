//! What scenarios are built from: fake endpoints, a launcher for the real binary and for real FastAPI regions,
//! clients at the level of bytes, an open-loop load generator, a fake name server. Never a dependency of the product.
//!
//! | what | files |
//! |---|---|
//! | a fake endpoint | `endpoint`, `endpoint_state`, `behaviour`, `serve`, `message`, `wire`; `h2endpoint` for HTTP/2 |
//! | disturbances on the way | `relay` delays and cuts, `island` is a network namespace |
//! | the edge and its surroundings | `edge` and `binary` launch it, `conf` writes its config, `regions` starts FastAPI, `dns` answers names, `tls`, `self_signed` and `client_certificate` make certificates, `mmdb` writes geo databases, `nats` starts the fleet's server |
//! | what the edge reports | `admin` asks its API, `metrics` reads its counters |
//! | what the edge sends to other servers | `receiver` keeps what is posted to it |
//! | clients | `client` shows HTTP/1.1 on the wire, `h2client` speaks HTTP/2, `load` sends at a fixed rate, `ledger` books each request, `pty` runs a program in a terminal |
//! | small things | `port` reserves, `scratch` cleans up, `wait` waits for a condition |
//!
//! Everything here is called from ordinary `#[test]` functions: the async parts run on one shared runtime, so a
//! scenario reads from top to bottom. Rejected: async scenarios, whose half-written `select!`s hide what is tested.

mod port;
mod scratch;
mod wait;

mod behaviour;
mod endpoint;
mod endpoint_state;
mod h2endpoint;
mod island;
mod message;
mod relay;
mod serve;
mod wire;

mod admin;
mod binary;
mod conf;
mod edge;
mod metrics;
mod mmdb;
mod nats;
mod regions;
mod self_signed;
mod tls;
mod client_certificate;

mod client;
mod dns;
mod h2client;
mod ledger;
mod load;
mod pty;
mod receiver;

pub use behaviour::{Behaviour, Health};
pub use binary::{BINARY_VARIABLE, binary, release_binary, repository};
pub use client::{Client, Gone, Reply, get};
pub use client_certificate::{client_config_as, client_config_with_groups};
pub use conf::Conf;
pub use dns::{Dns, Records};
pub use edge::{Edge, Finished, Signal, thalweg, thalweg_with};
pub use endpoint::{Blackhole, Endpoint};
pub use endpoint_state::Seen;
pub use h2client::{H2, H2Reply};
pub use h2endpoint::{Frame, H2Endpoint, H2Seen, RawH2};
pub use island::Island;
pub use ledger::{Outcome, Report, Shot};
pub use load::{Load, Running};
pub use message::Head;
pub use metrics::{Metrics, Sample};
pub use mmdb::mmdb;
pub use nats::{NatsPlan, NatsServer, nats_server};
pub use port::{Reserved, free_port};
pub use pty::Pty;
pub use receiver::{Posted, Receiver};
pub use regions::{Region, python, skip};
pub use relay::{Relay, Weather};
pub use scratch::Scratch;
pub use tls::{Authority, Leaf, client_config, server_config, server_config_of, server_config_with};
pub use wait::{eventually, eventually_some, stays};

/// The runtime behind every fake and every client: made once, never dropped.
pub fn runtime() -> &'static tokio::runtime::Runtime {
    static RUNTIME: std::sync::OnceLock<tokio::runtime::Runtime> = std::sync::OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime can be built")
    })
}

/// Locks without caring whether another test panicked while it held the lock.
pub(crate) fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
