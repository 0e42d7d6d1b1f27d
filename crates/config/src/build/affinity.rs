//! `[route.NAME] affinity`: what clients are known by, and the keys that sign their cookies. Never signs anything.

use std::path::Path;

use base64::{Engine, engine::general_purpose::STANDARD};
use thalweg_core::{Affinity, ClientMark, OnFailure};

use crate::{CookieKey, CookieSettings, diagnostic::Diagnostic, loader::Loader, tree::Node, view::View};

/// A key has at least as many bytes as the hash that it signs with (RFC 2104 section 3).
const SHORTEST_KEY: usize = 32;
/// Each cookie that is not genuine is checked with all keys.
const MOST_KEYS: usize = 16;

impl Loader<'_> {
    /// The table as rules for the core, and as settings for the shell where cookies are used.
    pub(crate) fn affinity(
        &mut self,
        table: View<'_>,
        path: &str,
    ) -> (Option<Affinity>, Option<CookieSettings>) {
        let file = table.given("key_file");
        let keys = file.and_then(|node| self.cookie_keys(node, &format!("{path}.affinity.key_file")));
        let on_failure = match table.text("on_failure").as_str() {
            "stick" => OnFailure::Stick,
            "none" => OnFailure::Refuse,
            _ => OnFailure::Return,
        };
        let by = match table.text("mode").as_str() {
            "client-ip" => ClientMark::Address,
            "cookie" => ClientMark::Cookie,
            _ => return (None, None),
        };
        if by == ClientMark::Cookie && !table.has("key_file") {
            let at = table.given("mode").map_or(table.at, |node| node.at);
            let diagnostic =
                Diagnostic::new("\"cookie\" needs `key_file`").hint("key_file = \"affinity.key\"");
            self.report.error(at, format!("{path}.affinity.mode"), diagnostic);
        }
        if by == ClientMark::Address
            && on_failure == OnFailure::Stick
            && let Some(node) = table.given("on_failure")
        {
            let diagnostic = Diagnostic::new("an address keeps no trace of the endpoint that stood in")
                .hint("clients return, as with \"return\"; mode \"cookie\" can stick");
            self.report.warn(node.at, format!("{path}.affinity.on_failure"), diagnostic);
        }
        let cookie = keys.filter(|_| by == ClientMark::Cookie);
        let (name, ttl) = (table.text("cookie"), table.time("ttl"));
        (Some(Affinity { by, on_failure }), cookie.map(|keys| CookieSettings { name, ttl, keys }))
    }

    /// Reads a key file: one key a line, the first one signs. Lines that are empty or begin with `#` do not count.
    fn cookie_keys(&mut self, node: &Node, path: &str) -> Option<Vec<CookieKey>> {
        let (file, bytes) = self.named_file(node, path)?;
        self.hashed(b"affinity", &bytes);
        self.hashed_files.push(file.value.clone());
        self.warn_if_open(node, path, &file.value);
        let text = String::from_utf8_lossy(&bytes);
        let lines = (1..).zip(text.lines().map(str::trim));
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let mut keys = Vec::new();
        for (number, line) in lines {
            // The message never shows the line: it may be a key with a typing error.
            let problem = match STANDARD.decode(line) {
                Ok(key) if key.len() >= SHORTEST_KEY => {
                    keys.push(CookieKey(key.into()));
                    continue;
                }
                Ok(key) => format!("has {} bytes", key.len()),
                Err(_) => "is not base64".to_owned(),
            };
            let diagnostic = Diagnostic::new(format!("line {number} of {} {problem}", file.value.display()));
            self.report.error(node.at, path, diagnostic.hint(HINT));
            return None;
        }
        let problem = match keys.len() {
            0 => "holds no key",
            1..=MOST_KEYS => return Some(keys),
            _ => "holds more than 16 keys",
        };
        let diagnostic = Diagnostic::new(format!("the file {} {problem}", file.value.display()));
        self.report.error(node.at, path, diagnostic.hint(HINT));
        None
    }

    fn warn_if_open(&mut self, node: &Node, path: &str, file: &Path) {
        if self.files.is_open_to_all(file) {
            let diagnostic = Diagnostic::new(format!("every user may read {}", file.display()))
                .hint("whoever has a key can name endpoints in cookies: chmod o-r");
            self.report.warn(node.at, path, diagnostic);
        }
    }
}

const HINT: &str = "one base64 key of at least 32 bytes a line: openssl rand -base64 32";
