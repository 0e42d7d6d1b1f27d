//! Connections, each with one request: what a connection costs with and without a PROXY header in front, and a TLS 1.3
//! handshake with the key exchange that is asked for. Counts what was negotiated; never reuses a connection.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::{default_provider, kx_group};
use rustls::pki_types::ServerName;
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

use crate::lane::{AnyCertificate, Io};

/// The connections to make.
#[derive(Clone)]
pub struct ConnectsPlan {
    pub address: SocketAddr,
    pub host: String,
    pub duration: Duration,
    pub lanes: u8,
    /// A PROXY header (version 2) comes first.
    pub proxy_header: bool,
    pub tls: Option<TlsConnector>,
}

/// The results.
#[derive(Default, Serialize)]
pub struct Connected {
    pub connections: u64,
    pub errors: u64,
    pub first_error: Option<String>,
    /// TLS handshakes by key exchange.
    pub groups: BTreeMap<String, u64>,
}

/// A TLS 1.3 client that offers one key exchange and resumes nothing: `x25519` or `hybrid` (X25519MLKEM768).
pub fn key_exchange(name: &str) -> Result<TlsConnector> {
    let mut provider = default_provider();
    provider.kx_groups = vec![match name {
        "x25519" => kx_group::X25519,
        "hybrid" => kx_group::X25519MLKEM768,
        other => bail!("unknown key exchange {other:?}"),
    }];
    let provider = Arc::new(provider);
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Makes connections until the time is over.
pub async fn run(plan: ConnectsPlan) -> Result<Connected> {
    let until = Instant::now() + plan.duration;
    let seen = Arc::new(Mutex::new(Connected::default()));
    let lanes: Vec<_> = (0..plan.lanes)
        .map(|lane| {
            let (plan, seen) = (plan.clone(), Arc::clone(&seen));
            tokio::spawn(async move {
                while Instant::now() < until {
                    let done = connection(&plan, lane).await;
                    let failed = done.is_err();
                    if let Ok(mut seen) = seen.lock() {
                        seen.note(done);
                    }
                    if failed {
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
            })
        })
        .collect();
    for lane in lanes {
        lane.await?;
    }
    let mut seen = seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    Ok(std::mem::take(&mut *seen))
}

impl Connected {
    fn note(&mut self, done: Result<Option<String>>) {
        match done {
            Ok(group) => {
                self.connections += 1;
                if let Some(group) = group {
                    *self.groups.entry(group).or_default() += 1;
                }
            }
            Err(error) => {
                self.errors += 1;
                self.first_error.get_or_insert_with(|| format!("{error:#}"));
            }
        }
    }
}

/// One connection; the key exchange of its handshake, if it has one.
async fn connection(plan: &ConnectsPlan, lane: u8) -> Result<Option<String>> {
    let tcp = connect(plan.address, lane).await?;
    let mut first = if plan.proxy_header { proxy_header(plan.address) } else { Vec::new() };
    let ask = format!("GET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", plan.host).into_bytes();
    let Some(tls) = &plan.tls else {
        first.extend(ask);
        exchange(Box::new(tcp), &first).await?;
        return Ok(None);
    };
    let mut tcp = tcp;
    tcp.write_all(&first).await?;
    let stream = tls.connect(ServerName::try_from(plan.host.clone())?, tcp).await.context("TLS handshake")?;
    let group = stream.get_ref().1.negotiated_key_exchange_group().map(|group| format!("{:?}", group.name()));
    exchange(Box::new(stream), &ask).await?;
    Ok(group)
}

/// A connection from an address of the lane's own: closed connections keep their ports for a minute.
pub(crate) async fn connect(address: SocketAddr, lane: u8) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, lane.saturating_add(2))), 0))?;
    let tcp = socket.connect(address).await.context("connect")?;
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

async fn exchange(mut io: Box<dyn Io>, ask: &[u8]) -> Result<()> {
    io.write_all(ask).await?;
    let mut answer = Vec::new();
    // A close without a closing alert is the end as well.
    let read = io.read_to_end(&mut answer).await;
    ensure!(answer.starts_with(b"HTTP/1.1 2"), "answered {:?}, {read:?}", String::from_utf8_lossy(&answer));
    Ok(())
}

/// A header of version 2: a client of documentation (RFC 5737) by TCP over IPv4.
fn proxy_header(to: SocketAddr) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\x7f\0\0\x01\xd4\x31".to_vec();
    header.extend(to.port().to_be_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::proxy_header;

    #[test]
    fn a_header_is_as_long_as_it_says() {
        let header = proxy_header("127.0.0.1:443".parse().unwrap());
        assert_eq!(header.len(), 16 + usize::from(u16::from_be_bytes([header[14], header[15]])));
    }
}
