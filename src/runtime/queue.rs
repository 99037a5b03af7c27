//! The queue inside a ring: one producer, one consumer, a fixed number of places.
//!
//! rtrb's positions are written with release and read with acquire, and nothing but its two
//! halves touches them: no message costs more than two plain stores.

pub(super) use rtrb::{Consumer, Producer, PushError, RingBuffer};
