//! One endpoint of a region, as a process that can be killed, stopped and told how to misbehave. Every request is
//! written to a file before it is answered, so that the record of arrivals survives `kill -9`. A relay in front of the
//! endpoint simulates the distance to the region. The process ends with its parent, or when stdin ends.

use std::{
    cell::{Cell, RefCell},
    convert::Infallible,
    fs::File,
    io::{BufRead, Write},
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body, Frame, Incoming, SizeHint},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use thalweg_testkit::{Relay, Weather};
use thalweg_tests::{
    clock::now_us,
    mood::{Health, Mood},
    scene::SERVED,
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
    task::{LocalSet, spawn_local},
    time::Sleep,
};

/// How long a stopping endpoint waits for its answers in flight.
const GRACE: Duration = Duration::from_secs(3);

struct Args {
    name: String,
    bind: SocketAddr,
    log: File,
    distance: Duration,
}

/// The state that all connections share.
struct Region {
    name: String,
    log: RefCell<File>,
    mood: Cell<Mood>,
    served: Cell<u64>,
    open: Cell<u64>,
}

fn main() -> Result<()> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    let args = args()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, serve(args))
}

fn args() -> Result<Args> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [name, bind, log, distance_ms] = words.as_slice() else {
        bail!("usage: chaos-region NAME ADDRESS LOG DISTANCE_MS")
    };
    let log = File::options().create(true).append(true).open(log).context("the log cannot be opened")?;
    let distance = Duration::from_millis(distance_ms.parse()?);
    Ok(Args { name: name.clone(), bind: bind.parse()?, log, distance })
}

async fn serve(args: Args) -> Result<()> {
    let region = Rc::new(Region {
        name: args.name,
        log: RefCell::new(args.log),
        mood: Cell::default(),
        served: Cell::new(0),
        open: Cell::new(0),
    });
    let inner = TcpListener::bind("127.0.0.1:0").await?;
    let relay = Relay::to(inner.local_addr()?);
    relay.weather(weather(&Mood::default(), args.distance));
    let public = TcpListener::bind(args.bind).await.context("the address cannot be bound")?;
    let (stopping, stopped) = watch::channel(false);
    spawn_local(accept(inner, Rc::clone(&region), stopped));
    let way = relay.clone();
    let carrying = spawn_local(async move { way.carry(public).await });
    let mut term = signal(SignalKind::terminate())?;
    let mut told = orders();
    loop {
        tokio::select! {
            _ = term.recv() => break,
            line = told.recv() => {
                let Some(line) = line else { return Ok(()) };
                let mood: Mood = line.parse().map_err(anyhow::Error::msg)?;
                relay.weather(weather(&mood, args.distance));
                region.mood.set(mood);
            }
        }
    }
    carrying.abort();
    let _nobody_left_is_fine = stopping.send(true);
    let began = tokio::time::Instant::now();
    while region.open.get() > 0 && began.elapsed() < GRACE {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // The last bytes are still on their way through the relay.
    tokio::time::sleep(args.distance * 2 + Duration::from_millis(20)).await;
    Ok(())
}

fn weather(mood: &Mood, distance: Duration) -> Weather {
    Weather {
        delay: distance / 2,
        loss: mood.loss as f64 / 100.0,
        reset_after: mood.reset_after,
        ..Weather::default()
    }
}

/// The lines of stdin; a thread of its own, because reading it blocks.
fn orders() -> mpsc::UnboundedReceiver<String> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

async fn accept(listener: TcpListener, region: Rc<Region>, stopped: watch::Receiver<bool>) {
    let mut nth = 0_u64;
    while let Ok((tcp, _)) = listener.accept().await {
        nth += 1;
        let _slower_is_fine = tcp.set_nodelay(true);
        region.open.set(region.open.get() + 1);
        let (region, mut stopped) = (Rc::clone(&region), stopped.clone());
        spawn_local(async move {
            let ours = Rc::clone(&region);
            // The arrival is recorded before the answer's future exists, because a disconnect can drop that future.
            let service = service_fn(move |request| {
                note(&ours, &request, nth);
                answer(Rc::clone(&ours), request)
            });
            let http = hyper::server::conn::http1::Builder::new();
            let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(tcp), service));
            tokio::select! {
                _ = connection.as_mut() => {}
                _ = stopped.wait_for(|stopped| *stopped) => {
                    connection.as_mut().graceful_shutdown();
                    let _ends_either_way = connection.await;
                }
            }
            region.open.set(region.open.get() - 1);
        });
    }
}

fn id(request: &Request<Incoming>) -> String {
    request.headers().get("x-request-id").and_then(|id| id.to_str().ok()).unwrap_or("-").to_owned()
}

/// One write per request, so that lines of a killed process are whole or absent.
fn note(region: &Region, request: &Request<Incoming>, nth: u64) {
    if request.uri().path() != "/health" {
        let line = format!("{} {nth} {} {}\n", now_us(), request.method(), id(request));
        region.log.borrow_mut().write_all(line.as_bytes()).expect("the log can be written");
    }
}

async fn answer(region: Rc<Region>, request: Request<Incoming>) -> Result<Response<Answer>, Infallible> {
    let mood = region.mood.get();
    if request.uri().path() == "/health" {
        return Ok(health(&mood).await);
    }
    let id = id(&request);
    let served = region.served.get();
    region.served.set(served + 1);
    let post = request.method() == Method::POST;
    let size: Option<usize> = request.uri().path().strip_prefix("/bytes/").and_then(|size| size.parse().ok());
    let sent = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    if mood.slow_ms > 0 {
        tokio::time::sleep(Duration::from_millis(mood.slow_ms)).await;
    }
    let broken = (served + 1) * mood.errors / 100 > served * mood.errors / 100;
    let data = match size {
        _ if broken => Bytes::from_static(b"broken"),
        Some(size) => Bytes::from(vec![b'x'; size]),
        None if post => sent,
        None => Bytes::from_static(SERVED.as_bytes()),
    };
    let status = if broken { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let answer = Response::builder().status(status).header("x-endpoint", &region.name).header("x-for", id);
    Ok(answer.body(Answer::new(data, mood.loris_ms)).expect("our own answer is valid"))
}

async fn health(mood: &Mood) -> Response<Answer> {
    let (status, body) = match mood.health {
        Health::Ok => (StatusCode::OK, "{\"status\":\"ok\"}"),
        Health::Fail => (StatusCode::SERVICE_UNAVAILABLE, "{\"status\":\"unhealthy\"}"),
        Health::Hang => std::future::pending().await,
    };
    let answer = Response::builder().status(status).header("content-type", "application/json");
    answer.body(Answer::new(Bytes::from_static(body.as_bytes()), 0)).expect("our own answer is valid")
}

/// A body that comes at once, or in ten pieces with a gap before each.
struct Answer {
    left: Bytes,
    piece: usize,
    gap: Duration,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Answer {
    fn new(data: Bytes, gap_ms: u64) -> Self {
        let gap = Duration::from_millis(gap_ms);
        let piece = if gap.is_zero() { data.len() } else { data.len().div_ceil(10) };
        Self { left: data, piece, gap, pause: None }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left.is_empty() {
            return Poll::Ready(None);
        }
        if !self.gap.is_zero() {
            let gap = self.gap;
            let pause = self.pause.get_or_insert_with(|| Box::pin(tokio::time::sleep(gap)));
            std::task::ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        let take = self.piece.min(self.left.len());
        Poll::Ready(Some(Ok(Frame::data(self.left.split_to(take)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left.len() as u64)
    }
}
