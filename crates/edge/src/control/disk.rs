//! Small files of this edge: read with a bound, and replaced as a whole (write, fsync, rename), so that a reader finds the
//! old content or the new and never a half. Blocks.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

/// Reads a regular file of at most `most` bytes.
///
/// # Errors
/// Why the file cannot be read.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    // Without the flag, a pipe in the file's place would never open.
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::other("it is too long"));
    }
    Ok(bytes)
}

/// Replaces the file of this name as a whole; makes the folder when it is missing.
///
/// # Errors
/// Why the file cannot be written.
pub fn replace(folder: &Path, name: &str, text: &[u8]) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let fresh = folder.join(format!("{name}.new"));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&fresh, folder.join(name))?;
    // The rename itself is on disk when the folder is.
    File::open(folder)?.sync_all()
}
