//! The UDP sockets of one address, one for each worker, and the boxes through which a worker gets datagrams that the
//! kernel gave to another worker's socket.
//!
//! # Why boxes
//!
//! The kernel chooses the socket by the addresses of a datagram. A client whose address changes keeps its connection (RFC
//! 9000 section 9), but its datagrams may then come to another worker's socket. The connection id names the worker that has the connection,
//! and the worker that reads such a datagram puts it into that worker's box. A program in the kernel (`SO_ATTACH_REUSEPORT_CBPF`)
//! could choose by the id at once, but it knows sockets by their place in the group, which changes when one of them
//! closes; the boxes are right in any case, and cost only clients that move.

use std::{
    collections::VecDeque,
    io::IoSliceMut,
    net::UdpSocket,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Waker,
};

use futures_util::task::AtomicWaker;
use quinn::udp::RecvMeta;

/// Datagrams that wait in one box; more are dropped, as a full socket drops them.
const DEPTH: usize = 1024;

/// One worker's UDP socket.
#[derive(Debug)]
pub struct QuicSocket {
    /// The socket, non-blocking and bound with `SO_REUSEPORT`.
    pub socket: UdpSocket,
    /// Its number among the sockets of this address.
    pub number: u16,
    /// The boxes of all sockets of this address, by number.
    pub boxes: Arc<[DatagramBox]>,
}

impl QuicSocket {
    /// The sockets of one address.
    #[must_use]
    pub fn group(sockets: Vec<UdpSocket>) -> Vec<Self> {
        let boxes: Arc<[DatagramBox]> = sockets.iter().map(|_| DatagramBox::default()).collect();
        let numbered = (0..).zip(sockets);
        numbered.map(|(number, socket)| Self { socket, number, boxes: Arc::clone(&boxes) }).collect()
    }
}

/// Datagrams that came to another worker's socket.
#[derive(Debug, Default)]
pub struct DatagramBox {
    /// Whether any wait: spares the owner the lock.
    any: AtomicBool,
    waiting: Mutex<VecDeque<(Box<[u8]>, RecvMeta)>>,
    waker: AtomicWaker,
}

impl DatagramBox {
    /// Puts one datagram in, and wakes the owner.
    pub fn put(&self, datagram: &[u8], meta: RecvMeta) {
        let mut waiting = self.lock();
        if waiting.len() < DEPTH {
            waiting.push_back((datagram.into(), meta));
        }
        // Under the lock, so that the owner cannot clear the mark of a datagram that it has not seen.
        self.any.store(true, Ordering::Release);
        drop(waiting);
        self.waker.wake();
    }

    /// Wakes this task when a datagram is put in.
    pub fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// Takes datagrams out, one into each buffer; returns how many.
    pub fn take(&self, buffers: &mut [IoSliceMut<'_>], metas: &mut [RecvMeta]) -> usize {
        if !self.any.load(Ordering::Acquire) {
            return 0;
        }
        let mut waiting = self.lock();
        let mut taken = 0;
        for (buffer, meta) in buffers.iter_mut().zip(metas) {
            let Some((datagram, from)) = waiting.pop_front() else { break };
            let length = datagram.len().min(buffer.len());
            if let (Some(to), Some(bytes)) = (buffer.get_mut(..length), datagram.get(..length)) {
                to.copy_from_slice(bytes);
            }
            *meta = RecvMeta { len: length, stride: length, ..from };
            taken += 1;
        }
        self.any.store(!waiting.is_empty(), Ordering::Release);
        taken
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(Box<[u8]>, RecvMeta)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
