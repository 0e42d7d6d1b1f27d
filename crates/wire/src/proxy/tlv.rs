//! The fields behind the addresses of version 2: a type, a length, a value. Known ones are checked and kept; others are
//! skipped.

use super::{crc32c::crc32c, error::ProxyError};

const ALPN: u8 = 0x01;
const AUTHORITY: u8 = 0x02;
const CRC32C: u8 = 0x03;
const UNIQUE_ID: u8 = 0x05;
const SSL: u8 = 0x20;
const SSL_VERSION: u8 = 0x21;
const SSL_COMMON_NAME: u8 = 0x22;
const GOOGLE: u8 = 0xe0;
const AWS: u8 = 0xea;
const AZURE: u8 = 0xee;

/// Longest unique id (section 2.2.5), and longest text that is kept of the others.
const UNIQUE_ID_MAX: usize = 128;
const TEXT_MAX: usize = 255;

/// The fields of version 2 that this engine knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyFields {
    /// The application protocol that the client and the sender agreed on.
    pub alpn: Option<Box<[u8]>>,
    /// The host that the client named (SNI).
    pub authority: Option<Box<str>>,
    /// An id of the connection.
    pub unique_id: Option<Box<[u8]>>,
    /// TLS between client and sender.
    pub tls: Option<ClientTls>,
    /// The private link that the connection came by.
    pub link: Option<ServiceLink>,
}

/// What the sender says about TLS between the client and itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientTls {
    /// The client speaks TLS.
    pub is_tls: bool,
    /// The client showed a certificate on this connection, and it was verified.
    pub is_verified: bool,
    /// As in `TLSv1.3`.
    pub version: Option<Box<str>>,
    /// The common name of the client's certificate.
    pub common_name: Option<Box<str>>,
}

/// A private link of a cloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceLink {
    /// The id of an AWS VPC endpoint.
    AwsVpcEndpoint(Box<str>),
    /// The id of a Private Service Connect connection of Google Cloud.
    GooglePsc(u64),
    /// The link id of Azure Private Link.
    AzureLink(u32),
}

/// Reads the fields of a whole `header`; the checksum covers all of it.
pub(super) fn read(mut rest: &[u8], header: &[u8]) -> Result<ProxyFields, ProxyError> {
    let mut fields = ProxyFields::default();
    let mut checked = false;
    while let Some(Tlv { kind, value, behind }) = Tlv::first(rest)? {
        match kind {
            ALPN => once(&mut fields.alpn, value.into())?,
            AUTHORITY => once(&mut fields.authority, text(value)?)?,
            UNIQUE_ID if value.len() > UNIQUE_ID_MAX => return Err(ProxyError::Field),
            UNIQUE_ID => once(&mut fields.unique_id, value.into())?,
            SSL => once(&mut fields.tls, client_tls(value)?)?,
            CRC32C => {
                // The value's place in the header: it counts as zero in its own checksum.
                let at = header.len() - behind.len() - value.len();
                check(header, at, value)?;
                if std::mem::replace(&mut checked, true) {
                    return Err(ProxyError::FieldRepeated);
                }
            }
            GOOGLE | AWS | AZURE => {
                if let Some(link) = link(kind, value)? {
                    once(&mut fields.link, link)?;
                }
            }
            // NOOP, the network's name, and what is not known.
            _ => {}
        }
        rest = behind;
    }
    Ok(fields)
}

/// One field, and the bytes behind it.
struct Tlv<'a> {
    kind: u8,
    value: &'a [u8],
    behind: &'a [u8],
}

impl<'a> Tlv<'a> {
    /// The first field; `None` = no further field.
    fn first(bytes: &'a [u8]) -> Result<Option<Self>, ProxyError> {
        match bytes {
            [] => Ok(None),
            [kind, high, low, rest @ ..] => {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                let (value, behind) = rest.split_at_checked(length).ok_or(ProxyError::Field)?;
                Ok(Some(Self { kind: *kind, value, behind }))
            }
            _ => Err(ProxyError::Field),
        }
    }
}

fn once<T>(place: &mut Option<T>, value: T) -> Result<(), ProxyError> {
    if place.replace(value).is_some() { Err(ProxyError::FieldRepeated) } else { Ok(()) }
}

/// Text of which a log line can be made.
fn text(value: &[u8]) -> Result<Box<str>, ProxyError> {
    let text = std::str::from_utf8(value).map_err(|_| ProxyError::Field)?;
    let fits = text.len() <= TEXT_MAX && !text.chars().any(char::is_control);
    fits.then(|| text.into()).ok_or(ProxyError::Field)
}

fn check(header: &[u8], at: usize, value: &[u8]) -> Result<(), ProxyError> {
    let said = u32::from_be_bytes(value.try_into().map_err(|_| ProxyError::Field)?);
    let is_value = |nth: usize| (at..at + 4).contains(&nth);
    let bytes = header.iter().enumerate().map(|(nth, byte)| if is_value(nth) { 0 } else { *byte });
    if crc32c(bytes) == said { Ok(()) } else { Err(ProxyError::Checksum) }
}

/// Flags, whether the certificate was verified, and fields inside this field.
fn client_tls(value: &[u8]) -> Result<ClientTls, ProxyError> {
    let Some(&[flags, verify @ ..]) = value.first_chunk::<5>() else { return Err(ProxyError::Field) };
    // Bits: 1 = TLS, 2 = a certificate on this connection, 4 = one in this session.
    let (is_tls, has_certificate) = (flags & 1 != 0, flags & 6 != 0);
    let is_verified = has_certificate && verify == [0; 4];
    let mut tls = ClientTls { is_tls, is_verified, ..ClientTls::default() };
    let mut rest = value.get(5..).unwrap_or_default();
    while let Some(Tlv { kind, value, behind }) = Tlv::first(rest)? {
        match kind {
            SSL_VERSION => once(&mut tls.version, text(value)?)?,
            SSL_COMMON_NAME => once(&mut tls.common_name, text(value)?)?,
            _ => {}
        }
        rest = behind;
    }
    Ok(tls)
}

/// The private link of a vendor's field; `None` = a form of it that is not known.
fn link(kind: u8, value: &[u8]) -> Result<Option<ServiceLink>, ProxyError> {
    Ok(match (kind, value) {
        (GOOGLE, value) => {
            let id = value.try_into().map_err(|_| ProxyError::Field)?;
            Some(ServiceLink::GooglePsc(u64::from_be_bytes(id)))
        }
        (AWS, [0x01, id @ ..]) => Some(ServiceLink::AwsVpcEndpoint(text(id)?)),
        (AZURE, [0x01, id @ ..]) => {
            let id = id.try_into().map_err(|_| ProxyError::Field)?;
            Some(ServiceLink::AzureLink(u32::from_le_bytes(id)))
        }
        _ => None,
    })
}
