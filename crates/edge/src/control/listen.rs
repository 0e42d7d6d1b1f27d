//! Binding: one `SO_REUSEPORT` socket per worker, after a check that no other process holds the address. Never accepts
//! a connection: the workers do.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    sync::Arc,
};

use socket2::{Domain, Protocol, Socket, Type};
use thalweg_config::{ConfigError, Listener, Span};

use crate::{
    control::upgrade::successor::{self, InheritedSocket},
    shared::{BACKLOG, datagrams::QuicSocket},
};

/// Bytes that a UDP socket asks to hold in either direction.
const DATAGRAMS: usize = 2 << 20;

/// The identity of a bound listener: a different value needs different sockets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListenKey {
    /// The configured name.
    pub name: Arc<str>,
    /// The address.
    pub bind: SocketAddr,
    /// `[::]` without IPv4, because another listener holds `0.0.0.0` on the same port.
    pub v6_only: bool,
    /// A UDP socket, for HTTP/3.
    pub quic: bool,
}

/// The sockets of one key.
#[derive(Debug)]
pub enum BoundSockets {
    /// Listening ones.
    Tcp(Vec<TcpListener>),
    /// One for each worker.
    Quic(Vec<QuicSocket>),
}

/// An address that cannot be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {bind} ({what}): {problem}")]
pub struct BindError {
    /// The address.
    pub bind: SocketAddr,
    /// The owner: `listener web` or `admin`.
    pub what: String,
    /// The reason, with a hint.
    pub problem: String,
    /// The place in the config.
    pub span: Span,
}

impl BindError {
    fn new(bind: SocketAddr, what: String, error: &io::Error) -> Self {
        let problem = match error.kind() {
            io::ErrorKind::AddrInUse => "the address is taken (another process or listener holds it)".into(),
            io::ErrorKind::PermissionDenied => {
                "not permitted (ports below 1024 need CAP_NET_BIND_SERVICE)".into()
            }
            io::ErrorKind::AddrNotAvailable => "this machine has no such address".into(),
            _ => error.to_string(),
        };
        Self { bind, what, problem, span: Span::default() }
    }

    /// The same as an error of the config.
    #[must_use]
    pub fn as_config_error(&self) -> ConfigError {
        let path = self.what.replace(' ', ".") + ".bind";
        let problem = format!("cannot listen on {}: {}", self.bind, self.problem);
        ConfigError { span: self.span.clone(), path, problem, hint: None }
    }
}

/// The listen keys of a config's listeners.
#[must_use]
pub fn listen_keys(listeners: &[Listener]) -> Vec<ListenKey> {
    let holds_v4 = |port: u16| {
        listeners.iter().any(|other| other.bind.value == SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))
    };
    let listen_key = |listener: &Listener, quic: bool| {
        let bind = listener.bind.value;
        let v6_only = match bind.ip() {
            IpAddr::V6(ip) => !ip.is_unspecified() || holds_v4(bind.port()),
            IpAddr::V4(_) => false,
        };
        ListenKey { name: Arc::from(&*listener.name), bind, v6_only, quic }
    };
    // TCP first: its port is the one of UDP, too, when the kernel chooses it.
    let keys = |listener: &Listener| {
        let tcp = listener.takes_tcp().then(|| listen_key(listener, false));
        tcp.into_iter().chain(listener.http3.then(|| listen_key(listener, true)))
    };
    listeners.iter().flat_map(keys).collect()
}

impl ListenKey {
    /// Whether one connection could come to either address. The kernel refuses one of two such sockets unless they
    /// share.
    fn overlaps(&self, other: &Self) -> bool {
        let covers = |one: &Self, other: &Self| match (one.bind.ip(), other.bind.ip()) {
            (one, other) if one == other => true,
            (IpAddr::V4(ip), IpAddr::V4(_)) => ip.is_unspecified(),
            (IpAddr::V6(ip), IpAddr::V6(_)) => ip.is_unspecified(),
            (IpAddr::V6(ip), IpAddr::V4(_)) => ip.is_unspecified() && !one.v6_only,
            (IpAddr::V4(_), IpAddr::V6(_)) => false,
        };
        self.quic == other.quic
            && self.bind.port() == other.bind.port()
            && (covers(self, other) || covers(other, self))
    }

    fn cannot(&self, error: &io::Error) -> BindError {
        let mut error = BindError::new(self.bind, format!("listener {}", self.name), error);
        if self.quic {
            error.problem.insert_str(0, "over UDP: ");
        }
        error
    }
}

