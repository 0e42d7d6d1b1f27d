//! Keeps the geo database: reads the one that a config names, and watches its file for a new one. A new file is used without
//! a reload; one that cannot be used changes nothing but an event, a log line and the status.

use std::{
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};
use thalweg_config::{ConfigError, GeoSettings, Placed};
use tokio::{sync::mpsc, task::spawn_blocking, time::sleep};

use crate::{
    control::{
        folders::{Folders, SETTLE, noticed},
        state::Control,
        wall_clock,
    },
    shared::geo::{FileStamp, GeoDatabase, RejectedGeoFile},
};

/// What a config does to the database in force.
#[derive(Debug)]
pub enum GeoChange {
    /// The database stays: the config names the same file.
    None,
    /// This one takes its place; `None` = the config names none.
    To(Option<Arc<GeoDatabase>>),
}

/// Reads the database that a config names, unless it is in force already.
///
/// # Errors
/// The file that it names cannot be used.
pub async fn read(control: &Control, settings: &GeoSettings) -> Result<GeoChange, ConfigError> {
    let in_force = control.shared.geo.load().as_ref().map(|database| database.path.clone());
    match &settings.database {
        None if in_force.is_none() => Ok(GeoChange::None),
        None => Ok(GeoChange::To(None)),
        Some(placed) if in_force.as_ref() == Some(&placed.value) => Ok(GeoChange::None),
        Some(placed) => {
            let database =
                in_background(&placed.value).await.map_err(|problem| misplaced(placed, &problem))?;
            Ok(GeoChange::To(Some(Arc::new(database))))
        }
    }
}

/// The error of a database that a config names, for commands that need no edge.
#[must_use]
pub fn check(settings: &GeoSettings) -> Option<ConfigError> {
    let placed = settings.database.as_ref()?;
    GeoDatabase::read(&placed.value).err().map(|problem| misplaced(placed, &problem))
}

fn misplaced(placed: &Placed<PathBuf>, problem: &str) -> ConfigError {
    ConfigError {
        span: placed.span.clone(),
        path: placed.path.clone(),
        problem: format!("the file {} {problem}", placed.value.display()),
        hint: Some("a database in MaxMind's format with countries, such as GeoLite2-Country.mmdb".into()),
    }
}

/// Puts what [`read`] found into force.
pub fn adopt(control: &Control, change: GeoChange) {
    if let GeoChange::To(database) = change {
        if let Some(database) = &database {
            tell(control, database);
        }
        control.geo_rejected.replace(None);
        control.shared.geo.store(database);
    }
}

fn tell(control: &Control, database: &GeoDatabase) {
    let (path, kind) = (database.path.display().to_string(), database.kind());
    let built = wall_clock::rfc3339(database.built());
    tracing::info!(path, kind, built, "geo database in use");
    control.events.add("geo_database", json!({ "path": path, "kind": kind, "built": built }));
}

async fn in_background(path: &Path) -> Result<GeoDatabase, String> {
    let path = path.to_owned();
    let read = spawn_blocking(move || GeoDatabase::read(&path)).await;
    read.unwrap_or_else(|panicked| Err(panicked.to_string()))
}

/// Uses each new file in the place of the database in force.
pub async fn run(control: Rc<Control>) {
    let mut published = control.shared.published.subscribe();
    let mut watched: Option<(Folders, mpsc::Receiver<()>)> = None;
    loop {
        let path = control.shared.geo.load().as_ref().map(|database| database.path.clone());
        let Some(path) = path else {
            // A config that names a database is published behind it.
            watched = None;
            if published.changed().await.is_err() {
                return;
            }
            continue;
        };
        let (folders, notices) = watched.get_or_insert_with(|| {
            let (sender, notices) = mpsc::channel(1);
            (Folders::new(sender), notices)
        });
        folders.follow(std::slice::from_ref(&path));
        noticed(notices).await;
        refresh(&control, &path).await;
    }
}

/// Reads the file again if it has changed, and uses it if it can be used.
async fn refresh(control: &Control, path: &Path) {
    let mut seen = FileStamp::of(path);
    if is_known(control, path, seen) {
        return;
    }
    // A file that is being written is read when it has come to rest.
    loop {
        sleep(SETTLE).await;
        let now = FileStamp::of(path);
        if now == seen {
            break;
        }
        seen = now;
    }
    let read = in_background(path).await;
    // A reload may have named another file meanwhile.
    if control.shared.geo.load().as_ref().is_none_or(|database| database.path != path) {
        return;
    }
    match read {
        Ok(database) => adopt(control, GeoChange::To(Some(Arc::new(database)))),
        Err(problem) => {
            let path = path.to_owned();
            tracing::warn!(path = %path.display(), problem, "geo database not used: the one in use stays");
            let shown = path.display().to_string();
            control.events.add("geo_database_rejected", json!({ "path": shown, "problem": problem }));
            control.geo_rejected.replace(Some(RejectedGeoFile { path, stamp: seen, problem }));
        }
    }
}

/// Is this state of the file the one in force, or one that could not be used?
fn is_known(control: &Control, path: &Path, stamp: Option<FileStamp>) -> bool {
    let rejected = control.geo_rejected.borrow();
    if let Some(rejected) = rejected.as_ref().filter(|rejected| rejected.path == path) {
        return rejected.stamp == stamp;
    }
    control.shared.geo.load().as_ref().is_some_and(|database| database.stamp == stamp)
}

/// For the status: the database in force, how old it is, and why a newer file is not used.
#[must_use]
pub fn shown(control: &Control) -> Value {
    let in_force = control.shared.geo.load();
    let Some(database) = in_force.as_ref() else { return Value::Null };
    let problem = control.geo_rejected.borrow().as_ref().map(|rejected| rejected.problem.clone());
    let age: Option<Duration> = SystemTime::now().duration_since(database.built()).ok();
    json!({
        "database": database.path.display().to_string(), "kind": database.kind(),
        "built": wall_clock::rfc3339(database.built()), "age_seconds": age.map(|age| age.as_secs()),
        "read": wall_clock::rfc3339(database.read), "problem": problem,
    })
}
