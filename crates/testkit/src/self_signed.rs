//! Certificates that sign themselves, as operators make them by hand: of version 3 with or without names, of version 1,
//! expired, not yet valid. Never an authority.

use rcgen::{
    CertificateParams, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData, SigningKey, date_time_ymd,
};

use crate::Leaf;

impl Leaf {
    /// For these names, with this common name, valid now.
    pub fn self_signed(common_name: &str, names: &[&str]) -> Self {
        Self::self_signed_for_years(common_name, names, (2020, 2100))
    }

    /// The same, valid from the first of January of one year to that of another.
    pub fn self_signed_for_years(common_name: &str, names: &[&str], (from, to): (i32, i32)) -> Self {
        let key = KeyPair::generate().expect("a key can be made");
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("the names are valid");
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(to, 1, 1);
        let cert_pem = params.self_signed(&key).expect("it signs itself").pem();
        Self { cert_pem, key_pem: key.serialize_pem() }
    }

    /// Of version 1, which has no extensions and so no names but the common name (RFC 5280 section 4.1.2.1): what
    /// `openssl x509 -req` makes without `-extfile`. rcgen makes no such certificate, so it is written here by hand.
    pub fn version_1(common_name: &str) -> Self {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key can be made");
        let text = der(0x0c, &[common_name.as_bytes()]);
        let pair = der(0x30, &[&der(0x06, &[&[0x55, 0x04, 0x03]]), &text]);
        let name = der(0x30, &[&der(0x31, &[&pair])]);
        let validity = der(0x30, &[&der(0x17, &[b"200101000000Z"]), &der(0x18, &[b"21000101000000Z"])]);
        // ecdsa-with-SHA256, 1.2.840.10045.4.3.2 (RFC 5758 section 3.2).
        let by = der(0x30, &[&der(0x06, &[&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02]])]);
        let serial = der(0x02, &[&[1]]);
        let body = der(0x30, &[&serial, &by, &name, &validity, &name, &key.subject_public_key_info()]);
        let signature = key.sign(&body).expect("it signs itself");
        let cert = der(0x30, &[&body, &by, &der(0x03, &[&[0], &signature])]);
        Self { cert_pem: pem(&cert), key_pem: key.serialize_pem() }
    }
}

/// One DER element of this tag; up to 64 KiB of content.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = u16::try_from(content.len()).expect("short content").to_be_bytes();
    let length = match length {
        [0, short @ 0..0x80] => vec![short],
        [0, long] => vec![0x81, long],
        [high, low] => vec![0x82, high, low],
    };
    [vec![tag], length, content].concat()
}

fn pem(der: &[u8]) -> String {
    const SIGNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::from("-----BEGIN CERTIFICATE-----");
    for (nth, three) in der.chunks(3).enumerate() {
        if nth % 16 == 0 {
            text.push('\n');
        }
        let bits = three.iter().chain([&0, &0]).take(3).fold(0, |bits, byte| bits << 8 | usize::from(*byte));
        for place in 0..4 {
            let sign = SIGNS[bits >> (18 - 6 * place) & 63];
            text.push(if place > three.len() { '=' } else { char::from(sign) });
        }
    }
    text + "\n-----END CERTIFICATE-----\n"
}
