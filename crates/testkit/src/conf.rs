//! Builds the config of a scenario, which names only what matters to it. Ports are placeholders `@NAME@` until an
//! edge starts, so that after a clash it starts again on other ports.

use std::{collections::BTreeMap, fmt::Write as _, net::SocketAddr};

use crate::free_port;

/// A config under construction, with the files that it names.
#[derive(Clone, Debug, Default)]
pub struct Conf {
    edge: String,
    admin: String,
    admin_ip: Option<String>,
    sections: String,
    listeners: Vec<(String, String)>,
    pub(crate) files: Vec<(String, Vec<u8>)>,
    pub(crate) env: Vec<(String, String)>,
}

impl Conf {
    /// An empty one, with the probe `fast` (100 ms apart) at hand.
    pub fn new() -> Self {
        Self::default().raw(
            "[probe.fast]\npath = \"/health\"\ninterval = \"100ms\"\ntimeout = \"300ms\"\nconfirm = \"50ms\"\n",
        )
    }

    /// One plain listener `web`, one pool per endpoint named `p0`, `p1`…, one route `all` over them.
    pub fn simple(policy: &str, endpoints: &[SocketAddr]) -> Self {
        Self::simple_with(policy, endpoints, "")
    }

    /// As above, with these lines in the route.
    pub fn simple_with(policy: &str, endpoints: &[SocketAddr], route: &str) -> Self {
        let names: Vec<String> = (0..endpoints.len()).map(|nth| format!("p{nth}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut conf = Self::new().listener("web", "");
        for (name, endpoint) in names.iter().zip(endpoints) {
            conf = conf.pool(name, &[*endpoint], "");
        }
        conf.route("all", policy, &names, route)
    }

    /// Lines in `[edge]`; without any `workers`, there are two.
    pub fn edge(mut self, lines: &str) -> Self {
        self.edge.push_str(lines);
        self.edge.push('\n');
        self
    }

    /// Lines in `[admin]`, beside its address.
    pub fn admin(mut self, lines: &str) -> Self {
        self.admin.push_str(lines);
        self.admin.push('\n');
        self
    }

    /// The admin page on this address instead of 127.0.0.1.
    pub fn admin_on(mut self, ip: &str) -> Self {
        self.admin_ip = Some(ip.to_owned());
        self
    }

    /// A listener on 127.0.0.1 and a free port.
    pub fn listener(self, name: &str, lines: &str) -> Self {
        self.listener_on(name, "127.0.0.1", lines)
    }

    /// A listener on this address (IPv6 in brackets) and a free port.
    pub fn listener_on(mut self, name: &str, ip: &str, lines: &str) -> Self {
        let text = format!("[[listener]]\nname = \"{name}\"\nbind = \"{ip}:@{name}@\"\n{lines}\n");
        self.listeners.push((name.to_owned(), text));
        self
    }

    /// Takes a listener away again.
    pub fn without_listener(mut self, name: &str) -> Self {
        self.listeners.retain(|(have, _)| have != name);
        self
    }

    /// A pool of these addresses, probed by `fast` unless the lines say otherwise (`probe = …`, or `# no probe`).
    pub fn pool(self, name: &str, endpoints: &[SocketAddr], lines: &str) -> Self {
        let list: Vec<String> = endpoints.iter().map(|addr| format!("{{ address = \"{addr}\" }}")).collect();
        let probe = if lines.contains("probe") { "" } else { "probe = \"fast\"\n" };
        self.raw(&format!("[pool.{name}]\n{probe}endpoints = [{}]\n{lines}\n", list.join(", ")))
    }

    /// A route for any host and path over these pools. A pool may be written as `name` or `name, weight = 2`.
    pub fn route(self, name: &str, policy: &str, pools: &[&str], lines: &str) -> Self {
        let list: Vec<String> = pools
            .iter()
            .map(|pool| {
                let (pool, rest) = pool.split_once(',').unwrap_or((pool, ""));
                let comma = if rest.is_empty() { "" } else { "," };
                format!("{{ pool = \"{pool}\"{comma}{rest} }}")
            })
            .collect();
        self.raw(&format!("[route.{name}]\npolicy = \"{policy}\"\npools = [{}]\n{lines}\n", list.join(", ")))
    }

    /// Any other sections.
    pub fn raw(mut self, text: &str) -> Self {
        self.sections.push_str(text);
        self.sections.push('\n');
        self
    }

    /// A file beside the config.
    pub fn file(mut self, name: &str, content: impl AsRef<[u8]>) -> Self {
        self.files.push((name.to_owned(), content.as_ref().to_vec()));
        self
    }

    /// A variable in the environment of the edge.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Every port that the config needs, free a moment ago; known ports keep their number.
    pub(crate) fn ports(&self, known: &BTreeMap<String, u16>) -> BTreeMap<String, u16> {
        let names = self.listeners.iter().map(|(name, _)| name.as_str()).chain(["admin"]);
        names.map(|name| (name.to_owned(), known.get(name).copied().unwrap_or_else(free_port))).collect()
    }

    /// The TOML, with these ports.
    pub fn render(&self, ports: &BTreeMap<String, u16>) -> String {
        let workers = if self.edge.contains("workers") { "" } else { "workers = 2\n" };
        let mut text = format!("version = 1\n\n[edge]\nname = \"edge-test\"\n{workers}{}\n", self.edge);
        let ip = self.admin_ip.as_deref().unwrap_or("127.0.0.1");
        let _infallible = write!(text, "[admin]\nbind = \"{ip}:@admin@\"\n{}\n", self.admin);
        for (_, listener) in &self.listeners {
            text.push_str(listener);
            text.push('\n');
        }
        text.push_str(&self.sections);
        for (name, port) in ports {
            text = text.replace(&format!("@{name}@"), &port.to_string());
        }
        text
    }

    /// The TOML with ports of its own, for commands that start nothing.
    pub fn text(&self) -> String {
        self.render(&self.ports(&BTreeMap::new()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_ports_stay_and_new_ones_are_filled_in() {
        let conf =
            Conf::simple("weighted", &["127.0.0.1:7".parse().expect("an address")]).listener("more", "");
        let known = BTreeMap::from([("web".to_owned(), 4242)]);
        let ports = conf.ports(&known);
        assert_eq!(ports["web"], 4242);
        let text = conf.render(&ports);
        assert!(text.contains("bind = \"127.0.0.1:4242\""), "{text}");
        assert!(!text.contains('@'), "{text}");
    }
}
