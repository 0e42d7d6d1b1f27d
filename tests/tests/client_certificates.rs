//! Certificates of clients: which of them a listener accepts, how a refusal is counted, and what log and endpoints are
//! told.

mod common;

use std::{process::Command, sync::Arc};

use bytes::Bytes;
use common::tls_site::{LONG, SOON, Site, ask};
use http_body_util::Full;
use rustls::{
    ClientConfig, HandshakeKind,
    version::{TLS12, TLS13},
};
use thalweg_testkit::{Authority, Client, H2, Leaf, Scratch, client_config_as, eventually};

/// The base64 text of the first certificate.
fn base64(leaf: &Leaf) -> String {
    leaf.cert_pem.lines().skip(1).take_while(|line| !line.starts_with("---")).collect()
}

#[test]
fn a_certificate_is_accepted_by_its_issuer_and_its_time_and_a_refusal_is_counted() {
    let site = Site::start("client_crl = \"clients.crl\"");
    let good = site.clients.client("good", 7, LONG);
    let stolen = Leaf { key_pem: site.clients.client("other", 8, LONG).key_pem, ..good.clone() };
    let strangers = Authority::new("clients");
    let refused: [(Option<Leaf>, &str); 6] = [
        (None, "no_certificate"),
        (Some(site.clients.client("old", 9, (2000, 2001))), "certificate_expired"),
        (Some(site.clients.client("young", 10, (2098, 2099))), "certificate_expired"),
        (Some(site.clients.client("revoked", 66, LONG)), "certificate_revoked"),
        (Some(strangers.client("stranger", 7, LONG)), "bad_certificate"),
        (Some(Authority::new("others").client("stranger", 7, LONG)), "unknown_authority"),
    ];
    for versions in [&[&TLS12], &[&TLS13]] {
        for listener in ["secure", "open"] {
            let addr = site.edge.addr(listener);
            let answer = ask(addr, &site.with(&good, versions), "");
            assert_eq!(answer, Ok((HandshakeKind::Full, 200)), "{listener} {versions:?}");
            for (leaf, reason) in &refused {
                let config =
                    leaf.as_ref().map_or_else(|| site.without(versions), |leaf| site.with(leaf, versions));
                let before = site.failures(listener, reason);
                let answer = ask(addr, &config, "");
                if leaf.is_none() && listener == "open" {
                    assert_eq!(answer.map(|(_, status)| status), Ok(200), "no certificate is demanded");
                    continue;
                }
                answer.expect_err(reason);
                let what = format!("{reason} at {listener}, {versions:?}");
                eventually(&what, SOON, || site.failures(listener, reason) == before + 1.0);
            }
            ask(addr, &site.with(&stolen, versions), "").expect_err("its key must be shown");
        }
    }
    assert_eq!(site.endpoint.hits(), 6, "nothing of the refused has passed");
}

