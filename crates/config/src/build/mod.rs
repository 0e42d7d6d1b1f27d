//! From the tree to [`Config`]: what keys mean together. Names refer to something, addresses do not collide,
//! policies become numbers, named files exist. Never repeats a check of [`crate::decode`].
//!
//! `dns` builds the zone that the edge answers for, `edge` the edge, its admin server and its listeners, `fleet` what the edge shares with others, `front` whose word
//! about clients counts and how much each may ask for, `tokens` the admin server's tokens; `probes`, `pools`,
//! `routes` and `affinity` build what their names say, `geo` the places of clients and the geo rules of routes, `reports`
//! the servers that the edge reports to, `tcp` the listeners that are not HTTP, `tls` what listeners and endpoints present and trust.

mod affinity;
mod dns;
mod edge;
mod fleet;
mod front;
mod geo;
mod pools;
mod probes;
mod reports;
mod routes;
mod tcp;
mod tls;
mod tokens;

use std::path::{Path, PathBuf};

use sha2::Digest;
use thalweg_core::{EjectRules, Topology};

use self::dns::DnsTargets;
use crate::{
    AccessLog, Config, ConfigError, ConfigErrors, Decisions, Level, Limits, Log, LookAlikes, Placed,
    Rejected, Resolver,
    diagnostic::Diagnostic,
    files::cannot_read,
    fleet::is_bundled,
    keys::ROOT,
    loader::Loader,
    report::WHOLE,
    tree::{At, Node, Value},
    view::View,
};

/// Longest certificate, key or token file, bytes.
const MAX_NAMED_FILE: usize = 1 << 20;

/// Builds the config from the tree, or returns the errors. The warnings come beside both.
pub(crate) fn config(mut loader: Loader<'_>, tree: &Node) -> (Result<Config, Rejected>, Vec<ConfigError>) {
    let texts = loader.texts();
    let sources = loader.report.sources.iter().map(|source| source.name.clone());
    // The files of a bundle are on no disk that could be watched.
    let mut files: Vec<PathBuf> = sources.filter(|name| !is_bundled(name)).collect();
    if loader.broken {
        // The part that is missing, or that a name refers to, may stand in the file that cannot be read as TOML.
        let (verdict, warnings) = loader.report.finish();
        let errors = verdict.err().unwrap_or_else(|| ConfigErrors(Vec::new()));
        let (listeners, pools, geo) = Default::default();
        return (Err(Rejected { errors, files, listeners, pools, geo }), warnings);
    }
    let root = View::new(&ROOT, tree);
    let admin = loader.admin(root);
    let listeners = loader.listeners(root, admin.bind);
    let probes = loader.probes(root);
    let (pools, pool_settings) = loader.pools(root, &probes);
    let (routes, route_settings) = loader.routes(root, &pools);
    loader.without_paths(root, &listeners);
    let eject = root.table("eject");
    loader.ejection(&pools::eject_rules(eject, eject), eject, "eject");
    for kind in ["listener", "pool", "route"] {
        // A bare header without entries counts as none. A bad value has its own error.
        let none = |node: &Node| node.entries().is_empty() && node.items().is_empty();
        if root.given(kind).map_or(!root.has(kind), none) {
            let diagnostic = Diagnostic::new(format!("there is no {kind}"));
            let hint = if kind == "listener" { "[[listener]]".to_owned() } else { format!("[{kind}.NAME]") };
            loader.report.error(
                At { file: 0, offset: WHOLE - 1 },
                kind,
                diagnostic.hint(format!("write {hint}")),
            );
        }
    }
    let edge = loader.edge(root);
    let fleet = loader.fleet(root, &edge);
    files.append(&mut loader.hashed_files);
    let resolver = loader.resolver(root);
    let (notify, telemetry) = (loader.notify(root), loader.telemetry(root));
    let announce = loader.announce(root);
    let targets = DnsTargets { routes: &routes, pools: &pools, settings: &pool_settings };
    let dns = loader.dns(root, (&listeners, admin.bind), &targets);
    let geo = loader.geo(root);
    let hash = loader.hash.clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let folders = std::mem::take(&mut loader.folders);
    let (verdict, warnings) = loader.report.finish();
    let config = match verdict {
        Err(errors) => Err(Rejected { errors, files, listeners, pools: pool_settings, geo }),
        Ok(()) => Ok(Config {
            edge,
            admin,
            resolver,
            geo,
            listeners,
            topology: Topology { pools, routes },
            pools: pool_settings,
            routes: route_settings,
            limits: limits(root.table("limits")),
            log: log(root.table("log")),
            notify,
            telemetry,
            announce,
            fleet,
            dns,
            decisions: Decisions { keep: root.table("decisions").small("keep") },
            warnings: warnings.clone(),
            hash,
            files,
            folders,
            texts: texts.into(),
        }),
    };
    (config, warnings)
}

