//! What an edge tells the fleet's NATS servers about itself: the content of the file that `fleet.credentials` names. Reads
//! one line (`USER:PASSWORD` or a token) or a `.creds` file of a NATS account, as `nsc` writes it: a JWT and the seed of an
//! nkey. Verifies no signature: that is the servers' part.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

const JWT: (&str, &str) = ("-----BEGIN NATS USER JWT-----", "------END NATS USER JWT------");
const SEED: (&str, &str) = ("-----BEGIN USER NKEY SEED-----", "------END USER NKEY SEED------");
/// What the bytes of a user's seed begin with, as 5 + 3 and 5 bits: a seed, of a user.
const USER_SEED: [u8; 2] = [18 << 3 | 20 >> 2, (20 & 3) << 6];

/// How an edge proves to the NATS servers who it is.
#[derive(Clone, PartialEq, Eq)]
pub enum FleetCredentials {
    /// A name and a password.
    User(String, String),
    /// A token.
    Token(String),
    /// A user of an account.
    Account(AccountUser),
}

/// A user of a NATS account.
#[derive(Clone, PartialEq, Eq)]
pub struct AccountUser {
    /// What the account says of the user, signed.
    pub jwt: String,
    /// The user's Ed25519 seed, which signs what the server asks.
    pub seed: [u8; 32],
    /// When the JWT ends, seconds since 1970.
    pub expires: Option<u64>,
}

impl std::fmt::Debug for FleetCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FleetCredentials")
    }
}

impl std::fmt::Debug for AccountUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AccountUser")
    }
}

impl FleetCredentials {
    /// Reads the content of a file.
    ///
    /// # Errors
    /// What is wrong with it, as "holds …".
    pub(crate) fn read(text: &str) -> Result<Self, &'static str> {
        if text.contains("-----BEGIN") {
            return account(text).map(Self::Account);
        }
        let line = text.trim();
        if line.is_empty() || !line.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("holds no line `USER:PASSWORD`, no token and no credentials of a NATS account");
        }
        Ok(match line.split_once(':') {
            Some((user, password)) => Self::User(user.to_owned(), password.to_owned()),
            None => Self::Token(line.to_owned()),
        })
    }
}

fn account(text: &str) -> Result<AccountUser, &'static str> {
    let jwt = between(text, JWT).ok_or("holds no whole NATS USER JWT")?;
    let seed = between(text, SEED).ok_or("holds no whole USER NKEY SEED")?;
    let expires = expiry(&jwt).ok_or("holds a JWT that cannot be read: it was cut or changed")?;
    let seed = user_seed(&seed).ok_or("holds a seed that is not that of a user: it was cut or changed")?;
    Ok(AccountUser { jwt, seed, expires })
}

/// What stands between two lines, without white space.
fn between(text: &str, (begin, end): (&str, &str)) -> Option<String> {
    let (_, rest) = text.split_once(begin)?;
    let (inside, _) = rest.split_once(end)?;
    let inside: String = inside.split_whitespace().collect();
    (!inside.is_empty()).then_some(inside)
}

/// When a user's JWT ends; the outer `None` = it is no JWT of a user.
fn expiry(jwt: &str) -> Option<Option<u64>> {
    let mut parts = jwt.split('.');
    let (head, claims, signature) = (parts.next()?, parts.next()?, parts.next()?);
    let json = |part: &str| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(part).ok()?).ok();
    json(head)?;
    let claims = json(claims)?;
    let whole = parts.next().is_none() && URL_SAFE_NO_PAD.decode(signature).ok()?.len() == 64;
    let of_user = claims.get("sub").and_then(Value::as_str).is_some_and(|subject| subject.starts_with('U'));
    (whole && of_user).then(|| claims.get("exp").and_then(Value::as_u64).filter(|end| *end > 0))
}

/// The 32 bytes of a user's seed: base32 of two bytes of kind, the seed, and a check sum (CRC-16/XMODEM, low byte first).
fn user_seed(text: &str) -> Option<[u8; 32]> {
    let bytes = base32(text)?;
    let (checked, sum) = bytes.split_last_chunk::<2>()?;
    let (kind, seed) = checked.split_first_chunk::<2>()?;
    let fits = *kind == USER_SEED && crc16(checked) == u16::from_le_bytes(*sum);
    fits.then(|| seed.try_into().ok()).flatten()
}

