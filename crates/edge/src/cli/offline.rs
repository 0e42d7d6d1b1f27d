//! Commands that need a file and no edge: `check`, `explain --config`.

use std::path::Path;

use serde_json::{Value, json};
use thalweg_config::{ConfigError, ConfigErrors, Typed};
use thalweg_core::Tick;

use super::{
    args::Format,
    show,
    terminal::{exit, note, print, refuse, say},
};
use crate::{
    admin::{self, ExplainBasis, ExplainRequest},
    control::{geo, wiring},
    shared::geo::GeoDatabase,
};

pub(super) fn check(path: &Path, format: Format) -> u8 {
    // Keys and certificates are checked too: a file that cannot be served is not fine.
    let (read, warnings) = thalweg_config::check(path, &Typed(path));
    let settings = read.as_ref().map_or_else(|rejected| &rejected.geo, |config| &config.geo);
    let geo = geo::check(settings);
    let mut checked = wiring::judge(read, Default::default());
    if let Some(error) = geo {
        let ConfigErrors(mut errors) = checked.err().unwrap_or(ConfigErrors(Vec::new()));
        errors.push(error);
        checked = Err(ConfigErrors(errors));
    }
    // The files that the config names may warn, too.
    let warnings = checked.as_ref().map_or(warnings, |prepared| prepared.wiring.config.warnings.clone());
    let (code, errors) = match &checked {
        Ok(_) => (exit::FINE, [].as_slice()),
        Err(ConfigErrors(errors)) => (exit::CONFIG, errors.as_slice()),
    };
    if format == Format::Json {
        let list = |all: &[ConfigError]| all.iter().map(ConfigError::to_json).collect::<Vec<Value>>();
        let hash = checked.as_ref().ok().map(|prepared| prepared.wiring.config.hash.as_str());
        let said = json!({
            "ok": errors.is_empty(), "config_hash": hash, "errors": list(errors), "warnings": list(&warnings),
        });
        return print(&show::pretty(&said)).max(code);
    }
    for error in errors {
        note(&error.to_string());
    }
    for warning in &warnings {
        note(&format!("{warning} [warning]"));
    }
    if let Ok(prepared) = &checked {
        let config = &prepared.wiring.config;
        let endpoints: usize = config.topology.pools.iter().map(|pool| pool.endpoints.len()).sum();
        let said = format!(
            "{} is fine: {}, {}, {}, {}, {}\n",
            path.display(),
            count(config.listeners.len(), "listener"),
            count(config.topology.written_routes().count(), "route"),
            count(config.topology.pools.len(), "pool"),
            count(endpoints, "endpoint"),
            count(warnings.len(), "warning"),
        );
        return print(&said).max(code);
    }
    let also =
        if warnings.is_empty() { String::new() } else { format!(", {}", count(warnings.len(), "warning")) };
    say(&format!("{}: {}{also}", path.display(), count(errors.len(), "error")));
    code
}

fn count(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

pub(super) fn explain(path: &Path, asked: &ExplainRequest, format: Format) -> u8 {
    match thalweg_config::check(path, &Typed(path)).0 {
        Ok(config) => {
            if let Some(error) = geo::check(&config.geo) {
                note(&error.to_string());
                return exit::CONFIG;
            }
            let database = config.geo.database.as_ref().and_then(|file| GeoDatabase::read(&file.value).ok());
            let health = "every endpoint assumed healthy";
            let signers = wiring::cookies(&config);
            let basis = ExplainBasis { health, now: Tick(0), geo: database.as_ref(), signers: &signers };
            let said = admin::answer(&admin::offline(&config), asked, &basis);
            print(&match format {
                Format::Json => show::pretty(&said),
                Format::Human => show::explained(&said),
            })
        }
        Err(rejected) => refuse(&rejected.errors),
    }
}
