//! The real binary as a child process: started with a generated config, stopped by its own process id, never by name.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Read,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Mutex,
    time::{Duration, Instant},
};

pub use rustix::process::Signal;

use crate::{Conf, Scratch, binary, eventually, lock};

/// How long an edge may take until it is ready; generous, because builds share the machine.
const START: Duration = Duration::from_secs(20);

/// A command that has ended.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Its exit code; -1 when a signal ended it.
    pub code: i32,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

/// Runs `thalweg ARGS` to its end.
pub fn thalweg(args: &[&str]) -> Finished {
    thalweg_with(args, &[])
}

/// The same, with these variables.
pub fn thalweg_with(args: &[&str], env: &[(&str, &str)]) -> Finished {
    let scratch = Scratch::new();
    let mut command = Command::new(binary());
    command.env_remove("THALWEG_CONFIG").args(args).envs(env.iter().copied()).current_dir(scratch.path());
    let mut child = spawn(&mut command, scratch.path(), "thalweg");
    let code = wait(&mut child, Duration::from_secs(30)).unwrap_or_else(|| {
        end(&mut child);
        panic!("`thalweg {}` did not end", args.join(" "))
    });
    Finished { code, stdout: read(&scratch.join("thalweg.out")), stderr: read(&scratch.join("thalweg.err")) }
}

/// A running edge; killed when dropped.
#[derive(Debug)]
pub struct Edge {
    child: Mutex<Child>,
    pid: rustix::process::Pid,
    /// Processes that took over from the child, oldest first.
    successors: Mutex<Vec<rustix::process::Pid>>,
    ports: BTreeMap<String, u16>,
    scratch: Scratch,
    /// When it was started.
    pub started: Instant,
}

impl Edge {
    /// Starts one and waits until it is ready.
    pub fn start(conf: &Conf) -> Self {
        for _ in 0..5 {
            let edge = Self::launch(conf);
            let what = format!("ready; log so far in {}", edge.scratch.path().display());
            eventually(&what, START, || edge.ended().is_some() || edge.ready() == 200);
            match edge.ended() {
                None => return edge,
                Some(3) => {}
                Some(code) => panic!("the edge ended with {code}: {}", edge.stderr()),
            }
        }
        panic!("five times a free port was taken");
    }

    /// Starts one and waits only until its admin page answers.
    pub fn launch(conf: &Conf) -> Self {
        for _ in 0..5 {
            match Self::spawn(conf, Scratch::new(), binary()) {
                Ok(edge) => return edge,
                Err(finished) if finished.code == 3 => {}
                Err(finished) => panic!("the edge did not start ({}): {}", finished.code, finished.stderr),
            }
        }
        panic!("five times a free port was taken");
    }

    /// Starts this binary and waits until it is ready.
    pub fn start_binary(conf: &Conf, path: &Path) -> Self {
        let edge = Self::spawn(conf, Scratch::new(), path).expect("the edge starts");
        eventually("ready", START, || edge.ready() == 200);
        edge
    }

    /// One try in this directory; if the edge ends at once, returns what it wrote.
    pub fn spawn(conf: &Conf, scratch: Scratch, path: &Path) -> Result<Self, Finished> {
        let ports = conf.ports(&BTreeMap::new());
        for (name, content) in &conf.files {
            scratch.write(name, content);
        }
        scratch.write("thalweg.toml", conf.render(&ports));
        let admin = SocketAddr::from(([127, 0, 0, 1], ports["admin"]));
        let child = begin(path, scratch.path(), &conf.env, admin)?;
        let pid = rustix::process::Pid::from_child(&child);
        let successors = Mutex::default();
        Ok(Self { child: Mutex::new(child), pid, successors, ports, scratch, started: Instant::now() })
    }

    /// Kills it and starts it again, on its files and ports as they are now; waits until it is ready.
    pub fn restart(&mut self) {
        end(&mut lock(&self.child));
        let child = begin(binary(), self.scratch.path(), &[], self.addr("admin"));
        let child = child.unwrap_or_else(|done| panic!("no start ({}): {}", done.code, done.stderr));
        self.pid = rustix::process::Pid::from_child(&child);
        self.child = Mutex::new(child);
        eventually("ready again", START, || self.ready() == 200);
    }

