//! `[edge]`, `[admin]` and the listeners: the name of this edge and its addresses. Never binds anything.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use crate::{
    Admin, Edge, Listener, Placed,
    decode::key_text,
    diagnostic::Diagnostic,
    keys::LISTENER,
    loader::Loader,
    tree::{At, Value},
    view::View,
};

impl Loader<'_> {
    pub(crate) fn edge(&mut self, root: View<'_>) -> Edge {
        let table = root.table("edge");
        Edge {
            name: table.optional_text("name").unwrap_or_else(|| self.host_name()),
            region: table.text("region"),
            cloud: table.text("cloud"),
            workers: table.small("workers"),
            drain_delay: table.time("drain_delay"),
            drain_timeout: table.time("drain_timeout"),
            state_dir: self.state_dir(table),
        }
    }

    /// The folder that `state_dir` names, as seen from the file that names it.
    fn state_dir(&self, table: View<'_>) -> Option<PathBuf> {
        let node = table.given("state_dir").filter(|node| !node.text().is_empty())?;
        let file = self.report.sources.get(node.at.file);
        Some(file.map_or_else(PathBuf::new, |file| file.folder().to_owned()).join(node.text()))
    }

    /// The host name of this machine, reduced to the characters that a name may have.
    fn host_name(&self) -> String {
        let files = ["/proc/sys/kernel/hostname", "/etc/hostname"];
        let read = files.iter().find_map(|file| self.files.read(Path::new(file), 256).ok());
        let text = read.and_then(|bytes| String::from_utf8(bytes).ok()).or_else(|| (self.env)("HOSTNAME"));
        let fits = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let name: String = text.unwrap_or_default().trim().chars().filter(fits).take(63).collect();
        if name.is_empty() { "edge".to_owned() } else { name }
    }

    pub(crate) fn admin(&mut self, root: View<'_>) -> Admin {
        let table = root.table("admin");
        let bind = socket(table, "bind").unwrap_or(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9900));
        let tokens = self.admin_tokens(table);
        let anonymous_read = table.flag("anonymous_read");
        if let Some(node) = table.given("anonymous_read").filter(|_| !anonymous_read)
            && !table.has("token_file")
        {
            let diagnostic = Diagnostic::new("without `token_file` there is no token to read with");
            self.report.error(
                node.at,
                "admin.anonymous_read",
                diagnostic.hint("add `token_file`, or leave it true"),
            );
        }
        Admin { bind, tokens, anonymous_read }
    }

    pub(crate) fn listeners(&mut self, root: View<'_>, admin: SocketAddr) -> Vec<Listener> {
        let mut names: BTreeMap<String, At> = BTreeMap::new();
        // For each address, the listener (or the admin API) that has it, and the place of its `bind`.
        let admin_at = root.table("admin").given("bind").map(|node| node.at);
        let mut binds = BTreeMap::from([(admin, (admin_at, "the admin API".to_owned()))]);
        let nodes = root.items("listener");
        let mut listeners = Vec::with_capacity(nodes.len());
        for (nth, node) in nodes.iter().enumerate() {
            let table = View::new(&LISTENER, node);
            let name = table.text("name");
            let path = if name.is_empty() {
                format!("listener[{nth}]")
            } else {
                format!("listener.{}", key_text(&name))
            };
            if let Some(given) = table.given("name")
                && let Some(first) = names.insert(name.clone(), given.at)
            {
                let first = self.report.place(first);
                let diagnostic = Diagnostic::new(format!("the name \"{name}\" is taken at {first}"));
                self.report.error(given.at, format!("{path}.name"), diagnostic.hint("names are unique"));
            }
            let bind_at = table.given("bind").map_or(table.at, |node| node.at);
            let bind = socket(table, "bind");
            if let Some(bind) = bind.filter(|bind| bind.port() != 0)
                && let Some((first, who)) = binds.insert(bind, (Some(bind_at), format!("listener {name}")))
            {
                let first =
                    first.map_or("by default".to_owned(), |at| format!("at {}", self.report.place(at)));
                let diagnostic = Diagnostic::new(format!("{bind} is taken by {who} {first}"));
                self.report.error(
                    bind_at,
                    format!("{path}.bind"),
                    diagnostic.hint("one listener per address"),
                );
            }
            let tls = self.listener_tls(table, &path);
            let pass_through = self.pass_through(table, &path);
            let Spoken { http1, http2, http3 } = self.protocols(table, &path);
            let span = self.report.span(bind_at);
            let unset = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
            let bind = Placed { value: bind.unwrap_or(unset), span, path: format!("{path}.bind") };
            let front = self.front(table, &path);
            listeners.push(Listener { name, bind, http1, http2, http3, pass_through, tls, front });
        }
        listeners
    }

    /// What a listener speaks.
    fn protocols(&mut self, table: View<'_>, path: &str) -> Spoken {
        let tls = table.has("tls");
        let Some(given) = table.given("protocols") else {
            return Spoken { http1: true, http2: tls, http3: false };
        };
        let mut spoken = Spoken::default();
        for (nth, item) in given.items().iter().enumerate() {
            let taken = match (item.text(), tls) {
                ("http/1.1", _) => &mut spoken.http1,
                ("h2", true) | ("h2c", false) => &mut spoken.http2,
                ("h3", true) => &mut spoken.http3,
                // A protocol of its own: see `tcp`.
                ("" | "tcp", _) => continue,
                (text, _) => {
                    let (problem, hint) = if tls {
                        ("is HTTP/2 without TLS, on a listener with TLS", "\"h2\"")
                    } else if text == "h3" {
                        ("needs TLS, on a listener without", "add [listener.tls]")
                    } else {
                        ("needs TLS, on a listener without", "\"h2c\", or add [listener.tls]")
                    };
                    let diagnostic = Diagnostic::new(format!("\"{text}\" {problem}")).hint(hint);
                    self.report.error(item.at, format!("{path}.protocols[{nth}]"), diagnostic);
                    continue;
                }
            };
            if std::mem::replace(taken, true) {
                let diagnostic = Diagnostic::new(format!("\"{}\" is written twice", item.text()));
                self.report.error(item.at, format!("{path}.protocols[{nth}]"), diagnostic);
            }
        }
        if spoken.http3 && table.has("proxy_protocol") {
            let problem = "\"h3\" on a listener with proxy_protocol: datagrams bring no PROXY header";
            let diagnostic = Diagnostic::new(problem).hint("a listener of its own for \"h3\"");
            self.report.error(given.at, format!("{path}.protocols"), diagnostic);
        }
        spoken
    }
}

/// What a listener speaks.
#[derive(Default)]
struct Spoken {
    http1: bool,
    http2: bool,
    http3: bool,
}

fn socket(table: View<'_>, name: &str) -> Option<SocketAddr> {
    match table.given(name)?.value {
        Value::Socket(socket) => Some(socket),
        _ => None,
    }
}
