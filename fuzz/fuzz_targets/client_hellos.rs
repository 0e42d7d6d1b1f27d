//! Any bytes at the beginning of a connection that is passed through, in three reads and byte by byte.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| thalweg_fuzz::wire::client_hellos(bytes));
