//! The PROXY protocol, versions 1 and 2: who the client of a connection is, said by the balancer in front of this edge,
//! before TLS and before HTTP. A reader without I/O for what comes in, and a writer of version 2 for what goes out.
//! Never decides who may send such a header.
//!
//! Source: `proxy-protocol.txt` of HAProxy (2020/03/05), with the vendors' fields of AWS (0xEA), Azure (0xEE) and Google
//! Cloud (0xE0).
//!
//! Why not the crate `ppp` (2.3): it takes a CR for a space between two words, reads `+80` as a port, does not check
//! CRC32c and has no bound on version 2. A header that two readers understand differently changes who the client is.

mod crc32c;
mod error;
mod parts;
mod tlv;
mod v1;
mod v2;
mod write;

pub use error::ProxyError;
pub use parts::{PROXY_START_MAX, PROXY_V1_MAX, PROXY_V2_MAX, ProxyHeader};
use parts::{V1_START, V2_START};
pub use tlv::{ClientTls, ProxyFields, ServiceLink};
pub use write::{LOCAL_HEADER, write_proxy_header};

/// Whether bytes are the beginning of a PROXY header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyStart {
    /// They are.
    Header,
    /// They are not.
    Other,
    /// Too few to tell.
    Undecided,
}

impl ProxyStart {
    /// Looks at the first bytes of a connection; [`PROXY_START_MAX`] bytes always decide.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let starts = [V1_START, V2_START];
        if starts.iter().any(|start| bytes.starts_with(start)) {
            Self::Header
        } else if starts.iter().any(|start| start.starts_with(bytes)) {
            Self::Undecided
        } else {
            Self::Other
        }
    }
}

/// What a read came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProxyStep {
    /// All bytes were taken, and more are needed.
    More,
    /// The header ends behind this many of the bytes.
    Header {
        /// Bytes of the last read that belong to the header.
        consumed: usize,
        /// The header.
        header: Box<ProxyHeader>,
    },
}

/// Reads one header over any number of reads. Holds [`PROXY_V2_MAX`] bytes at most.
#[derive(Debug, Default)]
pub struct ProxyReader {
    bytes: Vec<u8>,
}

impl ProxyReader {
    /// Takes the next bytes; never one behind the header.
    ///
    /// # Errors
    /// The rule that the header breaks. The connection is to be closed.
    pub fn read(&mut self, mut input: &[u8]) -> Result<ProxyStep, ProxyError> {
        let given = input.len();
        self.check_start(input)?;
        loop {
            let wanted = match self.bytes.first().or(input.first()) {
                None => return Ok(ProxyStep::More),
                Some(b'P') => v1::wanted(&self.bytes, input)?,
                Some(_) => v2::wanted(&self.bytes)?,
            };
            let (taken, rest) = input.split_at(wanted.bytes.min(input.len()));
            self.bytes.extend_from_slice(taken);
            input = rest;
            if taken.len() < wanted.bytes {
                return Ok(ProxyStep::More);
            }
            if wanted.is_last {
                let header = match self.bytes.first() {
                    Some(b'P') => v1::header(&self.bytes)?,
                    _ => v2::header(&self.bytes)?,
                };
                return Ok(ProxyStep::Header { consumed: given - input.len(), header: Box::new(header) });
            }
        }
    }

    /// Whether the header begins as one, as far as it is known.
    fn check_start(&self, input: &[u8]) -> Result<(), ProxyError> {
        let mut start = [0; PROXY_START_MAX];
        let known =
            self.bytes.iter().chain(input).zip(&mut start).map(|(byte, place)| *place = *byte).count();
        match ProxyStart::of(start.get(..known).unwrap_or_default()) {
            ProxyStart::Other => Err(ProxyError::Missing),
            ProxyStart::Header | ProxyStart::Undecided => Ok(()),
        }
    }
}