    /// Runs `thalweg upgrade` with these arguments; the process that took over ends with this edge.
    pub fn upgrade(&self, args: &[&str]) -> Finished {
        let done = thalweg(&[&["upgrade", "--admin", &self.admin_url(), "--format", "json"], args].concat());
        if done.code == 0 {
            let said: serde_json::Value = serde_json::from_str(&done.stdout).expect("JSON");
            let pid = said["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
            let pid = pid.and_then(rustix::process::Pid::from_raw).expect("a process id");
            lock(&self.successors).push(pid);
        }
        done
    }

    /// The process that serves: the last one that took over, or the child.
    pub fn serving(&self) -> i32 {
        lock(&self.successors).last().map_or(self.pid(), |pid| pid.as_raw_nonzero().get())
    }

    /// Sends the process that serves a signal.
    pub fn signal_serving(&self, signal: Signal) {
        let last = lock(&self.successors).last().copied();
        rustix::process::kill_process(last.unwrap_or(self.pid), signal).expect("it still runs");
    }

    /// The address of a listener on 127.0.0.1; `admin` is the admin page.
    pub fn addr(&self, listener: &str) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port(listener)))
    }

    /// The address of the listener `web`.
    pub fn web(&self) -> SocketAddr {
        self.addr("web")
    }

    /// The port of a listener.
    pub fn port(&self, listener: &str) -> u16 {
        *self.ports.get(listener).unwrap_or_else(|| panic!("no listener {listener}"))
    }

    /// `http://…` of the admin page, for `--admin`.
    pub fn admin_url(&self) -> String {
        format!("http://{}", self.addr("admin"))
    }

    /// The directory with the config and the logs.
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// The config file.
    pub fn config(&self) -> PathBuf {
        self.scratch.join("thalweg.toml")
    }

    /// The TOML of a changed config on the ports of this edge; listeners that are new get free ones.
    pub fn render(&mut self, conf: &Conf) -> String {
        for (name, content) in &conf.files {
            self.scratch.write(name, content);
        }
        let mut ports = conf.ports(&self.ports);
        let text = conf.render(&ports);
        ports.append(&mut self.ports);
        self.ports = ports;
        text
    }

    /// Puts this text in the place of the config by a rename, as editors and deployers do.
    pub fn replace(&self, text: &str) {
        let fresh = self.scratch.write("thalweg.toml.new", text);
        fs::rename(fresh, self.config()).expect("a file can be renamed");
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        rustix::process::kill_process(self.pid, signal).expect("our own child can be signalled");
    }

    /// Sends SIGSTOP, and waits until every thread has stopped.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
        let tasks = format!("/proc/{}/task", self.pid());
        eventually("every thread stands still", Duration::from_secs(5), || {
            let threads = fs::read_dir(&tasks).into_iter().flatten().flatten();
            let state = |stat: String| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'));
            threads.map(|thread| read(&thread.path().join("stat"))).all(state)
        });
    }

    /// Sends SIGCONT.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Its exit code, if it has ended.
    pub fn ended(&self) -> Option<i32> {
        wait(&mut lock(&self.child), Duration::ZERO)
    }

    /// Waits for its end.
    pub fn exit_code(&self, within: Duration) -> i32 {
        let code = wait(&mut lock(&self.child), within);
        code.unwrap_or_else(|| panic!("not ended within {within:?}: {}", self.stderr()))
    }

    /// Everything it wrote to stdout: the access log.
    pub fn stdout(&self) -> String {
        read(&self.scratch.join("edge.out"))
    }

    /// Everything it wrote to stderr.
    pub fn stderr(&self) -> String {
        read(&self.scratch.join("edge.err"))
    }

    /// Resident memory, in bytes, now.
    pub fn rss(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most memory it ever had resident, in bytes.
    pub fn peak_rss(&self) -> u64 {
        self.memory("VmHWM:")
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    fn memory(&self, key: &str) -> u64 {
        let status = read(Path::new(&format!("/proc/{}/status", self.pid())));
        let line = status.lines().find(|line| line.starts_with(key)).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) * 1024
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        end(&mut lock(&self.child));
        for pid in lock(&self.successors).iter() {
            // A number that was given to another process meanwhile is left alone.
            let folder = fs::read_link(format!("/proc/{}/cwd", pid.as_raw_nonzero()));
            if folder.is_ok_and(|folder| folder == self.scratch.path()) {
                let _ended_already_is_fine = rustix::process::kill_process(*pid, Signal::KILL);
            }
        }
        if std::thread::panicking() {
            let log = self.stderr();
            let tail: Vec<&str> = log.lines().rev().take(15).collect();
            eprintln!("--- last lines of the edge's log");
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}

/// Starts the edge on the config in this folder; waits until its admin page answers. If it ends, returns what it wrote.
fn begin(path: &Path, folder: &Path, env: &[(String, String)], admin: SocketAddr) -> Result<Child, Finished> {
    let mut command = Command::new(path);
    command.arg("run").arg("--config").arg(folder.join("thalweg.toml")).current_dir(folder);
    command.envs(env.iter().map(|(name, value)| (name, value)));
    let mut child = spawn(&mut command, folder, "edge");
    let began = Instant::now();
    while std::net::TcpStream::connect(admin).is_err() {
        if let Some(code) = wait(&mut child, Duration::from_millis(10)) {
            let (stdout, stderr) = (read(&folder.join("edge.out")), read(&folder.join("edge.err")));
            return Err(Finished { code, stdout, stderr });
        }
        if began.elapsed() > START {
            end(&mut child);
            panic!("the admin page never answered: {}", read(&folder.join("edge.err")));
        }
    }
    Ok(child)
}

fn spawn(command: &mut Command, dir: &Path, name: &str) -> Child {
    let out = File::create(dir.join(format!("{name}.out"))).expect("a log can be made");
    let err = File::create(dir.join(format!("{name}.err"))).expect("a log can be made");
    command.stdin(Stdio::null()).stdout(out).stderr(err);
    command.spawn().unwrap_or_else(|error| panic!("{} cannot be started: {error}", binary().display()))
}

fn wait(child: &mut Child, within: Duration) -> Option<i32> {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("our own child can be waited for") {
            return Some(status.code().unwrap_or(-1));
        }
        if began.elapsed() >= within {
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn end(child: &mut Child) {
    let _ended_already_is_fine = child.kill();
    let _ended_already_is_fine = child.wait();
}

/// The largest part of a log that is read.
const MOST: u64 = 256 * 1024 * 1024;

fn read(path: &Path) -> String {
    let mut bytes = Vec::new();
    // A scenario may have put an endless device there.
    let read = File::open(path).and_then(|file| file.take(MOST).read_to_end(&mut bytes));
    read.map(|_| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}
