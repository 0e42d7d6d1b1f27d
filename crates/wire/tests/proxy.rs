//! PROXY headers: what is read, what each malformed one is called, and that no division into reads changes either.
#![allow(
    unreachable_pub,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::net::SocketAddr;

use proptest::prelude::*;
use thalweg_wire::{
    ClientTls, LOCAL_HEADER, PROXY_V1_MAX, PROXY_V2_MAX, ProxyError as E, ProxyFields, ProxyHeader,
    ProxyReader, ProxyStart, ProxyStep, ServiceLink, write_proxy_header,
};

#[path = "../../../fuzz/src/wire.rs"]
#[expect(dead_code, reason = "the other promises have their own tests")]
mod fuzzed;

/// The header at the start of `input` and the bytes that it took.
fn read(input: &[u8]) -> Result<(ProxyHeader, usize), E> {
    match ProxyReader::default().read(input)? {
        ProxyStep::Header { consumed, header } => Ok((*header, consumed)),
        ProxyStep::More => panic!("{:?} is not whole", String::from_utf8_lossy(input)),
    }
}

fn tcp(source: &str, destination: &str) -> ProxyHeader {
    let address = |text: &str| Some(text.parse::<SocketAddr>().unwrap());
    ProxyHeader { source: address(source), destination: address(destination), ..ProxyHeader::default() }
}

/// A header of version 2 with this command and family.
fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let mut out = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    out.extend([0x20 | command, family]);
    out.extend(u16::try_from(block.len()).unwrap().to_be_bytes());
    out.extend(block);
    out
}

/// 192.0.2.1:80 to 198.51.100.1:443, and fields behind.
fn v4(fields: &[(u8, &[u8])]) -> Vec<u8> {
    let mut block = vec![192, 0, 2, 1, 198, 51, 100, 1, 0, 80, 1, 187];
    block.extend(tlvs(fields));
    v2(1, 0x11, &block)
}

fn tlvs(fields: &[(u8, &[u8])]) -> Vec<u8> {
    let field = |(kind, value): &(u8, &[u8])| {
        let length = u16::try_from(value.len()).unwrap().to_be_bytes();
        [&[*kind], &length[..], value].concat()
    };
    fields.iter().flat_map(field).collect()
}

/// Writes the right checksum into the last four bytes.
fn sealed(mut header: Vec<u8>) -> Vec<u8> {
    let at = header.len() - 4;
    header[at..].fill(0);
    let sum = header.iter().fold(!0_u32, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| sum >> 1 ^ if sum & 1 == 1 { 0x82f6_3b78 } else { 0 })
    });
    header[at..].copy_from_slice(&(!sum).to_be_bytes());
    header
}

#[test]
fn lines_of_version_1_are_read() {
    for (line, expected) in [
        ("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n", tcp("192.0.2.1:56324", "198.51.100.1:443")),
        ("PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n", tcp("0.0.0.0:0", "255.255.255.255:65535")),
        ("PROXY TCP6 2001:db8::1 ::1 1 2\r\n", tcp("[2001:db8::1]:1", "[::1]:2")),
        ("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", tcp("[::ffff:192.0.2.1]:1", "[::1]:2")),
        ("PROXY UNKNOWN\r\n", ProxyHeader::default()),
        ("PROXY UNKNOWN ffff:f...f:ffff anything 65535 65535\r\n", ProxyHeader::default()),
    ] {
        assert_eq!(read(line.as_bytes()), Ok((expected, line.len())), "{line}");
        let followed = format!("{line}GET / HTTP/1.1\r\n");
        assert_eq!(read(followed.as_bytes()).unwrap().1, line.len(), "{line}");
    }
}

#[test]
fn the_longest_line_is_read_and_one_byte_more_is_refused() {
    let line = |length: usize| format!("PROXY UNKNOWN {}\r\n", "a".repeat(length - 16));
    assert_eq!(read(line(PROXY_V1_MAX).as_bytes()).map(|(_, taken)| taken), Ok(PROXY_V1_MAX));
    assert_eq!(read(line(PROXY_V1_MAX + 1).as_bytes()), Err(E::LineTooLong));
    assert_eq!(read(&[b"PROXY ".as_slice(), &[b'a'; 200]].concat()), Err(E::LineTooLong));
}

