//! An accepted config as types: the [`Topology`] for the core, and the settings that only the shell reads.
//! Every value is valid, so no code behind this module checks again.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use thalweg_core::Topology;

use crate::{
    ConfigError, FleetCredentials, PassThrough, Ring, Span,
    front::{Front, RequestRate},
};

mod dns;
mod reports;
mod tls;

pub use dns::{Dns, DnsName};
pub use reports::{Announce, Decisions, Log, Notify, ReportServer, Telemetry};
pub use tls::{Certificate, ClientAuth, EndpointTls, ListenerTls, TlsVersion};

/// One accepted configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The table `[edge]`.
    pub edge: Edge,
    /// The table `[admin]`.
    pub admin: Admin,
    /// The table `[resolver]`.
    pub resolver: Resolver,
    /// The table `[geo]`, but for the networks: those are in the routes that name them.
    pub geo: GeoSettings,
    /// `[[listener]]`, names and addresses unique.
    pub listeners: Vec<Listener>,
    /// Pools and routes as the core reads them.
    pub topology: Topology,
    /// The settings of each pool that only the shell reads; parallel to `topology.pools`.
    pub pools: Vec<PoolSettings>,
    /// The settings of each route that only the shell reads; parallel to `topology.routes`.
    pub routes: Vec<RouteSettings>,
    /// The table `[limits]`.
    pub limits: Limits,
    /// The table `[log]`.
    pub log: Log,
    /// The table `[decisions]`.
    pub decisions: Decisions,
    /// The table `[notify]`.
    pub notify: Notify,
    /// The table `[telemetry]`.
    pub telemetry: Telemetry,
    /// The table `[announce]`, if there is one.
    pub announce: Option<Announce>,
    /// The table `[fleet]`.
    pub fleet: Option<Fleet>,
    /// The table `[dns]`.
    pub dns: Option<Dns>,
    /// Keys that are accepted and do not act yet, and what is probably not meant; each with its place.
    pub warnings: Vec<ConfigError>,
    /// SHA-256, in hex, over every file read and every substituted value: equal means unchanged.
    pub hash: String,
    /// The files that this config was read from, the main one first. The hash covers all of them.
    pub files: Vec<PathBuf>,
    /// The folders that wildcard includes look into: a new file there changes the config.
    pub folders: Vec<PathBuf>,
    /// What the main file and its includes say, the main one first: the config can be read again from it.
    pub texts: Arc<[ConfigText]>,
}

/// One config file as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigText {
    /// The path as the operator writes it.
    pub path: PathBuf,
    /// Its content, before any variable is replaced.
    pub text: Arc<str>,
}

/// A value and its place, for errors that only show when the value is used (a key file that is no key).
#[derive(Clone, Debug, PartialEq)]
pub struct Placed<T> {
    /// The value.
    pub value: T,
    /// File, line and column.
    pub span: Span,
    /// The path of the key, as in `listener.secure.tls.certificates[0].key`.
    pub path: String,
}

/// Name and place of this edge, and how it starts and stops.
#[derive(Clone, Debug, PartialEq)]
pub struct Edge {
    /// Default: the machine's host name.
    pub name: String,
    /// May be empty.
    pub region: String,
    /// May be empty.
    pub cloud: String,
    /// 0 = one per core this process may use.
    pub workers: usize,
    /// From SIGTERM to the moment when the edge stops accepting connections.
    pub drain_delay: Duration,
    /// Bound on in-flight requests after that.
    pub drain_timeout: Duration,
    /// The folder for orders, latched failovers and the history of configs; `None` = a restart ends them.
    pub state_dir: Option<PathBuf>,
}

/// The admin server.
#[derive(Clone, Debug, PartialEq)]
pub struct Admin {
    /// Where it listens.
    pub bind: SocketAddr,
    /// The tokens and roles, read from the token file at load; empty = only loopback clients may change something.
    pub tokens: Vec<AdminToken>,
    /// Whether the API may be read without a token. Metrics and readiness always may.
    pub anonymous_read: bool,
}

/// One token of the admin server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminToken {
    /// The name of its bearer, as the record of changes shows it.
    pub name: String,
    /// What its bearer may do.
    pub role: AdminRole,
    /// The bearer token itself: visible ASCII.
    pub secret: String,
}

/// What the bearer of a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AdminRole {
    /// Look at everything, and ask what a change would do.
    Read,
    /// Change things, too.
    Write,
}

impl AdminRole {
    /// The spelling in the token file and in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// How names become addresses.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolver {
    /// Empty = the system's; port 53 unless given.
    pub nameservers: Vec<SocketAddr>,
    /// Floor under the TTL of an answer.
    pub ttl_min: Duration,
    /// Ceiling over the TTL of an answer.
    pub ttl_max: Duration,
    /// Addresses kept per name.
    pub max_addresses: usize,
}

/// How clients are located.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GeoSettings {
    /// The database of countries and continents; the file exists.
    pub database: Option<Placed<PathBuf>>,
}

/// An address at which the edge accepts clients.
#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    /// The configured name.
    pub name: String,
    /// Where it listens, with its place for a bind error.
    pub bind: Placed<SocketAddr>,
    /// HTTP/1.1 is spoken.
    pub http1: bool,
    /// HTTP/2 is spoken: by ALPN with TLS, by prior knowledge ("h2c") without.
    pub http2: bool,
    /// HTTP/3 is spoken, over UDP on the same address. Only with TLS.
    pub http3: bool,
    /// Set on a listener whose connections are not HTTP.
    pub pass_through: Option<PassThrough>,
    /// `None` = plaintext.
    pub tls: Option<ListenerTls>,
    /// Whose word about clients counts.
    pub front: Front,
}

