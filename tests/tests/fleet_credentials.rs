//! Credentials of a NATS account (`.creds`) at a real server in operator mode: good, expired, cut.

#[path = "fleet_credentials/account.rs"]
mod account;

use std::{fs, os::unix::fs::PermissionsExt, process::Command, time::Duration};

use account::{creds, operator_mode};
use thalweg_testkit::{Conf, Edge, Endpoint, NatsServer, Scratch, eventually, get, thalweg};

const SOON: Duration = Duration::from_secs(20);

/// A server in operator mode, and a folder with the keys of a publisher and the credentials.
struct AccountFleet {
    server: NatsServer,
    folder: Scratch,
    account: account::Signer,
}

impl AccountFleet {
    fn start(scenario: &str) -> Option<Self> {
        let (lines, account) = operator_mode();
        let server = NatsServer::start_with(scenario, &lines)?;
        let folder = Scratch::new();
        for args in [
            &["genpkey", "-algorithm", "ed25519", "-out", "key.pem"][..],
            &["pkey", "-in", "key.pem", "-pubout", "-out", "public.pem"],
        ] {
            let done = Command::new("openssl").args(args).current_dir(folder.path()).output();
            assert!(done.expect("openssl runs").status.success());
        }
        Some(Self { server, folder, account })
    }

    /// Puts credentials in their place.
    fn credentials(&self, text: &str) {
        let path = self.folder.write("new.creds", text);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
        fs::rename(path, self.folder.join("edge.creds")).expect("a file can be renamed");
    }

    /// A config that sends everything to this endpoint.
    fn conf(&self, endpoint: &Endpoint, state: &Scratch) -> Conf {
        let file = |name: &str| self.folder.join(name).display().to_string();
        Conf::simple("failover", &[endpoint.addr()])
            .edge(&format!("state_dir = \"{}\"", state.path().display()))
            .raw(&format!(
                "[fleet]\nnats = [\"{}\"]\nverify = \"{}\"\ncredentials = \"{}\"\n",
                self.server.url(),
                file("public.pem"),
                file("edge.creds")
            ))
    }

    /// Publishes a config.
    fn publish(&self, conf: &Conf) {
        let file = self.folder.write("fleet.toml", conf.text()).display().to_string();
        let key = self.folder.join("key.pem").display().to_string();
        eventually("it is published", SOON, || {
            let done = thalweg(&["publish", "--config", &file, "--key", &key, "--bake", "0s"]);
            assert!(!done.stderr.contains("error:"), "{}", done.stderr);
            done.code == 0
        });
    }
}

fn trouble(edge: &Edge) -> String {
    edge.status()["fleet"]["trouble"].as_str().unwrap_or_default().to_owned()
}

fn connected(edge: &Edge) -> bool {
    edge.status()["fleet"]["connected"] == true
}

#[test]
fn an_edge_follows_its_fleet_with_the_credentials_of_an_account() {
    let Some(fleet) = AccountFleet::start("an_edge_follows_its_fleet_with_the_credentials_of_an_account")
    else {
        return;
    };
    fleet.credentials(&creds(&fleet.account, Some(3600)));
    let (own, other, state) = (Endpoint::start("own"), Endpoint::start("other"), Scratch::new());
    let edge = Edge::start(&fleet.conf(&own, &state));
    assert_eq!(get(edge.web(), "/").endpoint(), "own");
    fleet.publish(&fleet.conf(&other, &state));
    eventually("the bundle is in force", SOON, || get(edge.web(), "/").endpoint() == "other");
    // Cut while it is in use: the reload is refused, the connection stays.
    let whole = creds(&fleet.account, Some(3600));
    fleet.credentials(&whole[..whole.len() / 2]);
    eventually("the file is refused", SOON, || {
        edge.status()["last_reload"]["errors"].to_string().contains("holds no whole NATS USER JWT")
    });
    assert!(connected(&edge), "{}", trouble(&edge));
    assert_eq!(get(edge.web(), "/").endpoint(), "other");
}

#[test]
fn expired_credentials_are_told_and_new_ones_are_taken_without_a_restart() {
    let name = "expired_credentials_are_told_and_new_ones_are_taken_without_a_restart";
    let Some(fleet) = AccountFleet::start(name) else { return };
    fleet.credentials(&creds(&fleet.account, Some(-60)));
    let (own, state) = (Endpoint::start("own"), Scratch::new());
    let edge = Edge::start(&fleet.conf(&own, &state));
    eventually("the trouble is told", SOON, || trouble(&edge).contains("the credentials have expired at"));
    let event = edge.events_of("fleet_away").last().cloned().unwrap_or_default();
    assert!(event["problem"].to_string().contains("expired"), "{event}");
    assert_eq!(get(edge.web(), "/").endpoint(), "own", "requests are served all the same");
    fleet.credentials(&creds(&fleet.account, None));
    eventually("the new ones are taken", SOON, || connected(&edge));
}

#[test]
fn credentials_that_every_user_can_read_are_warned_of() {
    let Some(fleet) = AccountFleet::start("credentials_that_every_user_can_read_are_warned_of") else {
        return;
    };
    let path = fleet.folder.write("edge.creds", creds(&fleet.account, None));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("a mode");
    let (own, state) = (Endpoint::start("own"), Scratch::new());
    let file = fleet.folder.write("edge.toml", fleet.conf(&own, &state).text()).display().to_string();
    let done = thalweg(&["check", "--config", &file]);
    assert!(
        done.code == 0 && done.stderr.contains("every user of this machine can read the file")
            || done.stdout.contains("every user of this machine can read the file"),
        "{} {}",
        done.stdout,
        done.stderr
    );
}
