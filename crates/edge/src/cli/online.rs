//! Commands that ask a running edge: `status`, `explain`, `why` and `failback`.

use http::{Method, StatusCode};
use serde_json::Value;

use super::{
    args::{AdminArgs, Format, GateArgs},
    client::{self, Problem},
    gate::{self, Closed},
    show,
    terminal::{exit, print, say},
    why,
};
use crate::admin::ExplainRequest;

pub(super) fn status(admin: &AdminArgs, asked: &GateArgs, format: Format) -> u8 {
    let shown = |status: &Value| match format {
        Format::Json => show::pretty(status),
        Format::Human => show::status(status),
    };
    match gate::open(admin, asked) {
        Ok(status) => print(&shown(&status)),
        Err(Closed::Unmet(status, reason)) => {
            let code = print(&shown(&status));
            say(&reason);
            code.max(exit::FAILURE)
        }
        Err(Closed::Unanswered(problem)) => problem.tell(),
    }
}

pub(super) fn explain(admin: &AdminArgs, asked: &ExplainRequest, format: Format) -> u8 {
    let query = format!(
        "/api/v1/explain?host={}&path={}&client={}&method={}&roll={}&cookie={}",
        encoded(&asked.host),
        encoded(&asked.path),
        asked.client,
        encoded(&asked.method),
        asked.roll,
        encoded(asked.cookie.as_deref().unwrap_or_default())
    );
    data(admin, &query, format, show::explained)
}

pub(super) fn why(admin: &AdminArgs, id: &str, format: Format) -> u8 {
    data(admin, &format!("/api/v1/requests/{id}"), format, why::record)
}

fn data(admin: &AdminArgs, call: &str, format: Format, human: fn(&Value) -> String) -> u8 {
    match client::ask(admin, Method::GET, call, "") {
        Ok((StatusCode::OK, said)) => print(&match format {
            Format::Json => show::pretty(&said),
            Format::Human => human(&said),
        }),
        Ok((status, said)) => Problem::answered(status, &said).tell(),
        Err(problem) => problem.tell(),
    }
}

/// The result of an order is the same for people and for programs: it is short.
pub(super) fn order(admin: &AdminArgs, word: &str, body: &Value) -> u8 {
    match client::ask(admin, Method::POST, &format!("/api/v1/{word}"), &body.to_string()) {
        Ok((status, said)) if status.is_success() => print(&show::pretty(&said)),
        Ok((status, said)) => Problem::answered(status, &said).tell(),
        Err(problem) => problem.tell(),
    }
}

/// Percent-encoding for a query value.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/:*".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn query_values_are_encoded() {
        assert_eq!(super::encoded("/a b&c=é"), "/a%20b%26c%3D%C3%A9");
    }
}
