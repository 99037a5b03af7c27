//! See the module `files` of the library.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stillpoint_fuzz::files::run_bytes(bytes));
