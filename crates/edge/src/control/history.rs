//! The configs that were in force, with their whole text: what a rollback goes back to. Kept in memory, and in
//! `[edge] state_dir` if there is one, where they outlive the process.
//!
//! Why whole texts and not differences or a version-control tool: an edge must be able to go back at night, without a
//! network and without any other file that is still as it was. Certificates, keys and tokens are not kept: a rollback
//! uses those of today.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use tokio::{sync::Mutex, task::spawn_blocking};

use crate::control::{
    events::Events,
    history_file::{self, KeptConfig},
    wall_clock,
};

/// Configs that are kept.
pub const KEPT: usize = 20;
/// Bytes of text that are kept in memory over all configs; the config in force is kept whatever its size.
const MAX_BYTES: usize = 64 << 20;

/// The kept configs. Lives on the control thread.
#[derive(Debug, Default)]
pub struct History {
    entries: RefCell<Vec<KeptConfig>>,
    /// Where the entries are stored, and the generations that are there as they are here.
    stored: RefCell<(Option<PathBuf>, BTreeSet<u64>)>,
    /// Why the last attempt to store them failed.
    error: RefCell<Option<String>>,
    /// One write at a time.
    turn: Mutex<()>,
}

impl History {
    /// Takes in what earlier processes kept in this folder.
    pub fn fill(&self, state_dir: Option<PathBuf>, entries: Vec<KeptConfig>) {
        let known = entries.iter().map(|kept| kept.generation).collect();
        self.entries.replace(entries);
        self.stored.replace((state_dir, known));
        self.shorten();
    }

    /// Adds the config that comes into force; the oldest ones leave.
    pub fn add(&self, kept: KeptConfig) {
        let mut entries = self.entries.borrow_mut();
        entries.retain(|other| other.generation < kept.generation);
        entries.push(kept);
        drop(entries);
        self.shorten();
    }

    fn shorten(&self) {
        let mut entries = self.entries.borrow_mut();
        let too_much = |entries: &[KeptConfig]| {
            entries.len() > KEPT || entries.iter().map(KeptConfig::bytes).sum::<usize>() > MAX_BYTES
        };
        while entries.len() > 1 && too_much(&entries) {
            entries.remove(0);
        }
    }

    /// Takes an entry away again, whose config did not come into force.
    pub fn withdraw(&self, generation: u64) {
        self.entries.borrow_mut().retain(|kept| kept.generation != generation);
    }

    /// Whether a generation is on trial from now on.
    pub fn set_trial(&self, generation: u64, trial: bool) {
        let mut entries = self.entries.borrow_mut();
        if let Some(kept) = entries.iter_mut().find(|kept| kept.generation == generation) {
            kept.trial = trial;
            self.stored.borrow_mut().1.remove(&generation);
        }
    }

    /// The config of a generation.
    #[must_use]
    pub fn get(&self, generation: u64) -> Option<KeptConfig> {
        self.entries.borrow().iter().find(|kept| kept.generation == generation).cloned()
    }

    /// The newest entry: the config in force.
    #[must_use]
    pub fn newest(&self) -> Option<KeptConfig> {
        self.entries.borrow().last().cloned()
    }

    /// The newest generation before this one that is not on trial and was not taken back.
    #[must_use]
    pub fn confirmed_before(&self, generation: u64) -> Option<u64> {
        let entries = self.entries.borrow();
        let fits = |kept: &&KeptConfig| kept.generation < generation && !kept.trial;
        entries.iter().rev().find(fits).map(|kept| kept.generation)
    }

    /// The kept generations, oldest first.
    #[must_use]
    pub fn generations(&self) -> Vec<u64> {
        self.entries.borrow().iter().map(|kept| kept.generation).collect()
    }

    /// What a rollback without a number goes back to: the last config before the one in force that says something else
    /// and was not taken back. After a rollback, the next one goes further back.
    #[must_use]
    pub fn before(&self) -> Option<KeptConfig> {
        before(&self.entries.borrow())
    }

    /// For the API: the kept configs without their texts, oldest first.
    #[must_use]
    pub fn shown(&self) -> Value {
        let entries = self.entries.borrow();
        let newest = entries.last().map(|kept| kept.generation);
        let stored = self.stored.borrow();
        let one = |kept: &KeptConfig| {
            let in_force = Some(kept.generation) == newest;
            let state = match (in_force, kept.trial) {
                (true, true) => "on_trial",
                (true, false) => "in_force",
                (false, true) => "taken_back",
                (false, false) => "kept",
            };
            let since = std::time::UNIX_EPOCH + std::time::Duration::from_millis(kept.unix_ms);
            let files: Vec<String> = kept.texts.iter().map(|one| one.path.display().to_string()).collect();
            json!({
                "generation": kept.generation, "time": wall_clock::rfc3339(since), "state": state,
                "cause": kept.cause.as_str(), "who": kept.who, "why": kept.why, "hash": kept.hash,
                "repeats": kept.repeats, "files": files, "bytes": kept.bytes(),
                "stored": stored.1.contains(&kept.generation),
            })
        };
        entries.iter().map(one).collect()
    }

