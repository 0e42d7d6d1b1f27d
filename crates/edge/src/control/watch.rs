//! Watches the config's files: symlink swaps, renames, truncations. An event only means "maybe"; two equal readings 100 ms
//! apart decide. This task applies nothing itself.

use std::{path::PathBuf, rc::Rc, time::Duration};

use tokio::{sync::mpsc, time::sleep};

use crate::{
    control::{
        audit::Actor,
        folders::{Folders, SETTLE, noticed},
        origin::Reading,
        reload::{ConfigChange, RETRY, Reloader},
        state::{ReloadAnswer, ReloadJob, ReloadRequest},
    },
    shared::geo::FileStamp,
};

/// The events of one change arrive together: this is the wait before the first reading.
const BUNCH: Duration = Duration::from_millis(20);

/// Requests a reload whenever the files say something new.
pub async fn run(reloader: Rc<Reloader>, reloads: mpsc::Sender<ReloadRequest>) {
    // One notice may wait: it means "check", not what to check.
    let (sender, mut notices) = mpsc::channel(1);
    let mut folders = Folders::new(sender);
    let mut seen = looks(&reloader.files());
    loop {
        folders.follow(&reloader.files());
        let noticed = noticed(&mut notices).await;
        if noticed {
            sleep(BUNCH).await;
        }
        // What changes during a trial or an upgrade waits for its end.
        if reloader.is_on_trial() || reloader.is_handing_over() {
            continue;
        }
        let now = looks(&reloader.files());
        if !noticed && now == seen && !reloader.is_refused() {
            continue;
        }
        seen = now;
        let cause = match settled_change(&reloader).await {
            ConfigChange::None => continue,
            ConfigChange::Retry => RETRY,
            ConfigChange::New => "file",
        };
        // The reloader reads again, so what it applies is never older than what was seen here.
        let (reply, done) = tokio::sync::oneshot::channel();
        let job = ReloadJob::Reload { cause, trial: None };
        if reloads.send(ReloadRequest { job, by: Actor::own(cause), reply: Some(reply) }).await.is_err() {
            return;
        }
        // The comparison with the known config is valid only after the reload has ended.
        if let Ok(ReloadAnswer::Busy) = done.await {
            // An upgrade began meanwhile; if it fails, the files are looked at again.
            seen.clear();
        }
    }
}

/// The result of two equal readings in a row, or of one reading that equals the known config.
async fn settled_change(reloader: &Reloader) -> ConfigChange {
    let mut before = reloader.read_watched().await;
    loop {
        match reloader.change(&before) {
            ConfigChange::New => {}
            known => return known,
        }
        sleep(SETTLE).await;
        let now = reloader.read_watched().await;
        if equal(&before, &now) {
            return reloader.change(&now);
        }
        before = now;
    }
}

fn equal(one: &Reading, other: &Reading) -> bool {
    match (&one.prepared, &other.prepared) {
        (Ok(this), Ok(that)) => one.source == other.source && this.same_as(that),
        (Err(one), Err(other)) => one == other,
        _ => false,
    }
}

/// The state of each file; reads no content.
fn looks(files: &[PathBuf]) -> Vec<Option<FileStamp>> {
    files.iter().map(|file| FileStamp::of(file)).collect()
}
