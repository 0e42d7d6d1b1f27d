//! Where orders and latched failovers outlive a restart: one small file in `[edge] state_dir`, replaced as a whole (write, fsync, rename), so
//! that a reader finds the old content or the new and never a half. Never trusts what it reads, and never deletes it: a
//! file that cannot be used is kept aside.

use std::{
    cell::RefCell,
    fs, io,
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use thalweg_core::{Event, Moment, Order, Snapshot};
use tokio::{sync::Mutex, task::spawn_blocking, time::timeout};

use crate::control::{
    disk::{read, replace},
    order_json::moment_now,
    state::Control,
    state_file::{self, Latch, SavedState},
};

/// The file's name.
const NAME: &str = "state.json";
/// Longest file that is read: 1,000 orders with the longest texts take about 3 MB.
const MAX_BYTES: u64 = 16 << 20;
/// The file is written again when it is this old, so that its age says for how long the edge was away.
const REFRESH: Duration = Duration::from_secs(3600);

/// What is stored, and how the last attempt went.
#[derive(Debug, Default)]
pub struct StateStore {
    stored: RefCell<Option<Stored>>,
    /// Why the last attempt failed.
    error: RefCell<Option<String>>,
    /// Latches that were read and not given to the world yet: they need the routes of the first config.
    read: RefCell<Vec<Latch>>,
    /// One write at a time.
    turn: Mutex<()>,
}

#[derive(Debug)]
struct Stored {
    folder: PathBuf,
    orders: Arc<Vec<Order>>,
    latches: Vec<Latch>,
    at: Instant,
}

impl StateStore {
    /// For the status: where state is stored, and what went wrong there; null without a `state_dir`.
    #[must_use]
    pub fn shown(&self, control: &Control) -> Value {
        let Some(folder) = folder(control) else { return Value::Null };
        json!({ "file": folder.join(NAME).display().to_string(), "error": *self.error.borrow() })
    }

    /// Whether the orders that stand are stored.
    #[must_use]
    pub fn keeps(&self, control: &Control) -> bool {
        folder(control).is_some() && self.error.borrow().is_none()
    }
}

fn folder(control: &Control) -> Option<PathBuf> {
    control.shared.live.load().wiring.config.edge.state_dir.clone()
}

/// Gives the world the orders that stood when the last process ended. Called before the first config, so that they are
/// in force before the first request.
/// Without the text of a predecessor that still runs, they are read from the file.
pub async fn restore(control: &Control, handed_over: Option<&str>) {
    let edge = control.shared.live.load().wiring.config.edge.name.clone();
    let now = moment_now(control.shared.now());
    let read = match (handed_over, folder(control)) {
        (Some(text), _) => state_file::decode(text.as_bytes(), &edge, now),
        (None, Some(folder)) => {
            let read = spawn_blocking(move || load(&folder, &edge, now)).await;
            read.unwrap_or_else(|panicked| Err(panicked.to_string()))
        }
        (None, None) => return,
    };
    match read {
        Ok(state) => {
            control.last_order.set(state.last_order);
            control.store.read.replace(state.latches);
            if !state.orders.is_empty() {
                control.keeper.tell(Event::Restored(state.orders)).await;
            }
        }
        Err(problem) => {
            tracing::warn!(problem, "stored state not used: no order and no latch stands");
            control.events.add("state_rejected", json!({ "problem": problem }));
        }
    }
}

/// Gives the world the latches that [`restore`] read. Called after the first config and before a listener opens; returns
/// when they are in force. A latch whose route or pool is gone, or that is latched no more, is dropped.
pub async fn relatch(control: &Control) {
    let latches = control.store.read.take();
    if latches.is_empty() {
        return;
    }
    tracing::warn!(
        latches = latches.len(),
        "failovers from before the restart still wait for `thalweg failback`"
    );
    let event = |Latch { route, pool }| Event::Latched { route, pool };
    let events = latches.into_iter().map(event).collect();
    control.keeper.decide(|_| (events, ())).await;
}

/// The pools that latched routes have left.
fn latches(snapshot: &Snapshot) -> Vec<Latch> {
    let topology = &snapshot.layout.topology;
    let latched =
        topology.routes.iter().zip(&snapshot.routes).filter(|(route, _)| route.failback.is_latched());
    let left = latched.flat_map(|(route, view)| {
        let members = route.pools.iter().zip(&view.pools).filter(|(_, member)| member.held || member.left);
        members.filter_map(|(member, _)| {
            let pool = topology.pool(member.pool)?.name.clone();
            Some(Latch { route: route.name.clone(), pool })
        })
    });
    left.collect()
}

/// The orders and latches that stand, in the form of the file.
#[must_use]
pub fn text(control: &Control) -> String {
    let live = control.shared.live.load();
    let state = SavedState {
        last_order: control.last_order.get(),
        orders: live.snapshot.orders.to_vec(),
        latches: latches(&live.snapshot),
    };
    state_file::encode(&live.wiring.config.edge.name, &state, moment_now(control.shared.now()))
}

/// Stores the orders and latches that stand, unless that is done. Returns when they are on disk, or cannot be.
pub async fn store(control: &Control) {
    let store = &control.store;
    let _turn = store.turn.lock().await;
    let (folder, edge, orders, latches) = {
        let live = control.shared.live.load();
        let edge = &live.wiring.config.edge;
        let orders = Arc::clone(&live.snapshot.orders);
        (edge.state_dir.clone(), edge.name.clone(), orders, latches(&live.snapshot))
    };
    let Some(folder) = folder else { return };
    let done = store.stored.borrow().as_ref().is_some_and(|stored| {
        let same = Arc::ptr_eq(&stored.orders, &orders) && stored.latches == latches;
        stored.folder == folder && same && stored.at.elapsed() < REFRESH
    });
    if done {
        return;
    }
    let last_order = control.last_order.get();
    let state = SavedState { last_order, orders: orders.to_vec(), latches: latches.clone() };
    let text = state_file::encode(&edge, &state, moment_now(control.shared.now()));
    let target = folder.clone();
    let written = spawn_blocking(move || replace(&target, NAME, text.as_bytes())).await;
    match written.unwrap_or_else(|panicked| Err(io::Error::other(panicked))) {
        Ok(()) => {
            store.stored.replace(Some(Stored { folder, orders, latches, at: Instant::now() }));
            store.error.replace(None);
        }
        Err(error) => {
            let error = error.to_string();
            // Once per reason: the next attempt comes with the next change.
            if store.error.borrow().as_ref() != Some(&error) {
                tracing::error!(folder = %folder.display(), error, "orders cannot be stored: a restart ends them, and latched failovers");
                let entry = json!({ "folder": folder.display().to_string(), "error": error });
                control.events.add("state_not_stored", entry);
            }
            store.error.replace(Some(error));
        }
    }
}

/// Stores what changes without an operator: orders that expire or lose their target, failovers, and another `state_dir`.
pub async fn run(control: Rc<Control>) {
    let mut published = control.shared.published.subscribe();
    loop {
        store(&control).await;
        if let Ok(Err(_)) = timeout(REFRESH, published.changed()).await {
            return;
        }
    }
}

/// Reads the stored state of this edge. A file that cannot be used is renamed, so that nothing is written over it.
fn load(folder: &Path, edge: &str, now: Moment) -> Result<SavedState, String> {
    let path = folder.join(NAME);
    let read = match read(&path, MAX_BYTES) {
        Ok(bytes) => state_file::decode(&bytes, edge, now),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(SavedState::default()),
        Err(error) => Err(format!("cannot be read: {error}")),
    };
    read.map_err(|problem| {
        let aside = folder.join(format!("{NAME}.rejected-{}", now.unix_ms));
        let kept = match fs::rename(&path, &aside) {
            Ok(()) => format!("kept as {}", aside.display()),
            Err(error) => format!("cannot be kept aside: {error}"),
        };
        format!("{} {problem}; {kept}", path.display())
    })
}

#[cfg(test)]
mod tests {
    use thalweg_core::{Action, OrderId};
    use thalweg_testkit::Scratch;

    use super::*;

    const NOW: Moment = Moment { at: thalweg_core::Tick(1), unix_ms: 1_800_000_000_000 };

    fn state() -> SavedState {
        let order = Order::new(OrderId(4), Action::Freeze { route: None }, NOW);
        SavedState { last_order: 4, orders: vec![order], latches: vec![] }
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_stored_is_loaded_and_an_empty_folder_is_empty_state() {
        let scratch = Scratch::new();
        let folder = scratch.join("a/b");
        assert_eq!(load(&folder, "e", NOW), Ok(SavedState::default()));
        for _ in 0..2 {
            replace(&folder, NAME, state_file::encode("e", &state(), NOW).as_bytes()).unwrap();
            assert_eq!(load(&folder, "e", NOW), Ok(state()));
            assert_eq!(names(&folder), [NAME]);
        }
    }

    #[test]
    fn a_file_that_cannot_be_used_is_kept_aside_and_the_next_start_is_clean() {
        let scratch = Scratch::new();
        let text = state_file::encode("other", &state(), NOW);
        for (nth, content) in ["", "{", &text, &text[..40]].iter().enumerate() {
            let folder = scratch.join(format!("{nth}"));
            replace(&folder, NAME, content.as_bytes()).unwrap();
            let problem = load(&folder, "e", NOW).unwrap_err();
            let aside = format!("{NAME}.rejected-{}", NOW.unix_ms);
            assert!(problem.contains(&aside), "{problem}");
            assert_eq!(fs::read(folder.join(&aside)).unwrap(), content.as_bytes(), "nothing is lost");
            assert_eq!(load(&folder, "e", NOW), Ok(SavedState::default()));
        }
        let folder = scratch.join("folder");
        fs::create_dir_all(folder.join(NAME)).unwrap();
        assert!(load(&folder, "e", NOW).unwrap_err().contains("it is no file"));
    }
}