    /// Whether the newest entry is on disk.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        let newest = self.entries.borrow().last().map(|kept| kept.generation);
        newest.is_some_and(|generation| self.stored.borrow().1.contains(&generation))
    }

    /// Stores what is not on disk yet; without a folder, nothing. A folder that cannot be written is told once per
    /// reason: the reload that it follows counts all the same.
    pub async fn store(&self, state_dir: Option<PathBuf>, edge: &str, events: &Events) {
        let _turn = self.turn.lock().await;
        {
            let mut stored = self.stored.borrow_mut();
            if stored.0 != state_dir {
                *stored = (state_dir.clone(), BTreeSet::new());
            }
        }
        let Some(state_dir) = state_dir else { return };
        let entries: Vec<KeptConfig> = self.entries.borrow().iter().cloned().collect();
        let known = self.stored.borrow().1.clone();
        let (target, edge) = (state_dir.clone(), edge.to_owned());
        let written = spawn_blocking(move || write(&target, &edge, &entries, &known)).await;
        let (known, result) = match written {
            Ok(written) => written,
            Err(panicked) => (BTreeSet::new(), Err(io::Error::other(panicked))),
        };
        self.stored.borrow_mut().1 = known;
        match result {
            Ok(()) => drop(self.error.replace(None)),
            Err(error) => {
                let error = error.to_string();
                if self.error.borrow().as_ref() != Some(&error) {
                    let folder = history_file::folder(&state_dir);
                    tracing::warn!(folder = %folder.display(), error, "configs cannot be stored: after a restart there is no rollback to them");
                    let entry = json!({ "folder": folder.display().to_string(), "error": error });
                    events.add("history_not_stored", entry);
                }
                self.error.replace(Some(error));
            }
        }
    }

    /// Why the last attempt to store configs failed.
    #[must_use]
    pub fn error(&self) -> Option<String> {
        self.error.borrow().clone()
    }
}

/// Writes the entries that are not known to be on disk, and removes the others' files. Returns what is on disk then.
fn write(
    state_dir: &Path,
    edge: &str,
    entries: &[KeptConfig],
    known: &BTreeSet<u64>,
) -> (BTreeSet<u64>, io::Result<()>) {
    let kept: BTreeSet<u64> = entries.iter().map(|kept| kept.generation).collect();
    let mut on_disk: BTreeSet<u64> = known.intersection(&kept).copied().collect();
    for one in entries.iter().filter(|one| !known.contains(&one.generation)) {
        if let Err(error) = history_file::write(state_dir, edge, one) {
            return (on_disk, Err(error));
        }
        on_disk.insert(one.generation);
    }
    let pruned = history_file::prune(state_dir, |generation| kept.contains(&generation));
    (on_disk, pruned)
}

fn before(entries: &[KeptConfig]) -> Option<KeptConfig> {
    let newest = entries.last()?;
    let from = newest.repeats.unwrap_or(newest.generation);
    let fits = |kept: &&KeptConfig| {
        kept.generation < from && !kept.trial && kept.repeats.is_none() && kept.texts != newest.texts
    };
    entries.iter().rev().find(fits).cloned()
}

/// What a process begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// The files, as a new generation.
    Files {
        /// Its number.
        generation: u64,
    },
    /// The files, which are the newest entry: nothing has changed since the last process.
    Same,
    /// The entry of this generation: its files were passed over, or were on trial, and have not changed since.
    Kept {
        /// The entry to begin with.
        generation: u64,
        /// The last process ended while its config was on trial.
        trial: bool,
    },
}

/// What to begin with, when the files have this digest. A config that was taken back does not return by a restart: that
/// would undo at night what someone decided in the evening.
#[must_use]
pub fn beginning(entries: &[KeptConfig], digest: &str) -> Beginning {
    let Some(newest) = entries.last() else { return Beginning::Files { generation: 1 } };
    let written = thalweg_config::digest(&newest.texts);
    if newest.trial && written == digest {
        let confirmed = entries.iter().rev().find(|kept| !kept.trial);
        if let Some(kept) = confirmed {
            return Beginning::Kept { generation: kept.generation, trial: true };
        }
    }
    if newest.passed_over.as_deref() == Some(digest) && !newest.trial {
        return Beginning::Kept { generation: newest.generation, trial: false };
    }
    if written == digest && !newest.trial {
        return Beginning::Same;
    }
    Beginning::Files { generation: newest.generation.saturating_add(1) }
}

