//! Geography: which order of pools serves a client, by the networks, the country or the continent that its address is in.
//! Never reads a database: the shell says which country and continent an address is in.
//!
//! # Why each rule has a route of its own
//!
//! A geo rule is an order of pools with its own failover, holds, ramps and panic. That is what a [`Route`](crate::Route)
//! is, so each rule of a route is one: a sub-route that matches no request by itself. The world concludes for a sub-route
//! what it concludes for any route, its shares are in the snapshot, and a request only needs to find out which one is its
//! own. To order one route's pools anew for each request would cost every request what now costs each change.
//!
//! # Why the most specific rule and not the first
//!
//! Route 53 (geolocation and IP-based routing) and nginx (`geo`) choose the most specific entry whatever the order of the
//! file. So does this: the longest network, then the country, then the continent, then what is left.

use std::{fmt, net::IpAddr};

use crate::slot::RouteSlot;

/// Two capital letters: a country (ISO 3166-1) or a continent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlaceCode([u8; 2]);

/// Where a client's address is, as far as a database says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Location {
    /// The country.
    pub country: Option<PlaceCode>,
    /// The continent.
    pub continent: Option<PlaceCode>,
}

/// Addresses with a common beginning: `192.0.2.0/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr {
    /// The first address.
    first: IpAddr,
    /// How many bits all addresses have in common.
    bits: u8,
}

/// Where a rule's clients come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Networks that the operator names.
    Network {
        /// The configured name.
        name: Box<str>,
        /// The networks.
        cidrs: Vec<Cidr>,
    },
    /// A country.
    Country(PlaceCode),
    /// A continent.
    Continent(PlaceCode),
}

/// One rule: clients from these places are served in the order of this sub-route.
#[derive(Clone, Debug, PartialEq)]
pub struct GeoRule {
    /// The places.
    pub from: Vec<Origin>,
    /// The sub-route.
    pub route: RouteSlot,
}

/// The rules of one route, ready to be asked. A client that no rule names is served in the route's own order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Geo {
    rules: Vec<GeoRule>,
    v4: Networks,
    v6: Networks,
    /// Sorted by code.
    countries: Vec<CodeRule>,
    /// Sorted by code.
    continents: Vec<CodeRule>,
}

/// Which sub-route serves a country, or a continent.
#[derive(Clone, Copy, Debug, PartialEq)]
struct CodeRule {
    code: PlaceCode,
    route: RouteSlot,
}

impl GeoRule {
    fn cidrs(&self) -> impl Iterator<Item = Cidr> + '_ {
        fn cidrs(origin: &Origin) -> &[Cidr] {
            match origin {
                Origin::Network { cidrs, .. } => cidrs.as_slice(),
                Origin::Country(_) | Origin::Continent(_) => &[],
            }
        }
        self.from.iter().flat_map(cidrs).copied()
    }
}

impl Origin {
    fn country(&self) -> Option<PlaceCode> {
        if let Self::Country(code) = self { Some(*code) } else { None }
    }

    fn continent(&self) -> Option<PlaceCode> {
        if let Self::Continent(code) = self { Some(*code) } else { None }
    }
}

impl Geo {
    /// The rules, ready to be asked. A place belongs to one rule (the config refuses a second one).
    #[must_use]
    pub fn new(rules: Vec<GeoRule>) -> Self {
        let networks = |v4: bool| {
            let cidrs = rules.iter().flat_map(|rule| rule.cidrs().map(|cidr| (cidr, rule.route)));
            Networks::new(cidrs.filter(|(cidr, _)| cidr.first.is_ipv4() == v4).collect())
        };
        let codes = |code: fn(&Origin) -> Option<PlaceCode>| {
            let codes = rules.iter().flat_map(|rule| {
                rule.from.iter().filter_map(code).map(|code| CodeRule { code, route: rule.route })
            });
            let mut codes: Vec<CodeRule> = codes.collect();
            codes.sort_unstable_by_key(|rule| rule.code);
            codes
        };
        let (v4, v6) = (networks(true), networks(false));
        let (countries, continents) = (codes(Origin::country), codes(Origin::continent));
        Self { rules, v4, v6, countries, continents }
    }

