//! "Did you mean …?": finds the nearest of some names by edit distance. Never suggests a name that is far off.

/// The nearest candidate, when it is near enough to be a typing error.
pub(crate) fn nearest<'c>(wrong: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    const LONGEST: usize = 64;
    if wrong.len() > LONGEST {
        return None;
    }
    let wrong = wrong.to_lowercase().replace('-', "_");
    let most = (wrong.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= LONGEST)
        .map(|candidate| (far(&wrong, &candidate.to_lowercase().replace('-', "_")), candidate))
        .filter(|(far, _)| *far <= most)
        .min_by_key(|(far, _)| *far)
        .map(|(_, candidate)| candidate)
}

/// A hint from [`nearest`].
pub(crate) fn did_you_mean<'c>(wrong: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<String> {
    nearest(wrong, candidates).map(|name| format!("did you mean `{name}`?"))
}

/// The distance of two names: 1 when one is the start of the other ("warning", "warn"), else the edit distance.
fn far(wrong: &str, candidate: &str) -> usize {
    let starts = candidate.len() >= 4 && wrong.starts_with(candidate);
    if starts || (wrong.len() >= 4 && candidate.starts_with(wrong)) { 1 } else { distance(wrong, candidate) }
}

/// Insertions, deletions, substitutions and swaps of neighbours that turn one into the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    let mut last = None;
    for (nth, a) in from.chars().enumerate() {
        let mut next = vec![nth + 1];
        for (mth, b) in to.iter().enumerate() {
            let get = |row: &[usize], at: usize| row.get(at).copied().unwrap_or(usize::MAX / 2);
            let swap = match (last, mth.checked_sub(1).and_then(|at| to.get(at))) {
                (Some(prior), Some(left)) if prior == *b && *left == a => get(&before, mth - 1) + 1,
                _ => usize::MAX / 2,
            };
            let best =
                (get(&row, mth) + usize::from(a != *b)).min(get(&row, mth + 1) + 1).min(get(&next, mth) + 1);
            next.push(best.min(swap));
        }
        before = std::mem::replace(&mut row, next);
        last = Some(a);
    }
    row.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn the_nearest_name_is_near() {
        let names = ["timeout", "interval", "expect_status", "rise", "fall", "warn"];
        for (wrong, expected) in [
            ("timeuot", Some("timeout")),
            ("Interval", Some("interval")),
            ("expect-status", Some("expect_status")),
            ("expect", Some("expect_status")),
            ("warning", Some("warn")),
            ("ries", Some("rise")),
            ("x", None),
            ("certificate", None),
            ("", None),
        ] {
            assert_eq!(nearest(wrong, names), expected, "{wrong}");
        }
        assert_eq!(nearest(&"x".repeat(10_000), names), None);
    }
}
