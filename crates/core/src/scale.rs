//! Which part of its usual share an endpoint takes: the one number in which everything that makes an endpoint take less
//! than its weight meets. Pure arithmetic. Never says why.

/// A part (0–1) of an endpoint's share, in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scale(u16);

impl Default for Scale {
    fn default() -> Self {
        Self::WHOLE
    }
}

impl Scale {
    /// All of its share.
    pub const WHOLE: Self = Self(1000);
    /// Nothing of it.
    pub const NOTHING: Self = Self(0);

    /// `part` of `of`, at most all; all of nothing.
    #[must_use]
    pub fn of(part: u32, of: u32) -> Self {
        if of == 0 {
            return Self::WHOLE;
        }
        let thousandths = (u64::from(part) * 1000 + u64::from(of) / 2) / u64::from(of);
        Self(u16::try_from(thousandths.min(1000)).unwrap_or(1000))
    }

    /// This part of another part.
    #[must_use]
    pub fn times(self, other: Self) -> Self {
        Self::of(u32::from(self.0) * u32::from(other.0), 1_000_000)
    }

    /// A number between 0 and 1.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / 1000.0
    }

    /// An endpoint's weight in thousandths, scaled. What has a weight keeps some.
    pub(crate) fn weigh(self, weight: u32) -> u64 {
        (u64::from(weight) * u64::from(self.0)).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_multiply_and_stay_between_nothing_and_all() {
        assert_eq!(Scale::of(2, 3), Scale(667));
        assert_eq!(Scale::of(2, 3).times(Scale::of(50, 100)), Scale(334));
        assert_eq!((Scale::of(5, 3), Scale::of(0, 3), Scale::of(0, 0)), (Scale(1000), Scale(0), Scale(1000)));
        assert_eq!(
            (Scale::WHOLE.weigh(3), Scale::of(1, 2).weigh(3), Scale::NOTHING.weigh(3)),
            (3000, 1500, 1)
        );
    }
}
