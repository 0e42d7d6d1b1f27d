//! The new process of an upgrade: takes the listening sockets from its standard input before anything else, starts as
//! always but without accepting, says when every route can serve that could before, and accepts when it is told to.

use std::{
    cell::RefCell,
    io,
    net::{SocketAddr, TcpListener},
    os::{fd::AsFd, unix::net::UnixStream as StdUnixStream},
    sync::Arc,
    time::{Duration, Instant},
};

use socket2::SockRef;
use thalweg_core::{Availability, PoolSlot};
use tokio::time::sleep;

use super::wire::{self, Channel, HandoverMessage, Hello, VARIABLE};
use crate::control::{
    listen::ListenKey,
    state::{Control, EdgePhase},
};

/// Longest wait for the head: the predecessor sends it at once.
const HEAD: Duration = Duration::from_secs(10);
/// Longest wait for endpoints whose probes neither succeed nor fail often enough for a judgement.
const JUDGED: Duration = Duration::from_secs(5);
/// How often readiness is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// A listening socket of the predecessor.
#[derive(Debug)]
pub struct InheritedSocket {
    /// The listener's name there; `None` = the admin server.
    pub name: Option<String>,
    /// The address.
    pub bind: SocketAddr,
    /// Whether an IPv6 socket leaves IPv4 alone.
    pub v6_only: bool,
    /// The socket.
    pub socket: TcpListener,
}

impl InheritedSocket {
    /// As a listener's socket; `None` = the admin server's.
    #[must_use]
    pub fn listen_key(&self) -> Option<ListenKey> {
        let name = Arc::from(self.name.as_deref()?);
        Some(ListenKey { name, bind: self.bind, v6_only: self.v6_only, quic: false })
    }
}

/// What this process got from its predecessor.
#[derive(Debug)]
pub struct Inheritance {
    /// What the predecessor said.
    pub hello: Hello,
    /// Its sockets.
    pub sockets: RefCell<Vec<InheritedSocket>>,
    socket: StdUnixStream,
}

impl Inheritance {
    /// Takes what a predecessor passes; `None` = this process was not started by one.
    ///
    /// # Errors
    /// What was passed cannot be used.
    pub fn receive() -> Option<Result<Self, String>> {
        std::env::var_os(VARIABLE)?;
        Some(Self::read())
    }

    fn read() -> Result<Self, String> {
        let fail =
            |error: io::Error| format!("{VARIABLE} is set, but the standard input is no socket: {error}");
        let input = io::stdin().as_fd().try_clone_to_owned().map_err(fail)?;
        // Reads of the standard input later on must not take words of this conversation.
        let null = std::fs::File::open("/dev/null").map_err(fail)?;
        rustix::stdio::dup2_stdin(&null).map_err(|error| fail(error.into()))?;
        let mut socket = StdUnixStream::from(input);
        socket.set_read_timeout(Some(HEAD)).map_err(fail)?;
        let (hello, fds) = wire::receive(&mut socket)?;
        let mut sockets = Vec::with_capacity(fds.len());
        for (name, fd) in hello.names.iter().zip(fds) {
            let socket = TcpListener::from(fd);
            let known = SockRef::from(&socket);
            let (bind, v6_only) = (socket.local_addr(), known.only_v6());
            let bind = bind.map_err(|error| format!("a descriptor that is no listening socket: {error}"))?;
            let v6_only = bind.is_ipv6() && v6_only.unwrap_or(false);
            sockets.push(InheritedSocket { name: name.clone(), bind, v6_only, socket });
        }
        Ok(Self { hello, sockets: RefCell::new(sockets), socket })
    }

    /// The admin server's socket, if it stands at this address.
    #[must_use]
    pub fn admin(&self, bind: SocketAddr) -> Option<TcpListener> {
        let mut sockets = self.sockets.borrow_mut();
        let at = sockets.iter().position(|one| one.name.is_none() && same_address(one.bind, bind))?;
        Some(sockets.swap_remove(at).socket)
    }

    /// Tells the predecessor that this process ends, and why. Blocks for a moment at most.
    pub fn fail(&self, why: &str) {
        let said = HandoverMessage::Failed(why.to_owned());
        if let Ok(socket) = self.socket.try_clone() {
            let _ = wire::say_now(socket, &said);
        }
    }

    /// Waits until this process can serve what its predecessor serves, says so, and waits for the word to take over.
    ///
    /// # Errors
    /// The predecessor has ended, or wants no successor any more.
    pub async fn until_told(&self, control: &Control) -> Result<Channel, String> {
        let socket = self.socket.try_clone().map_err(|error| error.to_string())?;
        let mut channel = Channel::of(socket).map_err(|error| error.to_string())?;
        let (mut told, began) = (String::new(), Instant::now());
        while let Some(why) = waits_for(control, &self.hello, began) {
            if why != told {
                channel.say(&HandoverMessage::Waiting(why.clone())).await?;
                told = why;
            }
            tokio::select! {
                () = sleep(LOOK) => {}
                said = channel.hear() => {
                    let said = said.map_err(|problem| format!("the running process: {problem}"))?;
                    return Err(format!("the running process said {said:?} too early"));
                }
            }
        }
        channel.say(&HandoverMessage::Ready).await?;
        channel
            .expect(&HandoverMessage::Go)
            .await
            .map_err(|problem| format!("the running process: {problem}"))?;
        Ok(channel)
    }
}

/// What keeps this process from taking over: its first probe round, endpoints that are not judged yet, or a route that
/// could serve before and cannot here.
fn waits_for(control: &Control, hello: &Hello, began: Instant) -> Option<String> {
    let _ = control.ready();
    if control.phase.get() == EdgePhase::Starting {
        return Some("its first probe round has not ended".into());
    }
    let live = control.shared.live.load();
    let unproven = (0..live.snapshot.layout.topology.pools.len() as u32)
        .flat_map(|slot| live.snapshot.endpoints_of(PoolSlot(slot)))
        .filter(|endpoint| endpoint.view.availability == Availability::Unproven)
        .count();
    if unproven > 0 && began.elapsed() < JUDGED {
        return Some(format!("{unproven} endpoints are not probed often enough"));
    }
    let serve = control.routes_that_serve();
    let mut routes = live.snapshot.layout.topology.written_routes().map(|(_, route)| &*route.name);
    let missing = routes.find(|name| {
        let same = |other: &String| other == name;
        hello.routes.iter().any(same) && !serve.iter().any(same)
    });
    missing.map(|name| format!("route {name} can serve in the running process and not in the new one"))
}

/// Whether a socket at the first address is what a config with the second one means. Port 0 means any port.
fn same_address(bound: SocketAddr, wanted: SocketAddr) -> bool {
    bound == wanted || (wanted.port() == 0 && bound.ip() == wanted.ip())
}

/// Takes the sockets out that stand where a listener is to stand, as many as there are.
pub fn take(sockets: &mut Vec<InheritedSocket>, wanted: &ListenKey) -> Vec<TcpListener> {
    let is_its = |one: &InheritedSocket| {
        one.listen_key().is_some_and(|key| {
            // A listener may have got another name; a port that the kernel chose belongs to its name alone.
            let named = wanted.bind.port() != 0 || key.name == wanted.name;
            named && same_address(key.bind, wanted.bind) && key.v6_only == wanted.v6_only
        })
    };
    sockets.extract_if(.., |one| is_its(one)).map(|one| one.socket).collect()
}
