//! Any bytes as a config file.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| thalweg_fuzz::checks::config_text(bytes));
