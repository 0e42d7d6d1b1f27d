//! Reads one query: header, question, EDNS with the client subnet. Strict, bounded by the message's length, and never
//! panics on input. Knows no zone.
//!
//! The fixed parts are read here and not by the library's message, because a server answers what it cannot understand,
//! too, and must tell a wrong client subnet (FORMERR, RFC 7871 section 7.1.2) from a wrong message.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_proto::{
    op::{Query, ResponseCode},
    rr::Name,
    serialize::binary::{BinDecodable, BinDecoder},
};

use super::result::DnsResult;

const HEADER: usize = 12;
const OPT: u16 = 41;
const SUBNET: u16 = 8;
/// What a client without EDNS takes, and the least that any client takes (RFC 6891 section 6.2.3).
const SMALLEST: u16 = 512;
/// What fits every path without fragments (DNS flag day 2020).
pub(super) const LARGEST: u16 = 1232;

/// A question that can be answered.
#[derive(Debug)]
pub(super) struct DnsQuestion {
    pub(super) id: u16,
    pub(super) recursion_desired: bool,
    pub(super) question: Query,
    /// `None` = the client does not speak EDNS.
    pub(super) edns: Option<QueryEdns>,
}

/// What the client says in EDNS (RFC 6891).
#[derive(Debug, Default)]
pub(super) struct QueryEdns {
    /// The longest answer over UDP, within what is sensible.
    pub(super) payload: u16,
    pub(super) version: u8,
    pub(super) dnssec_ok: bool,
    pub(super) subnet: Option<QuerySubnet>,
}

/// The client subnet of a query (RFC 7871).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct QuerySubnet {
    /// `None` = the client wants none to be used.
    pub(super) network: Option<IpAddr>,
    /// The family's number, as it was sent.
    pub(super) family: u16,
    /// Length of the network.
    pub(super) source: u8,
}

/// Why a message is no question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoQuestion {
    /// It gets no answer.
    Silent(DnsResult),
    /// It gets this code, with nothing else.
    Code(ErrorReply),
}

/// An answer of a header alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ErrorReply {
    pub(super) id: u16,
    pub(super) op_code: u8,
    pub(super) recursion_desired: bool,
    pub(super) code: ResponseCode,
    pub(super) result: DnsResult,
}

/// Reads a message.
pub(super) fn read(message: &[u8]) -> Result<DnsQuestion, NoQuestion> {
    let mut reader = BinDecoder::new(message);
    let header = reader.read_slice(HEADER).map(|header| header.unverified()).unwrap_or_default();
    let &[id_high, id_low, flags, _, count_high, count_low, ref counts @ ..] = header else {
        return Err(NoQuestion::Silent(DnsResult::Malformed));
    };
    // An answer to an answer would begin a circle (RFC 5452 names no use for it).
    if flags & 0x80 != 0 {
        return Err(NoQuestion::Silent(DnsResult::Unasked));
    }
    let (id, op_code) = (u16::from_be_bytes([id_high, id_low]), flags >> 3 & 0x0f);
    let recursion_desired = flags & 1 != 0;
    let no = |code, result| NoQuestion::Code(ErrorReply { id, op_code, recursion_desired, code, result });
    if op_code != 0 {
        return Err(no(ResponseCode::NotImp, DnsResult::NotImplemented));
    }
    let malformed = || no(ResponseCode::FormErr, DnsResult::Malformed);
    if u16::from_be_bytes([count_high, count_low]) != 1 {
        return Err(malformed());
    }
    let question = Query::read(&mut reader).map_err(|_| malformed())?;
    let records = counts.as_chunks::<2>().0.iter().map(|count| usize::from(u16::from_be_bytes(*count))).sum();
    let edns = read_edns(&mut reader, records).ok_or_else(malformed)?;
    Ok(DnsQuestion { id, recursion_desired, question, edns })
}

