//! One message in, one message out: the bound on queries, the zone, and the draw by the shares of the moment. Knows no
//! socket.
//!
//! # Never an amplifier
//!
//! The source address of a datagram may be forged, so that answers reach a victim (RFC 5358). An answer over UDP has at
//! most 1232 bytes, ANY gets one short record (RFC 8482), and each network of clients may ask for so much per second
//! (as BIND's response rate limiting). Beyond that, every second query is answered with nothing but "ask over TCP",
//! which is no longer than the query: a client that exists can do that, a forged address cannot.

use std::{
    cell::{Cell, RefCell},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    rc::Rc,
    sync::Arc,
};

use hickory_proto::{
    op::ResponseCode,
    rr::{DNSClass, Name, RData, Record, RecordType, rdata::HINFO},
};
use thalweg_config::{DnsName, RequestRate};
use thalweg_core::{PoolSlot, RouteSlot, roll};

use super::{
    answer::{self, DnsAnswer},
    query::{self, DnsQuestion, NoQuestion},
    result::{DnsCounters, DnsResult, DnsTransport},
    zone::{Zone, ZoneMatch, ZoneName, address_record},
};
use crate::shared::{
    Live, Shared,
    dns_draw::{AddressFamily, DnsDraw},
    meters::Meters,
    rates::RateTable,
};

/// Most addresses in one answer.
const MOST: usize = 1024;

/// What the DNS thread answers with.
#[derive(Debug)]
pub(super) struct Responder {
    shared: Arc<Shared>,
    zone: RefCell<Option<Rc<Zone>>>,
    rates: [RateTable; 2],
    /// Queries over UDP beyond the bound.
    beyond: Cell<u32>,
    counters: DnsCounters,
    /// Answers that name no single pool.
    no_pool: Arc<str>,
}

/// What is sent back.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum DnsReply {
    /// This message.
    Send(Vec<u8>),
    /// No answer at all.
    Silence,
    /// Nothing; a connection ends.
    Close,
}

impl Responder {
    pub(super) fn new(shared: Arc<Shared>, meters: Arc<Meters>) -> Self {
        Self {
            shared,
            zone: RefCell::default(),
            rates: Default::default(),
            beyond: Cell::default(),
            counters: DnsCounters::new(meters),
            no_pool: "-".into(),
        }
    }

    /// The reply to a message.
    pub(super) fn reply(&self, message: &[u8], client: IpAddr, transport: DnsTransport) -> DnsReply {
        let live = self.shared.live.load();
        let Some(zone) = self.zone(&live) else { return DnsReply::Silence };
        let within = self.within_rate(&zone, client, transport);
        if !within && (transport == DnsTransport::Tcp || !self.asks_again()) {
            self.counters.query(transport, DnsResult::RateLimited);
            return DnsReply::Close;
        }
        let question = match query::read(message) {
            Ok(question) => question,
            Err(no) => return self.no_question(no, transport, within),
        };
        let (answer, result) = if within {
            self.answer(&live, &zone, &question, client)
        } else {
            (DnsAnswer { truncated: true, ..DnsAnswer::default() }, DnsResult::RateLimited)
        };
        let Some(written) = answer::write(&question, answer, transport) else { return DnsReply::Close };
        let cut = written.truncated && within;
        self.counters.query(transport, if cut { DnsResult::Truncated } else { result });
        DnsReply::Send(written.bytes)
    }

    fn no_question(&self, no: NoQuestion, transport: DnsTransport, within: bool) -> DnsReply {
        match no {
            NoQuestion::Code(reply) if within => {
                self.counters.query(transport, reply.result);
                answer::write_error(reply).map_or(DnsReply::Close, DnsReply::Send)
            }
            NoQuestion::Code(_) => {
                self.counters.query(transport, DnsResult::RateLimited);
                DnsReply::Close
            }
            NoQuestion::Silent(result) => {
                self.counters.query(transport, result);
                DnsReply::Close
            }
        }
    }

    /// The zone of the config in force, made anew when that has changed.
    fn zone(&self, live: &Live) -> Option<Rc<Zone>> {
        let config = &live.wiring.config;
        let mut zone = self.zone.borrow_mut();
        if !zone.as_ref().is_some_and(|zone| Arc::ptr_eq(&zone.config, config)) {
            *zone = Zone::of(config).map(Rc::new);
            let names = config.dns.as_ref().map(|dns| &dns.names);
            let pools = &config.topology.pools;
            self.counters.keep(|name, pool| {
                names.is_some_and(|names| names.contains_key(name))
                    && (pool == &*self.no_pool || pools.iter().any(|one| &*one.name == pool))
            });
        }
        zone.clone()
    }

    fn within_rate(&self, zone: &Zone, client: IpAddr, transport: DnsTransport) -> bool {
        let rate = RequestRate { per_second: zone.rate, burst: zone.rate };
        // Forged datagrams must not use up what their supposed sender may ask over TCP.
        let [udp, tcp] = &self.rates;
        let rates = if transport == DnsTransport::Udp { udp } else { tcp };
        zone.rate == 0 || rates.take(network_of(client), rate, 1, self.shared.now()).is_ok()
    }

    /// Whether a query beyond the bound is told to come over TCP: every second one.
    fn asks_again(&self) -> bool {
        self.beyond.set(self.beyond.get().wrapping_add(1));
        self.beyond.get().is_multiple_of(2)
    }

