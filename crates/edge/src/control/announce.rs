//! `[announce]`: tells a BIRD on this machine to announce the edge's addresses while this edge is ready, withdraws them
//! before a drain, and knows whether they are announced indeed: the protocol is enabled, and a BGP session that is
//! Established for some time exports its route. Never changes BIRD's configuration, and never stops the edge: what goes
//! wrong here is an event, a line of the log and a word in the status.
//!
//! `announcing` is what the control side knows of it, `intent` decides, `bird` speaks with BIRD, `obstacle` lists what may stand between the two.

pub mod announcing;
pub mod bird;
pub mod intent;
pub mod obstacle;

use std::{collections::BTreeMap, path::PathBuf, rc::Rc, time::Duration};

use serde_json::json;
use thalweg_config::Announce;
use thalweg_core::Tick;
use tokio::time::{sleep, timeout};

use self::{
    announcing::{AnnounceView, ProtocolView},
    bird::{BgpSession, Bird},
    intent::{Intent, IntentReason},
    obstacle::Obstacle,
};
use crate::{
    control::{fleet::withdrawal::Withdrawal, state::Control},
    shared::{
        meters::{self, Total},
        telemetry::REQUESTS,
    },
};

/// How often readiness is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// How often BIRD is told again, and asked: it may have been restarted.
const REPEAT: Duration = Duration::from_secs(1);
/// Longest time for all that is said to BIRD in one turn.
const TURN: Duration = Duration::from_secs(2);
/// A session counts once it is Established for this long: one that has come back may go again within seconds.
const SETTLED: Duration = Duration::from_secs(10);
/// Traffic has fallen when no request has come for this long.
const QUIET: Duration = Duration::from_secs(1);

/// Follows readiness until the task is dropped.
pub async fn run(control: Rc<Control>) {
    // A restart of this task must not withdraw.
    let announced = control.announce.inherited.replace(false) || control.announce.wanted();
    let mut intent = Intent::inherited(announced, control.shared.now());
    let mut speaker = Speaker { known: announced, ..Speaker::default() };
    let mut due = Tick(0);
    loop {
        let now = control.shared.now();
        let settings = control.shared.live.load().wiring.config.announce.clone();
        match &settings {
            None => forget(&control, &mut speaker),
            Some(settings) => {
                let before = intent.wanted();
                let reason = match control.announce.leaving.get() {
                    true => intent.leave(),
                    false => {
                        let ready = control.ready().is_ok();
                        if ready {
                            control.fleet.announcers.withdraw_no_more();
                        }
                        let has_fleet = control.shared.live.load().wiring.config.fleet.is_some();
                        let may = || control.fleet.announcers.may_withdraw(has_fleet);
                        intent.step(ready, settings.after, may, now)
                    }
                };
                if intent.wanted() != before
                    || control.announce.reason() != Some(reason.as_str())
                    || now >= due
                {
                    due = now.after(REPEAT);
                    let protocols = speaker.turn(settings, intent.wanted(), now).await;
                    let (bird, wanted) = (settings.bird.clone(), intent.wanted());
                    note(&control, AnnounceView { bird, wanted, reason, protocols });
                }
            }
        }
        control.announce.told.notify_waiters();
        tokio::select! {
            () = sleep(LOOK) => {}
            () = control.announce.changed.notified() => due = Tick(0),
        }
    }
}

/// The table has gone: BIRD stays as it is, because an edge that no longer knows of an address must not take it away.
fn forget(control: &Control, speaker: &mut Speaker) {
    if let Some(view) = control.announce.view.take() {
        speaker.bird = None;
        tracing::warn!(wanted = view.wanted, "[announce] has left the config: BIRD stays as it is");
        control.events.add("announce_ended", json!({ "wanted": view.wanted }));
    }
}

