//! A TCP relay with delay, jitter, loss, a rate limit, resets and standstills. It simulates the distance to a
//! region where the kernel has no netem. It works on bytes alone and never reads HTTP.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, oneshot},
    time::Instant,
};

use crate::{lock, runtime};

/// The delay of a lost segment: the kernel's smallest retransmission timeout.
const RETRANSMIT: Duration = Duration::from_millis(200);

/// How often a relay checks whether its standstill is over.
const LOOK: Duration = Duration::from_millis(2);

/// The conditions between the two ends, for all bytes that are read from now on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Weather {
    /// One way.
    pub delay: Duration,
    /// The delay of a new connection: its handshake, which the kernel in between answers at once.
    pub connect: Duration,
    /// A random extra delay of up to this much; the order of bytes stays.
    pub jitter: Duration,
    /// This share of pieces is lost once and arrives one retransmission later, as over TCP.
    pub loss: f64,
    /// Bytes per second, each way and connection.
    pub rate: Option<u64>,
    /// A connection is reset once this many bytes of answers went through; 0 = at once.
    pub reset_after: Option<u64>,
    /// No byte moves and none is lost.
    pub still: bool,
}

/// The relay to one endpoint. Connections through it live as long as its runtime.
#[derive(Clone, Debug)]
pub struct Relay {
    to: SocketAddr,
    weather: Arc<Mutex<Weather>>,
    seed: Arc<AtomicU64>,
}

impl Relay {
    /// A relay to this address, without any disturbance.
    pub fn to(to: SocketAddr) -> Self {
        Self { to, weather: Arc::default(), seed: Arc::new(AtomicU64::new(1)) }
    }

    /// Changes the conditions; a `reset_after` ends connections that are past it.
    pub fn weather(&self, weather: Weather) {
        *lock(&self.weather) = weather;
    }

    /// Relays from a new address of loopback for as long as this process lives; returns the address.
    pub fn open(&self) -> SocketAddr {
        self.open_on(Ipv4Addr::LOCALHOST.into())
    }

    /// The same, from a port of this address.
    pub fn open_on(&self, ip: IpAddr) -> SocketAddr {
        let listener = runtime().block_on(TcpListener::bind((ip, 0))).expect("a free port can be bound");
        let addr = listener.local_addr().expect("a bound socket has an address");
        let way = self.clone();
        runtime().spawn(async move { way.carry(listener).await });
        addr
    }