    fn answer(
        &self,
        live: &Live,
        zone: &Zone,
        asked: &DnsQuestion,
        client: IpAddr,
    ) -> (DnsAnswer, DnsResult) {
        if asked.edns.as_ref().is_some_and(|edns| edns.version > 0) {
            return (DnsAnswer::code(ResponseCode::BADVERS), DnsResult::BadVersion);
        }
        let (kind, class) = (asked.question.query_type(), asked.question.query_class());
        let name = asked.question.name();
        let transfer = matches!(kind, RecordType::AXFR | RecordType::IXFR);
        let found = match zone.find(name) {
            _ if class != DNSClass::IN || transfer => ZoneMatch::Outside,
            found => found,
        };
        let (top, written) = match found {
            ZoneMatch::Outside => return (DnsAnswer::code(ResponseCode::Refused), DnsResult::Refused),
            ZoneMatch::Nothing => return (negative(zone, ResponseCode::NXDomain), DnsResult::NxDomain),
            ZoneMatch::Name { top, name } => (top, name),
        };
        let answer = match (kind, written) {
            (RecordType::ANY, _) => records(vec![minimal(name, zone.ttl)]),
            (RecordType::SOA, _) if top => records(vec![zone.soa()]),
            (RecordType::NS, _) if top => {
                let (answers, additionals) = zone.nameservers();
                DnsAnswer { additionals, ..records(answers) }
            }
            (RecordType::A, Some(written)) => {
                return self.addresses(live, zone, (written, AddressFamily::V4), (asked, client));
            }
            (RecordType::AAAA, Some(written)) => {
                return self.addresses(live, zone, (written, AddressFamily::V6), (asked, client));
            }
            _ => return (negative(zone, ResponseCode::NoError), DnsResult::NoData),
        };
        (answer, DnsResult::Answer)
    }

    /// The addresses of a name.
    fn addresses(
        &self,
        live: &Live,
        zone: &Zone,
        (written, family): (&ZoneName, AddressFamily),
        (asked, client): (&DnsQuestion, IpAddr),
    ) -> (DnsAnswer, DnsResult) {
        let turn = written.turn(family);
        let (chosen, scope) = match &written.answer {
            DnsName::Addresses(all) => (Some(Chosen { pool: None, addresses: all.clone() }), 0),
            DnsName::Route(route) => {
                let subnet = asked.subnet().and_then(|subnet| Some((subnet.network?, subnet.source)));
                let (place, source) = subnet.unwrap_or((client, 0));
                let has_geo = live.snapshot.route(*route).is_some_and(|route| route.geo.is_some());
                (self.chosen(live, *route, (family, place), turn), if has_geo { source } else { 0 })
            }
        };
        let Some(chosen) = chosen else {
            let answer = DnsAnswer { not_ready: true, ..DnsAnswer::code(ResponseCode::ServFail) };
            return (answer, DnsResult::NotReady);
        };
        let mut addresses: Vec<IpAddr> =
            chosen.addresses.into_iter().filter(|ip| family.holds(ip)).take(MOST).collect();
        if addresses.is_empty() {
            return (DnsAnswer { scope, ..negative(zone, ResponseCode::NoError) }, DnsResult::NoData);
        }
        // Most clients take the first address.
        let first = usize::try_from(turn).unwrap_or_default() % addresses.len();
        addresses.rotate_left(first);
        let pool = chosen.pool.and_then(|pool| live.snapshot.pool(pool)).map(|pool| Arc::from(&*pool.name));
        self.counters.answer(&written.label, pool.as_ref().unwrap_or(&self.no_pool));
        let name = asked.question.name();
        let answers = addresses.into_iter().map(|ip| address_record(name, zone.ttl, ip)).collect();
        (DnsAnswer { scope, ..records(answers) }, DnsResult::Answer)
    }

    /// What a route answers; `None` = the edge does not know yet.
    fn chosen(
        &self,
        live: &Live,
        route: RouteSlot,
        (family, place): (AddressFamily, IpAddr),
        turn: u32,
    ) -> Option<Chosen> {
        let location = self.shared.locate(live.snapshot.route(route)?, place);
        let draw = DnsDraw::of(live, route, place, location).filter(DnsDraw::is_ready)?;
        if draw.names_all() {
            let addresses = draw.all().flat_map(|pool| draw.addresses_of(pool)).copied().collect();
            return Some(Chosen { pool: None, addresses });
        }
        let pool = draw.pool(family, roll(turn, 0));
        let addresses = pool.map(|pool| draw.addresses_of(pool).to_vec()).unwrap_or_default();
        Some(Chosen { pool, addresses })
    }
}

/// The addresses for an answer, of both families.
struct Chosen {
    /// `None` = not those of one pool.
    pool: Option<PoolSlot>,
    addresses: Vec<IpAddr>,
}

fn records(answers: Vec<Record>) -> DnsAnswer {
    DnsAnswer { authoritative: true, answers, ..DnsAnswer::default() }
}

fn negative(zone: &Zone, code: ResponseCode) -> DnsAnswer {
    DnsAnswer { authoritative: true, authorities: vec![zone.negative()], ..DnsAnswer::code(code) }
}

/// The answer to ANY (RFC 8482 section 4.2).
fn minimal(name: &Name, ttl: u32) -> Record {
    let data = HINFO::new("RFC8482".to_owned(), String::new());
    Record::from_rdata(name.clone(), ttl, RData::HINFO(data))
}

/// The network that is bounded as one: /24 of IPv4, /56 of IPv6.
fn network_of(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits() & 0xffff_ff00).into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 72 << 72).into(),
    }
}
