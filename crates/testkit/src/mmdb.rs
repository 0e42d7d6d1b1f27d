//! Writes geo databases in MaxMind's format (version 2.0), as much of it as a country and a continent need.
//! Never reads one: the edge's own reader checks the result.

use std::net::IpAddr;

/// Bits of an address in the tree: IPv4 networks lie under `::/96`.
const BITS: u8 = 128;
/// The marker in front of the metadata.
const MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";
/// The separator between the tree and the data.
const GAP: [u8; 16] = [0; 16];

/// What one half of a node leads to.
#[derive(Clone, Copy)]
enum Record {
    Empty,
    Node(usize),
    /// An offset in the data.
    Data(usize),
}

/// A database of networks, each with a country and a continent; either may be empty. A later network counts for more than
/// an earlier one that it is part of. `built` is in seconds since 1970.
pub fn mmdb(networks: &[(&str, &str, &str)], built: u64) -> Vec<u8> {
    let mut nodes = vec![[Record::Empty; 2]];
    let mut data = Vec::new();
    for (network, country, continent) in networks {
        let (bits, length) = parsed(network);
        let at = data.len();
        place(&mut data, country, continent);
        insert(&mut nodes, bits, length, at);
    }
    let count = nodes.len();
    let number = |record: &Record| match record {
        Record::Empty => count,
        Record::Node(node) => *node,
        Record::Data(at) => count + GAP.len() + at,
    };
    let mut file = Vec::new();
    for record in nodes.iter().flatten() {
        file.extend(u32::try_from(number(record)).expect("a small tree").to_be_bytes());
    }
    file.extend(GAP);
    file.extend(data);
    file.extend(MARKER);
    metadata(&mut file, count, built);
    file
}

/// The address in the tree, and how many of its bits count.
fn parsed(network: &str) -> (u128, u8) {
    let (address, length) = network.split_once('/').expect("a network");
    let length: u8 = length.parse().expect("a length");
    match address.parse().expect("an address") {
        IpAddr::V4(address) => (u128::from(address.to_bits()), 96 + length),
        IpAddr::V6(address) => (address.to_bits(), length),
    }
}

fn insert(nodes: &mut Vec<[Record; 2]>, bits: u128, length: u8, data: usize) {
    let mut node = 0;
    for depth in 0..length {
        let side = usize::from(bits >> (BITS - 1 - depth) & 1 == 1);
        if depth + 1 == length {
            nodes[node][side] = Record::Data(data);
            return;
        }
        node = match nodes[node][side] {
            Record::Node(next) => next,
            // The rest of the wider network keeps its record.
            other => {
                nodes.push([other; 2]);
                let next = nodes.len() - 1;
                nodes[node][side] = Record::Node(next);
                next
            }
        };
    }
}

/// A record like those of GeoLite2-Country: names in eight languages stand beside what is asked for.
fn place(data: &mut Vec<u8>, country: &str, continent: &str) {
    let known = [("continent", "code", continent), ("country", "iso_code", country)];
    let known: Vec<_> = known.into_iter().filter(|(.., code)| !code.is_empty()).collect();
    map(data, known.len());
    for (what, key, code) in known {
        text(data, what);
        map(data, 3);
        text(data, "geoname_id");
        number(data, UINT32, 6_255_148);
        text(data, key);
        text(data, code);
        text(data, "names");
        map(data, LANGUAGES.len());
        for language in LANGUAGES {
            text(data, language);
            text(data, "A name of middling length");
        }
    }
}

const LANGUAGES: [&str; 8] = ["de", "en", "es", "fr", "ja", "pt-BR", "ru", "zh-CN"];

fn metadata(file: &mut Vec<u8>, count: usize, built: u64) {
    map(file, 9);
    let numbers = [
        ("binary_format_major_version", UINT16, 2),
        ("binary_format_minor_version", UINT16, 0),
        ("build_epoch", UINT64, built),
        ("ip_version", UINT16, 6),
        ("node_count", UINT32, count as u64),
        ("record_size", UINT16, 32),
    ];
    for (name, kind, value) in numbers {
        text(file, name);
        number(file, kind, value);
    }
    text(file, "database_type");
    text(file, "Test-Country");
    text(file, "description");
    map(file, 0);
    text(file, "languages");
    // An empty array: its type is beyond the seven of the first byte.
    file.extend([0, 11 - 7]);
}

const UINT16: u8 = 5;
const UINT32: u8 = 6;
const UINT64: u8 = 9;

fn map(out: &mut Vec<u8>, pairs: usize) {
    out.push(7 << 5 | pairs as u8);
}

fn text(out: &mut Vec<u8>, text: &str) {
    assert!(text.len() < 29, "a longer text has its length behind the first byte");
    out.push(2 << 5 | text.len() as u8);
    out.extend(text.as_bytes());
}

fn number(out: &mut Vec<u8>, kind: u8, value: u64) {
    let bytes = value.to_be_bytes();
    let bytes = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
    if kind <= 7 {
        out.push(kind << 5 | bytes.len() as u8);
    } else {
        out.extend([bytes.len() as u8, kind - 7]);
    }
    out.extend(bytes);
}
