//! See the module `worker` of the library.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stillpoint_fuzz::worker::run_bytes(bytes));
