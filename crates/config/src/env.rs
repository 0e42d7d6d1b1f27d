//! `${NAME}` and `${NAME:-default}` inside parsed strings. What is put in is never read again:
//! it cannot bring in TOML nor further substitutions.

use std::borrow::Cow;

use crate::diagnostic::{Diagnostic, quoted};

/// Where values come from.
pub(crate) type Env<'e> = &'e dyn Fn(&str) -> Option<String>;

/// Longest string that may come out, bytes.
const LONGEST: usize = 64 << 10;

/// `text` with everything put in; `used` is told each value that was.
pub(crate) fn substitute<'t>(
    text: &'t str,
    env: Env<'_>,
    used: &mut dyn FnMut(&str),
) -> Result<Cow<'t, str>, Diagnostic> {
    if !text.contains("${") {
        return Ok(Cow::Borrowed(text));
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, tail)) = rest.split_once("${") {
        out.push_str(before);
        let Some((inside, after)) = tail.split_once('}') else {
            return Err(Diagnostic::new("`${` without `}`").hint("${NAME} or ${NAME:-default}"));
        };
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        if !is_name(name) {
            return Err(Diagnostic::new(format!(
                "{} is not the name of an environment variable",
                quoted(name)
            ))
            .hint("letters, digits and _, first no digit"));
        }
        let value = match (env(name), default) {
            (Some(value), None) => value,
            (Some(value), Some(_)) if !value.is_empty() => value,
            (_, Some(default)) => default.to_owned(),
            (None, None) => {
                return Err(Diagnostic::new(format!("the environment variable {name} is not set"))
                    .hint(format!("set it, or write ${{{name}:-default}}")));
            }
        };
        out.push_str(&value);
        used(&value);
        rest = after;
        if out.len() > LONGEST {
            return Err(Diagnostic::new("is longer than 64 KiB once the environment is put in"));
        }
    }
    out.push_str(rest);
    Ok(Cow::Owned(out))
}

fn is_name(name: &str) -> bool {
    name.len() <= 256
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && name.starts_with(|c: char| !c.is_ascii_digit())
}
