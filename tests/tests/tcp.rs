//! Connections that are not HTTP: `tls` has real TLS servers behind the edge, whose TLS passes through, `streams` what holds
//! for bytes in both directions, `clients` those that say nothing, half of it, or nonsense, `operators` what an operator
//! sees and orders.

mod common;
#[path = "tcp/clients.rs"]
mod clients;
#[path = "tcp/operators.rs"]
mod operators;
#[path = "tcp/streams.rs"]
mod streams;
#[path = "tcp/tls.rs"]
mod tls;

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use serde_json::Value;
use thalweg_testkit::{Conf, Edge, eventually, eventually_some, free_port};

const SOON: Duration = Duration::from_secs(10);

/// A listener for what is not HTTP.
const TCP: &str = "protocols = [\"tcp\"]";

/// A server that serves each connection in a thread of its own.
fn server(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let serve = serve.clone();
            thread::spawn(move || serve(client));
        }
    });
    addr
}

/// A server that says its name, then sends back what it reads, and ends when its client has.
fn echo(name: &'static str) -> SocketAddr {
    server(move |mut client| {
        let mut again = client.try_clone().expect("a socket can be shared");
        // Either fails when the client is gone.
        let _ = client.write_all(name.as_bytes());
        let _ = std::io::copy(&mut client, &mut again);
        let _ = again.shutdown(Shutdown::Write);
    })
}

/// An address at which nothing listens.
fn nothing() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], free_port()))
}

/// An edge whose listener `web` passes everything to this route.
fn edge_to(endpoints: &[SocketAddr], route: &str) -> Edge {
    let conf = Conf::new().listener("web", TCP).pool("p", endpoints, "# no probe");
    Edge::start(&conf.route("all", "failover", &["p"], route))
}

fn connect(edge: &Edge) -> TcpStream {
    let stream = TcpStream::connect(edge.web()).expect("the edge accepts");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout can be set");
    stream
}

/// Reads this much text.
fn said(stream: &mut TcpStream, bytes: usize) -> String {
    let mut text = vec![0; bytes];
    stream.read_exact(&mut text).expect("the endpoint speaks");
    String::from_utf8(text).expect("text")
}

/// Reads until the other side ends; an error counts as an end.
fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    rest
}

/// The access log's lines, once there are so many.
fn lines(edge: &Edge, count: usize) -> Vec<Value> {
    eventually("the lines are written", SOON, || edge.access_log().len() >= count);
    edge.access_log()
}

/// The only line of the access log.
fn line(edge: &Edge) -> Value {
    let lines = lines(edge, 1);
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines[0].clone()
}
