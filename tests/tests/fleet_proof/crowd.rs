//! Clients behind both routers: each sends a GET on a new connection, again and again, to the one address. A GET whose
//! connection broke is sent once more, as browsers do; what then fails has failed.

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use thalweg_testkit::eventually;

use crate::network::{ADDRESS, Network, Space};

/// Clients behind each router.
const EACH: usize = 2;
/// Between two requests of a client.
const PAUSE: Duration = Duration::from_millis(5);
/// Longest wait for a connection and for each part of an answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// What became of the requests of a while.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests.
    pub sent: usize,
    /// Those that were sent once more, because their connection broke, and then answered.
    pub again: usize,
    /// Those that failed, by the word for it.
    pub failed: BTreeMap<String, usize>,
}

impl Counts {
    /// How many failed.
    pub fn failures(&self) -> usize {
        self.failed.values().sum()
    }

    /// Whether every request was answered at its first try.
    pub fn are_clean(&self) -> bool {
        self.again == 0 && self.failed.is_empty()
    }

    fn since(&self, before: &Self) -> Self {
        let failed = self.failed.iter().filter_map(|(word, count)| {
            let more = count - before.failed.get(word).copied().unwrap_or_default();
            (more > 0).then(|| (word.clone(), more))
        });
        Self { sent: self.sent - before.sent, again: self.again - before.again, failed: failed.collect() }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} requests failed", self.failures(), self.sent)?;
        if self.again > 0 {
            write!(f, ", {} on a broken connection sent once more", self.again)?;
        }
        let words: Vec<String> = self.failed.iter().map(|(word, count)| format!("{word}: {count}")).collect();
        if words.is_empty() { Ok(()) } else { write!(f, " ({})", words.join(", ")) }
    }
}

/// The clients.
#[derive(Debug, Default)]
pub struct Crowd {
    counts: Mutex<Counts>,
    turns: [AtomicUsize; 2 * EACH],
    rests: AtomicBool,
    over: AtomicBool,
}

impl Crowd {
    /// Runs a story while the clients send.
    pub fn run<T>(network: &Network, story: impl FnOnce(&Self) -> T) -> T {
        let crowd = Self::default();
        let spaces = network.clients.iter().flat_map(|space| [space; EACH]);
        thread::scope(|scope| {
            for (space, turn) in spaces.zip(&crowd.turns) {
                scope.spawn(|| crowd.send(space, turn));
            }
            // Clients end also when the story panics.
            let _end = End(&crowd.over);
            story(&crowd)
        })
    }

    /// What became of the requests while something else was done.
    pub fn during<T>(&self, work: impl FnOnce() -> T) -> (T, Counts) {
        let before = self.counts();
        let done = work();
        let turns: Vec<usize> = self.turns.iter().map(|turn| turn.load(Ordering::Acquire)).collect();
        eventually("each client has ended the request that it had begun", Duration::from_secs(20), || {
            self.turns.iter().zip(&turns).all(|(now, then)| now.load(Ordering::Acquire) > then + 1)
        });
        (done, self.counts().since(&before))
    }

    /// No client sends while something else is done.
    pub fn silent<T>(&self, work: impl FnOnce() -> T) -> T {
        self.rests.store(true, Ordering::Release);
        let done = work();
        self.rests.store(false, Ordering::Release);
        done
    }

    fn counts(&self) -> Counts {
        self.counts.lock().expect("no client panics").clone()
    }

    fn send(&self, space: &Space, turn: &AtomicUsize) {
        space.enter();
        while !self.over.load(Ordering::Acquire) {
            thread::sleep(PAUSE);
            if self.rests.load(Ordering::Acquire) {
                continue;
            }
            let first = ask();
            let last = if first == Answer::Broken { ask() } else { first.clone() };
            let mut counts = self.counts.lock().expect("no client panics");
            counts.sent += 1;
            match last {
                Answer::Good => counts.again += usize::from(first != Answer::Good),
                Answer::Broken => *counts.failed.entry("broken twice".into()).or_default() += 1,
                Answer::Bad(word) => *counts.failed.entry(word).or_default() += 1,
            }
            drop(counts);
            turn.fetch_add(1, Ordering::AcqRel);
        }
    }
}

struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    Good,
    /// The connection was refused or reset, or ended early.
    Broken,
    Bad(String),
}

fn ask() -> Answer {
    match exchange() {
        Ok(answer) if answer.starts_with("HTTP/1.1 200") => Answer::Good,
        Ok(answer) if answer.is_empty() => Answer::Broken,
        Ok(answer) => Answer::Bad(answer.get(9..12).unwrap_or("no HTTP").to_owned()),
        Err(error) => match error.kind() {
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionAborted => Answer::Broken,
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Answer::Bad("no answer in time".into()),
            other => Answer::Bad(other.to_string()),
        },
    }
}

fn exchange() -> io::Result<String> {
    let addr = SocketAddr::new(ADDRESS.into(), 80);
    let mut stream = TcpStream::connect_timeout(&addr, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: proof\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
