//! Certificate and key files as OpenSSL writes them: which are served, which are put in order, and what is said of the
//! others.

mod common;

use std::{path::Path, process::Command};

use thalweg_testkit::{Conf, Edge, Endpoint, Scratch, thalweg};

/// Makes every file of the tables below.
const MAKE: &str = r#"
set -eu
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 3650 -subj /CN=root \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=keyCertSign,cRLSign
sign() { # name, issuer, days (may be negative)
    printf 'subjectAltName=DNS:a.test\n' >ext
    openssl req -new -key "$1.key" -subj /CN=a.test -out "$1.csr"
    openssl x509 -req -in "$1.csr" -CA "$2.pem" -CAkey "$2.key" -CAcreateserial -days "$3" -extfile ext -out "$1.crt"
}
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out pkcs8.key
openssl rsa -in pkcs8.key -traditional -out pkcs1.key
openssl ecparam -genkey -name prime256v1 -out sec1.key
openssl pkcs8 -topk8 -nocrypt -in sec1.key -out ec8.key
openssl ecparam -genkey -name secp384r1 -noout -out p384.key
openssl genpkey -algorithm ED25519 -out ed.key
openssl pkcs8 -topk8 -passout pass:secret -in pkcs8.key -out locked8.key
openssl rsa -in pkcs8.key -traditional -aes128 -passout pass:secret -out locked1.key
openssl pkey -in pkcs8.key -outform DER -out der.key
openssl pkey -in pkcs8.key -pubout -out public.key
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out short.key
openssl ec -in sec1.key -param_enc explicit -out explicit.key
printf -- '-----BEGIN DSA PRIVATE KEY-----\nAAAA\n-----END DSA PRIVATE KEY-----\n' >dsa.key
printf -- '-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n' >ssh.key
for name in pkcs8 sec1 p384 ed short; do sign "$name" ca 365; done
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout mid.key -subj /CN=mid -out mid.csr
printf 'basicConstraints=critical,CA:TRUE\n' >ext
openssl x509 -req -in mid.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 365 -extfile ext -out mid.pem
openssl genpkey -algorithm ED25519 -out under.key
sign under mid 365
cat under.crt mid.pem >ordered.crt
cat ca.pem mid.pem under.crt >backwards.crt
openssl x509 -req -in pkcs8.csr -CA ca.pem -CAkey ca.key -days -1 -out old.crt
openssl x509 -in pkcs8.crt -text -out text.crt
sed 's/$/\r/' pkcs8.crt >crlf.crt
sed 's/$/\r/' pkcs8.key >crlf.key
{ printf '\357\273\277'; cat pkcs8.crt; } >bom.crt
cat pkcs8.crt pkcs8.key >both.pem
openssl x509 -in pkcs8.crt -trustout -addtrust serverAuth -out trusted.crt
openssl x509 -in pkcs8.crt -outform DER -out der.crt
openssl pkcs12 -export -in pkcs8.crt -inkey pkcs8.key -passout pass: -out bundle.p12
openssl crl2pkcs7 -nocrl -certfile pkcs8.crt -out bundle.p7
head -n 5 pkcs8.crt >cut.crt
head -n 5 pkcs8.key >cut.key
: >empty
printf 'hello\n' >text
printf -- '-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n' >nonsense.crt
printf -- '-----BEGIN PRIVATE KEY-----\naGVsbG8=\n-----END PRIVATE KEY-----\n' >nonsense.key
"#;

