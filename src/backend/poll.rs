//! The raw `poll(2)` backend.
