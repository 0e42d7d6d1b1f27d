//! `thalweg upgrade`: asks the running edge to start a successor, and waits until that one answers in its place.

#![expect(
    clippy::indexing_slicing,
    reason = "reading a JSON value by name never panics: what is missing is null"
)]

use std::{
    path::absolute,
    thread::sleep,
    time::{Duration, Instant},
};

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    args::{Format, UpgradeArgs},
    client::{self, Problem},
    show,
    terminal::{exit, print, say},
};

/// The pause between two questions.
const PAUSE: Duration = Duration::from_millis(100);
/// How much longer than the edge this command waits: the edge tells the reason.
const MORE: Duration = Duration::from_secs(10);
const CALL: &str = "/api/v1/upgrade";

pub(super) fn upgrade(asked: &UpgradeArgs) -> u8 {
    let binary = asked.binary.as_ref().map(|path| absolute(path).unwrap_or_else(|_| path.clone()));
    let within = format!("{}ms", asked.within.as_millis());
    let body = json!({ "binary": binary, "within": within, "reason": asked.call.reason });
    let admin = &asked.call.admin;
    let before = match client::ask(admin, Method::POST, CALL, &body.to_string()) {
        Ok((StatusCode::ACCEPTED, said)) => said["pid"].clone(),
        Ok((status, said)) => return Problem::answered(status, &said).tell(),
        Err(problem) => return problem.tell(),
    };
    let began = Instant::now();
    let mut last = String::from("the edge does not answer");
    while began.elapsed() < asked.within + MORE {
        match client::ask(admin, Method::GET, CALL, "") {
            Ok((StatusCode::OK, now)) if now["pid"] != before && now["predecessor"] == before => {
                return print(&shown(&before, &now, asked.call.format.format));
            }
            Ok((StatusCode::OK, now)) if now["state"] == "failed" => {
                let reason = now["reason"].as_str().unwrap_or("no reason given");
                say(&format!("the new process did not take over, the running one goes on: {reason}"));
                return exit::FAILURE;
            }
            Ok((StatusCode::OK, now)) => last = format!("its state is {}", now["state"]),
            Ok((status, said)) => return Problem::answered(status, &said).tell(),
            // Between the two processes a connection may be cut.
            Err(Problem::Edge(problem)) => last = problem,
            Err(problem) => return problem.tell(),
        }
        sleep(PAUSE);
    }
    say(&format!("no end of the upgrade within {} s: {last}", (asked.within + MORE).as_secs()));
    exit::FAILURE
}

fn shown(before: &Value, now: &Value, format: Format) -> String {
    match format {
        Format::Json => show::pretty(now),
        Format::Human => format!("process {} took over from {before}, which drains\n", now["pid"]),
    }
}
