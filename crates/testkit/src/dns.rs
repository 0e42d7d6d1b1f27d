//! A fake name server over UDP: A and AAAA, with answers that a scenario switches.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{net::UdpSocket, task::AbortHandle};

use crate::{lock, runtime};

/// The answer for one name.
#[derive(Clone, Debug, PartialEq)]
pub enum Records {
    /// These addresses, with this TTL in seconds; no address of a family = the name exists without such records.
    Addresses(Vec<IpAddr>, u32),
    /// The name does not exist.
    NxDomain,
    /// The server has failed.
    ServFail,
    /// No answer at all.
    Silence,
    /// One answer for A, another for AAAA.
    Split(Box<Records>, Box<Records>),
}

/// The server.
#[derive(Debug)]
pub struct Dns {
    addr: SocketAddr,
    zone: Arc<Mutex<BTreeMap<String, Records>>>,
    queries: Arc<AtomicU64>,
    task: AbortHandle,
}

impl Dns {
    /// Starts one on 127.0.0.1; it knows no name.
    pub fn start() -> Self {
        let socket =
            runtime().block_on(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))).expect("a UDP port is free");
        let addr = socket.local_addr().expect("a bound socket has an address");
        let zone: Arc<Mutex<BTreeMap<String, Records>>> = Arc::default();
        let queries: Arc<AtomicU64> = Arc::default();
        let (ours, counted) = (Arc::clone(&zone), Arc::clone(&queries));
        let task = runtime().spawn(async move {
            let mut packet = [0_u8; 2048];
            while let Ok((length, from)) = socket.recv_from(&mut packet).await {
                counted.fetch_add(1, Ordering::SeqCst);
                let reply = answer(&packet[..length], &lock(&ours));
                if let Some(reply) = reply {
                    let _lost_is_fine = socket.send_to(&reply, from).await;
                }
            }
        });
        Self { addr, zone, queries, task: task.abort_handle() }
    }

    /// Its address.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Sets the answer for this name from now on.
    pub fn set(&self, name: &str, records: Records) {
        lock(&self.zone).insert(name.trim_end_matches('.').to_lowercase(), records);
    }

    /// The number of questions that arrived.
    pub fn queries(&self) -> u64 {
        self.queries.load(Ordering::SeqCst)
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The reply to one packet, or none.
fn answer(packet: &[u8], zone: &BTreeMap<String, Records>) -> Option<Vec<u8>> {
    let (name, end) = question(packet)?;
    let kind = u16::from_be_bytes([*packet.get(end)?, *packet.get(end + 1)?]);
    let records = match zone.get(&name).cloned().unwrap_or(Records::NxDomain) {
        Records::Split(a, aaaa) => *if kind == 28 { aaaa } else { a },
        same => same,
    };
    let (code, addresses, ttl) = match records {
        // One split is enough for two families.
        Records::Silence | Records::Split(..) => return None,
        Records::NxDomain => (3, Vec::new(), 0),
        Records::ServFail => (2, Vec::new(), 0),
        Records::Addresses(addresses, ttl) => (0, addresses, ttl),
    };
    let wanted: Vec<IpAddr> = addresses
        .into_iter()
        .filter(|ip| (kind == 1 && ip.is_ipv4()) || (kind == 28 && ip.is_ipv6()))
        .collect();
    let mut reply = packet.get(..2)?.to_vec();
    reply.extend_from_slice(&[0x85, 0x80 | code, 0, 1]);
    reply.extend_from_slice(&u16::try_from(wanted.len()).ok()?.to_be_bytes());
    reply.extend_from_slice(&[0, 0, 0, 0]);
    reply.extend_from_slice(packet.get(12..end + 4)?);
    for ip in wanted {
        reply.extend_from_slice(&[0xc0, 12]);
        reply.extend_from_slice(&kind.to_be_bytes());
        reply.extend_from_slice(&[0, 1]);
        reply.extend_from_slice(&ttl.to_be_bytes());
        match ip {
            IpAddr::V4(v4) => {
                reply.extend_from_slice(&[0, 4]);
                reply.extend_from_slice(&v4.octets());
            }
            IpAddr::V6(v6) => {
                reply.extend_from_slice(&[0, 16]);
                reply.extend_from_slice(&v6.octets());
            }
        }
    }
    Some(reply)
}

/// The name asked for, and where its type stands.
fn question(packet: &[u8]) -> Option<(String, usize)> {
    let mut at = 12;
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*packet.get(at)?);
        if length == 0 {
            return Some((labels.join("."), at + 1));
        }
        let label = packet.get(at + 1..at + 1 + length)?;
        labels.push(String::from_utf8_lossy(label).to_lowercase());
        at += 1 + length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(name: &str, kind: u16) -> Vec<u8> {
        let mut packet = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            packet.push(u8::try_from(label.len()).expect("labels are short"));
            packet.extend_from_slice(label.as_bytes());
        }
        packet.push(0);
        packet.extend_from_slice(&kind.to_be_bytes());
        packet.extend_from_slice(&[0, 1]);
        packet
    }

    #[test]
    fn the_server_answers_with_the_given_records() {
        let dns = Dns::start();
        dns.set("a.test", Records::Addresses(vec!["127.0.0.1".parse().expect("an address")], 7));
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a UDP port");
        socket.set_read_timeout(Some(std::time::Duration::from_secs(5))).expect("a timeout");
        let mut reply = [0_u8; 512];
        socket.send_to(&query("a.test", 1), dns.addr()).expect("sent");
        let length = socket.recv(&mut reply).expect("an answer");
        assert_eq!(&reply[..2], &[0xab, 0xcd]);
        assert_eq!(reply[3] & 0x0f, 0);
        assert_eq!(&reply[length - 4..length], &[127, 0, 0, 1]);
        socket.send_to(&query("b.test", 1), dns.addr()).expect("sent");
        socket.recv(&mut reply).expect("an answer");
        assert_eq!(reply[3] & 0x0f, 3);
        assert_eq!(dns.queries(), 2);
    }
}
