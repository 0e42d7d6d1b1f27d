//! The signals of an edge: reload, drain, and those that are ignored.

use std::time::Duration;

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::sleep,
};

use crate::{
    control::{
        audit::Actor,
        logging,
        state::{Control, ReloadJob, ReloadRequest},
        systemd,
    },
    data::worker::Worker,
};

/// Every worker has ended.
#[derive(Clone, Copy, Debug)]
pub struct WorkersGone;

/// The signals that an edge acts on.
#[derive(Debug)]
pub struct Signals {
    hangup: Signal,
    terminate: Signal,
    /// Drains like SIGTERM: nginx and uvicorn users send it for a graceful end.
    quit: Signal,
    interrupt: Signal,
    /// Log rotation and other scripts send these; left alone, they would end the process.
    user: [Signal; 2],
}

impl Signals {
    /// Takes the signals over from their defaults.
    ///
    /// # Errors
    /// Those of the system.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            quit: signal(SignalKind::quit())?,
            interrupt: signal(SignalKind::interrupt())?,
            user: [signal(SignalKind::user_defined1())?, signal(SignalKind::user_defined2())?],
        })
    }

    /// Waits for the predecessor of an upgrade.
    ///
    /// # Errors
    /// The predecessor has ended, or this process was told to end.
    pub async fn unless_told_to_stop<T>(
        &mut self,
        told: impl Future<Output = Result<T, String>>,
    ) -> Result<T, String> {
        tokio::select! {
            told = told => told,
            _ = self.terminate.recv() => Err("it was told to end".into()),
            _ = self.quit.recv() => Err("it was told to end".into()),
            _ = self.interrupt.recv() => Err("it was told to end".into()),
        }
    }

    /// Reloads at each SIGHUP; returns when the edge is to end.
    ///
    /// # Errors
    /// There is no worker left.
    pub async fn until_told_to_stop(
        &mut self,
        control: &Control,
        workers: &[Worker],
    ) -> Result<(), WorkersGone> {
        let mut gone = 0;
        let [first, second] = &mut self.user;
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return Ok(()),
                _ = self.quit.recv() => return Ok(()),
                _ = first.recv() => ignored("SIGUSR1"),
                _ = second.recv() => ignored("SIGUSR2"),
                _ = self.interrupt.recv() => return Ok(()),
                () = control.upgrades.handed_over() => return Ok(()),
                _ = self.hangup.recv() => {
                    // If the queue is full, the last reload in it reads the same files that this signal means.
                    let by = Actor::own("signal");
                    let job = ReloadJob::Reload { cause: "signal", trial: None };
                    let _ = control.reloads.try_send(ReloadRequest { job, by, reply: None });
                }
                () = sleep(Duration::from_secs(1)) => {}
            }
            logging::report_left_out();
            systemd::alive();
            let now = workers.iter().filter(|worker| worker.thread.is_finished()).count();
            if now > gone {
                gone = now;
                tracing::error!(gone, of = workers.len(), "a worker has ended");
            }
            if gone == workers.len() {
                return Err(WorkersGone);
            }
        }
    }

    /// Waits for a second SIGINT, with which the operator ends the drain. A second SIGTERM does not: supervisors send
    /// several.
    pub async fn again(&mut self) {
        self.interrupt.recv().await;
    }
}

/// Both logs go to stdout and stderr: there is no file to open again.
fn ignored(signal: &str) {
    tracing::info!(signal, "signal ignored: no log file is open here; SIGHUP reloads, SIGTERM drains");
}
