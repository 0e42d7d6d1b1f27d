//! What the tests of the control rooms share: scratch folders, waiting with a deadline, a running edge.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "each test file uses only a part of these helpers"
)]

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use serde_json::Value;

/// A folder of the test alone, removed at the end.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("thalweg-edge-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Waits until the condition holds, at most ten seconds.
pub fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !so() {
        assert!(Instant::now() < deadline, "not so in time: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Status and body.
pub fn ask(admin: SocketAddr, method: &str, target: &str, headers: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(admin).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let request =
        format!("{method} {target} HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

/// The real binary, serving a config file.
pub struct Edge {
    child: Child,
    pub admin: SocketAddr,
}

impl Edge {
    /// Starts and waits until it is ready (or answers that it is not).
    pub fn start(config: &Path, admin: SocketAddr) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_thalweg"))
            .args(["run", "--config"])
            .arg(config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let edge = Self { child, admin };
        eventually("the admin server answers", || {
            TcpStream::connect(admin).is_ok() && edge.get("/api/v1/status").0 == 200
        });
        edge
    }

    pub fn get(&self, target: &str) -> (u16, String) {
        ask(self.admin, "GET", target, "")
    }

    pub fn post(&self, target: &str) -> (u16, String) {
        ask(self.admin, "POST", target, "content-length: 0\r\n")
    }

    pub fn json(&self, target: &str) -> Value {
        let (status, body) = self.get(target);
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{status} {error}: {body}"))
    }

    pub fn generation(&self) -> u64 {
        self.json("/api/v1/status")["generation"].as_u64().unwrap()
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(sent.unwrap().success());
    }

    /// The exit code, within ten seconds.
    pub fn end(&mut self) -> i32 {
        let mut code = None;
        eventually("the edge ends", || {
            code = self.child.try_wait().unwrap().and_then(|status| status.code());
            code.is_some()
        });
        code.unwrap()
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A config with one pool that is not probed.
pub fn config(admin: SocketAddr, web: u16, more: &str) -> String {
    format!(
        "version = 1\n[admin]\nbind = \"{admin}\"\n[edge]\nworkers = 1\n\
         [[listener]]\nname = \"web\"\nbind = \"127.0.0.1:{web}\"\n\
         [pool.p]\nendpoints = [{{ address = \"127.0.0.1:9\" }}]\n\
         [route.r]\npolicy = \"failover\"\npools = [{{ pool = \"p\" }}]\n{more}"
    )
}
