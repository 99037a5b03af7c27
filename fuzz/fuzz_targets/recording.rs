//! See the module `recording` of the library.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stillpoint_fuzz::recording::run_bytes(bytes));
