//! Distinguished names as text (RFC 4514): what `openssl x509 -subject -nameopt RFC2253` prints, but with letters outside
//! ASCII left as they are. Reads DER, and compares no names.

use std::fmt::Write;

use crate::shared::x509::element;

/// Short names of attribute types (RFC 4514 section 3), and of those that OpenSSL names besides.
const SHORT: [(&[u8], &str); 13] = [
    (&[0x55, 0x04, 0x03], "CN"),
    (&[0x55, 0x04, 0x04], "SN"),
    (&[0x55, 0x04, 0x05], "serialNumber"),
    (&[0x55, 0x04, 0x06], "C"),
    (&[0x55, 0x04, 0x07], "L"),
    (&[0x55, 0x04, 0x08], "ST"),
    (&[0x55, 0x04, 0x09], "street"),
    (&[0x55, 0x04, 0x0a], "O"),
    (&[0x55, 0x04, 0x0b], "OU"),
    (&[0x55, 0x04, 0x2a], "GN"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x01], "UID"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x19], "DC"),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x01], "emailAddress"),
];

/// Relative distinguished names as text, the last one first.
#[must_use]
pub fn written(mut names: &[u8]) -> String {
    let mut parts = Vec::new();
    while let Some((_, mut set, after)) = element(names) {
        names = after;
        let mut part = String::new();
        while let Some((_, pair, after)) = element(set) {
            set = after;
            if !part.is_empty() {
                part.push('+');
            }
            write_pair(&mut part, pair);
        }
        parts.push(part);
    }
    parts.reverse();
    parts.join(",")
}

fn write_pair(out: &mut String, pair: &[u8]) {
    let Some((_, oid, value)) = element(pair) else { return };
    match SHORT.iter().find(|(known, _)| *known == oid) {
        Some((_, name)) => out.push_str(name),
        None => out.push_str(&dotted(oid)),
    }
    out.push('=');
    let known = SHORT.iter().any(|(known, _)| *known == oid);
    match element(value).and_then(|(tag, content, _)| text(tag, content)).filter(|_| known) {
        Some(text) => escape(out, &text),
        // The value in DER (RFC 4514 section 2.4).
        None => {
            out.push('#');
            for byte in value {
                // Writing to a String cannot fail.
                let _ = write!(out, "{byte:02X}");
            }
        }
    }
}

/// The text of a string type.
fn text(tag: u8, content: &[u8]) -> Option<String> {
    match tag {
        // UTF8String, NumericString, PrintableString, IA5String, VisibleString.
        0x0c | 0x12 | 0x13 | 0x16 | 0x1a => String::from_utf8(content.to_vec()).ok(),
        // TeletexString is read as Latin-1, as OpenSSL does.
        0x14 => Some(content.iter().map(|byte| char::from(*byte)).collect()),
        // BMPString.
        0x1e => {
            let units: Vec<u16> = content
                .chunks_exact(2)
                .filter_map(|pair| pair.try_into().ok())
                .map(u16::from_be_bytes)
                .collect();
            String::from_utf16(&units).ok()
        }
        _ => None,
    }
}

/// RFC 4514 section 2.4. Control characters are escaped too, so that no value breaks a line of a log.
fn escape(out: &mut String, value: &str) {
    let last = value.chars().count().saturating_sub(1);
    for (nth, letter) in value.chars().enumerate() {
        match letter {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => out.extend(['\\', letter]),
            '#' if nth == 0 => out.push_str("\\#"),
            ' ' if nth == 0 || nth == last => out.push_str("\\ "),
            letter if letter.is_control() => {
                let mut bytes = [0; 4];
                for byte in letter.encode_utf8(&mut bytes).bytes() {
                    let _ = write!(out, "\\{byte:02X}");
                }
            }
            letter => out.push(letter),
        }
    }
}

/// An object identifier with dots.
fn dotted(oid: &[u8]) -> String {
    let (mut arcs, mut arc) = (Vec::<u64>::new(), 0_u64);
    for byte in oid {
        arc = arc << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            arcs.push(std::mem::take(&mut arc));
        }
    }
    let Some((first, rest)) = arcs.split_first() else { return String::new() };
    let top = (first / 40).min(2);
    let mut all = vec![top, first - top * 40];
    all.extend(rest);
    all.iter().map(u64::to_string).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
        [&[tag, u8::try_from(content.len()).unwrap()], content].concat()
    }

    fn pair(oid: &[u8], tag: u8, value: &[u8]) -> Vec<u8> {
        tlv(0x30, &[tlv(6, oid), tlv(tag, value)].concat())
    }

    #[test]
    fn names_are_written_as_rfc_4514_says() {
        const CN: &[u8] = &[0x55, 0x04, 0x03];
        const O: &[u8] = &[0x55, 0x04, 0x0a];
        let one = |oid, tag, value: &[u8]| tlv(0x31, &pair(oid, tag, value));
        for (names, expected) in [
            (vec![], ""),
            (one(CN, 0x0c, b"a"), "CN=a"),
            ([one(O, 0x13, b"B"), one(CN, 0x0c, b"a")].concat(), "CN=a,O=B"),
            (tlv(0x31, &[pair(CN, 0x0c, b"a"), pair(O, 0x0c, b"b")].concat()), "CN=a+O=b"),
            (one(CN, 0x0c, b" #a,+;<>\"\\ "), "CN=\\ #a\\,\\+\\;\\<\\>\\\"\\\\\\ "),
            (one(CN, 0x0c, b"#a\n"), "CN=\\#a\\0A"),
            (one(CN, 0x14, &[0xe9]), "CN=é"),
            (one(CN, 0x1e, &[0, 0x41, 0x20, 0xac]), "CN=A€"),
            (one(CN, 0x0c, &[0xff]), "CN=#0C01FF"),
            (one(&[0x2a, 0x86, 0x48, 0x03], 0x0c, b"x"), "1.2.840.3=#0C0178"),
            (one(&[0x88, 0x37], 0x0c, b"x"), "2.999=#0C0178"),
        ] {
            assert_eq!(written(&names), expected);
        }
    }

    #[test]
    fn damaged_names_end_and_panic_nowhere() {
        let whole = tlv(0x31, &pair(&[0x55, 0x04, 0x03], 0x0c, b"abc"));
        for end in 0..whole.len() {
            let _ = written(&whole[..end]);
        }
    }
}
