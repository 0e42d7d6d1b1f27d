//! The options of the commands that call the fleet's servers.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::common_args::FormatArgs;

#[derive(Debug, Args)]
pub(super) struct PublishArgs {
    /// The config file; its `[fleet]` names the servers, and edges do not take its `[edge]`, `[admin]`, `[fleet]` and `[[listener]]`
    #[arg(long, short, value_name = "FILE")]
    pub(super) config: PathBuf,
    /// The Ed25519 private key in PEM that signs the bundle
    #[arg(long, value_name = "FILE")]
    pub(super) key: PathBuf,
    /// The last ring that takes the bundle
    #[arg(long, default_value = "all", value_parser = ["canary", "region", "all"])]
    pub(super) ring: String,
    /// For how long each edge takes the bundle back if its requests get worse (30s, 5m); 0s = not at all
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = bake)]
    pub(super) bake: Duration,
    /// The publisher, for the record; default: $USER
    #[arg(long, value_name = "NAME")]
    pub(super) owner: Option<String>,
    /// Copies that the bucket keeps, if it is made now: 3 with three servers
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5))]
    pub(super) replicas: u8,
    #[command(flatten)]
    pub(super) format: FormatArgs,
}

#[derive(Debug, Args)]
pub(super) struct RolloutArgs {
    /// pause: no edge takes a new bundle; resume: edges do again; abort: the newest bundle goes back wherever it is; default: only show
    #[arg(value_parser = ["pause", "resume", "abort"])]
    pub(super) call: Option<String>,
    /// The config file whose `[fleet]` names the servers
    #[arg(
        long,
        short,
        env = "THALWEG_CONFIG",
        default_value = "/etc/thalweg/thalweg.toml",
        value_name = "FILE"
    )]
    pub(super) config: PathBuf,
    /// The reason, for the record
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(super) reason: String,
    /// The caller, for the record; default: $USER
    #[arg(long, value_name = "NAME")]
    pub(super) owner: Option<String>,
    #[command(flatten)]
    pub(super) format: FormatArgs,
}

/// Reads a bake time.
fn bake(text: &str) -> Result<Duration, String> {
    if text == "0s" { Ok(Duration::ZERO) } else { thalweg_config::duration(text) }
}
