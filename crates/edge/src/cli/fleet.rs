//! Commands of the fleet: `publish`; and `taste`, which an edge starts for itself.

use std::{
    io::Read,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use serde_json::json;
use thalweg_config::{Ring, Typed};

use super::{
    args::{Format, FormatArgs},
    show,
    terminal::{exit, note, print, say},
};
use crate::control::fleet::{
    bundle::{BundleFile, signing_key},
    publish::{self, Publication},
    taste,
};

/// Longest key file.
const MAX_KEY: u64 = 64 << 10;

#[derive(Debug, Args)]
pub(super) struct PublishArgs {
    /// The config file; its `[fleet]` names the servers, and edges do not take its `[edge]`, `[admin]`, `[fleet]` and `[[listener]]`
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
    /// The Ed25519 private key in PEM that signs the bundle
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The last ring that takes the bundle
    #[arg(long, default_value = "all", value_parser = ["canary", "region", "all"])]
    ring: String,
    /// For how long each edge takes the bundle back if its requests get worse (30s, 5m); 0s = not at all
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = bake)]
    bake: Duration,
    /// Who publishes; default: $USER
    #[arg(long, value_name = "NAME")]
    owner: Option<String>,
    /// Copies that the bucket keeps, if it is made now: 3 with three servers
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5))]
    replicas: u8,
    #[command(flatten)]
    format: FormatArgs,
}

pub(super) fn publish(asked: &PublishArgs) -> u8 {
    let (read, warnings) = thalweg_config::check(&asked.config, &Typed(&asked.config));
    let config = match read {
        Ok(config) => config,
        Err(rejected) => {
            for error in &rejected.errors.0 {
                note(&error.to_string());
            }
            return exit::CONFIG;
        }
    };
    for warning in &warnings {
        note(&format!("{warning} [warning]"));
    }
    let key = match crate::control::disk::read(&asked.key, MAX_KEY) {
        Ok(pem) => signing_key(&pem).map_err(str::to_owned),
        Err(error) => Err(format!("cannot be read: {error}")),
    };
    let key = match key {
        Ok(key) => key,
        Err(problem) => {
            say(&format!("{} {problem}", asked.key.display()));
            return exit::CONFIG;
        }
    };
    let folder = asked.config.parent().unwrap_or(Path::new(""));
    let file = |one: &thalweg_config::ConfigText| {
        let path = one.path.strip_prefix(folder).unwrap_or(&one.path).display().to_string();
        BundleFile { path, text: one.text.to_string() }
    };
    let files = config.texts.iter().map(file).collect();
    let user = || std::env::var("USER").ok();
    let owner = asked.owner.clone().or_else(user).unwrap_or_else(|| "unknown".into());
    let (ring, replicas) = (Ring::named(&asked.ring).unwrap_or(Ring::All), usize::from(asked.replicas));
    match publish::publish(&Publication { config, files, key, ring, bake: asked.bake, owner, replicas }) {
        Ok(number) => print(&match asked.format.format {
            Format::Json => show::pretty(&json!({ "bundle": number, "ring": asked.ring })),
            Format::Human => format!("published: bundle {number} for ring {}\n", asked.ring),
        }),
        Err(problem) => {
            say(&problem);
            exit::FAILURE
        }
    }
}

/// The process in which an edge tastes a bundle.
pub(super) fn taste() -> u8 {
    let mut input = Vec::new();
    if let Err(error) = std::io::stdin().lock().read_to_end(&mut input) {
        note(&error.to_string());
        return exit::FAILURE;
    }
    let problems = taste::child(&input);
    for problem in &problems {
        note(problem);
    }
    if problems.is_empty() { exit::FINE } else { exit::CONFIG }
}

fn bake(text: &str) -> Result<Duration, String> {
    if text == "0s" { Ok(Duration::ZERO) } else { thalweg_config::duration(text) }
}
