//! What log and endpoints are told about the verified certificate of a client. Made once per connection that has shown
//! one; decides nothing about trust.
//!
//! The header is `Client-Cert` of RFC 9440: the whole certificate, so that an endpoint reads from it what it needs, in a
//! form that a standard fixes. Rejected: `X-Forwarded-Client-Cert` as Envoy writes it, a list of text fields with a
//! quoting of its own, which endpoints have parsed wrongly before.

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::STANDARD};

use crate::shared::{
    distinguished_name,
    x509::{self, Facts},
};

/// A verified certificate of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The subject as RFC 4514 writes it.
    pub subject: Box<str>,
    /// The serial number in upper-case hexadecimal digits.
    pub serial: Box<str>,
    /// The SHA-256 fingerprint in lower-case hexadecimal digits.
    pub sha256: Box<str>,
    /// The value of `Client-Cert` (RFC 9440 section 2.1).
    pub field: Box<str>,
    /// The end of its validity in Unix seconds.
    pub not_after: i64,
}

impl ClientCertificate {
    /// What a certificate says; `None` if it cannot be read.
    #[must_use]
    pub fn read(der: &[u8]) -> Option<Self> {
        let (parts, Facts { not_after, .. }) = (x509::parts(der)?, x509::facts(der)?);
        Some(Self {
            subject: distinguished_name::written(parts.subject).into(),
            serial: serial(parts.serial).into(),
            sha256: hex(digest(&SHA256, der).as_ref()).into(),
            field: format!(":{}:", STANDARD.encode(der)).into(),
            not_after,
        })
    }
}

/// A serial number as `openssl x509 -serial` prints it. An INTEGER whose first bit is set begins with a zero byte.
fn serial(content: &[u8]) -> String {
    let digits = match content {
        [0, rest @ ..] if !rest.is_empty() => rest,
        all => all,
    };
    hex(digits).to_ascii_uppercase()
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| DIGITS.get(usize::from(value)).map_or('0', |digit| char::from(*digit));
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_told_by_subject_serial_fingerprint_and_as_a_whole() {
        let mut params = rcgen::CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::OrganizationName, "Acme, \"Inc\"");
        params.distinguished_name.push(rcgen::DnType::CommonName, "Jörg");
        params.serial_number = Some(rcgen::SerialNumber::from(vec![0xf0, 0x0d]));
        params.not_after = rcgen::date_time_ymd(2031, 3, 1);
        let made = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        let read = ClientCertificate::read(made.der()).unwrap();
        assert_eq!(&*read.subject, "CN=Jörg,O=Acme\\, \\\"Inc\\\"");
        assert_eq!((&*read.serial, read.not_after), ("F00D", 1_930_089_600));
        assert_eq!(read.sha256.len(), 64);
        let value = read.field.strip_prefix(':').and_then(|rest| rest.strip_suffix(':')).unwrap();
        assert_eq!(STANDARD.decode(value).unwrap(), made.der().to_vec());
        assert_eq!(ClientCertificate::read(b"no certificate"), None);
    }
}
