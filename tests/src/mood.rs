//! The orders for a region process: each line on its stdin sets its whole state. Both the driver and the process use
//! these types, so that they cannot disagree about a word.

use std::{fmt, str::FromStr};

/// How `/health` is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// With 200 and a good body.
    #[default]
    Ok,
    /// With 503.
    Fail,
    /// No answer.
    Hang,
}

/// The state of a region. [`Mood::default`] is calm: it answers at once.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Mood {
    /// Ordinary answers come this much later.
    pub slow_ms: u64,
    /// This share of ordinary answers are 503, in percent.
    pub errors: u64,
    /// An answer's body comes in ten pieces, this far apart; 0 = at once.
    pub loris_ms: u64,
    /// Every connection is reset after this many bytes of answers.
    pub reset_after: Option<u64>,
    /// This share of pieces is lost once on the way, in percent.
    pub loss: u64,
    /// How `/health` is answered.
    pub health: Health,
}

impl fmt::Display for Mood {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "slow={} errors={} loris={} loss={}",
            self.slow_ms, self.errors, self.loris_ms, self.loss
        )?;
        if let Some(bytes) = self.reset_after {
            write!(out, " reset={bytes}")?;
        }
        match self.health {
            Health::Ok => Ok(()),
            Health::Fail => write!(out, " health=fail"),
            Health::Hang => write!(out, " health=hang"),
        }
    }
}

impl FromStr for Mood {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let mut mood = Self::default();
        for word in line.split_whitespace() {
            let (key, value) = word.split_once('=').ok_or_else(|| format!("no value: {word}"))?;
            let number = || value.parse::<u64>().map_err(|error| format!("{word}: {error}"));
            match (key, value) {
                ("slow", _) => mood.slow_ms = number()?,
                ("errors", _) => mood.errors = number()?,
                ("loris", _) => mood.loris_ms = number()?,
                ("loss", _) => mood.loss = number()?,
                ("reset", _) => mood.reset_after = Some(number()?),
                ("health", "fail") => mood.health = Health::Fail,
                ("health", "hang") => mood.health = Health::Hang,
                _ => return Err(format!("unknown: {word}")),
            }
        }
        Ok(mood)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_mood_is_read_back() {
        let mood = Mood {
            slow_ms: 300,
            errors: 30,
            loris_ms: 7,
            reset_after: Some(0),
            loss: 10,
            health: Health::Hang,
        };
        for mood in [mood, Mood::default(), Mood { health: Health::Fail, ..mood }] {
            assert_eq!(mood.to_string().parse(), Ok(mood));
        }
        assert!("slow=x".parse::<Mood>().is_err() && "health=ill".parse::<Mood>().is_err());
    }
}
