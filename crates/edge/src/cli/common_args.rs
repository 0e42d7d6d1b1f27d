//! Options that many commands share: the edge that is called, and the form of the output.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

#[derive(Clone, Debug, Args)]
pub(super) struct AdminArgs {
    /// Where the edge's admin server listens
    #[arg(long, default_value = "http://127.0.0.1:9900", value_name = "URL")]
    pub(super) admin: String,
    /// File that holds your token: the token alone, or a line `NAME ROLE TOKEN`
    #[arg(long, value_name = "FILE")]
    pub(super) token_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct FormatArgs {
    /// The form of the output, for people or for programs
    #[arg(long, value_enum, default_value = "human")]
    pub(super) format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Human,
    Json,
}
