//! Any bytes from a balancer, in three reads and byte by byte.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| thalweg_fuzz::wire::proxy_headers(bytes));
