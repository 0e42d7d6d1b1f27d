//! The command line: what can be typed, and the exit codes. Each command's work is elsewhere.

mod client;
mod manual;
mod offline;
mod online;
mod show;

use std::{io::Write, net::IpAddr, path::PathBuf, process::ExitCode};

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::{
    admin::{self, ExplainRequest},
    control::lifecycle::{self, RunError},
};

/// The exit codes.
pub(crate) mod exit {
    pub(crate) const FINE: u8 = 0;
    pub(crate) const FAILURE: u8 = 1;
    pub(crate) const CONFIG: u8 = 2;
    pub(crate) const BIND: u8 = 3;

    /// Their meanings for the manual.
    pub(crate) const MEANINGS: [(u8, &str); 4] = [
        (FINE, "Fine. A refusal is an answer, too"),
        (FAILURE, "RunError at run time"),
        (CONFIG, "Usage, an invalid config, or a file it names that is missing or unreadable"),
        (BIND, "An address cannot be bound: taken, or not permitted"),
    ];
}

/// Steers traffic to the best region that is alive.
#[derive(Debug, Parser)]
#[command(name = "thalweg", version, about, arg_required_else_help = true, disable_help_subcommand = true)]
struct Line {
    #[command(subcommand)]
    command: Subcommands,
}

