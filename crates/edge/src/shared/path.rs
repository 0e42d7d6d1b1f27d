//! Request paths in one canonical form, so that the path that is matched is the path that is forwarded. Part of room 2,
//! INTAKE. RFC 3986 section 5.2.4 (dot segments) and section 6.2.2.2 (unreserved characters that are percent-encoded).
//! Ambiguous paths are refused, never guessed.

use std::borrow::Cow;

/// A path that two readers could understand differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ambiguous;

/// Normalises an absolute path without its query. The result borrows the input if nothing had to change, which is the
/// usual case.
///
/// # Errors
/// [`Ambiguous`] for an encoded slash, backslash or NUL, a raw backslash, and a `%` without two hex digits.
pub fn normalise(path: &str) -> Result<Cow<'_, str>, Ambiguous> {
    if path.contains('\\') {
        return Err(Ambiguous);
    }
    let decoded = if path.contains('%') { Cow::Owned(decode_unreserved(path)?) } else { Cow::Borrowed(path) };
    if !decoded.contains("/.") {
        return Ok(decoded);
    }
    Ok(Cow::Owned(remove_dot_segments(&decoded)))
}

/// Decodes unreserved characters that were percent-encoded, so that no rule can be evaded by spelling. Everything else
/// stays encoded, in upper case.
fn decode_unreserved(path: &str) -> Result<String, Ambiguous> {
    let mut out = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let digits = after.get(..2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let digits = digits.ok_or(Ambiguous)?;
        let byte = u8::from_str_radix(digits, 16).map_err(|_| Ambiguous)?;
        match byte {
            b'/' | b'\\' | 0 => return Err(Ambiguous),
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => {
                out.push('%');
                out.push_str(&digits.to_ascii_uppercase());
            }
        }
        rest = after.get(2..).unwrap_or_default();
    }
    out.push_str(rest);
    Ok(out)
}

fn remove_dot_segments(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
            other => kept.push(other),
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, expected: Result<&str, Ambiguous>) {
        assert_eq!(normalise(path).as_deref(), expected.as_deref(), "{path}");
    }

    #[test]
    fn a_plain_path_is_untouched() {
        check("/", Ok("/"));
        check("/a/b.c/d..e/", Ok("/a/b.c/d..e/"));
        check("//a//b", Ok("//a//b"));
        check("/%20%C3%BC", Ok("/%20%C3%BC"));
        assert!(matches!(normalise("/a/b"), Ok(Cow::Borrowed(_))));
    }

    #[test]
    fn dot_segments_are_resolved_however_they_are_spelled() {
        check("/a/./b", Ok("/a/b"));
        check("/a/../b", Ok("/b"));
        check("/a/b/..", Ok("/a/"));
        check("/a/b/.", Ok("/a/b/"));
        check("/../../x", Ok("/x"));
        check("/a/%2e%2E/b", Ok("/b"));
        check("/..", Ok("/"));
        check("/a/.hidden", Ok("/a/.hidden"));
    }

    #[test]
    fn unreserved_characters_are_decoded_and_the_rest_has_one_spelling() {
        check("/%61pi/%7euser", Ok("/api/~user"));
        check("/a%c3%bcb%3f", Ok("/a%C3%BCb%3F"));
    }

    #[test]
    fn a_prefix_is_normalised_like_the_paths_it_matches() {
        for byte in 0..=255_u8 {
            let prefix = format!("/a%{byte:02x}b");
            let text = format!(
                "version = 1\n[[listener]]\nname = \"w\"\nbind = \"127.0.0.1:1\"\n[pool.p]\nendpoints = [{{ address = \"a:1\" }}]\n\
                 [route.r]\npath_prefix = \"{prefix}\"\npolicy = \"failover\"\npools = [{{ pool = \"p\" }}]\n"
            );
            let read = thalweg_config::parse_str(&text, "t.toml").ok();
            let read = read.map(|config| config.topology.routes[0].path_prefix.to_string());
            assert_eq!(read, normalise(&prefix).ok().map(Cow::into_owned), "{prefix}");
        }
    }

    #[test]
    fn ambiguous_paths_are_refused() {
        for path in ["/a%2Fb", "/a%2fb", "/a%5Cb", "/a%00", "/a\\b", "/%", "/%2", "/%zz", "/%2é"] {
            check(path, Err(Ambiguous));
        }
    }
}
