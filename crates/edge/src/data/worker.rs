//! One worker: a current-thread runtime with its own sockets, connection pools and meters. A worker shares nothing with
//! other workers on the request path.

use std::{collections::BTreeMap, net::TcpListener, rc::Rc, sync::Arc, thread::JoinHandle, time::Duration};

use tokio::sync::{mpsc, oneshot};

use crate::{
    data::{
        accept::{ListenSocket, accept},
        deadline::SWEEP,
        local::Local,
        quic,
    },
    shared::{Command, Shared, datagrams::QuicSocket},
};

/// Time for the last answers to leave after `drain_timeout` has run out.
const LAST_WORDS: Duration = Duration::from_millis(50);

/// The control thread's handle to a worker.
#[derive(Debug)]
pub struct Worker {
    /// Commands to the worker; the queue is bounded and read promptly.
    pub commands: mpsc::Sender<Command>,
    /// The worker's thread; it ends after `Drain` or `Abort`.
    pub thread: JoinHandle<()>,
}

/// Starts worker `index`; its meters are `shared.meters[index]`.
///
/// # Errors
/// When no thread or runtime can be made.
pub fn start(index: usize, shared: Arc<Shared>) -> std::io::Result<Worker> {
    let (commands, received) = mpsc::channel(64);
    let thread = std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
        let runtime = match tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build_local(tokio::runtime::LocalOptions::default())
        {
            Ok(runtime) => runtime,
            Err(error) => return tracing::error!(%error, index, "worker cannot start its runtime"),
        };
        let local = Rc::new(Local::new(index, shared));
        runtime.block_on(run(Rc::clone(&local), received));
        // Dropping the runtime drops the requests in flight; their log lines are the last.
        drop(runtime);
        local.flush_log();
    })?;
    Ok(Worker { commands, thread })
}

/// Runs the worker until it is told to end.
async fn run(local: Rc<Local>, mut commands: mpsc::Receiver<Command>) {
    let mut published = local.subscribe();
    let mut sweep = tokio::time::interval(SWEEP);
    sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut listen_sockets, mut quic_sockets) = (ListenSockets::default(), QuicSockets::default());
    let (mut draining, mut beats) = (false, 0u32);
    loop {
        tokio::select! {
            _ = sweep.tick() => {
                local.sweep();
                beats = beats.wrapping_add(1);
                if beats.is_multiple_of(50) {
                    local.tend_peers();
                }
                if draining && !local.has_connections() && beats > 5 {
                    break;
                }
            }
            changed = published.changed() => if changed.is_ok() { local.follow() } else { break },
            signal = commands.recv() => match signal {
                // This command was sent before the reload knew of the drain.
                Some(Command::Listen { .. } | Command::ListenQuic { .. }) if draining => {}
                Some(Command::Listen { name, socket }) => listen_sockets.open(&local, name, socket),
                Some(Command::ListenQuic { name, socket }) => quic_sockets.open(&local, name, socket),
                Some(Command::Lend { reply }) => _ = reply.send(listen_sockets.lend()),
                Some(Command::Unlisten { name }) => {
                    listen_sockets.0.remove(&name);
                    local.close_connections(&name, false);
                }
                Some(Command::UnlistenQuic { name }) => {
                    quic_sockets.0.remove(&name);
                    local.close_connections(&name, true);
                }
                Some(Command::Find(query)) => local.decisions().answer(query),
                Some(Command::Drain) => {
                    listen_sockets.0.clear();
                    quic_sockets.0.clear();
                    local.drain();
                    (draining, beats) = (true, 0);
                }
                Some(Command::Abort) | None => {
                    local.end();
                    tokio::time::sleep(LAST_WORDS).await;
                    break;
                }
            },
        }
    }
}

/// The worker's listening sockets, by listener. A socket's task ends when its entry goes.
#[derive(Default)]
struct ListenSockets(BTreeMap<Arc<str>, Vec<OpenSocket>>);

struct OpenSocket {
    /// Dropped to end the task that accepts.
    _close: oneshot::Sender<()>,
    /// The same socket once more, for a successor of this process. Goes before the task closes its own: otherwise the
    /// socket would stay open, and clients would wait in a queue that no task reads.
    again: Option<TcpListener>,
}

/// The worker's UDP sockets, by listener. A socket's task refuses connections when its entry goes.
#[derive(Default)]
struct QuicSockets(BTreeMap<Arc<str>, oneshot::Sender<()>>);

impl QuicSockets {
    fn open(&mut self, local: &Rc<Local>, name: Arc<str>, socket: QuicSocket) {
        let (close, closed) = oneshot::channel();
        self.0.insert(Arc::clone(&name), close);
        let listen_socket = ListenSocket::new((local.number_of(&name), name));
        tokio::task::spawn_local(quic::accept(Rc::clone(local), listen_socket, socket, closed));
    }
}

impl ListenSockets {
    fn open(&mut self, local: &Rc<Local>, name: Arc<str>, socket: TcpListener) {
        let again = socket.try_clone().ok();
        match tokio::net::TcpListener::from_std(socket) {
            Ok(socket) => {
                let (close, closed) = oneshot::channel();
                let open = OpenSocket { _close: close, again };
                self.0.entry(Arc::clone(&name)).or_default().push(open);
                let listen_socket = ListenSocket::new((local.number_of(&name), name));
                tokio::task::spawn_local(accept(Rc::clone(local), listen_socket, socket, closed));
            }
            Err(error) => tracing::error!(%error, listener = %name, "cannot listen"),
        }
    }

    fn lend(&self) -> Vec<(Arc<str>, TcpListener)> {
        let all = self.0.iter().flat_map(|(name, sockets)| sockets.iter().map(move |one| (name, one)));
        all.filter_map(|(name, one)| Some((Arc::clone(name), one.again.as_ref()?.try_clone().ok()?)))
            .collect()
    }
}
