//! From files to one tree: reads the main file and its includes, and merges their tables. Every byte that is read
//! goes into the hash. Never looks at what the keys mean.

use std::{
    collections::{BTreeMap, HashSet},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};
use toml::de::DeTable;

use crate::{
    ConfigText,
    decode::{Decoder, Trail, key_text},
    diagnostic::Diagnostic,
    env::Env,
    files::{Files, MAX_INCLUDES, MAX_TOTAL, cannot_read, expand, read_text},
    fleet::LOCAL,
    keys::ROOT,
    report::{Report, SourceText, WHOLE},
    syntax::complaints,
    table::Kind,
    tree::{At, Entry, Node, Value},
    view::View,
};

/// One reading of a config, from the first byte to the verdict.
pub(crate) struct Loader<'l> {
    pub(crate) report: Report,
    pub(crate) env: Env<'l>,
    pub(crate) files: &'l dyn Files,
    /// The files of the fleet's bundle: they decide every table that is not the edge's own.
    pub(crate) bundle: &'l [ConfigText],
    pub(crate) hash: Sha256,
    /// A file has syntax errors. Missing keys and dangling names are then not reported: they may stand in that file.
    pub(crate) broken: bool,
    total: usize,
    /// Folders that wildcard includes look into.
    pub(crate) folders: Vec<PathBuf>,
    /// Files without TOML that are part of the hash.
    pub(crate) hashed_files: Vec<PathBuf>,
}

impl<'l> Loader<'l> {
    pub(crate) fn new(env: Env<'l>, files: &'l dyn Files, bundle: &'l [ConfigText]) -> Self {
        Self {
            report: Report::default(),
            env,
            files,
            bundle,
            hash: Sha256::new(),
            broken: false,
            total: 0,
            folders: Vec::new(),
            hashed_files: Vec::new(),
        }
    }

    /// Reads the main file and its includes as one tree. `text` is the content of the main file, when it is at hand.
    pub(crate) fn tree(&mut self, path: &Path, text: Option<&str>) -> Node {
        let mut trees = Vec::new();
        let Some(main) = self.one(path, text) else { return Node { at: At::default(), value: Value::Bad } };
        let view = View::new(&ROOT, &main);
        if !self.broken && !view.has("version") {
            let diagnostic = Diagnostic::new("`version` is missing").hint("the first line is `version = 1`");
            self.report.error(At::default(), "", diagnostic);
        }
        let includes = self.includes(view, path);
        trees.push(main);
        for include in includes {
            trees.extend(self.included(&include));
        }
        if !self.bundle.is_empty() {
            trees.iter_mut().for_each(|tree| keep(tree, true));
            trees.extend(self.bundled());
        }
        self.merge(trees)
    }

    /// What the bundle says of the tables that are not the edge's own.
    fn bundled(&mut self) -> Vec<Node> {
        let mut trees = Vec::new();
        for one in self.bundle {
            if let Some(mut tree) = self.one(&one.path, Some(&one.text)) {
                keep(&mut tree, false);
                trees.push(tree);
            }
        }
        trees
    }

    /// The config files that were read so far, the main one first.
    pub(crate) fn texts(&self) -> Vec<ConfigText> {
        self.report.sources.iter().map(SourceText::kept).collect()
    }

    fn included(&mut self, path: &Path) -> Option<Node> {
        let tree = self.one(path, None)?;
        if let Some(entry) = tree.entries().iter().find(|entry| entry.name == "include") {
            let diagnostic =
                Diagnostic::new("stands in an included file").hint("only the main file includes others");
            self.report.error(entry.at, "include", diagnostic);
        }
        Some(tree)
    }

