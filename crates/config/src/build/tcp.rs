//! Listeners that take connections which are not HTTP: what their keys mean together, and with the routes.

use crate::{
    Listener, PassThrough, decode::key_text, diagnostic::Diagnostic, keys::ROUTE, loader::Loader, view::View,
};

/// The spelling among a listener's `protocols`.
const TCP: &str = "tcp";

impl Loader<'_> {
    /// How the connections of a listener find their route if they are not HTTP; `None` = they are HTTP.
    pub(super) fn pass_through(&mut self, listener: View<'_>, path: &str) -> Option<PassThrough> {
        let protocols = listener.given("protocols").map(|node| node.items()).unwrap_or_default();
        let named = protocols.iter().position(|item| item.text() == TCP);
        let host = listener.given("host");
        let Some(nth) = named else {
            if let Some(node) = host {
                let diagnostic = Diagnostic::new("a request names its host itself");
                let diagnostic = diagnostic.hint("only with protocols = [\"tcp\"]");
                self.report.error(node.at, format!("{path}.host"), diagnostic);
            }
            return None;
        };
        if let (Some(other), Some(tcp)) =
            (protocols.iter().find(|item| item.text() != TCP), protocols.get(nth))
        {
            let diagnostic = Diagnostic::new(format!("\"tcp\" is not HTTP, and \"{}\" is", other.text()));
            let diagnostic = diagnostic.hint("a listener of its own");
            self.report.error(tcp.at, format!("{path}.protocols[{nth}]"), diagnostic);
        }
        if let Some(node) = listener.given("trusted") {
            let diagnostic =
                Diagnostic::new("a connection that is not HTTP has no fields that name a client");
            let diagnostic = diagnostic.hint("`proxy_protocol` takes the word of a balancer");
            self.report.error(node.at, format!("{path}.trusted"), diagnostic);
        }
        if let Some(node) = host.filter(|node| node.text().starts_with('*')) {
            let diagnostic = Diagnostic::new("one host, not a pattern");
            self.report.error(node.at, format!("{path}.host"), diagnostic.hint("a host that a route has"));
        }
        Some(PassThrough { host: host.map(|node| node.text().into()) })
    }

    /// Warns of routes that nothing can match, because no listener has paths.
    pub(super) fn without_paths(&mut self, root: View<'_>, listeners: &[Listener]) {
        if listeners.is_empty() || listeners.iter().any(|listener| listener.pass_through.is_none()) {
            return;
        }
        for entry in root.named("route") {
            let prefix = View::new(&ROUTE, &entry.node).given("path_prefix");
            if let Some(node) = prefix.filter(|node| node.text() != "/") {
                let diagnostic =
                    Diagnostic::new("nothing matches it: every listener is \"tcp\", which has no paths");
                let path = format!("route.{}.path_prefix", key_text(&entry.name));
                self.report.warn(node.at, path, diagnostic.hint("leave `path_prefix` out"));
            }
        }
    }
}
