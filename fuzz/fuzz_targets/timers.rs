//! See the module `timers` of the library.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stillpoint_fuzz::timers::run_bytes(bytes));
