//! `--key value` arguments, for tools whose only caller is a script. An unknown argument is an error.

use std::collections::HashMap;
use std::str::FromStr;

use anyhow::{Context, Result, bail};

/// Parsed `--key value` pairs; every pair must be taken, so a misspelt key is noticed.
pub struct Args(HashMap<String, String>);

impl Args {
    /// Reads `--key value` pairs.
    pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Self> {
        let mut pairs = HashMap::new();
        while let Some(word) = words.next() {
            let Some(key) = word.strip_prefix("--") else { bail!("expected --key, got {word:?}") };
            let value = words.next().with_context(|| format!("--{key} needs a value"))?;
            if pairs.insert(key.to_owned(), value).is_some() {
                bail!("--{key} is given twice");
            }
        }
        Ok(Self(pairs))
    }

    /// Takes a value that must be there.
    pub fn need<T: FromStr>(&mut self, key: &str) -> Result<T> {
        let text = self.0.remove(key).with_context(|| format!("--{key} is missing"))?;
        parse(key, &text)
    }

    /// Takes a value, or its default.
    pub fn or<T: FromStr>(&mut self, key: &str, default: T) -> Result<T> {
        self.0.remove(key).map_or(Ok(default), |text| parse(key, &text))
    }

    /// Fails if anything was not taken.
    pub fn done(self) -> Result<()> {
        match self.0.keys().next() {
            Some(key) => bail!("--{key} is not known"),
            None => Ok(()),
        }
    }
}

fn parse<T: FromStr>(key: &str, text: &str) -> Result<T> {
    text.parse().map_err(|_| anyhow::anyhow!("--{key} {text:?} cannot be read"))
}

#[cfg(test)]
mod tests {
    use super::Args;

    #[test]
    fn a_misspelt_key_is_an_error() {
        let words = ["--rate", "10", "--durtion", "3"].map(str::to_owned);
        let mut args = Args::parse(words.into_iter()).unwrap();
        assert_eq!(args.need::<u64>("rate").unwrap(), 10);
        assert_eq!(args.or("duration", 7_u64).unwrap(), 7);
        assert!(args.done().is_err());
    }
}
