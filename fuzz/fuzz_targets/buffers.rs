//! See the module `buffers` of the library.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stillpoint_fuzz::buffers::run_bytes(bytes));