    /// The rules as written.
    #[must_use]
    pub fn rules(&self) -> &[GeoRule] {
        &self.rules
    }

    /// Must the shell say which country or continent a client is in?
    #[must_use]
    pub fn asks_location(&self) -> bool {
        !self.countries.is_empty() || !self.continents.is_empty()
    }

    /// The sub-route that serves a client; `None` = no rule names it. Allocates nothing.
    #[must_use]
    pub fn sub_route(&self, client: IpAddr, location: Location) -> Option<RouteSlot> {
        let client = client.to_canonical();
        let networks = if client.is_ipv4() { &self.v4 } else { &self.v6 };
        let by_network = networks.find(number(client));
        let by_country = || find(&self.countries, location.country?);
        let by_continent = || find(&self.continents, location.continent?);
        by_network.or_else(by_country).or_else(by_continent)
    }

    /// The places of the rules that a client is in, the most specific first: the first one decides.
    #[must_use]
    pub fn places(&self, client: IpAddr, location: Location) -> Vec<(Origin, RouteSlot)> {
        let client = client.to_canonical();
        let specific = |origin: &Origin| match origin {
            Origin::Network { cidrs, .. } => {
                cidrs.iter().filter(|cidr| cidr.contains(client)).map(|cidr| 2 + u16::from(cidr.bits)).max()
            }
            Origin::Country(code) => (location.country == Some(*code)).then_some(1),
            Origin::Continent(code) => (location.continent == Some(*code)).then_some(0),
        };
        let all = self.rules.iter().flat_map(|rule| rule.from.iter().map(|origin| (origin, rule.route)));
        let mut found: Vec<(u16, &Origin, RouteSlot)> =
            all.filter_map(|(origin, route)| Some((specific(origin)?, origin, route))).collect();
        found.sort_by_key(|(specific, ..)| std::cmp::Reverse(*specific));
        found.into_iter().map(|(_, origin, route)| (origin.clone(), route)).collect()
    }
}

/// Networks of one address family as ranges without overlap: inside a network, a longer one counts.
#[derive(Clone, Debug, Default, PartialEq)]
struct Networks {
    /// Where each range begins; it ends where the next one begins.
    starts: Vec<u128>,
    routes: Vec<Option<RouteSlot>>,
}

impl Networks {
    fn new(mut networks: Vec<(Cidr, RouteSlot)>) -> Self {
        // Of two networks that begin together, the wider one comes first, so that the longer one lies inside.
        networks.sort_by_key(|(cidr, _)| (number(cidr.first), cidr.bits));
        let mut ranges = Self::default();
        let mut around: Vec<(u128, RouteSlot)> = Vec::new();
        for (cidr, route) in networks {
            ranges.close(&mut around, number(cidr.first));
            ranges.begin(number(cidr.first), Some(route));
            around.push((cidr.last(), route));
        }
        ranges.close(&mut around, u128::MAX);
        ranges
    }

    /// Ends the networks that end before `next`: behind each, the one around it goes on.
    fn close(&mut self, around: &mut Vec<(u128, RouteSlot)>, next: u128) {
        while let Some((last, _)) = around.last().copied().filter(|(last, _)| *last < next) {
            around.pop();
            self.begin(last + 1, around.last().map(|(_, route)| *route));
        }
    }

    fn begin(&mut self, start: u128, route: Option<RouteSlot>) {
        if self.starts.last() == Some(&start) {
            self.starts.pop();
            self.routes.pop();
        }
        self.starts.push(start);
        self.routes.push(route);
    }

    fn find(&self, address: u128) -> Option<RouteSlot> {
        let at = self.starts.partition_point(|start| *start <= address).checked_sub(1)?;
        self.routes.get(at).copied().flatten()
    }
}

