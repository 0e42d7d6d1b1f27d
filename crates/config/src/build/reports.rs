//! The servers that the edge reports to. Never connects to one.

use std::path::PathBuf;

use crate::{
    Announce, EndpointTls, Notify, ReportServer, Telemetry,
    diagnostic::Diagnostic,
    loader::Loader,
    tree::{Url, Value},
    view::View,
};

impl Loader<'_> {
    pub(crate) fn notify(&mut self, root: View<'_>) -> Notify {
        Notify { webhook: self.report_server(root.table("notify"), "notify", "webhook") }
    }

    pub(crate) fn telemetry(&mut self, root: View<'_>) -> Telemetry {
        let table = root.table("telemetry");
        let mut otlp = self.report_server(table, "telemetry", "otlp");
        if let Some(server) = &mut otlp {
            server.path = format!("{}/v1/traces", server.path.trim_end_matches('/'));
        }
        Telemetry { otlp, sample: table.num("sample") }
    }

    /// What BIRD is told; `None` = there is no table `[announce]`.
    pub(crate) fn announce(&mut self, root: View<'_>) -> Option<Announce> {
        root.given("announce")?;
        let table = root.table("announce");
        let bird = PathBuf::from(table.text("bird"));
        let folder = table.given("bird").and_then(|node| self.report.sources.get(node.at.file));
        let bird = folder.map_or_else(|| bird.clone(), |file| file.folder().join(&bird));
        let protocols = table.text("protocol").split(' ').map(str::to_owned).collect();
        Some(Announce { bird, protocols, after: table.time("after"), settle: table.time("settle") })
    }

    /// The server whose URL stands under `key`; its private CA stands under `ca`.
    fn report_server(&mut self, table: View<'_>, name: &str, key: &str) -> Option<ReportServer> {
        let ca = table.given("ca");
        let url = table.given(key).and_then(|node| match &node.value {
            Value::Url(url) => Some(url.clone()),
            _ => None,
        });
        if let Some(ca) = ca.filter(|_| url.as_ref().is_some_and(|url| !url.tls)) {
            let diagnostic = Diagnostic::new("is not used: the URL is not https");
            self.report.warn(ca.at, format!("{name}.ca"), diagnostic);
        }
        let ca = ca.and_then(|node| self.named_file(node, &format!("{name}.ca"))).map(|(file, _)| file);
        let Url { tls, host, port, path } = url?;
        let tls = tls.then(|| EndpointTls {
            owner: name.to_owned(),
            sni: host.clone(),
            verify: true,
            ca,
            certificate: None,
        });
        Some(ReportServer { host, port, path, tls })
    }
}
