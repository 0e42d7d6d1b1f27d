//! Where clients are: a database of countries and continents in MaxMind's format, and the file that it came from.
//! Read-only; a request asks it without an allocation and without a lock.
//!
//! # Why in memory and not memory-mapped
//!
//! A mapped file that is cut short while it is read ends the process with SIGBUS, and an operator who copies a new database
//! over the old one does just that. `unsafe` would also be needed, which this crate allows in one file only. The databases
//! that say countries have 5 to 10 MB.

use std::{
    fmt,
    net::IpAddr,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use maxminddb::{PathElement, Reader};
use thalweg_config::{Disk, Files};
use thalweg_core::{Location, PlaceCode};

/// Longest database that is read: databases of cities have up to 150 MB.
const LONGEST: usize = 1 << 30;
/// How many networks are looked at for a country or continent, before a database is taken for one of another kind.
const SAMPLE: usize = 1_000;

const COUNTRY: [PathElement<'static>; 2] = [PathElement::Key("country"), PathElement::Key("iso_code")];
const CONTINENT: [PathElement<'static>; 2] = [PathElement::Key("continent"), PathElement::Key("code")];

/// What tells one state of a file from another: device, inode, size and time of change. Its content is not read for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStamp(u64, u64, u64, i64, i64);

impl FileStamp {
    /// The stamp of a file, symlinks followed; `None` = there is no such file.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let data = std::fs::metadata(path).ok()?;
        Some(Self(data.dev(), data.ino(), data.size(), data.mtime(), data.mtime_nsec()))
    }
}

/// A database of countries and continents.
pub struct GeoDatabase {
    reader: Reader<Vec<u8>>,
    /// The file.
    pub path: PathBuf,
    /// The state of the file before it was read.
    pub stamp: Option<FileStamp>,
    /// When it was read.
    pub read: SystemTime,
}

impl GeoDatabase {
    /// Reads a database.
    ///
    /// # Errors
    /// What is wrong with the file, in one clause.
    pub fn read(path: &Path) -> Result<Self, String> {
        let stamp = FileStamp::of(path);
        let bytes = Disk.read(path, LONGEST).map_err(|error| format!("cannot be read: {error}"))?;
        if bytes.len() > LONGEST {
            return Err("is longer than 1 GiB".to_owned());
        }
        let reader = Reader::from_source(bytes).map_err(|error| format!("is no geo database: {error}"))?;
        let database = Self { reader, path: path.to_owned(), stamp, read: SystemTime::now() };
        if database.knows_places()? {
            Ok(database)
        } else {
            Err("holds no countries or continents".to_owned())
        }
    }

    /// Whether one of the first networks has a country or a continent.
    fn knows_places(&self) -> Result<bool, String> {
        let networks = self.reader.networks(Default::default()).map_err(|error| error.to_string())?;
        for network in networks.take(SAMPLE) {
            let network = network.map_err(|error| format!("is broken: {error}"))?;
            let has = |path: &[PathElement<'_>]| network.decode_path::<&str>(path).ok().flatten().is_some();
            if has(&COUNTRY) || has(&CONTINENT) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Where an address is. An address that the database does not know, or knows badly, is nowhere.
    #[must_use]
    pub fn locate(&self, client: IpAddr) -> Location {
        let Ok(found) = self.reader.lookup(client.to_canonical()) else { return Location::default() };
        let code =
            |path: &[PathElement<'_>]| found.decode_path(path).ok().flatten().and_then(PlaceCode::read);
        Location { country: code(&COUNTRY), continent: code(&CONTINENT) }
    }

    /// What kind of database it is, as it says itself.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.reader.metadata.database_type
    }

    /// When it was made, as it says itself.
    #[must_use]
    pub fn built(&self) -> SystemTime {
        let since = Duration::from_secs(self.reader.metadata.build_epoch);
        SystemTime::UNIX_EPOCH.checked_add(since).unwrap_or(SystemTime::UNIX_EPOCH)
    }
}

/// A file in the place of the database that could not be used.
#[derive(Debug)]
pub struct RejectedGeoFile {
    /// The file.
    pub path: PathBuf,
    /// Its state when it was read.
    pub stamp: Option<FileStamp>,
    /// What was wrong with it, in one clause.
    pub problem: String,
}

impl fmt::Debug for GeoDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GeoDatabase").field("path", &self.path).field("kind", &self.kind()).finish()
    }
}
