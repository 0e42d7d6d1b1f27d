//! Certificates, keys and CAs from files to handshakes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::sync::Arc;

use common::Scratch;
use rustls_pki_types::ServerName;
use thalweg_edge::control::wiring::{Prepared, prepare};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// A root and leaves by it, in files.
struct Authority<'a> {
    scratch: &'a Scratch,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl<'a> Authority<'a> {
    fn new(scratch: &'a Scratch) -> Self {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        scratch.write("ca.pem", params.self_signed(&key).unwrap().pem());
        Self { scratch, issuer: rcgen::Issuer::new(params, key) }
    }

    fn leaf(&self, file: &str, names: &[&str]) {
        let names = names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let key = rcgen::KeyPair::generate().unwrap();
        let cert = rcgen::CertificateParams::new(names).unwrap().signed_by(&key, &self.issuer).unwrap();
        self.scratch.write(&format!("{file}.crt"), cert.pem());
        self.scratch.write(&format!("{file}.key"), key.serialize_pem());
    }
}

fn config(endpoint: &str) -> String {
    format!(
        r#"version = 1
[[listener]]
name = "secure"
bind = "127.0.0.1:8443"
protocols = ["h2", "http/1.1"]
[listener.tls]
certificates = [{{ cert = "a.crt", key = "a.key" }}, {{ cert = "b.crt", key = "b.key" }}]
[pool.p]
endpoints = [{{ address = "a.test:443", tls = {{ {endpoint} }} }}]
[route.r]
policy = "failover"
pools = [{{ pool = "p" }}]
"#
    )
}

/// Shakes hands in memory: our client config against our server config. The leaf that was shown, or the error.
async fn shake(prepared: &Prepared, name: Option<&str>) -> Result<(Vec<u8>, Option<Vec<u8>>), String> {
    let server = prepared.wiring.listener_tls[0].clone().unwrap();
    let client = prepared.wiring.upstream_tls[0][0].clone().unwrap();
    let name = name.map_or(client.name, |name| ServerName::try_from(name.to_owned()).unwrap());
    let (near, far) = tokio::io::duplex(16 << 10);
    let (served, asked) = tokio::join!(
        TlsAcceptor::from(server).accept(far),
        TlsConnector::from(client.config).connect(name, near)
    );
    let asked = asked.map_err(|error| error.to_string())?;
    served.map_err(|error| error.to_string())?;
    let (_, session) = asked.get_ref();
    let leaf = session.peer_certificates().unwrap()[0].to_vec();
    Ok((leaf, session.alpn_protocol().map(<[u8]>::to_vec)))
}

fn der(scratch: &Scratch, file: &str) -> Vec<u8> {
    use rustls_pki_types::{CertificateDer, pem::PemObject};
    CertificateDer::from_pem_file(scratch.path().join(file)).unwrap().to_vec()
}

