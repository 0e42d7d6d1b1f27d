//! Real FastAPI regions under real uvicorn: killed, frozen, revived on the same port.

use std::{
    fs::{self, File},
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Mutex,
    time::Duration,
};

use rustix::process::{Pid, Signal};

use crate::{Reserved, Scratch, eventually, get, lock, repository};

/// The Python that has uvicorn and the application's requirements, if there is one.
///
/// Without one the scenario is skipped loudly, and under `CI=true` it fails.
pub fn python(scenario: &str) -> Option<PathBuf> {
    let named = std::env::var_os("THALWEG_PYTHON").map(PathBuf::from);
    let path = named.unwrap_or_else(|| repository().join(".venv/bin/python"));
    let usable = Command::new(&path)
        .args(["-c", "import uvicorn, fastapi"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if usable && repository().join("app/app/main.py").is_file() {
        return Some(path);
    }
    skip(scenario, "no Python with uvicorn and fastapi (make setup; THALWEG_PYTHON names another)");
    None
}

/// Reports that a scenario cannot run here: on stderr, and in the file that `THALWEG_SKIPS` names.
///
/// # Panics
/// When `CI=true` and that file is not named, because a skipped test that is not reported would be missed.
pub fn skip(scenario: &str, reason: &str) {
    eprintln!("SKIPPED: {scenario}: {reason}");
    if let Some(list) = std::env::var_os("THALWEG_SKIPS") {
        let mut list =
            File::options().create(true).append(true).open(list).expect("the list of skips can be opened");
        writeln!(list, "{scenario}: {reason}").expect("the list of skips can be written");
        return;
    }
    assert!(std::env::var("CI").map_or(true, |ci| ci != "true"), "skipped under CI: {scenario}: {reason}");
}

/// One region.
#[derive(Debug)]
pub struct Region {
    /// Its cloud.
    pub cloud: String,
    /// Its region.
    pub region: String,
    python: PathBuf,
    reserved: Reserved,
    scratch: Scratch,
    child: Mutex<Option<Child>>,
}

impl Region {
    /// Starts one and waits until it is healthy.
    pub fn start(python: &Path, cloud: &str, region: &str) -> Self {
        let region = Self {
            cloud: cloud.to_owned(),
            region: region.to_owned(),
            python: python.to_owned(),
            reserved: Reserved::new(),
            scratch: Scratch::new(),
            child: Mutex::new(None),
        };
        region.revive();
        region
    }

    /// Its address.
    pub fn addr(&self) -> SocketAddr {
        self.reserved.addr()
    }

    /// Starts it again on the same port, and waits until it is healthy. Its request log goes on.
    pub fn revive(&self) {
        self.spawn();
        let addr = self.addr();
        eventually(&format!("{} is healthy: {}", self.region, self.log()), Duration::from_secs(60), || {
            std::net::TcpStream::connect(addr).is_ok() && get(addr, "/health").status == 200
        });
    }

    /// Starts it again without waiting.
    pub fn spawn(&self) {
        let log = File::options().create(true).append(true).open(self.scratch.join("uvicorn.log"));
        let log = log.expect("a log can be made");
        let port = self.addr().port().to_string();
        let child = Command::new(&self.python)
            .args(["-m", "uvicorn", "app.main:app", "--host", "127.0.0.1", "--port", &port])
            .args(["--log-level", "warning", "--no-access-log"])
            .current_dir(repository().join("app"))
            .env("CLOUD", &self.cloud)
            .env("REGION", &self.region)
            .env("INSTANCE", format!("{}-1", self.region))
            .env("HEALTH_CHECK_FAIL_FILE", self.scratch.join("fail"))
            .env("SLOW_FILE", self.scratch.join("slow"))
            .env("REQUEST_LOG", self.scratch.join("requests.log"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("python can be started");
        *lock(&self.child) = Some(child);
    }

    /// `kill -9`, and waits for the end.
    pub fn kill(&self) {
        if let Some(mut child) = lock(&self.child).take() {
            child.kill().expect("our own child can be killed");
            child.wait().expect("our own child can be waited for");
        }
    }

    /// Sends SIGSTOP: the kernel still accepts connections, the application does not answer.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Sends SIGCONT.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Makes `/health` answer 503, or 200 again.
    pub fn unhealthy(&self, yes: bool) {
        self.switch("fail", yes.then_some(""));
    }

    /// Delays its answers by this, or ends the delay.
    pub fn slow(&self, how: Option<&str>) {
        self.switch("slow", how);
    }

    /// The request ids it has answered, in order; survives a kill.
    pub fn request_log(&self) -> Vec<String> {
        let text = fs::read_to_string(self.scratch.join("requests.log")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// What uvicorn wrote.
    pub fn log(&self) -> String {
        fs::read_to_string(self.scratch.join("uvicorn.log")).unwrap_or_default()
    }

    fn signal(&self, signal: Signal) {
        if let Some(child) = lock(&self.child).as_ref() {
            rustix::process::kill_process(Pid::from_child(child), signal)
                .expect("our own child can be signalled");
        }
    }

    fn switch(&self, name: &str, content: Option<&str>) {
        match content {
            Some(content) => drop(self.scratch.write(name, content)),
            None => drop(fs::remove_file(self.scratch.join(name))),
        }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        self.kill();
    }
}
