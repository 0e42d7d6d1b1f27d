//! An operator, an account and its users, as `nsc` makes them: nkeys (Ed25519, base32 with a kind and a check sum) and
//! JWTs that the key above signs.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// The kinds of keys, by the byte that their names begin with.
#[derive(Clone, Copy)]
pub(crate) enum Nkey {
    Operator = 14 << 3,
    Account = 0,
    User = 20 << 3,
}

/// A key of its own for each number.
pub(crate) struct Signer {
    kind: Nkey,
    seed: [u8; 32],
    pair: Ed25519KeyPair,
}

impl Signer {
    pub(crate) fn new(kind: Nkey, number: u8) -> Self {
        let seed = [number; 32];
        Self { kind, seed, pair: Ed25519KeyPair::from_seed_unchecked(&seed).expect("a key") }
    }

    /// Its name.
    pub(crate) fn public(&self) -> String {
        sealed([&[self.kind as u8], self.pair.public_key().as_ref()].concat())
    }

    /// Its secret.
    pub(crate) fn secret(&self) -> String {
        let kind = self.kind as u8;
        sealed([&[18 << 3 | kind >> 5, kind << 3], &self.seed[..]].concat())
    }

    /// What this key says of `subject`.
    pub(crate) fn says(&self, subject: &str, expires: Option<i64>, nats: Value) -> String {
        let mut claims = json!({
            "jti": "test", "iat": now(), "iss": self.public(), "name": subject, "sub": subject, "nats": nats,
        });
        if let Some(seconds) = expires {
            claims["exp"] = (now() + seconds).into();
        }
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", part(&json!({ "typ": "JWT", "alg": "ed25519-nkey" })), part(&claims));
        let signature = URL_SAFE_NO_PAD.encode(self.pair.sign(text.as_bytes()));
        format!("{text}.{signature}")
    }
}

/// The lines of a server in operator mode, and the account that it knows.
pub(crate) fn operator_mode() -> (String, Signer) {
    let operator = Signer::new(Nkey::Operator, 1);
    let (system, account) = (Signer::new(Nkey::Account, 2), Signer::new(Nkey::Account, 3));
    let free = |storage: i64| {
        json!({ "limits": {
            "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1,
            "leaf": -1, "mem_storage": storage, "disk_storage": storage, "streams": storage, "consumer": storage,
        }, "default_permissions": { "pub": {}, "sub": {} }, "type": "account", "version": 2 })
    };
    let of_operator = json!({
        "type": "operator", "version": 2, "system_account": system.public(),
    });
    let lines = format!(
        "operator: {}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload: {{\n  {}: {}\n  {}: {}\n}}\n",
        operator.says(&operator.public(), None, of_operator),
        system.public(),
        system.public(),
        operator.says(&system.public(), None, free(0)),
        account.public(),
        operator.says(&account.public(), None, free(-1)),
    );
    (lines, account)
}

/// A `.creds` file for a user of this account, whose JWT ends so many seconds from now.
pub(crate) fn creds(account: &Signer, expires: Option<i64>) -> String {
    let user = Signer::new(Nkey::User, 4);
    let rights =
        json!({ "pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1, "type": "user", "version": 2 });
    format!(
        "-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n\n************************* IMPORTANT *************************\n\
         NKEY Seed printed below can be used to sign and prove identity.\n\n-----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
        account.says(&user.public(), expires, rights),
        user.secret(),
    )
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_secs()).expect("a date")
}

/// Bytes and their check sum in base32.
fn sealed(mut bytes: Vec<u8>) -> String {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let sum =
        bytes.iter().fold(0_u16, |crc, byte| {
            (0..8).fold(crc ^ u16::from(*byte) << 8, |crc, _| {
                if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 }
            })
        });
    bytes.extend(sum.to_le_bytes());
    let bit = |at: usize| bytes.get(at / 8).map_or(0, |byte| usize::from(byte >> (7 - at % 8) & 1));
    let letter = |nth: usize| (0..5).fold(0, |value, more| value << 1 | bit(nth * 5 + more));
    (0..(bytes.len() * 8).div_ceil(5)).map(|nth| char::from(LETTERS[letter(nth)])).collect()
}
