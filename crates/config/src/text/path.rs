//! Paths and queries of requests.

use crate::{
    diagnostic::{Diagnostic, quoted, shown},
    tree::Value,
};

/// What is left of a path or target after the checks that both share.
fn path_bytes(text: &str, query: bool) -> Result<(), Diagnostic> {
    if !text.starts_with('/') {
        return Err(Diagnostic::new(format!("{} does not start with /", quoted(text)))
            .hint(format!("\"/{}\"", shown(text.split("://").last().unwrap_or_default()))));
    }
    if text.contains('#') || (!query && text.contains('?')) {
        let what = if query { "holds a fragment" } else { "holds a query or fragment" };
        return Err(Diagnostic::new(what).hint("the path only"));
    }
    let odd = text
        .chars()
        .find(|c| !c.is_ascii_graphic() || matches!(c, '\\' | '"' | '<' | '>' | '`' | '{' | '}' | '|' | '^'));
    if let Some(odd) = odd {
        return Err(Diagnostic::new(format!("holds the character '{}'", odd.escape_debug()))
            .hint("percent-encode it"));
    }
    let mut rest = text;
    while let Some((_, tail)) = rest.split_once('%') {
        let code = tail.get(..2).filter(|c| c.bytes().all(|b| b.is_ascii_hexdigit()));
        let Some(code) = code else {
            return Err(
                Diagnostic::new("holds a % without two hex digits").hint("a literal percent sign is %25")
            );
        };
        if !query && ["2f", "5c", "00"].contains(&code.to_ascii_lowercase().as_str()) {
            return Err(Diagnostic::new(format!("holds %{code}"))
                .hint("requests with %2F, %5C or %00 in the path are refused, so it would never match"));
        }
        rest = tail;
    }
    Ok(())
}

/// Percent-encoding as requests have it when they are matched: what need not be encoded is not, the rest is upper
/// case. `text` has passed [`path_bytes`].
fn canonical(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let (digits, tail) = after.split_at_checked(2).unwrap_or((after, ""));
        match u8::from_str_radix(digits, 16) {
            Ok(byte) if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => out.push(char::from(byte)),
            _ => {
                out.push('%');
                out.push_str(&digits.to_ascii_uppercase());
            }
        }
        rest = tail;
    }
    out.push_str(rest);
    out
}

pub(super) fn prefix(text: &str) -> Result<Value, Diagnostic> {
    path_bytes(text, false)?;
    let text = canonical(text);
    if text.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err(Diagnostic::new("holds a dot segment")
            .hint("dot segments are resolved before matching, so it would never match"));
    }
    let trimmed = text.trim_end_matches('/');
    Ok(Value::Text(if trimmed.is_empty() { "/" } else { trimmed }.to_owned()))
}

pub(super) fn target(text: &str) -> Result<Value, Diagnostic> {
    path_bytes(text, true)?;
    Ok(Value::Text(text.to_owned()))
}
