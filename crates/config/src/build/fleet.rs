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
        let path = file.value.clone();
        self.hashed_files.push(file.value);
        if self.files.is_open_to_all(&path) {
            let diagnostic = Diagnostic::new("every user of this machine can read the file");
            self.report.warn(
                node.at,
                CREDENTIALS,
                diagnostic.hint("chmod o-r: who has it speaks for this edge"),
            );
        }
        let read = FleetCredentials::read(&String::from_utf8(bytes).unwrap_or_default());
        match read {
            Ok(credentials) => Some(credentials),
            Err(problem) => {
                let hint = "one line of visible ASCII, or a .creds file as nsc writes it";
                self.report.error(node.at, CREDENTIALS, Diagnostic::new(problem).hint(hint));
                None
            }
        }
    }
}
