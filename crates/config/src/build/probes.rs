//! `[probe.NAME]`: the rules for the core and the request for the shell. Never probes anything.

use std::collections::BTreeMap;

use thalweg_core::ProbeRules;

use crate::{
    Probe, ProbeKind,
    decode::key_text,
    diagnostic::Diagnostic,
    keys::PROBE,
    loader::Loader,
    tree::{Entry, Value},
    view::View,
};

/// A probe as pools use it: rules for the core, the request for the shell.
pub(crate) struct ProbePlan {
    pub(crate) rules: ProbeRules,
    pub(crate) probe: Probe,
}

/// Probes by name.
pub(crate) type Probes = BTreeMap<String, ProbePlan>;

/// Headers that a probe may not set: they belong to the connection, or another key sets them.
const OWN_HEADERS: [&str; 9] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

impl Loader<'_> {
    pub(crate) fn probes(&mut self, root: View<'_>) -> Probes {
        root.named("probe").iter().map(|entry| (entry.name.clone(), self.probe(entry))).collect()
    }

    fn probe(&mut self, entry: &Entry) -> ProbePlan {
        let table = View::new(&PROBE, &entry.node);
        let path = format!("probe.{}", key_text(&entry.name));
        let rules = ProbeRules {
            interval: table.time("interval"),
            confirm: table.time("confirm"),
            timeout: table.time("timeout"),
            rise: table.small("rise"),
            fall: table.small("fall"),
            weight_from_body: table.flag("weight_from_body"),
        };
        if rules.timeout > rules.interval {
            let (at, key) = table.first_given(["timeout", "interval"]);
            let diagnostic = Diagnostic::new("`timeout` is longer than `interval`");
            self.report.warn(
                at,
                format!("{path}.{key}"),
                diagnostic.hint("a probe that hangs delays the next one"),
            );
        }
        let expect_json = expected_members(table);
        let method = table.text("method");
        let reads = [("expect_json", !expect_json.is_empty()), ("weight_from_body", rules.weight_from_body)];
        for (key, _) in reads.into_iter().filter(|(_, reads)| *reads && method == "HEAD") {
            if let Some(node) = table.given(key) {
                let diagnostic = Diagnostic::new("an answer to HEAD has no body").hint("method = \"GET\"");
                self.report.error(node.at, format!("{path}.{key}"), diagnostic);
            }
        }
        let probe = Probe {
            name: entry.name.clone(),
            kind: self.probe_kind(table, &path),
            path: table.text("path"),
            method,
            expect_status: table.values("expect_status").iter().filter_map(code_range).collect(),
            expect_json,
            host: table.optional_text("host"),
            port: table.given("port").map(|_| table.small("port")),
            headers: self.headers(table, &path),
        };
        ProbePlan { rules, probe }
    }

    /// What is asked. Keys that mean nothing for this kind are errors: what they promise would not be checked.
    fn probe_kind(&mut self, table: View<'_>, path: &str) -> ProbeKind {
        let kind = table.text("kind");
        let unused: &[&str] = match kind.as_str() {
            "tcp" => &[
                "service",
                "path",
                "method",
                "expect_status",
                "expect_json",
                "weight_from_body",
                "host",
                "headers",
            ],
            "grpc" => &["path", "method", "expect_status", "expect_json", "weight_from_body"],
            _ => &["service"],
        };
        for key in unused {
            if let Some(node) = table.given(key) {
                let diagnostic = Diagnostic::new(format!("means nothing for a probe of kind \"{kind}\""));
                self.report.error(node.at, format!("{path}.{key}"), diagnostic.hint("leave it out"));
            }
        }
        match kind.as_str() {
            "tcp" => ProbeKind::Tcp,
            "grpc" => ProbeKind::Grpc { service: table.text("service") },
            _ => ProbeKind::Http,
        }
    }

    fn headers(&mut self, table: View<'_>, path: &str) -> Vec<(String, String)> {
        let mut headers: Vec<(String, String)> = Vec::new();
        for entry in table.named("headers") {
            let name = entry.name.to_ascii_lowercase();
            let path = format!("{path}.headers.{}", key_text(&entry.name));
            if OWN_HEADERS.contains(&name.as_str()) {
                let hint = if name == "host" { "the key `host` sets it" } else { "leave it out" };
                self.report.error(
                    entry.at,
                    path,
                    Diagnostic::new("this header is not yours to set").hint(hint),
                );
            } else if headers.iter().any(|(have, _)| have.eq_ignore_ascii_case(&name)) {
                self.report.error(entry.at, path, Diagnostic::new("this header is written twice"));
            } else {
                headers.push((entry.name.clone(), entry.node.text().to_owned()));
            }
        }
        headers
    }
}

fn code_range(value: &Value) -> Option<(u16, u16)> {
    match value {
        Value::Codes(low, high) => Some((*low, *high)),
        _ => None,
    }
}

fn expected_members(table: View<'_>) -> Vec<(String, Vec<serde_json::Value>)> {
    let members = table.named("expect_json").iter().map(|entry| match &entry.node.value {
        Value::Json(values) => (entry.name.clone(), values.clone()),
        _ => (entry.name.clone(), Vec::new()),
    });
    members.collect()
}