#[derive(Debug, Subcommand)]
enum Subcommands {
    /// Serve (SIGHUP = reload, SIGTERM or SIGINT = drain and end)
    Run(FileArgs),
    /// Tell every error and warning of a config; start nothing
    Check {
        #[command(flatten)]
        file: FileArgs,
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Tell where a request would go, and why
    Explain(ExplainArgs),
    /// Show pools, endpoints, health, latency, weights, generation
    Status {
        #[command(flatten)]
        admin: AdminArgs,
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Reload the config of a running edge
    Reload {
        #[command(flatten)]
        admin: AdminArgs,
        #[command(flatten)]
        format: FormatArgs,
    },
    /// End a latched failover
    Failback {
        /// The route
        #[arg(long)]
        route: String,
        #[command(flatten)]
        admin: AdminArgs,
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Take a pool, a region or an endpoint out of service
    Drain {
        #[command(flatten)]
        whom: WhomArgs,
        /// For how long (30m, 2h); default: until undrain
        #[arg(long = "for", value_name = "DURATION")]
        time: Option<String>,
        /// Why, for the record
        #[arg(long)]
        reason: Option<String>,
        #[command(flatten)]
        admin: AdminArgs,
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Put it back into service
    Undrain {
        #[command(flatten)]
        whom: WhomArgs,
        #[command(flatten)]
        admin: AdminArgs,
        #[command(flatten)]
        format: FormatArgs,
    },
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
struct FileArgs {
    /// The config file
    #[arg(long, short, env = "THALWEG_CONFIG", default_value = "/etc/thalweg/thalweg.toml")]
    config: PathBuf,
}

#[derive(Clone, Debug, Args)]
struct AdminArgs {
    /// Where the edge's admin server listens
    #[arg(long, default_value = "http://127.0.0.1:9900", value_name = "URL")]
    admin: String,
    /// File that holds the admin token
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct FormatArgs {
    /// For people or for programs
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Human,
    Json,
}

#[derive(Debug, Args)]
struct ExplainArgs {
    /// Answer from this file, every endpoint assumed healthy
    #[arg(long, short, value_name = "FILE", conflicts_with = "admin")]
    config: Option<PathBuf>,
    #[command(flatten)]
    admin: AdminArgs,
    /// The request's host
    #[arg(long)]
    host: String,
    /// The request's path
    #[arg(long)]
    path: String,
    /// The client's address
    #[arg(long, value_name = "IP", default_value_t = ExplainRequest::CLIENT)]
    client: IpAddr,
    /// The request's method
    #[arg(long, default_value = "GET")]
    method: String,
    /// Which draw: the `roll` of a logged decision
    #[arg(long, default_value_t = 0)]
    roll: u64,
    #[command(flatten)]
    format: FormatArgs,
}

impl ExplainArgs {
    fn question(&self) -> ExplainRequest {
        let (host, path, method) = (self.host.clone(), self.path.clone(), self.method.clone());
        ExplainRequest { host, path, client: self.client, method, roll: self.roll }
    }
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct WhomArgs {
    /// All endpoints of a pool
    #[arg(long)]
    pool: Option<String>,
    /// All endpoints of a region
    #[arg(long)]
    region: Option<String>,
    /// One endpoint
    #[arg(long, value_name = "POOL/ADDRESS")]
    endpoint: Option<String>,
}

/// Runs the command line.
#[must_use]
pub fn main() -> ExitCode {
    let line = match Line::try_parse() {
        Ok(line) => line,
        Err(asked) => {
            // Help and version are no errors; clap knows where to print them.
            let _ = asked.print();
            return ExitCode::from(if asked.use_stderr() { exit::CONFIG } else { exit::FINE });
        }
    };
    ExitCode::from(match line.command {
        Subcommands::Run(file) => run(&file),
        Subcommands::Check { file, format } => offline::check(&file.config, format.format),
        Subcommands::Explain(asked) => match &asked.config {
            Some(config) => offline::explain(config, &asked.question(), asked.format.format),
            None => online::explain(&asked.admin, &asked.question(), asked.format.format),
        },
        Subcommands::Status { admin, format } => online::status(&admin, format.format),
        Subcommands::Reload { admin, format } => online::reload(&admin, format.format),
        Subcommands::Failback { route, admin, format: _ } => {
            online::order(&admin, "failback", &serde_json::json!({ "route": route }))
        }
        Subcommands::Drain { whom, time, reason, admin, format: _ } => {
            let body = serde_json::json!({
                "pool": whom.pool, "region": whom.region, "endpoint": whom.endpoint, "for": time, "reason": reason,
            });
            online::order(&admin, "drain", &body)
        }
        Subcommands::Undrain { whom, admin, format: _ } => {
            let body =
                serde_json::json!({ "pool": whom.pool, "region": whom.region, "endpoint": whom.endpoint });
            online::order(&admin, "undrain", &body)
        }
        // A schema is JSON in both formats.
        Subcommands::Schema(_) => print(&show::pretty(&thalweg_config::schema())),
        Subcommands::Completions { shell } => {
            let mut out = Vec::new();
            clap_complete::generate(shell, &mut Line::command(), "thalweg", &mut out);
            print(&String::from_utf8_lossy(&out))
        }
        Subcommands::Man => man(),
        Subcommands::Version(FormatArgs { format: Format::Human }) => {
            print(concat!("thalweg ", env!("CARGO_PKG_VERSION"), "\n"))
        }
        Subcommands::Version(FormatArgs { format: Format::Json }) => {
            print(&show::pretty(&serde_json::json!({ "version": env!("CARGO_PKG_VERSION") })))
        }
    })
}

fn run(file: &FileArgs) -> u8 {
    match lifecycle::run(&file.config, |control, socket| Box::pin(admin::run(control, socket))) {
        Ok(()) => exit::FINE,
        Err(RunError::Config(errors)) => {
            for error in &errors.0 {
                note(&error.to_string());
            }
            exit::CONFIG
        }
        Err(RunError::Bind(error)) => {
            say(&error.to_string());
            exit::BIND
        }
        Err(RunError::Machine(error)) => {
            say(&format!("cannot start: {error}"));
            exit::FAILURE
        }
        Err(RunError::WorkersGone) => {
            say("every worker has ended");
            exit::FAILURE
        }
    }
}

fn man() -> u8 {
    match manual::page(&Line::command()) {
        Ok(page) => print(&String::from_utf8_lossy(&page)),
        Err(error) => {
            say(&error.to_string());
            exit::FAILURE
        }
    }
}

/// Prints data to stdout. A reader that went away (`| head`) is no failure.
fn print(text: &str) -> u8 {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => exit::FAILURE,
        _ => exit::FINE,
    }
}

/// Prints a message to stderr.
fn say(text: &str) {
    note(&format!("thalweg: {text}"));
}

/// Prints a line that begins with its place, so that editors find it, to stderr.
fn note(text: &str) {
    // stderr is gone: there is nothing to report to.
    let _ = writeln!(std::io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Line::command().debug_assert();
    }

    #[test]
    fn only_a_typed_config_makes_explain_offline() {
        let parse = |args: &[&str]| {
            Line::try_parse_from([&["thalweg", "explain", "--host", "h", "--path", "/"], args].concat())
        };
        let Subcommands::Explain(asked) = parse(&[]).unwrap().command else { panic!() };
        assert!(asked.config.is_none() && asked.roll == 0);
        let Subcommands::Explain(asked) = parse(&["--config", "x.toml"]).unwrap().command else { panic!() };
        assert!(asked.config.is_some());
        assert!(parse(&["--config", "x", "--admin", "http://a"]).is_err());
        assert!(Line::try_parse_from(["thalweg", "drain"]).is_err());
        assert!(Line::try_parse_from(["thalweg", "drain", "--pool", "a", "--region", "b"]).is_err());
    }
}
