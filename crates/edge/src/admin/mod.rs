//! The admin server: HTTP/1.1 on the control thread, behind a tower stack that sheds load above its limits. Never on
//! the request path; a slow client of it delays no one else.

mod auth;
mod calls;
mod dns;
mod exposition;
mod cookie;
mod failback;
mod fleet_orders;
mod geo;
mod process;
mod reply;
mod explain;
mod orders;
mod reloads;
mod requests;
mod plan;
mod returns;
mod page;
mod routes;
mod status;
mod stream;
mod tls;
mod upgrade;

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use http::{Request, Response, StatusCode};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::{JoinHandle, spawn_local},
    time::sleep,
};
use tower::{BoxError, ServiceBuilder, ServiceExt};

pub use explain::{ExplainBasis, ExplainRequest, answer, offline};
use reply::{Body, refuse};

pub use exposition::render;

use crate::control::state::Control;

/// Connections at the same time.
const CONNECTIONS: usize = 256;
/// Requests that are answered at the same time; further requests are shed.
const AT_ONCE: usize = 32;
/// Longest time to an answer.
const ANSWER: Duration = Duration::from_secs(30);
/// Longest time to a request's head, and longest pause between two requests.
const HEAD: Duration = Duration::from_secs(30);

/// How often the kernel asks a silent client whether it is still there (TCP keep-alive).
const ASK: Duration = Duration::from_secs(15);
/// A client whose kernel has not answered for this long is gone.
const GONE: Duration = Duration::from_secs(60);

/// Serves operators until the task is dropped.
pub async fn run(control: Rc<Control>, socket: Rc<TcpListener>) {
    let _publisher = AbortOnDrop(spawn_local(stream::publish(Rc::clone(&control))));
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    // If the address is unknown, no page counts as the admin server's own.
    let bind = socket.local_addr().map_or(IpAddr::V4(Ipv4Addr::BROADCAST), |local| local.ip());
    let stack = {
        let control = Rc::clone(&control);
        let inner = tower::service_fn(move |(client, request): (SocketAddr, Request<Incoming>)| {
            let control = Rc::clone(&control);
            async move {
                let mut response = routes::answer(&control, bind, client, request).await;
                if control.upgrades.is_over() {
                    // The next question is for the successor, which a new connection leads to.
                    let close = http::HeaderValue::from_static("close");
                    response.headers_mut().insert(http::header::CONNECTION, close);
                }
                Ok::<_, Infallible>(response)
            }
        });
        ServiceBuilder::new().load_shed().concurrency_limit(AT_ONCE).timeout(ANSWER).service(inner)
    };
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        let (stream, client) = match socket.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, or the client went away: neither is cured by an immediate retry.
                tracing::debug!(%error, "admin connection not accepted");
                sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        detect_vanished(&stream);
        let stack = stack.clone();
        let service = service_fn(move |request| {
            let answered = stack.clone().oneshot((client, request));
            async move { Ok::<_, Infallible>(answered.await.unwrap_or_else(|error| shed(&error))) }
        });
        spawn_local(async move {
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(64 << 10);
            let served = builder.serve_connection(TokioIo::new(stream), service).await;
            if let Err(error) = served {
                tracing::debug!(%client, %error, "admin connection ended");
            }
            drop(permit);
        });
    }
}

/// A task that ends with its owner.
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Lets the kernel detect vanished clients. A follower of the events may be silent for days, but a vanished one must
/// not keep its place.
fn detect_vanished(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    // If the options cannot be set, the socket is already dead, which its first read finds out.
    let _ = socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(ASK).with_interval(ASK));
    let _ = socket.set_tcp_user_timeout(Some(GONE));
}

fn shed(error: &BoxError) -> Response<Body> {
    if error.is::<tower::load_shed::error::Overloaded>() {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "overloaded", "too many requests at once");
    }
    refuse(StatusCode::GATEWAY_TIMEOUT, "timeout", "no answer in time; what was asked for may still happen")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_kernel_asks_a_silent_client_whether_it_is_still_there() {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = TcpStream::connect(socket.local_addr().unwrap()).await.unwrap();
        let (stream, _) = socket.accept().await.unwrap();
        detect_vanished(&stream);
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().unwrap());
        assert_eq!(
            (socket.tcp_keepalive_time().unwrap(), socket.tcp_keepalive_interval().unwrap()),
            (ASK, ASK)
        );
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(GONE));
    }
}
