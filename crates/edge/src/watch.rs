//! Watches the config's files: by the kernel's notices on their folders (symlink swaps, renames, truncations), and by
//! looking every two seconds. Any sign is a "maybe"; two equal readings 100 ms apart decide. Never applies anything.

use std::{
    collections::BTreeSet,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    rc::Rc,
    time::Duration,
};

use notify::{RecursiveMode, Watcher};
use thalweg_config::ConfigErrors;
use tokio::{sync::mpsc, time::sleep};

use crate::{
    reload::{Reloader, Request},
    wiring::Prepared,
};

/// Gap between two readings that must be equal.
const SETTLE: Duration = Duration::from_millis(100);
/// How often the files are looked at even if nobody gave notice.
const POLL: Duration = Duration::from_secs(2);

/// Asks for a reload whenever the files have come to say something new.
pub async fn run(reloader: Rc<Reloader>, reloads: mpsc::Sender<Request>) {
    // One notice may wait: it says "look", not what to look at.
    let (sender, mut notices) = mpsc::channel(1);
    let mut folders = Folders::new(sender);
    let mut seen = looks(&reloader.files());
    loop {
        folders.follow(&reloader.files());
        let noticed = tokio::select! {
            notice = notices.recv() => notice.is_some(),
            () = sleep(POLL) => false,
        };
        let now = looks(&reloader.files());
        if !noticed && now == seen && !reloader.is_refused() {
            continue;
        }
        seen = now;
        if !settled_on_news(&reloader).await {
            continue;
        }
        // The reloader reads once more: what it applies is never older than what was seen here.
        let (reply, done) = tokio::sync::oneshot::channel();
        if reloads.send(Request { cause: "file", reply: Some(reply) }).await.is_err() {
            return;
        }
        // Until it ends, what is "known" is not settled.
        let _ = done.await;
    }
}

/// Two equal readings in a row, and not what is known already.
async fn settled_on_news(reloader: &Reloader) -> bool {
    let mut before = reloader.read().await;
    loop {
        if reloader.is_known(&before) {
            return false;
        }
        sleep(SETTLE).await;
        let now = reloader.read().await;
        if equal(&before, &now) {
            return !reloader.is_known(&now);
        }
        before = now;
    }
}

fn equal(one: &Result<Prepared, ConfigErrors>, other: &Result<Prepared, ConfigErrors>) -> bool {
    match (one, other) {
        (Ok(one), Ok(other)) => one.same_as(other),
        (Err(one), Err(other)) => one == other,
        _ => false,
    }
}

/// What the file system says about each file without reading it, symlinks followed.
fn looks(files: &[PathBuf]) -> Vec<Option<(u64, u64, u64, i64, i64)>> {
    let look = |file: &PathBuf| {
        let data = std::fs::metadata(file).ok()?;
        Some((data.dev(), data.ino(), data.size(), data.mtime(), data.mtime_nsec()))
    };
    files.iter().map(look).collect()
}

/// The folders that are watched.
struct Folders {
    watcher: Option<notify::RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
}

impl Folders {
    fn new(notices: mpsc::Sender<()>) -> Self {
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let reading = event.is_ok_and(|event| event.kind.is_access());
            if !reading {
                // Full: a notice is waiting already.
                let _ = notices.try_send(());
            }
        });
        if let Err(error) = &watcher {
            tracing::warn!(%error, "no file notices: looking every two seconds instead");
        }
        Self { watcher: watcher.ok(), watched: BTreeSet::new() }
    }

    fn follow(&mut self, files: &[PathBuf]) {
        let Some(watcher) = &mut self.watcher else { return };
        let folder = |file: &PathBuf| {
            let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
            parent.unwrap_or(Path::new(".")).to_owned()
        };
        let wanted: BTreeSet<PathBuf> = files.iter().map(folder).collect();
        for gone in self.watched.difference(&wanted) {
            // A folder that no longer exists is not watched any more anyway.
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
