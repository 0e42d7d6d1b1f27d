//! ClientHellos: which name they ask for, what each malformed one is called, and that no division into reads changes
//! either.
#![allow(
    unreachable_pub,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use proptest::prelude::*;
use thalweg_wire::{ClientHello, ClientHelloReader, HELLO_MAX, HelloError as E, HelloStep};

#[path = "../../../fuzz/src/wire.rs"]
#[expect(dead_code, reason = "the other promises have their own tests")]
mod fuzzed;

fn read(input: &[u8]) -> Result<HelloStep, E> {
    ClientHelloReader::default().read(input)
}

fn named(name: Option<&str>) -> Result<HelloStep, E> {
    Ok(HelloStep::Hello(ClientHello { server_name: name.map(Into::into) }))
}

/// Bytes with their length in front, in one byte or two.
fn short(bytes: &[u8]) -> Vec<u8> {
    [&[u8::try_from(bytes.len()).unwrap()], bytes].concat()
}

fn long(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &long(content)].concat()
}

fn server_name(name: &[u8]) -> Vec<u8> {
    extension(0, &long(&[&[0][..], &long(name)].concat()))
}

/// The parts of a message, to be changed by a table.
struct Parts {
    version: [u8; 2],
    session: Vec<u8>,
    suites: Vec<u8>,
    methods: Vec<u8>,
    extensions: Option<Vec<u8>>,
    behind: Vec<u8>,
}

impl Parts {
    fn new(extensions: Vec<u8>) -> Self {
        Self {
            version: [3, 3],
            session: vec![7; 32],
            suites: vec![0x13, 1, 0x13, 2],
            methods: vec![0],
            extensions: Some(extensions),
            behind: Vec::new(),
        }
    }

    fn message(&self) -> Vec<u8> {
        let mut body = [&self.version[..], &[9; 32]].concat();
        body.extend(short(&self.session));
        body.extend(long(&self.suites));
        body.extend(short(&self.methods));
        body.extend(self.extensions.as_deref().map(long).unwrap_or_default());
        body.extend(&self.behind);
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        [&[1], &length[1..], &body].concat()
    }
}

fn record(content: &[u8]) -> Vec<u8> {
    [&[22, 3, 1][..], &long(content)].concat()
}

fn hello(extensions: Vec<u8>) -> Vec<u8> {
    record(&Parts::new(extensions).message())
}

#[test]
fn the_name_is_read_in_the_form_in_which_hosts_are_matched() {
    let other = extension(10, b"\0\x02\0\x1d");
    for (extensions, expected) in [
        (server_name(b"a.test"), Some("a.test")),
        (server_name(b"A.Test."), Some("a.test")),
        (server_name(b"_sip.a-b.test"), Some("_sip.a-b.test")),
        (server_name(b"192.0.2.1"), Some("192.0.2.1")),
        ([other.clone(), server_name(b"a.test"), extension(0x2a2a, b"")].concat(), Some("a.test")),
        (server_name(&[b'a'; 255]), Some(&*"a".repeat(255))),
        (other, None),
        (Vec::new(), None),
    ] {
        assert_eq!(read(&hello(extensions.clone())), named(expected), "{extensions:?}");
    }
    let old = Parts { extensions: None, version: [3, 1], session: Vec::new(), ..Parts::new(Vec::new()) };
    assert_eq!(read(&record(&old.message())), named(None), "no extensions at all");
}

#[test]
fn what_is_no_client_hello_is_told_by_its_first_bytes() {
    for bytes in [
        &b"GET / HTTP/1.1"[..],
        b"\0",
        b"\x80\x2e\x01\x03\x01",
        b"\x16\x02",
        b"\x16\x03\x01\0\x02\x02",
        b"\x15\x03\x01\0\x02\x01\0",
    ] {
        assert_eq!(read(bytes), Ok(HelloStep::Other), "{bytes:?}");
    }
    for bytes in [&b""[..], b"\x16", b"\x16\x03\x03", b"\x16\x03\x01\0\x02", b"\x16\x03\x01\0\x02\x01"] {
        assert_eq!(read(bytes), Ok(HelloStep::More), "{bytes:?}");
    }
}

