//! See the module `bus` of the library.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stillpoint_fuzz::bus::run_bytes(bytes));
