//! Commands that need a file and no edge: `check`, `explain --config`.

use std::path::Path;

use serde_json::{Value, json};
use thalweg_config::{ConfigError, ConfigErrors, Typed};
use thalweg_core::Tick;

use super::{
    args::Format,
    show,
    terminal::{exit, note, print, say},
};
use crate::{
    admin::{self, ExplainRequest},
    control::wiring,
};

pub(super) fn check(path: &Path, format: Format) -> u8 {
    // Keys and certificates are checked too: a file that cannot be served is not fine.
    let (read, warnings) = thalweg_config::check(path, &Typed(path));
    let checked = wiring::judge(read, Default::default());
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
            count(config.topology.routes.len(), "route"),
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
            let said =
                admin::answer(&admin::offline(&config), asked, "every endpoint assumed healthy", Tick(0));
            print(&match format {
                Format::Json => show::pretty(&said),
                Format::Human => show::explained(&said),
            })
        }
        Err(rejected) => {
            for error in &rejected.errors.0 {
                note(&error.to_string());
            }
            exit::CONFIG
        }
    }
}