#[test]
fn every_malformed_line_has_a_name() {
    for (line, expected) in [
        ("PROXY TCP4 192.0.2.1 198.51.100.1 1 2\n", E::LineEnd),
        ("PROXY TCP4\r192.0.2.1 198.51.100.1 1 2\r\n", E::LineEnd),
        ("PROXY TCP4 192.0.2.1 198.51.100.1 1 2\r\r\n", E::LineEnd),
        ("PROXY \r\n", E::LineProtocol),
        ("PROXY TCP\r\n", E::LineProtocol),
        ("PROXY tcp4 192.0.2.1 198.51.100.1 1 2\r\n", E::LineProtocol),
        ("PROXY UDP4 192.0.2.1 198.51.100.1 1 2\r\n", E::LineProtocol),
        ("PROXY  TCP4 192.0.2.1 198.51.100.1 1 2\r\n", E::LineProtocol),
        ("PROXY TCP4\r\n", E::LineWords),
        ("PROXY TCP4 192.0.2.1 198.51.100.1 1\r\n", E::LineWords),
        ("PROXY TCP4 192.0.2.1 198.51.100.1 1 2 3\r\n", E::LineWords),
        ("PROXY TCP4 192.0.2.1 198.51.100.1 1 2 \r\n", E::LineWords),
        ("PROXY TCP4 192.0.2.1  198.51.100.1 1 2\r\n", E::LineWords),
        ("PROXY TCP4 192.0.2 198.51.100.1 1 2\r\n", E::LineAddress),
        ("PROXY TCP4 192.0.2.256 198.51.100.1 1 2\r\n", E::LineAddress),
        ("PROXY TCP4 192.0.2.01 198.51.100.1 1 2\r\n", E::LineAddress),
        ("PROXY TCP4 2001:db8::1 198.51.100.1 1 2\r\n", E::LineAddress),
        ("PROXY TCP6 192.0.2.1 ::1 1 2\r\n", E::LineAddress),
        ("PROXY TCP6 [::1] ::1 1 2\r\n", E::LineAddress),
        ("PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", E::LineAddress),
        ("PROXY TCP4 192.0.2.1\t198.51.100.1 1 2\r\n", E::LineWords),
        ("PROXY TCP4 192.0.2.1 198.51.100.1 65536 2\r\n", E::LinePort),
        ("PROXY TCP4 192.0.2.1 198.51.100.1 1 +2\r\n", E::LinePort),
        ("PROXY TCP4 192.0.2.1 198.51.100.1 -1 2\r\n", E::LinePort),
        ("PROXY TCP4 192.0.2.1 198.51.100.1 01 2\r\n", E::LinePort),
        ("PROXY TCP4 192.0.2.1 198.51.100.1 1 0x2\r\n", E::LinePort),
        ("PROXX TCP4 192.0.2.1 198.51.100.1 1 2\r\n", E::Missing),
        ("proxy TCP4 192.0.2.1 198.51.100.1 1 2\r\n", E::Missing),
        ("GET / HTTP/1.1\r\n", E::Missing),
    ] {
        assert_eq!(read(line.as_bytes()), Err(expected), "{line:?}");
    }
    assert_eq!(read(b"PROXY TCP4 192.0.2.1 198.51.100.1 1 \xb2\r\n"), Err(E::LineWords));
    assert_eq!(read(b"PROXY TCP4 192.0.2.1 198.51.100.1 1 \0\r\n"), Err(E::LinePort));
}

#[test]
fn addresses_of_version_2_are_read() {
    let v6 =
        [&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1][..], &[0; 15], &[1, 0, 1, 0, 2]].concat();
    for (header, expected) in [
        (v4(&[]), tcp("192.0.2.1:80", "198.51.100.1:443")),
        (v2(1, 0x21, &v6), tcp("[2001:db8::1]:1", "[::1]:2")),
        (v2(1, 0x31, &[7; 216]), ProxyHeader::default()),
        (v2(1, 0x00, &[]), ProxyHeader::default()),
        (v2(1, 0x00, &[9; 40]), ProxyHeader::default()),
        (v2(0, 0x00, &[]), ProxyHeader::default()),
        (v2(0, 0x11, &[9; 12]), ProxyHeader::default()),
        (v2(0, 0xff, &[9; 3]), ProxyHeader::default()),
        (LOCAL_HEADER.to_vec(), ProxyHeader::default()),
    ] {
        assert_eq!(read(&header), Ok((expected, header.len())), "{header:?}");
    }
}

