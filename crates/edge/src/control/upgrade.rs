//! `thalweg upgrade`: this process starts its successor, hands it the listening sockets themselves, and drains once the
//! successor serves. A successor that does not come up costs nothing: until it has said that it serves, this process
//! accepts as before.
//!
//! Why the sockets themselves and not new ones beside them: a listener's queue belongs to its socket. When the last
//! process that has a socket closes it, the kernel resets what waits in its queue; with the same socket open in both
//! processes there is no such moment. (nginx and Pingora do the same; HAProxy's `-x` and Envoy's hot restart fetch the
//! sockets from a Unix socket with a name, which anything that can open it may take them from.)
//!
//! `upgrades` is what is known of upgrades, `wire` the conversation of the two processes, `successor` the part of the new one, `call` what was asked for.

pub mod call;
pub mod successor;
pub mod upgrades;
pub mod wire;

use std::{
    net::TcpListener,
    path::PathBuf,
    process::ExitStatus,
    rc::Rc,
    time::{Duration, SystemTime},
};

use serde_json::json;
use tokio::{
    process::{Child, Command as ChildCommand},
    sync::oneshot,
    time::timeout,
};

use self::{
    call::{UpgradeCall, UpgradeRefusal},
    upgrades::{UpgradeAttempt, UpgradePhase},
    wire::{Channel, HandoverMessage, Hello},
};
use crate::{
    control::{
        audit::{Actor, ChangeCall},
        state::{Control, EdgePhase},
        state_store, systemd,
    },
    shared::Command,
};

/// Longest wait for a worker's sockets.
const LEND: Duration = Duration::from_secs(2);
/// Longest time from the last word of this process until the successor serves.
const OPEN: Duration = Duration::from_secs(5);
/// Time that a failed successor has to end by itself, so that its exit code is known.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Starts a successor and returns at once; what becomes of it is told by events, log and `GET /api/v1/upgrade`.
///
/// # Errors
/// Why none is started.
pub fn start(control: &Rc<Control>, call: UpgradeCall, by: Actor) -> Result<(), UpgradeRefusal> {
    let binary = call.binary.clone().or_else(|| control.upgrades.binary.borrow().clone());
    let what = json!({ "binary": binary.as_ref().map(|path| path.display().to_string()) });
    let started = judge(control).and_then(|()| {
        let binary = binary.ok_or(UpgradeRefusal::NoBinary)?;
        // What this process was started from is trusted as it is.
        if call.binary.is_some() {
            call::check_binary(&binary)?;
        }
        Ok(binary)
    });
    let result = started.as_ref().map_or_else(UpgradeRefusal::as_str, |_| "starting");
    by.record(&control.events, ChangeCall::Upgrade, what, result);
    let binary = started?;
    let attempt = UpgradeAttempt {
        phase: UpgradePhase::Starting,
        binary: binary.clone(),
        successor: None,
        since: SystemTime::now(),
    };
    control.upgrades.last.replace(Some(attempt));
    let control = Rc::clone(control);
    tokio::task::spawn_local(async move {
        let outcome = hand_over(&control, binary, call.within).await;
        conclude(&control, outcome);
    });
    Ok(())
}

fn judge(control: &Control) -> Result<(), UpgradeRefusal> {
    if std::process::id() == 1 {
        return Err(UpgradeRefusal::FirstProcess);
    }
    if control.upgrades.is_under_way() {
        return Err(UpgradeRefusal::UnderWay);
    }
    if control.trials.view().is_some() {
        return Err(UpgradeRefusal::TrialRuns);
    }
    let keeps = control.shared.live.load().wiring.config.edge.state_dir.is_some();
    if control.set_aside.borrow().is_some() && !keeps {
        return Err(UpgradeRefusal::SetAside);
    }
    match control.phase.get() {
        EdgePhase::Draining => Err(UpgradeRefusal::Ending),
        EdgePhase::Starting => Err(UpgradeRefusal::NotReady),
        EdgePhase::Serving => Ok(()),
    }
}

fn conclude(control: &Control, outcome: Result<u32, String>) {
    match outcome {
        Ok(successor) => {
            tracing::info!(successor, "the successor serves: this process drains");
            control.events.add("upgraded", json!({ "successor": successor }));
            control.upgrades.set(UpgradePhase::HandedOver);
            control.upgrades.admin.replace(None);
            control.upgrades.handed_over.notify_one();
        }
        Err(reason) => {
            tracing::error!(reason, "upgrade failed: this process goes on");
            control.events.add("upgrade_failed", json!({ "reason": reason }));
            control.upgrades.set(UpgradePhase::Failed(reason));
        }
    }
}