/// RFC 4648 base32 without padding; the bits behind the last byte are 0.
fn base32(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut bits, mut count) = (Vec::with_capacity(text.len() * 5 / 8), 0_u32, 0);
    for letter in text.bytes() {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'2'..=b'7' => letter - b'2' + 26,
            _ => return None,
        };
        bits = bits << 5 | u32::from(value);
        count += 5;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).ok()?);
            bits &= (1 << count) - 1;
        }
    }
    (bits == 0).then_some(bytes)
}

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        let crc = crc ^ u16::from(*byte) << 8;
        (0..8).fold(crc, |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of nsc's documentation.
    const SOME_SEED: &str = "SUAIO3FHUX5PNV2LQIIP7TZ3N4L7TX3W53MQGEIVYFIGA635OZCKEYHFLM";

    fn jwt(claims: &str) -> String {
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        format!("{}.{}.{}", part(b"{\"alg\":\"ed25519-nkey\"}"), part(claims.as_bytes()), part(&[7; 64]))
    }

    fn creds(jwt: &str, seed: &str) -> String {
        format!("{}\n{jwt}\n{}\n\n*** IMPORTANT ***\n{}\n{seed}\n{}\n", JWT.0, JWT.1, SEED.0, SEED.1)
    }

    fn problem(text: &str) -> &'static str {
        FleetCredentials::read(text).err().unwrap_or("fine")
    }

    #[test]
    fn one_line_is_a_user_or_a_token() {
        assert!(FleetCredentials::read("a:b:c\n") == Ok(FleetCredentials::User("a".into(), "b:c".into())));
        assert!(FleetCredentials::read("s3cret\n") == Ok(FleetCredentials::Token("s3cret".into())));
        for bad in ["", " \n", "two words", "a:b\nc:d"] {
            assert!(problem(bad).starts_with("holds no line"), "{bad:?}");
        }
    }

    #[test]
    fn credentials_of_an_account_are_a_jwt_and_a_seed() {
        let read = FleetCredentials::read(&creds(&jwt("{\"sub\":\"UABC\",\"exp\":1700000000}"), SOME_SEED));
        let Ok(FleetCredentials::Account(user)) = read else { panic!() };
        assert_eq!((user.expires, user.seed[..2].to_vec()), (Some(1_700_000_000), vec![0x87, 0x6c]));
        let forever = FleetCredentials::read(&creds(&jwt("{\"sub\":\"UABC\"}"), SOME_SEED));
        assert!(matches!(forever, Ok(FleetCredentials::Account(AccountUser { expires: None, .. }))));
        assert_eq!(format!("{user:?}"), "AccountUser", "no secret in a log");
    }

    #[test]
    fn what_was_cut_or_changed_is_told() {
        let good = jwt("{\"sub\":\"UABC\"}");
        let whole = creds(&good, SOME_SEED);
        assert_eq!(problem(&whole), "fine");
        for cut in (JWT.0.len()..whole.len() - SEED.1.len()).step_by(7) {
            assert!(problem(&whole[..cut]).starts_with("holds no whole"), "cut at {cut}");
        }
        assert!(problem(&creds(&good, &SOME_SEED[..57])).contains("seed"));
        assert!(problem(&creds(&good, &SOME_SEED.replace('3', "4"))).contains("seed"), "a wrong check sum");
        assert!(
            problem(&creds(&good, "SAAIO3FHUX5PNV2LQIIP7TZ3N4L7TX3W53MQGEIVYFIGA635OZCKEYHFLM"))
                .contains("seed")
        );
        assert!(problem(&creds(&good[..good.len() - 9], SOME_SEED)).contains("JWT"));
        assert!(problem(&creds(&jwt("{\"sub\":\"AABC\"}"), SOME_SEED)).contains("JWT"), "that of an account");
        assert!(problem(&creds("no jwt", SOME_SEED)).contains("JWT"));
    }
}