/// The sub-route of a code, in a list that is sorted by code.
fn find(codes: &[CodeRule], code: PlaceCode) -> Option<RouteSlot> {
    let at = codes.partition_point(|known| known.code < code);
    codes.get(at).filter(|known| known.code == code).map(|known| known.route)
}

/// An address as a number among those of its family.
fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl Cidr {
    /// Reads `192.0.2.0/24`, or an address alone.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn read(text: &str) -> Result<Self, CidrProblem> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(ip, bits)| (ip, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| CidrProblem::NoAddress)?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let plain = |bits: &str| !bits.is_empty() && bits.bytes().all(|byte| byte.is_ascii_digit());
        let bits = match bits {
            None => longest,
            Some(bits) => bits
                .parse()
                .ok()
                .filter(|length| plain(bits) && *length <= longest)
                .ok_or(CidrProblem::BadLength { longest })?,
        };
        let cidr = Self { first: address, bits };
        let first = cidr.number_of_first();
        if first == number(address) {
            return Ok(cidr);
        }
        Err(CidrProblem::HostBits { network: Self { first: of_number(first, address.is_ipv4()), bits } })
    }

    /// How many bits the addresses have in common.
    #[must_use]
    pub fn bits(&self) -> u8 {
        self.bits
    }

    /// Is the address in the network? An IPv4 address is in no IPv6 network.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let number = number(address);
        self.first.is_ipv4() == address.is_ipv4() && (self.number_of_first()..=self.last()).contains(&number)
    }

    /// How many addresses the network has, less one.
    fn rest(self) -> u128 {
        let longest: u32 = if self.first.is_ipv4() { 32 } else { 128 };
        u128::MAX.checked_shr(128 - (longest - u32::from(self.bits).min(longest))).unwrap_or(0)
    }

    fn number_of_first(self) -> u128 {
        number(self.first) & !self.rest()
    }

    fn last(self) -> u128 {
        self.number_of_first() | self.rest()
    }
}

fn of_number(number: u128, v4: bool) -> IpAddr {
    match u32::try_from(number) {
        Ok(number) if v4 => IpAddr::V4(number.into()),
        _ => IpAddr::V6(number.into()),
    }
}

/// What is wrong with a network as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CidrProblem {
    /// There is no IP address in front.
    NoAddress,
    /// The length is no number up to this one.
    BadLength {
        /// The bits of an address.
        longest: u8,
    },
    /// The address has bits behind the length: it is inside this network.
    HostBits {
        /// The network.
        network: Cidr,
    },
}

impl PlaceCode {
    /// Reads two capital letters.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let code: [u8; 2] = text.as_bytes().try_into().ok()?;
        code.iter().all(u8::is_ascii_uppercase).then_some(Self(code))
    }

    /// The letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for PlaceCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.bits)
    }
}

