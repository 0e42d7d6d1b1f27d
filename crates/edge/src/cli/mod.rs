//! The command line: which command does what. `args` declares the options (`common_args`: those that many commands share,
//! `order_args`: those of orders, `fleet_args`: those of the fleet); the work of a command is in `offline` (it needs a file
//! and no edge), `online`, `configs` or `orders` (they call a running edge through `client`; `upgrade` does, and waits), or
//! `fleet` (it calls the fleet's servers); `gate` is the part of `status` that scripts wait for; `show`, `show_configs`,
//! `announce_lines`, `dns_lines`, `fleet_lines` and `geo_lines` lay answers out in `cells` (`why`: decision records), `top` watches an edge live,
//! `manual` makes the manual page, `terminal` prints.

mod announce_lines;
mod args;
mod cells;
mod client;
mod common_args;
mod configs;
mod dns_lines;
mod fleet;
mod fleet_args;
mod fleet_lines;
mod gate;
mod geo_lines;
mod manual;
mod offline;
mod online;
mod order_args;
mod orders;
mod show;
mod show_configs;
mod terminal;
mod top;
mod upgrade;
mod why;

use std::process::ExitCode;

use args::{CommandArgs, CommandLine, FileArgs, Format, FormatArgs};
use clap::{CommandFactory, Parser};
use terminal::{exit, print, refuse, say};

use crate::{
    admin,
    control::lifecycle::{self, RunError},
};

/// Runs the command line.
#[must_use]
pub fn main() -> ExitCode {
    let line = match CommandLine::try_parse() {
        Ok(line) => line,
        Err(asked) => {
            // Help and version are no errors; clap knows where to print them.
            let _ = asked.print();
            return ExitCode::from(if asked.use_stderr() { exit::CONFIG } else { exit::FINE });
        }
    };
    ExitCode::from(match line.command {
        CommandArgs::Run(file) => run(&file),
        CommandArgs::Check { file, format } => offline::check(&file.config, format.format),
        CommandArgs::Explain(asked) => match &asked.config {
            Some(config) => offline::explain(config, &asked.request(), asked.format.format),
            None => online::explain(&asked.admin, &asked.request(), asked.format.format),
        },
        CommandArgs::Top { admin } => top::run(&admin),
        CommandArgs::Why { id, admin, format } => online::why(&admin, &id, format.format),
        CommandArgs::Status { gate, admin, format } => online::status(&admin, &gate, format.format),
        CommandArgs::Reload(asked) => configs::reload(&asked),
        CommandArgs::Plan { config, admin, format } => configs::plan(&config, &admin, format.format),
        CommandArgs::Confirm { call } => configs::confirm(&call),
        CommandArgs::History { admin, format } => configs::history(&admin, format.format),
        CommandArgs::Rollback { generation, call } => configs::rollback(generation, &call),
        CommandArgs::Upgrade(asked) => upgrade::upgrade(&asked),
        CommandArgs::Failback { route, fleet, admin, format: _ } => {
            online::order(&admin, "failback", &serde_json::json!({ "route": route, "fleet": fleet }))
        }
        CommandArgs::Drain(asked) => orders::drain(&asked),
        CommandArgs::Undrain { target, fleet, admin, format } => {
            orders::undrain((&target, fleet), &admin, format.format)
        }
        CommandArgs::Dial(asked) => orders::dial(&asked),
        CommandArgs::Weight(asked) => orders::weight(&asked),
        CommandArgs::Evacuate(asked) => orders::evacuate(&asked),
        CommandArgs::Freeze(asked) => orders::freeze(&asked),
        CommandArgs::Orders { admin, format } => orders::list(&admin, format.format),
        CommandArgs::Cancel { id, fleet, admin, format } => {
            orders::cancel((id, fleet), &admin, format.format)
        }
        CommandArgs::Publish(asked) => fleet::publish(&asked),
        CommandArgs::Rollout(asked) => fleet::rollout(&asked),
        CommandArgs::Taste => fleet::taste(),
        // A schema is JSON in both formats.
        CommandArgs::Schema(_) => print(&show::pretty(&thalweg_config::schema())),
        CommandArgs::Completions { shell } => {
            let mut out = Vec::new();
            clap_complete::generate(shell, &mut CommandLine::command(), "thalweg", &mut out);
            print(&String::from_utf8_lossy(&out))
        }
        CommandArgs::Man => man(),
        CommandArgs::Version(FormatArgs { format: Format::Human }) => {
            print(concat!("thalweg ", env!("CARGO_PKG_VERSION"), "\n"))
        }
        CommandArgs::Version(FormatArgs { format: Format::Json }) => {
            print(&show::pretty(&serde_json::json!({ "version": env!("CARGO_PKG_VERSION") })))
        }
    })
}

fn run(file: &FileArgs) -> u8 {
    match lifecycle::run(&file.config, |control, socket| Box::pin(admin::run(control, socket))) {
        Ok(()) => exit::FINE,
        Err(RunError::Config(errors)) => refuse(&errors),
        Err(RunError::Bind(error)) => {
            say(&error.to_string());
            exit::BIND
        }
        Err(RunError::Machine(error)) => {
            say(&format!("cannot start: {error}"));
            exit::FAILURE
        }
        Err(RunError::TakeOver(problem)) => {
            say(&format!("no upgrade: {problem}"));
            exit::FAILURE
        }
        Err(RunError::WorkersGone) => {
            say("every worker has ended");
            exit::FAILURE
        }
    }
}

fn man() -> u8 {
    match manual::page(&CommandLine::command()) {
        Ok(page) => print(&String::from_utf8_lossy(&page)),
        Err(error) => {
            say(&error.to_string());
            exit::FAILURE
        }
    }
}
