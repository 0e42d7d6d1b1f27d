//! Strings with units: durations ("300ms") and sizes ("16KiB"). Never rounds, never overflows.

use crate::diagnostic::{Diagnostic, quoted, shown};

const TIMES: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
const SIZES: [(&str, u64); 5] =
    [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];

pub(crate) const TIME_HINT: &str = r#"a whole number and a unit: "300ms", "1s", "5m", "1h""#;
pub(crate) const SIZE_HINT: &str = r#"a whole number and a unit: "512B", "16KiB", "10MiB", "1GiB", or "0""#;

/// Milliseconds of a duration within `min..=max`.
pub(crate) fn millis(text: &str, min: u64, max: u64) -> Result<u64, Diagnostic> {
    let Some((number, unit)) = split(text) else { return Err(no_time(text)) };
    let Some((_, scale)) = TIMES.iter().find(|(name, _)| *name == unit) else { return Err(no_time(text)) };
    within(number.and_then(|n| n.checked_mul(*scale)), (min, max), time_text)
}

/// Bytes of a size within `min..=max`.
pub(crate) fn bytes(text: &str, min: u64, max: u64) -> Result<u64, Diagnostic> {
    let Some((number, unit)) = split(text) else { return Err(no_size(text)) };
    let scale = match SIZES.iter().find(|(name, _)| *name == unit) {
        Some((_, scale)) => *scale,
        None if unit.is_empty() && number == Some(0) => 1,
        None => return Err(no_size(text)),
    };
    within(number.and_then(|n| n.checked_mul(scale)), (min, max), size_text)
}

/// Digits and the rest; the number is `None` when it is beyond u64.
fn split(text: &str) -> Option<(Option<u64>, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at_checked(end)?;
    (!digits.is_empty()).then(|| (digits.parse().ok(), unit))
}

fn within(value: Option<u64>, (min, max): (u64, u64), print: fn(u64) -> String) -> Result<u64, Diagnostic> {
    match value {
        Some(value) if (min..=max).contains(&value) => Ok(value),
        Some(value) if value < min => Err(Diagnostic::new(format!("is less than {}", print(min)))
            .hint(format!("{} to {}", print(min), print(max)))),
        _ => Err(Diagnostic::new(format!("is more than {}", print(max))).hint(format!(
            "{} to {}",
            print(min),
            print(max)
        ))),
    }
}

fn no_time(text: &str) -> Diagnostic {
    let diagnostic = Diagnostic::new(format!("{} is not a duration", quoted(text)));
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return diagnostic.hint(format!(
            "the unit is missing: \"{}ms\" or \"{}s\"",
            shown(text),
            shown(text)
        ));
    }
    diagnostic.hint(TIME_HINT)
}

fn no_size(text: &str) -> Diagnostic {
    let diagnostic = Diagnostic::new(format!("{} is not a size", quoted(text)));
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return diagnostic.hint(format!(
            "the unit is missing: \"{}B\" or \"{}KiB\"",
            shown(text),
            shown(text)
        ));
    }
    diagnostic.hint(SIZE_HINT)
}

/// The shortest spelling of a duration.
pub(crate) fn time_text(ms: u64) -> String {
    spell(ms, &TIMES, "0s")
}

/// The shortest spelling of a size.
pub(crate) fn size_text(bytes: u64) -> String {
    spell(bytes, &SIZES, "0")
}

fn spell(value: u64, units: &[(&str, u64)], zero: &str) -> String {
    if value == 0 {
        return zero.to_owned();
    }
    let unit = units.iter().rev().find(|(_, scale)| value.is_multiple_of(*scale));
    unit.map_or_else(|| value.to_string(), |(name, scale)| format!("{}{name}", value / scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_reads_as_the_same() {
        for (text, ms) in
            [("0s", 0), ("1ms", 1), ("1500ms", 1_500), ("1s", 1_000), ("90s", 90_000), ("2h", 7_200_000)]
        {
            assert_eq!(millis(text, 0, u64::MAX), Ok(ms));
            assert_eq!(time_text(ms), text);
        }
        for (text, size) in [("0", 0), ("1B", 1), ("1025B", 1_025), ("16KiB", 16_384), ("1TiB", 1 << 40)] {
            assert_eq!(bytes(text, 0, u64::MAX), Ok(size));
            assert_eq!(size_text(size), text);
        }
    }

    #[test]
    fn what_has_no_unit_or_a_strange_one_is_refused() {
        for text in [
            "",
            "s",
            "1",
            "1 s",
            " 1s",
            "1S",
            "1d",
            "-1s",
            "+1s",
            "1.5s",
            "1m30s",
            "\u{661}s",
            "99999999999999999999h",
        ] {
            assert!(millis(text, 0, u64::MAX).is_err(), "{text}");
        }
        for text in ["", "1", "KiB", "1kb", "1KB", "1 KiB", "-0", "1.5KiB", "99999999999999999999B"] {
            assert!(bytes(text, 0, u64::MAX).is_err(), "{text}");
        }
    }
}
