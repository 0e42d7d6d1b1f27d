//! Reads config files and the files they name, and expands the patterns of `include`.
//! Never reads more than the given bound, and never waits for a writer: a reload that waits blocks all later ones.

use std::{
    fs::{File, FileType, OpenOptions},
    io::{self, Read},
    os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

use crate::{Config, ConfigText, diagnostic::Diagnostic, fleet::is_bundled};

/// Longest config file, bytes.
pub(crate) const MAX_FILE: usize = 4 << 20;
/// All config files together, bytes.
pub(crate) const MAX_TOTAL: usize = 16 << 20;
/// Most files that a config may include.
pub(crate) const MAX_INCLUDES: usize = 64;

/// Where files come from: the disk, or what a test says.
pub trait Files {
    /// Reads the content, cut after `most + 1` bytes: one byte too many tells the caller that the file is too long.
    fn read(&self, path: &Path, most: usize) -> io::Result<Vec<u8>>;
    /// Lists the names in a folder, in any order.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;
    /// Says whether every user of this machine may read a file.
    fn is_open_to_all(&self, _path: &Path) -> bool {
        false
    }
}

/// The files of the bundle among these, and the edge's own ones.
pub(crate) fn split(texts: &[ConfigText]) -> (Vec<ConfigText>, Vec<ConfigText>) {
    texts.iter().cloned().partition(|one| is_bundled(&one.path))
}

impl Config {
    /// The files of this config that are the edge's own, and not those of a bundle.
    #[must_use]
    pub fn own_texts(&self) -> Vec<ConfigText> {
        split(&self.texts).1
    }
}

/// The files of this machine. Only regular files are read, directly or behind a symlink.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

/// As [`Disk`], but the file that stands on the command line may be a pipe, for commands that read it once:
/// `check --config <(…)`.
#[derive(Clone, Copy, Debug)]
pub struct Typed<'p>(pub &'p Path);

/// Config files as they were read before, and all other files from the disk: an earlier config is read again with
/// today's certificates and tokens.
#[derive(Clone, Copy, Debug)]
pub struct FromTexts<'t>(pub &'t [ConfigText]);

impl Files for FromTexts<'_> {
    fn read(&self, path: &Path, most: usize) -> io::Result<Vec<u8>> {
        match self.0.iter().find(|kept| kept.path == path) {
            Some(kept) => Ok(kept.text.bytes().take(most.saturating_add(1)).collect()),
            None => Disk.read(path, most),
        }
    }

    /// Only kept files: what a wildcard matched then.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let inside = self.0.iter().filter(|kept| kept.path.parent() == Some(folder));
        Ok(inside.filter_map(|kept| Some(kept.path.file_name()?.to_str()?.to_owned())).collect())
    }
}

impl Files for Disk {
    fn read(&self, path: &Path, most: usize) -> io::Result<Vec<u8>> {
        // The kind is checked on the open file: a path could name another file by then. O_NONBLOCK: opening a pipe
        // without a writer must not wait. O_NOCTTY: a terminal must not become the controlling one of this process.
        let flags = i32::try_from((OFlags::NONBLOCK | OFlags::NOCTTY).bits()).unwrap_or_default();
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        match other_than_a_file(file.metadata()?.file_type()) {
            None => up_to(file, most),
            Some("a folder") => Err(io::ErrorKind::IsADirectory.into()),
            Some(what) => Err(io::Error::other(format!("it is {what}, not a regular file"))),
        }
    }

    fn is_open_to_all(&self, path: &Path) -> bool {
        std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o004 != 0)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let mut names = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }
}

impl Files for Typed<'_> {
    fn read(&self, path: &Path, most: usize) -> io::Result<Vec<u8>> {
        if path == self.0 { up_to(File::open(path)?, most) } else { Disk.read(path, most) }
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        Disk.list(folder)
    }

    fn is_open_to_all(&self, path: &Path) -> bool {
        Disk.is_open_to_all(path)
    }
}

fn up_to(file: File, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn other_than_a_file(kind: FileType) -> Option<&'static str> {
    match kind {
        kind if kind.is_file() => None,
        kind if kind.is_dir() => Some("a folder"),
        kind if kind.is_fifo() => Some("a pipe"),
        kind if kind.is_socket() => Some("a socket"),
        _ => Some("a device"),
    }
}

/// Reads a whole config file as text.
pub(crate) fn read_text(files: &dyn Files, path: &Path) -> Result<String, Unreadable> {
    let bytes = files.read(path, MAX_FILE).map_err(|error| Unreadable::whole(cannot_read(path, &error)))?;
    if bytes.len() > MAX_FILE {
        return Err(Unreadable::whole(
            Diagnostic::new("is longer than 4 MiB").hint("split it with `include`"),
        ));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
        // Up to the bad byte, the lossy text equals the bytes, so the offset fits both.
        Unreadable { diagnostic: Diagnostic::new("is not UTF-8"), text, offset: Some(good) }
    })
}

/// Why a file has no text.
pub(crate) struct Unreadable {
    pub(crate) diagnostic: Diagnostic,
    pub(crate) text: String,
    /// The byte where the trouble begins; `None` when it concerns the whole file.
    pub(crate) offset: Option<usize>,
}

impl Unreadable {
    fn whole(diagnostic: Diagnostic) -> Self {
        Self { diagnostic, text: String::new(), offset: None }
    }
}

/// Why a file cannot be read, as one fact.
pub(crate) fn cannot_read(path: &Path, error: &io::Error) -> Diagnostic {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::NotFound => Diagnostic::new(format!("the file {path} does not exist")),
        io::ErrorKind::PermissionDenied => {
            Diagnostic::new(format!("the file {path} may not be read by this user"))
        }
        io::ErrorKind::IsADirectory => Diagnostic::new(format!("{path} is a folder")),
        _ => Diagnostic::new(format!("the file {path} cannot be read: {error}")),
    }
}

/// The files that match `pattern`, sorted by name. A pattern without a wildcard stands for itself; a folder that does
/// not exist counts as empty.
pub(crate) fn expand(files: &dyn Files, base: &Path, pattern: &str) -> io::Result<Vec<PathBuf>> {
    let (folder, last) = match pattern.rsplit_once('/') {
        Some(("", last)) => (PathBuf::from("/"), last),
        Some((folder, last)) => (base.join(folder), last),
        None => (base.to_owned(), pattern),
    };
    if !last.contains(['*', '?']) {
        return Ok(vec![folder.join(last)]);
    }
    let wanted: Vec<char> = last.chars().collect();
    let mut names = match files.list(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        names => names?,
    };
    names.retain(|name| {
        let hidden = name.starts_with('.') && !last.starts_with('.');
        !hidden && matches(&wanted, &name.chars().collect::<Vec<_>>())
    });
    names.sort();
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}

/// Whether a name matches: `*` stands for any characters, `?` for one.
fn matches(pattern: &[char], name: &[char]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == '?' || Some(c) == name.get(n) => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    p = at + 1;
                    n = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern.get(p..).unwrap_or_default().iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_pattern_matches_whole_names() {
        let is = |pattern: &str, name: &str| {
            matches(&pattern.chars().collect::<Vec<_>>(), &name.chars().collect::<Vec<_>>())
        };
        for (pattern, name, expected) in [
            ("*.toml", "a.toml", true),
            ("*.toml", ".toml", true),
            ("*.toml", "a.toml.bak", false),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
            ("??", "ab", true),
            ("??", "a", false),
            ("*", "", true),
            ("**a", "ba", true),
            ("1?-*", "10-x", true),
        ] {
            assert_eq!(is(pattern, name), expected, "{pattern} {name}");
        }
    }
}