/// Starts the successor and talks with it until it serves; returns its process id.
async fn hand_over(control: &Rc<Control>, binary: PathBuf, within: Duration) -> Result<u32, String> {
    let (hello, sockets) = inheritance(control).await;
    let (mut channel, theirs) = Channel::pair().map_err(|error| format!("no socket pair: {error}"))?;
    // The successor's end is its standard input: a descriptor that is open after an exec without any number to agree on.
    let child = ChildCommand::new(&binary)
        .args(std::env::args_os().skip(1))
        .env(wire::VARIABLE, "1")
        .stdin(theirs)
        .spawn()
        .map_err(|error| format!("{} cannot be started: {error}", binary.display()))?;
    let successor = child.id().unwrap_or_default();
    if let Some(last) = &mut *control.upgrades.last.borrow_mut() {
        last.successor = Some(successor);
    }
    tracing::info!(successor, binary = %binary.display(), "successor starts");
    let mut waits_for = String::new();
    let ready = async {
        channel.send_sockets(&hello, &sockets).await?;
        channel.until_ready(&mut waits_for).await
    };
    let ready = timeout(within, ready).await;
    let problem = match ready {
        Ok(Ok(())) => None,
        Ok(Err(problem)) => Some(problem),
        Err(_) => Some(not_in_time(within, &waits_for)),
    };
    drop(sockets);
    if let Some(problem) = problem {
        return Err(bury(child, problem).await);
    }
    if control.phase.get() == EdgePhase::Draining {
        return Err(bury(child, "this process was told to end meanwhile".into()).await);
    }
    let serves = async {
        channel.say(&HandoverMessage::Go).await?;
        channel.expect(&HandoverMessage::Serving).await
    };
    match timeout(OPEN, serves).await {
        Ok(Ok(())) => {
            // The service manager takes this word from its main process alone; from now on that is the successor.
            systemd::notify(&format!("MAINPID={successor}"));
            Ok(successor)
        }
        Ok(Err(problem)) => Err(bury(child, problem).await),
        Err(_) => Err(bury(child, format!("it did not serve within {} s", OPEN.as_secs())).await),
    }
}

fn not_in_time(within: Duration, waits_for: &str) -> String {
    let within = within.as_secs_f64();
    match waits_for {
        "" => format!("it said nothing within {within} s"),
        waits_for => format!("it was not ready within {within} s: {waits_for}"),
    }
}

/// Ends a successor that failed, and adds how it ended to the reason.
async fn bury(mut child: Child, problem: String) -> String {
    let ended = match timeout(LAST_WORDS, child.wait()).await {
        Ok(Ok(status)) => Some(status),
        _ => {
            // Only this child, by its handle.
            let _ = child.kill().await;
            None
        }
    };
    match ended.as_ref().map(ExitStatus::to_string) {
        Some(status) => format!("{problem} ({status})"),
        None => format!("{problem} (ended by this process)"),
    }
}

/// What the successor gets: the sockets, and what only this process knows.
async fn inheritance(control: &Control) -> (Hello, Vec<TcpListener>) {
    let mut replies = Vec::with_capacity(control.workers.len());
    for worker in &control.workers {
        let (reply, lent) = oneshot::channel();
        // A worker that has ended has no sockets.
        let _ = worker.send(Command::Lend { reply }).await;
        replies.push(lent);
    }
    let (mut names, mut sockets) = (Vec::new(), Vec::new());
    for lent in replies {
        for (name, socket) in timeout(LEND, lent).await.ok().and_then(Result::ok).unwrap_or_default() {
            names.push(Some(name.to_string()));
            sockets.push(socket);
        }
    }
    let admin = control.upgrades.admin.borrow().as_ref().and_then(|socket| socket.try_clone().ok());
    if let Some(admin) = admin {
        names.push(None);
        sockets.push(admin);
    }
    let live = control.shared.live.load();
    let hello = Hello {
        pid: std::process::id(),
        names,
        state: state_store::text(control),
        generation: live.snapshot.generation,
        config_hash: live.wiring.config.hash.clone(),
        routes: control.routes_that_serve(),
        announced: control.announce.wanted(),
    };
    (hello, sockets)
}
