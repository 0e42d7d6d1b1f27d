//! URLs of servers that the edge reports to, taken apart. Reads neither the host nor the path in them.

use crate::diagnostic::{Diagnostic, quoted};

/// The grammar in a few words.
pub(super) const GRAMMAR: &str = "\"https://host/path\" or \"http://host:port/path\"";

/// The parts of a URL.
#[derive(Debug, PartialEq)]
pub(super) struct UrlParts {
    pub(super) tls: bool,
    /// Host and port.
    pub(super) address: String,
    /// Path and query.
    pub(super) path: String,
}

/// Takes a URL apart. Credentials in it are refused: they would be seen wherever the config is shown.
pub(super) fn split(text: &str) -> Result<UrlParts, Diagnostic> {
    let wrong = |problem: String| Diagnostic::new(problem).hint(GRAMMAR);
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(wrong(format!("{} is no URL", quoted(text))));
    };
    let tls = match scheme.to_ascii_lowercase().as_str() {
        "https" => true,
        "http" => false,
        _ => return Err(wrong(format!("{} is neither http nor https", quoted(scheme)))),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
    if authority.contains('@') {
        return Err(wrong("holds credentials".to_owned()));
    }
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
    let default = if tls { 443 } else { 80 };
    let address = if has_port { authority.to_owned() } else { format!("{authority}:{default}") };
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    Ok(UrlParts { tls, address, path })
}

/// The grammar of the address of a NATS server.
pub(super) const NATS: &str = "\"nats://host:4222\" or \"tls://host:4222\"";

/// Scheme and `host:port` of a NATS server. Credentials belong into the file that `credentials` names.
pub(super) fn nats(text: &str) -> Result<(&'static str, String), Diagnostic> {
    let wrong = |problem: String| Diagnostic::new(problem).hint(NATS);
    let (scheme, authority) =
        text.split_once("://").ok_or_else(|| wrong(format!("{} is no URL", quoted(text))))?;
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "nats" => "nats",
        "tls" => "tls",
        _ => return Err(wrong(format!("{} is neither nats nor tls", quoted(scheme)))),
    };
    if authority.contains('@') {
        return Err(wrong("holds credentials".to_owned()));
    }
    if authority.contains(['/', '?', '#']) {
        return Err(wrong("holds more than a host and a port".to_owned()));
    }
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
    Ok((scheme, if has_port { authority.to_owned() } else { format!("{authority}:4222") }))
}
