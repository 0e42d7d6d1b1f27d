//! A config that was in force, as a value and as a file: one file per config, replaced as a whole, in `configs` below
//! `[edge] state_dir`. `history` says which ones are kept. Never trusts what it reads: a file that cannot be used is left
//! alone.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::{Value, json};
use thalweg_config::ConfigText;

use crate::control::disk;

/// The folder of the files.
const FOLDER: &str = "configs";
/// What a file says that it is.
const FORMAT: &str = "thalweg-config";
/// Version of the format. It grows when an older reader would misread the file.
const VERSION: u64 = 1;
/// Longest file that is read: texts of 16 MiB with every byte escaped.
const MAX_BYTES: u64 = 112 << 20;

/// Why a config came into force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HistoryCause {
    /// The process began with it.
    Start,
    /// The files changed.
    File,
    /// A signal asked for a reload.
    Signal,
    /// A call asked for a reload.
    Api,
    /// A bundle of the fleet arrived.
    Bundle,
    /// A call asked for an earlier config.
    Rollback,
    /// A trial ended without a confirmation.
    Revert,
}

impl HistoryCause {
    const ALL: [Self; 7] =
        [Self::Start, Self::File, Self::Signal, Self::Api, Self::Bundle, Self::Rollback, Self::Revert];

    /// The spelling in files and in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::File => "file",
            Self::Signal => "signal",
            Self::Api => "api",
            Self::Bundle => "bundle",
            Self::Rollback => "rollback",
            Self::Revert => "revert",
        }
    }

    /// The cause of this spelling.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.as_str() == name)
    }
}

/// One config that came into force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptConfig {
    /// Its number.
    pub generation: u64,
    /// When it came into force, Unix time.
    pub unix_ms: u64,
    /// Why it came into force.
    pub cause: HistoryCause,
    /// The caller that asked for it.
    pub who: Box<str>,
    /// The reason that was given; may be empty.
    pub why: Box<str>,
    /// The hash of the config, as in the status.
    pub hash: Box<str>,
    /// The earlier generation whose texts it repeats.
    pub repeats: Option<u64>,
    /// The config is on trial, or was taken back: it is not confirmed.
    pub trial: bool,
    /// The digest of the files that it came into force instead of: they do not count until they change.
    pub passed_over: Option<Box<str>>,
    /// What its files say, the main one first.
    pub texts: Arc<[ConfigText]>,
}

impl KeptConfig {
    /// Bytes of text.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.texts.iter().map(|one| one.text.len()).sum()
    }
}

/// The folder of the files below this `state_dir`.
#[must_use]
pub fn folder(state_dir: &Path) -> PathBuf {
    state_dir.join(FOLDER)
}

/// Stores a config of the edge of this name.
///
/// # Errors
/// Why the file cannot be written.
pub fn write(state_dir: &Path, edge: &str, kept: &KeptConfig) -> io::Result<()> {
    disk::replace(&folder(state_dir), &name(kept.generation), encode(edge, kept).as_bytes())
}

