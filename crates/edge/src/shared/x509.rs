//! The facts of a certificate that the edge needs: its names, its addresses, both ends of its validity, its issuer, and
//! its public key. A DER reader that looks no further and decides nothing about trust.

use std::{net::IpAddr, sync::Arc};

/// Certificates in DER, in order.
pub type Ders = Arc<[Vec<u8>]>;

/// What a leaf certificate says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// `subjectAltName` DNS names, lower case; may start with `*.`.
    pub names: Vec<String>,
    /// `subjectAltName` addresses.
    pub addresses: Vec<IpAddr>,
    /// The last common name of the subject.
    pub common_name: Option<String>,
    /// `notBefore`, Unix seconds.
    pub not_before: i64,
    /// `notAfter`, Unix seconds.
    pub not_after: i64,
}

/// Reads the facts; `None` if this is no certificate.
#[must_use]
pub fn facts(der: &[u8]) -> Option<Facts> {
    let (_, certificate, _) = element(der)?;
    let (_, mut rest, _) = element(certificate)?;
    let mut facts = Facts::default();
    let mut position = 0;
    while let Some((tag, content, after)) = element(rest) {
        rest = after;
        match (tag, position) {
            // The optional version has tag [0] and is not counted.
            (0xa0, 0) => continue,
            // serialNumber, signature, issuer, validity.
            (0x30, 3) => {
                let (tag, since, until) = element(content)?;
                facts.not_before = time(tag, since)?;
                let (tag, until, _) = element(until)?;
                facts.not_after = time(tag, until)?;
            }
            (0x30, 4) => facts.common_name = common_name(content),
            (0xa3, _) => extensions(content, &mut facts),
            _ => {}
        }
        position += 1;
    }
    (position >= 6).then_some(facts)
}

/// Fields of a certificate of any version (RFC 5280 section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CertificateParts<'a> {
    /// The content of `serialNumber`.
    pub serial: &'a [u8],
    /// The relative distinguished names of the issuer.
    pub issuer: &'a [u8],
    /// The relative distinguished names of the subject.
    pub subject: &'a [u8],
    /// The `subjectPublicKeyInfo`, with its tag and length.
    pub public_key: &'a [u8],
}

/// Reads the fields; `None` if this is no certificate.
#[must_use]
pub fn parts(der: &[u8]) -> Option<CertificateParts<'_>> {
    let (_, certificate, _) = element(der)?;
    let (_, mut rest, _) = element(certificate)?;
    if let (0xa0, _, after) = element(rest)? {
        rest = after;
    }
    let (_, serial, rest) = element(rest)?;
    // signature
    let (_, _, rest) = element(rest)?;
    let (_, issuer, rest) = element(rest)?;
    // validity
    let (_, _, rest) = element(rest)?;
    let (_, subject, rest) = element(rest)?;
    let (_, _, after) = element(rest)?;
    let public_key = rest.get(..rest.len() - after.len())?;
    Some(CertificateParts { serial, issuer, subject, public_key })
}

/// The `subjectPublicKeyInfo` of a certificate of any version, with its tag and length.
#[must_use]
pub fn public_key(der: &[u8]) -> Option<&[u8]> {
    parts(der).map(|parts| parts.public_key)
}

/// The algorithm of a `subjectPublicKeyInfo` without its tag and length, and the key itself.
#[must_use]
pub fn split_key(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (_, key, _) = element(der)?;
    let (_, algorithm, rest) = element(key)?;
    // A BIT STRING of whole bytes begins with the number of unused bits, 0.
    let (0x03, [0, bits @ ..], _) = element(rest)? else { return None };
    Some((algorithm, bits))
}

