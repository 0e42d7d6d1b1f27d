//! Any host and path, from normalisation to the matched route.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| thalweg_fuzz::checks::host_and_path(bytes));
