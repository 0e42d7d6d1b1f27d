//! Queries in datagrams. One task per socket; an answer that the kernel does not take at once is dropped, because the
//! client asks again.
//!
//! The socket is read as QUIC's are (`quinn-udp`): it tells to which address of this machine a datagram came, and the
//! answer leaves from there. A plain socket on `[::]` would answer from the address of the route back, which resolvers
//! do not accept.

use std::{future::poll_fn, io::IoSliceMut, rc::Rc, sync::Arc, time::Duration};

use quinn::{
    AsyncUdpSocket,
    udp::{RecvMeta, Transmit},
};
use tokio::time::sleep;

use super::{
    responder::{DnsReply, Responder},
    result::DnsTransport,
};

/// The kernel may join datagrams of one sender up to this.
const BUFFER: usize = 1 << 16;
/// Pause after an error of the socket.
const PAUSE: Duration = Duration::from_millis(10);

/// Answers until the task is dropped.
pub(super) async fn serve(socket: Arc<dyn AsyncUdpSocket>, responder: Rc<Responder>) {
    let mut buffer = vec![0; BUFFER];
    loop {
        let mut meta = [RecvMeta::default()];
        let received =
            poll_fn(|context| socket.poll_recv(context, &mut [IoSliceMut::new(&mut buffer)], &mut meta));
        match received.await {
            Ok(_) => {
                let [meta] = meta;
                let datagrams = buffer.get(..meta.len).unwrap_or_default();
                for datagram in datagrams.chunks(meta.stride.max(1)) {
                    answer(&*socket, &responder, datagram, &meta);
                }
            }
            Err(error) => {
                tracing::debug!(%error, "a datagram could not be received");
                sleep(PAUSE).await;
            }
        }
    }
}

fn answer(socket: &dyn AsyncUdpSocket, responder: &Responder, datagram: &[u8], meta: &RecvMeta) {
    // Port 0 is nobody's: the datagram is forged.
    if meta.addr.port() == 0 {
        return;
    }
    let client = meta.addr.ip().to_canonical();
    if let DnsReply::Send(bytes) = responder.reply(datagram, client, DnsTransport::Udp) {
        let transmit = Transmit {
            destination: meta.addr,
            ecn: None,
            contents: &bytes,
            segment_size: None,
            src_ip: meta.dst_ip,
        };
        if let Err(error) = socket.try_send(&transmit) {
            tracing::debug!(%error, "an answer could not be sent");
        }
    }
}
