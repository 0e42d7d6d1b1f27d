//! Any strings as fields of a line of the access log.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| thalweg_fuzz::checks::access_log(bytes));
