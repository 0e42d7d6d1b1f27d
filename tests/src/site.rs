//! One endpoint of a region as the driver holds it: a process on an address that stays its own through kills, and the
//! file in which it wrote what arrived.

use std::{
    fs::{self, File},
    io::Write as _,
    net::{IpAddr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use thalweg_testkit::{Reserved, eventually};

use crate::{mood::Mood, netns::Namespace};

/// Where a site listens.
#[derive(Debug)]
pub enum Place {
    /// On loopback; the port stays reserved while the process is dead, so that a connect is refused.
    Loopback(Reserved),
    /// In a network namespace of its own.
    Apart(Namespace),
}

/// One request as it arrived at a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// When, on the machine's monotonic clock.
    pub at_us: i64,
    /// On which connection of which life of the process.
    pub connection: (usize, u64),
    /// Whether it was a POST.
    pub post: bool,
    /// Its id.
    pub id: String,
}

/// The process and its place.
#[derive(Debug)]
pub struct Site {
    /// `REGION` or `REGION#n`.
    pub name: String,
    place: Place,
    dir: PathBuf,
    distance_ms: u64,
    lives: usize,
    child: Option<Child>,
}

impl Site {
    /// Starts one and waits until it listens.
    pub fn start(name: &str, place: Place, dir: &Path, distance_ms: u64) -> Self {
        let mut site =
            Self { name: name.to_owned(), place, dir: dir.to_owned(), distance_ms, lives: 0, child: None };
        site.revive();
        site
    }

    /// A reserved place on this address of loopback (port 0 = any).
    pub fn loopback(ip: IpAddr, port: u16) -> Place {
        Place::Loopback(Reserved::at(SocketAddr::new(ip, port)))
    }

    /// Its address; the same in every life.
    pub fn addr(&self) -> SocketAddr {
        match &self.place {
            Place::Loopback(reserved) => reserved.addr(),
            Place::Apart(namespace) => namespace.addr(),
        }
    }

    /// The round trip to it.
    pub fn distance_ms(&self) -> u64 {
        self.distance_ms
    }

    /// The region it belongs to.
    pub fn region(&self) -> &str {
        self.name.split('#').next().unwrap_or_default()
    }

    /// Its process id, while it lives.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Starts the process (again), and waits until it listens.
    pub fn revive(&mut self) {
        self.end();
        let mut command = match &self.place {
            Place::Loopback(_) => Command::new(program()),
            Place::Apart(namespace) => namespace.command(&program()),
        };
        let errors = self.dir.join(format!("{}.err", self.name));
        let errors = File::options().create(true).append(true).open(errors).expect("a log can be made");
        let addr = self.addr();
        command
            .arg(&self.name)
            .arg(addr.to_string())
            .arg(self.log(self.lives))
            .arg(self.distance_ms.to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(errors);
        self.child = Some(command.spawn().expect("a region can be started"));
        self.lives += 1;
        eventually(&format!("{} listens", self.name), Duration::from_secs(10), || {
            TcpStream::connect_timeout(&addr, Duration::from_millis(200)).is_ok()
        });
    }

    /// `kill -9`, and waits for the end.
    pub fn kill(&mut self) {
        self.end();
    }

    /// Sends SIGTERM; the process finishes its answers and ends.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends SIGSTOP: the kernel still accepts, no process answers.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Sends SIGCONT.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Drops every packet to it, or none.
    pub fn cut_off(&self, yes: bool) {
        match &self.place {
            Place::Apart(namespace) => namespace.drop_packets(yes),
            Place::Loopback(_) => panic!("{}: packets are dropped in namespaces only", self.name),
        }
    }

    /// Sets its behaviour.
    pub fn tell(&mut self, mood: &Mood) {
        if let Some(stdin) = self.child.as_mut().and_then(|child| child.stdin.as_mut()) {
            writeln!(stdin, "{mood}").and_then(|()| stdin.flush()).expect("a living region can be told");
        }
    }

    /// All arrivals since the first start.
    pub fn arrivals(&self) -> Vec<Arrival> {
        (0..self.lives).flat_map(|life| read(&self.log(life), life)).collect()
    }

    /// Bytes written of that so far.
    pub fn written(&self) -> u64 {
        (0..self.lives).filter_map(|life| fs::metadata(self.log(life)).ok()).map(|file| file.len()).sum()
    }

    fn log(&self, life: usize) -> PathBuf {
        self.dir.join(format!("{}.{life}.log", self.name))
    }

    fn signal(&self, signal: Signal) {
        if let Some(child) = &self.child {
            let _ended_by_itself_is_fine = kill_process(Pid::from_child(child), signal);
        }
    }

    fn end(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ended_already_is_fine = child.kill();
            let _ended_already_is_fine = child.wait();
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.end();
    }
}

/// A kill may cut the last line: such a line is ignored.
fn read(path: &Path, life: usize) -> Vec<Arrival> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(|line| parse(line, life)).collect()
}

fn parse(line: &str, life: usize) -> Option<Arrival> {
    let mut words = line.split(' ');
    let at_us = words.next()?.parse().ok()?;
    let connection = (life, words.next()?.parse().ok()?);
    let post = words.next()? == "POST";
    Some(Arrival { at_us, connection, post, id: words.next()?.to_owned() })
}

/// The region's program lies beside the one that runs, or one directory up from a test.
pub fn program() -> PathBuf {
    let own = std::env::current_exe().expect("a program knows where it is");
    let found =
        own.ancestors().skip(1).take(2).map(|dir| dir.join("chaos-region")).find(|path| path.is_file());
    found.expect("chaos-region is built: cargo build -p thalweg-tests --bins")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_was_cut_is_no_arrival() {
        let whole = Arrival { at_us: 12, connection: (1, 3), post: true, id: "a-1".to_owned() };
        assert_eq!(parse("12 3 POST a-1", 1), Some(whole));
        assert_eq!(parse("12 3 POST", 1), None);
        assert_eq!(parse("", 1), None);
    }
}
