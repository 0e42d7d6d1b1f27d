//! Commands of the fleet: `publish` and `rollout`; and `taste`, which an edge starts for itself.

use std::{io::Read, path::Path};

use serde_json::{Value, json};
use thalweg_config::{Ring, Typed};

use super::{
    args::Format,
    fleet_args::{PublishArgs, RolloutArgs},
    show,
    terminal::{exit, note, print, refuse, say},
};
use crate::control::fleet::{
    bundle::{BundleFile, signing_key},
    overview,
    publish::{self, Publication},
    steps::RolloutCall,
    taste,
};

/// Longest key file.
const MAX_KEY: u64 = 64 << 10;

pub(super) fn publish(asked: &PublishArgs) -> u8 {
    let (read, warnings) = thalweg_config::check(&asked.config, &Typed(&asked.config));
    let config = match read {
        Ok(config) => config,
        Err(rejected) => return refuse(&rejected.errors),
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
    let owner = owner(asked.owner.as_ref());
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

pub(super) fn rollout(asked: &RolloutArgs) -> u8 {
    let config = match thalweg_config::check(&asked.config, &Typed(&asked.config)).0 {
        Ok(config) => config,
        Err(rejected) => return refuse(&rejected.errors),
    };
    let Some(fleet) = &config.fleet else {
        say("the config has no [fleet]: it names the servers and the bucket");
        return exit::CONFIG;
    };
    let call = match asked.call.as_deref() {
        Some("pause") => RolloutCall::Pause,
        Some("resume") => RolloutCall::Resume,
        Some("abort") => RolloutCall::Abort,
        _ => RolloutCall::Show,
    };
    let owner = owner(asked.owner.as_ref());
    match overview::rollout(fleet, call, (&owner, &asked.reason)) {
        Ok(shown) => print(&match asked.format.format {
            Format::Json => show::pretty(&shown),
            Format::Human => rollout_text(&shown),
        }),
        Err(problem) => {
            say(&problem);
            exit::FAILURE
        }
    }
}

fn owner(given: Option<&String>) -> String {
    given.cloned().or_else(|| std::env::var("USER").ok()).unwrap_or_else(|| "unknown".into())
}

fn rollout_text(shown: &Value) -> String {
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or("-").to_owned();
    let mut lines = Vec::new();
    for (ring, bundle) in shown.get("bundles").and_then(Value::as_object).into_iter().flatten() {
        let number = bundle.get("number").and_then(Value::as_u64);
        let said = number.map_or_else(
            || {
                if bundle.is_null() {
                    "none".to_owned()
                } else {
                    format!("refused: {}", text(bundle, "refused"))
                }
            },
            |number| format!("{number} by {}", text(bundle, "owner")),
        );
        lines.push(format!("bundle for {ring}: {said}"));
    }
    let order = shown.get("order").cloned().unwrap_or_default();
    if order.get("paused") == Some(&Value::Bool(true)) {
        lines.push(format!("paused by {}: {}", text(&order, "owner"), text(&order, "reason")));
    }
    if let Some(aborted) = order.get("aborted").and_then(Value::as_u64) {
        lines.push(format!("aborted: bundle {aborted}"));
    }
    for edge in shown.get("edges").and_then(Value::as_array).into_iter().flatten() {
        let number = edge.get("bundle").and_then(Value::as_u64).unwrap_or_default();
        let (name, ring, state) = (text(edge, "edge"), text(edge, "ring"), text(edge, "state"));
        lines.push(format!(
            "{name} ({ring}): {}",
            if number == 0 { "no bundle".to_owned() } else { format!("{number} {state}") }
        ));
    }
    lines.join("\n") + "\n"
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
