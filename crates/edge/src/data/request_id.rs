//! The id of a request: 32 hex digits of this edge, or what the client sent if that is short and harmless.

use thalweg_wire::{FieldName, Fields};

/// The id of a request, as sent to the endpoint and back to the client: 1 to 128 letters, digits, `.`, `_` and `-`.
#[derive(Clone, Debug)]
pub struct RequestId(Text);

#[derive(Clone, Debug)]
enum Text {
    Own([u8; 32]),
    Given(Box<str>),
}

impl RequestId {
    /// A new id of four random words.
    #[must_use]
    pub fn fresh(words: [u32; 4]) -> Self {
        let mut digits = [0; 32];
        for (to, word) in digits.chunks_exact_mut(8).zip(words) {
            to.copy_from_slice(&hex(word));
        }
        Self(Text::Own(digits))
    }

    /// The client's id, if it is harmless.
    #[must_use]
    pub fn given(fields: &Fields) -> Option<Self> {
        let harmless = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let id = fields.get(FieldName::XRequestId)?;
        let is_harmless = (1..=128).contains(&id.len()) && id.iter().all(harmless);
        is_harmless.then(|| std::str::from_utf8(id).ok().map(|id| Self(Text::Given(id.into()))))?
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Text::Own(digits) => std::str::from_utf8(digits).unwrap_or("-"),
            Text::Given(text) => text,
        }
    }
}

/// Eight hex digits at once: each byte of the word holds one nibble, and nibbles above nine are moved up to `a`.
fn hex(word: u32) -> [u8; 8] {
    let mut spread = u64::from(word);
    spread = (spread | spread << 16) & 0x0000_ffff_0000_ffff;
    spread = (spread | spread << 8) & 0x00ff_00ff_00ff_00ff;
    spread = (spread | spread << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    let above_nine = ((spread + 0x0606_0606_0606_0606) >> 4) & 0x0101_0101_0101_0101;
    (spread + 0x3030_3030_3030_3030 + above_nine * 0x27).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_digits_are_those_of_the_formatter() {
        for word in [0, 0x0123_4567, 0x89ab_cdef, u32::MAX, 0xdead_beef] {
            assert_eq!(std::str::from_utf8(&hex(word)).unwrap(), format!("{word:08x}"));
        }
    }

    #[test]
    fn a_clients_id_is_kept_only_if_it_is_short_and_harmless() {
        let given = |id: &str| {
            let mut fields = Fields::default();
            fields.push(b"x-request-id", id.as_bytes()).unwrap();
            RequestId::given(&fields).map(|id| id.as_str().to_owned())
        };
        assert_eq!(given("a.b_c-1"), Some("a.b_c-1".into()));
        for id in ["a b", "a\"b", "", &"a".repeat(129)] {
            assert_eq!(given(id), None, "{id}");
        }
    }
}
