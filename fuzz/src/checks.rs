//! What must hold for any input. Each function panics where a promise is broken, and needs no disk, clock or network.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};
use thalweg_config::{AccessLog, ConfigErrors, Files, Probe, load_with};
use thalweg_core::{Matcher, Route, RouteSlot};
use thalweg_edge::{
    control::probe::body_fits,
    data::access_line::{self, AccessRecord},
    shared::path::normalise,
};

/// One file in memory.
struct OneFile<'t>(&'t [u8]);

const CONFIG: &str = "fuzz.toml";

impl Files for OneFile<'_> {
    fn read(&self, path: &Path, most: usize) -> io::Result<Vec<u8>> {
        if path != Path::new(CONFIG) {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(self.0.get(..most.saturating_add(1)).unwrap_or(self.0).to_vec())
    }

    fn list(&self, _: &Path) -> io::Result<Vec<String>> {
        Err(io::ErrorKind::NotFound.into())
    }
}

/// A config is accepted, and then its parts fit together, or it is refused with errors that each name a place and fit
/// on one line. The verdict depends on nothing but the bytes.
pub fn config_text(bytes: &[u8]) {
    let env = |name: &str| (name == "SET").then(|| "value".to_owned());
    let read = || load_with(Path::new(CONFIG), &env, &OneFile(bytes));
    let verdict = read();
    assert_eq!(verdict, read(), "the same bytes were read differently");
    match verdict {
        Ok(config) => {
            assert_eq!(config.pools.len(), config.topology.pools.len());
            assert_eq!(config.routes.len(), config.topology.routes.len());
            for route in &config.topology.routes {
                assert!(!route.pools.is_empty(), "a route without a pool");
                for member in &route.pools {
                    assert!(usize::try_from(member.pool.0).is_ok_and(|at| at < config.pools.len()));
                }
            }
        }
        Err(ConfigErrors(errors)) => {
            assert!(!errors.is_empty(), "refused without an error");
            for error in errors {
                assert_eq!(error.span.file, PathBuf::from(CONFIG), "{error}");
                assert!(!error.to_string().contains(['\n', '\r', '\0']), "{error:?}");
            }
        }
    }
}

/// A body passes only if each expected member has an accepted value; the evidence against it is short and printable.
pub fn health_body(body: &[u8]) {
    let probe = Probe {
        kind: thalweg_config::ProbeKind::Http,
        name: "p".to_owned(),
        path: "/health".to_owned(),
        method: "GET".to_owned(),
        expect_status: vec![(200, 200)],
        expect_json: vec![
            ("status".to_owned(), vec![json!("ok"), json!("degraded")]),
            ("load".to_owned(), vec![json!(1), json!(true)]),
        ],
        host: None,
        port: None,
        headers: Vec::new(),
    };
    match body_fits(&probe, body) {
        Ok(()) => {
            let parsed: Value = serde_json::from_slice(body).expect("a body that fits is JSON");
            assert!(parsed["status"] == "ok" || parsed["status"] == "degraded", "{parsed}");
            assert!(parsed["load"].as_f64() == Some(1.0) || parsed["load"] == true, "{parsed}");
        }
        Err(evidence) => {
            assert!(evidence.detail.len() <= 200, "{} bytes of evidence", evidence.detail.len());
            assert!(!evidence.detail.contains(|c: char| c.is_ascii_control()), "{:?}", evidence.detail);
        }
    }
}

/// The routes of [`host_and_path`]: hosts and a prefix.
const ROUTES: [(&[&str], &str); 6] = [
    (&["example.com"], "/api"),
    (&["example.com", "*.example.com"], "/"),
    (&["*.example.com"], "/api/v1"),
    (&["*.com"], "/a"),
    (&[], "/api"),
    (&[], "/static/x"),
];

