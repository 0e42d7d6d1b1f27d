//! Every command and option, declared once. The manual and the completions are made from these declarations.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};

pub(super) use super::common_args::{AdminArgs, Format, FormatArgs};
use super::{
    fleet_args::{PublishArgs, RolloutArgs},
    order_args::{DialArgs, DrainArgs, EvacuateArgs, FreezeArgs, TargetArgs, WeightArgs},
};
use crate::admin::ExplainRequest;

/// Steers traffic to the best healthy region.
#[derive(Debug, Parser)]
#[command(name = "thalweg", version, about, arg_required_else_help = true, disable_help_subcommand = true)]
pub(super) struct CommandLine {
    #[command(subcommand)]
    pub(super) command: CommandArgs,
}

#[derive(Debug, Subcommand)]
pub(super) enum CommandArgs {
    /// Serve (SIGHUP = reload, SIGTERM or SIGINT = drain and end)
    Run(FileArgs),
    /// Print every error and warning of a config; start nothing
    Check {
        #[command(flatten)]
        file: FileArgs,
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Show where a request would go, and why
    Explain(ExplainArgs),
    /// Watch a running edge in the terminal: problems first, with details on demand
    Top {
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Show where a recent request went, and why
    Why {
        /// The request's id, as in the log and in the answer's `X-Request-Id`
        #[arg(value_name = "REQUEST-ID", value_parser = request_id)]
        id: String,
        #[command(flatten)]
        admin: AdminArgs,
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Show pools, endpoints, health, latency, weights, generation
    Status {
        #[command(flatten)]
        gate: GateArgs,
        #[command(flatten)]
        admin: AdminArgs,
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Reload the config of a running edge
    Reload(ReloadArgs),
    /// Show what a config would change on a running edge: keys, endpoints, traffic that moves; change nothing
    Plan {
        /// The new config file; the edge reads certificates and tokens that it names on its own disk
        #[arg(long, short, value_name = "FILE")]
        config: PathBuf,
        #[command(flatten)]
        admin: AdminArgs,
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Keep the config that is on trial
    Confirm {
        #[command(flatten)]
        call: ConfigCallArgs,
    },
    /// List the configs that were in force
    History {
        #[command(flatten)]
        admin: AdminArgs,
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Put an earlier config into force again, as a new generation
    Rollback {
        /// The number of the config in `thalweg history`; default: the last config that differs from the one in force
        generation: Option<u64>,
        #[command(flatten)]
        call: ConfigCallArgs,
    },
    /// Let a new binary take the listening sockets over; the running process drains. Exit 1: it goes on, and why
    Upgrade(UpgradeArgs),
    /// End a latched failover
    Failback {
        /// The route
        #[arg(long)]
        route: String,
        /// On every edge of the fleet; each edge judges for itself
        #[arg(long)]
        fleet: bool,
        #[command(flatten)]
        admin: AdminArgs,
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Take a pool, a region or an endpoint out of service: no new work, finish what is there
    Drain(DrainArgs),
    /// End the drains of a pool, a region or an endpoint
    Undrain {
        #[command(flatten)]
        target: TargetArgs,
        /// End the drains of the fleet, on every edge, and not those of this edge
        #[arg(long)]
        fleet: bool,
        #[command(flatten)]
        admin: AdminArgs,
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Set the percent of its share that a pool may take, on every route
    Dial(DialArgs),
    /// Set the weight of a pool on one route
    Weight(WeightArgs),
    /// Move all traffic out of a region; it serves only when nothing else can
    Evacuate(EvacuateArgs),
    /// Stop failback and moves by latency; failover still works
    Freeze(FreezeArgs),
    /// List the orders that stand
    Orders {
        #[command(flatten)]
        admin: AdminArgs,
        #[command(flatten)]
        format: FormatArgs,
    },
    /// End an order; one of the fleet ends on every edge
    Cancel {
        /// The number of the order
        id: u64,
        /// The order is one of the fleet: it ends on every edge
        #[arg(long)]
        fleet: bool,
        #[command(flatten)]
        admin: AdminArgs,
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Publish a config for the fleet: signed, numbered, into the bucket that its `[fleet]` names
    Publish(PublishArgs),
    /// Show how far the fleet's bundles have come; hold them, or take the newest one back
    Rollout(RolloutArgs),
    /// Read a config from an edge, and probe its endpoints once
    #[command(hide = true)]
    Taste,
    /// Print the JSON Schema of the config
    Schema(FormatArgs),
    /// Print completions for a shell
    Completions {
        /// bash, zsh, fish, elvish or powershell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
    /// Print the version
    Version(FormatArgs),
}

#[derive(Debug, Args)]
pub(super) struct FileArgs {
    /// The config file
    #[arg(long, short, env = "THALWEG_CONFIG", default_value = "/etc/thalweg/thalweg.toml")]
    pub(super) config: PathBuf,
}

/// The options of every call about configs.
#[derive(Debug, Args)]
pub(super) struct ConfigCallArgs {
    /// The reason, for the record; at most 500 characters
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
    #[command(flatten)]
    pub(super) admin: AdminArgs,
    #[command(flatten)]
    pub(super) format: FormatArgs,
}

#[derive(Debug, Args)]
pub(super) struct UpgradeArgs {
    /// The new binary [default: the one at the path that the running process was started from]
    #[arg(long, value_name = "PATH")]
    pub(super) binary: Option<PathBuf>,
    /// Longest wait until the new process is ready (at least 1s)
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = thalweg_config::duration)]
    pub(super) within: Duration,
    #[command(flatten)]
    pub(super) call: ConfigCallArgs,
}

#[derive(Debug, Args)]
pub(super) struct ReloadArgs {
    /// On trial: the config is taken back unless `thalweg confirm` comes within this time (60s, 10m; at least 1s)
    #[arg(long, value_name = "DURATION", value_parser = trial_time)]
    pub(super) confirm: Option<String>,
    /// Take the config back at once when the share of failed or of refused requests of a route grows by more than this
    /// against the minute before [default with --confirm: 0.02]
    #[arg(long, value_name = "RATIO", requires = "confirm")]
    pub(super) guard_errors: Option<f64>,
    /// Take the config back at once when the 99th percentile of a route is more than this many times that of the minute
    /// before [default: off]
    #[arg(long, value_name = "FACTOR", requires = "confirm")]
    pub(super) guard_p99: Option<f64>,
    #[command(flatten)]
    pub(super) call: ConfigCallArgs,
}

/// Checks a duration, and leaves it as typed: the edge reads it.
fn trial_time(text: &str) -> Result<String, String> {
    thalweg_config::duration(text).map(|_| text.to_owned())
}

/// The conditions that a script may demand of an edge.
#[derive(Debug, Args)]
pub(super) struct GateArgs {
    /// Exit with 1 and one line with the reason unless every route can serve and every pool has an available endpoint
    #[arg(long)]
    pub(super) healthy: bool,
    /// Exit with 1 unless the config of this hash is in force (`config_hash` of `check --format json`)
    #[arg(long, value_name = "HASH")]
    pub(super) expect_config: Option<String>,
    /// Ask again until both conditions hold or this time is over (180s, 5m)
    #[arg(long, value_name = "DURATION", value_parser = thalweg_config::duration)]
    pub(super) wait: Option<Duration>,
}

#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// Answer from this file, as if every endpoint were healthy
    #[arg(long, short, value_name = "FILE", conflicts_with = "admin")]
    pub(super) config: Option<PathBuf>,
    #[command(flatten)]
    pub(super) admin: AdminArgs,
    /// The request's host
    #[arg(long)]
    pub(super) host: String,
    /// The request's path
    #[arg(long)]
    pub(super) path: String,
    /// The client's address
    #[arg(long, value_name = "IP", default_value_t = ExplainRequest::CLIENT)]
    pub(super) client: IpAddr,
    /// The request's method
    #[arg(long, default_value = "GET")]
    pub(super) method: String,
    /// The client's affinity cookie: NAME=VALUE, or its value
    #[arg(long)]
    pub(super) cookie: Option<String>,
    /// The `roll` of a logged decision, which decides the draw
    #[arg(long, default_value_t = 0)]
    pub(super) roll: u64,
    #[command(flatten)]
    pub(super) format: FormatArgs,
}

impl ExplainArgs {
    /// The request to explain.
    pub(super) fn request(&self) -> ExplainRequest {
        let (host, path, method) = (self.host.clone(), self.path.clone(), self.method.clone());
        let cookie = self.cookie.clone();
        ExplainRequest { host, path, client: self.client, method, roll: self.roll, cookie }
    }
}

/// A request id that an edge may have given or kept.
fn request_id(text: &str) -> Result<String, String> {
    let harmless = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let fits = (1..=128).contains(&text.len()) && text.bytes().all(harmless);
    fits.then(|| text.to_owned()).ok_or_else(|| "a request id is 1 to 128 of [A-Za-z0-9._-]".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn only_a_typed_config_makes_explain_offline() {
        let parse = |args: &[&str]| {
            CommandLine::try_parse_from(
                [&["thalweg", "explain", "--host", "h", "--path", "/"], args].concat(),
            )
        };
        let CommandArgs::Explain(asked) = parse(&[]).unwrap().command else { panic!() };
        assert!(asked.config.is_none() && asked.roll == 0);
        let CommandArgs::Explain(asked) = parse(&["--config", "x.toml"]).unwrap().command else { panic!() };
        assert!(asked.config.is_some());
        assert!(parse(&["--config", "x", "--admin", "http://a"]).is_err());
    }

    #[test]
    fn a_request_id_is_checked() {
        for (id, expected) in
            [("a.b_C-1", true), ("", false), ("a b", false), ("../x", false), (&*"a".repeat(129), false)]
        {
            assert_eq!(request_id(id).is_ok(), expected, "{id}");
        }
    }

    #[test]
    fn orders_are_checked_as_far_as_the_command_line_can() {
        let parses = |line: &str| CommandLine::try_parse_from(line.split(' ')).is_ok();
        for (line, expected) in [
            ("thalweg drain", false),
            ("thalweg drain --pool a --region b", false),
            ("thalweg drain --pool a --for 30m --deadline 10s --reason x --owner y --force", true),
            ("thalweg drain --pool a --for 0s", false),
            ("thalweg drain --pool a --for 8761h", false),
            ("thalweg undrain --endpoint p/127.0.0.1:80", true),
            ("thalweg undrain --pool a --for 1s", false),
            ("thalweg dial p 100", true),
            ("thalweg dial p 101", false),
            ("thalweg dial p", false),
            ("thalweg weight r p 65535", true),
            ("thalweg weight r p 65536", false),
            ("thalweg evacuate eu --for 1h", true),
            ("thalweg evacuate", false),
            ("thalweg freeze", true),
            ("thalweg freeze r", true),
            ("thalweg reload --confirm 60s --guard-errors 0.1 --guard-p99 2", true),
            ("thalweg reload --guard-errors 0.1", false),
            ("thalweg reload --confirm soon", false),
            ("thalweg plan", false),
            ("thalweg plan --config new.toml --format json", true),
            ("thalweg rollback", true),
            ("thalweg rollback 7 --reason x", true),
            ("thalweg rollback x", false),
            ("thalweg confirm --reason x", true),
            ("thalweg history", true),
            ("thalweg cancel 1", true),
            ("thalweg upgrade", true),
            ("thalweg upgrade --binary /opt/t --within 5m --reason x --format json", true),
            ("thalweg upgrade --within soon", false),
            ("thalweg cancel x", false),
        ] {
            assert_eq!(parses(line), expected, "{line}");
        }
    }
}
