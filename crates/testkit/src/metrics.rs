//! Reads the Prometheus text format, strictly enough to notice a broken page.

use std::collections::{BTreeMap, BTreeSet};

/// One line of the page.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The metric's name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

/// One page.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// Every sample, in order.
    pub samples: Vec<Sample>,
    /// `# TYPE` of each family.
    pub types: BTreeMap<String, String>,
}

impl Metrics {
    /// Reads a page; the first line that is wrong is the error.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut page = Self::default();
        let mut known = BTreeSet::new();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').ok_or_else(|| format!("no type: {line}"))?;
                if page.types.insert(name.to_owned(), kind.to_owned()).is_some() {
                    return Err(format!("a second TYPE for {name}"));
                }
            } else if !line.starts_with('#') {
                let sample = sample(line).ok_or_else(|| format!("no sample: {line}"))?;
                if !known.insert((sample.name.clone(), format!("{:?}", sample.labels))) {
                    return Err(format!("twice: {line}"));
                }
                page.samples.push(sample);
            }
        }
        Ok(page)
    }

    /// The sum over every sample of this name that has these labels; 0 when there is none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let fits = |sample: &&Sample| {
            sample.name == name
                && labels.iter().all(|(key, value)| sample.labels.get(*key).is_some_and(|have| have == value))
        };
        self.samples.iter().filter(fits).map(|sample| sample.value).sum()
    }

    /// Whether any sample of this name exists.
    pub fn has(&self, name: &str) -> bool {
        self.samples.iter().any(|sample| sample.name == name)
    }

    /// Every family name, histogram suffixes dropped.
    pub fn families(&self) -> BTreeSet<String> {
        self.types.keys().cloned().collect()
    }
}

fn sample(line: &str) -> Option<Sample> {
    let (name, rest, labels) = match line.find('{') {
        Some(open) => {
            let (labels, used) = labels(&line[open + 1..])?;
            (&line[..open], &line[open + 1 + used..], labels)
        }
        None => {
            let (name, rest) = line.split_once(' ')?;
            (name, rest, BTreeMap::new())
        }
    };
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    if name.is_empty() || !name.chars().all(legal) {
        return None;
    }
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Sample { name: name.to_owned(), labels, value })
}

/// Reads `a="b",c="d"}`; gives the labels and how many bytes they took, the brace included.
fn labels(text: &str) -> Option<(BTreeMap<String, String>, usize)> {
    let mut found = BTreeMap::new();
    let mut at = 0;
    loop {
        if text[at..].starts_with('}') {
            return Some((found, at + 1));
        }
        let equals = text[at..].find("=\"")? + at;
        let key = text[at..equals].to_owned();
        let mut value = String::new();
        let mut chars = text[equals + 2..].char_indices();
        let end = loop {
            match chars.next()? {
                (_, '\\') => value.push(match chars.next()?.1 {
                    'n' => '\n',
                    other => other,
                }),
                (offset, '"') => break equals + 2 + offset + 1,
                (_, other) => value.push(other),
            }
        };
        found.insert(key, value);
        at = if text[end..].starts_with(',') { end + 1 } else { end };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_values_and_types_are_read() {
        let page = "# HELP a b\n# TYPE a counter\na{x=\"1\",y=\"q\\\"z, }\"} 3\na{x=\"2\",y=\"\"} 4\nb 1e3\n";
        let page = Metrics::parse(page).expect("a good page");
        assert_eq!(page.sum("a", &[]), 7.0);
        assert_eq!(page.sum("a", &[("x", "2")]), 4.0);
        assert_eq!(page.sum("a", &[("y", "q\"z, }")]), 3.0);
        assert_eq!(page.sum("b", &[]), 1000.0);
        assert!(page.families().contains("a"));
    }

    #[test]
    fn a_broken_page_is_an_error() {
        for bad in ["a{x=\"1\"} ", "a{x=1} 2", "a 1\na 2", "ä 1"] {
            assert!(Metrics::parse(bad).is_err(), "{bad}");
        }
    }
}
