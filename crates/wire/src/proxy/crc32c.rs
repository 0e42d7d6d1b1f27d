//! CRC32c (RFC 3720 appendix B.4), which a header of version 2 may carry. Sixteen entries are enough for a header.

/// The polynomial, bits reversed.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// The remainder of each half of a byte.
const TABLE: [u32; 16] = table();

const fn table() -> [u32; 16] {
    let mut table = [0; 16];
    let mut nth = 0;
    while nth < 16 {
        let mut rest = nth as u32;
        let mut bit = 0;
        while bit < 4 {
            rest = if rest & 1 == 1 { rest >> 1 ^ POLYNOMIAL } else { rest >> 1 };
            bit += 1;
        }
        #[expect(
            clippy::indexing_slicing,
            reason = "a constant function has no other way, and fails the build"
        )]
        {
            table[nth] = rest;
        }
        nth += 1;
    }
    table
}

/// The checksum of some bytes.
pub(super) fn crc32c(bytes: impl Iterator<Item = u8>) -> u32 {
    let half = |rest: u32| rest >> 4 ^ TABLE.get(rest as usize & 15).copied().unwrap_or_default();
    !bytes.fold(!0, |rest, byte| half(half(rest ^ u32::from(byte))))
}

#[cfg(test)]
mod tests {
    use super::crc32c;

    #[test]
    fn checksums_are_those_of_the_rfc() {
        assert_eq!(crc32c(b"123456789".iter().copied()), 0xe306_9283);
        assert_eq!(crc32c([0; 32].into_iter()), 0x8a91_36aa);
        assert_eq!(crc32c([0xff; 32].into_iter()), 0x62a8_ab43);
        assert_eq!(crc32c(0..32), 0x46dd_794e);
        assert_eq!(crc32c([].into_iter()), 0);
    }
}
