//! What the fuzz targets do with their bytes. Apart from the targets, so that tests can run what
//! fuzzers have found.
#![forbid(unsafe_code)]

pub mod buffers;
#[path = "bus_script.rs"]
pub mod bus;
pub mod files;
pub mod http;
pub mod packets;
pub mod race;
pub mod recording;
pub mod streams;
pub mod timers;
#[path = "worker_script.rs"]
pub mod worker;
pub mod world;

/// What a target does with bytes. It panics if something is wrong.
pub type Target = fn(&[u8]);

/// All targets by name, but for the one that is to fail ([`race`]).
pub const TARGETS: [(&str, Target); 10] = [
    ("worker_script", worker::run_bytes),
    ("bus_script", bus::run_bytes),
    ("buffers", buffers::run_bytes),
    ("timers", timers::run_bytes),
    ("packets", packets::run_bytes),
    ("files", files::run_bytes),
    ("http", http::run_bytes),
    ("streams", streams::run_bytes),
    ("world", world::run_bytes),
    ("recording", recording::run_bytes),
];

/// Bytes, read as decisions. Once they are used up, every decision is 0.
pub(crate) struct Script<'a> {
    bytes: &'a [u8],
}

impl<'a> Script<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(crate) const fn is_over(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.bytes.split_first() else {
            return 0;
        };
        self.bytes = rest;
        first
    }

    pub(crate) fn number(&mut self) -> usize {
        usize::from(self.byte())
    }

    /// Two bytes.
    pub(crate) fn word(&mut self) -> usize {
        usize::from(u16::from_le_bytes([self.byte(), self.byte()]))
    }

    /// As many bytes as that, or what is left.
    pub(crate) fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.bytes.split_at(len.min(self.bytes.len()));
        self.bytes = rest;
        taken
    }
}
