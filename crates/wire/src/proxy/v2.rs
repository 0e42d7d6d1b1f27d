//! Version 2: a fixed part of 16 bytes, addresses, and fields.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{
    error::ProxyError,
    parts::{PROXY_V2_MAX, ProxyHeader, V2_START, Wanted},
    tlv,
};

/// Length of the fixed part.
const FIXED: usize = 16;

const LOCAL: u8 = 0;
const PROXY: u8 = 1;

/// Length of the addresses of a Unix socket.
const UNIX: usize = 216;

/// The fixed part, then what it announces.
pub(super) fn wanted(bytes: &[u8]) -> Result<Wanted, ProxyError> {
    let Some(fixed) = Fixed::of(bytes) else {
        return Ok(Wanted { bytes: FIXED - bytes.len(), is_last: false });
    };
    let total = FIXED + fixed.length;
    if total > PROXY_V2_MAX {
        return Err(ProxyError::TooLong);
    }
    fixed.check()?;
    Ok(Wanted { bytes: total.saturating_sub(bytes.len()), is_last: true })
}

/// The fixed part behind the signature.
struct Fixed {
    version: u8,
    command: u8,
    family: u8,
    length: usize,
}

impl Fixed {
    fn of(bytes: &[u8]) -> Option<Self> {
        let [version, family, high, low] = *bytes.get(V2_START.len()..)?.first_chunk()?;
        let length = usize::from(u16::from_be_bytes([high, low]));
        Some(Self { version: version >> 4, command: version & 15, family, length })
    }

    fn check(&self) -> Result<(), ProxyError> {
        if self.version != 2 {
            return Err(ProxyError::Version);
        }
        match self.command {
            // The family is to be ignored.
            LOCAL => Ok(()),
            PROXY => self
                .addresses()
                .map(|wanted| wanted <= self.length)?
                .then_some(())
                .ok_or(ProxyError::TooShort),
            _ => Err(ProxyError::Command),
        }
    }

    /// Length of the addresses.
    fn addresses(&self) -> Result<usize, ProxyError> {
        match self.family {
            // Unspecified.
            0x00 => Ok(0),
            // TCP over IPv4, over IPv6; a stream over a Unix socket.
            0x11 => Ok(12),
            0x21 => Ok(36),
            0x31 => Ok(UNIX),
            _ => Err(ProxyError::Family),
        }
    }
}

pub(super) fn header(bytes: &[u8]) -> Result<ProxyHeader, ProxyError> {
    let fixed = Fixed::of(bytes).ok_or(ProxyError::Broken)?;
    // The block behind is to be ignored: the sender speaks for itself, or in words that are not specified.
    if fixed.command == LOCAL || fixed.family == 0 {
        return Ok(ProxyHeader::default());
    }
    let block = bytes.get(FIXED..).unwrap_or_default();
    let (addresses, fields) = block.split_at_checked(fixed.addresses()?).ok_or(ProxyError::TooShort)?;
    let (source, destination) = match addresses {
        [source @ .., a, b, c, d] if addresses.len() == 12 => {
            let (source, destination) = source.split_at(4);
            (v4(source, [*a, *b]), v4(destination, [*c, *d]))
        }
        [source @ .., a, b, c, d] if addresses.len() == 36 => {
            let (source, destination) = source.split_at(16);
            (v6(source, [*a, *b]), v6(destination, [*c, *d]))
        }
        _ => (None, None),
    };
    let fields = tlv::read(fields, bytes)?;
    Ok(ProxyHeader { source, destination, fields })
}

fn v4(address: &[u8], port: [u8; 2]) -> Option<SocketAddr> {
    let address: [u8; 4] = address.try_into().ok()?;
    Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::from(address)), u16::from_be_bytes(port)))
}

fn v6(address: &[u8], port: [u8; 2]) -> Option<SocketAddr> {
    let address: [u8; 16] = address.try_into().ok()?;
    Some(SocketAddr::new(IpAddr::V6(Ipv6Addr::from(address)), u16::from_be_bytes(port)))
}