/// As the config writes it: `country:DE`.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network { name, .. } => write!(f, "network:{name}"),
            Self::Country(code) => write!(f, "country:{}", code.as_str()),
            Self::Continent(code) => write!(f, "continent:{}", code.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roll::mix;

    fn code(text: &str) -> PlaceCode {
        PlaceCode::read(text).unwrap()
    }

    fn network(name: &str, cidrs: &[&str]) -> Origin {
        let cidrs = cidrs.iter().map(|text| Cidr::read(text).unwrap()).collect();
        Origin::Network { name: name.into(), cidrs }
    }

    fn rules(of: Vec<Vec<Origin>>) -> Geo {
        let rule = |(nth, from)| GeoRule { from, route: RouteSlot(nth) };
        Geo::new((1..).zip(of).map(rule).collect())
    }

    fn example() -> Geo {
        rules(vec![
            vec![Origin::Country(code("DE")), Origin::Country(code("AT"))],
            vec![Origin::Continent(code("EU"))],
            vec![network("all", &["10.0.0.0/8", "2001:db8::/32"])],
            vec![network("lab", &["10.1.0.0/16", "10.255.255.255", "2001:db8:1::/48"])],
            vec![network("bench", &["10.1.2.0/24"])],
        ])
    }

    /// `expected` = the number of the rule; 0 = none.
    fn check(client: &str, (country, continent): (&str, &str), expected: u32) {
        let location = Location { country: PlaceCode::read(country), continent: PlaceCode::read(continent) };
        let client = client.parse().unwrap();
        let geo = example();
        let found = geo.sub_route(client, location).map_or(0, |route| route.0);
        assert_eq!(found, expected, "{client} {country} {continent}");
        let first = geo.places(client, location).first().map_or(0, |(_, route)| route.0);
        assert_eq!(first, expected, "explained: {client} {country} {continent}");
    }

    #[test]
    fn the_longest_network_comes_before_the_country_before_the_continent() {
        check("192.0.2.1", ("DE", "EU"), 1);
        check("192.0.2.1", ("AT", "EU"), 1);
        check("192.0.2.1", ("FR", "EU"), 2);
        check("192.0.2.1", ("", "EU"), 2);
        check("192.0.2.1", ("US", "NA"), 0);
        check("192.0.2.1", ("", ""), 0);
        check("10.0.0.0", ("DE", "EU"), 3);
        check("10.1.0.1", ("DE", "EU"), 4);
        check("10.1.2.255", ("DE", "EU"), 5);
        check("10.1.3.0", ("", ""), 4);
        check("10.2.0.0", ("", ""), 3);
        check("10.255.255.254", ("", ""), 3);
        check("10.255.255.255", ("", ""), 4);
        check("11.0.0.0", ("", ""), 0);
        check("9.255.255.255", ("", ""), 0);
        check("::ffff:10.1.0.1", ("", ""), 4);
        check("2001:db8::1", ("DE", "EU"), 3);
        check("2001:db8:1:ffff::", ("", ""), 4);
        check("2001:db8:2::", ("", ""), 3);
        check("2001:db9::", ("", ""), 0);
    }

    #[test]
    fn ranges_find_what_a_reading_of_all_networks_finds() {
        for seed in 0..200u64 {
            let cidr = |nth: u64| {
                let hash = mix(mix(seed) ^ nth);
                let bits = (hash % 33) as u8;
                let first = ((hash >> 32) as u32) & u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
                Cidr { first: IpAddr::V4(first.into()), bits }
            };
            let all: Vec<Cidr> = (0..8).map(cidr).collect();
            let geo = rules(
                all.iter()
                    .map(|cidr| vec![Origin::Network { name: "".into(), cidrs: vec![*cidr] }])
                    .collect(),
            );
            let edges = all.iter().flat_map(|cidr| {
                let (first, last) = (cidr.number_of_first() as u32, cidr.last() as u32);
                [first.wrapping_sub(1), first, last, last.wrapping_add(1)]
            });
            for address in edges.map(|number| IpAddr::V4(number.into())) {
                let holds = all.iter().filter(|cidr| cidr.contains(address)).map(|cidr| cidr.bits).max();
                let found = geo.sub_route(address, Location::default());
                let found = found.map(|route| all[route.index() - 1].bits);
                assert_eq!(found, holds, "{seed} {address} {all:?}");
            }
        }
    }

    #[test]
    fn networks_are_read_and_written() {
        for (text, expected) in [
            ("192.0.2.0/24", "192.0.2.0/24"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("::/0", "::/0"),
            ("192.0.2.1", "192.0.2.1/32"),
            ("2001:db8::1", "2001:db8::1/128"),
        ] {
            assert_eq!(Cidr::read(text).unwrap().to_string(), expected);
        }
        for text in ["", "a", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/+8", "::/129", "10.0.0/8", "10.0.0.0/-1"]
        {
            assert!(Cidr::read(text).is_err(), "{text}");
        }
        let problem = Cidr::read("192.0.2.1/24").unwrap_err();
        let CidrProblem::HostBits { network } = problem else { panic!("{problem:?}") };
        assert_eq!(network.to_string(), "192.0.2.0/24");
    }
}