impl Loader<'_> {
    fn resolver(&mut self, root: View<'_>) -> Resolver {
        let table = root.table("resolver");
        let (ttl_min, ttl_max) = (table.time("ttl_min"), table.time("ttl_max"));
        if ttl_min > ttl_max {
            let (at, key) = table.first_given(["ttl_min", "ttl_max"]);
            let diagnostic = Diagnostic::new("`ttl_min` is longer than `ttl_max`");
            self.report.error(at, format!("resolver.{key}"), diagnostic.hint("a floor under a ceiling"));
        }
        let nameservers = table.values("nameservers").into_iter().filter_map(|value| match value {
            Value::Socket(socket) => Some(socket),
            _ => None,
        });
        Resolver {
            nameservers: nameservers.collect(),
            ttl_min,
            ttl_max,
            max_addresses: table.small("max_addresses"),
        }
    }

    /// The path of a file that a value names; `None` with an error when it cannot be read. Its content is not read.
    pub(crate) fn named_path(&mut self, node: &Node, path: &str) -> Option<Placed<PathBuf>> {
        if node.text().is_empty() {
            return None;
        }
        let file = self.path_of(node);
        match self.files.read(&file, 0) {
            Ok(_) => {
                let span = self.report.span(node.at);
                return Some(Placed { value: file, span, path: path.to_owned() });
            }
            Err(error) => self.not_read(node, path, &file, &error),
        }
        None
    }

    /// A path as seen from the file that names it.
    fn path_of(&self, node: &Node) -> PathBuf {
        let sources = &self.report.sources;
        let named_in = sources.get(node.at.file).filter(|source| !is_bundled(&source.name));
        // A bundle names files of the machine that reads it: they stand beside that machine's own main file.
        let folder = named_in.or(sources.first()).map(|source| source.folder().to_owned());
        folder.unwrap_or_default().join(node.text())
    }

    fn not_read(&mut self, node: &Node, path: &str, file: &Path, error: &std::io::Error) {
        let diagnostic = cannot_read(file, error).hint("paths are relative to the file that names them");
        self.report.error(node.at, path, diagnostic);
    }

    /// The path that a value names and the content of the file there; `None` with an error when it cannot be read.
    pub(crate) fn named_file(&mut self, node: &Node, path: &str) -> Option<(Placed<PathBuf>, Vec<u8>)> {
        if node.text().is_empty() {
            return None;
        }
        let file = self.path_of(node);
        match self.files.read(&file, MAX_NAMED_FILE) {
            Ok(bytes) if bytes.len() > MAX_NAMED_FILE => {
                self.report.error(
                    node.at,
                    path,
                    Diagnostic::new(format!("the file {} is longer than 1 MiB", file.display())),
                );
            }
            Ok(bytes) => {
                let span = self.report.span(node.at);
                return Some((Placed { value: file, span, path: path.to_owned() }, bytes));
            }
            Err(error) => self.not_read(node, path, &file, &error),
        }
        None
    }

    /// Checks the ejection keys against each other.
    fn ejection(&mut self, rules: &EjectRules, table: View<'_>, path: &str) {
        if rules.base > rules.max {
            let (at, key) = table.first_given(["base", "max"]);
            let diagnostic = Diagnostic::new("`base` is longer than `max`");
            self.report.error(
                at,
                format!("{path}.{key}"),
                diagnostic.hint("the first ejection within the longest"),
            );
        }
    }
}

fn limits(table: View<'_>) -> Limits {
    let h2 = table.table("h2");
    Limits {
        max_connections: table.small("max_connections"),
        per_client: table.small("per_client"),
        header_bytes: table.small("header_bytes"),
        header_count: table.small("header_count"),
        answer_fields: table.small("answer_fields"),
        header_timeout: table.time("header_timeout"),
        idle_timeout: table.time("idle_timeout"),
        look_alikes: match table.text("lookalike_fields").as_str() {
            "drop" => LookAlikes::Drop,
            "pass" => LookAlikes::Pass,
            _ => LookAlikes::Refuse,
        },
        stream_buffer: table.small("stream_buffer"),
        h2_streams: h2.small("streams"),
        h2_resets: h2.small("resets"),
        request_rate: front::request_rate(table),
        body_min_rate: table.int("body_min_rate"),
    }
}

fn log(table: View<'_>) -> Log {
    let access = match table.text("access").as_str() {
        "common" => AccessLog::Common,
        "off" => AccessLog::Off,
        _ => AccessLog::Json,
    };
    let level = match table.text("level").as_str() {
        "error" => Level::Error,
        "warn" => Level::Warn,
        "debug" => Level::Debug,
        "trace" => Level::Trace,
        _ => Level::Info,
    };
    Log { access, level }
}
