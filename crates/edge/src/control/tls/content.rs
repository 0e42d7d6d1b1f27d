//! What a file that should hold a certificate, a key or a list holds instead, and what to do about it. Looks at the
//! outside of the content only: labels of PEM, and the first bytes of DER.

use rustls_pki_types::PrivateKeyDer;

use crate::shared::x509;

/// The content of a file that a `cert`, a `key` or another key of TLS names.
pub(super) struct Content<'a> {
    bytes: &'a [u8],
    /// The labels of PEM sections, in order.
    labels: Vec<&'a str>,
}

/// A problem and a hint.
type Finding = (&'static str, &'static str);

impl<'a> Content<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        // Editors of Windows begin a file with a byte order mark.
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let lines = bytes.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
        let label = |line: &'a str| line.trim().strip_prefix("-----BEGIN ")?.strip_suffix("-----");
        Self { bytes, labels: lines.filter_map(label).collect() }
    }

    /// The text in which PEM sections are looked for.
    pub(super) fn pem(&self) -> &'a [u8] {
        self.bytes
    }

    /// Whether the key needs a pass phrase, in PKCS#8 or in the older form of OpenSSL.
    pub(super) fn is_encrypted(&self) -> bool {
        let old = b"Proc-Type: 4,ENCRYPTED";
        self.has("ENCRYPTED PRIVATE KEY") || self.bytes.windows(old.len()).any(|window| window == old)
    }

    /// Whether this is meant to be a key that can be used.
    pub(super) fn is_damaged_key(&self) -> bool {
        let known = ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"];
        !self.is_encrypted() && known.iter().any(|label| self.has(label))
    }

    /// Why there is no certificate.
    pub(super) fn instead_of_certificate(&self) -> Finding {
        if let Some(finding) = self.nothing() {
            return finding;
        }
        if x509::facts(self.bytes).is_some() {
            return (
                "holds a certificate in DER, not in PEM",
                "openssl x509 -inform DER -in FILE -out FILE.pem",
            );
        }
        if self.is_pkcs12() {
            return ("is PKCS#12, not PEM", "openssl pkcs12 -in FILE -nokeys -out FILE.pem");
        }
        let found = [
            (
                "TRUSTED CERTIFICATE",
                "holds a certificate with trust settings of OpenSSL",
                "openssl x509 -in FILE -out FILE.pem",
            ),
            (
                "CERTIFICATE REQUEST",
                "holds a certificate request, not a certificate",
                "an authority turns it into a certificate",
            ),
            (
                "PKCS7",
                "is PKCS#7, not a list of certificates",
                "openssl pkcs7 -print_certs -in FILE -out FILE.pem",
            ),
            ("PRIVATE KEY", "holds a private key, not a certificate", "are `cert` and `key` swapped?"),
            ("PUBLIC KEY", "holds a public key, not a certificate", "an authority makes a certificate of it"),
        ];
        self.first_of(&found)
            .unwrap_or(("holds no PEM certificate", "it begins with -----BEGIN CERTIFICATE-----"))
    }

    /// Why there is no private key.
    pub(super) fn instead_of_key(&self) -> Finding {
        if let Some(finding) = self.nothing() {
            return finding;
        }
        if self.is_encrypted() {
            return (
                "holds an encrypted private key",
                "decrypt it (openssl pkey -in FILE -out FILE.pem), for this process to read and for nobody else",
            );
        }
        if self.is_pkcs12() {
            return ("is PKCS#12, not PEM", "openssl pkcs12 -in FILE -nocerts -nodes -out FILE.pem");
        }
        if PrivateKeyDer::try_from(self.bytes).is_ok() {
            return (
                "holds a private key in DER, not in PEM",
                "openssl pkey -inform DER -in FILE -out FILE.pem",
            );
        }
        let found = [
            (
                "DSA PRIVATE KEY",
                "holds a DSA key, which TLS does not use any more",
                "make an RSA, ECDSA or Ed25519 key",
            ),
            ("OPENSSH PRIVATE KEY", "holds a key in the form of OpenSSH", "ssh-keygen -p -m PEM -f FILE"),
            ("CERTIFICATE", "holds a certificate, not a private key", "are `cert` and `key` swapped?"),
            ("PUBLIC KEY", "holds a public key, not a private one", "the private one was made with it"),
        ];
        self.first_of(&found)
            .unwrap_or(("holds no PEM private key", "it begins with -----BEGIN PRIVATE KEY-----"))
    }

    fn nothing(&self) -> Option<Finding> {
        let blank = self.bytes.iter().all(u8::is_ascii_whitespace);
        blank.then_some(("is empty", "was it cut while it was written?"))
    }

    fn has(&self, label: &str) -> bool {
        self.labels.contains(&label)
    }

    /// The first row whose label ends one of the labels.
    fn first_of(&self, rows: &[(&str, &'static str, &'static str)]) -> Option<Finding> {
        let row = rows.iter().find(|(wanted, ..)| self.labels.iter().any(|label| label.ends_with(wanted)))?;
        Some((row.1, row.2))
    }

    /// A SEQUENCE that begins with the version, 3 (RFC 7292 section 4).
    fn is_pkcs12(&self) -> bool {
        matches!(self.bytes, [0x30, rest @ ..] if rest.get(..8).is_some_and(|start| start.windows(3).any(|three| three == [2, 1, 3])))
    }
}
