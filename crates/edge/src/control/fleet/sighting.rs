//! What one edge sees, as it tells the others. Pure; judges nothing.

use serde_json::{Value, json};

/// Longest message that is read.
pub const MAX_BYTES: usize = 16 << 10;
/// Most pools, and most endpoints that are out, in one message. More are counted and not named.
const MOST: usize = 64;
/// Longest name.
const MAX_NAME: usize = 330;

/// How many endpoints of a pool can serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolSight {
    /// The pool's name.
    pub pool: Box<str>,
    /// Endpoints that are Up.
    pub up: u64,
    /// All endpoints.
    pub of: u64,
}

/// An endpoint: the pool and the address.
pub type SeenEndpoint = (Box<str>, Box<str>);

/// What one edge sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sighting {
    /// Its name.
    pub edge: Box<str>,
    /// A number that its process has chosen.
    pub process: u64,
    /// Counts the messages of the process.
    pub number: u64,
    /// For how long it holds, milliseconds.
    pub ttl_ms: u64,
    /// Until the next message at the latest, milliseconds; 0 = not told.
    pub next_ms: u64,
    /// Its pools.
    pub pools: Vec<PoolSight>,
    /// The endpoints that it has taken out by what it sees, sorted.
    pub out: Vec<SeenEndpoint>,
}

impl Sighting {
    /// As it travels.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let pools: Vec<Value> =
            self.pools.iter().take(MOST).map(|one| json!([one.pool, one.up, one.of])).collect();
        let out: Vec<Value> =
            self.out.iter().take(MOST).map(|(pool, address)| json!([pool, address])).collect();
        json!({
            "edge": self.edge, "process": self.process, "number": self.number, "ttl_ms": self.ttl_ms,
            "next_ms": self.next_ms, "pools": pools, "out": out,
        })
        .to_string()
        .into_bytes()
    }

    /// Reads one; `None` = it is none.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > MAX_BYTES {
            return None;
        }
        let value: Value = serde_json::from_slice(bytes).ok()?;
        let list = |name: &str| Some(value.get(name)?.as_array()?.iter().take(MOST));
        let pools = list("pools")?.map(|one| {
            Some(PoolSight { pool: name(one.get(0)?)?, up: one.get(1)?.as_u64()?, of: one.get(2)?.as_u64()? })
        });
        let out = list("out")?.map(|one| Some((name(one.get(0)?)?, name(one.get(1)?)?)));
        let number = |name: &str| value.get(name)?.as_u64();
        let mut out: Vec<SeenEndpoint> = out.collect::<Option<_>>()?;
        out.sort();
        Some(Self {
            edge: name(value.get("edge")?)?,
            process: number("process")?,
            number: number("number")?,
            ttl_ms: number("ttl_ms")?,
            next_ms: number("next_ms").unwrap_or_default(),
            pools: pools.collect::<Option<_>>()?,
            out,
        })
    }
}

fn name(value: &Value) -> Option<Box<str>> {
    let text = value.as_str()?;
    let good = !text.is_empty() && text.len() <= MAX_NAME && !text.chars().any(char::is_control);
    good.then(|| text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_read_and_nonsense_is_not() {
        let said = Sighting {
            edge: "Büro 1.a".into(),
            process: u64::MAX,
            number: 7,
            ttl_ms: 3000,
            next_ms: 1000,
            pools: vec![PoolSight { pool: "p".into(), up: 1, of: 2 }],
            out: vec![("p".into(), "[::1]:80".into()), ("q".into(), "1.2.3.4:5".into())],
        };
        assert_eq!(Sighting::read(&said.to_bytes()), Some(said.clone()));
        let huge = vec![b' '; MAX_BYTES + 1];
        let named = |edge: &str| Sighting { edge: edge.into(), ..said.clone() }.to_bytes();
        for bytes in [&b""[..], b"{", b"[]", b"{}", &huge, &named(""), &named("a\u{1b}[31m")] {
            assert_eq!(Sighting::read(bytes), None);
        }
        let many = Sighting { out: vec![("p".into(), "a:1".into()); 5000], ..said };
        assert_eq!(Sighting::read(&many.to_bytes()).map(|read| read.out.len()), Some(MOST));
    }
}