#[test]
fn known_fields_are_kept_and_others_are_skipped() {
    let ssl =
        [&[7, 0, 0, 0, 0][..], &tlvs(&[(0x21, b"TLSv1.3"), (0x22, b"client"), (0x23, b"AES")])].concat();
    let header = sealed(v4(&[
        (0x01, b"h2"),
        (0x02, b"a.test"),
        (0x04, b"noop"),
        (0x04, b""),
        (0x05, b"\x01id"),
        (0x20, &ssl),
        (0x30, b"netns"),
        (0xea, b"\x01vpce-08d2bf15fac5001c9"),
        (0xea, b"\x7funknown"),
        (0xf0, b"private"),
        (0x03, &[0; 4]),
    ]));
    let fields = ProxyFields {
        alpn: Some(b"h2".as_slice().into()),
        authority: Some("a.test".into()),
        unique_id: Some(b"\x01id".as_slice().into()),
        tls: Some(ClientTls {
            is_tls: true,
            is_verified: true,
            version: Some("TLSv1.3".into()),
            common_name: Some("client".into()),
        }),
        link: Some(ServiceLink::AwsVpcEndpoint("vpce-08d2bf15fac5001c9".into())),
    };
    assert_eq!(read(&header).map(|(header, _)| header.fields), Ok(fields));
    for (field, expected) in [
        ((0xe0, &[0, 0, 0, 1, 0, 0, 0, 2][..]), ServiceLink::GooglePsc(0x1_0000_0002)),
        ((0xee, &[1, 4, 3, 2, 1]), ServiceLink::AzureLink(0x0102_0304)),
    ] {
        assert_eq!(read(&v4(&[field])).unwrap().0.fields.link, Some(expected));
    }
    for (flags, verify, expected) in
        [(1, [0, 0, 0, 1], (true, false)), (0, [0; 4], (false, false)), (3, [0; 4], (true, true))]
    {
        let ssl = [&[flags][..], &verify].concat();
        let tls = read(&v4(&[(0x20, &ssl)])).unwrap().0.fields.tls.unwrap();
        assert_eq!((tls.is_tls, tls.is_verified), expected, "{flags} {verify:?}");
    }
}

#[test]
fn every_malformed_header_of_version_2_has_a_name() {
    let twice = |kind: u8, value: &'static [u8]| v4(&[(kind, value), (kind, value)]);
    let mut other_version = v4(&[]);
    other_version[12] = 0x31;
    let summed = sealed(v4(&[(0x02, b"a.test"), (0x03, &[0; 4])]));
    let mut changed = summed.clone();
    changed[20] ^= 1;
    let mut summed_twice = summed.clone();
    summed_twice[15] += 7;
    summed_twice.extend(tlvs(&[(0x03, &[0; 4])]));
    let mut no_newline = v4(&[]);
    no_newline[11] = b'\r';
    let mut past_the_end = v4(&[(0x02, b"a.test")]);
    past_the_end[30] += 1;
    for (header, expected) in [
        (other_version, E::Version),
        (v2(2, 0x11, &[0; 12]), E::Command),
        (v2(15, 0, &[]), E::Command),
        (v2(1, 0x12, &[0; 12]), E::Family),
        (v2(1, 0x22, &[0; 36]), E::Family),
        (v2(1, 0x10, &[0; 12]), E::Family),
        (v2(1, 0x41, &[0; 12]), E::Family),
        (v2(1, 0x11, &[0; 11]), E::TooShort),
        (v2(1, 0x21, &[0; 35]), E::TooShort),
        (v2(1, 0x31, &[0; 215]), E::TooShort),
        (v2(1, 0x11, &[0; PROXY_V2_MAX - 15]), E::TooLong),
        (v2(0, 0x00, &[0; 65_535]), E::TooLong),
        (v2(1, 0x11, &[0; 13]), E::Field),
        (v2(1, 0x11, &[0; 14]), E::Field),
        (past_the_end, E::Field),
        (v4(&[(0x02, b"a\nb")]), E::Field),
        (v4(&[(0x02, b"\xff")]), E::Field),
        (v4(&[(0x02, &[b'a'; 256])]), E::Field),
        (v4(&[(0x05, &[b'a'; 129])]), E::Field),
        (v4(&[(0x20, &[1, 0, 0, 0])]), E::Field),
        (v4(&[(0x20, &[1, 0, 0, 0, 0, 0x21, 0, 9, b'T'])]), E::Field),
        (v4(&[(0x03, &[0; 3])]), E::Field),
        (v4(&[(0xe0, &[0; 7])]), E::Field),
        (v4(&[(0xee, &[1, 0, 0])]), E::Field),
        (twice(0x01, b"h2"), E::FieldRepeated),
        (twice(0x02, b"a.test"), E::FieldRepeated),
        (twice(0x05, b"id"), E::FieldRepeated),
        (twice(0x20, &[0; 5]), E::FieldRepeated),
        (twice(0xe0, &[0; 8]), E::FieldRepeated),
        (v4(&[(0x03, b"abcd")]), E::Checksum),
        (changed, E::Checksum),
        (summed_twice, E::Checksum),
        (no_newline, E::Missing),
    ] {
        assert_eq!(read(&header), Err(expected), "{header:?}");
    }
    assert!(read(&summed).is_ok());
    assert!(read(&v2(0, 0, &[0; PROXY_V2_MAX - 16])).is_ok(), "the longest");
}

