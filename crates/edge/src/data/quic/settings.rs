//! What a QUIC connection may take, from the config's limits. All memory that a client can fill is bounded here.

use std::{sync::Arc, time::Duration};

use quinn::{ServerConfig, TransportConfig, ValidationTokenConfig, VarInt, crypto::rustls::QuicServerConfig};
use thalweg_config::Limits;

use crate::shared::Wiring;

/// Unidirectional streams that a client may have open: control, two of QPACK, and some that have no meaning
/// (RFC 9114 section 6.2).
const UNIDIRECTIONAL: u32 = 8;

/// Silence after which a connection is lost.
const LOST: Duration = Duration::from_secs(30);

/// How often a connection is kept alive, so that a long wait for an endpoint is not taken for a loss. How long a
/// connection may be idle is decided where TCP's are, by `idle_timeout`.
const ALIVE: Duration = Duration::from_secs(10);

/// Bytes of answers that wait in a connection for its client's acknowledgement: so many times `stream_buffer`.
const UNACKNOWLEDGED: u64 = 16;

/// Connection attempts that may wait for this worker, and bytes that each of them and all of them may hold.
const ATTEMPTS: usize = 1024;
const ATTEMPT_BYTES: u64 = 16 * 1024;
const ALL_ATTEMPT_BYTES: u64 = 4 * 1024 * 1024;

/// The settings of the listener at this position; `None` = it does not speak HTTP/3.
pub(super) fn server(wiring: &Wiring, position: usize) -> Option<Arc<ServerConfig>> {
    let tls = wiring.listener_quic.get(position)?.clone()?;
    // Tried before the config came into force.
    let tls = QuicServerConfig::try_from(tls).ok()?;
    let mut server = ServerConfig::with_crypto(Arc::new(tls));
    // No tokens for later connections: another worker could not read them.
    let mut tokens = ValidationTokenConfig::default();
    tokens.sent(0);
    server
        .transport_config(Arc::new(transport(&wiring.config.limits)))
        .validation_token_config(tokens)
        .max_incoming(ATTEMPTS)
        .incoming_buffer_size(ATTEMPT_BYTES)
        .incoming_buffer_size_total(ALL_ATTEMPT_BYTES);
    Some(Arc::new(server))
}

fn transport(limits: &Limits) -> TransportConfig {
    let window = u32::try_from(limits.stream_buffer).unwrap_or(u32::MAX);
    let all = u64::from(window) * u64::from(limits.h2_streams);
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(limits.h2_streams.into())
        .max_concurrent_uni_streams(UNIDIRECTIONAL.into())
        .stream_receive_window(window.into())
        // Uploads that stand still cannot take the room of one that does not, as over HTTP/2.
        .receive_window(VarInt::from_u64(all).unwrap_or(VarInt::MAX))
        .send_window(u64::from(window) * UNACKNOWLEDGED)
        .max_idle_timeout(LOST.try_into().ok())
        .keep_alive_interval(Some(ALIVE))
        .datagram_receive_buffer_size(None);
    transport
}
