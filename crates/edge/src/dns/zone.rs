//! The zone in the form in which queries ask for it: names, the records at its top, what is in between. Made once per
//! config. Knows no health.

use std::{
    cell::Cell,
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
};

use hickory_proto::rr::{
    LowerName, Name, RData, Record,
    rdata::{A, AAAA, NS, SOA},
};
use thalweg_config::{Config, Dns, DnsName};

use crate::shared::dns_draw::AddressFamily;

/// How long NS and SOA records may be kept: nothing at the top of the zone follows health.
const TOP_TTL: u32 = 3600;
/// The serial of the SOA record: all edges say the same, and there is nothing that could be transferred.
const SERIAL: u32 = 1;

/// The zone of one config.
#[derive(Debug)]
pub(super) struct Zone {
    /// The config that it was made of.
    pub(super) config: Arc<Config>,
    origin: LowerName,
    names: HashMap<LowerName, ZoneName>,
    /// Names that are not written and have names below them: they exist (RFC 8020).
    between: HashSet<LowerName>,
    soa: Record,
    nameservers: Vec<Record>,
    /// Addresses of the nameservers that are in the zone.
    glue: Vec<Record>,
    pub(super) ttl: u32,
    pub(super) rate: u32,
}

/// A name of the zone.
#[derive(Debug)]
pub(super) struct ZoneName {
    /// As the operator writes it.
    pub(super) label: Arc<str>,
    pub(super) answer: DnsName,
    /// Answers so far, by family: the place in the sequence of draws.
    turns: [Cell<u32>; 2],
}

impl ZoneName {
    /// The next turn of this name's sequence.
    pub(super) fn turn(&self, family: AddressFamily) -> u32 {
        let [v4, v6] = &self.turns;
        let turns = if family == AddressFamily::V4 { v4 } else { v6 };
        turns.replace(turns.get().wrapping_add(1))
    }
}

/// What a name is to the zone.
#[derive(Debug)]
pub(super) enum ZoneMatch<'a> {
    /// Not in the zone.
    Outside,
    /// In the zone, and there is no such name.
    Nothing,
    /// A name that may have records.
    Name {
        /// It is the zone's own.
        top: bool,
        /// What is written for it.
        name: Option<&'a ZoneName>,
    },
}

impl Zone {
    /// The zone of a config; `None` = it has none.
    pub(super) fn of(config: &Arc<Config>) -> Option<Self> {
        let dns = config.dns.as_ref()?;
        let origin = absolute(&dns.zone)?;
        let lower = LowerName::new(&origin);
        let (mut names, mut between) = (HashMap::new(), HashSet::new());
        for (written, answer) in &dns.names {
            let Some(name) = absolute(written).map(|name| LowerName::new(&name)) else { continue };
            let mut above = name.base_name();
            while above != lower && lower.zone_of(&above) {
                let next = above.base_name();
                between.insert(std::mem::replace(&mut above, next));
            }
            let label = Arc::from(&**written);
            names.insert(name, ZoneName { label, answer: answer.clone(), turns: Default::default() });
        }
        Some(Self {
            config: Arc::clone(config),
            soa: soa(dns, &origin)?,
            nameservers: dns.nameservers.iter().filter_map(|name| nameserver(&origin, name)).collect(),
            glue: dns.nameservers.iter().flat_map(|name| glue(dns, name)).collect(),
            origin: lower,
            names,
            between,
            ttl: dns.ttl,
            rate: dns.rate,
        })
    }

    pub(super) fn find(&self, name: &Name) -> ZoneMatch<'_> {
        let name = LowerName::new(name);
        if !self.origin.zone_of(&name) {
            return ZoneMatch::Outside;
        }
        let (top, written) = (name == self.origin, self.names.get(&name));
        if top || written.is_some() || self.between.contains(&name) {
            ZoneMatch::Name { top, name: written }
        } else {
            ZoneMatch::Nothing
        }
    }

    /// The SOA record, as the zone has it.
    pub(super) fn soa(&self) -> Record {
        self.soa.clone()
    }

    /// The SOA record of a negative answer: it says how long the answer may be kept (RFC 2308 section 3).
    pub(super) fn negative(&self) -> Record {
        let mut soa = self.soa.clone();
        soa.ttl = self.ttl;
        soa
    }

    /// The zone's servers, and the addresses of those in the zone.
    pub(super) fn nameservers(&self) -> (Vec<Record>, Vec<Record>) {
        (self.nameservers.clone(), self.glue.clone())
    }
}

/// The record of an address.
pub(super) fn address_record(name: &Name, ttl: u32, ip: IpAddr) -> Record {
    let data = match ip {
        IpAddr::V4(ip) => RData::A(A(ip)),
        IpAddr::V6(ip) => RData::AAAA(AAAA(ip)),
    };
    Record::from_rdata(name.clone(), ttl, data)
}

/// A name of the config with its final dot.
fn absolute(name: &str) -> Option<Name> {
    Name::from_ascii(format!("{name}.")).ok()
}

fn soa(dns: &Dns, origin: &Name) -> Option<Record> {
    let primary = absolute(dns.nameservers.first()?)?;
    // The dots of the first part belong to it: the part is one label.
    let (local, domain) = dns.contact.rsplit_once('@')?;
    let contact = absolute(domain)?.prepend_label(local.as_bytes()).ok()?;
    let data = SOA::new(primary, contact, SERIAL, 7200, 900, 1_209_600, dns.ttl);
    Some(Record::from_rdata(origin.clone(), TOP_TTL, RData::SOA(data)))
}

fn nameserver(origin: &Name, name: &str) -> Option<Record> {
    Some(Record::from_rdata(origin.clone(), TOP_TTL, RData::NS(NS(absolute(name)?))))
}

fn glue(dns: &Dns, name: &str) -> Vec<Record> {
    match (dns.names.get(name), absolute(name)) {
        (Some(DnsName::Addresses(all)), Some(name)) => {
            all.iter().map(|ip| address_record(&name, dns.ttl, *ip)).collect()
        }
        _ => Vec::new(),
    }
}