/// A path that is accepted has one form, without dot segments, and the route is the one that a plain search over all
/// routes finds. The input is a host, a line feed and a path.
pub fn host_and_path(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (host, path) = text.split_once('\n').unwrap_or((&text, "/"));
    let Ok(path) = normalise(path) else { return };
    assert_eq!(normalise(&path).as_deref(), Ok(&*path), "the canonical form has another canonical form");
    if path.starts_with('/') {
        let dots = path.split('/').any(|segment| matches!(segment, "." | ".."));
        assert!(!dots, "a dot segment is left in {path:?}");
    }
    let routes = ROUTES.map(|(hosts, prefix)| Route {
        hosts: hosts.iter().map(|host| (*host).into()).collect(),
        path_prefix: prefix.into(),
        ..Route::default()
    });
    let host = host.to_lowercase();
    assert_eq!(Matcher::new(&routes).find(&host, &path), search(&routes, &host, &path), "{host:?} {path:?}");
}

/// The best route by trying all: the more specific host wins, then the longer prefix, then the first.
fn search(routes: &[Route], host: &str, path: &str) -> Option<RouteSlot> {
    let mut best: Option<((usize, usize), usize)> = None;
    for (nth, route) in routes.iter().enumerate() {
        let prefix = route.path_prefix.trim_end_matches('/');
        let fits = path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let any = route.hosts.is_empty().then_some(0);
        let by_name = route.hosts.iter().filter_map(|pattern| match pattern.strip_prefix('*') {
            Some(parent) => (host.len() >= parent.len() && host.ends_with(parent)).then_some(parent.len()),
            None => (**pattern == *host).then_some(usize::MAX),
        });
        let Some(specific) = any.into_iter().chain(by_name).max().filter(|_| fits) else { continue };
        if best.is_none_or(|(rank, _)| rank < (specific, prefix.len())) {
            best = Some(((specific, prefix.len()), nth));
        }
    }
    best.and_then(|(_, nth)| u32::try_from(nth).ok()).map(RouteSlot)
}

/// One request is one line, in both formats; as JSON the line gives back exactly what went in. The input is the
/// fields, separated by a byte 0xff, which UTF-8 never holds.
pub fn access_log(bytes: &[u8]) {
    let fields: Vec<String> =
        bytes.split(|byte| *byte == 0xff).map(|field| String::from_utf8_lossy(field).into_owned()).collect();
    let field = |nth: usize| fields.get(nth).map_or("", String::as_str);
    let record = AccessRecord {
        request_id: field(0),
        client: b"192.0.2.1",
        method: field(1),
        host: field(2),
        path: field(3),
        status: 200,
        bytes_in: 1,
        bytes_out: u64::MAX,
        duration: Duration::from_micros(7),
        first_byte: None,
        route: field(4),
        pool: fields.get(5).map(String::as_str),
        endpoint: fields.get(6).map(String::as_str),
        attempts: 1,
        reason: None,
        generation: 1,
        revision: 2,
        roll: 3,
        version: thalweg_wire::Version::Http11,
        tcp: false,
        tls: None,
        client_cert: None,
        refusal: None,
        error: None,
        rule: None,
        proxy: None,
    };
    let mut line = Vec::new();
    access_line::write(&mut line, AccessLog::Common, &record);
    assert_one_line(&line);
    line.clear();
    access_line::write(&mut line, AccessLog::Json, &record);
    assert_one_line(&line);
    let parsed: Value = serde_json::from_slice(&line).expect("a line is one JSON value");
    for (name, written) in [
        ("request_id", field(0)),
        ("method", field(1)),
        ("host", field(2)),
        ("path", field(3)),
        ("route", field(4)),
    ] {
        assert_eq!(parsed[name], written, "{name}");
    }
    assert_eq!(parsed["pool"], json!(record.pool));
    assert_eq!(parsed["endpoint"], json!(record.endpoint));
}

fn assert_one_line(line: &[u8]) {
    let (last, rest) = line.split_last().expect("a line is not empty");
    assert!(*last == b'\n' && !rest.iter().any(u8::is_ascii_control), "{:?}", String::from_utf8_lossy(line));
}
