//! An HTTP/2 client by hand, for frames that a library would not send.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use crate::{support::DataPlane, uploads::connect};

/// An HTTP/2 client that sends exactly the given frames, and never sends window updates.
pub(crate) struct H2c(pub(crate) TcpStream);

impl H2c {
    pub(crate) fn connect(plane: &DataPlane) -> Self {
        let mut client = Self(connect(plane));
        client.0.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
        client.send(4, 0, 0, &[]);
        client
    }

    pub(crate) fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.send_all(&[(kind, flags, stream, payload)]);
    }

    /// Frames in one segment.
    pub(crate) fn send_all(&mut self, frames: &[(u8, u8, u32, &[u8])]) {
        let mut all = Vec::new();
        for (kind, flags, stream, payload) in frames {
            all.extend(&u32::try_from(payload.len()).unwrap().to_be_bytes()[1..]);
            all.extend([kind, flags]);
            all.extend(stream.to_be_bytes());
            all.extend(*payload);
        }
        self.0.write_all(&all).unwrap();
    }

    /// A head; its fields are literals without indexing (RFC 7541 section 6.2.2).
    pub(crate) fn head(&mut self, stream: u32, ends: bool, fields: &[(&str, &str)]) {
        let mut block = Vec::new();
        for (name, value) in fields {
            for text in [name, value] {
                block.extend((text == name).then_some(0));
                block.push(u8::try_from(text.len()).unwrap());
                block.extend(text.as_bytes());
            }
        }
        self.send(1, 4 | u8::from(ends), stream, &block);
    }

    pub(crate) fn get(&mut self, stream: u32, path: &str) {
        let fields = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", path)];
        self.head(stream, true, &fields);
    }

    /// The pieces as one DATA frame each, the last of which ends the stream.
    pub(crate) fn post(&mut self, stream: u32, length: &str, pieces: &[&[u8]]) {
        let fields = [
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "/"),
            ("content-length", length),
        ];
        self.head(stream, false, &fields);
        for (nth, piece) in pieces.iter().enumerate() {
            // So that it is not there yet when what came before is looked at.
            std::thread::sleep(Duration::from_millis(30));
            self.send(0, u8::from(nth + 1 == pieces.len()), stream, piece);
        }
    }

    /// The next frame: type, stream, payload.
    pub(crate) fn frame(&mut self) -> (u8, u32, Vec<u8>) {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).unwrap();
        let [a, b, c, kind, _, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.0.read_exact(&mut payload).unwrap();
        (kind, u32::from_be_bytes(stream), payload)
    }

    /// The status on a stream: its field comes first, from the static table or with its digits.
    pub(crate) fn status(&mut self, stream: u32) -> String {
        loop {
            let (kind, on, block) = self.frame();
            assert_ne!((kind, on), (3, stream), "reset");
            if (kind, on) == (1, stream) {
                return match block[0] {
                    0x88 => "200".to_owned(),
                    0x8c => "400".to_owned(),
                    0x8d => "404".to_owned(),
                    0x8e => "500".to_owned(),
                    // A literal under the name ":status", perhaps in Huffman's code: three digits are two bytes then.
                    _ if block[1] & 0x80 == 0 => String::from_utf8_lossy(&block[2..5]).into_owned(),
                    _ => huffman_digits(&block[2..2 + usize::from(block[1] & 0x7f)]),
                };
            }
        }
    }
}

/// Digits in the code of RFC 7541, appendix B: "0" to "2" have five bits, the others six.
fn huffman_digits(bytes: &[u8]) -> String {
    let bits: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
    let (mut rest, mut text) = (bits.as_str(), String::new());
    while rest.len() >= 5 && text.len() < 3 {
        let five = u8::from_str_radix(&rest[..5], 2).unwrap();
        let (digit, length) = match five {
            0..=2 => (five, 5),
            _ => (u8::from_str_radix(&rest[..6], 2).unwrap() - 0b01_1001 + 3, 6),
        };
        text.push(char::from(b'0' + digit));
        rest = &rest[length..];
    }
    text
}