    /// Relays the connections that this listener accepts, until the listener fails or the task is dropped.
    pub async fn carry(&self, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((near, _)) => {
                    let way = self.clone();
                    tokio::spawn(async move {
                        let _ends_with_its_connection = way.connection(near).await;
                    });
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }

    async fn connection(self, near: TcpStream) -> io::Result<()> {
        if lock(&self.weather).reset_after == Some(0) {
            return near.set_zero_linger();
        }
        let connect = lock(&self.weather).connect;
        if connect > Duration::ZERO {
            tokio::time::sleep(connect).await;
        }
        let far = TcpStream::connect(self.to).await?;
        near.set_nodelay(true)?;
        far.set_nodelay(true)?;
        let (near_read, near_write) = near.into_split();
        let (far_read, far_write) = far.into_split();
        let (reset, broken) = oneshot::channel();
        let up = tokio::spawn(self.clone().pump(near_read, far_write, None));
        let down = tokio::spawn(self.clone().pump(far_read, near_write, Some(reset)));
        // Without a reset both directions end by themselves, each with its own half-close.
        if broken.await.is_ok() {
            up.abort();
            down.abort();
        }
        Ok(())
    }

    /// One direction: reads pieces, and hands each to the writer with the moment when it arrives.
    async fn pump(self, mut from: OwnedReadHalf, to: OwnedWriteHalf, reset: Option<oneshot::Sender<()>>) {
        let (pieces, arriving) = mpsc::channel::<(Instant, Vec<u8>)>(64);
        let answers = reset.is_some();
        let writer = tokio::spawn(self.clone().deliver(arriving, to, answers));
        let mut last = Instant::now();
        let mut buf = vec![0; 16 * 1024];
        while let Ok(length) = from.read(&mut buf).await {
            if length == 0 {
                break;
            }
            last = last.max(self.arrival(Instant::now(), length));
            if pieces.send((last, buf[..length].to_vec())).await.is_err() {
                break;
            }
        }
        drop(pieces);
        if matches!(writer.await, Ok(true))
            && let Some(reset) = reset
        {
            let _already_over_is_fine = reset.send(());
        }
    }

    /// The arrival time of a piece that is sent now.
    fn arrival(&self, now: Instant, length: usize) -> Instant {
        let weather = lock(&self.weather).clone();
        let lost = if self.roll() < weather.loss { RETRANSMIT } else { Duration::ZERO };
        let pace = weather
            .rate
            .map_or(Duration::ZERO, |rate| Duration::from_secs_f64(length as f64 / rate.max(1) as f64));
        now + weather.delay + weather.jitter.mul_f64(self.roll()) + lost + pace
    }

    /// Writes pieces when they are due; true = the connection is to be reset.
    async fn deliver(
        self,
        mut pieces: mpsc::Receiver<(Instant, Vec<u8>)>,
        mut to: OwnedWriteHalf,
        answers: bool,
    ) -> bool {
        let mut through = 0_u64;
        while let Some((due, piece)) = pieces.recv().await {
            // The timer's resolution is a millisecond, so a piece that is due at once does not use it.
            if due > Instant::now() {
                tokio::time::sleep_until(due).await;
            }
            while lock(&self.weather).still {
                tokio::time::sleep(LOOK).await;
            }
            if to.write_all(&piece).await.is_err() {
                return false;
            }
            through += piece.len() as u64;
            let over = lock(&self.weather).reset_after.is_some_and(|limit| through >= limit);
            if answers && over {
                let _already_gone_is_fine = to.as_ref().set_zero_linger();
                return true;
            }
        }
        let _already_gone_is_fine = to.shutdown().await;
        false
    }

    /// The next number of a seeded sequence in 0..1 (SplitMix64).
    fn roll(&self) -> f64 {
        let mut z = self.seed.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::{Client, Endpoint, get};

    /// An endpoint behind a relay, and how to reach both.
    fn behind() -> (Endpoint, Relay, SocketAddr) {
        let endpoint = Endpoint::start("far");
        let relay = Relay::to(endpoint.addr());
        let addr = relay.open();
        (endpoint, relay, addr)
    }

    #[test]
    fn a_delay_is_paid_both_ways_and_bytes_stay_whole() {
        let (_endpoint, relay, addr) = behind();
        relay.weather(Weather {
            delay: Duration::from_millis(30),
            jitter: Duration::from_millis(10),
            ..Weather::default()
        });
        let began = Instant::now();
        let reply = get(addr, "/bytes/300000");
        assert_eq!((reply.status, reply.body.len()), (200, 300_000));
        assert!(began.elapsed() >= Duration::from_millis(60), "{:?}", began.elapsed());
    }

    #[test]
    fn a_reset_ends_the_answer_and_a_standstill_only_holds_it() {
        let (_endpoint, relay, addr) = behind();
        relay.weather(Weather { reset_after: Some(1000), ..Weather::default() });
        let gone = Client::connect(addr).ask("GET", "/bytes/500000", "", b"").expect_err("a reset");
        assert!(gone.closed(), "{gone}");
        relay.weather(Weather { still: true, ..Weather::default() });
        let waiting = std::thread::spawn(move || get(addr, "/"));
        std::thread::sleep(Duration::from_millis(150));
        assert!(!waiting.is_finished());
        relay.weather(Weather::default());
        assert_eq!(waiting.join().expect("an answer").status, 200);
    }

    #[test]
    fn a_lost_piece_comes_a_retransmission_later() {
        let (_endpoint, relay, addr) = behind();
        relay.weather(Weather { loss: 1.0, ..Weather::default() });
        let began = Instant::now();
        assert_eq!(get(addr, "/").status, 200);
        assert!(began.elapsed() >= RETRANSMIT * 2, "{:?}", began.elapsed());
    }
}
