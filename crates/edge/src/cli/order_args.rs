//! The options of commands for orders: those that all orders share, and the targets of drains.

use clap::Args;

use super::common_args::{AdminArgs, FormatArgs};

/// The options of every order.
#[derive(Debug, Args)]
pub(super) struct OrderArgs {
    /// How long the order stands (30m, 2h; at most 8760h); default: until it is cancelled
    #[arg(long = "for", value_name = "DURATION", value_parser = span)]
    pub(super) time: Option<String>,
    /// The reason, for the record; at most 500 characters
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
    /// The owner of the order; default: the name of the admin token, else $USER
    #[arg(long, value_name = "NAME")]
    pub(super) owner: Option<String>,
    /// Give the order even if it takes out the last pool that serves
    #[arg(long)]
    pub(super) force: bool,
    /// Give the order to every edge of the fleet; each edge judges for itself, also with --force
    #[arg(long)]
    pub(super) fleet: bool,
    #[command(flatten)]
    pub(super) admin: AdminArgs,
    #[command(flatten)]
    pub(super) format: FormatArgs,
}

#[derive(Debug, Args)]
pub(super) struct DrainArgs {
    #[command(flatten)]
    pub(super) target: TargetArgs,
    /// Open streams end within this time, spread over it (10s); default: they end by themselves
    #[arg(long, value_name = "DURATION", value_parser = span)]
    pub(super) deadline: Option<String>,
    #[command(flatten)]
    pub(super) order: OrderArgs,
}

#[derive(Debug, Args)]
pub(super) struct DialArgs {
    /// The pool
    pub(super) pool: String,
    /// Percent of its share that the pool may take, 0–100
    #[arg(value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(super) percent: u8,
    #[command(flatten)]
    pub(super) order: OrderArgs,
}

#[derive(Debug, Args)]
pub(super) struct WeightArgs {
    /// The route
    pub(super) route: String,
    /// The pool
    pub(super) pool: String,
    /// The weight, 0–65535; 0 = the pool serves only when no other pool is left
    pub(super) weight: u16,
    #[command(flatten)]
    pub(super) order: OrderArgs,
}

#[derive(Debug, Args)]
pub(super) struct EvacuateArgs {
    /// The region
    pub(super) region: String,
    #[command(flatten)]
    pub(super) order: OrderArgs,
}

#[derive(Debug, Args)]
pub(super) struct FreezeArgs {
    /// The route; default: all routes
    pub(super) route: Option<String>,
    #[command(flatten)]
    pub(super) order: OrderArgs,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct TargetArgs {
    /// All endpoints of a pool
    #[arg(long)]
    pub(super) pool: Option<String>,
    /// All endpoints of a region
    #[arg(long)]
    pub(super) region: Option<String>,
    /// One endpoint
    #[arg(long, value_name = "POOL/ADDRESS")]
    pub(super) endpoint: Option<String>,
}

/// Checks a duration, and leaves it as typed: the edge reads it.
fn span(text: &str) -> Result<String, String> {
    thalweg_config::long_duration(text).map(|_| text.to_owned())
}
