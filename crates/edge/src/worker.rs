//! One worker: a current-thread runtime with its own sockets, connection pools and meters.
//! Shares nothing with the other workers on the request path.

use std::{sync::Arc, thread::JoinHandle};

use tokio::sync::mpsc;

use crate::shared::{Command, Shared};

/// The control thread's hold on a worker.
#[derive(Debug)]
pub struct Worker {
    /// What to do; read promptly, bounded.
    pub commands: mpsc::Sender<Command>,
    /// Ends after `Drain` or `Abort`.
    pub thread: JoinHandle<()>,
}

/// Starts worker `index`; its meters are `shared.meters[index]`.
///
/// # Errors
/// When no thread or runtime can be made.
pub fn start(_index: usize, _shared: Arc<Shared>) -> std::io::Result<Worker> {
    let (commands, mut orders) = mpsc::channel(64);
    let thread = std::thread::spawn(move || {
        while !matches!(orders.blocking_recv(), Some(Command::Drain | Command::Abort) | None) {}
    });
    Ok(Worker { commands, thread })
}