/// Withdraws the addresses of an ending edge, and waits until traffic has fallen; both bounded.
pub async fn withdraw(control: &Control) {
    let Some(settings) = control.shared.live.load().wiring.config.announce.clone() else { return };
    let was_wanted = control.announce.wanted();
    let has_fleet = control.shared.live.load().wiring.config.fleet.is_some();
    if was_wanted && control.fleet.announcers.ask(has_fleet).await == Withdrawal::Last {
        // Nothing else would serve: clients are served here until the listeners close.
        tracing::warn!("no other edge announces: addresses not withdrawn before the end");
        control.events.add("announce_kept", json!({ "why": IntentReason::LastToAnnounce.as_str() }));
        return;
    }
    control.announce.leaving.set(true);
    control.announce.changed.notify_one();
    let withdrawn = async {
        loop {
            // A turn that began before this call ends without having withdrawn.
            let told = control.announce.told.notified();
            if control.announce.reason() == Some(IntentReason::Draining.as_str()) {
                return;
            }
            told.await;
        }
    };
    let _ = timeout(TURN * 2, withdrawn).await;
    if !was_wanted {
        return;
    }
    let quiet = async {
        let (mut seen, mut waited) = (requests(control), Duration::ZERO);
        while waited < QUIET {
            sleep(LOOK).await;
            let now = requests(control);
            waited = if now == seen { waited + LOOK } else { Duration::ZERO };
            seen = now;
        }
    };
    let fell = timeout(settings.settle, quiet).await.is_ok();
    tracing::info!(fell, "addresses withdrawn: listeners close");
}

fn requests(control: &Control) -> u64 {
    let totals = meters::totals(control.shared.meters.iter());
    let counts = totals.into_iter().filter(|(series, _)| series.metric == &REQUESTS);
    counts.map(|(_, total)| if let Total::Value(count) = total { count } else { 0 }).sum()
}

/// Shows a turn's result, and tells what is new in it.
fn note(control: &Control, view: AnnounceView) {
    let before = control.announce.view.replace(Some(view.clone()));
    let same_intent =
        before.as_ref().is_some_and(|before| before.wanted == view.wanted && same_reason(before, &view));
    if !same_intent {
        let (wanted, why) = (view.wanted, view.reason.as_str());
        tracing::info!(wanted, why, "announcement");
        control.events.add("announce_wanted", json!({ "wanted": wanted, "why": why }));
    }
    for one in &view.protocols {
        let was = before.as_ref().and_then(|before| {
            let known = before.protocols.iter().find(|other| other.name == one.name)?;
            Some((known.announced(before.wanted), known.obstacle.as_ref().map(Obstacle::as_str)))
        });
        let (announced, obstacle) = (one.announced(view.wanted), one.obstacle.as_ref());
        if was == Some((announced, obstacle.map(Obstacle::as_str))) {
            continue;
        }
        let (protocol, detail) = (&*one.name, obstacle.map(Obstacle::detail));
        match &detail {
            Some(detail) => {
                tracing::warn!(protocol, wanted = view.wanted, detail, "not as it should be at BIRD")
            }
            None => tracing::info!(protocol, announced, by = one.exported_by.join(" "), "told BIRD"),
        }
        let fields = json!({
            "protocol": protocol, "wanted": view.wanted, "announced": announced,
            "obstacle": obstacle.map(Obstacle::as_str), "detail": detail, "exported_by": one.exported_by,
        });
        control.events.add("announce", fields);
    }
}

fn same_reason(one: &AnnounceView, other: &AnnounceView) -> bool {
    one.reason.as_str() == other.reason.as_str()
}

/// The connection to BIRD, and since when its sessions are Established.
#[derive(Debug, Default)]
struct Speaker {
    bird: Option<Bird>,
    path: PathBuf,
    sessions: BTreeMap<BgpSession, Option<Tick>>,
    /// The sessions that the first look finds are old: the process before this one counted on them.
    known: bool,
}

