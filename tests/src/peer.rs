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

/// Who can steer in a scene.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Ours.
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

    /// What it says its version is, in one line.
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
        let port = free_port();
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
        text =
            text.replace("@HTTP@", &port.to_string()).replace("@OUT@", &scratch.path().display().to_string());
        let config = scratch.write(name, text);
        let program = kind.program().unwrap_or_else(|| panic!("{} is not installed", kind.name()));
        let mut command = command(kind, &program, &config, scratch.path());
        let log = File::create(scratch.join("peer.log")).expect("a log can be made");
        let copy = log.try_clone().expect("a file can be shared");
        command.stdin(Stdio::null()).stdout(log).stderr(copy);
        let child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let mut peer = Self { child, port };
        eventually(
            &format!("{} answers, see {}", kind.name(), scratch.join("peer.log").display()),
            START,
            || {
                assert!(
                    matches!(peer.child.try_wait(), Ok(None)),
                    "{} ended: {}",
                    kind.name(),
                    log_of(scratch)
                );
                Client::try_connect(peer.addr()).is_ok_and(|mut client| {
                    client.ask("GET", "/", "", b"").is_ok_and(|reply| reply.status == 200)
                })
            },
        );
        std::thread::sleep(SETTLE);
        peer
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }
}

/// How long a peer may take to its first answer, and then until its checks have looked at everything.
const START: Duration = Duration::from_secs(20);
const SETTLE: Duration = Duration::from_millis(2500);

impl Drop for Peer {
    /// nginx takes its worker along only when it is asked to stop.
    fn drop(&mut self) {
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

fn log_of(scratch: &Scratch) -> String {
    fs::read_to_string(scratch.join("peer.log")).unwrap_or_default()
}

/// Debian keeps servers where a user's path does not lead.
fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    dirs.map(|dir| dir.join(name)).find(|path| path.is_file())
}

/// Where the package from PyPI puts it in the bench's environment.
fn packaged_envoy() -> Option<PathBuf> {
    let lib = fs::read_dir(repository().join("bench/.venv/lib")).ok()?;
    let places = lib.flatten().map(|python| python.path().join("site-packages/envoy/_bin/envoy"));
    places.into_iter().find(|path| path.is_file())
}