fn made() -> Scratch {
    let scratch = Scratch::new();
    let done =
        Command::new("bash").args(["-c", MAKE]).current_dir(scratch.path()).output().expect("bash runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    scratch
}

fn content(scratch: &Scratch, name: &str) -> Vec<u8> {
    std::fs::read(scratch.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The listener `l0`, `l1`, … of each pair.
fn listeners(pairs: &[(&str, &str)]) -> String {
    let one = |(nth, (cert, key)): (usize, &(&str, &str))| {
        format!(
            "[[listener]]\nname = \"l{nth}\"\nbind = \"127.0.0.1:{}\"\n[listener.tls]\n\
             certificates = [{{ cert = \"{cert}\", key = \"{key}\" }}]\n",
            20_000 + nth
        )
    };
    pairs.iter().enumerate().map(one).collect()
}

fn check(folder: &Path, pairs: &[(&str, &str)]) -> serde_json::Value {
    let file = folder.join("thalweg.toml");
    let text = format!(
        "version = 1\n{}[pool.p]\nendpoints = [{{ address = \"127.0.0.1:9\" }}]\n\
         [route.r]\npolicy = \"failover\"\npools = [{{ pool = \"p\" }}]\n",
        listeners(pairs)
    );
    std::fs::write(&file, text).expect("a config can be written");
    let done = thalweg(&["check", "--format", "json", "--config", &file.display().to_string()]);
    serde_json::from_str(&done.stdout)
        .unwrap_or_else(|error| panic!("{error}: {} {}", done.stdout, done.stderr))
}

#[test]
fn what_openssl_writes_is_served() {
    let scratch = made();
    let endpoint = Endpoint::start("a");
    let pairs = [
        ("pkcs8.crt", "pkcs8.key"),
        ("pkcs8.crt", "pkcs1.key"),
        ("sec1.crt", "sec1.key"),
        ("sec1.crt", "ec8.key"),
        ("sec1.crt", "explicit.key"),
        ("p384.crt", "p384.key"),
        ("ed.crt", "ed.key"),
        ("text.crt", "pkcs8.key"),
        ("crlf.crt", "crlf.key"),
        ("bom.crt", "pkcs8.key"),
        ("both.pem", "both.pem"),
        ("ordered.crt", "under.key"),
        ("backwards.crt", "under.key"),
    ];
    let mut conf = Conf::simple("failover", &[endpoint.addr()]);
    for (nth, (cert, key)) in pairs.iter().enumerate() {
        conf = conf.file(cert, content(&scratch, cert)).file(key, content(&scratch, key)).listener(
            &format!("l{nth}"),
            &format!("[listener.tls]\ncertificates = [{{ cert = \"{cert}\", key = \"{key}\" }}]"),
        );
    }
    let edge = Edge::start(&conf);
    edge.until_up(1);
    for (nth, pair) in pairs.iter().enumerate() {
        let port = edge.port(&format!("l{nth}"));
        let done = Command::new("curl")
            .args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", "--cacert"])
            .arg(scratch.join("ca.pem"))
            .args(["--resolve", &format!("a.test:{port}:127.0.0.1"), &format!("https://a.test:{port}/")])
            .output()
            .expect("curl runs");
        let said =
            format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert_eq!(said, "200", "{pair:?}");
    }
    let warnings = edge.status()["warnings"].to_string();
    assert_eq!(warnings.matches("not in order").count(), 1, "{warnings}");
    assert!(
        warnings.contains("backwards.crt") && warnings.contains("listener.l12.tls.certificates[0].cert"),
        "{warnings}"
    );
}

#[test]
fn what_cannot_be_served_is_told_with_its_place_and_what_to_do() {
    let scratch = made();
    let fine = check(scratch.path(), &[("backwards.crt", "under.key"), ("old.crt", "pkcs8.key")]);
    let warnings = fine["warnings"].to_string();
    assert!(fine["ok"] == true && fine["warnings"].as_array().map(Vec::len) == Some(2), "{fine}");
    assert!(warnings.contains("not in order") && warnings.contains("ended at"), "{warnings}");
    let cases = [
        // (certificate, key, the wrong one, what is said, the hint)
        ("pkcs8.crt", "locked8.key", "key", "holds an encrypted private key", "openssl pkey"),
        ("pkcs8.crt", "locked1.key", "key", "holds an encrypted private key", "openssl pkey"),
        ("pkcs8.crt", "der.key", "key", "holds a private key in DER, not in PEM", "-inform DER"),
        ("pkcs8.crt", "public.key", "key", "holds a public key, not a private one", "private"),
        ("pkcs8.crt", "dsa.key", "key", "holds a DSA key", "Ed25519"),
        ("pkcs8.crt", "ssh.key", "key", "holds a key in the form of OpenSSH", "ssh-keygen"),
        ("pkcs8.crt", "pkcs8.crt", "key", "holds a certificate, not a private key", "swapped"),
        ("pkcs8.crt", "bundle.p12", "key", "is PKCS#12, not PEM", "-nocerts"),
        ("pkcs8.crt", "cut.key", "key", "is damaged PEM", ""),
        ("pkcs8.crt", "empty", "key", "is empty", "cut"),
        ("pkcs8.crt", "text", "key", "holds no PEM private key", "BEGIN PRIVATE KEY"),
        ("pkcs8.crt", "nonsense.key", "key", "holds a key that cannot be used", "P-256"),
        ("short.crt", "short.key", "key", "holds a key that cannot be used", "2048"),
        ("pkcs8.crt", "sec1.key", "key", "does not fit its certificate", "openssl pkey -pubout"),
        (
            "der.crt",
            "pkcs8.key",
            "cert",
            "holds a certificate in DER, not in PEM",
            "openssl x509 -inform DER",
        ),
        ("bundle.p12", "pkcs8.key", "cert", "is PKCS#12, not PEM", "-nokeys"),
        ("bundle.p7", "pkcs8.key", "cert", "is PKCS#7", "-print_certs"),
        ("trusted.crt", "pkcs8.key", "cert", "holds a certificate with trust settings", "openssl x509 -in"),
        ("pkcs8.csr", "pkcs8.key", "cert", "holds a certificate request", "authority"),
        ("pkcs8.key", "pkcs8.key", "cert", "holds a private key, not a certificate", "swapped"),
        ("cut.crt", "pkcs8.key", "cert", "is damaged PEM", ""),
        ("empty", "pkcs8.key", "cert", "is empty", "cut"),
        ("text", "pkcs8.key", "cert", "holds no PEM certificate", "BEGIN CERTIFICATE"),
        ("nonsense.crt", "pkcs8.key", "cert", "holds a certificate that cannot be read, number 1", ""),
        ("missing.crt", "pkcs8.key", "cert", "does not exist", "relative"),
    ];
    let pairs: Vec<_> = cases.iter().map(|(cert, key, ..)| (*cert, *key)).collect();
    let said = check(scratch.path(), &pairs);
    let errors = said["errors"].as_array().expect("errors");
    for (nth, (cert, key, wrong, problem, hint)) in cases.iter().enumerate() {
        let path = format!("listener.l{nth}.tls.certificates[0].{wrong}");
        let of_listener = format!("listener.l{nth}.");
        let found: Vec<_> = errors
            .iter()
            .filter(|error| error["path"].as_str().unwrap_or_default().starts_with(&of_listener))
            .collect();
        let [error] = found[..] else { panic!("{cert} {key}: {found:?}") };
        let text = format!("{} {}", error["problem"], error["hint"]);
        assert_eq!(error["path"], path, "{text}");
        assert!(text.contains(problem) && text.contains(hint), "{cert} {key}: {text}");
        let file = if *wrong == "key" { key } else { cert };
        assert!(text.contains(file), "{text}");
        assert!(error["line"].as_u64() > Some(1) && error["column"].as_u64() > Some(1), "{error}");
    }
    assert_eq!(errors.len(), cases.len(), "{errors:?}");
}

#[test]
fn an_expired_certificate_is_served_with_a_warning_and_a_metric() {
    let scratch = made();
    let endpoint = Endpoint::start("a");
    let pair = "certificates = [{ cert = \"old.crt\", key = \"pkcs8.key\" }]";
    let conf = Conf::simple("failover", &[endpoint.addr()])
        .file("old.crt", content(&scratch, "old.crt"))
        .file("pkcs8.key", content(&scratch, "pkcs8.key"))
        .listener("secure", &format!("[listener.tls]\n{pair}"));
    let edge = Edge::start(&conf);
    edge.until_up(1);
    let status = edge.status();
    let warnings = status["warnings"].to_string();
    assert!(warnings.contains("old.crt holds a certificate that ended at 20"), "{warnings}");
    assert!(edge.stderr().contains("holds a certificate that ended at"), "{}", edge.stderr());
    let listeners = status["listeners"].as_array().expect("listeners");
    let secure = listeners.iter().find(|one| one["name"] == "secure").expect("the listener");
    assert_eq!(secure["certificates"][0]["state"], "expired", "{secure}");
    let expiry = edge.metric("thalweg_certificate_expiry_timestamp_seconds", &[("listener", "secure")]);
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_secs_f64();
    assert!(expiry > 0.0 && expiry < now, "{expiry} {now}");
    let port = edge.port("secure");
    let done = Command::new("curl")
        .args(["-ksS", "-o", "/dev/null", "-w", "%{http_code}", &format!("https://127.0.0.1:{port}/")])
        .output()
        .expect("curl runs");
    assert_eq!(String::from_utf8_lossy(&done.stdout), "200", "it is served");
}
