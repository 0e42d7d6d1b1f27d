//! The terminals of the grammar: which byte belongs to which class, and how far a run of a class goes. Every rule of
//! RFC 9110 section 5.6 that a reader needs is a column of one table. Holds no state.

/// `tchar`: methods, field names, options (RFC 9110 section 5.6.2).
pub(crate) const TOKEN: u8 = 1;
/// A byte of a target. RFC 3986 forbids `" < > \ ^ { | }` and the backtick, but every client sends them: they pass as
/// they came. Controls, the space, `#` and bytes outside ASCII do not.
pub(crate) const TARGET: u8 = 1 << 1;
/// A byte of a field's value: `field-vchar`, SP and HTAB (RFC 9110 section 5.5).
pub(crate) const VALUE: u8 = 1 << 2;
/// A byte of a registered name or of an IPv4 address. RFC 3986 also allows `%` and sub-delims, which no real name has.
pub(crate) const HOST: u8 = 1 << 3;
/// `qdtext` (RFC 9110 section 5.6.4).
pub(crate) const QUOTED: u8 = 1 << 4;

pub(crate) const CR: u8 = b'\r';
pub(crate) const LF: u8 = b'\n';
pub(crate) const SP: u8 = b' ';
pub(crate) const HTAB: u8 = b'\t';

static CLASSES: [u8; 256] = classes();

#[expect(
    clippy::indexing_slicing,
    reason = "evaluated by the compiler, which refuses an index out of bounds"
)]
const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let is = byte as u8;
        let mut class = 0;
        if is.is_ascii_alphanumeric()
            || matches!(
                is,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            )
        {
            class |= TOKEN;
        }
        if is > SP && is < 0x7f && is != b'#' {
            class |= TARGET;
        }
        if is == HTAB || (is >= SP && is != 0x7f) {
            class |= VALUE;
            if is != b'"' && is != b'\\' {
                class |= QUOTED;
            }
        }
        if is.is_ascii_alphanumeric() || matches!(is, b'.' | b'-' | b'_') {
            class |= HOST;
        }
        table[byte] = class;
        byte += 1;
    }
    table
}

/// Whether a byte belongs to a class.
#[inline]
pub(crate) fn is(byte: u8, class: u8) -> bool {
    CLASSES.get(usize::from(byte)).is_some_and(|classes| classes & class != 0)
}

/// How many bytes at the front belong to a class.
#[inline]
pub(crate) fn run(bytes: &[u8], class: u8) -> usize {
    bytes.iter().position(|byte| !is(*byte, class)).unwrap_or(bytes.len())
}

/// Whether these bytes are a token.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && run(bytes, TOKEN) == bytes.len()
}

/// As [`run`] for [`VALUE`], sixteen bytes at a time: values are most of a head.
#[inline]
pub(crate) fn value_run(bytes: &[u8]) -> usize {
    let (blocks, rest) = bytes.as_chunks::<16>();
    let mut at = 0;
    for block in blocks {
        // Without a branch per byte, so that the compiler compares all of them at once.
        let control = |byte: u8| u8::from(byte < SP && byte != HTAB) | u8::from(byte == 0x7f);
        if block.iter().fold(0, |found, byte| found | control(*byte)) != 0 {
            return at + run(block, VALUE);
        }
        at += block.len();
    }
    at + run(rest, VALUE)
}

/// Without white space at both ends (OWS of RFC 9110 section 5.6.3).
pub(crate) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [SP | HTAB, rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., SP | HTAB] = bytes {
        bytes = rest;
    }
    bytes
}

/// The members of a list; empty ones are left out (RFC 9110 section 5.6.1.2).
pub(crate) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(trim).filter(|member| !member.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_runs_as_far_in_blocks_as_byte_by_byte() {
        for length in [1, 7, 15, 16, 17, 31, 32, 33] {
            for at in 0..length {
                for byte in 0..=255_u8 {
                    for filler in [b'a', b'\t', b' ', 0x80, 0xff] {
                        let mut bytes = vec![filler; length];
                        bytes[at] = byte;
                        assert_eq!(value_run(&bytes), run(&bytes, VALUE), "{bytes:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn classes_are_those_of_the_grammar() {
        for byte in 0..=255_u8 {
            let graphic = byte.is_ascii_graphic();
            let delimiter = b"\"(),/:;<=>?@[\\]{}".contains(&byte);
            assert_eq!(is(byte, TOKEN), graphic && !delimiter, "{byte}");
            assert_eq!(is(byte, TARGET), graphic && byte != b'#', "{byte}");
            assert_eq!(is(byte, VALUE), byte == b'\t' || (byte >= b' ' && byte != 0x7f), "{byte}");
        }
    }
}
