//! See the module `packets` of the library.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stillpoint_fuzz::packets::run_bytes(bytes));