/// Binds `count` sockets at least for each new key, all or none. `held` are the keys that this process has bound already:
/// its own sockets must not be mistaken for another process's, and where they are, no other process can bind. The
/// predecessor's sockets are taken out of `inherited`, all that a key has: each has a queue of its own to be served.
///
/// # Errors
/// The first address that cannot be bound.
pub fn bind_all(
    new: &[ListenKey],
    held: &[ListenKey],
    count: usize,
    inherited: &mut Vec<InheritedSocket>,
) -> Result<Vec<BoundSockets>, BindError> {
    let theirs = inherited.iter().filter_map(InheritedSocket::listen_key);
    let held: Vec<ListenKey> = held.iter().cloned().chain(theirs).collect();
    check_addresses_free(new, &held)?;
    let mut all = Vec::with_capacity(new.len());
    let mut chosen: Option<(&ListenKey, SocketAddr)> = None;
    for key in new {
        let mut bind = key.bind;
        if key.quic {
            if let Some((_, addr)) = chosen.filter(|(tcp, _)| tcp.name == key.name && bind.port() == 0) {
                bind = addr;
            }
            all.push(BoundSockets::Quic(bind_quic(key, bind, count).map_err(|error| key.cannot(&error))?));
            continue;
        }
        let mut sockets = successor::take(inherited, key);
        if let Some(socket) = sockets.first() {
            bind = socket.local_addr().map_err(|error| key.cannot(&error))?;
        }
        while sockets.len() < count {
            let socket = open(bind, key.v6_only, true).map_err(|error| key.cannot(&error))?;
            bind = socket.local_addr().map_err(|error| key.cannot(&error))?;
            sockets.push(socket);
        }
        chosen = Some((key, bind));
        all.push(BoundSockets::Tcp(sockets));
    }
    Ok(all)
}

fn bind_quic(key: &ListenKey, mut bind: SocketAddr, count: usize) -> io::Result<Vec<QuicSocket>> {
    let mut sockets = Vec::with_capacity(count);
    for _ in 0..count {
        let socket = open_udp(bind, key.v6_only, true)?;
        bind = socket.local_addr()?;
        sockets.push(socket);
    }
    Ok(QuicSocket::group(sockets))
}

/// The part of [`bind_all`] that changes nothing, also where this process listens already.
///
/// # Errors
/// The first address that another process holds, or that cannot be bound at all.
pub fn check_addresses_free(new: &[ListenKey], held: &[ListenKey]) -> Result<(), BindError> {
    for key in new {
        if key.bind.port() != 0 && !held.iter().any(|held| held.overlaps(key)) {
            let opened = match key.quic {
                true => open_udp(key.bind, key.v6_only, false).map(drop),
                false => open(key.bind, key.v6_only, false).map(drop),
            };
            opened.map_err(|error| key.cannot(&error))?;
        }
    }
    Ok(())
}

/// Binds the admin server's socket.
///
/// # Errors
/// When the address cannot be bound.
pub fn bind_admin(bind: SocketAddr) -> Result<TcpListener, BindError> {
    open(bind, false, false).map_err(|error| BindError::new(bind, "admin".into(), &error))
}

/// Binds an address for DNS, over UDP and TCP. With `shares`, another socket of ours may hold it at the same time.
///
/// # Errors
/// When it cannot be bound, or another process holds it.
pub fn bind_dns(
    bind: SocketAddr,
    v6_only: bool,
    shares: bool,
) -> Result<(UdpSocket, TcpListener, SocketAddr), BindError> {
    let cannot = |transport: &'static str| {
        move |error: io::Error| {
            let mut error = BindError::new(bind, "dns".into(), &error);
            error.problem.insert_str(0, transport);
            error
        }
    };
    if !shares && bind.port() != 0 {
        open(bind, v6_only, false).map(drop).map_err(cannot("over TCP: "))?;
        open_udp(bind, v6_only, false).map(drop).map_err(cannot("over UDP: "))?;
    }
    let tcp = open(bind, v6_only, true).map_err(cannot("over TCP: "))?;
    // With port 0, the kernel chooses one for TCP.
    let bound = tcp.local_addr().map_err(cannot("over TCP: "))?;
    let udp = open_udp(bound, v6_only, true).map_err(cannot("over UDP: "))?;
    Ok((udp, tcp, bound))
}