#[test]
fn each_malformed_hello_has_its_name() {
    let good = || Parts::new(server_name(b"a.test"));
    let name = |bytes: &[u8]| hello(server_name(bytes));
    let two = [server_name(b"a.test"), server_name(b"b.test")].concat();
    let list = |content: &[u8]| hello(extension(0, content));
    let cut = good().message();
    for (bytes, expected) in [
        (record(b""), E::EmptyRecord),
        (b"\x16\x03\x01\x40\x01".to_vec(), E::RecordLength),
        (b"\x16\x03\x01\x40\0\x01\0\x3f\xfd".to_vec(), E::TooLong),
        (b"\x16\x03\x01\x40\0\x01\xff\xff\xff".to_vec(), E::TooLong),
        ([record(&cut[..50]), b"\x15\x03".to_vec()].concat(), E::Interleaved),
        ([record(&cut[..50]), b"\x16\x02".to_vec()].concat(), E::Interleaved),
        (record(b"\x01\0\0\0"), E::Length),
        (record(&Parts { version: [2, 0], ..good() }.message()), E::Version),
        (record(&Parts { session: vec![0; 33], ..good() }.message()), E::Length),
        (record(&Parts { suites: Vec::new(), ..good() }.message()), E::Suites),
        (record(&Parts { suites: vec![1; 3], ..good() }.message()), E::Suites),
        (record(&Parts { methods: Vec::new(), ..good() }.message()), E::Suites),
        (record(&Parts { behind: vec![0], ..good() }.message()), E::Length),
        (hello(b"\0\0\0\x05".to_vec()), E::Length),
        (hello(b"\0\x0a\0".to_vec()), E::Length),
        (hello(two), E::Repeated),
        (list(b""), E::Length),
        (list(b"\0\0"), E::NameList),
        (list(b"\0\x04\x01\0\x01a"), E::NameList),
        (list(b"\0\x08\0\0\x01a\0\0\x01b"), E::NameList),
        (list(b"\0\x04\0\0\x01a\0"), E::Length),
        (list(b"\0\x04\0\0\x02a"), E::Length),
        (name(b""), E::Name),
        (name(b"."), E::Name),
        (name(b"a b"), E::Name),
        (name(b"a\0.test"), E::Name),
        (name("ä.test".as_bytes()), E::Name),
        (name(b"\xff"), E::Name),
        (name(b"::1"), E::Name),
        (name(&[b'a'; 256]), E::Name),
    ] {
        assert_eq!(read(&bytes), Err(expected), "{bytes:?}");
    }
    // The rest of the list: what only the end of the connection tells.
    assert!(E::ALL.contains(&E::Broken));
    let spellings: std::collections::BTreeSet<&str> = E::ALL.iter().map(|error| error.as_str()).collect();
    assert_eq!(spellings.len(), E::ALL.len());
}

#[test]
fn a_hello_of_sixteen_kilobytes_is_read_and_a_longer_one_is_not() {
    let padded = |bytes: usize| {
        let bare = hello([server_name(b"a.test"), extension(21, b"")].concat()).len();
        hello([server_name(b"a.test"), extension(21, &vec![0; bytes - bare])].concat())
    };
    assert_eq!(padded(HELLO_MAX).len(), HELLO_MAX);
    assert_eq!(read(&padded(HELLO_MAX)), named(Some("a.test")));
    assert_eq!(read(&padded(HELLO_MAX + 1)), Err(E::TooLong));
    // Heads of records count: a hello in many small records ends as well.
    let message = Parts::new([server_name(b"a.test"), extension(21, &[0; 4000])].concat()).message();
    let tiny: Vec<u8> = message.iter().flat_map(|byte| record(&[*byte])).collect();
    assert_eq!(read(&tiny), Err(E::TooLong));
}

proptest! {
    #[test]
    fn no_division_into_records_or_reads_changes_the_name(
        cuts in proptest::collection::vec(1_usize..80, 1..8),
        reads in proptest::collection::vec(1_usize..90, 1..12),
        name in "[a-z0-9_-]{1,20}(\\.[a-z0-9]{1,9}){0,3}",
        before in 0_usize..40,
    ) {
        let other = extension(21, &vec![0; before]);
        let message = Parts::new([other, server_name(name.as_bytes())].concat()).message();
        let (mut wire, mut rest) = (Vec::new(), &message[..]);
        for cut in cuts.iter().cycle() {
            let (part, more) = rest.split_at((*cut).min(rest.len()));
            wire.extend(record(part));
            rest = more;
            if rest.is_empty() {
                break;
            }
        }
        let whole = wire.len();
        wire.extend(b"\x14\x03\x03\0\x01\x01 and more");
        let (mut reader, mut at) = (ClientHelloReader::default(), 0);
        let step = loop {
            let end = wire.len().min(at + reads[at % reads.len()]);
            match reader.read(&wire[at..end]) {
                Ok(HelloStep::More) => at = end,
                step => break step,
            }
            prop_assert!(at < whole);
        };
        prop_assert_eq!(step, named(Some(&name)));
    }

    #[test]
    fn any_bytes_keep_the_promises(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), at in 0_usize..200, changed in any::<u8>()) {
        fuzzed::client_hellos(&bytes);
        let good = hello([server_name(b"a.test"), extension(10, b"\0\x02\0\x1d")].concat());
        bytes.truncate(2);
        bytes.resize(2, 3);
        bytes.extend(good);
        let place = 2 + at % (bytes.len() - 2);
        bytes[place] = changed;
        fuzzed::client_hellos(&bytes);
    }
}
