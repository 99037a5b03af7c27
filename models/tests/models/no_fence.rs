//! Planted: no fences. Each side may then look before others see what it wrote, and both see what
//! was before. Only weak memory shows it.

use super::{queue, thread};

mod sync {
    pub(crate) use super::super::sync::{Arc, AtomicBool, OnceLock, Ordering, Waker};

    pub(crate) fn fence(_: Ordering) {}
}

#[path = "../../../src/runtime/doorbell.rs"]
mod doorbell;
#[path = "../../../src/runtime/ring.rs"]
mod ring;
#[path = "stories.rs"]
pub(crate) mod stories;
