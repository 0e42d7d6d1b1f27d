//! `[fleet]`: the servers, and the files that this edge needs for them. Connects to none.

use crate::{
    Edge, Fleet, FleetCredentials, Placed, Ring, diagnostic::Diagnostic, loader::Loader, view::View,
};

const CREDENTIALS: &str = "fleet.credentials";
const VERIFY: &str = "fleet.verify";

impl Loader<'_> {
    /// The fleet that this edge belongs to; it has the edge's name unless another one is given.
    pub(crate) fn fleet(&mut self, root: View<'_>, edge: &Edge) -> Option<Fleet> {
        let at = root.given("fleet")?.at;
        if edge.state_dir.is_none() {
            let problem = "needs `[edge] state_dir`: without it, a restart begins with the files and forgets which bundles were refused";
            self.report.warn(at, "fleet", Diagnostic::new(problem));
        }
        let table = root.table("fleet");
        let verify = table.given("verify").and_then(|node| self.named_file(node, VERIFY));
        let verify = verify.map(|(file, bytes)| {
            self.hashed(b"verify", &bytes);
            self.hashed_files.push(file.value);
            let value = String::from_utf8(bytes).unwrap_or_default();
            Placed { value, span: file.span, path: file.path }
        });
        let credentials = self.fleet_credentials(table);
        let ca = table.given("ca").and_then(|node| self.named_file(node, "fleet.ca")).map(|(file, _)| file);
        let bucket = table.text("bucket");
        let domain = table.optional_text("domain");
        let with_dot = |text: Option<&String>| text.is_some_and(|text| text.contains('.'));
        for (key, path, found) in [
            ("bucket", "fleet.bucket", with_dot(Some(&bucket))),
            ("domain", "fleet.domain", with_dot(domain.as_ref())),
        ] {
            if let Some(node) = table.given(key).filter(|_| found) {
                let diagnostic = Diagnostic::new("holds a dot, which separates keys").hint("use a dash");
                self.report.error(node.at, path, diagnostic);
            }
        }
        Some(Fleet {
            servers: table.texts("nats"),
            verify: verify?,
            credentials,
            ca,
            ring: Ring::named(&table.text("ring")).unwrap_or(Ring::All),
            name: table.optional_text("name").unwrap_or_else(|| edge.name.clone()),
            bucket,
            domain,
        })
    }

    fn fleet_credentials(&mut self, table: View<'_>) -> Option<FleetCredentials> {
        let node = table.given("credentials")?;
        let (file, bytes) = self.named_file(node, CREDENTIALS)?;
        self.hashed(b"credentials", &bytes);
        self.hashed_files.push(file.value);
        let text = String::from_utf8(bytes).unwrap_or_default();
        let line = text.trim();
        if line.is_empty() || !line.bytes().all(|byte| byte.is_ascii_graphic()) {
            let problem = "holds no line `USER:PASSWORD` and no token";
            let hint = "one line of visible ASCII; credentials of NATS accounts (.creds) are not read";
            self.report.error(node.at, CREDENTIALS, Diagnostic::new(problem).hint(hint));
            return None;
        }
        Some(match line.split_once(':') {
            Some((user, password)) => FleetCredentials::User(user.to_owned(), password.to_owned()),
            None => FleetCredentials::Token(line.to_owned()),
        })
    }
}
