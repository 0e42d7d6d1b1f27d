//! The admin server's tokens: a file of lines `NAME ROLE TOKEN`, or of one bare token. Never shows a token in an error.

use std::collections::BTreeMap;

use crate::{
    AdminRole, AdminToken,
    diagnostic::Diagnostic,
    loader::Loader,
    report::{SourceText, WHOLE},
    tree::At,
    view::View,
};

/// Most tokens of an edge: each call compares with all of them.
const MOST: usize = 100;
/// Longest name of a token.
const MAX_NAME: usize = 63;
/// The name and the role of a bare token.
const BARE: (&str, AdminRole) = ("admin", AdminRole::Write);
const KEY: &str = "admin.token_file";

impl Loader<'_> {
    /// The tokens in the file that `token_file` names. Errors inside the file stand at its own lines.
    pub(super) fn admin_tokens(&mut self, admin: View<'_>) -> Vec<AdminToken> {
        let Some(node) = admin.given("token_file") else { return Vec::new() };
        let Some((file, bytes)) = self.named_file(node, KEY) else { return Vec::new() };
        self.hashed(b"token", &bytes);
        self.hashed_files.push(file.value.clone());
        let text = String::from_utf8(bytes).unwrap_or_default();
        let bare = text.trim();
        if !bare.is_empty() && bare.bytes().all(|byte| byte.is_ascii_graphic()) {
            let (name, role) = BARE;
            return vec![AdminToken { name: name.to_owned(), role, secret: bare.to_owned() }];
        }
        let hint = "lines `NAME read|write TOKEN`, or one token of visible ASCII without spaces";
        let (tokens, problems) = lines(&text);
        if tokens.is_empty() && problems.is_empty() {
            let diagnostic = Diagnostic::new(format!("the file {} holds no token", file.value.display()));
            self.report.error(node.at, KEY, diagnostic.hint(hint));
        }
        if !problems.is_empty() {
            let source = self.report.sources.len();
            self.report.sources.push(SourceText::new(file.value, text));
            for LineProblem { offset, problem } in problems {
                let diagnostic = Diagnostic::new(problem).hint(hint);
                self.report.error(At { file: source, offset }, KEY, diagnostic);
            }
        }
        tokens
    }
}

/// What is wrong with a line.
struct LineProblem {
    offset: usize,
    problem: String,
}

/// The tokens of a file of lines, and what is wrong with the others.
fn lines(text: &str) -> (Vec<AdminToken>, Vec<LineProblem>) {
    let (mut tokens, mut problems): (Vec<AdminToken>, Vec<LineProblem>) = Default::default();
    let (mut names, mut offset) = (BTreeMap::new(), 0);
    for (nth, line) in (1..).zip(text.split_inclusive('\n')) {
        let begins = offset + line.len() - line.trim_start().len();
        offset += line.len();
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut fail = |problem: String| problems.push(LineProblem { offset: begins, problem });
        match token(line) {
            Err(problem) => fail(problem.to_owned()),
            Ok(token) => {
                if let Some(first) = names.insert(token.name.clone(), nth) {
                    fail(format!("the name \"{}\" is taken in line {first}", token.name));
                } else if let Some(same) = tokens.iter().find(|other| other.secret == token.secret) {
                    fail(format!("the token is that of \"{}\"", same.name));
                } else {
                    tokens.push(token);
                }
            }
        }
    }
    if tokens.len() > MOST {
        problems.push(LineProblem { offset: WHOLE, problem: format!("more than {MOST} tokens") });
    }
    (tokens, problems)
}

fn token(line: &str) -> Result<AdminToken, &'static str> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let [name, role, secret] = words.as_slice() else { return Err("is not three words") };
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@".contains(&byte);
    if name.len() > MAX_NAME || !name.bytes().all(fits) {
        return Err("the name is not 1 to 63 of A-Z a-z 0-9 . _ - @");
    }
    let role = match *role {
        "read" => AdminRole::Read,
        "write" => AdminRole::Write,
        _ => return Err("the role is neither read nor write"),
    };
    if !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("the token is not of visible ASCII");
    }
    Ok(AdminToken { name: (*name).to_owned(), role, secret: (*secret).to_owned() })
}