    /// Reads one file: its text, its syntax, its keys.
    fn one(&mut self, path: &Path, text: Option<&str>) -> Option<Node> {
        let file = self.report.sources.len();
        let text = match text {
            Some(text) => text.to_owned(),
            None => match read_text(self.files, path) {
                Ok(text) => text,
                Err(why) => {
                    self.report.sources.push(SourceText::new(path.to_owned(), why.text));
                    let at = At { file, offset: why.offset.unwrap_or(WHOLE) };
                    self.report.error(at, "", why.diagnostic);
                    self.broken = true;
                    return None;
                }
            },
        };
        self.total += text.len();
        self.hashed(b"file", text.as_bytes());
        self.report.sources.push(SourceText::new(path.to_owned(), text.clone()));
        if text.len() > crate::files::MAX_FILE || self.total > MAX_TOTAL {
            let diagnostic = Diagnostic::new("all files together are longer than 16 MiB, or one than 4 MiB");
            self.report.error(At { file, offset: WHOLE }, "", diagnostic);
            self.broken = true;
            return None;
        }
        Some(self.decoded(file, &text))
    }

    fn decoded(&mut self, file: usize, text: &str) -> Node {
        let (root, wrong) = DeTable::parse_recoverable(text);
        let mut broken = HashSet::new();
        for complaint in complaints(text, root.get_ref(), wrong) {
            let at = At { file, offset: complaint.offset };
            if !complaint.harmless {
                broken.insert(self.report.span(at).line);
            }
            self.report.error(at, "", complaint.diagnostic);
        }
        self.broken |= !broken.is_empty();
        let (report, env, hash) = (&mut self.report, self.env, &mut self.hash);
        let used: &mut dyn FnMut(&str) = &mut |value| add(hash, b"env", value.as_bytes());
        Decoder { report, env, used, file, broken }.file(&ROOT, &root)
    }

    pub(crate) fn hashed(&mut self, what: &[u8], bytes: &[u8]) {
        add(&mut self.hash, what, bytes);
    }

    fn includes(&mut self, view: View<'_>, main: &Path) -> Vec<PathBuf> {
        let base = main.parent().unwrap_or(Path::new("")).to_owned();
        let mut found = Vec::new();
        for (nth, item) in view.items("include").iter().enumerate() {
            let path = format!("include[{nth}]");
            let pattern = item.text();
            if pattern.is_empty() {
                continue;
            }
            self.folders.extend(base.join(pattern).parent().map(Path::to_owned));
            match expand(self.files, &base, pattern) {
                Ok(paths) if paths.is_empty() => {
                    self.report.warn(item.at, path, Diagnostic::new("matches no file"))
                }
                Ok(paths) => found.extend(paths.into_iter().map(|file| (file, item.at, path.clone()))),
                Err(error) => {
                    let folder = base.join(pattern);
                    self.broken = true;
                    self.report.error(item.at, path, cannot_read(folder.parent().unwrap_or(&base), &error));
                }
            }
        }
        // `a.toml` and `./a.toml` are the same file.
        let whole = |file: &Path| std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        let mut seen = HashSet::from([whole(main)]);
        found.retain(|(file, _, _)| seen.insert(whole(file)));
        if let Some((_, at, path)) = found.get(MAX_INCLUDES) {
            let diagnostic = Diagnostic::new(format!("{} files are included", found.len()));
            self.broken = true;
            self.report.error(*at, path.clone(), diagnostic.hint(format!("at most {MAX_INCLUDES}")));
            return Vec::new();
        }
        // The error for a missing file stands at the line that includes the file.
        let mut readable = Vec::new();
        for (file, at, path) in found {
            match self.files.read(&file, 0) {
                Ok(_) => readable.push(file),
                Err(error) => {
                    self.broken = true;
                    self.report.error(at, path, cannot_read(&file, &error));
                }
            }
        }
        readable
    }