/// Removes the files of all generations for which `keep` is false.
///
/// # Errors
/// Why a file cannot be removed.
pub fn prune(state_dir: &Path, keep: impl Fn(u64) -> bool) -> io::Result<()> {
    for entry in fs::read_dir(folder(state_dir))? {
        let path = entry?.path();
        if generation_of(&path).is_some_and(|generation| !keep(generation)) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// The configs of the edge of this name, oldest first, and why the other files cannot be used.
#[must_use]
pub fn read_all(state_dir: &Path, edge: &str) -> (Vec<KeptConfig>, Vec<String>) {
    let (mut kept, mut problems) = (Vec::new(), Vec::new());
    let entries = match fs::read_dir(folder(state_dir)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return (kept, problems),
        Err(error) => return (kept, vec![format!("{}: {error}", folder(state_dir).display())]),
    };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if generation_of(&path).is_none() {
            continue;
        }
        let read = disk::read(&path, MAX_BYTES).map_err(|error| format!("cannot be read: {error}"));
        match read.and_then(|bytes| decode(&bytes, edge)) {
            Ok(one) => kept.push(one),
            Err(problem) => problems.push(format!("{} {problem}", path.display())),
        }
    }
    kept.sort_by_key(|kept| kept.generation);
    (kept, problems)
}

fn name(generation: u64) -> String {
    format!("{generation:010}.json")
}

fn generation_of(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_suffix(".json")?.parse().ok()
}

fn encode(edge: &str, kept: &KeptConfig) -> String {
    let text = |one: &ConfigText| json!({ "path": one.path.to_string_lossy(), "text": &*one.text });
    let texts: Vec<Value> = kept.texts.iter().map(text).collect();
    let file = json!({
        "format": FORMAT, "version": VERSION, "edge": edge, "generation": kept.generation,
        "since": kept.unix_ms, "cause": kept.cause.as_str(), "who": kept.who, "why": kept.why,
        "hash": kept.hash, "repeats": kept.repeats, "trial": kept.trial, "passed_over": kept.passed_over,
        "texts": texts,
    });
    format!("{file}\n")
}

fn decode(bytes: &[u8], edge: &str) -> Result<KeptConfig, String> {
    let file: Value = serde_json::from_slice(bytes).map_err(|error| format!("is no JSON: {error}"))?;
    let get = |name: &str| file.get(name).unwrap_or(&Value::Null);
    if get("format") != FORMAT {
        return Err("was not written by thalweg".into());
    }
    if get("version").as_u64() != Some(VERSION) {
        return Err(format!("has version {}, and this edge reads version {VERSION}", get("version")));
    }
    if get("edge") != edge {
        return Err(format!("belongs to the edge {}, and this is {edge:?}", get("edge")));
    }
    let text = |name: &str| get(name).as_str().map(Box::from);
    let need = |name: &str| text(name).ok_or_else(|| format!("has no `{name}`"));
    let cause = HistoryCause::named(&need("cause")?).ok_or("has an unknown `cause`")?;
    let one = |value: &Value| {
        let path = value.get("path")?.as_str()?.into();
        Some(ConfigText { path, text: value.get("text")?.as_str()?.into() })
    };
    let texts: Option<Vec<ConfigText>> =
        get("texts").as_array().and_then(|all| all.iter().map(one).collect());
    Ok(KeptConfig {
        generation: get("generation").as_u64().ok_or("has no `generation`")?,
        unix_ms: get("since").as_u64().ok_or("has no `since`")?,
        cause,
        who: need("who")?,
        why: need("why")?,
        hash: need("hash")?,
        repeats: get("repeats").as_u64(),
        trial: get("trial").as_bool().unwrap_or(false),
        passed_over: text("passed_over"),
        texts: Arc::from(texts.filter(|texts| !texts.is_empty()).ok_or("has no texts")?),
    })
}

#[cfg(test)]
mod tests {
    use thalweg_testkit::Scratch;

    use super::*;

    fn kept(generation: u64) -> KeptConfig {
        let text = ConfigText { path: "t.toml".into(), text: "version = 1\n# \"é\"\n".into() };
        KeptConfig {
            generation,
            unix_ms: 1_800_000_000_000,
            cause: HistoryCause::Rollback,
            who: "ada".into(),
            why: "too slow".into(),
            hash: "abc".into(),
            repeats: Some(2),
            trial: true,
            passed_over: Some("def".into()),
            texts: vec![text].into(),
        }
    }

    #[test]
    fn what_is_written_is_read_again_and_what_is_no_longer_kept_is_removed() {
        let scratch = Scratch::new();
        assert_eq!(read_all(scratch.path(), "e"), (Vec::new(), Vec::new()));
        for generation in [10, 9, 11] {
            write(scratch.path(), "e", &kept(generation)).unwrap();
        }
        scratch.write("configs/notes.txt", "mine");
        assert_eq!(read_all(scratch.path(), "e"), (vec![kept(9), kept(10), kept(11)], Vec::new()));
        prune(scratch.path(), |generation| generation > 9).unwrap();
        assert_eq!(read_all(scratch.path(), "e").0, [kept(10), kept(11)]);
        assert!(scratch.join("configs/notes.txt").exists(), "other files are left alone");
    }

    #[test]
    fn a_file_that_cannot_be_used_says_why_and_costs_only_itself() {
        let good = encode("e", &kept(1));
        let cases = [
            (String::new(), "is no JSON"),
            (good[..good.len() / 2].to_owned(), "is no JSON"),
            ("[]".to_owned(), "was not written by thalweg"),
            (good.replace("\"version\":1", "\"version\":2"), "has version 2"),
            (good.replace("\"edge\":\"e\"", "\"edge\":\"f\""), "belongs to the edge \"f\""),
            (good.replace("rollback", "magic"), "has an unknown `cause`"),
            (good.replace("\"who\"", "\"whose\""), "has no `who`"),
            (good.replace("\"texts\":[", "\"texts\":[],\"x\":["), "has no texts"),
        ];
        for (text, expected) in cases {
            assert_ne!(text, good);
            let scratch = Scratch::new();
            scratch.write("configs/0000000001.json", &text);
            write(scratch.path(), "e", &kept(2)).unwrap();
            let (read, problems) = read_all(scratch.path(), "e");
            assert_eq!(read, [kept(2)]);
            assert!(problems.len() == 1 && problems[0].contains(expected), "{problems:?}, not {expected:?}");
        }
    }
}
