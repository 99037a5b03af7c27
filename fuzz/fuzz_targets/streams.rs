//! See the module `streams` of the library.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stillpoint_fuzz::streams::run_bytes(bytes));
