//! A bundle: the files of a config as one signed, numbered value. Pure: neither reads a file nor talks to the engine.
//!
//! One line `thalweg-bundle SIGNATURE`, then the content as JSON. The signature is Ed25519 over a fixed prefix and the
//! content, so that no other signed value passes for a bundle. Nothing of the content is read before the signature holds.
//!
//! Why numbers that only grow: whoever can write to the engine can put an old bundle back, with its good signature. The
//! number is the Unix time of the publication, in milliseconds, or one more than the last one. So it grows also after the
//! bucket was lost, or was overwritten with something else.

use std::{collections::BTreeSet, fmt};

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls_pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer, pem::PemObject};
use serde_json::{Value, json};
use thalweg_config::{ConfigText, Ring, bundled_path};

/// Longest bundle: what a NATS server takes as one message by default, less its headers.
pub const MAX_BYTES: usize = 1_000_000;
/// Most files in a bundle: a main file and what it may include.
const MAX_FILES: usize = 65;
/// First word of the first line.
const MAGIC: &str = "thalweg-bundle ";
/// What is signed in front of the content.
const DOMAIN: &[u8] = b"thalweg-bundle\n";
/// Version of the content. It grows when an older edge would misread a bundle.
const VERSION: u64 = 1;
/// What stands in front of the 32 bytes of an Ed25519 key in its SPKI form (RFC 8410).
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// A config for the fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// Its number; it only grows.
    pub number: u64,
    /// The last ring that it goes to.
    pub ring: Ring,
    /// How long the guard watches it on each edge, in milliseconds; 0 = not at all.
    pub bake_ms: u64,
    /// When it was published, Unix time; for display alone, because clocks differ.
    pub unix_ms: u64,
    /// Who published it.
    pub owner: String,
    /// Its files, the main one first.
    pub files: Vec<BundleFile>,
}

/// One file of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleFile {
    /// Its path as seen from the main file's folder.
    pub path: String,
    /// Its content.
    pub text: String,
}

/// Why a bundle is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BundleRefusal {
    /// It is longer than [`MAX_BYTES`].
    TooLarge,
    /// It is no bundle, or a part of one.
    Malformed,
    /// The key did not sign it.
    Forged,
    /// It needs a newer edge.
    Future,
    /// Its number is no higher than that of a bundle which this edge has seen, and it says something else.
    Replayed,
    /// Its process did not come up, or no endpoint of a route answered.
    Taste,
    /// The reload rejected it.
    Rejected,
    /// Its guard took it back.
    Reverted,
}

impl BundleRefusal {
    /// All, for the metric.
    pub const EACH: [Self; 8] = [
        Self::TooLarge,
        Self::Malformed,
        Self::Forged,
        Self::Future,
        Self::Replayed,
        Self::Taste,
        Self::Rejected,
        Self::Reverted,
    ];

    /// The spelling in events, metrics and status.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Malformed => "malformed",
            Self::Forged => "forged",
            Self::Future => "future",
            Self::Replayed => "replayed",
            Self::Taste => "taste",
            Self::Rejected => "rejected",
            Self::Reverted => "reverted",
        }
    }
}

impl Bundle {
    /// The bundle, signed.
    ///
    /// # Errors
    /// It is too large, or has too many files.
    pub fn sign(&self, key: &Ed25519KeyPair) -> Result<Vec<u8>, String> {
        if self.files.len() > MAX_FILES {
            return Err(format!("{} files, at most {MAX_FILES}", self.files.len()));
        }
        let content = self.content().to_string();
        let signature = STANDARD.encode(key.sign(&signed(content.as_bytes())));
        let bytes = format!("{MAGIC}{signature}\n{content}").into_bytes();
        if bytes.len() > MAX_BYTES {
            return Err(format!("the bundle has {} bytes, at most {MAX_BYTES}", bytes.len()));
        }
        Ok(bytes)
    }

    /// Reads a bundle that this key must have signed.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn verify(bytes: &[u8], key: &VerifyKey) -> Result<Self, BundleRefusal> {
        if bytes.len() > MAX_BYTES {
            return Err(BundleRefusal::TooLarge);
        }
        let line = bytes.iter().position(|byte| *byte == b'\n').ok_or(BundleRefusal::Malformed)?;
        let (head, content) = bytes.split_at_checked(line + 1).ok_or(BundleRefusal::Malformed)?;
        let signature = head.strip_prefix(MAGIC.as_bytes()).map(<[u8]>::trim_ascii_end);
        let signature =
            signature.and_then(|text| STANDARD.decode(text).ok()).ok_or(BundleRefusal::Malformed)?;
        let key = UnparsedPublicKey::new(&ED25519, &key.0);
        key.verify(&signed(content), &signature).map_err(|_| BundleRefusal::Forged)?;
        let content: Value = serde_json::from_slice(content).map_err(|_| BundleRefusal::Malformed)?;
        match content.get("version").and_then(Value::as_u64) {
            Some(VERSION) => Self::read(&content).ok_or(BundleRefusal::Malformed),
            Some(newer) if newer > VERSION => Err(BundleRefusal::Future),
            _ => Err(BundleRefusal::Malformed),
        }
    }

    /// The files, as the config reads them.
    #[must_use]
    pub fn texts(&self) -> Vec<ConfigText> {
        let text = |file: &BundleFile| ConfigText {
            path: bundled_path(self.number, &file.path).into(),
            text: file.text.as_str().into(),
        };
        self.files.iter().map(text).collect()
    }

    fn content(&self) -> Value {
        let file = |file: &BundleFile| json!({ "path": file.path, "text": file.text });
        json!({
            "version": VERSION, "number": self.number, "ring": self.ring.as_str(), "bake_ms": self.bake_ms,
            "published": self.unix_ms, "owner": self.owner,
            "files": self.files.iter().map(file).collect::<Vec<_>>(),
        })
    }

    fn read(content: &Value) -> Option<Self> {
        let whole = |name: &str| content.get(name)?.as_u64();
        let file = |value: &Value| {
            let path = value.get("path")?.as_str().filter(|path| is_plain(path))?.to_owned();
            Some(BundleFile { path, text: value.get("text")?.as_str()?.to_owned() })
        };
        let files: Vec<BundleFile> =
            content.get("files")?.as_array()?.iter().map(file).collect::<Option<_>>()?;
        let paths: BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
        let fits = !files.is_empty() && files.len() <= MAX_FILES && paths.len() == files.len();
        let owner = content.get("owner")?.as_str()?.chars().filter(|c| !c.is_control()).take(100).collect();
        fits.then_some(Self {
            number: whole("number")?,
            ring: Ring::named(content.get("ring")?.as_str()?)?,
            bake_ms: whole("bake_ms")?,
            unix_ms: whole("published")?,
            owner,
            files,
        })
    }
}

