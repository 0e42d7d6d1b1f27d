//! Ports that the kernel chooses; no port is fixed.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Mutex,
};

use tokio::net::TcpSocket;

/// A port that was free a moment ago, for a process that binds it itself; never the same one twice in this process.
///
/// Another process may take it before it is bound, so launchers try again after a clash.
pub fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let listener =
            std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("the kernel has a free port");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        if crate::lock(&GIVEN).insert(port) {
            return port;
        }
    }
}

/// A port that stays reserved without a listener: a connect is refused, and a listener can come and go.
///
/// The socket is bound but never listens; `SO_REUSEADDR` on both sides lets the real listener bind beside it.
#[derive(Debug)]
pub struct Reserved {
    _socket: TcpSocket,
    addr: SocketAddr,
}

impl Reserved {
    /// Reserves a port on 127.0.0.1.
    pub fn new() -> Self {
        Self::on(IpAddr::V4(Ipv4Addr::LOCALHOST))
    }

    /// Reserves a port on this address.
    pub fn on(ip: IpAddr) -> Self {
        Self::at(SocketAddr::new(ip, 0))
    }

    /// Reserves exactly this address (port 0 = any).
    pub fn at(addr: SocketAddr) -> Self {
        let _inside = crate::runtime().enter();
        let socket = open(addr);
        socket.bind(addr).expect("a free port can be bound");
        let addr = socket.local_addr().expect("a bound socket has an address");
        Self { _socket: socket, addr }
    }

    /// What is reserved.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Listens on it, beside the reservation.
    pub(crate) fn listen(&self) -> tokio::net::TcpListener {
        let _inside = crate::runtime().enter();
        let socket = open(self.addr);
        socket.bind(self.addr).expect("a reserved port can be bound");
        socket.listen(1024).expect("a bound socket can listen")
    }
}

impl Default for Reserved {
    fn default() -> Self {
        Self::new()
    }
}

fn open(addr: SocketAddr) -> TcpSocket {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let socket = socket.expect("a socket can be opened");
    socket.set_reuseaddr(true).expect("SO_REUSEADDR can be set");
    socket
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserved_port_refuses_until_a_listener_opens() {
        let port = Reserved::new();
        let refused = std::net::TcpStream::connect(port.addr()).expect_err("no process listens");
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        let listener = port.listen();
        std::net::TcpStream::connect(port.addr()).expect("a listener accepts");
        drop(listener);
        std::net::TcpStream::connect(port.addr()).expect_err("no process listens again");
        let _again = port.listen();
        std::net::TcpStream::connect(port.addr()).expect("and can come back");
    }
}