/// The one OPT record among the records behind the question; the outer `None` = malformed.
fn read_edns(reader: &mut BinDecoder<'_>, records: usize) -> Option<Option<QueryEdns>> {
    let mut found = None;
    for _ in 0..records {
        let name = Name::read(reader).ok()?;
        let kind = reader.read_u16().ok()?.unverified();
        let class = reader.read_u16().ok()?.unverified();
        let ttl = reader.read_u32().ok()?.unverified();
        let length = usize::from(reader.read_u16().ok()?.unverified());
        let data = reader.read_slice(length).ok()?.unverified();
        if kind != OPT {
            continue;
        }
        if found.is_some() || !name.is_root() {
            return None;
        }
        let [_, version, high, _] = ttl.to_be_bytes();
        found = Some(QueryEdns {
            payload: class.clamp(SMALLEST, LARGEST),
            version,
            dnssec_ok: high & 0x80 != 0,
            subnet: read_options(data)?,
        });
    }
    Some(found)
}

/// The client subnet among the options; the outer `None` = malformed.
fn read_options(mut data: &[u8]) -> Option<Option<QuerySubnet>> {
    let mut found = None;
    while !data.is_empty() {
        let (&[code_high, code_low, high, low], rest) = data.split_first_chunk()?;
        let length = usize::from(u16::from_be_bytes([high, low]));
        let (option, rest) = rest.split_at_checked(length)?;
        if u16::from_be_bytes([code_high, code_low]) == SUBNET {
            if found.is_some() {
                return None;
            }
            found = Some(read_subnet(option)?);
        }
        data = rest;
    }
    Some(found)
}

/// RFC 7871 section 6: as many octets as the network's length needs, no bit behind it, scope 0 in a query.
fn read_subnet(option: &[u8]) -> Option<QuerySubnet> {
    let (&[family_high, family_low, source, scope], octets) = option.split_first_chunk()?;
    let family = u16::from_be_bytes([family_high, family_low]);
    if scope != 0 || octets.len() != usize::from(source).div_ceil(8) {
        return None;
    }
    if source % 8 != 0 && octets.last()? & (0xff >> (source % 8)) != 0 {
        return None;
    }
    let network: Option<IpAddr> = match family {
        // Without a family there is no network.
        0 => (source == 0).then_some(Ipv4Addr::UNSPECIFIED.into()),
        1 => padded::<4>(octets).map(|octets| Ipv4Addr::from(octets).into()),
        2 => padded::<16>(octets).map(|octets| Ipv6Addr::from(octets).into()),
        _ => None,
    };
    let network = network?;
    Some(QuerySubnet { network: (source > 0).then_some(network), family, source })
}

fn padded<const LENGTH: usize>(octets: &[u8]) -> Option<[u8; LENGTH]> {
    let mut all = [0; LENGTH];
    all.get_mut(..octets.len())?.copy_from_slice(octets);
    Some(all)
}

impl DnsQuestion {
    /// The longest answer over UDP.
    pub(super) fn payload(&self) -> usize {
        self.edns.as_ref().map_or(SMALLEST, |edns| edns.payload).into()
    }

    pub(super) fn subnet(&self) -> Option<QuerySubnet> {
        self.edns.as_ref()?.subnet
    }
}

impl QuerySubnet {
    /// The option in the answer: the same network, and for which part of it the answer holds.
    pub(super) fn echoed(&self, scope: u8) -> Vec<u8> {
        let mut option = self.family.to_be_bytes().to_vec();
        option.extend([self.source, scope]);
        let octets = usize::from(self.source).div_ceil(8);
        match self.network {
            Some(IpAddr::V4(ip)) => option.extend(ip.octets().iter().take(octets)),
            Some(IpAddr::V6(ip)) => option.extend(ip.octets().iter().take(octets)),
            None => {}
        }
        option
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A query for `a.` (A, IN) with these bytes behind it, and so many records.
    fn message(records: u8, behind: &[u8]) -> Vec<u8> {
        let mut message = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, records, 1, b'a', 0, 0, 1, 0, 1];
        message.extend(behind);
        message
    }

    fn opt(options: &[u8]) -> Vec<u8> {
        let mut record = vec![0, 0, 41, 0x04, 0xd0, 0, 0, 0x80, 0, 0, u8::try_from(options.len()).unwrap()];
        record.extend(options);
        record
    }