/// Whether a path can be shown.
fn is_plain(path: &str) -> bool {
    !path.is_empty() && path.len() <= 300 && !path.chars().any(char::is_control)
}

fn signed(content: &[u8]) -> Vec<u8> {
    [DOMAIN, content].concat()
}

/// The public key that bundles are verified with.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifyKey(Vec<u8>);

impl fmt::Debug for VerifyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VerifyKey")
    }
}

impl VerifyKey {
    /// Reads an Ed25519 public key in PEM (SPKI).
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_pem(pem: &str) -> Result<Self, &'static str> {
        let wrong = "is no Ed25519 public key in PEM";
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes()).map_err(|_| wrong)?;
        let key = der.as_ref().strip_prefix(&SPKI).filter(|key| key.len() == 32).ok_or(wrong)?;
        Ok(Self(key.to_vec()))
    }
}

/// Reads an Ed25519 private key in PEM (PKCS#8).
///
/// # Errors
/// What is wrong with it.
pub fn signing_key(pem: &[u8]) -> Result<Ed25519KeyPair, &'static str> {
    let wrong = "is no Ed25519 private key in PEM (`openssl genpkey -algorithm ed25519` makes one)";
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem).map_err(|_| wrong)?;
    Ed25519KeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(|_| wrong)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::{
        encoding::AsDer,
        signature::{Ed25519KeyPair, KeyPair},
    };

    use super::*;

    fn keys() -> (Ed25519KeyPair, VerifyKey) {
        let key = Ed25519KeyPair::generate().unwrap();
        let spki = AsDer::as_der(key.public_key()).unwrap();
        let pem = format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            STANDARD.encode(spki.as_ref())
        );
        let verify = VerifyKey::from_pem(&pem).unwrap();
        (key, verify)
    }

    fn bundle(number: u64) -> Bundle {
        let file = |path: &str| BundleFile { path: path.into(), text: format!("# {path} é\n") };
        Bundle {
            number,
            ring: Ring::Region,
            bake_ms: 30_000,
            unix_ms: 1_800_000_000_000,
            owner: "ada".into(),
            files: vec![file("thalweg.toml"), file("conf.d/a.toml")],
        }
    }

    #[test]
    fn what_is_signed_is_read_again() {
        let (key, verify) = keys();
        let bytes = bundle(7).sign(&key).unwrap();
        assert_eq!(Bundle::verify(&bytes, &verify), Ok(bundle(7)));
        assert_eq!(bundle(7).texts()[1].path.to_str(), Some("bundle:7/conf.d/a.toml"));
    }

    #[test]
    fn every_cut_and_every_changed_byte_is_refused() {
        let (key, verify) = keys();
        let bytes = bundle(7).sign(&key).unwrap();
        for end in 0..bytes.len() {
            assert!(Bundle::verify(&bytes[..end], &verify).is_err(), "cut at {end}");
        }
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(Bundle::verify(&changed, &verify).is_err(), "changed at {at}");
        }
    }

    #[test]
    fn a_refusal_says_what_is_wrong() {
        let (key, verify) = keys();
        let sealed = |content: &str| {
            let signature = STANDARD.encode(key.sign(&signed(content.as_bytes())));
            format!("{MAGIC}{signature}\n{content}").into_bytes()
        };
        let good = bundle(7).content().to_string();
        let twice = good.replace("conf.d/a.toml", "thalweg.toml");
        for (bytes, expected) in [
            (vec![b'x'; MAX_BYTES + 1], BundleRefusal::TooLarge),
            (b"hello".to_vec(), BundleRefusal::Malformed),
            (bundle(7).sign(&keys().0).unwrap(), BundleRefusal::Forged),
            (sealed(&good.replace("\"version\":1", "\"version\":2")), BundleRefusal::Future),
            (sealed("[]"), BundleRefusal::Malformed),
            (sealed(&good.replace("\"region\"", "\"moon\"")), BundleRefusal::Malformed),
            (sealed(&twice), BundleRefusal::Malformed),
        ] {
            assert_eq!(Bundle::verify(&bytes, &verify), Err(expected));
        }
    }

    #[test]
    fn a_bundle_that_is_too_large_is_not_signed() {
        let mut large = bundle(7);
        large.files[0].text = "x".repeat(MAX_BYTES);
        assert!(large.sign(&keys().0).unwrap_err().contains("at most 1000000"));
    }
}