#[tokio::test]
async fn certificates_are_chosen_by_name_and_verified_by_the_private_ca() {
    let scratch = Scratch::new();
    let authority = Authority::new(&scratch);
    authority.leaf("a", &["a.test"]);
    authority.leaf("b", &["b.test", "*.w.test"]);
    let path = scratch.write("t.toml", config(r#"ca = "ca.pem""#));
    let prepared = prepare(&path, &Default::default()).unwrap();
    let shown = async |name: &str| shake(&prepared, Some(name)).await.map(|(leaf, _)| leaf);
    assert_eq!(shown("a.test").await.unwrap(), der(&scratch, "a.crt"));
    assert_eq!(shown("b.test").await.unwrap(), der(&scratch, "b.crt"));
    assert_eq!(shown("x.w.test").await.unwrap(), der(&scratch, "b.crt"));
    assert!(shown("c.test").await.unwrap_err().contains("not valid for name"), "the default does not fit");
    assert_eq!(shake(&prepared, None).await.unwrap().1.as_deref(), Some(&b"http/1.1"[..]));
}

#[tokio::test]
async fn without_verify_any_certificate_passes_and_with_it_an_unknown_one_fails() {
    let (scratch, strange) = (Scratch::new(), Scratch::new());
    let authority = Authority::new(&scratch);
    Authority::new(&strange);
    authority.leaf("a", &["other.test"]);
    authority.leaf("b", &["b.test"]);
    let trusting = scratch.write("t.toml", config("verify = false"));
    assert!(shake(&prepare(&trusting, &Default::default()).unwrap(), None).await.is_ok());
    let ca = format!("ca = \"{}\"", strange.path().join("ca.pem").display());
    let wary = scratch.write("u.toml", config(&ca));
    let error = shake(&prepare(&wary, &Default::default()).unwrap(), Some("b.test")).await.unwrap_err();
    assert!(error.contains("certificate"), "{error}");
}

#[test]
fn equal_files_give_the_same_configs_again() {
    let scratch = Scratch::new();
    let authority = Authority::new(&scratch);
    authority.leaf("a", &["a.test"]);
    authority.leaf("b", &["b.test"]);
    let path = scratch.write("t.toml", config(r#"ca = "ca.pem""#));
    let first = prepare(&path, &Default::default()).unwrap();
    let second = prepare(&path, &first.tls_cache).unwrap();
    let tls = |prepared: &Prepared| prepared.wiring.listener_tls[0].clone().unwrap();
    let up = |prepared: &Prepared| prepared.wiring.upstream_tls[0][0].clone().unwrap().config;
    assert!(Arc::ptr_eq(&tls(&first), &tls(&second)) && Arc::ptr_eq(&up(&first), &up(&second)));
    assert!(first.same_as(&second));
    authority.leaf("a", &["a.test"]);
    let third = prepare(&path, &second.tls_cache).unwrap();
    assert!(!Arc::ptr_eq(&tls(&first), &tls(&third)) && Arc::ptr_eq(&up(&first), &up(&third)));
    assert!(!first.same_as(&third));
}

#[test]
fn every_wrong_file_is_reported_at_its_place() {
    let scratch = Scratch::new();
    let authority = Authority::new(&scratch);
    authority.leaf("a", &["a.test"]);
    authority.leaf("b", &["b.test"]);
    let path = scratch.write("t.toml", config(r#"ca = "ca.pem""#));
    let check = |files: &[(&str, &str)], expected: &[(&str, &str)]| {
        for (file, content) in files {
            scratch.write(file, content);
        }
        let errors = prepare(&path, &Default::default()).unwrap_err().0;
        assert_eq!(errors.len(), expected.len(), "{errors:?}");
        for (error, (path, problem)) in errors.iter().zip(expected) {
            assert_eq!(error.path, *path);
            assert!(error.problem.contains(problem), "{error}");
            assert!(error.span.line > 0, "{error}");
        }
    };
    let sound = std::fs::read_to_string(&path).unwrap();
    let other = std::fs::read_to_string(scratch.path().join("b.key")).unwrap();
    let fits = "listener.secure.tls.certificates[0].key";
    check(&[("a.key", &other)], &[(fits, "does not fit its certificate")]);
    check(
        &[("b.crt", "nothing"), ("b.key", "nothing"), ("ca.pem", "")],
        &[
            (fits, "does not fit"),
            ("listener.secure.tls.certificates[1].cert", "no PEM certificate"),
            ("listener.secure.tls.certificates[1].key", "no PEM private key"),
            ("pool.p.endpoints[0].tls.ca", "is empty"),
        ],
    );
    // What is wrong in the file hides nothing of that, and all stands in its order.
    let wrong = sound.replace("b.key", "gone.key").replace("policy = \"failover\"", "policy = \"best\"");
    scratch.write("t.toml", wrong.replace("version = 1", "version = 2"));
    check(
        &[],
        &[
            ("version", "out of range"),
            (fits, "does not fit"),
            ("listener.secure.tls.certificates[1].key", "does not exist"),
            ("pool.p.endpoints[0].tls.ca", "is empty"),
            ("route.r.policy", "not one of the choices"),
        ],
    );
}
