//! The trust boundary: whose word about clients counts on a listener, and how much one client may ask for.

use std::sync::Arc;

use crate::{
    Forwarders, ForwardingField, Front, Networks, ProxyProtocol, RequestRate, diagnostic::Diagnostic,
    loader::Loader, tree::Value, view::View,
};

impl Loader<'_> {
    /// Whose word about clients counts on a listener.
    pub(crate) fn front(&mut self, listener: View<'_>, path: &str) -> Front {
        let proxy_protocol = listener.given("proxy_protocol").map(|_| {
            let table = listener.table("proxy_protocol");
            let from = self.networks(table, "from", &format!("{path}.proxy_protocol"));
            Arc::new(ProxyProtocol { from, required: table.flag("required") })
        });
        let forwarders = listener.given("trusted").map(|_| {
            let trusted = self.networks(listener, "trusted", path);
            let field = match listener.text("forwarded").as_str() {
                "forwarded" => ForwardingField::Forwarded,
                _ => ForwardingField::XForwardedFor,
            };
            Arc::new(Forwarders { trusted, field })
        });
        if let Some(node) = listener.given("forwarded").filter(|_| !listener.has("trusted")) {
            let diagnostic = Diagnostic::new("no proxy is trusted, so the field does not count");
            self.report.warn(node.at, format!("{path}.forwarded"), diagnostic.hint("add `trusted`"));
        }
        Front { proxy_protocol, forwarders }
    }

    /// The networks of a list; a warning where all addresses are among them.
    fn networks(&mut self, table: View<'_>, key: &str, path: &str) -> Networks {
        let mut networks = Vec::new();
        for (nth, node) in table.items(key).iter().enumerate() {
            let Value::Cidr(network) = node.value else { continue };
            if network.bits() == 0 {
                let diagnostic = Diagnostic::new("every address is in it: anyone can pose as any client");
                self.report.warn(
                    node.at,
                    format!("{path}.{key}[{nth}]"),
                    diagnostic.hint("name the networks of the balancers"),
                );
            }
            networks.push(network);
        }
        Networks(networks)
    }
}

/// The token bucket of each client.
pub(super) fn request_rate(limits: View<'_>) -> RequestRate {
    let per_second = limits.small("request_rate");
    let burst = match limits.small("request_burst") {
        0 => per_second,
        burst => burst,
    };
    RequestRate { per_second, burst }
}
