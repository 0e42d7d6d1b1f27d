//! UDP sockets after an upgrade. A QUIC connection lives in one process, and the kernel cannot tell whose it is: a socket of
//! this process beside the predecessor's would take a part of the datagrams of its connections. So the predecessor keeps
//! its UDP sockets until its last QUIC connection has ended, refuses new ones, and this process binds the address behind
//! it. Until then clients that try HTTP/3 are told no at once, and come over TCP, which loses nothing.
//!
//! Rejected: to hand the sockets over, as those of TCP, and to pass each datagram of an old connection back to the process
//! that has it. That would be a second path for datagrams, between processes, for the seconds of a drain.

use std::{rc::Rc, time::Duration};

use super::Reloader;
use crate::control::listen::{self, ListenKey};

/// How often the address is looked at.
const LOOK: Duration = Duration::from_millis(100);

impl Reloader {
    /// Takes the UDP sockets out that must wait for a predecessor.
    pub(super) fn split_late(&self, new: Vec<ListenKey>) -> (Vec<ListenKey>, Vec<ListenKey>) {
        let is_successor = self.parked.borrow().is_some();
        new.into_iter().partition(|key| is_successor && key.quic)
    }

    /// Begins to bind what has waited, in the background.
    pub(super) fn open_late(self: &Rc<Self>) {
        for key in self.late.take() {
            tokio::task::spawn_local(Rc::clone(self).open_one_late(key));
        }
    }

    async fn open_one_late(self: Rc<Self>, key: ListenKey) {
        // A reload may have closed the listener meanwhile.
        while self.held.borrow().contains(&key) && !self.is_ending() {
            let bound =
                listen::bind_all(std::slice::from_ref(&key), &[], self.workers.len(), &mut Vec::new());
            match bound {
                Ok(bound) => {
                    tracing::info!(listener = %key.name, bind = %key.bind, quic = true, "listener opens");
                    for sockets in bound {
                        self.listen(&key.name, sockets).await;
                    }
                    return;
                }
                Err(error) => tracing::debug!(%error, "the predecessor still has its UDP sockets"),
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}
