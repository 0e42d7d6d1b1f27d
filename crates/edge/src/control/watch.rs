//! Watches the config's files by inotify on their folders (symlink swaps, renames, truncations), and by a check every
//! two seconds. An event only means "maybe"; two equal readings 100 ms apart decide. This task applies nothing itself.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use notify::{RecursiveMode, Watcher};
use tokio::{sync::mpsc, time::sleep};

use crate::control::{
    audit::Actor,
    origin::Reading,
    reload::{ConfigChange, RETRY, Reloader},
    state::{ReloadJob, ReloadRequest},
};

/// Gap between two readings that must be equal.
const SETTLE: Duration = Duration::from_millis(100);
/// The events of one change arrive together: this is the wait before the first reading.
const BUNCH: Duration = Duration::from_millis(20);
/// How often the files are checked without an event.
const POLL: Duration = Duration::from_secs(2);

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
        // What changes during a trial waits for its end.
        if reloader.is_on_trial() {
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
        let _ = done.await;
    }
}

/// Waits for a notice, at most until the next check. Returns whether there was one.
async fn noticed(notices: &mut mpsc::Receiver<()>) -> bool {
    tokio::select! {
        // Without inotify the sender is gone and `recv` returns `None` at once, which must not cut the wait short.
        Some(()) = notices.recv() => true,
        () = sleep(POLL) => false,
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

/// Device, inode, size, time of change; `None` = no such file.
type Look = Option<(u64, u64, u64, i64, i64)>;

/// The metadata of each file, symlinks followed; reads no content.
fn looks(files: &[PathBuf]) -> Vec<Look> {
    let look = |file: &PathBuf| {
        let data = std::fs::metadata(file).ok()?;
        Some((data.dev(), data.ino(), data.size(), data.mtime(), data.mtime_nsec()))
    };
    files.iter().map(look).collect()
}

/// The watched folders.
struct Folders {
    watcher: Option<notify::RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
    names: Names,
}

/// The names of the config's files. Their folders may hold other files that change all the time, such as logs.
type Names = Arc<Mutex<BTreeSet<OsString>>>;

/// Whether an event may mean that one of the config's files has changed.
fn concerns(event: &notify::Event, names: &Names) -> bool {
    let ours = |path: &PathBuf| {
        let Some(name) = path.file_name() else { return true };
        // Kubernetes swaps `..data` under the files; a new `.toml` may be included.
        name.as_encoded_bytes().starts_with(b"..")
            || path.extension().is_some_and(|extension| extension == "toml")
            || names.lock().unwrap_or_else(PoisonError::into_inner).contains(name)
    };
    !event.kind.is_access() && (event.paths.is_empty() || event.paths.iter().any(ours))
}

impl Folders {
    fn new(notices: mpsc::Sender<()>) -> Self {
        let names = Names::default();
        let known = Arc::clone(&names);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.map_or(true, |event| concerns(&event, &known)) {
                // If the queue is full, a notice is waiting already.
                let _ = notices.try_send(());
            }
        });
        if let Err(error) = &watcher {
            tracing::warn!(%error, "inotify is not available: checking the files every two seconds");
        }
        Self { watcher: watcher.ok(), watched: BTreeSet::new(), names }
    }

    fn follow(&mut self, files: &[PathBuf]) {
        let Some(watcher) = &mut self.watcher else { return };
        *self.names.lock().unwrap_or_else(PoisonError::into_inner) =
            files.iter().filter_map(|file| Some(file.file_name()?.to_owned())).collect();
        let folder = |file: &PathBuf| {
            let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
            parent.unwrap_or(Path::new(".")).to_owned()
        };
        let wanted: BTreeSet<PathBuf> = files.iter().map(folder).collect();
        for gone in self.watched.difference(&wanted) {
            // A folder that no longer exists is not watched any more.
            let _ = watcher.unwatch(gone);
        }
        let new: Vec<PathBuf> = wanted.difference(&self.watched).cloned().collect();
        self.watched.retain(|folder| wanted.contains(folder));
        for folder in new {
            match watcher.watch(&folder, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.watched.insert(folder);
                }
                Err(error) => tracing::debug!(folder = %folder.display(), %error, "folder not watched"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true, flavor = "current_thread")]
    async fn without_inotify_the_files_are_checked_at_the_polling_interval() {
        let (sender, mut notices) = mpsc::channel(1);
        let began = Instant::now();
        sender.try_send(()).unwrap();
        assert!(noticed(&mut notices).await);
        assert_eq!(began.elapsed(), Duration::ZERO);
        assert!(!noticed(&mut notices).await);
        assert_eq!(began.elapsed(), POLL);
        drop(sender);
        assert!(!noticed(&mut notices).await);
        assert_eq!(began.elapsed(), POLL * 2);
    }
}
