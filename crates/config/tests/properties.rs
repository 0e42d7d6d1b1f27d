//! Properties over random input: numbers with units, any text at all, and substitution.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

mod support;

use std::time::Duration;

use proptest::prelude::*;
use support::{MINIMAL, complaints, minimal, read};

const DAY_MS: u64 = 24 * 3_600 * 1_000;

fn timeout(text: &str) -> Result<Duration, usize> {
    let text = MINIMAL.replace("[route.r]", &format!("[route.r]\ntimeouts = {{ idle = \"{text}\" }}"));
    read(&text).map(|config| config.topology.routes[0].timeouts.idle).map_err(|errors| errors.0.len())
}

proptest! {
    #[test]
    fn a_duration_is_its_number_times_its_unit(number in 0_u64..200_000_000, unit in 0_usize..4) {
        let (name, scale) = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)][unit];
        let ms = number.saturating_mul(scale);
        let expected = if (1..=DAY_MS).contains(&ms) { Ok(Duration::from_millis(ms)) } else { Err(1) };
        prop_assert_eq!(timeout(&format!("{number}{name}")), expected);
    }

    #[test]
    fn a_number_of_any_length_does_no_harm(digits in "[0-9]{1,60}", unit in "(ms|s|m|h|KiB|d|)") {
        let _ = timeout(&format!("{digits}{unit}"));
        let _ = complaints(&minimal(&format!("[edge]\nworkers = {digits}\n[limits]\nheader_bytes = \"{digits}{unit}\"")));
    }

    #[test]
    fn any_text_is_read_without_a_panic(text in "\\PC{0,200}") {
        for line in complaints(&text) {
            prop_assert!(line.starts_with("t.toml:"));
        }
    }

    #[test]
    fn any_string_in_any_place_is_taken_or_refused_once(text in "[^\"\\\\\\x00-\\x1f\\x7f]{0,40}", place in 0_usize..8) {
        let key = ["web", "127.0.0.1:8080", "10.0.0.1:8000", "failover"].get(place);
        let config = match key {
            Some(key) => MINIMAL.replace(&format!("\"{key}\""), &format!("\"{text}\"")),
            None => {
                let key = ["region", "name", "cloud", "drain_delay"][place - 4];
                minimal(&format!("[edge]\n{key} = \"{text}\""))
            }
        };
        prop_assert!(complaints(&config).len() <= 1);
    }

    #[test]
    fn a_lone_dollar_is_left_alone(head in "[a-z$]{0,10}", tail in "[a-z$]{1,10}") {
        let text = format!("{head}{tail}");
        let config = read(&minimal(&format!("[probe.p]\nexpect_json = {{ a = \"{text}\" }}\n[pool.p]\nprobe = \"p\"\nendpoints = [{{ address = \"a:1\" }}]"))).unwrap();
        let probe = config.pools[1].probe.clone().unwrap();
        prop_assert_eq!(&probe.expect_json[0].1[0], &serde_json::json!(text));
    }
}