impl Listener {
    /// Whether it has a socket of TCP: all but one that speaks HTTP/3 alone.
    #[must_use]
    pub const fn takes_tcp(&self) -> bool {
        self.http1 || self.http2 || self.pass_through.is_some()
    }
}

/// The settings of a pool that only the shell reads.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolSettings {
    /// How its endpoints are probed; `Some` exactly when the pool's `probe` rules are.
    pub probe: Option<Probe>,
    /// TLS towards each endpoint; parallel to the core's `endpoints`.
    pub tls: Vec<Option<EndpointTls>>,
    /// What its endpoints speak.
    pub protocol: crate::PoolProtocol,
    /// Idle upstream connections.
    pub keepalive: Keepalive,
    /// Host header towards the endpoints; `None` = the client's.
    pub host: Option<String>,
    /// Requests that wait while the pool has no room.
    pub queue: QueueSettings,
    /// Connections to the endpoints begin with a PROXY header of version 2.
    pub send_proxy: bool,
    /// What DNS answers name while the pool serves.
    pub dns: Vec<IpAddr>,
}

/// How many requests may wait for a pool, and how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QueueSettings {
    /// Over all workers; 0 = none waits.
    pub size: u64,
    /// Longest wait.
    pub timeout: Duration,
}

/// Idle upstream connections, per worker and endpoint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Keepalive {
    /// Longest idle time.
    pub idle: Duration,
    /// Most idle connections.
    pub max_idle: usize,
    /// Longest life.
    pub age: Duration,
}

/// What a probe asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeKind {
    /// An HTTP/1.1 request.
    Http,
    /// `grpc.health.v1.Health/Check` over HTTP/2.
    Grpc {
        /// The service; empty = the server as a whole.
        service: String,
    },
    /// Nothing: a connection is good.
    Tcp,
}

/// An active check, the part that only the shell reads.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    /// The configured name.
    pub name: String,
    /// What is asked.
    pub kind: ProbeKind,
    /// Path and query.
    pub path: String,
    /// GET, HEAD, OPTIONS or POST.
    pub method: String,
    /// Inclusive ranges of accepted codes.
    pub expect_status: Vec<(u16, u16)>,
    /// Top-level member → accepted values (JSON text of each), all members must match; empty = the body is not read as JSON.
    pub expect_json: Vec<(String, Vec<serde_json::Value>)>,
    /// Host header; `None` = the pool's, else the endpoint's address.
    pub host: Option<String>,
    /// Port; `None` = the traffic's.
    pub port: Option<u16>,
    /// Extra headers, valid names and values.
    pub headers: Vec<(String, String)>,
}

/// The settings of a route that only the shell reads.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteSettings {
    /// Longest upload; `None` = no limit.
    pub body_bytes: Option<u64>,
    /// The cookies that keep clients on their endpoints; `None` = none are set.
    pub cookie: Option<CookieSettings>,
}

/// The cookies that keep clients on their endpoints.
#[derive(Clone, Debug, PartialEq)]
pub struct CookieSettings {
    /// The cookie's name.
    pub name: String,
    /// How long a cookie counts.
    pub ttl: Duration,
    /// At least one; the first one signs, all verify.
    pub keys: Vec<CookieKey>,
}

/// A key that signs cookies: at least 32 bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct CookieKey(pub Box<[u8]>);

impl std::fmt::Debug for CookieKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CookieKey(…)")
    }
}

/// Bounds on clients: the table `[limits]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Client connections; 0 = 40 % of the file limit.
    pub max_connections: usize,
    /// Client connections of one IPv4 address or IPv6 network of 64 bits; 0 = no cap.
    pub per_client: usize,
    /// Request head, bytes.
    pub header_bytes: usize,
    /// Request header lines.
    pub header_count: usize,
    /// Header lines of an endpoint's answer.
    pub answer_fields: usize,
    /// From a request's first byte to its last header byte.
    pub header_timeout: Duration,
    /// A client connection with no request on it.
    pub idle_timeout: Duration,
    /// What happens to request fields whose names look like framing.
    pub look_alikes: LookAlikes,
    /// Bytes of a body that are held for a side that does not read.
    pub stream_buffer: usize,
    /// Requests at the same time on one HTTP/2 connection.
    pub h2_streams: u32,
    /// Streams that an HTTP/2 client may reset beyond those that were answered.
    pub h2_resets: u32,
    /// Requests of one client.
    pub request_rate: RequestRate,
    /// Bytes per second that a client must send of an upload, or take of an answer, at least; 0 = no bound.
    pub body_min_rate: u64,
}

/// What happens to request fields that some servers take for framing (`Content_Length`, `Transfer.Encoding`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookAlikes {
    /// The request is refused.
    Refuse,
    /// The field stays here.
    Drop,
    /// The field goes on.
    Pass,
}

/// The table `[fleet]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Fleet {
    /// URLs of the servers.
    pub servers: Vec<String>,
    /// The public key file, with its content.
    pub verify: Placed<String>,
    /// What the servers are told.
    pub credentials: Option<FleetCredentials>,
    /// A private CA bundle for the servers' certificates.
    pub ca: Option<Placed<PathBuf>>,
    /// Where this edge stands in a rollout.
    pub ring: Ring,
    /// The name of this edge among the others.
    pub name: String,
    /// The bucket.
    pub bucket: String,
    /// The JetStream domain of its servers, if it is another one than that of the servers that this edge connects to.
    pub domain: Option<String>,
}