    /// Merges the tables of many files. A name that two files write is an error that names both places.
    fn merge(&mut self, trees: Vec<Node>) -> Node {
        let mut merged: Vec<Entry> = Vec::new();
        for entry in trees.into_iter().flat_map(|tree| match tree.value {
            Value::Table(entries) => entries,
            _ => Vec::new(),
        }) {
            let Some(first) = merged.iter_mut().find(|have| have.name == entry.name) else {
                merged.push(entry);
                continue;
            };
            match (&mut first.node.value, entry.node.value) {
                (Value::List(have), Value::List(more)) if mergeable(&entry.name) => have.extend(more),
                (Value::Table(have), Value::Table(more)) if mergeable(&entry.name) => {
                    have.extend(more);
                }
                // The error of the bad value is on record, so this is no duplicate.
                (have @ Value::Bad, more) if mergeable(&entry.name) => *have = more,
                (_, Value::Bad) if mergeable(&entry.name) => {}
                _ if entry.name == "version" || entry.name == "include" => {}
                _ => {
                    let first = self.report.place(first.at);
                    let diagnostic = Diagnostic::new(format!("is written twice, first at {first}"));
                    self.report.error(entry.at, entry.name, diagnostic.hint("keep one"));
                }
            }
        }
        for kind in &merged {
            if matches!(&*kind.name, "probe" | "pool" | "route") {
                self.unique(&kind.name, kind.node.entries());
            }
            self.bounded(kind);
        }
        Node { at: At::default(), value: Value::Table(merged) }
    }

    /// Applies the bound on a list or table to the entries of all files together.
    fn bounded(&mut self, kind: &Entry) {
        let most = match ROOT.key(&kind.name).map(|key| &key.kind) {
            Some(Kind::List { max, .. } | Kind::Map { max, .. }) => *max,
            _ => return,
        };
        let places: Vec<At> = match &kind.node.value {
            Value::List(items) => items.iter().map(|item| item.at).collect(),
            Value::Table(entries) => entries.iter().map(|entry| entry.at).collect(),
            _ => return,
        };
        // Too many entries in one file are on record already.
        let in_one = places.chunk_by(|one, other| one.file == other.file).map(<[At]>::len).max();
        if let Some(first) = places.get(most).filter(|_| in_one <= Some(most)) {
            let diagnostic = Diagnostic::new(format!("has {} entries over all files", places.len()));
            self.report.error(*first, kind.name.clone(), diagnostic.hint(format!("at most {most}")));
        }
    }

    fn unique(&mut self, kind: &str, entries: &[Entry]) {
        let mut seen: BTreeMap<&str, At> = BTreeMap::new();
        for entry in entries {
            if let Some(first) = seen.insert(&entry.name, entry.at) {
                let first = self.report.place(first);
                let path = Trail::Key(&Trail::Key(&Trail::Root, kind), &entry.name).to_string();
                let diagnostic = Diagnostic::new(format!(
                    "the {kind} {} is written twice, first at {first}",
                    key_text(&entry.name)
                ));
                self.report.error(entry.at, path, diagnostic.hint("names are unique over all files"));
            }
        }
    }
}

/// Keeps the edge's own tables of a file, or the others.
fn keep(tree: &mut Node, local: bool) {
    if let Value::Table(entries) = &mut tree.value {
        entries.retain(|entry| LOCAL.contains(&&*entry.name) == local);
    }
}

/// Whether each file may hold a part of this table.
fn mergeable(table: &str) -> bool {
    matches!(table, "listener" | "probe" | "pool" | "route")
}

/// A hash over paths and contents.
pub(crate) fn digest(texts: &[ConfigText]) -> String {
    let mut hash = Sha256::new();
    for ConfigText { path, text } in texts {
        add(&mut hash, b"path", path.as_os_str().as_encoded_bytes());
        add(&mut hash, b"text", text.as_bytes());
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Adds a part to the hash with its length, so that two different lists of parts never give the same bytes.
fn add(hash: &mut Sha256, what: &[u8], bytes: &[u8]) {
    hash.update(what);
    hash.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes());
    hash.update(bytes);
}
