//! What listeners offer in TLS handshakes: key exchanges, versions and stapled OCSP responses, and how status shows it.

use std::{
    net::TcpStream,
    process::{Command, Stdio},
    sync::Arc,
};

use rustls::{ClientConfig, ClientConnection, NamedGroup, crypto::aws_lc_rs::kx_group};
use thalweg_testkit::{Authority, Conf, Edge, Endpoint, Scratch, client_config_with_groups, thalweg};

fn secured(lines: &str) -> (Edge, Authority, Endpoint) {
    let (root, endpoint) = (Authority::new("root"), Endpoint::start("a"));
    let leaf = root.leaf(&["a.test", "127.0.0.1"]);
    let pair = "certificates = [{ cert = \"a.crt\", key = \"a.key\" }]";
    let conf = Conf::simple("failover", &[endpoint.addr()])
        .file("a.crt", &leaf.cert_pem)
        .file("a.key", &leaf.key_pem)
        .listener("secure", &format!("[listener.tls]\n{pair}\n{lines}"));
    let edge = Edge::start(&conf);
    edge.until_up(1);
    (edge, root, endpoint)
}

/// The key exchange of a handshake.
fn exchanged(edge: &Edge, config: &Arc<ClientConfig>) -> NamedGroup {
    let mut tcp = TcpStream::connect(edge.addr("secure")).expect("a connection");
    let name = "a.test".try_into().expect("a name");
    let mut tls = ClientConnection::new(Arc::clone(config), name).expect("a client");
    while tls.is_handshaking() {
        tls.complete_io(&mut tcp).expect("a handshake");
    }
    tls.negotiated_key_exchange_group().expect("a key exchange").name()
}

#[test]
fn the_hybrid_key_exchange_comes_first_and_others_are_taken_too() {
    let (edge, root, _endpoint) = secured("");
    use kx_group::{SECP384R1, X25519, X25519MLKEM768};
    for (groups, expected) in [
        (&[X25519MLKEM768, X25519][..], NamedGroup::X25519MLKEM768),
        (&[X25519], NamedGroup::X25519),
        (&[SECP384R1], NamedGroup::secp384r1),
        // The share that a client has sent is taken: another one would cost a round trip.
        (&[SECP384R1, X25519MLKEM768], NamedGroup::secp384r1),
    ] {
        let config = client_config_with_groups(&root, groups);
        assert_eq!(exchanged(&edge, &config), expected, "{groups:?}");
    }
}

#[test]
fn status_shows_what_listeners_offer_and_which_certificates_they_have() {
    for (lines, versions, client_auth, old) in [
        ("", vec!["TLSv1.3", "TLSv1.2"], None, true),
        (
            "min_version = \"1.3\"\nclient_ca = \"a.crt\"\nclient_auth = \"optional\"",
            vec!["TLSv1.3"],
            Some("optional"),
            false,
        ),
    ] {
        let (edge, ..) = secured(lines);
        let status = edge.status();
        let listeners = status["listeners"].as_array().expect("listeners");
        let of = |name: &str| listeners.iter().find(|one| one["name"] == name).expect("the listener");
        let (secure, web) = (of("secure"), of("web"));
        assert!(web["offers"].is_null() && web["certificates"] == serde_json::json!([]), "{web}");
        let offers = &secure["offers"];
        assert_eq!(offers["versions"], serde_json::json!(versions));
        assert_eq!(offers["key_exchanges"][0], "X25519MLKEM768");
        assert_eq!(offers["client_auth"].as_str(), client_auth);
        let suites = offers["cipher_suites"].to_string();
        assert!(
            suites.contains("TLS13_AES_256_GCM_SHA384") && suites.contains("TLS_ECDHE") == old,
            "{suites}"
        );
        let certificate = &secure["certificates"][0];
        assert_eq!(certificate["names"], serde_json::json!(["a.test", "127.0.0.1"]));
        assert_eq!((&certificate["state"], &certificate["ocsp"]), (&"valid".into(), &false.into()));
        assert!(certificate["not_after"].as_str().is_some_and(|end| end.ends_with('Z')), "{certificate}");
    }
}

/// An authority, a certificate and its OCSP response, all by OpenSSL.
const OCSP: &str = r#"
set -eu
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 3650 \
    -subj /CN=root -addext basicConstraints=critical,CA:TRUE
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout a.key -subj /CN=a.test -out a.csr
printf 'subjectAltName=DNS:a.test\n' >ext
openssl x509 -req -in a.csr -CA ca.pem -CAkey ca.key -set_serial 0x1234 -days 365 -extfile ext -out a.crt
printf 'V\t991231235959Z\t\t1234\tunknown\t/CN=a.test\n' >index
openssl ocsp -index index -CA ca.pem -rsigner ca.pem -rkey ca.key -issuer ca.pem -cert a.crt -ndays 30 -respout a.ocsp
"#;

#[test]
fn an_ocsp_response_is_stapled_and_what_is_none_is_refused() {
    let scratch = Scratch::new();
    let done =
        Command::new("bash").args(["-c", OCSP]).current_dir(scratch.path()).output().expect("bash runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let content =
        |name: &str| std::fs::read(scratch.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let endpoint = Endpoint::start("a");
    let pair = "certificates = [{ cert = \"a.crt\", key = \"a.key\", ocsp = \"a.ocsp\" }]";
    let tls = format!("[listener.tls]\n{pair}");
    let mut conf = Conf::simple("failover", &[endpoint.addr()]).listener("secure", &tls);
    for name in ["a.crt", "a.key", "a.ocsp"] {
        conf = conf.file(name, content(name));
    }
    let edge = Edge::start(&conf);
    edge.until_up(1);
    let done = Command::new("openssl")
        .args(["s_client", "-status", "-servername", "a.test", "-connect", &edge.addr("secure").to_string()])
        .arg("-CAfile")
        .arg(scratch.join("ca.pem"))
        .stdin(Stdio::null())
        .output()
        .expect("openssl runs");
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(
        said.contains("OCSP Response Status: successful") && said.contains("Cert Status: good"),
        "{said}"
    );
    let status = edge.status();
    let listeners = status["listeners"].as_array().expect("listeners");
    assert!(listeners.iter().any(|one| one["certificates"][0]["ocsp"] == true), "{status}");
    for (content, problem) in [
        (&b""[..], "is empty"),
        (b"-----BEGIN", "is no OCSP response in DER"),
        // tryLater (RFC 6960 section 4.2.1)
        (&[0x30, 3, 0x0a, 1, 3], "says that there is none"),
    ] {
        edge.scratch().write("a.ocsp", content);
        let done = thalweg(&["check", "--config", &edge.config().display().to_string()]);
        let all = format!("{}{}", done.stdout, done.stderr);
        assert!(done.code == 2 && all.contains(problem) && all.contains("certificates[0].ocsp"), "{all}");
    }
}
