//! Any bytes as the body of a health check's answer.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| thalweg_fuzz::checks::health_body(bytes));
