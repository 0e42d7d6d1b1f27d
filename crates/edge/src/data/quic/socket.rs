//! A worker's UDP socket as quinn sees it: what the kernel gives, without the datagrams of other workers' connections,
//! and with those of its own that came to another worker's socket ([`crate::shared::datagrams`]).

use std::{
    io::{self, IoSliceMut},
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use quinn::{
    AsyncUdpSocket, Runtime as _, TokioRuntime, UdpPoller,
    udp::{RecvMeta, Transmit},
};

use super::connection_id::owner;
use crate::shared::datagrams::{DatagramBox, QuicSocket};

/// The socket.
#[derive(Debug)]
pub(super) struct SortedSocket {
    kernel: Arc<dyn AsyncUdpSocket>,
    number: u16,
    boxes: Arc<[DatagramBox]>,
}

impl SortedSocket {
    /// Takes the socket into this worker's runtime.
    ///
    /// # Errors
    /// Those of the operating system.
    pub(super) fn new(socket: QuicSocket) -> io::Result<Self> {
        let QuicSocket { socket, number, boxes } = socket;
        Ok(Self { kernel: TokioRuntime.wrap_udp_socket(socket)?, number, boxes })
    }

    /// Puts the datagrams of other workers into their boxes, and closes the gaps. One buffer may hold several datagrams of
    /// `stride` bytes from one sender, the last of them shorter.
    fn keep_own(&self, buffer: &mut [u8], meta: &mut RecvMeta) {
        let (length, stride) = (meta.len.min(buffer.len()), meta.stride.max(1));
        let (mut from, mut kept) = (0, 0);
        while from < length {
            let to = (from + stride).min(length);
            let datagram = buffer.get(from..to).unwrap_or_default();
            let other = owner(datagram).filter(|number| *number != self.number);
            match other.and_then(|number| self.boxes.get(usize::from(number))) {
                Some(other) => other.put(datagram, *meta),
                None => {
                    buffer.copy_within(from..to, kept);
                    kept += to - from;
                }
            }
            from = to;
        }
        meta.len = kept;
    }
}

impl AsyncUdpSocket for SortedSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.kernel).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.kernel.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        if let Some(own) = self.boxes.get(usize::from(self.number)) {
            own.register(cx.waker());
            let taken = own.take(buffers, metas);
            if taken > 0 {
                return Poll::Ready(Ok(taken));
            }
        }
        let count = ready!(self.kernel.poll_recv(cx, buffers, metas))?;
        if self.boxes.len() > 1 {
            for (buffer, meta) in buffers.iter_mut().zip(metas).take(count) {
                self.keep_own(buffer, meta);
            }
        }
        Poll::Ready(Ok(count))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.kernel.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.kernel.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.kernel.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.kernel.may_fragment()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Short headers of these sockets' connections, `stride` bytes each, the last one of `last`.
    fn check(owners: &[u16], last: usize, kept: &[u16], boxed: &[u16]) {
        const STRIDE: usize = 7;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _inside = runtime.enter();
        let bind = |_| std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let sockets: Vec<_> = QuicSocket::group((0..3).map(bind).collect());
        let [_, own, _] = sockets.try_into().unwrap();
        let socket = SortedSocket::new(own).unwrap();
        let one = |number: &u16| [&[0x40][..], &number.to_be_bytes(), &[9; STRIDE - 3]].concat();
        let mut buffer: Vec<u8> = owners.iter().flat_map(one).collect();
        buffer.truncate(buffer.len() - STRIDE + last);
        let mut meta = RecvMeta { len: buffer.len(), stride: STRIDE, ..RecvMeta::default() };
        socket.keep_own(&mut buffer, &mut meta);
        let owners = |bytes: &[u8]| bytes.chunks(STRIDE).filter_map(owner).collect::<Vec<u16>>();
        assert_eq!(owners(&buffer[..meta.len]), kept);
        let mut found = Vec::new();
        for (number, one) in socket.boxes.iter().enumerate() {
            let (mut room, mut meta) = ([0; 64], [RecvMeta::default()]);
            while one.take(&mut [IoSliceMut::new(&mut room)], &mut meta) > 0 {
                assert_eq!(owner(&room), Some(number as u16));
                found.push(number as u16);
            }
        }
        assert_eq!(found, boxed);
    }

    #[test]
    fn datagrams_of_other_workers_go_into_their_boxes() {
        check(&[1], 7, &[1], &[]);
        check(&[0], 7, &[], &[0]);
        check(&[1, 1, 1], 4, &[1, 1, 1], &[]);
        check(&[1, 0, 1, 2], 5, &[1, 1], &[0, 2]);
        check(&[2, 2, 1], 3, &[1], &[2, 2]);
        // No worker has this number: the datagram stays, and quinn drops it.
        check(&[900], 7, &[900], &[]);
    }
}
