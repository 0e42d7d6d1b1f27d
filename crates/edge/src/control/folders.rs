//! Notices that one of some files may have changed: inotify on their folders, and a check every two seconds. Reads no file.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use notify::{RecursiveMode, Watcher};
use tokio::{sync::mpsc, time::sleep};

/// Gap between two readings of a file that must be equal.
pub(super) const SETTLE: Duration = Duration::from_millis(100);
/// How often the files are checked without an event.
const POLL: Duration = Duration::from_secs(2);

/// The watched folders.
pub(super) struct Folders {
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
    pub(super) fn new(notices: mpsc::Sender<()>) -> Self {
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

    pub(super) fn follow(&mut self, files: &[PathBuf]) {
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

/// Waits for a notice, at most until the next check. Returns whether there was one.
pub(super) async fn noticed(notices: &mut mpsc::Receiver<()>) -> bool {
    tokio::select! {
        // Without inotify the sender is gone and `recv` returns `None` at once, which must not cut the wait short.
        Some(()) = notices.recv() => true,
        () = sleep(POLL) => false,
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