#[test]
fn what_is_written_is_read_back() {
    for (source, destination, source_read, destination_read) in [
        ("192.0.2.1:1", "198.51.100.1:2", "192.0.2.1:1", "198.51.100.1:2"),
        ("[2001:db8::1]:1", "[::1]:2", "[2001:db8::1]:1", "[::1]:2"),
        ("[::ffff:192.0.2.1]:1", "198.51.100.1:2", "192.0.2.1:1", "198.51.100.1:2"),
        ("[2001:db8::1]:1", "198.51.100.1:2", "[2001:db8::1]:1", "[::ffff:198.51.100.1]:2"),
    ] {
        let mut out = Vec::new();
        write_proxy_header(&mut out, source.parse().unwrap(), destination.parse().unwrap());
        assert_eq!(read(&out), Ok((tcp(source_read, destination_read), out.len())), "{source} {destination}");
    }
}

#[test]
fn the_first_bytes_tell_whether_a_header_follows() {
    for (bytes, expected) in [
        (&b""[..], ProxyStart::Undecided),
        (b"PROXY", ProxyStart::Undecided),
        (b"PROXY ", ProxyStart::Header),
        (b"PROPFIND / HT", ProxyStart::Other),
        (b"PRI * HTTP/2", ProxyStart::Other),
        (b"\r\n", ProxyStart::Undecided),
        (b"\r\nGET / HTTP", ProxyStart::Other),
        (b"\r\n\r\n\0\r\nQUIT\n", ProxyStart::Header),
        (b"\x16\x03\x01", ProxyStart::Other),
    ] {
        assert_eq!(ProxyStart::of(bytes), expected, "{bytes:?}");
    }
}

#[test]
fn every_spelling_is_its_own() {
    let mut spellings: Vec<&str> = E::ALL.iter().map(|error| error.as_str()).collect();
    spellings.sort_unstable();
    spellings.dedup();
    assert_eq!(spellings.len(), E::ALL.len());
}

/// Headers as balancers send them, some with a few bytes changed, and bytes of any kind.
fn input() -> impl Strategy<Value = Vec<u8>> {
    let field = (any::<u8>(), proptest::collection::vec(any::<u8>(), 0..12));
    let known =
        prop_oneof![Just(1_u8), Just(2), Just(3), Just(4), Just(5), Just(0x20), Just(0xe0), Just(0xea)];
    let field =
        (known, field).prop_map(|(known, (kind, value))| (if kind < 200 { known } else { kind }, value));
    let v2s = (proptest::collection::vec(field, 0..6), any::<bool>()).prop_map(|(fields, seals)| {
        let mut fields: Vec<(u8, &[u8])> = fields.iter().map(|(kind, value)| (*kind, &value[..])).collect();
        if seals {
            fields.push((3, &[0; 4]));
            return sealed(v4(&fields));
        }
        v4(&fields)
    });
    let v1s = "PROXY (TCP4|TCP6|UNKNOWN|x) [0-9a-f.:]{1,15} [0-9.:]{1,40} [0-9]{1,6} [0-9]{1,6}\r?\n.{0,20}";
    let changed = (prop_oneof![v2s, v1s.prop_map(String::into_bytes)], any::<Vec<(u16, u8)>>(), 0..8_usize)
        .prop_map(|(mut bytes, changes, count)| {
            for (at, byte) in changes.into_iter().take(count.saturating_sub(5)) {
                let at = usize::from(at) % bytes.len();
                bytes[at] = byte;
            }
            bytes
        });
    prop_oneof![4 => changed, 1 => any::<Vec<u8>>()]
}

proptest! {
    #[test]
    fn no_division_into_reads_changes_a_header(input in input(), ends in any::<[u8; 2]>()) {
        fuzzed::proxy_headers(&[&ends, &input[..]].concat());
    }
}
