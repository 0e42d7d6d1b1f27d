//! Queries on connections (RFC 7766): any number one after the other, each with its length in front. Connections are
//! bounded in number, also per client, and end when they are silent.

use std::{cell::RefCell, collections::HashMap, io, net::IpAddr, rc::Rc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::spawn_local,
    time::{sleep, timeout},
};

use super::{
    responder::{DnsReply, Responder},
    result::DnsTransport,
};

/// Longest wait for a query, for the rest of it, and for the client to take an answer.
const IDLE: Duration = Duration::from_secs(10);
/// Longest query.
const LONGEST: usize = 4096;
/// Most connections.
const MOST: usize = 256;
/// Most connections of one client.
const MOST_OF_CLIENT: usize = 16;
/// Pause after an error of the listening socket.
const PAUSE: Duration = Duration::from_millis(50);

/// Open connections by client.
#[derive(Debug, Default)]
pub(super) struct DnsConnections(RefCell<HashMap<IpAddr, usize>>);

/// The place of one connection.
struct DnsPlace(Rc<DnsConnections>, IpAddr);

impl DnsConnections {
    fn take(self: &Rc<Self>, client: IpAddr) -> Option<DnsPlace> {
        let mut open = self.0.borrow_mut();
        let of_client = open.get(&client).copied().unwrap_or(0);
        if of_client >= MOST_OF_CLIENT || open.values().sum::<usize>() >= MOST {
            return None;
        }
        open.insert(client, of_client + 1);
        Some(DnsPlace(Rc::clone(self), client))
    }
}

impl Drop for DnsPlace {
    fn drop(&mut self) {
        let mut open = self.0.0.borrow_mut();
        match open.get_mut(&self.1) {
            Some(count) if *count > 1 => *count -= 1,
            _ => _ = open.remove(&self.1),
        }
    }
}

/// Accepts until the task is dropped. Connections end by themselves.
pub(super) async fn serve(listener: TcpListener, responder: Rc<Responder>, open: Rc<DnsConnections>) {
    loop {
        match listener.accept().await {
            Ok((stream, client)) => {
                let client = client.ip().to_canonical();
                if let Some(place) = open.take(client) {
                    let responder = Rc::clone(&responder);
                    spawn_local(async move {
                        let _place = place;
                        // How a connection ends is the client's affair.
                        let _ = converse(stream, &responder, client).await;
                    });
                }
            }
            Err(error) => {
                tracing::debug!(%error, "a connection could not be accepted");
                sleep(PAUSE).await;
            }
        }
    }
}

async fn converse(mut stream: TcpStream, responder: &Responder, client: IpAddr) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut query = Vec::new();
    loop {
        let read = async {
            let length = usize::from(stream.read_u16().await?);
            if length > LONGEST {
                return Err(io::ErrorKind::InvalidData.into());
            }
            query.resize(length, 0);
            stream.read_exact(&mut query).await.map(drop)
        };
        timeout(IDLE, read).await??;
        let DnsReply::Send(answer) = responder.reply(&query, client, DnsTransport::Tcp) else {
            return Ok(());
        };
        let length = u16::try_from(answer.len()).map_err(io::Error::other)?;
        let framed = [&length.to_be_bytes()[..], &answer].concat();
        timeout(IDLE, stream.write_all(&framed)).await??;
    }
}
