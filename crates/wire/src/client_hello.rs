//! The beginning of a TLS connection, read for the name that the client asks for (SNI), without ending TLS: which records
//! make up the ClientHello, and what its extension `server_name` says. A reader without I/O. Never decides where a
//! connection goes, and never changes or keeps a byte for anyone else.
//!
//! Source: RFC 8446 sections 4.1.2, 4.2 and 5.1, RFC 6066 section 3.
//!
//! Why not a TLS library's acceptor: it refuses what it cannot speak itself (versions, cipher suites), and the endpoint is
//! the one that must speak it. Why so strict: a server that understands another name than this reader would serve a
//! client that was steered for someone else.

mod error;
mod message;

pub use error::HelloError;

/// The most bytes of a connection that are read for its ClientHello, heads of records included. Servers bound it alike.
pub const HELLO_MAX: usize = 16 * 1024;

/// The content type `handshake` of a record.
const HANDSHAKE: u8 = 22;
/// The first byte of every version since SSL 3.0, in records and messages.
const MAJOR: u8 = 3;
/// The message type `client_hello`.
const CLIENT_HELLO: u8 = 1;
/// The length of a record's head.
const RECORD_HEAD: usize = 5;
/// The most bytes in one record (RFC 8446 section 5.1).
const RECORD_MAX: usize = 16 * 1024;
/// The length of a message's head.
const MESSAGE_HEAD: usize = 4;

/// What a read came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HelloStep {
    /// More bytes are needed.
    More,
    /// The connection does not begin with a ClientHello.
    Other,
    /// The ClientHello is whole.
    Hello(ClientHello),
}

/// What a ClientHello says, as far as steering asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientHello {
    /// The name that the client asks for, in lower case and without a final dot.
    pub server_name: Option<Box<str>>,
}

/// Reads the ClientHello at the beginning of a connection over any number of reads. Holds [`HELLO_MAX`] bytes at most.
#[derive(Debug, Default)]
pub struct ClientHelloReader {
    /// The head of the present record, as far as it is known.
    head: [u8; RECORD_HEAD],
    head_len: usize,
    /// Bytes of the present record that are still to come.
    left: usize,
    /// The message without the heads of its records.
    message: Vec<u8>,
    /// Bytes that were read.
    read: usize,
}

impl ClientHelloReader {
    /// Takes the next bytes. After any other result than [`HelloStep::More`] the reader is of no more use.
    ///
    /// # Errors
    /// The rule that the ClientHello breaks. The connection is to be closed.
    pub fn read(&mut self, mut input: &[u8]) -> Result<HelloStep, HelloError> {
        while let Some(first) = input.first() {
            if self.read >= HELLO_MAX {
                return Err(HelloError::TooLong);
            }
            if self.left == 0 {
                if !self.head_byte(*first)? {
                    return Ok(HelloStep::Other);
                }
                self.read += 1;
                input = input.get(1..).unwrap_or_default();
                continue;
            }
            if self.message.is_empty() && *first != CLIENT_HELLO {
                return Ok(HelloStep::Other);
            }
            let most = self.wanted().min(self.left).min(HELLO_MAX - self.read).min(input.len());
            let (taken, rest) = input.split_at(most);
            self.message.extend_from_slice(taken);
            (self.left, self.read, input) = (self.left - most, self.read + most, rest);
            if self.message.len() >= MESSAGE_HEAD {
                let whole = self.length();
                if whole > HELLO_MAX {
                    return Err(HelloError::TooLong);
                }
                if self.message.len() == whole {
                    let body = self.message.get(MESSAGE_HEAD..).unwrap_or_default();
                    return message::client_hello(body).map(HelloStep::Hello);
                }
            }
        }
        Ok(HelloStep::More)
    }

    /// Takes one byte of a record's head; `false` = the connection does not begin as TLS does.
    fn head_byte(&mut self, byte: u8) -> Result<bool, HelloError> {
        let wanted = match self.head_len {
            0 => Some(HANDSHAKE),
            1 => Some(MAJOR),
            _ => None,
        };
        if wanted.is_some_and(|wanted| wanted != byte) {
            return if self.message.is_empty() { Ok(false) } else { Err(HelloError::Interleaved) };
        }
        if let Some(place) = self.head.get_mut(self.head_len) {
            *place = byte;
        }
        self.head_len += 1;
        if self.head_len == RECORD_HEAD {
            let [.., high, low] = self.head;
            self.head_len = 0;
            self.left = usize::from(u16::from_be_bytes([high, low]));
            if self.left == 0 {
                return Err(HelloError::EmptyRecord);
            }
            if self.left > RECORD_MAX {
                return Err(HelloError::RecordLength);
            }
        }
        Ok(true)
    }

    /// How many more bytes of the message are surely its own: its head first, then the rest.
    fn wanted(&self) -> usize {
        match MESSAGE_HEAD.checked_sub(self.message.len()) {
            None | Some(0) => self.length() - self.message.len(),
            Some(head) => head,
        }
    }

    /// The length of the message with its head, which is known.
    fn length(&self) -> usize {
        let [_, a, b, c] = self.message.first_chunk().copied().unwrap_or_default();
        MESSAGE_HEAD + usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap_or(usize::MAX - MESSAGE_HEAD)
    }
}
