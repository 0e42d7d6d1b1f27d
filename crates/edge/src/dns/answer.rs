//! Writes answers: sections, EDNS, the length that the client takes. Decides nothing about health.

use hickory_proto::{
    op::{Edns, Message, OpCode, ResponseCode},
    rr::{Record, rdata::opt::EdnsOption},
};

use super::{
    query::{DnsQuestion, ErrorReply, LARGEST},
    result::DnsTransport,
};

const SUBNET: u16 = 8;
const EXTENDED_ERROR: u16 = 15;
/// "Not Ready" (RFC 8914 section 4.15).
const NOT_READY: [u8; 2] = [0, 14];

/// What is said to a question.
#[derive(Debug, Default)]
pub(super) struct DnsAnswer {
    pub(super) code: ResponseCode,
    /// The zone is this edge's: the AA bit.
    pub(super) authoritative: bool,
    pub(super) answers: Vec<Record>,
    pub(super) authorities: Vec<Record>,
    pub(super) additionals: Vec<Record>,
    /// For how much of the client subnet the answer holds.
    pub(super) scope: u8,
    /// The edge does not know yet.
    pub(super) not_ready: bool,
    /// The client is to ask over TCP.
    pub(super) truncated: bool,
}

impl DnsAnswer {
    pub(super) fn code(code: ResponseCode) -> Self {
        Self { code, ..Self::default() }
    }
}

/// A message on its way to the client.
#[derive(Debug)]
pub(super) struct WrittenAnswer {
    pub(super) bytes: Vec<u8>,
    /// It does not hold the whole answer.
    pub(super) truncated: bool,
}

/// The message of an answer; `None` = it cannot be written, which no input causes.
pub(super) fn write(
    question: &DnsQuestion,
    answer: DnsAnswer,
    transport: DnsTransport,
) -> Option<WrittenAnswer> {
    let mut message = Message::response(question.id, OpCode::Query);
    message.metadata.recursion_desired = question.recursion_desired;
    message.metadata.authoritative = answer.authoritative;
    message.metadata.response_code = answer.code;
    message.add_query(question.question.clone());
    message.answers = answer.answers;
    message.authorities = answer.authorities;
    message.additionals = answer.additionals;
    if let Some(edns) = edns(question, answer.scope, answer.not_ready) {
        message.set_edns(edns);
    }
    let longest = match transport {
        DnsTransport::Udp => question.payload(),
        DnsTransport::Tcp => usize::from(u16::MAX),
    };
    let mut bytes = message.to_vec().ok()?;
    if bytes.len() > longest && !message.additionals.is_empty() {
        message.additionals.clear();
        bytes = message.to_vec().ok()?;
    }
    let truncated = answer.truncated || bytes.len() > longest;
    if truncated {
        bytes = message.truncate().to_vec().ok()?;
    }
    Some(WrittenAnswer { bytes, truncated })
}

/// The message of an error without a question.
pub(super) fn write_error(reply: ErrorReply) -> Option<Vec<u8>> {
    let mut message = Message::error_msg(reply.id, OpCode::from_u8(reply.op_code), reply.code);
    message.metadata.recursion_desired = reply.recursion_desired;
    message.to_vec().ok()
}

/// A client that speaks EDNS gets it back (RFC 6891 section 6.1.1), and with it its subnet.
fn edns(question: &DnsQuestion, scope: u8, not_ready: bool) -> Option<Edns> {
    let asked = question.edns.as_ref()?;
    let mut edns = Edns::new();
    edns.set_max_payload(LARGEST).set_dnssec_ok(asked.dnssec_ok);
    if let Some(subnet) = &asked.subnet {
        edns.options_mut().insert(EdnsOption::Unknown(SUBNET, subnet.echoed(scope)));
    }
    if not_ready {
        edns.options_mut().insert(EdnsOption::Unknown(EXTENDED_ERROR, NOT_READY.to_vec()));
    }
    Some(edns)
}