fn open(bind: SocketAddr, v6_only: bool, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(bind), Type::STREAM, Some(Protocol::TCP))?;
    if bind.is_ipv6() {
        socket.set_only_v6(v6_only)?;
    }
    // Without this option a restart would have to wait for connections in TIME_WAIT.
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&bind.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// A UDP socket. No `SO_REUSEADDR`: for UDP it lets any process take a part of the datagrams.
fn open_udp(bind: SocketAddr, v6_only: bool, shared: bool) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(bind), Type::DGRAM, Some(Protocol::UDP))?;
    if bind.is_ipv6() {
        socket.set_only_v6(v6_only)?;
    }
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    // The kernel grants what its limits allow; with less, bursts lose datagrams, which are sent again.
    let _ = (socket.set_recv_buffer_size(DATAGRAMS), socket.set_send_buffer_size(DATAGRAMS));
    socket.bind(&bind.into())?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen_key(bind: &str) -> ListenKey {
        ListenKey { name: "web".into(), bind: bind.parse().unwrap(), v6_only: false, quic: false }
    }

    #[test]
    fn each_worker_has_its_own_socket_on_the_same_address() {
        let bound = bind_all(&[listen_key("127.0.0.1:0")], &[], 3, &mut vec![]).unwrap();
        let [BoundSockets::Tcp(bound)] = &bound[..] else { panic!() };
        let addresses: Vec<SocketAddr> = bound.iter().map(|socket| socket.local_addr().unwrap()).collect();
        assert_eq!(addresses.len(), 3);
        assert!(addresses.iter().all(|address| *address == addresses[0]));
    }

    #[test]
    fn udp_stands_on_the_port_that_the_kernel_chose_for_tcp() {
        let tcp = listen_key("127.0.0.1:0");
        let quic = ListenKey { quic: true, ..tcp.clone() };
        let bound = bind_all(&[tcp, quic], &[], 2, &mut vec![]).unwrap();
        let [BoundSockets::Tcp(tcp), BoundSockets::Quic(quic)] = &bound[..] else { panic!() };
        let port = tcp[0].local_addr().unwrap();
        assert!(quic.iter().all(|one| one.socket.local_addr().unwrap() == port) && quic.len() == 2);
        let wanted = ListenKey { quic: true, ..listen_key(&port.to_string()) };
        let error = bind_all(&[wanted], &[], 1, &mut vec![]).unwrap_err();
        assert!(error.to_string().contains("over UDP"), "{error}");
    }

    #[test]
    fn an_address_that_another_process_shares_is_still_taken() {
        let other = open("127.0.0.1:0".parse().unwrap(), false, true).unwrap();
        let wanted = listen_key(&other.local_addr().unwrap().to_string());
        let error = bind_all(std::slice::from_ref(&wanted), &[], 1, &mut vec![]).unwrap_err();
        assert!(error.to_string().contains("taken"), "{error}");
        assert!(
            bind_all(std::slice::from_ref(&wanted), std::slice::from_ref(&wanted), 1, &mut vec![]).is_ok(),
            "our own sockets do not count as taken"
        );
    }

    #[test]
    fn our_own_port_on_another_address_does_not_hide_another_process() {
        let other = open("127.0.0.1:0".parse().unwrap(), false, true).unwrap();
        let port = other.local_addr().unwrap().port();
        let ours = listen_key(&format!("127.0.0.2:{port}"));
        let _held = bind_all(std::slice::from_ref(&ours), &[], 1, &mut vec![]).unwrap();
        let wanted = listen_key(&format!("127.0.0.1:{port}"));
        let error = bind_all(&[wanted], &[ours], 1, &mut vec![]).unwrap_err();
        assert!(error.to_string().contains("taken"), "{error}");
    }

    #[test]
    fn addresses_overlap_where_one_connection_could_come_to_either() {
        let check = |one: &str, other: &str, expected: bool| {
            // `[::]` serves both families unless `v6_only` is set.
            let listen_key = |text: &str| match text.strip_suffix(" only") {
                Some(bind) => ListenKey { v6_only: true, ..listen_key(bind) },
                None => listen_key(text),
            };
            let (one, other) = (listen_key(one), listen_key(other));
            assert_eq!(one.overlaps(&other), expected, "{one:?} {other:?}");
            assert_eq!(other.overlaps(&one), expected, "{other:?} {one:?}");
        };
        check("127.0.0.1:80", "127.0.0.1:80", true);
        check("127.0.0.1:80", "127.0.0.1:81", false);
        check("127.0.0.1:80", "127.0.0.2:80", false);
        check("127.0.0.1:80", "0.0.0.0:80", true);
        check("127.0.0.1:80", "[::]:80", true);
        check("0.0.0.0:80", "[::]:80", true);
        check("127.0.0.1:80", "[::]:80 only", false);
        check("0.0.0.0:80", "[::]:80 only", false);
        check("0.0.0.0:80", "[::1]:80 only", false);
        check("[::1]:80 only", "[::]:80", true);
        check("[::1]:80 only", "[::]:80 only", true);
    }

    #[test]
    fn an_address_of_another_machine_is_one_clear_line() {
        let error = bind_all(&[listen_key("192.0.2.1:80")], &[], 1, &mut vec![]).unwrap_err();
        assert_eq!(error.to_string().lines().count(), 1);
        assert_eq!(error.as_config_error().path, "listener.web.bind");
    }
}
