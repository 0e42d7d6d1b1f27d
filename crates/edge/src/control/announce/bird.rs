//! BIRD's control protocol: lines of text on a Unix socket. A reply's lines begin with four digits and a dash, the last
//! one with four digits and a space; a line that begins with a space belongs to the one before. From 8000 on, the digits
//! mean a failure. Reads what is said; decides nothing.

use std::{io, path::Path};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
};

use super::obstacle::Obstacle;

/// Longest reply: `show protocols all` takes about 1 KiB a protocol.
const MAX_REPLY: u64 = 8 << 20;
/// The greeting.
const WELCOME: u16 = 1;
/// No protocol has the name that was asked for.
const NO_MATCH: u16 = 8003;
/// The socket is restricted to questions.
const ACCESS_DENIED: u16 = 8007;
/// A protocol in a list, and what follows of it in a long list.
const ROW: u16 = 1002;
const DETAIL: u16 = 1006;

/// One reply, line by line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// The lines with their codes, the last one last.
    pub lines: Vec<(u16, String)>,
}

impl Reply {
    /// Takes one line in; returns whether the reply ends with it.
    ///
    /// # Errors
    /// The line is none of BIRD's.
    pub fn push(&mut self, line: &str) -> Result<bool, String> {
        let odd = || format!("not BIRD's: {:?}", line.chars().take(60).collect::<String>());
        if let Some(rest) = line.strip_prefix(' ') {
            let code = self.lines.last().ok_or_else(odd)?.0;
            self.lines.push((code, rest.to_owned()));
            return Ok(false);
        }
        // A message that no question asked for.
        if line.starts_with('+') {
            return Ok(false);
        }
        let code = line.get(..4).filter(|code| code.bytes().all(|byte| byte.is_ascii_digit()));
        let code = code.and_then(|code| code.parse().ok()).ok_or_else(odd)?;
        let ends = match line.as_bytes().get(4) {
            Some(b' ') | None => true,
            Some(b'-') => false,
            Some(_) => return Err(odd()),
        };
        self.lines.push((code, line.get(5..).unwrap_or_default().to_owned()));
        Ok(ends)
    }

    fn last(&self) -> (u16, &str) {
        self.lines.last().map_or((0, ""), |(code, text)| (*code, text))
    }

    /// The reply, unless it says that the command failed.
    ///
    /// # Errors
    /// Why it failed.
    pub fn success(self) -> Result<Self, Obstacle> {
        match self.last() {
            (NO_MATCH, _) => Err(Obstacle::NoProtocol),
            (ACCESS_DENIED, _) => Err(Obstacle::Denied("the socket takes questions only".into())),
            (code, text) if code >= 8000 => Err(Obstacle::Refused(format!("{code:04} {text}"))),
            _ => Ok(self),
        }
    }

    /// The BGP sessions of a long list of protocols that are Established.
    #[must_use]
    pub fn established(&self) -> Vec<BgpSession> {
        let mut found = Vec::new();
        let mut row = None;
        for (code, text) in &self.lines {
            match *code {
                ROW => row = BgpSession::from_row(text),
                DETAIL
                    if text.trim_start().strip_prefix("BGP state:").map(str::trim) == Some("Established") =>
                {
                    found.extend(row.take());
                }
                _ => {}
            }
        }
        found
    }

    /// N of "N of M routes for K networks in table T"; 0 when there is no such line.
    #[must_use]
    pub fn counted(&self) -> u64 {
        let counts = self.lines.iter().filter_map(|(_, text)| {
            let (count, rest) = text.trim_start().split_once(" of ")?;
            rest.contains(" routes for ").then(|| count.parse::<u64>().ok()).flatten()
        });
        counts.sum()
    }
}

/// A BGP session that is Established.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BgpSession {
    /// The protocol's name.
    pub name: String,
    /// When the session came up, as BIRD writes it: a different text is a different session.
    pub since: String,
}

impl BgpSession {
    /// Of `NAME PROTO TABLE STATE SINCE INFO`, if it is a BGP protocol.
    fn from_row(row: &str) -> Option<Self> {
        let mut words = row.split_ascii_whitespace();
        let name = words.next()?.to_owned();
        if words.next() != Some("BGP") {
            return None;
        }
        let since: Vec<&str> = words.skip(2).take_while(|word| *word != "Established").collect();
        Some(Self { name, since: since.join(" ") })
    }
}

/// A connection to BIRD.
#[derive(Debug)]
pub struct Bird(BufReader<UnixStream>);

