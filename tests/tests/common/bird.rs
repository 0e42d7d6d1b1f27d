//! A real BIRD as a process; and a stand-in for its control socket, for what a real one does not do at a scenario's wish.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use thalweg_testkit::{Scratch, Signal, eventually};

use super::server::program;

const SOON: Duration = Duration::from_secs(15);

/// A BIRD of its own, killed when dropped.
pub struct BirdProcess {
    child: Child,
    /// Its control socket.
    pub control: PathBuf,
}

impl BirdProcess {
    /// Starts one on this configuration, in a namespace if one is named; it answers.
    pub fn start(scratch: &Scratch, name: &str, config: &str, space: Option<&str>) -> Self {
        let file = scratch.write(format!("{name}.conf"), config);
        let control = scratch.join(format!("{name}.ctl"));
        let bird = program("bird").expect("bird");
        let mut command = match space {
            Some(space) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", space]).arg(bird);
                command
            }
            None => Command::new(bird),
        };
        command.arg("-f").arg("-c").arg(file).arg("-s").arg(&control);
        let child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect("bird can be started");
        let started = Self { child, control };
        eventually("bird answers", SOON, || UnixStream::connect(&started.control).is_ok());
        started
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("our own child can be signalled");
    }
}

impl Drop for BirdProcess {
    fn drop(&mut self) {
        let _ended_already_is_fine = self.child.kill();
        let _ended_already_is_fine = self.child.wait();
    }
}

/// What `infra/` sets for each session.
pub const TIMERS: &str = "bfd on; graceful restart off; hold time 9; error wait time 1, 2; connect delay time 1; connect retry time 1;";
/// A hang is seen after three silent intervals.
pub const BFD: &str =
    "min rx interval 100 ms; min tx interval 100 ms; idle tx interval 300 ms; multiplier 3;";

/// Plays a BIRD that greets and answers like this.
pub fn stand_in(scratch: &Scratch, greeting: &'static str, answer: fn(&str) -> &'static str) -> PathBuf {
    let path = scratch.join("stand-in.ctl");
    let listener = UnixListener::bind(&path).expect("a socket");
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut writer = stream.try_clone().expect("a second end");
                let _gone_is_fine = writer.write_all(greeting.as_bytes());
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    let _gone_is_fine = writer.write_all(answer(&line).as_bytes());
                }
            });
        }
    });
    path
}

/// What it lists while a session stands.
pub const ESTABLISHED: &str =
    "1002-up1  BGP  ---  up  19:43:18.440  Established\n1006-  BGP state:          Established\n0000 \n";

/// A stand-in that announces whatever it is told to.
pub fn announces(line: &str) -> &'static str {
    match line {
        "show protocols all" => ESTABLISHED,
        _ if line.starts_with("show route") => "1007-1 of 2 routes for 2 networks in table master4\n0000 \n",
        _ => "0000 \n",
    }
}