/// Tag, content and remaining bytes. Lengths have up to 4 bytes; high tag numbers do not occur in the fields that are
/// read.
pub(super) fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match *first {
        short @ 0..0x80 => (usize::from(short), rest),
        long => {
            let count = usize::from(long & 0x7f);
            if count == 0 || count > 4 {
                return None;
            }
            let (bytes, rest) = rest.split_at_checked(count)?;
            (bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
        }
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

/// The last common name among relative distinguished names: OpenSSL compares the last one too.
fn common_name(mut names: &[u8]) -> Option<String> {
    /// The object identifier 2.5.4.3 (RFC 5280 appendix A.1).
    const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
    let mut last = None;
    while let Some((_, mut set, after)) = element(names) {
        names = after;
        while let Some((_, pair, after)) = element(set) {
            set = after;
            if let Some((_, COMMON_NAME, value)) = element(pair)
                && let Some((_, text, _)) = element(value)
            {
                last = std::str::from_utf8(text).ok().map(str::to_owned);
            }
        }
    }
    last
}

fn extensions(explicit: &[u8], facts: &mut Facts) {
    /// The object identifier 2.5.29.17 (RFC 5280 section 4.2.1.6).
    const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
    let Some((_, mut all, _)) = element(explicit) else { return };
    while let Some((_, extension, after)) = element(all) {
        all = after;
        let Some((_, oid, mut fields)) = element(extension) else { continue };
        if oid != SUBJECT_ALT_NAME {
            continue;
        }
        // An optional `critical` precedes the value.
        while let Some((tag, content, after)) = element(fields) {
            fields = after;
            if tag == 0x04 {
                alt_names(content, facts);
            }
        }
    }
}

fn alt_names(value: &[u8], facts: &mut Facts) {
    let Some((_, mut names, _)) = element(value) else { return };
    while let Some((tag, content, after)) = element(names) {
        names = after;
        match tag {
            0x82 => facts.names.extend(std::str::from_utf8(content).ok().map(str::to_ascii_lowercase)),
            0x87 => {
                let v4 = <[u8; 4]>::try_from(content).map(IpAddr::from);
                facts.addresses.extend(v4.or_else(|_| <[u8; 16]>::try_from(content).map(IpAddr::from)));
            }
            _ => {}
        }
    }
}

/// `UTCTime` (years 1950–2049) or `GeneralizedTime`, both in UTC as RFC 5280 demands.
fn time(tag: u8, text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, rest) = match tag {
        0x17 => {
            let year: i64 = text.get(..2)?.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, text.get(2..)?)
        }
        _ => (text.get(..4)?.parse().ok()?, text.get(4..)?),
    };
    let two = |at: usize| -> Option<i64> { rest.get(at..at + 2)?.parse().ok() };
    let (month, day) = (two(0)?, two(2)?);
    // Days since 1970 (Hinnant's `days_from_civil`).
    let shifted = if month > 2 { year } else { year - 1 };
    let era = shifted.div_euclid(400);
    let of_era = shifted - era * 400;
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    Some(days * 86_400 + two(4)? * 3600 + two(6)? * 60 + two(8)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_addresses_and_both_ends_of_its_life_are_read() {
        let names = ["A.example.com", "*.b.test", "192.0.2.7", "2001:db8::1"].map(String::from).to_vec();
        let mut params = rcgen::CertificateParams::new(names).unwrap();
        params.not_before = rcgen::date_time_ymd(2030, 12, 27);
        params.not_after = rcgen::date_time_ymd(2031, 3, 1);
        let cert = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        let facts = facts(cert.der()).unwrap();
        assert_eq!(facts.names, ["a.example.com", "*.b.test"]);
        let addresses: Vec<IpAddr> = vec!["192.0.2.7".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        assert_eq!(facts.addresses, addresses);
        assert_eq!((facts.not_before, facts.not_after), (1_924_560_000, 1_930_089_600));
    }

    #[test]
    fn a_truncated_certificate_is_refused_wherever_it_is_cut() {
        let cert = rcgen::generate_simple_self_signed(vec!["a.test".into()]).unwrap();
        let der = cert.cert.der();
        for end in 0..der.len() {
            assert_eq!(facts(&der[..end]), None, "{end}");
        }
        assert_eq!(time(0x17, b"491231235959Z"), Some(2_524_607_999));
        assert_eq!(time(0x18, b"20500101000000Z"), Some(2_524_608_000));
    }
}
