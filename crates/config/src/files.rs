//! How config files and the files they name are read, and which files an `include` means.
//! Never reads more than it was told to, and never waits for a writer: a reload that waits is the last one.

use std::{
    fs::{File, FileType, OpenOptions},
    io::{self, Read},
    os::unix::fs::{FileTypeExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

use crate::diagnostic::Diagnostic;

/// Longest config file, bytes.
pub(crate) const MAX_FILE: usize = 4 << 20;
/// All config files together, bytes.
pub(crate) const MAX_TOTAL: usize = 16 << 20;
/// Most included files.
pub(crate) const MAX_INCLUDES: usize = 64;

/// Where files come from: the disk, or what a test says.
pub trait Files {
    /// The content, cut after `most + 1` bytes.
    fn read(&self, path: &Path, most: usize) -> io::Result<Vec<u8>>;
    /// Names of what is in a folder, in any order.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;
}

/// The files of this machine; regular ones only, also behind a symlink.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

/// As [`Disk`], but the file that was typed may be a pipe, for who reads once: `check --config <(…)`.
#[derive(Clone, Copy, Debug)]
pub struct Typed<'p>(pub &'p Path);

impl Files for Disk {
    fn read(&self, path: &Path, most: usize) -> io::Result<Vec<u8>> {
        // Not asked before it is opened: it could become another file in between. Opening a pipe without a writer
        // must not wait, nor may a terminal become ours.
        let flags = i32::try_from((OFlags::NONBLOCK | OFlags::NOCTTY).bits()).unwrap_or_default();
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        match other_than_a_file(file.metadata()?.file_type()) {
            None => up_to(file, most),
            Some("a folder") => Err(io::ErrorKind::IsADirectory.into()),
            Some(what) => Err(io::Error::other(format!("it is {what}, not a regular file"))),
        }
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

/// A whole config file as text.
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
        // Up to the bad byte, the lossy text is the same as the bytes.
        Unreadable { diagnostic: Diagnostic::new("is not UTF-8"), text, offset: Some(good) }
    })
}

/// Why a file has no text.
pub(crate) struct Unreadable {
    pub(crate) diagnostic: Diagnostic,
    pub(crate) text: String,
    /// `None` = the whole file.
    pub(crate) offset: Option<usize>,
}

impl Unreadable {
    fn whole(diagnostic: Diagnostic) -> Self {
        Self { diagnostic, text: String::new(), offset: None }
    }
}

/// One fact about a file that cannot be read.
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

/// The files that `pattern` means, sorted by name; a pattern without wildcard means itself,
/// and a folder that does not exist is empty.
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

/// `*` = any characters, `?` = one.
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
