//! Where a config comes from: the files on disk or the history, by whose wish, and which files it leaves aside. Values only.

use thalweg_config::ConfigErrors;

use crate::control::{audit::Actor, history_file::HistoryCause, state::SetAside, wiring::Prepared};

/// What a config was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigSource {
    /// The files on disk.
    Files,
    /// What is kept of earlier files.
    History,
}

/// One reading of a config.
#[derive(Clone, Debug)]
pub struct Reading {
    /// What it was read from.
    pub source: ConfigSource,
    /// The config, or what is wrong with it.
    pub prepared: Result<Prepared, ConfigErrors>,
}

/// Where a config that comes into force is from, for the history.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Why it comes into force.
    pub cause: HistoryCause,
    /// The caller that asked for it.
    pub by: Actor,
    /// What it was read from.
    pub source: ConfigSource,
    /// The number that it gets; `None` = the next one.
    pub generation: Option<u64>,
    /// The earlier generation whose texts it repeats.
    pub repeats: Option<u64>,
    /// It is on trial.
    pub trial: bool,
    /// The files that it comes into force instead of.
    pub set_aside: Option<SetAside>,
}

impl Origin {
    /// The files, because of this.
    #[must_use]
    pub fn files(cause: HistoryCause, by: Actor) -> Self {
        let (source, generation, repeats) = (ConfigSource::Files, None, None);
        Self { cause, by, source, generation, repeats, trial: false, set_aside: None }
    }
}
