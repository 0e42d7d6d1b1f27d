//! The start of an edge of a fleet: the last good bundle on disk with the edge's own files, before any server is asked.
//! Blocks; runs before anything else does.

use std::rc::Rc;

use super::{
    bundle::VerifyKey,
    state::{FleetState, SignedBundle},
    store::{self, FleetMemory},
};
use crate::control::wiring::{self, Prepared};

/// What an edge remembers of its fleet when it starts.
#[derive(Debug, Default)]
pub struct Remembered {
    memory: FleetMemory,
    bundle: Option<SignedBundle>,
}

impl Remembered {
    /// Hands it over to the fleet's task.
    pub fn fill(self, state: &FleetState) {
        state.memory.set(self.memory);
        state.in_force.replace(self.bundle.map(Rc::new));
    }
}

/// The files with the last good bundle; the files alone if there is none, or if it does not fit them.
#[must_use]
pub fn with_last_good(files: Prepared) -> (Prepared, Remembered) {
    let config = &files.wiring.config;
    let (Some(fleet), Some(folder)) = (&config.fleet, &config.edge.state_dir) else {
        return (files, Remembered::default());
    };
    let memory = store::memory(folder);
    let without = |files| (files, Remembered { memory, bundle: None });
    let Ok(key) = VerifyKey::from_pem(&fleet.verify.value) else { return without(files) };
    let (bundle, bytes) = match store::last_good(folder, &key) {
        Ok(Some(read)) => read,
        Ok(None) => return without(files),
        Err(problem) => {
            tracing::error!(problem, "fleet: the last good bundle is not used: beginning with the files");
            return without(files);
        }
    };
    let mut texts = config.own_texts();
    texts.extend(bundle.texts());
    match wiring::prepare_texts(&texts, &files.tls_cache) {
        Ok(prepared) => {
            tracing::info!(number = bundle.number, "fleet: beginning with the last good bundle");
            (prepared, Remembered { memory, bundle: Some(SignedBundle { bundle, bytes }) })
        }
        Err(errors) => {
            tracing::error!(%errors, "fleet: the last good bundle does not fit the files: beginning with the files");
            without(files)
        }
    }
}