#[test]
fn the_endpoint_and_the_log_are_told_of_the_verified_certificate_alone() {
    let site = Site::start("");
    let leaf = site.clients.client("J\u{f6}rg \"root\"", 0xf7, LONG);
    let lies = "Client-Cert: :bGll:\r\nclient_cert: :bGll:\r\nClient-Cert-Chain: :bGll:\r\nX-Forwarded-Client-Cert: By=x\r\n";
    let told = |config: &Arc<ClientConfig>, listener: &str| {
        site.endpoint.forget();
        ask(site.edge.addr(listener), config, lies).expect("an answer");
        let seen = site.endpoint.only();
        assert!(seen.header("client-cert-chain").is_none() && seen.header("client_cert").is_none());
        assert!(seen.header("x-forwarded-client-cert").is_none());
        seen.head.all("client-cert").iter().map(|value| (*value).to_owned()).collect::<Vec<_>>()
    };
    let (with, without) = (site.with(&leaf, &[]), site.without(&[]));
    let verified = vec![format!(":{}:", base64(&leaf))];
    assert_eq!(told(&with, "secure"), verified);
    assert_eq!(told(&with, "open"), verified);
    assert_eq!(told(&without, "open"), Vec::<String>::new());
    assert_eq!(told(&with, "any"), Vec::<String>::new());
    site.endpoint.forget();
    let mut client = Client::connect(site.edge.web());
    client.ask("GET", "/", lies, b"").expect("an answer");
    assert_eq!(site.endpoint.only().header("client-cert"), None);

    for (listener, expected) in [("secure", Some(verified[0].clone())), ("any", None)] {
        site.endpoint.forget();
        let config = client_config_as(&site.root, &leaf, &["h2"], &[]);
        let h2 = H2::connect_tls(site.edge.addr(listener), "a.test", &config).expect("h2");
        let request = hyper::Request::get("https://a.test/").header("client-cert", ":bGll:");
        h2.ask(request.body(Full::<Bytes>::default()).expect("a request")).expect("an answer");
        assert_eq!(
            site.endpoint.only().header("client-cert").map(str::to_owned),
            expected,
            "h2 on {listener}"
        );
    }

    let scratch = Scratch::new();
    let file = scratch.write("leaf.pem", &leaf.cert_pem);
    let openssl = |option: &str| {
        let done = Command::new("openssl")
            .args(["x509", "-noout", "-nameopt", "RFC2253,-esc_msb", option, "-sha256", "-in"])
            .arg(&file)
            .output()
            .expect("openssl runs");
        String::from_utf8(done.stdout).expect("text").trim().split_once('=').expect("a value").1.to_owned()
    };
    let lines = || site.edge.access_log();
    eventually("the log has every request", SOON, || lines().len() == 7);
    let shown: Vec<_> =
        lines().iter().map(|line| line["client_cert_subject"].as_str().map(str::to_owned)).collect();
    assert_eq!(shown.iter().flatten().count(), 3, "{shown:?}");
    // Each worker writes its own lines, so their order says nothing.
    let line = lines().into_iter().find(|line| !line["client_cert_subject"].is_null()).expect("a line");
    assert_eq!(line["client_cert_subject"], openssl("-subject"));
    assert_eq!(line["client_cert_serial"], openssl("-serial"));
    assert_eq!(line["client_cert_sha256"], openssl("-fingerprint").replace(':', "").to_ascii_lowercase());
}

#[test]
fn a_certificate_listed_itself_is_accepted_and_a_new_list_counts_after_a_reload() {
    let site = Site::start("");
    let own = Leaf::self_signed("own", &[]);
    let ask_as = |site: &Site, leaf: &Leaf| ask(site.edge.addr("secure"), &site.with(leaf, &[]), "");
    let good = site.clients.client("good", 7, LONG);
    ask_as(&site, &own).expect_err("not listed yet");
    ask_as(&site, &good).expect("issued by what is listed");
    // No reload: the file is watched.
    site.edge.scratch().write("clients.pem", &own.cert_pem);
    eventually("the new list counts", SOON, || ask_as(&site, &own).is_ok());
    ask_as(&site, &good).expect_err("its authority is not listed any more");
    let generation = site.edge.generation();
    site.edge.scratch().write("clients.pem", "nothing");
    assert_eq!(site.edge.reload().status, 422);
    ask_as(&site, &own).expect("a rejected reload changes nothing");
    assert_eq!(site.edge.generation(), generation);
}

#[test]
fn curl_and_openssl_show_their_certificates_and_are_refused_without() {
    let site = Site::start("");
    let leaf = site.clients.client("curl", 7, LONG);
    let scratch = Scratch::new();
    let (cert, key) = leaf.write(&scratch, "client");
    let root = scratch.write("root.pem", &site.root.pem);
    let port = site.edge.port("secure");
    let curl = |shows: bool| {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", "--cacert"]).arg(&root);
        curl.args(["--resolve", &format!("a.test:{port}:127.0.0.1"), &format!("https://a.test:{port}/")]);
        if shows {
            curl.arg("--cert").arg(&cert).arg("--key").arg(&key);
        }
        String::from_utf8(curl.output().expect("curl runs").stdout).expect("text")
    };
    assert_eq!((curl(true).as_str(), curl(false).as_str()), ("200", "000"));
    let openssl = Command::new("openssl")
        .args([
            "s_client",
            "-brief",
            "-servername",
            "a.test",
            "-connect",
            &format!("127.0.0.1:{port}"),
            "-CAfile",
        ])
        .arg(&root)
        .arg("-cert")
        .arg(&cert)
        .arg("-key")
        .arg(&key)
        .stdin(std::process::Stdio::null())
        .output()
        .expect("openssl runs");
    let said = String::from_utf8_lossy(&openssl.stderr).into_owned();
    assert!(said.contains("Verification: OK") && openssl.status.success(), "{said}");
}
