//! The DNS thread: a runtime of its own for the sockets that the control side hands over. It ends when the control side
//! drops its handle. A task that panics is started again.

use std::{
    net::{TcpListener, UdpSocket},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use quinn::{Runtime as _, TokioRuntime};
use tokio::{
    sync::{mpsc, oneshot},
    task::spawn_local,
    time::sleep,
};

use super::{
    responder::Responder,
    tcp::{self, DnsConnections},
    udp,
};
use crate::shared::{Shared, meters::Meters};

/// Pause before a socket is served again by a new task.
const PAUSE: Duration = Duration::from_millis(100);

/// The two sockets of one address.
#[derive(Debug)]
pub struct DnsSockets {
    /// For datagrams, non-blocking.
    pub udp: UdpSocket,
    /// Listening, non-blocking.
    pub tcp: TcpListener,
    /// They are closed when its sender is dropped.
    pub closed: oneshot::Receiver<()>,
}

/// The control side's handle.
#[derive(Debug)]
pub struct DnsThread {
    /// Takes sockets.
    pub sockets: mpsc::Sender<DnsSockets>,
}

/// Starts the thread; its counters are in `meters`.
///
/// # Errors
/// No thread can be made.
pub fn start(shared: Arc<Shared>, meters: Arc<Meters>) -> std::io::Result<DnsThread> {
    let (sockets, received) = mpsc::channel(16);
    std::thread::Builder::new().name("dns".to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build_local(tokio::runtime::LocalOptions::default());
        match runtime {
            Ok(runtime) => runtime.block_on(run(Rc::new(Responder::new(shared, meters)), received)),
            Err(error) => tracing::error!(%error, "DNS cannot be answered: no runtime"),
        }
    })?;
    Ok(DnsThread { sockets })
}

async fn run(responder: Rc<Responder>, mut received: mpsc::Receiver<DnsSockets>) {
    let open = Rc::new(DnsConnections::default());
    while let Some(sockets) = received.recv().await {
        let (responder, open) = (Rc::clone(&responder), Rc::clone(&open));
        spawn_local(async move {
            if let Err(error) = serve(sockets, responder, open).await {
                tracing::error!(%error, "DNS cannot be answered at an address");
            }
        });
    }
}

/// Serves one address until it is closed.
async fn serve(
    DnsSockets { udp, tcp, closed }: DnsSockets,
    responder: Rc<Responder>,
    open: Rc<DnsConnections>,
) -> std::io::Result<()> {
    let udp = TokioRuntime.wrap_udp_socket(udp)?;
    let one = Rc::clone(&responder);
    let datagrams = again(move || udp::serve(Arc::clone(&udp), Rc::clone(&one)));
    let connections = again(move || {
        let listener = tcp.try_clone().and_then(tokio::net::TcpListener::from_std);
        let (responder, open) = (Rc::clone(&responder), Rc::clone(&open));
        async move {
            match listener {
                Ok(listener) => tcp::serve(listener, responder, open).await,
                Err(error) => tracing::error!(%error, "DNS over TCP cannot be answered"),
            }
        }
    });
    tokio::select! {
        () = datagrams => {}
        () = connections => {}
        _ = closed => {}
    }
    Ok(())
}

/// Runs what `make` makes; again when it ends or panics.
async fn again<F: Future<Output = ()> + 'static>(mut make: impl FnMut() -> F) {
    loop {
        let ended = DnsTask(spawn_local(make())).await_end().await;
        tracing::error!(panicked = ended, "a task of DNS has ended and starts again");
        sleep(PAUSE).await;
    }
}

/// A task that ends with its handle.
struct DnsTask(tokio::task::JoinHandle<()>);

impl DnsTask {
    async fn await_end(mut self) -> bool {
        (&mut self.0).await.is_err_and(|error| error.is_panic())
    }
}

impl Drop for DnsTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}
