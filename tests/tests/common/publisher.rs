//! A publisher of bundles: its keys, the servers that it publishes to, and the table `[fleet]` of those that follow it.

use std::process::Command;

use thalweg_testkit::{Finished, Scratch, thalweg_with};

/// Keys and servers.
pub struct Publisher {
    /// The keys, and the config that is published.
    pub keys: Scratch,
    servers: Vec<String>,
}

impl Publisher {
    /// Makes keys: `key.pem` with `public.pem`, and `other.pem`, which no edge trusts.
    pub fn new(servers: Vec<String>) -> Self {
        let made = Self { keys: Scratch::new(), servers };
        for name in ["key", "other"] {
            made.openssl(&["genpkey", "-algorithm", "ed25519", "-out", &format!("{name}.pem")]);
        }
        made.openssl(&["pkey", "-in", "key.pem", "-pubout", "-out", "public.pem"]);
        made
    }

    fn openssl(&self, args: &[&str]) {
        let done = Command::new("openssl").args(args).current_dir(self.keys.path()).output();
        assert!(done.expect("openssl runs").status.success(), "openssl {args:?}");
    }

    /// Where a file of the publisher is.
    pub fn path(&self, name: &str) -> String {
        self.keys.join(name).display().to_string()
    }

    /// The table `[fleet]`, with these lines.
    pub fn table(&self, more: &str) -> String {
        format!("[fleet]\nnats = {:?}\nverify = \"{}\"\n{more}", self.servers, self.path("public.pem"))
    }

    /// Publishes this config with these options, in this environment.
    pub fn publish(&self, config: &str, more: &[&str], env: &[(&str, &str)]) -> Finished {
        let file = self.keys.write("fleet.toml", config).display().to_string();
        let key = self.path("key.pem");
        let args = ["publish", "--config", &file, "--key", &key, "--format", "json"];
        thalweg_with(&[&args[..], more].concat(), env)
    }
}
