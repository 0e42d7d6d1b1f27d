//! Files and environment that exist only in a test.
#![allow(dead_code, clippy::expect_used, reason = "each test binary uses its part")]

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use thalweg_config::{Config, ConfigErrors, Files, load_with};

/// Files in memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory(pub(crate) BTreeMap<PathBuf, Vec<u8>>);

impl Memory {
    /// One file more.
    pub(crate) fn with(mut self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.0.insert(path.into(), content.as_ref().to_vec());
        self
    }
}

impl Files for Memory {
    fn read(&self, path: &Path, most: usize) -> io::Result<Vec<u8>> {
        let bytes = self.0.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(bytes.iter().copied().take(most + 1).collect())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let inside = self.0.keys().filter(|path| path.parent() == Some(folder));
        let names: Vec<_> = inside.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect();
        if names.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(names) }
    }
}

/// A key file with one key.
const AFFINITY_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";

/// The certificates, keys, tokens and databases that the examples name.
pub(crate) fn named_files() -> Memory {
    let names = [
        "tls/site.crt",
        "tls/site.key",
        "tls/ca.pem",
        "admin.token",
        "geo.mmdb",
        "tls/site.ocsp",
        "tls/clients.pem",
        "tls/clients.crl",
        "tls/edge.crt",
        "tls/edge.key",
        "fleet.pub",
        "nats.token",
    ];
    let files = names.iter().fold(Memory::default(), |files, name| files.with(name, "content"));
    files.with("affinity.key", AFFINITY_KEY)
}

/// An environment of three variables.
pub(crate) fn env(name: &str) -> Option<String> {
    match name {
        "REGION" => Some("eu-west-1".to_owned()),
        "EMPTY" => Some(String::new()),
        "EVIL" => Some("\"\n[admin]\n${REGION}".to_owned()),
        _ => None,
    }
}

/// Reads `text` as `t.toml` beside [`named_files`].
pub(crate) fn read(text: &str) -> Result<Config, ConfigErrors> {
    load_with(Path::new("t.toml"), &env, &named_files().with("t.toml", text))
}

/// Every error as one line.
pub(crate) fn complaints(text: &str) -> Vec<String> {
    match read(text) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.0.iter().map(ToString::to_string).collect(),
    }
}

/// Every warning as one line.
pub(crate) fn warnings(text: &str) -> Vec<String> {
    read(text).expect(text).warnings.iter().map(ToString::to_string).collect()
}

/// The least config that is accepted, with `more` behind it.
pub(crate) fn minimal(more: &str) -> String {
    format!("{}\n{more}", MINIMAL)
}

/// One listener, one pool, one route on eight lines.
pub(crate) const MINIMAL: &str = r#"version = 1
[[listener]]
name = "web"
bind = "127.0.0.1:8080"
[pool.a]
endpoints = [{ address = "10.0.0.1:8000" }]
[route.r]
policy = "failover"
pools = [{ pool = "a" }]
"#;
