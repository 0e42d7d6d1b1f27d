//! What a process begins with: the files, or the config that ran when the last process ended, if the files were taken back
//! then and have not changed since. Blocks; runs before anything else does.

use std::time::{Duration, UNIX_EPOCH};

use crate::control::{
    audit::Actor,
    history::{self, Beginning},
    history_file::{self, HistoryCause, KeptConfig},
    origin::{ConfigSource, Origin},
    state::SetAside,
    wiring::{self, Prepared},
};

/// The first config of a process, and what is known of earlier ones.
#[derive(Debug)]
pub struct Begun {
    /// The config.
    pub prepared: Prepared,
    /// Where it is from.
    pub origin: Origin,
    /// What earlier processes kept, oldest first.
    pub entries: Vec<KeptConfig>,
    /// The generation that was on trial when the last process ended, if the confirmed one comes back therefore.
    pub taken_back: Option<u64>,
}

impl Begun {
    /// Numbers the config so that no number of the process before comes again: its config has this generation and hash.
    pub fn go_on_from(&mut self, generation: u64, hash: &str) {
        let same = self.prepared.wiring.config.hash == hash;
        let next = if same { generation } else { generation.saturating_add(1) };
        if self.origin.generation.is_none_or(|own| own < generation) {
            self.origin.generation = Some(next);
        }
    }
}

/// Chooses between the files, which are ready, and what is kept below their `state_dir`.
#[must_use]
pub fn choose(files: Prepared) -> Begun {
    let config = &files.wiring.config;
    let (entries, problems) = match &config.edge.state_dir {
        Some(state_dir) => history_file::read_all(state_dir, &config.edge.name),
        None => Default::default(),
    };
    for problem in problems {
        tracing::warn!(problem, "stored config not used");
    }
    let start = Origin::files(HistoryCause::Start, Actor::own("start"));
    let next = entries.last().map_or(1, |newest| newest.generation.saturating_add(1));
    let chosen = history::beginning(&entries, &thalweg_config::digest(&config.texts));
    let (prepared, origin, taken_back) = match chosen {
        Beginning::Files { generation } => (files, Origin { generation: Some(generation), ..start }, None),
        Beginning::Same => {
            let generation = entries.last().map(|newest| newest.generation);
            (files, Origin { generation, ..start }, None)
        }
        Beginning::Kept { generation, trial } => {
            let kept = entries.iter().find(|kept| kept.generation == generation);
            match kept.map(|kept| again(&files, kept, &entries, trial)) {
                Some(Ok((prepared, origin))) => {
                    let taken_back = entries.last().filter(|_| trial).map(|newest| newest.generation);
                    (prepared, origin, taken_back)
                }
                Some(Err(errors)) => {
                    tracing::error!(%errors, "the config that ran last cannot come back: beginning with the files");
                    (files, Origin { generation: Some(next), ..start }, None)
                }
                None => (files, Origin { generation: Some(next), ..start }, None),
            }
        }
    };
    Begun { prepared, origin, entries, taken_back }
}

/// A kept config, made ready, with the files set aside. After a trial it is a generation of its own.
fn again(
    files: &Prepared,
    kept: &KeptConfig,
    entries: &[KeptConfig],
    trial: bool,
) -> Result<(Prepared, Origin), thalweg_config::ConfigErrors> {
    let prepared = wiring::prepare_texts(&kept.texts, &files.tls_cache)?;
    let because = if trial { HistoryCause::Revert } else { kept.cause };
    let mut set_aside = SetAside::of(&Ok(files.clone()), because.as_str());
    if !trial {
        set_aside.since = UNIX_EPOCH + Duration::from_millis(kept.unix_ms);
    }
    let newest = entries.last().map_or(0, |newest| newest.generation);
    let origin = Origin {
        source: ConfigSource::History,
        generation: Some(if trial { newest.saturating_add(1) } else { kept.generation }),
        repeats: trial.then_some(kept.repeats.unwrap_or(kept.generation)),
        set_aside: Some(set_aside),
        ..Origin::files(because, Actor::own("start"))
    };
    Ok((prepared, origin))
}