impl Bird {
    /// Connects, and makes sure that it is BIRD.
    ///
    /// # Errors
    /// Why not.
    pub async fn connect(path: &Path) -> Result<Self, Obstacle> {
        let stream = UnixStream::connect(path).await.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Obstacle::Absent(error.to_string()),
            io::ErrorKind::PermissionDenied => Obstacle::Denied(error.to_string()),
            _ => Obstacle::NotBird(error.to_string()),
        })?;
        let mut bird = Self(BufReader::new(stream));
        match bird.reply().await?.last() {
            (WELCOME, text) if text.starts_with("BIRD ") => Ok(bird),
            (code, text) => {
                let said: String = text.chars().take(60).collect();
                Err(Obstacle::NotBird(format!("it greets with {code:04} {said}")))
            }
        }
    }

    /// Gives a command; returns the reply.
    ///
    /// # Errors
    /// BIRD is gone, or the command failed.
    pub async fn ask(&mut self, command: &str) -> Result<Reply, Obstacle> {
        let line = format!("{command}\n");
        self.0.get_mut().write_all(line.as_bytes()).await.map_err(|_| lost())?;
        self.reply().await?.success()
    }

    async fn reply(&mut self) -> Result<Reply, Obstacle> {
        let (mut reply, mut left) = (Reply::default(), MAX_REPLY);
        loop {
            let mut line = Vec::new();
            let read = (&mut self.0).take(left).read_until(b'\n', &mut line).await.map_err(|_| lost())?;
            if !line.ends_with(b"\n") {
                return Err(if read == 0 {
                    lost()
                } else {
                    Obstacle::NotBird("a line without an end".into())
                });
            }
            left = left.saturating_sub(read as u64);
            let text = String::from_utf8_lossy(&line);
            if reply.push(text.trim_end_matches(['\r', '\n'])).map_err(Obstacle::NotBird)? {
                return Ok(reply);
            }
        }
    }
}

fn lost() -> Obstacle {
    Obstacle::Absent("it closed its control socket".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As BIRD 2.0.12 of Debian 12 writes it.
    const LIST: &str = include_str!("show-protocols-all.txt");

    fn reply(text: &str) -> Reply {
        let mut reply = Reply::default();
        let lines: Vec<&str> = text.lines().collect();
        for (nth, line) in lines.iter().enumerate() {
            assert_eq!(reply.push(line), Ok(nth + 1 == lines.len()), "{line}");
        }
        reply
    }

    #[test]
    fn a_reply_ends_with_digits_and_a_space() {
        for (text, last, failure) in [
            ("0001 BIRD 2.0.12 ready.", 1, None),
            ("0011-anycast4: enabled\n0000 ", 0, None),
            ("0010-anycast4: already enabled\n0000 ", 0, None),
            ("0009-anycast4: disabled\n0000 ", 0, None),
            ("0000", 0, None),
            ("8003 No protocols match", 8003, Some(Obstacle::NoProtocol)),
            ("8007 Access denied", 8007, Some(Obstacle::Denied("the socket takes questions only".into()))),
            (
                "9001 syntax error, unexpected CF_SYM_UNDEFINED",
                9001,
                Some(Obstacle::Refused("9001 syntax error, unexpected CF_SYM_UNDEFINED".into())),
            ),
        ] {
            let reply = reply(text);
            assert_eq!(reply.last().0, last, "{text}");
            assert_eq!(reply.success().err(), failure, "{text}");
        }
    }

    #[test]
    fn a_line_of_something_else_is_none_of_birds() {
        for line in ["HTTP/1.1 400 Bad Request", "", "+OK", "220 mail ESMTP", "12345", "000x ", " a", "é234 "]
        {
            let expected_to_pass = line.starts_with('+');
            assert_eq!(Reply::default().push(line).is_ok(), expected_to_pass, "{line:?}");
        }
    }

    #[test]
    fn the_sessions_that_are_established_are_found() {
        let session = BgpSession { name: "up1".into(), since: "19:43:18.440".into() };
        assert_eq!(reply(LIST).established(), [session], "up2 is Idle, the others are no BGP");
        let long = LIST.replace("19:43:18.440", "2026-11-30 19:43:18.440");
        assert_eq!(reply(&long).established()[0].since, "2026-11-30 19:43:18.440");
    }

    #[test]
    fn routes_are_counted() {
        for (text, count) in [
            ("1007-1 of 2 routes for 2 networks in table master4\n0000 ", 1),
            ("1007-0 of 2 routes for 2 networks in table master4\n0000 ", 0),
            (
                "1007-1 of 1 routes for 1 networks in table master4\n 2 of 2 routes for 2 networks in table master6\n0000 ",
                3,
            ),
            ("0000 ", 0),
        ] {
            assert_eq!(reply(text).counted(), count, "{text}");
        }
    }
}