    fn subnet(option: &[u8]) -> Result<Option<QuerySubnet>, NoQuestion> {
        let mut options = vec![0, 8, 0, u8::try_from(option.len()).unwrap()];
        options.extend(option);
        read(&message(1, &opt(&options))).map(|question| question.subnet())
    }

    fn code(message: &[u8]) -> Option<ResponseCode> {
        match read(message) {
            Err(NoQuestion::Code(reply)) => Some(reply.code),
            _ => None,
        }
    }

    #[test]
    fn a_query_is_read_with_and_without_edns() {
        let plain = read(&message(0, &[])).unwrap();
        assert_eq!((plain.id, plain.recursion_desired, plain.payload()), (7, true, 512));
        assert_eq!(plain.question.name().to_string(), "a.");
        let edns = read(&message(1, &opt(&[]))).unwrap();
        assert!(edns.payload() == 1232 && edns.edns.unwrap().dnssec_ok);
    }

    #[test]
    fn a_subnet_has_the_octets_that_it_needs_and_no_bit_more() {
        let check = |option: &[u8], expected: Option<(Option<&str>, u8)>| {
            let found = subnet(option).ok().flatten().map(|it| (it.network, it.source));
            let expected = expected.map(|(network, source)| (network.map(|ip| ip.parse().unwrap()), source));
            assert_eq!(found, expected, "{option:?}");
        };
        check(&[0, 1, 24, 0, 192, 0, 2], Some((Some("192.0.2.0"), 24)));
        check(&[0, 1, 20, 0, 192, 0, 16], Some((Some("192.0.16.0"), 20)));
        check(&[0, 2, 48, 0, 0x20, 1, 0xd, 0xb8, 0, 1], Some((Some("2001:db8:1::"), 48)));
        check(&[0, 1, 0, 0], Some((None, 0)));
        check(&[0, 0, 0, 0], Some((None, 0)));
        check(&[0, 1, 24, 24, 192, 0, 2], None);
        check(&[0, 1, 24, 0, 192, 0], None);
        check(&[0, 1, 24, 0, 192, 0, 2, 1], None);
        check(&[0, 1, 20, 0, 192, 0, 17], None);
        check(&[0, 1, 33, 0, 192, 0, 2, 1, 0], None);
        check(&[0, 3, 8, 0, 1], None);
        check(&[0, 1], None);
    }

    #[test]
    fn an_echoed_subnet_reads_as_the_one_that_was_sent() {
        let sent = subnet(&[0, 1, 20, 0, 192, 0, 16]).unwrap().unwrap();
        assert_eq!(sent.echoed(20), [0, 1, 20, 20, 192, 0, 16]);
        assert_eq!(subnet(&[0, 0, 0, 0]).unwrap().unwrap().echoed(0), [0, 0, 0, 0]);
    }

    #[test]
    fn what_is_no_question_gets_a_code_or_silence() {
        assert_eq!(read(&[0; 11]).unwrap_err(), NoQuestion::Silent(DnsResult::Malformed));
        let mut answer = message(0, &[]);
        answer[2] |= 0x80;
        assert_eq!(read(&answer).unwrap_err(), NoQuestion::Silent(DnsResult::Unasked));
        let mut notify = message(0, &[]);
        notify[2] = 4 << 3;
        assert_eq!(code(&notify), Some(ResponseCode::NotImp));
        let mut two = message(0, &[]);
        two[5] = 2;
        assert_eq!(code(&two), Some(ResponseCode::FormErr));
        assert_eq!(code(&message(0, &[])[..15]), Some(ResponseCode::FormErr), "cut inside of the question");
        assert_eq!(code(&message(1, &[])), Some(ResponseCode::FormErr), "a record that is not there");
        let twice = [opt(&[]), opt(&[])].concat();
        assert_eq!(code(&message(2, &twice)), Some(ResponseCode::FormErr), "RFC 6891 section 6.1.1");
    }
}
