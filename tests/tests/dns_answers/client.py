"""Asks a server for the names of the zone glb.test with dnspython, and judges what comes back."""

import random
import sys

import dns.edns
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype

HOST, PORT = sys.argv[1], int(sys.argv[2])


def ask(name, kind, tcp=False, **more):
    query = dns.message.make_query(name, kind, **more)
    send = dns.query.tcp if tcp else dns.query.udp
    # Checks the id, the question and that nothing trails.
    return query, send(query, HOST, port=PORT, timeout=5)


def spelt(name):
    return "".join(random.choice([letter.upper(), letter.lower()]) for letter in name)


for tcp in (False, True):
    for payload in (None, 512, 1232, 4096):
        edns = {} if payload is None else {"use_edns": 0, "payload": payload}
        name = spelt("www.glb.test.")
        _, answer = ask(name, "A", tcp, **edns)
        assert answer.rcode() == dns.rcode.NOERROR and answer.flags & dns.flags.AA
        assert not answer.flags & dns.flags.RA
        assert answer.answer[0].name.to_text() == name, "the spelling of the question comes back"
        assert answer.question[0].name.to_text() == name
        assert (answer.edns == 0) == (payload is not None), "EDNS only to those who speak it"
        assert answer.answer[0].ttl == 3

_, answer = ask("www.glb.test.", "A", want_dnssec=True)
assert answer.ednsflags & dns.flags.DO, "RFC 3225: the DO bit comes back"
assert [one.rdtype for one in answer.answer] == [dns.rdatatype.A], "and nothing is signed"

_, answer = ask("www.glb.test.", "A", use_edns=1)
assert answer.rcode() == dns.rcode.BADVERS and answer.edns == 0 and not answer.answer

subnet = dns.edns.ECSOption("203.0.113.0", 24)
_, answer = ask("www.glb.test.", "A", use_edns=0, options=[subnet])
(echo,) = [option for option in answer.options if isinstance(option, dns.edns.ECSOption)]
assert (echo.address, echo.srclen, echo.scopelen) == ("203.0.113.0", 24, 0), echo

unknown = dns.edns.GenericOption(65001, b"whatever")
_, answer = ask("www.glb.test.", "A", use_edns=0, options=[unknown])
assert answer.rcode() == dns.rcode.NOERROR and not answer.options

_, answer = ask("glb.test.", "SOA")
(soa,) = answer.answer[0]
assert soa.mname.to_text() == "ns1.glb.test." and soa.minimum == 3
assert soa.rname.to_text() == "host\\.master.glb.test.", soa.rname
print("fine")