impl Speaker {
    /// Tells BIRD what is wanted, and asks what became of it.
    async fn turn(&mut self, settings: &Announce, wanted: bool, now: Tick) -> Vec<ProtocolView> {
        if self.path != settings.bird {
            (self.bird, self.path) = (None, settings.bird.clone());
        }
        let mut views = Vec::with_capacity(settings.protocols.len());
        let done = timeout(TURN, self.tell_all(&settings.protocols, wanted, now, &mut views)).await;
        let failed = match done {
            Ok(Ok(())) => None,
            Ok(Err(obstacle)) => Some(obstacle),
            Err(_) => Some(Obstacle::Silent),
        };
        if let Some(obstacle) = failed {
            // What was said half is not gone on with.
            self.bird = None;
            views.clear();
            views.extend(settings.protocols.iter().map(|name| ProtocolView {
                name: name.clone(),
                obeyed: false,
                exported_by: Vec::new(),
                obstacle: Some(obstacle.clone()),
            }));
        }
        views
    }

    /// # Errors
    /// BIRD cannot be spoken with at all.
    async fn tell_all(
        &mut self,
        protocols: &[String],
        wanted: bool,
        now: Tick,
        views: &mut Vec<ProtocolView>,
    ) -> Result<(), Obstacle> {
        let mut bird = match self.bird.take() {
            Some(bird) => bird,
            None => Bird::connect(&self.path).await?,
        };
        let word = if wanted { "enable" } else { "disable" };
        let mut obeyed = Vec::new();
        for name in protocols {
            // Quoted, a name is a pattern: it needs no symbol of BIRD's configuration, and may be a word of its grammar.
            obeyed.push(fails_alone(bird.ask(&format!("{word} \"{name}\"")).await)?);
        }
        if wanted {
            let list = bird.ask("show protocols all").await?;
            self.note_sessions(list.established(), now);
        }
        for (name, obeyed) in protocols.iter().zip(obeyed) {
            let mut view = ProtocolView {
                name: name.clone(),
                obeyed: obeyed.is_ok(),
                exported_by: vec![],
                obstacle: obeyed.err(),
            };
            if wanted && view.obstacle.is_none() {
                self.look(&mut bird, &mut view, now).await?;
            }
            views.push(view);
        }
        self.bird = Some(bird);
        Ok(())
    }

    fn note_sessions(&mut self, established: Vec<BgpSession>, now: Tick) {
        let first = if std::mem::take(&mut self.known) { None } else { Some(now) };
        let before = std::mem::take(&mut self.sessions);
        let since = |session: &BgpSession| before.get(session).copied().unwrap_or(first);
        self.sessions = established.into_iter().map(|session| (session.clone(), since(&session))).collect();
    }

    /// Asks which sessions export a protocol's route.
    async fn look(&self, bird: &mut Bird, view: &mut ProtocolView, now: Tick) -> Result<(), Obstacle> {
        let mut settled = false;
        for (session, since) in &self.sessions {
            let question = format!("show route protocol {} export {} count", view.name, session.name);
            // A session that has just gone is no fault of the question.
            let Ok(reply) = fails_alone(bird.ask(&question).await)? else { continue };
            if reply.counted() > 0 {
                view.exported_by.push(session.name.clone());
                settled |= since.is_none_or(|since| now.since(since) >= SETTLED);
            }
        }
        view.obstacle = match (self.sessions.is_empty(), view.exported_by.is_empty(), settled) {
            (true, _, _) => Some(Obstacle::NoSession),
            (_, true, _) => Some(Obstacle::NotExported),
            (_, _, false) => Some(Obstacle::Settling),
            _ => None,
        };
        Ok(())
    }
}

/// Tells a failure of one command from one of the whole connection.
fn fails_alone<T>(done: Result<T, Obstacle>) -> Result<Result<T, Obstacle>, Obstacle> {
    match done {
        Err(obstacle @ (Obstacle::NoProtocol | Obstacle::Refused(_) | Obstacle::Denied(_))) => {
            Ok(Err(obstacle))
        }
        Err(obstacle) => Err(obstacle),
        Ok(value) => Ok(Ok(value)),
    }
}
