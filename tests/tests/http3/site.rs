//! An edge that speaks HTTP/3, and clients of aioquic that obey one command at a time.

use std::{
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use serde_json::{Value, json};
use thalweg_testkit::{Authority, Conf, Edge, Endpoint, python, repository, skip};

/// An edge with TLS and HTTP/3 on `secure`, and plain HTTP on `web`.
pub struct H3Site {
    pub authority: Authority,
    pub edge: Edge,
    pub endpoint: Endpoint,
    python: PathBuf,
}

impl H3Site {
    /// With these sections, and these lines in the route.
    pub fn start(scenario: &str, sections: &str, route: &str) -> Option<Self> {
        Self::start_to(scenario, sections, route, &[])
    }

    /// As above, failing over to these endpoints.
    pub fn start_to(scenario: &str, sections: &str, route: &str, others: &[&Endpoint]) -> Option<Self> {
        Self::build(scenario, ("\"h3\", \"h2\", \"http/1.1\"", ""), (sections, route), others)
    }

    /// With these protocols.
    pub fn speaking(scenario: &str, protocols: &str) -> Option<Self> {
        Self::build(scenario, (protocols, ""), ("", ""), &[])
    }

    /// With these lines behind `[listener.tls]`.
    pub fn with_tls(scenario: &str, tls: &str) -> Option<Self> {
        Self::build(scenario, ("\"h3\", \"h2\", \"http/1.1\"", tls), ("", ""), &[])
    }

    fn build(
        scenario: &str,
        (protocols, tls): (&str, &str),
        (sections, route): (&str, &str),
        others: &[&Endpoint],
    ) -> Option<Self> {
        let python = h3_python(scenario)?;
        let (authority, endpoint) = (Authority::new("root"), Endpoint::start("a"));
        let leaf = authority.leaf(&["a.test"]);
        let addrs: Vec<_> =
            [&endpoint].into_iter().chain(others.iter().copied()).map(Endpoint::addr).collect();
        let listener = format!(
            "protocols = [{protocols}]\n[listener.tls]\ncertificates = [{{ cert = \"a.crt\", key = \"a.key\" }}]\n{tls}"
        );
        let conf = Conf::simple_with("failover", &addrs, route)
            .edge("workers = 2")
            .file("a.crt", &leaf.cert_pem)
            .file("a.key", &leaf.key_pem)
            .file("root.pem", &authority.pem)
            .listener("secure", &listener)
            .raw(sections);
        let edge = Edge::start(&conf);
        edge.until_up(addrs.len());
        Some(Self { authority, edge, endpoint, python })
    }

    /// A client with a connection.
    pub fn connected(&self) -> H3Client {
        let mut client = H3Client::new(self);
        let said = client.tell(json!({ "do": "connect" }));
        assert_eq!((&said["connected"], &said["alpn"]), (&json!(true), &json!("h3")), "{said}");
        client
    }
}

/// The Python that has aioquic, if there is one.
fn h3_python(scenario: &str) -> Option<PathBuf> {
    let path = python(scenario)?;
    let has = Command::new(&path).args(["-c", "import aioquic"]).stderr(Stdio::null()).status();
    if has.is_ok_and(|status| status.success()) {
        return Some(path);
    }
    skip(scenario, "no Python with aioquic (make setup; THALWEG_PYTHON names another)");
    None
}

/// A client process; ends with its standard input.
pub struct H3Client {
    child: Child,
    commands: Option<ChildStdin>,
    said: BufReader<ChildStdout>,
}

impl H3Client {
    /// One without a connection.
    pub fn new(site: &H3Site) -> Self {
        let mut child = Command::new(&site.python)
            .arg(repository().join("tests/http3/client.py"))
            .arg(site.edge.port("secure").to_string())
            .arg(site.edge.scratch().join("root.pem"))
            .arg("a.test")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python can be run");
        let commands = child.stdin.take();
        let said = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child, commands, said }
    }

    /// Obeys a command, and says what came of it.
    pub fn tell(&mut self, command: Value) -> Value {
        self.send(&command);
        self.hear(&command)
    }

    /// Gives a command, and waits for nothing.
    pub fn send(&mut self, command: &Value) {
        let commands = self.commands.as_mut().expect("a running client");
        writeln!(commands, "{command}").expect("the client reads");
    }

    /// What came of a command.
    pub fn hear(&mut self, command: &Value) -> Value {
        let mut line = String::new();
        self.said.read_line(&mut line).expect("the client answers");
        let said: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{command}: {line}"));
        assert!(said.get("late").is_none(), "late: {command}");
        said
    }

    /// Makes a request, and waits for its end.
    pub fn ask(&mut self, mut request: Value) -> Value {
        request["do"] = json!("ask");
        self.tell(request)
    }

    /// Makes a request; returns its stream.
    pub fn begin(&mut self, mut request: Value) -> u64 {
        request["do"] = json!("begin");
        self.tell(request)["stream"].as_u64().expect("a stream")
    }
}

impl Drop for H3Client {
    fn drop(&mut self) {
        self.commands = None;
        // Only this child, by its handle.
        let _ended_already_is_fine = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The hash as the client has it.
pub fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