#[cfg(test)]
mod tests {
    use thalweg_config::ConfigText;
    use thalweg_testkit::Scratch;

    use super::*;
    use crate::control::history_file::HistoryCause;

    fn kept(generation: u64, text: &str) -> KeptConfig {
        let text = ConfigText { path: "t.toml".into(), text: text.into() };
        KeptConfig {
            generation,
            unix_ms: 0,
            cause: HistoryCause::File,
            who: "file".into(),
            why: "".into(),
            hash: text.text.as_ref().into(),
            repeats: None,
            trial: false,
            passed_over: None,
            texts: vec![text].into(),
        }
    }

    fn digest(text: &str) -> String {
        thalweg_config::digest(&kept(0, text).texts)
    }

    #[test]
    fn the_newest_twenty_are_kept_and_no_more_text_than_allowed() {
        let history = History::default();
        for generation in 1..=25 {
            history.add(kept(generation, "a"));
        }
        assert_eq!(history.generations(), (6..=25).collect::<Vec<_>>());
        history.add(kept(26, &"x".repeat(MAX_BYTES)));
        assert_eq!(history.generations(), [26], "the config in force is kept whatever its size");
        history.withdraw(26);
        assert_eq!(history.newest(), None);
    }

    #[test]
    fn a_rollback_goes_to_the_last_other_config_and_the_next_one_further_back() {
        let repeats = |generation, text, of| KeptConfig { repeats: Some(of), ..kept(generation, text) };
        let taken_back = |generation, text| KeptConfig { trial: true, ..kept(generation, text) };
        for (entries, expected) in [
            (vec![], None),
            (vec![kept(1, "a")], None),
            (vec![kept(1, "a"), kept(2, "b")], Some(1)),
            (vec![kept(1, "a"), kept(2, "b"), kept(3, "b")], Some(1)),
            (vec![kept(1, "a"), kept(2, "b"), kept(3, "c"), repeats(4, "b", 2)], Some(1)),
            (vec![kept(1, "a"), kept(2, "b"), repeats(3, "a", 1)], None),
            (vec![kept(1, "a"), taken_back(2, "b"), repeats(3, "a", 1), kept(4, "c")], Some(1)),
        ] {
            assert_eq!(before(&entries).map(|kept| kept.generation), expected, "{entries:?}");
        }
    }

    #[test]
    fn a_start_begins_with_the_files_unless_they_were_taken_back() {
        let trial = |generation, text| KeptConfig { trial: true, ..kept(generation, text) };
        let instead = |generation, text, of: &str| KeptConfig {
            passed_over: Some(digest(of).into()),
            ..kept(generation, text)
        };
        for (entries, files, expected) in [
            (vec![], "a", Beginning::Files { generation: 1 }),
            (vec![kept(7, "a")], "a", Beginning::Same),
            (vec![kept(7, "a")], "b", Beginning::Files { generation: 8 }),
            (vec![kept(7, "a"), trial(8, "b")], "b", Beginning::Kept { generation: 7, trial: true }),
            (vec![kept(7, "a"), trial(8, "b")], "c", Beginning::Files { generation: 9 }),
            (vec![kept(7, "a"), trial(8, "b")], "a", Beginning::Files { generation: 9 }),
            (vec![trial(8, "b")], "b", Beginning::Files { generation: 9 }),
            (vec![instead(9, "a", "b")], "b", Beginning::Kept { generation: 9, trial: false }),
            (vec![instead(9, "a", "b")], "c", Beginning::Files { generation: 10 }),
            (vec![instead(9, "a", "b")], "a", Beginning::Same),
        ] {
            assert_eq!(beginning(&entries, &digest(files)), expected, "{files} after {entries:?}");
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_folder_that_cannot_be_written_is_told_once_and_costs_only_the_keeping() {
        let (scratch, events, history) = (Scratch::new(), Events::default(), History::default());
        let taken = scratch.write("taken", "a file");
        history.add(kept(1, "a"));
        for _ in 0..2 {
            history.store(Some(taken.clone()), "e", &events).await;
        }
        assert!(history.error().is_some() && !history.is_stored());
        assert_eq!(events.array().matches("history_not_stored").count(), 1, "{}", events.array());
        history.store(Some(scratch.join("good")), "e", &events).await;
        assert!(history.error().is_none() && history.is_stored());
        assert_eq!(history_file::read_all(&scratch.join("good"), "e").0, [kept(1, "a")]);
    }
}
