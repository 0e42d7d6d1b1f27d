//! An edge whose listeners differ in what they demand of clients, and clients that show certificates.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use rustls::{ClientConfig, ClientConnection, HandshakeKind, StreamOwned, SupportedProtocolVersion};
use thalweg_testkit::{Authority, Conf, Edge, Endpoint, Leaf, client_config, client_config_as};

pub const LONG: (i32, i32) = (2020, 2100);
pub const SOON: Duration = Duration::from_secs(10);

/// The site's authority, that of its clients, and an edge that demands (`secure`, `second`), accepts (`open`) or ignores (`any`)
/// their certificates, or speaks no TLS (`web`).
pub struct Site {
    pub root: Authority,
    pub clients: Authority,
    pub edge: Edge,
    pub endpoint: Endpoint,
    pub conf: Conf,
}

impl Site {
    pub fn start(lines: &str) -> Self {
        let (root, clients, endpoint) =
            (Authority::new("root"), Authority::new("clients"), Endpoint::start("a"));
        let leaf = root.leaf(&["a.test"]);
        let mut conf = Conf::simple("failover", &[endpoint.addr()])
            .edge("workers = 2")
            .file("a.crt", &leaf.cert_pem)
            .file("a.key", &leaf.key_pem)
            .file("clients.pem", &clients.pem)
            .file("clients.crl", clients.revocation_list(66));
        for (name, more) in [
            ("secure", format!("client_ca = \"clients.pem\"\n{lines}")),
            ("open", format!("client_ca = \"clients.pem\"\nclient_auth = \"optional\"\n{lines}")),
            ("second", format!("client_ca = \"clients.pem\"\n{lines}")),
            ("any", String::new()),
        ] {
            let pair = "{ cert = \"a.crt\", key = \"a.key\" }";
            conf = conf.listener(name, &format!("[listener.tls]\ncertificates = [{pair}]\n{more}"));
        }
        let edge = Edge::start(&conf);
        edge.until_up(1);
        Self { root, clients, edge, endpoint, conf }
    }

    pub fn without(&self, versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
        client_config(&self.root, &["http/1.1"], versions)
    }

    pub fn with(&self, leaf: &Leaf, versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
        client_config_as(&self.root, leaf, &["http/1.1"], versions)
    }

    pub fn failures(&self, listener: &str, reason: &str) -> f64 {
        let labels = [("listener", listener), ("reason", reason)];
        self.edge.metric("thalweg_tls_handshake_failures_total", &labels)
    }
}

/// One request on a connection of its own: how the handshake went, and the status of the answer.
pub fn ask(
    addr: SocketAddr,
    config: &Arc<ClientConfig>,
    lines: &str,
) -> Result<(HandshakeKind, u16), String> {
    let tcp = TcpStream::connect(addr).map_err(|error| error.to_string())?;
    tcp.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout can be set");
    let name = "a.test".try_into().expect("a name");
    let tls = ClientConnection::new(Arc::clone(config), name).map_err(|error| error.to_string())?;
    let mut stream = StreamOwned::new(tls, tcp);
    let request = format!("GET / HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n{lines}\r\n");
    stream.write_all(request.as_bytes()).map_err(|error| error.to_string())?;
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let text = String::from_utf8_lossy(&answer);
    let status = text.split(' ').nth(1).and_then(|word| word.parse().ok());
    match (status, stream.conn.handshake_kind()) {
        (Some(status), Some(kind)) => Ok((kind, status)),
        (_, kind) => {
            let error = read.err().map_or_else(|| "no answer".into(), |error| error.to_string());
            Err(format!("{kind:?}: {error}"))
        }
    }
}
